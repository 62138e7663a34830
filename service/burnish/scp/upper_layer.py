"""Surface: one association from its first byte to its last (PS3.8 9), served in one thread.

P-DATA is read in place in one buffer, from which C-STORE data sets go straight into the receive
stage. The thread sleeps in the kernel whenever the peer is silent.
"""

import socket
import ssl
import struct
from abc import abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Protocol

from burnish.access.peers import Caller
from burnish.access.tls import peer_certificate
from burnish.errors import BurnishError, Malformed
from burnish.scp import messages
from burnish.scp.messages import Command, StoreForm, StorePDUs
from burnish.scp.negotiation import Acceptance, Context, Rejection
from burnish.scp.pending_reports import SILENCE, PendingReport, PendingReports
from burnish.scp.stream import SHORT_READ, PeerEndedError, Stream

# PDU types (PS3.8 9.3).
A_ASSOCIATE_RQ, P_DATA_TF, A_RELEASE_RQ, A_ABORT = 1, 4, 5, 7
_PDU_TYPES = range(1, 8)
_PDU_HEADER = struct.Struct(">BBI")
_PDV_HEADER = struct.Struct(">IBB")
_A_RELEASE_RP = struct.pack(">BBII", 6, 0, 4, 0)
# Reasons of an A-ABORT of the service provider (PS3.8 Table 9-26).
REASON_NOT_SPECIFIED, UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PDU_PARAMETER = 0, 1, 2, 6
#: The first byte of a TLS handshake (RFC 8446 5.1). No PDU has that type.
_TLS_HANDSHAKE = 22

# Limits in bytes, for peers that send nonsense.
_MINIMUM_ASSOCIATE_RQ, MAXIMUM_ASSOCIATE_RQ = 68, 1 << 20
MAXIMUM_COMMAND_SET = 1 << 16
MAXIMUM_DIMSE_N_DATA_SET = 1 << 26
#: Fragments of so many bytes go from the socket straight into the memory of the instance: for
#: instances of 525 KB from four peers, that is a tenth less CPU.
_LONG_FRAGMENT = 32 * 1024


