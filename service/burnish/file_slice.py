"""Ground: where the DICOM file of an instance lies on storage, and how its bytes are read.

An instance has a file of its own, or is a range of a segment (see `burnish.spool`). Everything that
reads instances takes a `Slice`, and need not know which of the two it is.

When an instance in a segment is released, first its prefix `DICM` (PS3.10 7.1) becomes zeros, then
its range becomes a hole. A reader that finds the prefix after it has read the last byte therefore
has what was written.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

#: The length of the preamble, which the prefix follows (PS3.10 7.1).
PREAMBLE = 128
#: The prefix of a DICOM File.
PREFIX = b"DICM"
#: The most bytes that are read at once.
_PIECE = 1 << 20


class Slice(NamedTuple):
    """The `size` bytes of a DICOM File: from byte `offset` of a segment, or a file of its own.

    A file of its own has the offset 0. A segment begins with a header, so no instance in it does.
    All methods raise FileNotFoundError if the file is gone or the instance was released.
    """

    path: str
    offset: int
    size: int

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """A whole file, with the size that it has now."""
        return cls(str(path), 0, path.stat().st_size)

    def open(self) -> BinaryIO:
        """The bytes as a file that can be read and sought. Those in a segment are in memory."""
        if not self.offset:
            return open(self.path, "rb")
        return io.BytesIO(b"".join(self.pieces()))

    def read(self, start: int, length: int) -> bytes:
        """The `length` bytes from `start` on; fewer if there are fewer."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            length = max(0, min(length, self.size - start))
            content = os.pread(descriptor, length, self.offset + start)
            self._check_not_released(descriptor)
            return content
        finally:
            os.close(descriptor)

    def pieces(self) -> Iterator[bytes]:
        """The bytes in pieces of at most 1 MiB; fewer bytes if there are fewer.

        Of a file of its own, these are all bytes that it has now.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            position = self.offset
            end = position + self.size if position else os.fstat(descriptor).st_size
            while position < end:
                piece = os.pread(descriptor, min(_PIECE, end - position), position)
                if not piece:
                    break
                position += len(piece)
                yield piece
            self._check_not_released(descriptor)
        finally:
            os.close(descriptor)

    def is_whole(self) -> bool:
        """Whether all the bytes are there; raises OSError if that cannot be told."""
        try:
            size = os.stat(self.path).st_size
            if not self.offset:
                return size == self.size
            return size >= self.offset + self.size and self.read(PREAMBLE, 4) == PREFIX
        except FileNotFoundError:
            return False

    def _check_not_released(self, descriptor: int) -> None:
        if self.offset and os.pread(descriptor, 4, self.offset + PREAMBLE) != PREFIX:
            raise FileNotFoundError(f"the instance at {self.offset} of {self.path} was released")
