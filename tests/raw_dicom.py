"""A DICOM client that sends bytes: valid or invalid PDUs, whole or in pieces (PS3.8 9.3)."""

import socket
import ssl
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from waiting import wait_until

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA_TF = 1, 2, 3, 4
A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 5, 6, 7

Context = tuple[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU that was received: its type, and the bytes after its length."""

    kind: int
    body: bytes

    @property
    def source_and_reason(self) -> tuple[int, int]:
        """Source and reason of an A-ABORT."""
        assert self.kind == A_ABORT, self
        return self.body[2], self.body[3]

    @property
    def rejection(self) -> tuple[int, int, int]:
        """Result, source and reason of an A-ASSOCIATE-RJ."""
        assert self.kind == A_ASSOCIATE_RJ, self
        return self.body[1], self.body[2], self.body[3]


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    """One presentation data value: bit 0 of `control` is command, bit 1 is last."""
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


def associate_rq(
    contexts: Sequence[Context],
    *,
    called: bytes,
    calling: bytes,
    maximum_length: int = 16384,
    user_items: bytes = b"",
) -> bytes:
    """An A-ASSOCIATE-RQ; AE titles are taken without padding them."""
    body = struct.pack(">HH", 1, 0) + called + calling + bytes(32)
    body += item(0x10, APPLICATION_CONTEXT.encode())
    for number, (abstract, transfers) in enumerate(contexts):
        syntaxes = item(0x30, abstract.encode())
        syntaxes += b"".join(item(0x40, uid.encode()) for uid in transfers)
        body += item(0x20, bytes([2 * number + 1, 0, 0, 0]) + syntaxes)
    user = item(0x51, struct.pack(">I", maximum_length)) + item(0x52, b"1.2.3.4") + user_items
    return pdu(A_ASSOCIATE_RQ, body + item(0x50, user))


def common_extended(sop_class: str, service_class: str = "1.2.840.10008.4.2") -> bytes:
    """A SOP Class Common Extended Negotiation sub-item (PS3.7 D.3.3.6)."""
    uids = b"".join(
        struct.pack(">H", len(uid)) + uid.encode() for uid in (sop_class, service_class)
    )
    return item(0x57, uids + struct.pack(">H", 0))


def extended(sop_class: str, information: bytes) -> bytes:
    """A SOP Class Extended Negotiation sub-item (PS3.7 D.3.3.5)."""
    return item(0x56, struct.pack(">H", len(sop_class)) + sop_class.encode() + information)


def command(elements: Mapping[int, bytes]) -> bytes:
    body = b"".join(
        struct.pack("<HHI", 0, element, len(value) + len(value) % 2)
        + value
        + b"\0" * (len(value) % 2)
        for element, value in sorted(elements.items())
    )
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def c_store_rq(sop_class: str, sop_instance: str, message_id: int = 1) -> bytes:
    return command(
        {
            0x0002: sop_class.encode(),
            0x0100: b"\x01\x00",
            0x0110: struct.pack("<H", message_id),
            0x0700: b"\x00\x00",
            0x0800: b"\x01\x00",
            0x1000: sop_instance.encode(),
        }
    )


def c_echo_rq() -> bytes:
    return command(
        {
            0x0002: b"1.2.840.10008.1.1",
            0x0100: b"\x30\x00",
            0x0110: b"\x07\x00",
            0x0800: b"\x01\x01",
        }
    )


class Raw:
    """A connection that proposes an association; `answer` is the PDU received for it."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[Context] = (("1.2.840.10008.1.1", (IMPLICIT,)),),
        *,
        called: bytes = b"BURNISH".ljust(16),
        calling: bytes = b"RAW".ljust(16),
        maximum_length: int = 16384,
        user_items: bytes = b"",
        silent: bool = False,
        source: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._socket = socket.create_connection(
            ("127.0.0.1", port), timeout=300, source_address=(source, 0)
        )
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket)
        self.answer: Pdu | None = None
        if not silent:
            self.send(
                associate_rq(
                    contexts,
                    called=called,
                    calling=calling,
                    maximum_length=maximum_length,
                    user_items=user_items,
                )
            )
            self.answer = self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def receive(self) -> Pdu | None:
        """The next PDU; None if the connection was closed."""
        header = self._read(6)
        if header is None:
            return None
        kind, length = struct.unpack(">BxI", header)
        body = self._read(length)
        assert body is not None, "the connection ends inside a PDU"
        return Pdu(kind, body)

    @property
    def items(self) -> list[tuple[int, bytes]]:
        """The items of the A-ASSOCIATE-AC, followed by the sub-items of the user information."""
        assert self.answer is not None
        assert self.answer.kind == A_ASSOCIATE_AC, self.answer
        items = list(_items(self.answer.body[68:]))
        return items + [sub for kind, body in items if kind == 0x50 for sub in _items(body)]

    @property
    def accepted(self) -> dict[int, str]:
        """The transfer syntax of each accepted presentation context, by its ID."""
        return {
            body[0]: dict(_items(body[4:]))[0x40].decode()
            for kind, body in self.items
            if kind == 0x21 and body[2] == 0
        }

    @property
    def results(self) -> dict[int, int]:
        """The result of each presentation context (PS3.8 Table 9-18), by its ID."""
        return {body[0]: body[2] for kind, body in self.items if kind == 0x21}

    @property
    def maximum_length(self) -> int:
        return int.from_bytes(dict(self.items)[0x51], "big")

    def release(self) -> None:
        self.send(pdu(A_RELEASE_RQ, bytes(4)))
        answer = self.receive()
        assert answer is not None
        assert answer.kind == A_RELEASE_RP, answer

    def send_values(self, values: Iterable[bytes]) -> None:
        """Sends each PDV in a separate P-DATA-TF."""
        self.send(b"".join(pdu(P_DATA_TF, value) for value in values))

    def response(self) -> dict[int, bytes]:
        """The command set of the next message, which must have no data set."""
        received = b""
        while True:
            answer = self.receive()
            assert answer is not None, "the connection was closed"
            assert answer.kind == P_DATA_TF, answer
            body = answer.body
            while body:
                length, _, control = struct.unpack_from(">IBB", body)
                assert control & 1, "a data set"
                received += body[6 : 4 + length]
                body = body[4 + length :]
                if control & 2:
                    return _command(received)

    def status(self) -> tuple[int, str]:
        """Status and Error Comment of the next message."""
        answer = self.response()
        comment = answer.get(0x0902, b"").rstrip(b" ").decode("ascii")
        return int.from_bytes(answer[0x0900], "little"), comment

    def store(
        self,
        sop_class: str,
        sop_instance: str,
        data: bytes,
        *,
        context_id: int = 1,
        fragment: int = 4096,
    ) -> tuple[int, str]:
        """C-STORE of exactly these bytes: status and Error Comment."""
        self.send_values([pdv(context_id, 3, c_store_rq(sop_class, sop_instance))])
        self.send_values(fragments(context_id, data, fragment))
        return self.status()

    def _read(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                part = self._socket.recv(count - len(data))
            except ConnectionError:
                return None
            if not part:
                return None
            data += part
        return data


def admitted(port: int, **options: Any) -> Raw:
    """An association, as soon as it is accepted: a release frees its place after the answer."""

    def opened() -> Raw | None:
        raw = Raw(port, **options)
        if raw.answer is not None and raw.answer.kind == A_ASSOCIATE_AC:
            return raw
        raw.__exit__(None, None, None)
        return None

    return wait_until(opened, what="an accepted association")


def fragments(context_id: int, data: bytes, size: int) -> list[bytes]:
    """A data set in PDVs with so many bytes each."""
    starts = range(0, max(len(data), 1), size)
    last = starts[-1]
    return [
        pdv(context_id, 2 if start == last else 0, data[start : start + size]) for start in starts
    ]


def _items(data: bytes) -> Iterable[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _command(data: bytes) -> dict[int, bytes]:
    elements = {}
    while data:
        _, element, length = struct.unpack_from("<HHI", data)
        elements[element] = data[8 : 8 + length]
        data = data[8 + length :]
    return elements
