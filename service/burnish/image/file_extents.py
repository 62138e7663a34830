"""Craft: says what the reader of a file system finds: where each file lies in an image."""

import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from burnish.errors import Unreadable
from burnish.media import FileSystem

#: The most files and directories that a volume may have.
MAXIMUM_ENTRIES = 1_000_000

#: The most directory levels; ECMA-119 6.8.2.1 has eight, other writers go beyond.
MAXIMUM_LEVELS = 32

#: Bytes of the largest directory that is read.
LARGEST_DIRECTORY = 64 << 20

CHUNK = 1 << 20

_CDROMMULTISESSION = 0x5310
#: Its argument: an address, whether there is more than one session, and the form of the address.
_MULTISESSION = struct.Struct("iBB2x")
_CDROM_LBA = 1

#: Where one piece of a file begins in the image, and its length, in bytes.
Section = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What a volume holds: its name, and the sections of every file by name.

    `file_system` is None for one that no medium of PS3.12 has here.

    `disagreements` are places where the volume says one thing twice and not alike, and how: file
    names, or parts of the file system. `checks` are the CRC-32 of files that have one. `content`
    is where the sections lie, where that is not the image itself. `dates` are those of files in
    ISO 9660, as ECMA-119 9.1.5 has them.
    """

    file_system: FileSystem | None
    volume_identifier: str
    sections: Mapping[str, Sequence[Section]]
    disagreements: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, int] = field(default_factory=dict)
    content: "Source | None" = None
    dates: Mapping[str, bytes] = field(default_factory=dict)


class Source:
    """An image, or a disc in a drive, to be read at any byte. It does not own the descriptor.

    With `length`, what lies behind so many bytes is none of it: drives round up. `session` is the
    first sector of the session whose descriptors count; None for the last that the drive knows.
    """

    def __init__(
        self, descriptor: int, length: int | None = None, session: int | None = None
    ) -> None:
        self._descriptor = descriptor
        self.session = last_session(descriptor) if session is None else session
        end = os.lseek(descriptor, 0, os.SEEK_END)
        self.end = end if length is None else min(end, length)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of it, all of them; raises Unreadable where they are not there."""
        return read(self._descriptor, offset, length)

    def has(self, offset: int, length: int) -> bool:
        """Whether so many bytes are there."""
        return offset >= 0 and offset + length <= self.end

    def chunks(self, offset: int, length: int) -> Iterator[memoryview | bytes]:
        """Bytes of it in pieces of bounded size."""
        return chunks(self._descriptor, offset, length)


class WholeSource(Source):
    """A source of which all is read once, in order, whatever of it is asked for.

    What is asked for in that order is handed out of what is being read: many small files come with
    one read. What lies before is read again. `tell` is told all of it.
    """

    def __init__(
        self, descriptor: int, length: int | None, tell: Callable[[bytes], None] | None
    ) -> None:
        super().__init__(descriptor, length)
        self._tell = tell
        self._begin, self._held = 0, memoryview(b"")
        self._error: Unreadable | None = None

    def chunks(self, offset: int, length: int) -> Iterator[memoryview | bytes]:
        end = offset + length
        while offset < end and offset >= self._begin and self._error is None:
            piece = self._held[offset - self._begin : end - self._begin]
            if piece:
                yield piece
                offset += len(piece)
            elif not self._go_on():
                break
        yield from super().chunks(offset, end - offset)

    def finish(self) -> None:
        """Reads the rest of it; raises Unreadable where not all could be read."""
        while self._go_on():
            pass
        if self._error is not None:
            raise self._error

    def _go_on(self) -> bool:
        """Reads on; whether there was more, and it could be read."""
        at = self._begin + len(self._held)
        if at == self.end or self._error is not None:
            return False
        try:
            data = self.read(at, min(CHUNK, self.end - at))
        except Unreadable as error:
            self._error = error
            return False
        self._begin, self._held = at, memoryview(data)
        if self._tell:
            self._tell(data)
        return True


def last_session(descriptor: int) -> int:
    """The first sector of the last session of a disc in a drive; 0 for anything else.

    That one describes all of the disc (PS3.12 F.1).
    """
    if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
        return 0
    try:
        found = fcntl.ioctl(descriptor, _CDROMMULTISESSION, _MULTISESSION.pack(0, 0, _CDROM_LBA))
    except OSError:
        return 0  # no drive for discs
    address, several, _ = _MULTISESSION.unpack(found)
    return int(address) if several else 0


def check_bounds(entries: int, level: int) -> None:
    """Raises Unreadable for a volume that has more than any File-set can have."""
    if entries > MAXIMUM_ENTRIES:
        raise Unreadable(f"the volume has more than {MAXIMUM_ENTRIES} files")
    if level > MAXIMUM_LEVELS:
        raise Unreadable(f"the volume has more than {MAXIMUM_LEVELS} directory levels")


def read(descriptor: int, offset: int, length: int) -> bytes:
    """Bytes of a file, all of them."""
    parts = []
    while length > 0:
        try:
            part = os.pread(descriptor, min(length, 1 << 30), offset)
        except OSError as error:
            raise Unreadable(f"the medium cannot be read: {error.strerror}") from error
        if not part:
            raise Unreadable(f"the volume ends at byte {offset}, before its end")
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts) if len(parts) != 1 else parts[0]


def chunks(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    """Bytes of a file in pieces of bounded size."""
    for at in range(offset, offset + length, CHUNK):
        yield read(descriptor, at, min(CHUNK, offset + length - at))
