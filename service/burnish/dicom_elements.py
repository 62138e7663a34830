"""Ground: reads and writes encoded Data Elements (PS3.5 7).

`scan` walks the top level of a little-endian data set and skips the values; `items` walks the
items of one sequence; `encode` writes one element. A buffer is anything that returns bytes for a
slice: bytes, a memoryview, or a `Window` on a file that is too large for memory.

Nothing here is recursive: nesting is limited by MAXIMUM_DEPTH, work by the length of the buffer.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple, Protocol

from burnish.errors import Unreadable

ITEM = 0xFFFEE000
ITEM_DELIMITATION_ITEM = 0xFFFEE00D
SEQUENCE_DELIMITATION_ITEM = 0xFFFEE0DD
#: Pixel Data (7FE0,0010).
PIXEL_DATA = 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF
#: The longest value of defined length: lengths are even (PS3.5 7.1.1).
MAXIMUM_LENGTH = 0xFFFFFFFE
#: Deeper nesting is treated as damage; the deepest IODs have about ten levels.
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
    """The buffer ended within an element: a longer buffer may hold all of it."""


class Buffer(Protocol):
    """Anything that returns the bytes of a slice, fewer at its end."""

    def __getitem__(self, index: slice, /) -> bytes | memoryview: ...


class Element(NamedTuple):
    """The position of one Data Element in a buffer.

    `start` is the offset of the tag, `value` the offset of the value, `length` the length of the
    value. If that was undefined, `length` counts all items without the Sequence Delimitation Item
    of 8 bytes. `vr` is b"" in Implicit VR.
    """

    tag: int
    vr: bytes
    start: int
    value: int
    length: int
    undefined: bool

    @property
    def end(self) -> int:
        """The offset after the element and its delimiter."""
        return self.value + self.length + 8 * self.undefined


class Window:
    """The `size` bytes of a file from `origin` on as a Buffer, of which one block is in memory."""

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
        length = min(max(stop - start, self._block), self.size - start)
        self._held, self._start = self._file.read(length), start
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
    """The elements between `start` and `end`, but none from the first tag at `stop` or above on.

    `end` is the end of the data set or, if only part of it is in the buffer, of the buffer. An
    element that extends beyond it raises NeedMore.
    """
    position = start
    unpack, new = _SHORT.unpack, tuple.__new__
    while position < end:
        raw = buffer[position : position + 8]
        if explicit and len(raw) == 8 and (fields := unpack(raw))[2] in SHORT_VRS:
            group, number, vr, length = fields
            tag, value = group << 16 | number, position + 8
        else:
            # Elements at `stop` and above may be encoded in another way.
            if stop is not None and len(raw) >= 4 and _tag(raw) >= stop:
                return
            tag, vr, value, length = header(buffer, position, end, explicit=explicit)
        if stop is not None and tag >= stop:
            return
        after = value + length
        if length == UNDEFINED_LENGTH:
            after = close(buffer, value, end, explicit=explicit and vr != b"UN")
            yield Element(tag, vr, position, value, after - 8 - value, True)
        elif after <= end:
            yield new(Element, (tag, vr, position, value, length, False))
        else:
            raise NeedMore(f"{describe(tag)} is truncated")
        position = after


def header(
    buffer: Buffer, position: int, end: int, *, explicit: bool
) -> tuple[int, bytes, int, int]:
    """Tag, VR, offset of the value, and length of the element at `position`."""
    raw = buffer[position : min(position + 8, end)]
    if len(raw) < 8:
        raise NeedMore("an element is truncated")
    if not explicit:
        group, number, length = _IMPLICIT.unpack(raw)
        _reject_delimiter(group, number)
        return group << 16 | number, b"", position + 8, length
    group, number, vr, length = _SHORT.unpack(raw)
    if vr in SHORT_VRS:
        return group << 16 | number, vr, position + 8, length
    _reject_delimiter(group, number)
    tag = group << 16 | number
    # A VR that is not known yet has the long form (PS3.5 7.1.2).
    if vr not in LONG_VRS and not (length == 0 and vr.isalpha() and vr.isupper()):
        raise Unreadable(f"{describe(tag)} has no Value Representation")
    raw = buffer[position + 8 : min(position + 12, end)]
    if len(raw) < 4:
        raise NeedMore(f"{describe(tag)} is truncated")
    length = int.from_bytes(raw, "little")
    return tag, vr, position + 12, length


def close(buffer: Buffer, position: int, end: int, *, explicit: bool) -> int:
    """The offset after the Sequence Delimitation Item of the sequence whose value is at `position`.

    The stack has an entry for each open sequence (even depths) and item (odd depths) of undefined
    length: whether it is in Explicit VR (PS3.5 6.2.2 note 4, 7.5).
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
            raise Unreadable("a sequence has data between its items")
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
    """Opens or closes the item or sequence at the top of the stack; the offset after the tag."""
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
    """The start and end of the content of each item of a sequence (PS3.5 7.5).

    `start` and `end` are those of the sequence's value without its Sequence Delimitation Item.
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
            raise Unreadable("a sequence has data between its items")
        if length == UNDEFINED_LENGTH:
            after = _close_item(buffer, position, end, explicit=explicit)
            yield position, after - 8
            position = after
        elif position + length > end:
            raise NeedMore("an item is truncated")
        else:
            yield position, position + length
            position += length


def _close_item(buffer: Buffer, position: int, end: int, *, explicit: bool) -> int:
    """The offset after the Item Delimitation Item of the item whose content is at `position`."""
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


def _reject_delimiter(group: int, number: int) -> None:
    if group == 0xFFFE:
        raise Unreadable(f"{describe(group << 16 | number)} is not permitted here")


def uid(values: Mapping[int, bytes], tag: int) -> str:
    """A UID as text without its padding; "" if it is absent."""
    return uid_of(values.get(tag, b""))


def uid_of(value: bytes) -> str:
    """The value of a UID as text without its padding."""
    return value.rstrip(b"\0 ").decode("latin-1").lstrip(" ")
