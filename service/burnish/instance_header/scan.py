"""Craft: the values that an index wants, found in a data set without reading the rest of it.

The usual case is a flat run over the first bytes as they were received. What does not fit there
is walked in the file, where values that nobody wants are stepped over, not read.
"""

import struct
import sys
import zlib
from collections.abc import Callable
from typing import BinaryIO

from burnish.application_profiles.limits import SOUGHT
from burnish.dicom_elements import (
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Buffer,
    NeedMore,
    Window,
    close,
    describe,
    header,
)
from burnish.directory_records import CD_KEYS, DVD_KEYS, KEYS
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Converter, layout
from burnish.instance_header.runs import Run
from burnish.values import HeaderValues
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

PIXEL_DATA = 0x7FE00010
_PIXEL_GROUP = 0x7FE00000
#: A wanted value longer than this is damage, or meant to do some.
_LONGEST_VALUE = 1 << 24
#: What a data set in another byte order or deflated may have before its Pixel Data, in bytes.
_LONGEST_HEADER = 1 << 26
#: What a deflated data set may have behind its Pixel Data, in bytes.
_LONGEST_TAIL = 1 << 24
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"

#: Wanted besides the keys: identity, dates to stand in for a missing Study Date, the sequences
#: from which keys are derived, and what Application Profiles limit.
_IDENTITY = {0x00080005, 0x00080016, 0x00080018, 0x0008001A, 0x00100021}
_DATES = {0x00080021, 0x00080022, 0x00080023, 0x00080031, 0x00080032, 0x00080033}
_SOURCES = {0x0040A073, 0x52009229}
_KEYS = {key.tag for table in (KEYS, CD_KEYS, DVD_KEYS) for keys in table.values() for key in keys}
WANTED = frozenset(_IDENTITY | _DATES | _SOURCES | _KEYS | set(SOUGHT))


def _swapped(tag: int) -> int:
    """The tag as four little-endian bytes read as one number: element above group."""
    return (tag & 0xFFFF) << 16 | tag >> 16


_WANTED = {_swapped(tag): tag for tag in WANTED}
_SHORT = frozenset(int.from_bytes(vr, "little") for vr in SHORT_VRS)
_LONG = frozenset(int.from_bytes(vr, "little") for vr in LONG_VRS)
_UN = int.from_bytes(b"UN", "little")
_HEADER = struct.Struct("<LHH")
_PLAIN_HEADER = struct.Struct("<LL")
_LENGTH = struct.Struct("<L")
_HEAD_END = sys.maxsize
#: What is known of the data sets of each kind, by whether they are in Explicit VR.
_runs: dict[tuple[str, bool], Run] = {}
_KINDS = 256


def find(
    head: bytes,
    size: int,
    transfer_syntax_uid: str,
    reopen: Callable[[], BinaryIO],
    kind: str = "",
) -> HeaderValues:
    """The wanted values of a data set of `size` bytes that begins with `head`.

    Data sets of one `kind`, unless it is "", are expected to have the same elements. Raises
    Unreadable where it cannot be parsed or is not all there.
    """
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return _find_deflated(size, reopen)
    if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
        return _find_big_endian(size, reopen)
    found = HeaderValues(explicit=transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN)
    position = _flat(head, found, kind)
    if position == size:
        return found
    if position > size:
        raise NeedMore("the data set is truncated")
    if len(head) >= size:
        _walk(head, position, size, found)
    else:
        with reopen() as file:
            _walk(Window(file, file.tell(), size, 1 << 13), position, size, found)
    return found


def _flat(head: bytes, found: HeaderValues, kind: str) -> int:
    """Take the values that `head` has; the offset of the first element it does not have whole."""
    flat = _flat_explicit if found.explicit else _flat_implicit
    if not kind:
        return flat(head, found)

    def one(position: int) -> int:
        return flat(head, found, position, position + 1)

    run = _runs.get((kind, found.explicit))
    position, fits = run.take(head, found.values, one) if run else (0, False)
    position = flat(head, found, position)
    if fits:
        return position
    misses = run.misses + 1 if run else 1
    if run:
        run.misses = misses
    if misses & (misses - 1) == 0:  # ever seldomer where nothing fits
        if len(_runs) >= _KINDS:
            _runs.clear()
        _runs[kind, found.explicit] = Run(head, misses, explicit=found.explicit, wanted=_WANTED)
    return position


def _flat_explicit(
    head: bytes, found: HeaderValues, position: int = 0, stop: int = _HEAD_END
) -> int:
    """As `_flat`, from the element at `position` to before the first at `stop` or behind it."""
    end = len(head)
    stop = min(stop, end)
    values, wanted = found.values, _WANTED
    short_vrs, long_vrs, unpack = _SHORT, _LONG, _HEADER.unpack_from
    try:
        while position < stop:
            key, vr, length = unpack(head, position)
            if vr in short_vrs:
                start = position + 8
            elif vr in long_vrs:
                start = position + 12
                (length,) = _LENGTH.unpack_from(head, position + 8)
                if length == UNDEFINED_LENGTH:
                    behind = close(head, start, end, explicit=vr != _UN)
                    if key in wanted:
                        values[wanted[key]] = head[start : behind - 8]
                        if vr == _UN:
                            found.implicit.add(wanted[key])
                    position = behind
                    continue
                if vr == _UN and key in wanted:
                    found.implicit.add(wanted[key])
            else:
                return position
            behind = start + length
            if key in wanted:
                if behind > end:
                    return position
                values[wanted[key]] = head[start:behind]
            position = behind
    except (struct.error, Unreadable):
        return position
    return position


