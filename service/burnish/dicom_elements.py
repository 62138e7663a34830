"""Ground: Data Elements as bytes, as PS3.5 7 lays them out.

`scan` walks the top level of a little-endian data set and skips values without looking at them;
`items` walks the items of one sequence; `encode` writes one element. The buffer is anything that
gives bytes for a slice: bytes, a memoryview, or a `Window` on a file too large to hold.

Nothing here recurses: nesting is bounded by MAXIMUM_DEPTH, work by the bytes there are.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple, Protocol

from burnish.errors import Unreadable

ITEM = 0xFFFEE000
ITEM_DELIMITATION_ITEM = 0xFFFEE00D
SEQUENCE_DELIMITATION_ITEM = 0xFFFEE0DD
UNDEFINED_LENGTH = 0xFFFFFFFF
#: The longest value of defined length: lengths are even (PS3.5 7.1.1).
MAXIMUM_LENGTH = 0xFFFFFFFE
#: Sequences nested deeper than this are taken for damage; the deepest IODs have about ten levels.
MAXIMUM_DEPTH = 64

#: VRs with a 16-bit length, and those with two reserved bytes and a 32-bit one (PS3.5 7.1.2).
SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(),
)
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
#: VRs whose values are characters padded with a space (PS3.5 6.2).
TEXT_VRS = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT".split())

_TAG = struct.Struct("<HH")
_SHORT = struct.Struct("<HH2sH")
_LONG = struct.Struct("<HH2sHL")
_IMPLICIT = struct.Struct("<HHL")


class NeedMore(Unreadable):
    """The buffer ended before the element did: a longer buffer may hold it whole."""


class Buffer(Protocol):
    """What gives the bytes of a slice, fewer where it ends."""

    def __getitem__(self, index: slice, /) -> bytes | memoryview: ...


class Element(NamedTuple):
    """Where one Data Element lies in a buffer.

    `start` is the offset of the tag, `value` that of the value. `length` is the value's; where
    it was undefined, that of all items without the Sequence Delimitation Item, which takes 8
    bytes more. `vr` is b"" in Implicit VR.
    """

    tag: int
    vr: bytes
    start: int
    value: int
    length: int
    undefined: bool

    @property
    def end(self) -> int:
        """The offset behind the element, its delimiter included."""
        return self.value + self.length + 8 * self.undefined


class Window:
    """A file as a Buffer: `origin` is offset 0, `size` the bytes there are, one block is held."""

    def __init__(self, file: BinaryIO, origin: int, size: int, block: int = 1 << 16) -> None:
        self._file = file
        self._origin = origin
        self._block = block
        self._start = 0
        self._held = b""
        self.size = size

    def __getitem__(self, index: slice, /) -> bytes:
        start, stop, _ = index.indices(self.size)
        skip = start - self._start
        if skip >= 0 and stop - self._start <= len(self._held):
            return self._held[skip : skip + stop - start]
        self._file.seek(self._origin + start)
        wanted = min(max(stop - start, self._block), self.size - start)
        self._held, self._start = self._file.read(wanted), start
        return self._held[: max(0, stop - start)]


def encode(tag: int, vr: bytes, value: bytes) -> bytes:
    """One element in Explicit VR Little Endian, padded to even length (PS3.5 6.2, 7.1.2)."""
    length = len(value)
    if length & 1:
        value += b" " if vr in TEXT_VRS else b"\0"
        length += 1
    if vr in SHORT_VRS:
        if length > 0xFFFF:
            raise Unreadable(f"the value of {describe(tag)} is too long for its VR")
        return _SHORT.pack(tag >> 16, tag & 0xFFFF, vr, length) + value
    if length > MAXIMUM_LENGTH:
        raise Unreadable(f"the value of {describe(tag)} is too long for an element")
    return _LONG.pack(tag >> 16, tag & 0xFFFF, vr, 0, length) + value


def encode_item(content: bytes) -> bytes:
    """One item of defined length (PS3.5 7.5)."""
    return _IMPLICIT.pack(0xFFFE, 0xE000, len(content)) + content


def describe(tag: int) -> str:
    """A tag as the standard writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def scan(
    buffer: Buffer, start: int, end: int, *, explicit: bool, stop: int | None = None
) -> Iterator[Element]:
    """The elements between `start` and `end`, up to but not including the first at `stop` or above.

    `end` is where the data set ends if all of it is there, else where the buffer does: an
    element that runs past it raises NeedMore, which says "truncated" of a whole data set.
    """
    position = start
    unpack, new = _SHORT.unpack, tuple.__new__
    while position < end:
        raw = buffer[position : position + 8]
        if explicit and len(raw) == 8 and (fields := unpack(raw))[2] in SHORT_VRS:
            group, number, vr, length = fields
            tag, value = group << 16 | number, position + 8
        else:
            # What stands behind the end that is asked for may be encoded otherwise.
            if stop is not None and len(raw) >= 4 and _tag(raw) >= stop:
                return
            tag, vr, value, length = header(buffer, position, end, explicit=explicit)
        if stop is not None and tag >= stop:
            return
        behind = value + length
        if length == UNDEFINED_LENGTH:
            behind = close(buffer, value, end, explicit=explicit and vr != b"UN")
            yield Element(tag, vr, position, value, behind - 8 - value, True)
        elif behind <= end:
            yield new(Element, (tag, vr, position, value, length, False))
        else:
            raise NeedMore(f"{describe(tag)} is truncated")
        position = behind


