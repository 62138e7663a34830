"""A Media Creation Management SCU: N-CREATE, N-ACTION, N-GET over one association."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable

from sender import Connection, PeerError, associate_rq, command, p_data
from workloads import EXPLICIT_VR_LITTLE_ENDIAN

MEDIA_CREATION_MANAGEMENT = "1.2.840.10008.5.1.1.33"
_EXECUTION_STATUS = struct.pack("<HH2s", 0x2100, 0x0020, b"CS")
_UNLIMITED = 131072


class MediaCreation:
    """The operations of PS3.4 Annex S that the benchmarks need."""

    def __init__(self, port: int) -> None:
        request = associate_rq([(MEDIA_CREATION_MANAGEMENT, [EXPLICIT_VR_LITTLE_ENDIAN])])
        self._connection = Connection.open(port, request)
        self._message_id = 0

    def create(self, uid: str, sop_class_uid: str, instances: Iterable[str]) -> None:
        """N-CREATE that references the instances."""
        items = []
        for instance in instances:
            item = _element(0x0008, 0x1150, sop_class_uid)
            item += _element(0x0008, 0x1155, instance)
            items.append(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item)
        value = b"".join(items)
        sequence = struct.pack("<HH2sHL", 0x0008, 0x1199, b"SQ", 0, len(value)) + value
        self._request(0x0140, uid, sequence)

    def initiate(self, uid: str) -> None:
        """N-ACTION, Initiate Media Creation."""
        self._request(0x0130, uid, b"", action=1)

    def execution_status(self, uid: str) -> str:
        """N-GET of Execution Status (2100,0020)."""
        attribute_list = struct.pack("<HH", 0x2100, 0x0020)
        answer = self._request(0x0110, uid, b"", attributes=attribute_list)
        at = answer.index(_EXECUTION_STATUS) + 6
        length = int.from_bytes(answer[at : at + 2], "little")
        return answer[at + 2 : at + 2 + length].decode().strip()

    def wait(self, uid: str, timeout: float = 600) -> str:
        """Wait until the request has ended; its last Execution Status, or "TIMEOUT"."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.execution_status(uid)
            if status in ("DONE", "FAILURE"):
                return status
            time.sleep(0.05)
        return "TIMEOUT"

    def release(self) -> None:
        self._connection.release()

    def _request(
        self, field: int, uid: str, data: bytes, *, action: int = 0, attributes: bytes = b""
    ) -> bytes:
        self._message_id = (self._message_id + 1) & 0xFFFF
        affected = field == 0x0140
        elements = {
            0x0002 if affected else 0x0003: MEDIA_CREATION_MANAGEMENT.encode(),
            0x0100: struct.pack("<H", field),
            0x0110: struct.pack("<H", self._message_id),
            0x0800: struct.pack("<H", 1 if data else 0x0101),
            0x1000 if affected else 0x1001: uid.encode(),
        }
        if action:
            elements[0x1008] = struct.pack("<H", action)
        if attributes:
            elements[0x1005] = attributes
        encoded = command(elements)
        limit = (self._connection.maximum or _UNLIMITED) - 6
        pdus = [p_data(1, 3, len(encoded)), encoded]
        for at in range(0, len(data), limit):
            part = data[at : at + limit]
            pdus += [p_data(1, 2 if at + limit >= len(data) else 0, len(part)), part]
        return self._exchange(b"".join(pdus))

    def _exchange(self, pdus: bytes) -> bytes:
        """The data set of the answer; raises PeerError if its status is not a success."""
        self._connection.socket.sendall(pdus)
        status, data = self._connection.message()
        if status:
            raise PeerError(f"status {status:04X}")
        return data


def _element(group: int, element: int, uid: str) -> bytes:
    padded = uid.encode() + b"\0" * (len(uid) % 2)
    return struct.pack("<HH2sH", group, element, b"UI", len(padded)) + padded
