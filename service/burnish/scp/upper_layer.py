"""Surface: one association from its first byte to its last (PS3.8 9), served in one thread.

P-DATA is parsed in place in one buffer and C-STORE data sets go straight from there into the
receive stage; the thread sleeps in the kernel whenever the peer is silent.
"""

import select
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Protocol

import structlog

from burnish.errors import Malformed
from burnish.scp import messages
from burnish.scp.follow_up import SILENCE, FollowUp, FollowUps
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context, Negotiator, Rejection

log = structlog.get_logger(__name__)

A_ASSOCIATE_RQ, P_DATA_TF, A_RELEASE_RQ, A_ABORT = 1, 4, 5, 7
_A_RELEASE_RP = struct.pack(">BBII", 6, 0, 4, 0)
#: A-ABORT of the service provider: reasons of PS3.8 Table 9-26.
UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PDU_PARAMETER = 1, 2, 6
#: The receive buffer; its pages cost memory only once they are touched.
_BUFFER = 256 * 1024
#: How long a connection is kept after its last PDU for the peer to close it, in seconds.
_LINGER = 1.0
_MAXIMUM_ASSOCIATE_RQ = 1 << 20
_MAXIMUM_COMMAND = 1 << 16
_MAXIMUM_DATA_SET = 1 << 26
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


class PeerEndedError(Exception):
    """The peer closed, reset or aborted the association, or was silent for too long."""


