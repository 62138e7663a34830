"""Craft: reads the bytes of an image, of a disc in a drive, or of a file."""

import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator

from burnish.errors import Unreadable

#: Bytes that are read at once.
CHUNK = 1 << 20

#: The ioctl of Linux that tells where the last session of a disc begins.
_CDROMMULTISESSION = 0x5310
#: Its argument: an address, whether there is more than one session, and the form of the address.
_MULTISESSION = struct.Struct("iBB2x")
_CDROM_LBA = 1


class Source:
    """An image, or a disc in a drive, that can be read at any byte. The caller owns `descriptor`.

    With `length`, bytes beyond it do not belong to the image: drives round its size up. `session`
    is the first sector of the session whose descriptors count; with None, the last session that the
    drive reports counts.
    """

    def __init__(
        self, descriptor: int, length: int | None = None, session: int | None = None
    ) -> None:
        self._descriptor = descriptor
        self.session = last_session(descriptor) if session is None else session
        end = os.lseek(descriptor, 0, os.SEEK_END)
        self.end = end if length is None else min(end, length)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; raises Unreadable if the source has fewer."""
        return read_exactly(self._descriptor, offset, length)

    def has(self, offset: int, length: int) -> bool:
        """Whether the source has all of these bytes."""
        return offset >= 0 and offset + length <= self.end

    def chunks(self, offset: int, length: int) -> Iterator[memoryview | bytes]:
        """The bytes in pieces of at most `CHUNK`."""
        return read_chunks(self._descriptor, offset, length)


class SequentialSource(Source):
    """A source that is read once from beginning to end, whatever the caller asks for.

    `chunks` hands out what has just been read, so callers that ask for files in the order in which
    they lie share one read for many small files. Bytes before the current chunk are read again.
    `consume` is called with every chunk in order.
    """

    def __init__(
        self, descriptor: int, length: int | None, consume: Callable[[bytes], None]
    ) -> None:
        super().__init__(descriptor, length)
        self._consume = consume
        self._chunk_start, self._chunk = 0, memoryview(b"")
        self._error: Unreadable | None = None

    def chunks(self, offset: int, length: int) -> Iterator[memoryview | bytes]:
        end = offset + length
        while offset < end and offset >= self._chunk_start and self._error is None:
            piece = self._chunk[offset - self._chunk_start : end - self._chunk_start]
            if piece:
                yield piece
                offset += len(piece)
            elif not self._read_next_chunk():
                break
        yield from super().chunks(offset, end - offset)

    def finish(self) -> None:
        """Reads to the end; raises Unreadable if any byte could not be read."""
        while self._read_next_chunk():
            pass
        if self._error is not None:
            raise self._error

    def _read_next_chunk(self) -> bool:
        """Whether there was another chunk and it could be read."""
        start = self._chunk_start + len(self._chunk)
        if start == self.end or self._error is not None:
            return False
        try:
            data = self.read(start, min(CHUNK, self.end - start))
        except Unreadable as error:
            self._error = error
            return False
        self._chunk_start, self._chunk = start, memoryview(data)
        self._consume(data)
        return True


def last_session(descriptor: int) -> int:
    """The first sector of the last session of a disc in a drive; 0 for anything else.

    The last session describes the whole disc (PS3.12 F.1).
    """
    if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
        return 0
    request = _MULTISESSION.pack(0, 0, _CDROM_LBA)
    try:
        answer = fcntl.ioctl(descriptor, _CDROMMULTISESSION, request)
    except OSError:
        return 0  # a block device that is no disc drive
    address, has_several_sessions, _ = _MULTISESSION.unpack(answer)
    return int(address) if has_several_sessions else 0


def read_exactly(descriptor: int, offset: int, length: int) -> bytes:
    """Exactly `length` bytes of a file; raises Unreadable if it has fewer."""
    parts = []
    while length > 0:
        try:
            part = os.pread(descriptor, min(length, 1 << 30), offset)
        except OSError as error:
            raise Unreadable(f"the medium cannot be read: {error.strerror}") from error
        if not part:
            raise Unreadable(f"the volume ends too early, at byte {offset}")
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts) if len(parts) != 1 else parts[0]


def read_chunks(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    """The bytes of a file in pieces of at most `CHUNK`."""
    for start in range(offset, offset + length, CHUNK):
        yield read_exactly(descriptor, start, min(CHUNK, offset + length - start))
