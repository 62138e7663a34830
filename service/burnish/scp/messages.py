"""Surface: DIMSE messages as bytes: command sets and fragments (PS3.7 6.3, PS3.8 9.3.5)."""

import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping

from burnish.errors import Malformed

#: Command Field (0000,0100) of the requests that Burnish answers or sends (PS3.7 E.1).
C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
N_EVENT_REPORT_RQ = 0x0100
N_GET_RQ = 0x0110
N_ACTION_RQ = 0x0130
N_CREATE_RQ = 0x0140
#: The Command Field of a response is that of its request with this bit set.
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
EVENT_TYPE_ID = 0x1002
ATTRIBUTE_IDENTIFIER_LIST = 0x1005
ACTION_TYPE_ID = 0x1008

#: Command Data Set Type of a message without a data set, and of one with a data set.
NO_DATA_SET = 0x0101
_DATA_SET = 0x0001
#: The maximum length of a P-DATA-TF for a peer that sets no limit, in bytes.
_DEFAULT_MAXIMUM_LENGTH = 131072
#: Bytes of a data set in pieces that are sent at a time.
_SENT_AT_A_TIME = 1 << 16
#: The header of a PDV item (length, context id, control header) counts as part of the maximum.
_PDV_HEADER_LENGTH = 6

_ELEMENT_HEADER = struct.Struct("<HHI")
_US_ELEMENT = struct.Struct("<HHIH")
_GROUP_LENGTH_ELEMENT = struct.Struct("<HHII")
_P_DATA_HEADER = struct.Struct(">BBIIBB")
_P_DATA_TF = 0x04
#: Message control header (PS3.8 E.2).
_IS_COMMAND, _IS_LAST = 1, 2


class Command(dict[int, bytes]):
    """A command set: the values of group 0000 by element number."""

    @classmethod
    def decode(cls, data: bytes) -> "Command":
        """Reads a command set, which is in Implicit VR Little Endian; raises Malformed."""
        command = cls()
        offset = 0
        try:
            while offset < len(data):
                group, element, length = _ELEMENT_HEADER.unpack_from(data, offset)
                start = offset + _ELEMENT_HEADER.size
                offset = start + length
                if group != 0 or offset > len(data):
                    raise Malformed("the command set has an element it cannot have")
                command[element] = data[start:offset]
        except struct.error:
            raise Malformed("the command set ends inside an element") from None
        command.number(COMMAND_FIELD)
        return command

    def number(self, element: int) -> int:
        """The value of a US element; raises Malformed if it is absent."""
        value = self.get(element, b"")
        if len(value) != 2:
            raise Malformed(f"the command set lacks (0000,{element:04X})")
        return int.from_bytes(value, "little")

    def text(self, element: int) -> str:
        """The value of a UI or AE element without its padding, "" if it is absent."""
        return text_of(self.get(element, b""))

    @property
    def has_data_set(self) -> bool:
        return self.number(COMMAND_DATA_SET_TYPE) != NO_DATA_SET


def text_of(value: bytes) -> str:
    """The value of a UI or AE element as text, without its padding."""
    return value.rstrip(b"\0 ").decode("ascii", "replace")


