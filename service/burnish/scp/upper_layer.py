"""Surface: one association from its first byte to its last (PS3.8 9), served in one thread.

P-DATA is parsed in place in one buffer and C-STORE data sets go straight from there into the
receive stage; the thread sleeps in the kernel whenever the peer is silent.
"""

import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Protocol

from burnish.access.peers import Caller
from burnish.access.tls import shown_certificate
from burnish.errors import Malformed
from burnish.scp import messages
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context, Rejection
from burnish.scp.pending_reports import SILENCE, FollowUp, FollowUps
from burnish.scp.stream import PeerEndedError, Stream

A_ASSOCIATE_RQ, P_DATA_TF, A_RELEASE_RQ, A_ABORT = 1, 4, 5, 7
_A_RELEASE_RP = struct.pack(">BBII", 6, 0, 4, 0)
#: A-ABORT of the service provider: reasons of PS3.8 Table 9-26.
UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PDU_PARAMETER = 1, 2, 6
_MAXIMUM_ASSOCIATE_RQ = 1 << 20
#: The first byte of TLS (RFC 8446 5.1); no PDU has that type.
_TLS_HANDSHAKE = 22
_TLS_AT_PLAIN_PORT = "the peer speaks TLS, which is spoken at tls.port, not here"
_MAXIMUM_COMMAND = 1 << 16
_MAXIMUM_DATA_SET = 1 << 26


def _why_no_handshake(error: ssl.SSLError) -> str:
    if error.reason == "WRONG_VERSION_NUMBER":
        return "wrong version number: the peer seems to speak DICOM without TLS"
    why = getattr(error, "verify_message", "") or (error.reason or "").lower()
    return why.replace("_", " ") or "no handshake"


