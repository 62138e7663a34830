"""Surface: the TLS layer of one connection, between its socket and the bytes of its PDUs.

OpenSSL gets what has arrived from memory. So one call of the kernel brings all records that are
here, and the time-outs are those of the socket. If OpenSSL read from the socket, each record would
need two calls or more: for an instance of 10 KB, which arrives in five records, that is a fifth
more CPU with one association, and two fifths more with four; for one of 525 KB it is the same.
"""

import mmap
import ssl
from collections.abc import Callable
from contextlib import suppress

#: The most bytes that are received at a time: four records of the greatest length.
_RECEIVED_AT_A_TIME = 64 * 1024


class TLSConnection:
    """TLS as the server of a connection.

    `receive` puts at least one byte from the peer into a buffer and returns how many; `send` sends
    all bytes to the peer. What they raise goes through all methods here, as does ssl.SSLError.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        receive: Callable[[memoryview], int],
        send: Callable[[bytes], None],
    ) -> None:
        self._receive = receive
        self._send = send
        self._arrived = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._to_send, server_side=True)
        self._buffer = memoryview(mmap.mmap(-1, _RECEIVED_AT_A_TIME))

    @property
    def session(self) -> ssl.SSLObject:
        """The TLS session, from which the certificate of the peer can be read."""
        return self._tls

    @property
    def has_bytes(self) -> bool:
        """Whether bytes have arrived that were not read yet."""
        return bool(self._arrived.pending or self._tls.pending())

    def do_handshake(self) -> None:
        """Perform the handshake."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._fill()
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # the alert that tells the peer why
                raise
        self._flush()

    def read(self, target: memoryview) -> int:
        """Put what is here into `target`, at least one byte; how many, or 0 at the end."""
        received = self._read_record(target)
        arrived = self._arrived
        while arrived.pending and 0 < received < len(target):
            try:
                count = self._decrypt(target[received:])
            except ssl.SSLWantReadError:
                break
            if not count:
                break
            received += count
        return received

    def write(self, data: bytes) -> None:
        """Send bytes."""
        remainder = memoryview(data)
        while remainder:
            remainder = remainder[self._tls.write(remainder) :]
        self._flush()

    def close(self) -> None:
        """Tell the peer that nothing follows."""
        with suppress(ssl.SSLWantReadError):  # the answer need not be waited for (RFC 8446 6.1)
            self._tls.unwrap()
        self._flush()

    def _read_record(self, target: memoryview) -> int:
        while True:
            if self.has_bytes:
                try:
                    return self._decrypt(target)
                except ssl.SSLWantReadError:
                    pass  # only a part of a record is here
            self._fill()

    def _decrypt(self, target: memoryview) -> int:
        """What is left of one record; raises SSLWantReadError if only a part of it is here."""
        return self._tls.read(len(target), target)  # type: ignore[return-value]

    def _fill(self) -> None:
        self._flush()
        count = self._receive(self._buffer)
        self._arrived.write(self._buffer[:count])

    def _flush(self) -> None:
        if self._to_send.pending:
            self._send(self._to_send.read())