class StoreForm:
    """The parts that the C-STORE-RQs and the responses of one association have in common.

    As a rule, Message ID and Affected SOP Instance UID are all that differs: they are passed here
    as the bytes of their values. To compare the other bytes instead of decoding and checking them,
    and to have the response ready, takes 7 us less of the CPU time for an instance of 10 KB.
    """

    def __init__(self, data: bytes, request: Command) -> None:
        """The form of a request; raises Malformed if it is no usual one."""
        offsets = _value_offsets(data)
        uid_length = len(request.get(AFFECTED_SOP_INSTANCE_UID, b""))
        is_store = request.number(COMMAND_FIELD) == C_STORE_RQ and request.has_data_set
        if not is_store or not uid_length or uid_length % 2:
            raise Malformed("not a usual C-STORE-RQ")
        request.number(MESSAGE_ID)
        before = offsets[MESSAGE_ID]
        between = offsets[AFFECTED_SOP_INSTANCE_UID] - before - 2
        after = len(data) - before - 2 - between - uid_length
        if between < 0:
            raise Malformed("the elements of the command set are not in order")
        self._layout = struct.Struct(f"{before}s2s{between}s{uid_length}s{after}s")
        self._common = self._layout.unpack(data)[::2]
        self._values = dict(request)
        self._response = (b"", b"")
        self._response_is_for = (-1, -1)

    def identify(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Message ID and Affected SOP Instance UID of a request, if it has this form."""
        if len(data) != self._layout.size:
            return None
        before, message_id, between, sop_instance_uid, after = self._layout.unpack(data)
        if (before, between, after) != self._common:
            return None
        return message_id, sop_instance_uid

    def in_pdus(self, context_id: int) -> "StorePDUs":
        """The PDUs of requests of this form in one presentation context."""
        before, between, after = self._common
        length = self._layout.size
        header = _P_DATA_HEADER.pack(
            _P_DATA_TF, 0, length + 6, length + 2, context_id, _IS_COMMAND | _IS_LAST
        )
        uid_length = length - len(before) - 2 - len(between) - len(after)
        return StorePDUs(header + before, between, after + bytes((_P_DATA_TF, 0)), uid_length)

    def command(self, message_id: bytes, sop_instance_uid: bytes) -> Command:
        """The command set of a request of this form."""
        command = Command(self._values)
        command[MESSAGE_ID] = message_id
        command[AFFECTED_SOP_INSTANCE_UID] = sop_instance_uid
        return command

    def success(
        self, message_id: bytes, sop_instance_uid: bytes, context_id: int, maximum_length: int
    ) -> bytes:
        """The PDUs of the response that a request of this form has succeeded."""
        if self._response_is_for != (context_id, maximum_length):
            request = self.command(message_id, sop_instance_uid)
            pdus = p_data(context_id, response(request, 0), b"", maximum_length)
            if 0 < maximum_length < len(pdus):
                return pdus  # it may be in several fragments
            element = _us_element(MESSAGE_ID_BEING_RESPONDED_TO, request.number(MESSAGE_ID))
            start = pdus.index(element) + len(element) - 2
            self._response = pdus[:start], pdus[start + 2 : -len(sop_instance_uid)]
            self._response_is_for = context_id, maximum_length
        before, between = self._response
        return b"".join((before, message_id, between, sop_instance_uid))


class StorePDUs:
    """The P-DATA-TF PDUs of C-STORE-RQs of one form whose data set is one fragment.

    The command set is alone in the first PDU. All that precedes the data set has `size` bytes: it
    is unpacked and compared at once.
    """

    def __init__(self, before: bytes, between: bytes, after: bytes, uid_length: int) -> None:
        """`before`, `between`, `after`: what all have around Message ID and SOP Instance UID."""
        self._layout = struct.Struct(
            f">{len(before)}s2s{len(between)}s{uid_length}s{len(after)}sIIBB"
        )
        self.size = self._layout.size
        self._common = before, between, after
        self._command_layout = struct.Struct(
            f">{len(before)}s2x{len(between)}s{uid_length}x{len(after) - 2}s"
        )
        #: The bytes of the first PDU.
        self.command_size = self._command_layout.size
        self._common_of_commands = before, between, after[:-2]
        self._context_id = before[_P_DATA_HEADER.size - 2]

    def is_command(self, buffer: bytes | bytearray | mmap.mmap, start: int) -> bool:
        """Whether the first PDU of such a request begins at `start`, so that a data set follows."""
        return self._command_layout.unpack_from(buffer, start) == self._common_of_commands

    def identify(
        self, buffer: bytes | bytearray | mmap.mmap, start: int
    ) -> tuple[bytes, bytes, int] | None:
        """Message ID, Affected SOP Instance UID, and the length of the data set.

        None if other PDUs begin at `start`, or the data set has several fragments.
        """
        before, message_id, between, uid, after, pdu_length, length, context_id, control = (
            self._layout.unpack_from(buffer, start)
        )
        if (before, between, after) != self._common:
            return None
        if control != _IS_LAST or context_id != self._context_id:
            return None
        if length != pdu_length - 4 or length < 2:
            return None
        return message_id, uid, length - 2


def _value_offsets(data: bytes) -> dict[int, int]:
    """Where the value of each element of a command set is."""
    offsets = {}
    offset = 0
    while offset < len(data):
        _, element, length = _ELEMENT_HEADER.unpack_from(data, offset)
        offset += _ELEMENT_HEADER.size
        offsets[element] = offset
        offset += length
    return offsets


def encode(elements: Mapping[int, bytes]) -> bytes:
    """A command set with its group length, from values by element number."""
    return _with_group_length(
        b"".join([_element(element, elements[element]) for element in sorted(elements)])
    )


def _with_group_length(elements: bytes) -> bytes:
    return _GROUP_LENGTH_ELEMENT.pack(0, 0, 4, len(elements)) + elements


def _element(element: int, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0"
    return _ELEMENT_HEADER.pack(0, element, len(value)) + value


def _us_element(element: int, value: int) -> bytes:
    return _US_ELEMENT.pack(0, element, 2, value)


def response(
    request: Command,
    status: int,
    *,
    comment: str = "",
    has_data_set: bool = False,
    sop_instance: str = "",
) -> bytes:
    """The command set of the response to `request` (PS3.7 E.1).

    `sop_instance` is the Affected SOP Instance UID if it is not that of the request.
    """
    sop_class_uid = request.get(AFFECTED_SOP_CLASS_UID) or request.get(REQUESTED_SOP_CLASS_UID)
    sop_instance_uid = (
        sop_instance.encode()
        or request.get(AFFECTED_SOP_INSTANCE_UID)
        or request.get(REQUESTED_SOP_INSTANCE_UID)
    )
    elements = []
    if sop_class_uid:
        elements.append(_element(AFFECTED_SOP_CLASS_UID, sop_class_uid))
    elements.append(_us_element(COMMAND_FIELD, request.number(COMMAND_FIELD) | RESPONSE))
    elements.append(_us_element(MESSAGE_ID_BEING_RESPONDED_TO, request.number(MESSAGE_ID)))
    elements.append(_us_element(COMMAND_DATA_SET_TYPE, _DATA_SET if has_data_set else NO_DATA_SET))
    elements.append(_us_element(STATUS, status))
    if comment:
        elements.append(_element(ERROR_COMMENT, _error_comment(comment)))
    if sop_instance_uid:
        elements.append(_element(AFFECTED_SOP_INSTANCE_UID, sop_instance_uid))
    if status == 0 and ACTION_TYPE_ID in request:
        elements.append(_element(ACTION_TYPE_ID, request[ACTION_TYPE_ID]))
    return _with_group_length(b"".join(elements))


def _error_comment(text: str) -> bytes:
    """Error Comment (0000,0902) is LO: up to 64 characters, no backslash, no control character."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    value = printable.replace("\\", "/").encode("ascii", "replace")[:64]
    return value + b" " * (len(value) % 2)


def event_report(sop_class: str, sop_instance: str, message_id: int, event_type: int) -> bytes:
    """The command set of an N-EVENT-REPORT-RQ with a data set (PS3.7 10.3.1)."""
    return _with_group_length(
        _element(AFFECTED_SOP_CLASS_UID, sop_class.encode())
        + _us_element(COMMAND_FIELD, N_EVENT_REPORT_RQ)
        + _us_element(MESSAGE_ID, message_id)
        + _us_element(COMMAND_DATA_SET_TYPE, _DATA_SET)
        + _element(AFFECTED_SOP_INSTANCE_UID, sop_instance.encode())
        + _us_element(EVENT_TYPE_ID, event_type)
    )


def p_data_of_pieces(
    context_id: int, command: bytes, pieces: Iterable[bytes], maximum_length: int
) -> Iterator[bytes]:
    """The same as `p_data` for a data set that comes in pieces: some PDUs at a time.

    The pieces must not all be empty.
    """
    maximum_fragment = (maximum_length or _DEFAULT_MAXIMUM_LENGTH) - _PDV_HEADER_LENGTH
    sent = b"".join(_fragments(context_id, command, _IS_COMMAND, maximum_fragment))
    data = bytearray()
    for piece in pieces:
        data += piece
        # the last fragment is marked, so something is left for it
        while len(data) > max(maximum_fragment, _SENT_AT_A_TIME):
            count = max(1, _SENT_AT_A_TIME // maximum_fragment) * maximum_fragment
            head, data = bytes(data[:count]), data[count:]
            yield sent + b"".join(
                _fragments(context_id, head, 0, maximum_fragment, ends_message=False)
            )
            sent = b""
    yield sent + b"".join(_fragments(context_id, bytes(data), 0, maximum_fragment))


def p_data(context_id: int, command: bytes, data_set: bytes, maximum_length: int) -> bytes:
    """The P-DATA-TF PDUs of one message, each within the maximum length of the peer.

    PS3.8 9.3.5 and D.1; a maximum length of 0 is no limit.
    """
    maximum_fragment = (maximum_length or _DEFAULT_MAXIMUM_LENGTH) - _PDV_HEADER_LENGTH
    pdus = [
        *_fragments(context_id, command, _IS_COMMAND, maximum_fragment),
        *_fragments(context_id, data_set, 0, maximum_fragment),
    ]
    return b"".join(pdus)


def _fragments(
    context_id: int,
    data: bytes,
    message_type: int,
    maximum_fragment: int,
    *,
    ends_message: bool = True,
) -> Iterator[bytes]:
    for start in range(0, len(data), maximum_fragment):
        fragment = data[start : start + maximum_fragment]
        is_last = ends_message and start + maximum_fragment >= len(data)
        control = message_type | (_IS_LAST if is_last else 0)
        length = len(fragment)
        header = _P_DATA_HEADER.pack(_P_DATA_TF, 0, length + 6, length + 2, context_id, control)
        yield header + fragment