class ProtocolViolationError(Exception):
    """The peer broke PS3.8; it gets an A-ABORT with `reason`."""

    def __init__(self, reason: int, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class RefusedError(Exception):
    """There is no association, for the reason that the message gives."""


class DataSetSink(Protocol):
    """Takes the data set of one message as it arrives, then answers it."""

    def write(self, fragment: memoryview) -> None: ...

    def finish(self) -> bytes: ...

    def abandon(self) -> None: ...


#: Opens what a request's data set goes to. `finish` returns whole P-DATA-TF PDUs.
Dispatch = Callable[[Acceptance, int, Context, Command], DataSetSink]
#: Answers an A-ASSOCIATE-RQ, the whole PDU, of a caller; raises Malformed.
Answer = Callable[[bytes, Caller], Acceptance | Rejection]


class Association:
    """One association as acceptor. With `tls`, the connection begins with its handshake.

    `accepted` is what the peer got. Until then it has `acse_timeout` seconds in all (ARTIM,
    PS3.8 9.1.5), however it spends them; later each silence may last `idle_timeout` seconds.
    `before_release` is called before the peer knows that it may ask for another.
    """

    def __init__(
        self,
        connection: socket.socket,
        caller: Caller,
        answer: Answer,
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
        self._request_answer = answer
        self._dispatch = dispatch
        self._idle_timeout = idle_timeout
        self.accepted: Acceptance | None = None
        self.before_release: Callable[[], None] = lambda: None
        self._ended = ""
        self._sink: DataSetSink | None = None
        self._command = bytearray()
        self._context_id = 0
        self._follow_ups = FollowUps()
        self.messages = 0
        self.busy = True
        self.last_heard = monotonic()
        self.calling_ae_title = ""

    def serve(self) -> str:
        """Serves the association to its end; how it ended, in words. Raises RefusedError."""
        try:
            self._secure()
            self._establish()
            while self._serve_pdu():
                self._follow_up()
            return "released"
        except ProtocolViolationError as violation:
            self._abort(violation.reason)
            return f"aborted: {violation}"
        except PeerEndedError as end:
            self._stream.send_last(_abort(0))
            return self._ended or str(end)
        except RefusedError:
            if self._ended:
                raise RefusedError(self._ended) from None
            raise
        finally:
            if self._sink is not None:
                self._sink.abandon()
            self._stream.close()
            self._follow_ups.drop()

    @property
    def is_half_open(self) -> bool:
        """Whether it takes room and has nothing to show for it yet."""
        return self.accepted is None and not self._ended

    def end(self, why: str = "ended by the service") -> None:
        """Ends it from another thread: its own thread sees the connection closed."""
        self._ended = why
        self._stream.interrupt(_abort(0))

    def _secure(self) -> None:
        if self._tls is None:
            return
        try:
            connection = self._stream.secure(self._tls)
        except ssl.SSLError as error:
            raise RefusedError(f"TLS: {_why_no_handshake(error)}") from None
        except PeerEndedError as error:
            raise RefusedError(f"TLS: {error}") from None
        self.caller = replace(self.caller, certificate=shown_certificate(connection))

    def _establish(self) -> None:
        """Answers the A-ASSOCIATE-RQ; raises RefusedError after an A-ASSOCIATE-RJ."""
        kind, length = self._pdu_header()
        if kind != A_ASSOCIATE_RQ:
            known = kind in range(1, 8)
            plain = self._tls is None and kind == _TLS_HANDSHAKE
            raise ProtocolViolationError(
                UNEXPECTED_PDU if known else UNRECOGNIZED_PDU,
                _TLS_AT_PLAIN_PORT if plain else "first PDU is not A-ASSOCIATE-RQ",
            )
        if not 68 <= length <= _MAXIMUM_ASSOCIATE_RQ:
            raise ProtocolViolationError(
                INVALID_PDU_PARAMETER, "A-ASSOCIATE-RQ of impossible length"
            )
        body = self._stream.read(length)
        self.calling_ae_title = body[20:36].decode("ascii", "replace").strip("\0 ")
        try:
            answer = self._request_answer(struct.pack(">BBI", kind, 0, length) + body, self.caller)
        except Malformed as error:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, str(error)) from None
        if isinstance(answer, Rejection):
            self._stream.send_last(answer.encode())
            self._stream.linger()
            raise RefusedError(answer.why)
        self.accepted = answer
        self.calling_ae_title = answer.calling_ae_title
        self._stream.deadline = None
        self._stream.set_timeout(self._idle_timeout)
        self._stream.send(answer.pdu)

    def _pdu_header(self) -> tuple[int, int]:
        self._stream.need(6)
        kind, _, length = struct.unpack_from(">BBI", self._stream.buffer, self._stream.start)
        self._stream.start += 6
        return kind, length

    def _serve_pdu(self) -> bool:
        """Serves one PDU; False after a release."""
        self.busy = self._stream.is_owed = self._sink is not None or bool(self._command)
        kind, length = self._pdu_header()
        self.busy = self._stream.is_owed = True
        if kind == P_DATA_TF:
            self._serve_p_data(length)
            self.last_heard = monotonic()
            return True
        if kind == A_RELEASE_RQ:
            if length != 4:
                raise ProtocolViolationError(INVALID_PDU_PARAMETER, "A-RELEASE-RQ of wrong length")
            self._stream.read(length)
            self.before_release()
            self._stream.send(_A_RELEASE_RP)
            self._stream.linger()
            return False
        if kind == A_ABORT:
            raise PeerEndedError("aborted by the peer")
        if kind in range(1, 8):
            raise ProtocolViolationError(UNEXPECTED_PDU, f"PDU type {kind} in an association")
        raise ProtocolViolationError(UNRECOGNIZED_PDU, "unknown PDU type")

    def _serve_p_data(self, left: int) -> None:
        """PS3.8 9.3.5: presentation data values, each a fragment of a command or data set."""
        stream = self._stream
        while left:
            if left < 6:
                raise ProtocolViolationError(INVALID_PDU_PARAMETER, "PDV item of impossible length")
            stream.need(6)
            length, context_id, control = struct.unpack_from(">IBB", stream.buffer, stream.start)
            stream.start += 6
            left -= 4 + length
            if length < 2 or left < 0:
                raise ProtocolViolationError(INVALID_PDU_PARAMETER, "PDV item of impossible length")
            if control & 1:
                self._take_command(context_id, length - 2, bool(control & 2))
            else:
                self._take_data_set(context_id, length - 2, bool(control & 2))

    def _take_command(self, context_id: int, count: int, last: bool) -> None:
        if self._sink is not None:
            raise ProtocolViolationError(UNEXPECTED_PDU, "command inside a data set")
        if self._command and context_id != self._context_id:
            raise ProtocolViolationError(
                INVALID_PDU_PARAMETER, "message in two presentation contexts"
            )
        if len(self._command) + count > _MAXIMUM_COMMAND:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, "command set too long")
        self._context_id = context_id
        self._command += self._stream.read(count)
        if not last:
            return
        data, self._command = bytes(self._command), bytearray()
        self._open(context_id, data)

    def _open(self, context_id: int, data: bytes) -> None:
        assert self.accepted is not None  # noqa: S101
        context = self.accepted.contexts.get(context_id)
        if context is None:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, "presentation context not accepted")
        try:
            command = Command.decode(data)
            kind = command.number(messages.COMMAND_FIELD)
            has_data_set = command.has_data_set
            if kind & messages.RESPONSE and self._follow_ups.take(command):
                self._sink = Collected(lambda _data: b"") if has_data_set else None
                return
            if kind & messages.RESPONSE or kind == messages.C_CANCEL_RQ:
                return
            command.number(messages.MESSAGE_ID)
        except Malformed as error:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, str(error)) from None
        self.messages += 1
        self._sink = self._dispatch(self.accepted, context_id, context, command)
        if not has_data_set:
            self._answer()

    def _follow_up(self) -> None:
        """Sends what is owed to the peer, while it is silent."""
        owed = self._follow_ups
        self.busy = False
        while owed.due and not (self._sink or self._command) and self._stream.is_silent(SILENCE):
            if message := owed.message(self.messages + 1):
                self.messages += 1
                self._stream.send(message)

    def _take_data_set(self, context_id: int, count: int, last: bool) -> None:
        sink = self._sink
        if sink is None or context_id != self._context_id:
            raise ProtocolViolationError(UNEXPECTED_PDU, "data set without its command")
        while count:
            part = self._stream.take(count)
            count -= len(part)
            sink.write(part)
        if last:
            self._answer()

    def _answer(self) -> None:
        sink, self._sink = self._sink, None
        assert sink is not None  # noqa: S101
        answer = sink.finish()
        if answer:
            self._stream.send(answer)
        if isinstance(sink, Collected) and sink.follow_up is not None:
            self._follow_ups.add(sink.follow_up)

    def _abort(self, reason: int) -> None:
        self._stream.send_last(_abort(reason))
        self._stream.linger()


class Collected:
    """The sink of a request whose data set is needed whole; its answer may be followed up."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.follow_up: FollowUp | None = None
        self._answer = answer
        self._data = bytearray()

    def write(self, fragment: memoryview) -> None:
        if len(self._data) + len(fragment) > _MAXIMUM_DATA_SET:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, "data set too long")
        self._data += fragment

    def finish(self) -> bytes:
        return self._answer(bytes(self._data))

    def abandon(self) -> None:
        self._data.clear()


def _abort(reason: int) -> bytes:
    return struct.pack(">BBIBBBB", 7, 0, 4, 0, 0, 2, reason)
