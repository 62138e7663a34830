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