class ProtocolViolationError(Exception):
    """The peer has violated PS3.8; it gets an A-ABORT with `reason`."""

    def __init__(self, reason: int, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class ResponseFailedError(Exception):
    """A response was begun and cannot be completed; the peer gets an A-ABORT."""


class NotEstablishedError(Exception):
    """There is no association, for the reason that the message gives; `event` is its log event."""

    def __init__(self, event: str, why: str) -> None:
        super().__init__(why)
        self.event = event


class DataSetSink(Protocol):
    """Takes the data set of one message as it arrives, then responds."""

    def write(self, fragment: memoryview) -> None:
        """Takes the next bytes of the data set."""

    def room(self) -> memoryview | None:
        """Where the next bytes can be received instead; then `received` tells how many there were.

        None if the sink wants them by `write`.
        """

    def received(self, count: int) -> None:
        """So many bytes have been put into `room`."""

    def finish(self) -> bytes | Iterable[bytes]:
        """The response as P-DATA-TF PDUs, after the last byte of the data set.

        A long response comes some PDUs at a time. It raises BurnishError if it cannot be completed.
        """

    def abandon(self) -> None:
        """The association has ended before the data set."""


class StoreSink(DataSetSink):
    """The sink of C-STORE-RQs of one form, one after the other.

    To begin it again instead of dispatching each of them takes 2 us less of the CPU time for an
    instance of 10 KB.
    """

    @abstractmethod
    def begin(self, form: StoreForm, message_id: bytes, sop_instance_uid: bytes) -> None:
        """Begins with the next request, once the one before was finished."""

    @abstractmethod
    def store(
        self, form: StoreForm, message_id: bytes, sop_instance_uid: bytes, data_set: memoryview
    ) -> bytes:
        """The response to the next request, whose data set is here as a whole.

        `data_set` has to be valid until this returns.
        """


#: Opens the sink for a request, whether or not it has a data set.
Dispatch = Callable[[Acceptance, int, Context, Command], DataSetSink]
#: Answers the body of an A-ASSOCIATE-RQ from a caller; raises Malformed.
Negotiate = Callable[[bytes, Caller], Acceptance | Rejection]


class Association:
    """One association in which Burnish is the acceptor.

    If `tls` is given, the connection begins with a TLS handshake. Until the association is
    accepted, the peer has `acse_timeout` seconds in all (ARTIM, PS3.8 9.1.5), and `accepted` is
    None. After that, each silence may last `idle_timeout` seconds.

    `before_release` is called before the response to a release is sent, so that the peer can
    request its next association as soon as it has the response.
    """

    def __init__(
        self,
        connection: socket.socket,
        caller: Caller,
        negotiate: Negotiate,
        dispatch: Dispatch,
        *,
        acse_timeout: float,
        idle_timeout: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.caller = caller
        self._stream = Stream(connection)
        self._stream.deadline = monotonic() + acse_timeout
        self._tls = tls
        self._negotiate = negotiate
        self._dispatch = dispatch
        self._idle_timeout = idle_timeout
        self.accepted: Acceptance | None = None
        self.before_release: Callable[[], None] = lambda: None
        self._why_ended_here = ""
        self._sink: DataSetSink | None = None
        self._command_set = bytearray()
        #: The form of the C-STORE-RQs in one presentation context, and their sink.
        self._store_form: StoreForm | None = None
        self._store_pdus: StorePDUs | None = None
        self._store_sink: StoreSink | None = None
        self._store_context_id = 0
        self._context_id = 0
        self._pending_reports = PendingReports()
        self.messages = 0
        self.busy = True
        self.last_heard = monotonic()
        self.calling_ae_title = ""

    def serve(self) -> str:
        """Serves the association to its end and returns how it ended, in words.

        Raises NotEstablishedError.
        """
        try:
            self._handshake()
            self._establish()
            while self._serve_pdu():
                if self._pending_reports.may_send:
                    self._send_reports()
            return "released"
        except ProtocolViolationError as violation:
            self._stream.send_last(_abort_pdu(violation.reason))
            self._stream.linger()
            return f"aborted by the service: {violation}"
        except ResponseFailedError as error:
            self._stream.send_last(_abort_pdu(REASON_NOT_SPECIFIED))
            self._stream.linger()
            return f"aborted by the service: {error}"
        except PeerEndedError as end:
            self._stream.send_last(_abort_pdu(REASON_NOT_SPECIFIED))
            return self._why_ended_here or str(end)
        except NotEstablishedError as error:
            if self._why_ended_here:
                raise NotEstablishedError(error.event, self._why_ended_here) from None
            raise
        finally:
            if self._sink is not None:
                self._sink.abandon()
            self._stream.close()
            self._pending_reports.drop()

    @property
    def is_half_open(self) -> bool:
        """Whether the connection has no association yet, and is not about to end."""
        return self.accepted is None and not self._why_ended_here

    def end(self, why: str = "aborted by the service: it is stopping") -> None:
        """Ends the association from another thread; its own thread finds the connection closed."""
        self._why_ended_here = why
        self._stream.interrupt(_abort_pdu(REASON_NOT_SPECIFIED))

    def _handshake(self) -> None:
        if self._tls is None:
            return
        try:
            connection = self._stream.secure(self._tls)
        except ssl.SSLError as error:
            raise NotEstablishedError(_HANDSHAKE_FAILED, _handshake_failure(error)) from None
        except PeerEndedError as error:
            raise NotEstablishedError(_HANDSHAKE_FAILED, str(error)) from None
        self.caller = replace(self.caller, certificate=peer_certificate(connection))

    def _establish(self) -> None:
        """Answers the A-ASSOCIATE-RQ; raises NotEstablishedError after an A-ASSOCIATE-RJ."""
        pdu_type, length = self._read_pdu_header()
        if pdu_type == _TLS_HANDSHAKE and self._tls is None:
            raise ProtocolViolationError(
                UNRECOGNIZED_PDU, "the peer speaks TLS on dicom.port; it must use tls.port"
            )
        if pdu_type != A_ASSOCIATE_RQ:
            raise ProtocolViolationError(
                UNEXPECTED_PDU if pdu_type in _PDU_TYPES else UNRECOGNIZED_PDU,
                "the first PDU is not A-ASSOCIATE-RQ",
            )
        if not _MINIMUM_ASSOCIATE_RQ <= length <= MAXIMUM_ASSOCIATE_RQ:
            raise ProtocolViolationError(
                INVALID_PDU_PARAMETER, f"A-ASSOCIATE-RQ of {length} bytes is not possible"
            )
        body = self._stream.read(length)
        self.calling_ae_title = body[20:36].decode("ascii", "replace").strip("\0 ")
        try:
            answer = self._negotiate(body, self.caller)
        except Malformed as error:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, str(error)) from None
        if isinstance(answer, Rejection):
            self._stream.send_last(answer.encode())
            self._stream.linger()
            raise NotEstablishedError(ASSOCIATION_REJECTED, answer.why)
        self.accepted = answer
        self.calling_ae_title = answer.calling_ae_title
        self._stream.deadline = None
        self._stream.set_timeout(self._idle_timeout)
        self._stream.send(answer.pdu)

    def _read_pdu_header(self) -> tuple[int, int]:
        """The type and the length of the next PDU."""
        stream = self._stream
        if stream.end - stream.start < 6:
            stream.need(6)
        pdu_type, _, length = _PDU_HEADER.unpack_from(stream.buffer, stream.start)
        stream.start += 6
        return pdu_type, length

    def _serve_pdu(self) -> bool:
        """Serves one PDU. Returns False after a release."""
        stream = self._stream
        if stream.start == stream.end:
            is_inside_message = self._sink is not None or bool(self._command_set)
            self.busy = stream.expects_more = is_inside_message
            stream.receive()
        if self._store_pdus is not None and self._serve_store():
            self.last_heard = monotonic()
            return True
        pdu_type, length = self._read_pdu_header()
        self.busy = stream.expects_more = True
        if pdu_type == P_DATA_TF:
            self._serve_p_data(length)
            self.last_heard = monotonic()
            return True
        if pdu_type == A_RELEASE_RQ:
            if length != 4:
                raise ProtocolViolationError(INVALID_PDU_PARAMETER, "A-RELEASE-RQ of wrong length")
            self._stream.read(length)
            self.before_release()
            self._stream.send(_A_RELEASE_RP)
            self._stream.linger()
            return False
        if pdu_type == A_ABORT:
            raise PeerEndedError("aborted by the peer")
        if pdu_type in _PDU_TYPES:
            raise ProtocolViolationError(
                UNEXPECTED_PDU, f"PDU of type {pdu_type} inside an association"
            )
        raise ProtocolViolationError(UNRECOGNIZED_PDU, f"PDU of unknown type {pdu_type}")

    def _serve_store(self) -> bool:
        """Serves a C-STORE-RQ like one before whose data set is one short fragment, if one is next.

        It is compared at once, and stored from where it is in the buffer. Fragment by fragment, an
        instance of 10 KB would take 12 us more of the CPU time: 41 instead of 29.
        """
        stream, pdus, form, sink = (
            self._stream,
            self._store_pdus,
            self._store_form,
            self._store_sink,
        )
        if pdus is None or form is None or sink is None:
            return False
        if self._sink is not None or self._command_set:
            return False
        if stream.end - stream.start < pdus.size and not self._await_data_set(pdus):
            return False
        request = pdus.identify(stream.buffer, stream.start)
        if request is None:
            return False
        message_id, sop_instance_uid, length = request
        if length >= _LONG_FRAGMENT:
            return False
        self.messages += 1
        self.busy = stream.expects_more = True
        stream.need(pdus.size + length)
        begin = stream.start + pdus.size
        stream.start = end = begin + length
        stream.send(sink.store(form, message_id, sop_instance_uid, stream.view[begin:end]))
        return True

    def _await_data_set(self, pdus: StorePDUs) -> bool:
        """Waits for the beginning of the data set behind a command set, which has arrived alone.

        False if it is another command set, or another PDU follows.
        """
        stream = self._stream
        if stream.end - stream.start < pdus.command_size:
            return False
        if not pdus.is_command(stream.buffer, stream.start):
            return False
        self.busy = stream.expects_more = True
        stream.need(pdus.command_size + _PDU_HEADER.size)
        pdu_type, _, length = _PDU_HEADER.unpack_from(
            stream.buffer, stream.start + pdus.command_size
        )
        if pdu_type != P_DATA_TF or length < _PDV_HEADER.size:
            return False
        stream.need(pdus.size)
        return True

    def _serve_p_data(self, length: int) -> None:
        """Serves the PDV items of a P-DATA-TF, each a fragment of a command set or data set.

        PS3.8 9.3.5 and E.2.
        """
        stream = self._stream
        if length >= _LONG_FRAGMENT:  # as a rule, others like it follow
            stream.longest_read = SHORT_READ
        remaining = length
        while remaining:
            if remaining < 6:
                raise ProtocolViolationError(INVALID_PDU_PARAMETER, "PDV item of wrong length")
            if stream.end - stream.start < 6:
                stream.need(6)
            item_length, context_id, control = _PDV_HEADER.unpack_from(stream.buffer, stream.start)
            stream.start += 6
            remaining -= 4 + item_length
            if item_length < 2 or remaining < 0:
                raise ProtocolViolationError(INVALID_PDU_PARAMETER, "PDV item of wrong length")
            is_command = bool(control & 1)
            is_last = bool(control & 2)
            if is_command:
                self._take_command_fragment(context_id, item_length - 2, is_last)
            else:
                self._take_data_set_fragment(context_id, item_length - 2, is_last)

    def _take_command_fragment(self, context_id: int, length: int, is_last: bool) -> None:
        if self._sink is not None:
            raise ProtocolViolationError(UNEXPECTED_PDU, "command set inside a data set")
        if self._command_set and context_id != self._context_id:
            raise ProtocolViolationError(
                INVALID_PDU_PARAMETER, "one message in two presentation contexts"
            )
        if len(self._command_set) + length > MAXIMUM_COMMAND_SET:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, "command set is too long")
        self._context_id = context_id
        fragment = self._stream.read(length)
        if is_last and not self._command_set:
            self._open_message(context_id, fragment)
            return
        self._command_set += fragment
        if is_last:
            data = bytes(self._command_set)
            self._command_set.clear()
            self._open_message(context_id, data)

    def _open_message(self, context_id: int, data: bytes) -> None:
        """Begins the message of a command set, and responds if it has no data set."""
        if self._begins_store(context_id, data):
            return
        assert self.accepted is not None  # noqa: S101
        context = self.accepted.contexts.get(context_id)
        if context is None:
            raise ProtocolViolationError(
                INVALID_PDU_PARAMETER, f"presentation context {context_id} was not accepted"
            )
        try:
            command = Command.decode(data)
            command_field = command.number(messages.COMMAND_FIELD)
            has_data_set = command.has_data_set
            if command_field & messages.RESPONSE:
                if self._pending_reports.receive_response(command) and has_data_set:
                    self._sink = CollectedDataSet(lambda _data: b"")
                return
            if command_field == messages.C_CANCEL_RQ:
                return
            command.number(messages.MESSAGE_ID)
        except Malformed as error:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, str(error)) from None
        self.messages += 1
        self._sink = sink = self._dispatch(self.accepted, context_id, context, command)
        if isinstance(sink, StoreSink):
            with suppress(Malformed):
                self._store_form = StoreForm(data, command)
                self._store_sink = sink
                self._store_context_id = context_id
                self._store_pdus = self._store_form.in_pdus(context_id)
        if not has_data_set:
            self._respond()

    def _begins_store(self, context_id: int, data: bytes) -> bool:
        """Begins the message of a command set if it is a C-STORE-RQ like one before."""
        form, sink = self._store_form, self._store_sink
        if form is None or sink is None or context_id != self._store_context_id:
            return False
        identity = form.identify(data)
        if identity is None:
            return False
        self.messages += 1
        sink.begin(form, *identity)
        self._sink = sink
        return True

    def _take_data_set_fragment(self, context_id: int, length: int, is_last: bool) -> None:
        sink = self._sink
        if sink is None or context_id != self._context_id:
            raise ProtocolViolationError(UNEXPECTED_PDU, "data set without its command set")
        stream = self._stream
        while length:
            if length >= _LONG_FRAGMENT and stream.start == stream.end:
                room = sink.room()
                if room is not None:
                    count = stream.receive_fragment(room[:length])
                    sink.received(count)
                    length -= count
                    continue
            fragment = stream.take(length)
            length -= len(fragment)
            sink.write(fragment)
        if is_last:
            self._respond()

    def _respond(self) -> None:
        sink = self._sink
        assert sink is not None  # noqa: S101
        self._sink = None
        response = sink.finish()
        if isinstance(response, bytes):
            response = (response,) if response else ()
        try:
            for pdus in response:
                self._stream.send(pdus)
        except BurnishError as error:
            raise ResponseFailedError(str(error)) from error
        if isinstance(sink, CollectedDataSet) and sink.pending_report is not None:
            self._pending_reports.add(sink.pending_report)

    def _send_reports(self) -> None:
        """Sends the pending reports, as long as the peer is silent."""
        self.busy = False
        is_inside_message = self._sink is not None or bool(self._command_set)
        while (
            self._pending_reports.may_send
            and not is_inside_message
            and self._stream.is_silent(SILENCE)
        ):
            message = self._pending_reports.next_message(self.messages + 1)
            if message:
                self.messages += 1
                self._stream.send(message)