class ProtocolViolationError(Exception):
    """The peer broke PS3.8; it gets an A-ABORT with `reason`."""

    def __init__(self, reason: int, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class DataSetSink(Protocol):
    """Takes the data set of one message as it arrives, then answers it."""

    def write(self, fragment: memoryview) -> None: ...

    def finish(self) -> bytes: ...

    def abandon(self) -> None: ...


#: Opens what a request's data set goes to. `finish` returns whole P-DATA-TF PDUs.
Dispatch = Callable[[Acceptance, int, Context, Command], DataSetSink]


class Stream:
    """The bytes of one connection, buffered once."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.buffer = bytearray(_BUFFER)
        self.view = memoryview(self.buffer)
        self.start = self.end = 0
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def set_timeout(self, seconds: float) -> None:
        """Silence for longer ends the association; sending is bounded likewise."""
        value = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def receive(self) -> None:
        """Adds at least one byte to the buffer, which must have room or be empty."""
        if self.start == self.end:
            self.start = self.end = 0
        try:
            count = self._socket.recv_into(self.view[self.end :])
            if _QUICK_ACK is not None:
                # a peer with Nagle's algorithm on waits for this before its next segment
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        except BlockingIOError:
            raise PeerEndedError("silent for too long") from None
        except OSError as error:
            raise PeerEndedError(f"connection lost: {error.strerror}") from None
        if not count:
            raise PeerEndedError("connection closed by the peer")
        self.end += count

    def need(self, count: int) -> None:
        """Has at least `count` bytes, fewer than the buffer holds, in one piece."""
        while self.end - self.start < count:
            if self.start and len(self.buffer) - self.start < count:
                held = bytes(self.view[self.start : self.end])
                self.view[: len(held)] = held
                self.start, self.end = 0, len(held)
            self.receive()

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing is here and nothing comes for so long."""
        held = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()
        if held or self.start < self.end:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(seconds * 1000)

    def take(self, count: int) -> memoryview:
        """The next bytes, at most `count`, valid until the next call."""
        if self.start == self.end:
            self.receive()
        part = self.view[self.start : min(self.end, self.start + count)]
        self.start += len(part)
        return part

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        result = bytearray()
        while len(result) < count:
            result += self.take(count - len(result))
        return bytes(result)

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise PeerEndedError(f"connection lost: {error.strerror}") from None


class Association:
    """One association as acceptor."""

    def __init__(
        self,
        connection: socket.socket,
        negotiator: Negotiator,
        dispatch: Dispatch,
        *,
        acse_timeout: float,
        idle_timeout: float,
    ) -> None:
        self._socket = connection
        self._stream = Stream(connection)
        self._negotiator = negotiator
        self._dispatch = dispatch
        self._acse_timeout = acse_timeout
        self._idle_timeout = idle_timeout
        self._accepted: Acceptance | None = None
        self._sink: DataSetSink | None = None
        self._command = bytearray()
        self._context_id = 0
        self._follow_ups = FollowUps()
        self.messages = 0
        self.busy = True
        self.last_heard = monotonic()

    def serve(self) -> str:
        """Serves the association to its end; how it ended, in words."""
        try:
            self._accepted = self._establish()
            if self._accepted is None:
                return "rejected"
            self._stream.set_timeout(self._idle_timeout)
            while self._serve_pdu():
                self._follow_up()
            return "released"
        except ProtocolViolationError as violation:
            self._abort(violation.reason)
            return f"aborted: {violation}"
        except PeerEndedError as end:
            with suppress(OSError):
                self._socket.sendall(_abort(0))
            return str(end)
        finally:
            if self._sink is not None:
                self._sink.abandon()
            self._socket.close()
            self._follow_ups.drop()

    @property
    def calling_ae_title(self) -> str:
        return self._accepted.calling_ae_title if self._accepted else ""

    def end(self) -> None:
        """Ends it from another thread: its own thread sees the connection closed."""
        with suppress(OSError):
            self._socket.sendall(_abort(0))
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _establish(self) -> Acceptance | None:
        self._stream.set_timeout(self._acse_timeout)
        kind, length = self._pdu_header()
        if kind != A_ASSOCIATE_RQ:
            known = kind in range(1, 8)
            raise ProtocolViolationError(
                UNEXPECTED_PDU if known else UNRECOGNIZED_PDU, "first PDU is not A-ASSOCIATE-RQ"
            )
        if not 68 <= length <= _MAXIMUM_ASSOCIATE_RQ:
            raise ProtocolViolationError(
                INVALID_PDU_PARAMETER, "A-ASSOCIATE-RQ of impossible length"
            )
        body = self._stream.read(length)
        try:
            answer = self._negotiator.answer(struct.pack(">BBI", kind, 0, length) + body)
        except Malformed as error:
            raise ProtocolViolationError(INVALID_PDU_PARAMETER, str(error)) from None
        if isinstance(answer, Rejection):
            log.warning(
                "association rejected",
                why=answer.why,
                calling_ae_title=body[20:36].decode("ascii", "replace").strip("\0 "),
            )
            self._stream.send(answer.encode())
            return None
        self._stream.send(answer.pdu)
        return answer

    def _pdu_header(self) -> tuple[int, int]:
        self._stream.need(6)
        kind, _, length = struct.unpack_from(">BBI", self._stream.buffer, self._stream.start)
        self._stream.start += 6
        return kind, length

    def _serve_pdu(self) -> bool:
        """Serves one PDU; False after a release."""
        self.busy = self._sink is not None or bool(self._command)
        kind, length = self._pdu_header()
        self.busy = True
        if kind == P_DATA_TF:
            self._serve_p_data(length)
            self.last_heard = monotonic()
            return True
        if kind == A_RELEASE_RQ:
            if length != 4:
                raise ProtocolViolationError(INVALID_PDU_PARAMETER, "A-RELEASE-RQ of wrong length")
            self._stream.read(length)
            self._stream.send(_A_RELEASE_RP)
            self._linger()
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
        assert self._accepted is not None  # noqa: S101
        context = self._accepted.contexts.get(context_id)
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
        self._sink = self._dispatch(self._accepted, context_id, context, command)
        if not has_data_set:
            self._answer()

    def _follow_up(self) -> None:
        """Sends what is owed to the peer, while it is silent."""
        owed = self._follow_ups
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
        with suppress(OSError):
            self._socket.sendall(_abort(reason))
        self._linger()

    def _linger(self) -> None:
        """Lets the peer read the last PDU: closing with bytes unread would take it back (Sta13)."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._stream.set_timeout(_LINGER)
            deadline = monotonic() + _LINGER
            while monotonic() < deadline and self._socket.recv(_BUFFER):
                pass


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
