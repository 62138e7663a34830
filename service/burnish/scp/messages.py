"""Surface: DIMSE messages as bytes: command sets and fragments (PS3.7 6.3, PS3.8 9.3.5)."""

import struct
from collections.abc import Iterator, Mapping

from burnish.errors import Malformed

#: Command Field (0000,0100) of the requests this service answers or makes (PS3.7 E.1).
C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
N_EVENT_REPORT_RQ = 0x0100
N_GET_RQ = 0x0110
N_ACTION_RQ = 0x0130
N_CREATE_RQ = 0x0140
#: A response has its request's Command Field with this bit.
RESPONSE = 0x8000

# Element numbers of the command group (PS3.7 E.1).
AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
ATTRIBUTE_IDENTIFIER_LIST = 0x1005
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008

#: Command Data Set Type of a message that has no data set.
NO_DATA_SET = 0x0101
_DATA_SET = 0x0001
#: The most bytes of a data set in one P-DATA-TF where the peer sets no limit.
_UNLIMITED = 131072


class Command(dict[int, bytes]):
    """A command set: element number → value, of group 0000."""

    @classmethod
    def decode(cls, data: bytes) -> "Command":
        """Parses a command set, Implicit VR Little Endian; raises Malformed."""
        command = cls()
        offset, end = 0, len(data)
        try:
            while offset < end:
                group, element, length = _HEADER(data, offset)
                start = offset + 8
                offset = start + length
                if group or offset > end:
                    raise Malformed("the command set has an element it cannot have")
                command[element] = data[start:offset]
        except struct.error:
            raise Malformed("the command set ends inside an element") from None
        command.number(COMMAND_FIELD)
        return command

    def number(self, element: int) -> int:
        """The value of a US element; raises Malformed where there is none."""
        value = self.get(element, b"")
        if len(value) != 2:
            raise Malformed(f"the command set lacks (0000,{element:04X})")
        return value[0] | value[1] << 8

    def text(self, element: int) -> str:
        """The value of a UI or AE element without its padding, "" where there is none."""
        return self.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace")

    @property
    def has_data_set(self) -> bool:
        return self.number(COMMAND_DATA_SET_TYPE) != NO_DATA_SET


_HEADER = struct.Struct("<HHI").unpack_from
_ELEMENT = struct.Struct("<HHI").pack
_GROUP_LENGTH = struct.Struct("<HHII").pack
#: The four elements that every response has, which follow one another.
_RESPONSE = struct.Struct("<" + 4 * "HHIH").pack
_P_DATA = struct.Struct(">BBIIBB").pack


def encode(elements: Mapping[int, bytes]) -> bytes:
    """A command set from element number → value, with its group length."""
    body = b"".join([_element(element, elements[element]) for element in sorted(elements)])
    return _GROUP_LENGTH(0, 0, 4, len(body)) + body


def _element(element: int, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0"
    return _ELEMENT(0, element, len(value)) + value


def response(
    request: Command, status: int, *, comment: str = "", data_set: bool = False, **uids: str
) -> bytes:
    """The command set that answers `request` (PS3.7 E.1).

    `uids` may give `sop_class` and `sop_instance` where they are not those of the request.
    """
    sop_class = request.get(AFFECTED_SOP_CLASS_UID) or request.get(REQUESTED_SOP_CLASS_UID, b"")
    sop_instance = request.get(AFFECTED_SOP_INSTANCE_UID) or request.get(
        REQUESTED_SOP_INSTANCE_UID, b""
    )
    if "sop_instance" in uids:
        sop_instance = uids["sop_instance"].encode()
    acted = request.get(ACTION_TYPE_ID, b"") if status == 0 else b""
    body = b"".join(
        (
            _element(AFFECTED_SOP_CLASS_UID, sop_class) if sop_class else b"",
            _RESPONSE(
                *(0, COMMAND_FIELD, 2, request.number(COMMAND_FIELD) | RESPONSE),
                *(0, MESSAGE_ID_BEING_RESPONDED_TO, 2, request.number(MESSAGE_ID)),
                *(0, COMMAND_DATA_SET_TYPE, 2, _DATA_SET if data_set else NO_DATA_SET),
                *(0, STATUS, 2, status),
            ),
            _element(ERROR_COMMENT, _comment(comment)) if comment else b"",
            _element(AFFECTED_SOP_INSTANCE_UID, sop_instance) if sop_instance else b"",
            _element(ACTION_TYPE_ID, acted) if acted else b"",
        )
    )
    return _GROUP_LENGTH(0, 0, 4, len(body)) + body


def event_report(sop_class: str, sop_instance: str, message_id: int, event_type: int) -> bytes:
    """The command set of an N-EVENT-REPORT-RQ with a data set (PS3.7 10.3.1)."""
    return encode(
        {
            AFFECTED_SOP_CLASS_UID: sop_class.encode(),
            COMMAND_FIELD: _us(N_EVENT_REPORT_RQ),
            MESSAGE_ID: _us(message_id),
            COMMAND_DATA_SET_TYPE: _us(_DATA_SET),
            AFFECTED_SOP_INSTANCE_UID: sop_instance.encode(),
            EVENT_TYPE_ID: _us(event_type),
        }
    )


def p_data(context_id: int, command: bytes, data_set: bytes, maximum_length: int) -> bytes:
    """The P-DATA-TF PDUs of one message, each within what the peer takes (PS3.8 9.3.5, D.1)."""
    limit = (maximum_length or _UNLIMITED) - 6
    if not data_set and len(command) <= limit:
        length = len(command)
        return _P_DATA(4, 0, length + 6, length + 2, context_id, 3) + command
    return b"".join(
        (*_fragments(context_id, command, 1, limit), *_fragments(context_id, data_set, 0, limit))
    )


def _fragments(context_id: int, data: bytes, kind: int, limit: int) -> Iterator[bytes]:
    for start in range(0, len(data), limit):
        part = data[start : start + limit]
        control = kind | (2 if start + limit >= len(data) else 0)
        yield _P_DATA(4, 0, len(part) + 6, len(part) + 2, context_id, control) + part


def _us(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _comment(text: str) -> bytes:
    """Error Comment (0000,0902) is LO: 64 characters, no backslash."""
    value = text.replace("\\", "/").encode("ascii", "replace")[:64]
    return value + b" " * (len(value) % 2)
