"""Surface: the bytes of one connection, plain or TLS, in one receive buffer."""

import mmap
import select
import socket
import ssl
import struct
from contextlib import suppress
from time import monotonic

from burnish.scp.tls_connection import TLSConnection

#: Size of the receive buffer in bytes. Its pages take memory only once they are used.
_BUFFER_SIZE = 256 * 1024
#: How many bytes are received at a time where most of what follows is received by `receive_into`.
SHORT_READ = 16 * 1024
#: How many bytes behind a fragment are received together with it, for the headers of the next one.
#: An instance of 525 KB in PDUs of 128 KB takes 40 us of CPU less with that: four calls fewer, and
#: none to have it acknowledged, since a call that is filled need not wait.
_READ_AHEAD = 4096
#: Seconds that the peer has to close the connection after the last PDU.
_LINGER = 1.0
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


class PeerEndedError(Exception):
    """The peer has closed, reset or aborted the association, or was silent for too long."""


class Stream:
    """The bytes of one connection.

    The thread that serves the association owns it. Other threads may only call `interrupt`.
    `start` and `end` bound what has been received and not taken yet.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._tls: TLSConnection | None = None
        self.buffer = mmap.mmap(-1, _BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        self.start = self.end = 0
        #: If set, everything must have arrived by this time (`monotonic`), however slowly it
        #: arrives. Otherwise the time-out of `set_timeout` bounds each silence.
        self.deadline: float | None = None
        #: The most bytes that are added to the buffer at a time.
        self.longest_read = _BUFFER_SIZE
        #: Whether the peer has to send more before it gets a response.
        self.expects_more = True
        #: Whether the last call has received less than it could: the next one has to wait.
        self._is_drained = True
        #: Whether a part of a fragment is missing: the peer is slower, and one call of the kernel
        #: waits for all that is left, instead of many calls that bring a little each.
        self._is_short = False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def secure(self, context: ssl.SSLContext) -> ssl.SSLObject:
        """Performs the TLS handshake before the deadline; raises PeerEndedError, ssl.SSLError."""
        self._tls = tls = TLSConnection(context, self._receive_bytes, self._send_bytes)
        try:
            tls.do_handshake()
        except ssl.SSLError:
            raise
        except OSError as error:
            raise _ended(error) from None
        return tls.session

    def set_timeout(self, seconds: float) -> None:
        """Bounds how long the peer may be silent, and how long sending may take."""
        # In the kernel, so that receiving needs no poll before each read.
        timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def receive(self) -> None:
        """Adds at least one byte to the buffer, which must have room unless it is empty."""
        if self.start == self.end:
            self.start = self.end = 0
        self.end += self.receive_into(self.view[self.end : self.end + self.longest_read])

    def receive_into(self, target: memoryview) -> int:
        """Receives at least one byte, without the buffer, which must be empty; how many."""
        try:
            if self._tls is None:
                return self._receive_bytes(target)
            received = self._tls.read(target)
        except OSError as error:
            raise _ended(error) from None
        if not received:
            raise PeerEndedError("connection closed by the peer")
        return received

    def receive_fragment(self, target: memoryview) -> int:
        """As `receive_into`; some bytes that follow those of `target` may then be in the buffer."""
        if self._tls is not None:
            return self.receive_into(target)
        self._begin_receiving()
        try:
            if self._is_short:
                received = self._socket.recv_into(target, 0, socket.MSG_WAITALL)
                self._end_receiving(received, len(target))
                self._is_short = received < len(target)
                return received
            received, *_ = self._socket.recvmsg_into((target, self.view[:_READ_AHEAD]))
        except OSError as error:
            raise _ended(error) from None
        self._end_receiving(received, len(target) + _READ_AHEAD)
        self._is_short = received < len(target)
        self.start, self.end = 0, max(0, received - len(target))
        return min(received, len(target))

    def _receive_bytes(self, target: memoryview) -> int:
        """Receives at least one byte from the socket; raises PeerEndedError, OSError."""
        self._begin_receiving()
        received = self._socket.recv_into(target)
        self._end_receiving(received, len(target))
        return received

    def _send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _begin_receiving(self) -> None:
        if self.deadline is not None:
            self.set_timeout(self._seconds_left())
        if not (self.expects_more and self._is_drained) or _QUICK_ACK is None:
            return
        # A peer that uses Nagle's algorithm waits for an acknowledgement before it sends the last
        # segment: 40 ms for each instance without this option. If the peer has nothing more to
        # send, the response acknowledges.
        try:  # noqa: SIM105  `suppress` would take as long as the call
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        except OSError:
            pass  # the peer has gone: receiving says so

    def _end_receiving(self, received: int, wanted: int) -> None:
        if not received:
            raise PeerEndedError("connection closed by the peer")
        self._is_drained = received < wanted

    def need(self, count: int) -> None:
        """Makes at least `count` bytes available in one piece; `count` is less than the buffer."""
        while self.end - self.start < count:
            if self.start and len(self.buffer) - self.start < count:
                available = bytes(self.view[self.start : self.end])
                self.view[: len(available)] = available
                self.start, self.end = 0, len(available)
            self.receive()

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing has arrived, and nothing arrives within this many seconds."""
        if self.start < self.end:
            return False
        if self._tls is not None and self._tls.has_bytes:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(seconds * 1000)

    def take(self, count: int) -> memoryview:
        """The next bytes: at least one, at most `count`. They are valid until the next call."""
        if self.start == self.end:
            self.receive()
        taken = self.view[self.start : min(self.end, self.start + count)]
        self.start += len(taken)
        return taken

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        if 0 < count <= self.end - self.start:
            return bytes(self.take(count))
        result = bytearray()
        while len(result) < count:
            result += self.take(count - len(result))
        return bytes(result)

    def send(self, data: bytes) -> None:
        try:
            self._send(data)
        except OSError as error:
            raise _ended(error) from None

    def send_last(self, data: bytes) -> None:
        """Sends the last PDU, if the peer still receives it soon."""
        self.deadline = None
        with suppress(OSError):
            self.set_timeout(_LINGER)
            self._send(data)

    def linger(self) -> None:
        """Lets the peer read the last PDU before the connection closes (Sta13 of PS3.8 9.2).

        Closing a socket with unread bytes resets the connection and can discard the last PDU.
        """
        with suppress(OSError):
            self.set_timeout(_LINGER)
            if self._tls is not None:
                self._tls.close()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            deadline = monotonic() + _LINGER
            while monotonic() < deadline and self._socket.recv_into(self.view):
                pass

    def interrupt(self, last_pdu: bytes) -> None:
        """Ends the connection from another thread without waiting; the owner finds it closed.

        `last_pdu` is sent if that needs no waiting. Over TLS it is not: only the owner may send.
        """
        with suppress(OSError):
            if self._tls is None:
                self._socket.send(last_pdu, socket.MSG_DONTWAIT)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def _send(self, data: bytes) -> None:
        if self._tls is None:
            self._socket.sendall(data)
        else:
            self._tls.write(data)

    def _seconds_left(self) -> float:
        """Seconds until the deadline, which must be set; raises PeerEndedError after it."""
        assert self.deadline is not None  # noqa: S101
        seconds = self.deadline - monotonic()
        if seconds <= 0:
            raise PeerEndedError("the peer was silent for too long")
        return max(seconds, 0.001)


def _ended(error: OSError) -> PeerEndedError:
    if isinstance(error, BlockingIOError | TimeoutError):
        return PeerEndedError("the peer was silent for too long")
    return PeerEndedError(f"connection lost: {error.strerror or error}")
