"""Surface: the bytes of one connection, plain or TLS, buffered once."""

import mmap
import select
import socket
import ssl
import struct
from contextlib import suppress
from time import monotonic

#: The receive buffer; its pages cost memory only once they are touched.
_BUFFER = 256 * 1024
#: How long a connection is kept after its last PDU for the peer to close it, in seconds.
_LINGER = 1.0
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


class PeerEndedError(Exception):
    """The peer closed, reset or aborted the association, or was silent for too long."""


class Stream:
    """The bytes of one connection. Its owner reads; `end` alone may come from another thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.buffer = mmap.mmap(-1, _BUFFER)
        self.view = memoryview(self.buffer)
        self.start = self.end = 0
        #: Until it is None, all that is awaited has to be here by then, however it trickles.
        self.deadline: float | None = None
        #: Whether the peer has begun something that it has to end before it gets an answer.
        self.is_owed = True
        self._interrupted = False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def secure(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """The TLS handshake, within the deadline; raises PeerEndedError, ssl.SSLError."""
        try:
            connection = context.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
            self._socket = connection
            if self._interrupted:  # which found the socket that is no more
                raise PeerEndedError("interrupted")
            connection.settimeout(self._left())
            connection.do_handshake()
        except ssl.SSLError:
            raise
        except OSError as error:
            raise _ended(error) from None
        return connection

    def set_timeout(self, seconds: float) -> None:
        """Silence for longer ends the association; sending is bounded likewise."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(seconds)
            return
        value = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def receive(self) -> None:
        """Adds at least one byte to the buffer, which must have room or be empty."""
        if self.start == self.end:
            self.start = self.end = 0
        if self.deadline is not None:
            self.set_timeout(self._left())
        try:
            if self.is_owed and _QUICK_ACK is not None:
                # a peer with Nagle's algorithm on waits for this before its next segment; where
                # nothing more is to come, the answer acknowledges it
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
            count = self._socket.recv_into(self.view[self.end :])
        except OSError as error:
            raise _ended(error) from None
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
        if 0 < count <= self.end - self.start:
            return bytes(self.take(count))
        result = bytearray()
        while len(result) < count:
            result += self.take(count - len(result))
        return bytes(result)

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise _ended(error) from None

    def send_last(self, data: bytes) -> None:
        """Sends if the peer still takes it; nobody waits for long any more."""
        self.deadline = None
        with suppress(OSError):
            self.set_timeout(_LINGER)
            self._socket.sendall(data)

    def linger(self) -> None:
        """Lets the peer read the last PDU: closing with bytes unread would take it back (Sta13)."""
        with suppress(OSError):
            self.set_timeout(_LINGER)
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            deadline = monotonic() + _LINGER
            while monotonic() < deadline and socket.socket.recv_into(self._socket, self.view):
                pass

    def interrupt(self, last: bytes) -> None:
        """Ends it from another thread, which never waits: who reads finds the connection closed.

        `last` is sent if that takes no waiting; of TLS only the owner's thread may send.
        """
        self._interrupted = True
        with suppress(OSError):
            if not isinstance(self._socket, ssl.SSLSocket):
                self._socket.send(last, socket.MSG_DONTWAIT)
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def _left(self) -> float:
        """Seconds until the deadline, which is there."""
        assert self.deadline is not None  # noqa: S101
        left = self.deadline - monotonic()
        if left <= 0:
            raise PeerEndedError("silent for too long")
        return max(left, 0.001)


def _ended(error: OSError) -> PeerEndedError:
    if isinstance(error, BlockingIOError | TimeoutError):
        return PeerEndedError("silent for too long")
    return PeerEndedError(f"connection lost: {error.strerror or error}")
