"""An association requestor made of bytes: PDUs of PS3.8 9.3, right ones and wrong ones."""

import struct
from collections.abc import Mapping, Sequence

from burnish.scp import messages
from burnish.vocabulary import VERIFICATION

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
RELEASE = struct.pack(">BBII", 5, 0, 4, 0)
ABORT = struct.pack(">BBIBBBB", 7, 0, 4, 0, 0, 0, 0)


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def context(number: int, abstract: str, *transfer: str) -> bytes:
    syntaxes = b"".join(item(0x40, uid.encode()) for uid in transfer)
    return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract.encode()) + syntaxes)


def associate_rq(
    *contexts: bytes,
    called: bytes = b"BURNISH",
    calling: bytes = b"PEER",
    application_context: str = "1.2.840.10008.3.1.1.1",
    maximum_length: int = 16384,
    more: bytes = b"",
) -> bytes:
    user = item(0x51, struct.pack(">I", maximum_length)) + item(0x52, b"1.2.3") + more
    body = (
        struct.pack(">HH", 1, 0)
        + called.ljust(16)
        + calling.ljust(16)
        + bytes(32)
        + item(0x10, application_context.encode())
        + b"".join(contexts or (context(1, VERIFICATION, IMPLICIT),))
        + item(0x50, user)
    )
    return struct.pack(">BBI", 1, 0, len(body)) + body


def role(uid: str, scu: int, scp: int) -> bytes:
    return item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes((scu, scp)))


def pdv(number: int, control: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, number, control) + data


def p_data(*pdvs: bytes) -> bytes:
    body = b"".join(pdvs)
    return struct.pack(">BBI", 4, 0, len(body)) + body


def command(
    field: int = messages.C_ECHO_RQ,
    sop_class: str = VERIFICATION,
    *,
    data_set: bool = False,
    message_id: int = 1,
    more: Mapping[int, bytes] | None = None,
    without: Sequence[int] = (),
) -> bytes:
    elements = {
        messages.AFFECTED_SOP_CLASS_UID: sop_class.encode(),
        messages.COMMAND_FIELD: struct.pack("<H", field),
        messages.MESSAGE_ID: struct.pack("<H", message_id),
        messages.COMMAND_DATA_SET_TYPE: b"\0\0" if data_set else b"\x01\x01",
        **(more or {}),
    }
    return messages.encode({e: v for e, v in elements.items() if e not in without})
