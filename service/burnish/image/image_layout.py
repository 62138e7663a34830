"""Craft: what every byte of an image must be, recorded while the image is written.

An image consists of file content that has a digest of its own, of everything else that was written
(the structure of the file system, and the files that the service made itself), and of zeros.
"""

from collections.abc import Iterator
from typing import NamedTuple

from burnish.hashing import new_hasher
from burnish.image.image_source import CHUNK

_ZEROS = bytes(CHUNK)
#: The most places of differences that are listed.
_MAXIMUM_DIFFERENCES = 10


class Difference(NamedTuple):
    """Bytes of an image that are not what was written, up to `end`; `name` is their file or ""."""

    start: int
    end: int
    name: str


class _WrittenRegion(NamedTuple):
    """Bytes that were written as one; `digest` is None for content with a digest of its own.

    `name` is the file, "" for the structure of the file system.
    """

    start: int
    length: int
    digest: bytes | None
    name: str

    @property
    def end(self) -> int:
        return self.start + self.length


class ImageLayout:
    """Records what is written; what is not recorded is zero."""

    def __init__(self) -> None:
        self._regions: list[_WrittenRegion] = []
        self._size = 0

    def set_size(self, size: int) -> None:
        """Records the size of the image in bytes."""
        self._size = size

    def add(self, start: int, data: bytes | bytearray | memoryview, name: str = "") -> None:
        """Records bytes that reading back has to find at `start`."""
        if data:
            hasher = new_hasher()
            hasher.update(data)
            self._regions.append(_WrittenRegion(start, len(data), hasher.digest(), name))

    def add_content(self, start: int, length: int, name: str) -> None:
        """Records content of a file that is compared by a digest of its own."""
        if length:
            self._regions.append(_WrittenRegion(start, length, None, name))

    def check(self) -> "LayoutCheck":
        """A check for one reading of the image."""
        return LayoutCheck(sorted(self._regions, key=lambda region: region.start), self._size)


class LayoutCheck:
    """Compares an image, which is handed over from beginning to end, with its layout."""

    def __init__(self, regions: list[_WrittenRegion], size: int) -> None:
        self._size = size
        self._regions: Iterator[_WrittenRegion] = iter(regions)
        self._region = next(self._regions, None)
        self._hasher = new_hasher()
        self._position = 0
        self.differences: list[Difference] = []

    def update(self, chunk: bytes) -> None:
        """Compares the next bytes of the image."""
        view = memoryview(chunk)
        while view:
            region = self._region
            if region is None or self._position < region.start:
                gap = len(view) if region is None else region.start - self._position
                piece = view[:gap]
                if piece != _ZEROS[: len(piece)]:
                    self._differs(self._position, self._position + len(piece), "")
                self._position += len(piece)
            else:
                piece = view[: region.end - self._position]
                if region.digest is not None:
                    self._hasher.update(piece)
                self._position += len(piece)
                if self._position == region.end:
                    self._end_region(region)
            view = view[len(piece) :]

    def finish(self) -> None:
        """States that the image has no more bytes."""
        if self._position != self._size:
            ends = sorted((self._position, self._size))
            self._differs(ends[0], ends[1], self._region.name if self._region else "")

    def _end_region(self, region: _WrittenRegion) -> None:
        if region.digest is not None:
            if self._hasher.digest() != region.digest:
                self._differs(region.start, region.end, region.name)
            self._hasher = new_hasher()
        self._region = next(self._regions, None)

    def _differs(self, start: int, end: int, name: str) -> None:
        if len(self.differences) < _MAXIMUM_DIFFERENCES:
            self.differences.append(Difference(start, end, name))
