"""Ground: converts data sets of any byte order and VR encoding to Explicit VR Little Endian.

Only the byte order of values changes (PS3.5 7.3). Where the source has no VRs, they are taken from
the data dictionary (PS3.5 A.1, PS3.6). Sequences get undefined length, so that none needs to be
held in memory.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from burnish.dicom_elements import (
    ITEM,
    ITEM_DELIMITATION_ITEM,
    LONG_VRS,
    MAXIMUM_DEPTH,
    SEQUENCE_DELIMITATION_ITEM,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Buffer,
    NeedMore,
    close,
    describe,
)
from burnish.errors import Unreadable
from burnish.vocabulary import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN


class Layout(NamedTuple):
    """How a data set is encoded (PS3.5 A)."""

    explicit: bool
    big_endian: bool


def layout(transfer_syntax_uid: str) -> Layout:
    """The encoding of everything but Pixel Data in a transfer syntax (PS3.5 A)."""
    if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
        return Layout(explicit=True, big_endian=True)
    return Layout(explicit=transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN, big_endian=False)


#: Bytes per number of the VRs for which byte order matters (PS3.5 7.3).
_WIDTHS = {
    **dict.fromkeys((b"US", b"SS", b"OW", b"AT"), 2),
    **dict.fromkeys((b"UL", b"SL", b"FL", b"OF", b"OL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8),
}
#: Long values are converted in pieces of this size, a multiple of every width.
_PIECE = 1 << 20
_PIXEL_REPRESENTATION = 0x00280103
BITS_ALLOCATED = 0x00280100
_WAVEFORM_BITS_ALLOCATED = 0x54001004
#: Numbers on which the VRs of other elements depend.
_REMEMBERED = frozenset({BITS_ALLOCATED, _PIXEL_REPRESENTATION, _WAVEFORM_BITS_ALLOCATED})

_SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
_ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
_ITEM_START = struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED_LENGTH)


@lru_cache(maxsize=4096)
def dictionary_vr(tag: int) -> bytes:
    """The VR of a standard attribute, several joined by " or "; UN if it is unknown."""
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag).encode("ascii")
    except KeyError:
        # Private Creator elements and group lengths have a VR everywhere (PS3.5 7.8.1, 7.2).
        number = tag & 0xFFFF
        if tag & 0x10000 and 0x10 <= number <= 0xFF:
            return b"LO"
        return b"UN"


class _Open:
    """A data set, sequence or item that has begun and not ended yet."""

    __slots__ = ("end", "is_sequence", "numbers")

    def __init__(self, end: int | None, *, is_sequence: bool, numbers: dict[int, int]) -> None:
        self.end = end
        self.is_sequence = is_sequence
        self.numbers = numbers


class Converter:
    """Converts one data set.

    `position` is the offset in the source up to which it was converted, `end` that of its end.
    `numbers` are the US values at top level on which VRs depend, by tag.
    """

    def __init__(self, source: Buffer, start: int, end: int, encoding: Layout) -> None:
        self._source = source
        self.end = end
        self._explicit = encoding.explicit
        order = ">" if encoding.big_endian else "<"
        self.big_endian = encoding.big_endian
        self._tag = struct.Struct(order + "HH")
        self._explicit_header = struct.Struct(order + "HH2sH")
        self._plain_header = struct.Struct(order + "HHL")
        self._length = struct.Struct(order + "L")
        self.position = start
        self.numbers: dict[int, int] = {}

    def convert(self, *, stop: int | None = None, longest: int | None = None) -> Iterator[bytes]:
        """The data set in Explicit VR Little Endian, piece by piece.

        It ends before the first element at top level with a tag of `stop` or above. Elements
        longer than `longest` are omitted.
        """
        stack = [_Open(self.end, is_sequence=False, numbers=self.numbers)]
        while stack:
            if len(stack) > 2 * MAXIMUM_DEPTH:
                raise Unreadable("sequences are nested too deeply")
            top = stack[-1]
            if top.end is not None and self.position >= top.end:
                if self.position > top.end:
                    raise Unreadable("an element extends beyond the end of its item")
                stack.pop()
                if stack:
                    yield _SEQUENCE_END if top.is_sequence else _ITEM_END
            elif top.is_sequence:
                yield self._item(stack)
            else:
                group, number = self._tag.unpack(self._read(self.position, 4))
                tag = group << 16 | number
                if stop is not None and len(stack) == 1 and tag >= stop:
                    return
                if tag == ITEM_DELIMITATION_ITEM and top.end is None:
                    self.position += 8
                    stack.pop()
                    yield _ITEM_END
                else:
                    yield from self._element(tag, stack, longest)

    def header(self) -> tuple[int, bytes, int, int]:
        """Tag, VR in the source, offset of the value, and length of the next element."""
        raw = self._read(self.position, 8)
        group, number, length = self._plain_header.unpack(raw)
        tag = group << 16 | number
        if group == 0xFFFE:
            raise Unreadable(f"{describe(tag)} is not permitted here")
        if not self._explicit:
            return tag, b"", self.position + 8, length
        _, _, vr, length = self._explicit_header.unpack(raw)
        if vr in SHORT_VRS:
            return tag, vr, self.position + 8, length
        if vr not in LONG_VRS:
            raise Unreadable(f"{describe(tag)} has no Value Representation")
        (length,) = self._length.unpack(self._read(self.position + 8, 4))
        return tag, vr, self.position + 12, length

    def value(self, vr: bytes, position: int, length: int) -> Iterator[bytes]:
        """A value in little-endian byte order, in pieces."""
        width = _WIDTHS.get(vr, 1) if self.big_endian else 1
        if position + length > self.end:
            raise NeedMore("a value is truncated")
        if length % width:
            raise Unreadable("the length of a value is not a multiple of the length of its numbers")
        for start in range(position, position + length, _PIECE):
            piece = self._read(start, min(_PIECE, position + length - start))
            yield swap(piece, width) if width > 1 else piece

    def _read(self, position: int, count: int) -> bytes:
        raw = bytes(self._source[position : min(position + count, self.end)])
        if len(raw) < count:
            raise NeedMore("the data set is truncated")
        return raw

    def _item(self, stack: list[_Open]) -> bytes:
        group, number, length = self._plain_header.unpack(self._read(self.position, 8))
        self.position += 8
        tag = group << 16 | number
        if tag == SEQUENCE_DELIMITATION_ITEM and stack[-1].end is None:
            stack.pop()
            return _SEQUENCE_END
        if tag != ITEM:
            raise Unreadable("a sequence has data between its items")
        numbers = dict(stack[-1].numbers)
        end = None if length == UNDEFINED_LENGTH else self.position + length
        stack.append(_Open(end, is_sequence=False, numbers=numbers))
        return _ITEM_START

    def _element(self, tag: int, stack: list[_Open], longest: int | None) -> Iterator[bytes]:
        _, vr, position, length = self.header()
        numbers = stack[-1].numbers
        if not self._explicit:
            vr = self._vr(tag, length, numbers)
        if vr == b"SQ" or (length == UNDEFINED_LENGTH and vr != b"UN"):
            end = None if length == UNDEFINED_LENGTH else position + length
            self.position = position
            stack.append(_Open(end, is_sequence=True, numbers=numbers))
            yield _long_header(tag, b"SQ", UNDEFINED_LENGTH)
            return
        if length == UNDEFINED_LENGTH:
            # Items of VR UN are in Implicit VR Little Endian in every syntax (PS3.5 6.2.2 note 4).
            self.position = close(self._source, position, self.end, explicit=False)
            yield _long_header(tag, vr, length)
            for start in range(position, self.position, _PIECE):
                yield self._read(start, min(_PIECE, self.position - start))
            return
        self.position = position + length
        # Group lengths are retired, and would be wrong after the conversion (PS3.5 7.2).
        if tag & 0xFFFF == 0 or (longest is not None and length > longest):
            return
        if vr in SHORT_VRS and length > 0xFFFE:
            yield _long_header(tag, b"UN", length)
        elif vr in SHORT_VRS:
            yield struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, length)
        else:
            yield _long_header(tag, vr, length)
        pieces = self.value(vr, position, length)
        if length == 2 and tag in _REMEMBERED:
            piece = next(pieces)
            numbers[tag] = int.from_bytes(piece, "little")
            yield piece
        yield from pieces

    def _vr(self, tag: int, length: int, numbers: dict[int, int]) -> bytes:
        """The VR of an element in Implicit VR (PS3.5 A.1)."""
        vr = dictionary_vr(tag)
        if b" or " in vr:
            if b"OW" in vr:
                eight = numbers.get(_WAVEFORM_BITS_ALLOCATED) == 8 and tag >> 16 == 0x5400
                return b"OB" if eight else b"OW"
            return b"SS" if numbers.get(_PIXEL_REPRESENTATION) == 1 else b"US"
        if vr == b"UN" and length == UNDEFINED_LENGTH and not tag & 0x10000:
            return b"SQ"
        return vr if vr in SHORT_VRS or vr in LONG_VRS else b"UN"


def little_endian(value: bytes, vr: bytes) -> bytes:
    """A value of big endian byte order in little endian."""
    return swap(value, _WIDTHS.get(vr, 1))


def swap(value: bytes, width: int) -> bytes:
    """`value` with the bytes of each number of `width` bytes in reverse order."""
    swapped = bytearray(len(value))
    for byte in range(width):
        swapped[byte::width] = value[width - 1 - byte :: width]
    return bytes(swapped)


def _long_header(tag: int, vr: bytes, length: int) -> bytes:
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, length)