def header(
    buffer: Buffer, position: int, end: int, *, explicit: bool
) -> tuple[int, bytes, int, int]:
    """Tag, VR, offset of the value, and length of the element at `position`."""
    raw = buffer[position : min(position + 8, end)]
    if len(raw) < 8:
        raise NeedMore("an element is truncated")
    if not explicit:
        group, number, length = _IMPLICIT.unpack(raw)
        _refuse_delimiter(group, number)
        return group << 16 | number, b"", position + 8, length
    group, number, vr, length = _SHORT.unpack(raw)
    if vr in SHORT_VRS:
        return group << 16 | number, vr, position + 8, length
    _refuse_delimiter(group, number)
    tag = group << 16 | number
    # A VR younger than this program has the long form (PS3.5 7.1.2).
    if vr not in LONG_VRS and not (length == 0 and vr.isalpha() and vr.isupper()):
        raise Unreadable(f"{describe(tag)} has no Value Representation")
    raw = buffer[position + 8 : min(position + 12, end)]
    if len(raw) < 4:
        raise NeedMore(f"{describe(tag)} is truncated")
    length = int.from_bytes(raw, "little")
    return tag, vr, position + 12, length


def close(buffer: Buffer, position: int, end: int, *, explicit: bool) -> int:
    """The offset behind the Sequence Delimitation Item that ends what starts at `position`.

    The stack holds what has undefined length and is still open: sequences at even depths,
    items at odd ones; for each, whether it is in Explicit VR (PS3.5 6.2.2 note 4, 7.5).
    """
    stack = [explicit]
    while stack:
        if len(stack) > 2 * MAXIMUM_DEPTH:
            raise Unreadable("sequences are nested too deeply")
        raw = buffer[position : min(position + 8, end)]
        if len(raw) < 8:
            raise NeedMore("a sequence of undefined length is truncated")
        group, number, length = _IMPLICIT.unpack(raw)
        if group == 0xFFFE:
            position = _delimiter(stack, number, length, position + 8)
        elif len(stack) & 1:
            raise Unreadable("a sequence has something between its items")
        else:
            _, vr, position, length = header(buffer, position, end, explicit=stack[-1])
            if length == UNDEFINED_LENGTH:
                stack.append(stack[-1] and vr != b"UN")
            else:
                position += length
        if position > end:
            raise NeedMore("a sequence of undefined length is truncated")
    return position


def _delimiter(stack: list[bool], number: int, length: int, position: int) -> int:
    """Open or close what an item tag at the top of the stack opens or closes."""
    in_sequence = bool(len(stack) & 1)
    if number == 0xE000 and in_sequence:
        if length != UNDEFINED_LENGTH:
            return position + length
        stack.append(stack[-1])
    elif number == (0xE0DD if in_sequence else 0xE00D):
        stack.pop()
    else:
        raise Unreadable("items and their delimiters do not match")
    return position


def items(buffer: Buffer, start: int, end: int, *, explicit: bool) -> Iterator[tuple[int, int]]:
    """Where the content of each item of a sequence starts and ends (PS3.5 7.5).

    `start` and `end` bound the sequence's value without its Sequence Delimitation Item.
    """
    position = start
    while position < end:
        raw = buffer[position : min(position + 8, end)]
        if len(raw) < 8:
            raise NeedMore("an item is truncated")
        group, number, length = _IMPLICIT.unpack(raw)
        position += 8
        if group << 16 | number == SEQUENCE_DELIMITATION_ITEM:
            return
        if group << 16 | number != ITEM:
            raise Unreadable("a sequence has something between its items")
        if length == UNDEFINED_LENGTH:
            behind = _close_item(buffer, position, end, explicit=explicit)
            yield position, behind - 8
            position = behind
        elif position + length > end:
            raise NeedMore("an item is truncated")
        else:
            yield position, position + length
            position += length


def _close_item(buffer: Buffer, position: int, end: int, *, explicit: bool) -> int:
    """The offset behind the Item Delimitation Item of the item whose content starts here."""
    while True:
        raw = buffer[position : min(position + 4, end)]
        if len(raw) < 4:
            raise NeedMore("an item is truncated")
        if _TAG.unpack(raw) == (0xFFFE, 0xE00D):
            if position + 8 > end:
                raise NeedMore("an item is truncated")
            return position + 8
        _, vr, value, length = header(buffer, position, end, explicit=explicit)
        if length == UNDEFINED_LENGTH:
            position = close(buffer, value, end, explicit=explicit and vr != b"UN")
        elif value + length > end:
            raise NeedMore("an item is truncated")
        else:
            position = value + length


def _tag(raw: bytes | memoryview) -> int:
    group, number = _TAG.unpack(raw[:4])
    return int(group << 16 | number)


def _refuse_delimiter(group: int, number: int) -> None:
    if group == 0xFFFE:
        raise Unreadable(f"{describe(group << 16 | number)} stands where an element should")


def uid(values: Mapping[int, bytes], tag: int) -> str:
    """A UID as text without its padding, "" where there is none."""
    return values.get(tag, b"").rstrip(b"\0 ").decode("latin-1").lstrip(" ")