class CollectedDataSet:
    """The sink of a request whose data set is needed whole.

    `pending_report` may be set by `respond`: a report that follows the response.
    """

    def __init__(self, respond: Callable[[bytes], bytes | Iterable[bytes]]) -> None:
        self.pending_report: PendingReport | None = None
        self._respond = respond
        self._data = bytearray()

    def room(self) -> memoryview | None:
        return None

    def received(self, count: int) -> None:
        raise NotImplementedError

    def write(self, fragment: memoryview) -> None:
        if len(self._data) + len(fragment) > MAXIMUM_DIMSE_N_DATA_SET:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, "data set is too long")
        self._data += fragment

    def finish(self) -> bytes | Iterable[bytes]:
        return self._respond(bytes(self._data))

    def abandon(self) -> None:
        self._data.clear()


_HANDSHAKE_FAILED = "TLS handshake failed"
#: The event of a connection whose association was rejected.
ASSOCIATION_REJECTED = "association rejected"


def _handshake_failure(error: ssl.SSLError) -> str:
    """Why a TLS handshake failed, in words."""
    if error.reason == "WRONG_VERSION_NUMBER":
        return "wrong version number: the peer seems to speak DICOM without TLS on tls.port"
    reason = getattr(error, "verify_message", "") or (error.reason or "").lower()
    return reason.replace("_", " ") or "no reason given"


def _abort_pdu(reason: int) -> bytes:
    """An A-ABORT of the service provider."""
    return struct.pack(">BBIBBBB", A_ABORT, 0, 4, 0, 0, 2, reason)
