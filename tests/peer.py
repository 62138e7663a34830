"""The PDUs of an association requestor as bytes (PS3.8 9.3), valid and invalid."""

import struct
from collections.abc import Mapping, Sequence

from burnish.scp import messages
from burnish.vocabulary import VERIFICATION

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
RELEASE = struct.pack(">BBII", 5, 0, 4, 0)
ABORT = struct.pack(">BBIBBBB", 7, 0, 4, 0, 0, 0, 0)


def item(item_type: int, value: bytes) -> bytes:
    return struct.pack(">BBH", item_type, 0, len(value)) + value


def context(context_id: int, abstract_syntax: str, *transfer_syntaxes: str) -> bytes:
    """A proposed presentation context."""
    abstract_item = item(0x30, abstract_syntax.encode())
    transfer_items = b"".join(item(0x40, uid.encode()) for uid in transfer_syntaxes)
    return item(0x20, bytes((context_id, 0, 0, 0)) + abstract_item + transfer_items)


def associate_rq(
    *contexts: bytes,
    called: bytes = b"BURNISH",
    calling: bytes = b"PEER",
    application_context: str = "1.2.840.10008.3.1.1.1",
    maximum_length: int = 16384,
    more: bytes = b"",
) -> bytes:
    """An A-ASSOCIATE-RQ; `more` are further sub-items of its user information."""
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


def role(sop_class_uid: str, scu: int, scp: int) -> bytes:
    """A sub-item of SCP/SCU role selection."""
    length = struct.pack(">H", len(sop_class_uid))
    return item(0x54, length + sop_class_uid.encode() + bytes((scu, scp)))


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    """A PDV item; bit 0 of `control` is a command set, bit 1 the last fragment."""
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


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
    """A command set; `more` are further or other elements, `without` are elements left out."""
    elements = {
        messages.AFFECTED_SOP_CLASS_UID: sop_class.encode(),
        messages.COMMAND_FIELD: struct.pack("<H", field),
        messages.MESSAGE_ID: struct.pack("<H", message_id),
        messages.COMMAND_DATA_SET_TYPE: b"\0\0" if data_set else b"\x01\x01",
        **(more or {}),
    }
    for element in without:
        elements.pop(element, None)
    return messages.encode(elements)
