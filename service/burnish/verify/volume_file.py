"""Craft: a file of a volume as Python's file objects are, and the inflated bytes of one."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from burnish.errors import Unreadable
from burnish.instance_header.inflated import Inflated
from burnish.values import ReadableVolume

#: More inflated bytes are not examined: so much fits neither a medium nor the disk.
LARGEST_INFLATED = 1 << 32
_PIECE = 1 << 20


class FileOnVolume(io.RawIOBase):
    """A file of a volume, to be read and positioned."""

    def __init__(self, volume: ReadableVolume, name: str) -> None:
        super().__init__()
        self._volume, self._name = volume, name
        self._size = volume.files()[name]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        count = max(0, min(len(target), self._size - self._position))
        data = self._volume.read(self._name, self._position, count)
        target[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextmanager
def inflated_file(
    volume: ReadableVolume, name: str, offset: int
) -> Iterator[tuple[IO[bytes], int]]:
    """The inflated data set that begins at `offset` of a file, in a temporary file; its size.

    Raises Unreadable, and NeedMore for a truncated one.
    """
    with tempfile.TemporaryFile() as target:
        source = io.BufferedReader(FileOnVolume(volume, name), _PIECE)
        source.seek(offset)
        inflated = Inflated(source, volume.files()[name] - offset)
        while not inflated.ended:
            target.write(inflated.read(_PIECE))
            if inflated.position > LARGEST_INFLATED:
                raise Unreadable(f"its data set inflates to more than {LARGEST_INFLATED} bytes")
        target.flush()
        yield cast(IO[bytes], target), inflated.position