def _flat_implicit(
    head: bytes, found: HeaderValues, position: int = 0, stop: int = _HEAD_END
) -> int:
    """As `_flat_explicit`, for Implicit VR."""
    end = len(head)
    stop = min(stop, end)
    values, wanted, unpack = found.values, _WANTED, _PLAIN_HEADER.unpack_from
    try:
        while position < stop:
            key, length = unpack(head, position)
            if key & 0xFFFF == 0xFFFE:
                return position
            start = position + 8
            if length == UNDEFINED_LENGTH:
                behind = close(head, start, end, explicit=False)
                length = behind - 8 - start
            else:
                behind = start + length
            if key in wanted:
                if behind > end:
                    return position
                values[wanted[key]] = head[start : start + length]
            position = behind
    except (struct.error, Unreadable):
        return position
    return position


def _walk(buffer: Buffer, position: int, size: int, found: HeaderValues) -> None:
    """Take the rest of the values, from the element at `position` to the end of the data set."""
    pixels_seen = False
    while position < size:
        if pixels_seen and _is_padding(buffer, position, size):
            return
        tag, vr, start, length = header(buffer, position, size, explicit=found.explicit)
        pixels_seen = pixels_seen or tag >= _PIXEL_GROUP
        if length == UNDEFINED_LENGTH:
            behind = _behind(buffer, tag, start, size, explicit=found.explicit and vr != b"UN")
            length = behind - 8 - start
        else:
            behind = start + length
            if behind > size:
                raise NeedMore(f"{describe(tag)} is truncated")
        if tag in WANTED:
            if length > _LONGEST_VALUE:
                raise Unreadable(f"{describe(tag)} is too long to be indexed")
            found.values[tag] = bytes(buffer[start : start + length])
            if vr == b"UN":
                found.implicit.add(tag)
        position = behind


def _behind(buffer: Buffer, tag: int, start: int, size: int, *, explicit: bool) -> int:
    """The offset behind an element of undefined length."""
    if tag == PIXEL_DATA and bytes(buffer[size - 8 : size]) == _SEQUENCE_END:
        # Stepping through the fragments would read about as much as there is.
        return size
    return close(buffer, start, size, explicit=explicit)


def _is_padding(buffer: Buffer, position: int, size: int) -> bool:
    """Whether what follows the Pixel Data are zeros, with which copies are filled to a sector."""
    return size - position <= 1 << 16 and not any(buffer[position:size])


def _find_big_endian(size: int, reopen: Callable[[], BinaryIO]) -> HeaderValues:
    with reopen() as file:
        source = Window(file, file.tell(), size)
        converter = Converter(source, 0, size, layout(EXPLICIT_VR_BIG_ENDIAN))
        converted = bytearray()
        for piece in converter.convert(stop=_PIXEL_GROUP, longest=1 << 20):
            converted += piece
            if len(converted) > _LONGEST_HEADER:
                raise Unreadable("the data set has too much before its Pixel Data")
        while converter.position < size:
            tag, _, start, length = converter.header()
            if length == UNDEFINED_LENGTH:
                raise Unreadable(f"{describe(tag)} is encapsulated in Big Endian")
            if start + length > size:
                raise NeedMore(f"{describe(tag)} is truncated")
            converter.position = start + length
    found = HeaderValues()
    _walk(bytes(converted), 0, len(converted), found)
    return found


def _find_deflated(size: int, reopen: Callable[[], BinaryIO]) -> HeaderValues:
    with reopen() as file:
        inflated = Inflated(file, size)
        header_bytes = bytearray()
        while True:
            header_bytes += inflated.read(max(1 << 18, 3 * len(header_bytes)))
            found = HeaderValues()
            position = _flat_explicit(bytes(header_bytes), found)
            if inflated.ended or position > len(header_bytes):
                break
            if len(header_bytes) > _LONGEST_HEADER:
                raise Unreadable("the deflated data set has too much before its Pixel Data")
        if inflated.ended and position > len(header_bytes):
            raise NeedMore("the deflated data set is truncated")
        if inflated.ended:
            _walk(bytes(header_bytes), position, len(header_bytes), found)
        else:
            inflated.skip_to(position)
            if inflated.read(_LONGEST_TAIL) and not inflated.ended:
                raise Unreadable("the deflated data set has too much behind its Pixel Data")
    return found


class Inflated:
    """The bytes of a deflated data set, in pieces of bounded size (PS3.5 A.5)."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        # A raw stream as RFC 1951 has it, without the header of zlib.
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self.position = 0

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def read(self, count: int) -> bytes:
        """Up to `count` more bytes, fewer where the stream ends."""
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
        """Inflate up to `position`; raises NeedMore where the stream ends before it."""
        while self.position < position:
            if self.ended:
                raise NeedMore("the deflated data set is truncated")
            self.read(min(1 << 20, position - self.position))
