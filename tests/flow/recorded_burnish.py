"""`burnish` with a record of what it sends to other AEs.

It is run as a script, with the arguments of `burnish`. Each thing that a process sends for the
first time is one line of JSON in the file that RECORD_OF_DICOM names: a kind, and what belongs to
that kind.
"""

import fcntl
import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

#: The environment variable with the path of the record.
RECORD = "RECORD_OF_DICOM"
#: Data sets up to this size are taken apart.
_LARGEST_DATA_SET = 1 << 16
_A_ASSOCIATE_RQ, _A_ASSOCIATE_AC, _A_ASSOCIATE_RJ, _P_DATA_TF, _A_ABORT = 1, 2, 3, 4, 7
_UNDEFINED = 0xFFFFFFFF

Parts = tuple[object, ...]


class Record:
    """The file of one process, which its forks write on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: set[Parts] = set()

    def note(self, *parts: object) -> None:
        """One line, if this process has not written it yet. It stays if the process is killed."""
        if parts in self._known:
            return
        self._known.add(parts)
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, json.dumps(parts).encode() + b"\n")
        finally:
            os.close(descriptor)


class Sent:
    """What one association has sent, PDU by PDU; `role` is that of Burnish in it."""

    def __init__(self, record: Record, role: str) -> None:
        self._record = record
        self._role = role
        #: Abstract syntax and transfer syntax by presentation context.
        self.contexts: dict[int, tuple[str, str]] = {}
        self._command = bytearray()
        self._data = bytearray()
        self._operation = 0

    def take(self, data: bytes | memoryview) -> None:
        """Whole PDUs."""
        data = bytes(data)
        start = 0
        while start < len(data):
            kind = data[start]
            end = start + 6 + int.from_bytes(data[start + 2 : start + 6], "big")
            self._pdu(kind, data[start + 6 : end])
            start = end

    def _pdu(self, kind: int, body: bytes) -> None:
        if kind == _A_ASSOCIATE_RJ:
            self._record.note("rejection", *body[1:4])
        elif kind == _A_ABORT:
            self._record.note("abort", self._role, *body[2:4])
        elif kind == _P_DATA_TF:
            start = 0
            while start < len(body):
                end = start + 4 + int.from_bytes(body[start : start + 4], "big")
                self._value(body[start + 4], body[start + 5], body[start + 6 : end])
                start = end

    def _value(self, context_id: int, control: int, value: bytes) -> None:
        """A presentation data value: bit 0 of `control` is command, bit 1 is last."""
        is_last = bool(control & 2)
        abstract_syntax, transfer_syntax = self.contexts.get(context_id, ("", ""))
        if control & 1:
            self._command += value
            if is_last:
                self._take_command(abstract_syntax)
        elif len(self._data) < _LARGEST_DATA_SET:
            self._data += value
            if is_last and len(self._data) < _LARGEST_DATA_SET:
                self._take_data_set(abstract_syntax, transfer_syntax)

    def _take_command(self, abstract_syntax: str) -> None:
        from burnish.scp import messages

        command = messages.Command.decode(bytes(self._command))
        self._command.clear()
        self._data.clear()
        self._operation = command.number(messages.COMMAND_FIELD)
        if self._operation & messages.RESPONSE:
            status = command.number(messages.STATUS)
            operation = self._operation & ~messages.RESPONSE
            self._record.note("response", self._role, abstract_syntax, operation, status)
        else:
            self._record.note("request", self._role, abstract_syntax, self._operation)

    def _take_data_set(self, abstract_syntax: str, transfer_syntax: str) -> None:
        from burnish.scp import messages

        normalized = (messages.N_GET_RQ, messages.N_CREATE_RQ, messages.N_ACTION_RQ)
        told = (messages.N_EVENT_REPORT_RQ, *(messages.RESPONSE | field for field in normalized))
        if self._operation in told:
            for parts in _elements(bytes(self._data), transfer_syntax):
                self._record.note("element", abstract_syntax, self._operation, *parts)
        self._data.clear()


def _elements(data: bytes, transfer_syntax: str) -> list[Parts]:
    """The path of each element, with the values of those whose terms a statement lists."""
    from io import BytesIO

    from pydicom.dataset import Dataset
    from pydicom.filereader import read_dataset

    terms = {"ExecutionStatus", "ExecutionStatusInfo", "FailureReason"}

    def walk(data_set: Dataset, path: str) -> list[Parts]:
        result: list[Parts] = []
        for element in data_set:
            here = f"{path}{int(element.tag):08X}"
            if element.VR == "SQ":
                result.append((here, None))
                for item in element.value:
                    result += walk(item, f"{here}.")
            elif element.keyword in terms:
                result.append((here, element.value))
            else:
                result.append((here, None))
        return result

    is_implicit = transfer_syntax == "1.2.840.10008.1.2"
    is_little_endian = transfer_syntax != "1.2.840.10008.1.2.2"
    return walk(read_dataset(BytesIO(data), is_implicit, is_little_endian), "")


def _note_association(record: Record, body: bytes, answer: Any) -> None:
    """What an A-ASSOCIATE-AC answers to each presentation context and negotiation item."""
    from burnish.scp.associate_pdus import COMMON_EXTENDED, decode_associate_rq, read_field

    request = decode_associate_rq(body)
    announced: dict[str, str] = {}
    for item_type, value in request.user_items:
        if item_type == COMMON_EXTENDED:
            sop_class, end = read_field(value, 0)
            service_class, _ = read_field(value, end)
            announced[_uid(sop_class)] = _uid(service_class)
    proposed = {context.context_id: context.abstract_syntax for context in request.contexts}
    at = 74
    while at < len(answer.pdu):
        item_type, length = answer.pdu[at], int.from_bytes(answer.pdu[at + 2 : at + 4], "big")
        value = answer.pdu[at + 4 : at + 4 + length]
        if item_type == 0x21:
            abstract_syntax = proposed.get(value[0], "")
            transfer_syntax = _uid(value[8:])
            service_class = announced.get(abstract_syntax, "")
            record.note("context", abstract_syntax, transfer_syntax, value[2], service_class)
        elif item_type == 0x50:
            _note_user_items(record, value)
        at += 4 + length


def _uid(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii", "replace")


def _note_user_items(record: Record, value: bytes) -> None:
    start = 0
    while start < len(value):
        end = start + 4 + int.from_bytes(value[start + 2 : start + 4], "big")
        kind, content = value[start], value[start + 4 : end]
        if kind in {0x54, 0x56}:  # role selection, extended negotiation: a UID and what it is for
            length = int.from_bytes(content[:2], "big")
            uid, content = content[2 : 2 + length].decode(), content[2 + length :]
            record.note("negotiated", kind, uid, content.hex())
        else:
            record.note("negotiated", kind, "", content.hex() if kind == 0x51 else "")
        start = end


def install(path: str) -> None:
    """Have everything noted that this process and its forks send to other AEs."""
    from pynetdicom.pdu import A_ASSOCIATE_RQ
    from pynetdicom.transport import AssociationSocket

    from burnish.scp.negotiation import Negotiator, Rejection
    from burnish.scp.stream import Stream

    record = Record(path)
    contexts_of: dict[bytes, dict[int, tuple[str, str]]] = {}
    sent: dict[object, Sent] = {}

    def answer(
        negotiator: Negotiator, body: bytes, caller: Any, *, original: Callable[..., Any]
    ) -> Any:
        result = original(negotiator, body, caller)
        if not isinstance(result, Rejection):
            _note_association(record, body, result)
            contexts_of[result.pdu] = {
                context_id: (context.abstract_syntax, context.transfer_syntax)
                for context_id, context in result.contexts.items()
            }
        return result

    def send(stream: Stream, data: bytes, *, original: Callable[..., Any]) -> Any:
        association = sent.setdefault(stream, Sent(record, "acceptor"))
        if data[:1] == bytes([_A_ASSOCIATE_AC]):
            association.contexts = contexts_of.pop(bytes(data), {})
        association.take(data)
        return original(stream, data)

    def close(stream: Stream, *, original: Callable[..., Any]) -> Any:
        sent.pop(stream, None)
        return original(stream)

    def request(connection: Any, data: bytes, *, original: Callable[..., Any]) -> Any:
        association = connection.assoc
        if id(association) not in sent:
            sent[id(association)] = Sent(record, "requestor")
        if data[:1] == bytes([_A_ASSOCIATE_RQ]):
            sent[id(association)] = Sent(record, "requestor")
            pdu = A_ASSOCIATE_RQ()
            pdu.decode(data)
            for context in pdu.presentation_context:
                syntaxes = tuple(str(uid) for uid in context.transfer_syntax)
                record.note("proposed", str(context.abstract_syntax), syntaxes)
            for role in pdu.user_information.role_selection.values():
                record.note("proposed role", str(role.sop_class_uid), role.scu_role, role.scp_role)
        else:
            sent[id(association)].contexts = {
                context.context_id: (str(context.abstract_syntax), str(context.transfer_syntax[0]))
                for context in association.accepted_contexts
            }
            sent[id(association)].take(data)
        return original(connection, data)

    for owner, name, wrapper in (
        (Negotiator, "answer", answer),
        (Stream, "send", send),
        (Stream, "send_last", send),
        (Stream, "interrupt", send),
        (Stream, "close", close),
        (AssociationSocket, "send", request),
    ):
        setattr(owner, name, _wrapped(getattr(owner, name), wrapper))


def _wrapped(original: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*arguments: Any) -> Any:
        return wrapper(*arguments, original=original)

    return call


if __name__ == "__main__":
    install(os.environ[RECORD])
    sys.argv[0] = "burnish"
    from burnish.cli import main

    main()
