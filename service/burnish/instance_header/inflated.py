"""Craft: reads a deflated data set (PS3.5 A.5)."""

import zlib
from typing import BinaryIO

from burnish.dicom_elements import NeedMore
from burnish.errors import Unreadable


class Inflated:
    """The inflated bytes of a data set whose `size` deflated bytes follow in `file`.

    They are read in pieces of bounded size. Raises Unreadable for damage, NeedMore if the
    deflated bytes end early.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        # A raw stream of RFC 1951, without the header of zlib.
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        #: Inflated bytes read so far.
        self.position = 0

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer where the stream ends."""
        pieces = []
        while count and not self._inflate.eof:
            deflated = self._inflate.unconsumed_tail
            if not deflated:
                deflated = self._file.read(min(1 << 16, self._left))
                self._left -= len(deflated)
            try:
                piece = self._inflate.decompress(deflated, count)
            except zlib.error as error:
                raise Unreadable("the deflated data set is damaged") from error
            if not piece and not deflated:
                raise NeedMore("the deflated data set is truncated")
            pieces.append(piece)
            count -= len(piece)
            self.position += len(piece)
        return b"".join(pieces)

    def skip_to(self, position: int) -> None:
        """Reads up to `position` of the inflated bytes; raises NeedMore if they end before it."""
        while self.position < position:
            if self.ended:
                raise NeedMore("the deflated data set is truncated")
            self.read(min(1 << 20, position - self.position))

    def remainder(self, most: int) -> bytes:
        """The bytes behind the deflated ones, once those have ended, at most so many."""
        behind = self._inflate.unused_data[:most]
        return behind + self._file.read(min(most - len(behind), self._left))


class InflatedBytes:
    """The inflated bytes of a deflated data set at any offset; `size` is how many there are.

    Its `deflated_size` bytes begin at `start` of `file`. Nothing but the last block is kept, so
    offsets should ascend: for one before that block, all is inflated again. Raises as `Inflated`
    does.
    """

    _BLOCK = 1 << 16

    def __init__(self, file: BinaryIO, start: int, deflated_size: int) -> None:
        self._file, self._file_start, self._deflated_size = file, start, deflated_size
        inflated = self._begin()
        while not inflated.ended:
            inflated.read(1 << 20)
        self.size = inflated.position
        self._begin()

    def _begin(self) -> Inflated:
        self._block, self._start = b"", 0
        self._file.seek(self._file_start)
        self._inflated = Inflated(self._file, self._deflated_size)
        return self._inflated

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on, fewer where they end."""
        if offset < self._start:
            self._begin()
        held = self._start + len(self._block)
        if offset + length > held:
            kept = self._block[offset - self._start :]
            if offset > held:
                self._inflated.skip_to(offset)
            further = self._inflated.read(max(length - len(kept), self._BLOCK))
            self._block, self._start = kept + further, offset
        skip = offset - self._start
        return self._block[skip : skip + length]
