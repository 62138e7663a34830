"""Craft: walks all elements of a data set, to any depth, and checks how they are encoded (PS3.5 7).

Every transfer syntax is walked as it is stored, also big endian; a deflated data set is inflated
before.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from burnish.dicom_elements import (
    ITEM,
    ITEM_DELIMITATION_ITEM,
    LONG_VRS,
    MAXIMUM_DEPTH,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION_ITEM,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    NeedMore,
    close,
    describe,
    scan,
)
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Converter, Layout, dictionary_vr, little_endian
from burnish.instance_header.element_checks import DELIMITER, attribute, element_faults, nested
from burnish.wording import quantity

#: Bytes that are read at once.
BLOCK = 1 << 15
#: Bytes before an item of Pixel Data that are read with it: there the frame before it ends.
_BEFORE_ITEM = 1 << 9
#: The longest header of an element: with the long form of its length.
_LONGEST_HEADER = 12
#: The most zeros behind a data set that are taken for padding.
_LONGEST_PADDING = 1 << 16
#: The longest sequence whose items are compared with a record.
_LONGEST_SEQUENCE = 1 << 20
#: More fragments, or a longer offset table, are taken for damage; no image has a million frames.
_MAXIMUM_FRAGMENTS = 1 << 20
_IMPLICIT = Layout(explicit=False, big_endian=False)
_ITEM_GROUP = 0xFFFE
_ITEM_NAMES = {
    ITEM: "Item ",
    ITEM_DELIMITATION_ITEM: "Item Delimitation Item ",
    SEQUENCE_DELIMITATION_ITEM: "Sequence Delimitation Item ",
}
#: VRs whose values may be items of undefined length; b"" is that of Implicit VR (PS3.5 7.1.2).
_SEQUENCE_VRS = frozenset({b"SQ", b"UN", b""})
#: In a longer path to an element, the levels in the middle are left out.
_LONGEST_PATH = 8

#: Reads bytes of the data set at an offset, fewer where it ends.
Read = Callable[[int, int], bytes]
#: Called with what is wrong: its kind, and a sentence without its subject.
Report = Callable[[str, str], None]


class Value(NamedTuple):
    """Where the value of a top-level element lies. `undefined`: its length is not stored."""

    vr: bytes
    start: int
    length: int
    undefined: bool


class _OpenLevel:
    """A sequence or an item that has begun.

    `end` is where it ends, None if its length is undefined. `limit` is where the innermost level of
    defined length ends that it is in; the level itself counts. `number` is the tag of a sequence,
    or the number of an item.
    """

    __slots__ = ("end", "explicit", "is_sequence", "items", "limit", "number", "previous")

    def __init__(
        self, number: int, end: int | None, limit: int, *, explicit: bool, is_sequence: bool
    ) -> None:
        self.number, self.end, self.limit = number, end, limit if end is None else end
        self.explicit, self.is_sequence = explicit, is_sequence
        #: The highest tag of the item so far.
        self.previous = -1
        #: The number of items of the sequence so far.
        self.items = 0


class DataSetWalk:
    """One data set, which lies between `start` and `end` of what `read` reads.

    `wanted` says of which elements `run` keeps the values, and the most bytes of each. `block` are
    bytes from offset 0 on that have been read already. `fragments` are those of Pixel Data,
    without the Basic Offset Table, which is `offset_table`.
    """

    def __init__(
        self,
        read: Read,
        start: int,
        end: int,
        layout: Layout,
        report: Report,
        *,
        block: bytes = b"",
    ) -> None:
        self._read, self._start, self._end = read, start, end
        self._layout, self._report = layout, report
        self._block_start, self._block = 0, block
        order = ">" if layout.big_endian else "<"
        self._explicit_header = struct.Struct(f"{order}HH2sH")
        self._plain_header = struct.Struct(f"{order}HHL")
        self._length = struct.Struct(f"{order}L")
        self.bytes_read = len(block)
        self.values: dict[int, bytes] = {}
        self.fragments: list[tuple[int, int]] = []
        self.offset_table = b""
        self.pixel_data: Value | None = None
        #: Where the sequences among the wanted elements lie; not those that are damaged.
        self.sequences: dict[int, Value] = {}
        self._damaged: set[int] = set()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the data set, fewer where it ends."""
        length = min(length, self._end - offset)
        skip = offset - self._block_start
        if skip < 0 or skip + length > len(self._block):
            self._load(offset, length)
            skip = offset - self._block_start
        return self._block[skip : skip + length]

    def run(self, wanted: Mapping[int, int]) -> None:
        """Walks to the end.

        Raises NeedMore if the data set is truncated, Unreadable if it cannot be walked on.
        """
        # One loop with few calls: of a CT image with 120 elements it takes 40 us.
        explicit, end = self._layout.explicit, self._end
        unpack = (self._explicit_header if explicit else self._plain_header).unpack_from
        short_vrs = SHORT_VRS
        position, previous = self._start, -1
        vr = b""
        while position < end:
            at = position - self._block_start
            if at < 0 or at + _LONGEST_HEADER > len(self._block):
                self._load_header(position)
                at = 0
            if explicit:
                group, number, vr, length = unpack(self._block, at)
                if vr in short_vrs:
                    tag, start = group << 16 | number, position + 8
                else:
                    tag, vr, start, length = self._long_header(position, group, number, vr, length)
            else:
                group, number, length = unpack(self._block, at)
                tag, start = group << 16 | number, position + 8
            if tag <= previous or length & 1 or group <= 2 or group == _ITEM_GROUP:
                if not tag and self._is_padding(position):
                    self._report_padding(position)
                    return
                self._check_element(tag, length, previous)
            after = start + length
            if length == UNDEFINED_LENGTH:
                after = self._undefined(tag, vr, start)
                self._keep(tag, Value(vr, start, after - start - 8, True), wanted)
            elif after > end:
                raise _truncated(tag, after, end)
            elif vr == b"SQ" or (not explicit and dictionary_vr(tag) == b"SQ"):
                self._defined(tag, start, after)
                self._keep(tag, Value(b"SQ", start, length, False), wanted)
            elif tag in wanted:
                self._keep(tag, Value(vr, start, length, False), wanted)
            previous = max(previous, tag)
            position = after

    def _keep(self, tag: int, value: Value, wanted: Mapping[int, int]) -> None:
        if tag == PIXEL_DATA:
            self.pixel_data = value
            return
        if value.undefined or value.vr == b"SQ":
            if tag not in wanted or tag in self._damaged:
                return
            self.sequences[tag] = value
        kept = self.read(value.start, min(value.length, wanted[tag]))
        self.values[tag] = little_endian(kept, value.vr) if self._layout.big_endian else kept

    def explicit_items(self, tag: int) -> bytes:
        """The items of a sequence in Explicit VR Little Endian; b"" if it is absent or too long."""
        value = self.sequences.get(tag)
        if value is None or value.length > _LONGEST_SEQUENCE:
            return b""
        items = self.read(value.start, value.length)
        encoding = self._layout if value.vr != b"UN" else _IMPLICIT
        if encoding.explicit and not encoding.big_endian:
            return items
        # The converter takes whole data sets: one with a single sequence.
        group, number = tag >> 16, tag & 0xFFFF
        if encoding.explicit:
            head = self._explicit_header.pack(group, number, b"SQ", 0)
            head += self._length.pack(len(items))
        else:
            head = struct.pack("<HHL", group, number, len(items))
        data_set = head + items
        converted = b"".join(Converter(data_set, 0, len(data_set), encoding).convert())
        element = next(scan(converted, 0, len(converted), explicit=True))
        return converted[element.value : element.value + element.length]

    # --- bytes ---

    def _load(self, offset: int, length: int) -> None:
        self._block = self._read(offset, min(max(length, BLOCK), self._end - offset))
        self._block_start = offset
        self.bytes_read += len(self._block)

    def _load_header(self, position: int) -> None:
        self._load(position, _LONGEST_HEADER)
        if len(self._block) < 8:
            raise NeedMore(f"its last element ends at byte {position}, the file at {self._end}")

    def __getitem__(self, index: slice) -> bytes:
        return self.read(index.start, index.stop - index.start)

    def _long_header(
        self, position: int, group: int, number: int, vr: bytes, length: int
    ) -> tuple[int, bytes, int, int]:
        """Tag, VR, offset of the value and length of an element with the long form (7.1.2)."""
        tag = group << 16 | number
        if group == _ITEM_GROUP:
            raise Unreadable(f"{describe(tag)} is where an element should be, at byte {position}")
        # A VR that is not known yet has the long form.
        if vr not in LONG_VRS and not (length == 0 and vr.isalpha() and vr.isupper()):
            if not tag and self._is_padding(position):
                return tag, b"", position + 8, 1
            raise Unreadable(f"{describe(tag)} has no Value Representation, at byte {position}")
        raw = self.read(position + 8, 4)
        if len(raw) < 4:
            raise NeedMore(f"{attribute(tag)} is truncated")
        return tag, vr, position + 12, self._length.unpack(raw)[0]

    def _item_header(self, position: int) -> tuple[int, int, int]:
        """Tag of an item or delimiter, the offset of what follows, and the length."""
        raw = self.read(position, 8)
        if len(raw) < 8:
            raise NeedMore("an item is truncated")
        group, number, length = self._plain_header.unpack(raw)
        return group << 16 | number, position + 8, length

    # --- elements ---

    def _check_element(self, tag: int, length: int, previous: int) -> None:
        """Reports what is wrong with an element as such."""
        if tag >> 16 == _ITEM_GROUP:
            raise Unreadable(f"{describe(tag)} is where an element should be")
        for kind, message in element_faults(tag, length, previous):
            self._report(kind, message)

    def _check_nested_element(self, tag: int, length: int, stack: Sequence[_OpenLevel]) -> None:
        """As `_check_element`, for an element of the item on top of `stack`."""
        for kind, message in element_faults(tag, length, stack[-1].previous):
            self._report(nested(kind), f"in its {_path(stack)}, {message}")

    def _is_padding(self, position: int) -> bool:
        left = self._end - position
        return left <= _LONGEST_PADDING and not any(self.read(position, left))

    def _report_padding(self, position: int) -> None:
        left = self._end - position
        self._report("padding", f"it has {left} zero bytes behind its last element")

    # --- sequences ---

    def _undefined(self, tag: int, vr: bytes, start: int) -> int:
        """The offset behind an element of undefined length and its delimiter."""
        if tag == PIXEL_DATA and vr not in (b"SQ", b"UN"):
            return self._walk_fragments(tag, start)
        if vr == b"UN" and self._layout.big_endian:
            # Its items are in Implicit VR Little Endian (PS3.5 6.2.2 note 4).
            return close(self, start, self._end, explicit=False)
        explicit = self._layout.explicit and vr != b"UN"
        sequence = _OpenLevel(tag, None, self._end, explicit=explicit, is_sequence=True)
        try:
            if vr not in _SEQUENCE_VRS:
                raise Unreadable(f"its {_undefined_length(tag, vr)}")
            return self._walk(sequence, start)
        except Unreadable as error:
            if self._layout.big_endian:
                raise
            # The delimiters may tell where the next element is.
            with suppress(Unreadable):
                after = close(self, start, self._end, explicit=explicit)
                self._report_sequence(tag, error)
                return after
            raise

    def _defined(self, tag: int, start: int, end: int) -> None:
        sequence = _OpenLevel(tag, end, end, explicit=self._layout.explicit, is_sequence=True)
        try:
            self._walk(sequence, start)
        except Unreadable as error:
            # The length of the whole sequence tells where the next element is.
            self._report_sequence(tag, error)

    def _report_sequence(self, tag: int, error: Unreadable) -> None:
        self._damaged.add(tag)
        self._report("sequence", str(error))

    def _walk_fragments(self, tag: int, start: int, *, is_nested: bool = False) -> int:
        """Takes the fragments of Pixel Data; returns the offset behind their delimiter (A.4).

        Those of an icon, or of another nested image, are only walked.
        """
        position = start
        is_pixel_data = tag == PIXEL_DATA and not is_nested
        is_first = True
        while True:
            if position - self._block_start + 8 > len(self._block):
                self._load(max(self._start, position - _BEFORE_ITEM), 8 + _BEFORE_ITEM)
            item, value, length = self._item_header(position)
            if item == SEQUENCE_DELIMITATION_ITEM:
                if length:
                    self._report(DELIMITER, f"its {attribute(tag)} has a delimiter with a length")
                return value
            if item != ITEM or length == UNDEFINED_LENGTH:
                name = describe(item)
                raise Unreadable(f"its {attribute(tag)} has {name} where a fragment should begin")
            if value + length > self._end:
                message = f"a fragment of its {attribute(tag)} should end at byte {value + length}"
                raise NeedMore(f"{message}, the file ends at byte {self._end}")
            if length & 1:
                message = f"a fragment of its {attribute(tag)} has {length} bytes"
                self._report("length", f"{message}, where lengths are even")
            if is_pixel_data and is_first:
                self.offset_table = self.read(value, min(length, 4 * _MAXIMUM_FRAGMENTS))
            elif is_pixel_data:
                self.fragments.append((value, length))
                if len(self.fragments) > _MAXIMUM_FRAGMENTS:
                    raise Unreadable(f"its {attribute(tag)} has too many fragments")
            is_first = False
            position = value + length

    def _walk(self, sequence: _OpenLevel, position: int) -> int:
        """Walks a sequence and all in it; returns the offset behind it (PS3.5 7.5).

        Raises Unreadable, or NeedMore, with the path to what is wrong.
        """
        stack = [sequence]
        try:
            return self._walk_levels(stack, position)
        except Unreadable as error:
            raise type(error)(f"its {_path(stack)}: {error}") from error

    def _walk_levels(self, stack: list[_OpenLevel], position: int) -> int:  # noqa: PLR0912
        # One loop with few calls: an element within an item takes 0.6 us.
        unpack_explicit = self._explicit_header.unpack_from
        unpack_plain = self._plain_header.unpack_from
        short_vrs = SHORT_VRS
        vr = b""
        while stack:
            top = stack[-1]
            left = top.limit - position
            if left < 8:
                if top.end is None or left:
                    raise self._without_end(top, left)
                stack.pop()
                continue
            at = position - self._block_start
            if at < 0 or at + _LONGEST_HEADER > len(self._block):
                self._load_header(position)
                at = 0
            group, number, length = unpack_plain(self._block, at)
            tag, start = group << 16 | number, position + 8
            if group == _ITEM_GROUP:
                position = self._item_or_delimiter(stack, tag, length, start)
                continue
            if top.is_sequence:
                raise Unreadable(f"{attribute(tag)} is where an item should begin")
            if top.explicit:
                _, _, vr, length = unpack_explicit(self._block, at)
                if vr not in short_vrs:
                    start, length = self._long_length(position, tag, vr, length)
            after = start + length
            if after > top.limit and length != UNDEFINED_LENGTH:
                raise self._too_long(attribute(tag), length, start, top)
            if tag <= top.previous or length & 1 or group <= 2:
                self._check_nested_element(tag, length, stack)
            top.previous = max(top.previous, tag)
            if length == UNDEFINED_LENGTH:
                position = self._nested_undefined(stack, tag, vr if top.explicit else b"", start)
            elif vr == b"SQ" if top.explicit else dictionary_vr(tag) == b"SQ":
                _open_sequence(stack, tag, after, explicit=top.explicit)
                position = start
            else:
                position = after
        return position

    def _nested_undefined(self, stack: list[_OpenLevel], tag: int, vr: bytes, start: int) -> int:
        """Opens a sequence of undefined length, or passes fragments; the offset to go on at."""
        if tag == PIXEL_DATA and vr not in (b"SQ", b"UN"):
            return self._walk_fragments(tag, start, is_nested=True)
        if vr not in _SEQUENCE_VRS:
            raise Unreadable(_undefined_length(tag, vr))
        _open_sequence(stack, tag, None, explicit=stack[-1].explicit and vr != b"UN")
        return start

    def _long_length(self, position: int, tag: int, vr: bytes, length: int) -> tuple[int, int]:
        """The offset of the value and the length of a nested element with the long form (7.1.2)."""
        if vr not in LONG_VRS and not (length == 0 and vr.isalpha() and vr.isupper()):
            shown = vr.decode("ascii") if vr.isalpha() else vr.hex(" ").upper()
            raise Unreadable(f"{attribute(tag)} has no Value Representation, but {shown}")
        raw = self.read(position + 8, 4)
        if len(raw) < 4:
            raise NeedMore(f"{attribute(tag)} is truncated")
        return position + 12, self._length.unpack(raw)[0]

    def _without_end(self, level: _OpenLevel, left: int) -> Unreadable:
        """The error where what a level is in ends, or ends within the next element."""
        error = NeedMore if level.limit == self._end else Unreadable
        if left > 0:
            return error(f"its last {quantity(left, 'byte')} are no element")
        return error("its delimiter is missing")

    def _too_long(self, name: str, length: int, start: int, level: _OpenLevel) -> Unreadable:
        """The error for what should end behind the end of the level that it is in."""
        error = NeedMore if level.limit == self._end else Unreadable
        left = level.limit - start
        return error(f"{name} should have {quantity(length, 'byte')}, of which {left} are there")

    def _item_or_delimiter(self, stack: list[_OpenLevel], tag: int, length: int, start: int) -> int:
        """Opens an item, or closes the sequence or item on top; the offset behind the tag."""
        top = stack[-1]
        if tag == ITEM and top.is_sequence:
            top.items += 1
            end = None if length == UNDEFINED_LENGTH else start + length
            if end is not None and end > top.limit:
                raise self._too_long(f"item {top.items}", length, start, top)
            stack.append(
                _OpenLevel(top.items, end, top.limit, explicit=top.explicit, is_sequence=False)
            )
            return start
        expected = SEQUENCE_DELIMITATION_ITEM if top.is_sequence else ITEM_DELIMITATION_ITEM
        # readers pass over the delimiter of a sequence of defined length that ends with it
        is_needless = top.is_sequence and start == top.end
        if tag != expected or (top.end is not None and not is_needless):
            raise Unreadable(f"{_ITEM_NAMES.get(tag, '')}{describe(tag)} is where it must not be")
        if is_needless:
            message = f"its {_path(stack)} has a delimiter, although its length is defined"
            self._report(DELIMITER, message)
        elif length:
            message = f"its {_path(stack)} has a delimiter with a length"
            self._report(DELIMITER, message)
        stack.pop()
        return start


def _path(stack: Sequence[_OpenLevel]) -> str:
    """The way to what is on top: sequences by name and tag, items by number."""
    names = [
        attribute(level.number) if level.is_sequence else f"item {level.number}" for level in stack
    ]
    if len(names) > _LONGEST_PATH:
        half = _LONGEST_PATH // 2
        names[half:-half] = ["..."]
    return ", ".join(names)


def _open_sequence(stack: list[_OpenLevel], tag: int, end: int | None, *, explicit: bool) -> None:
    stack.append(_OpenLevel(tag, end, stack[-1].limit, explicit=explicit, is_sequence=True))
    if len(stack) > 2 * MAXIMUM_DEPTH:
        raise Unreadable(f"sequences are nested more than {MAXIMUM_DEPTH} deep")


def _undefined_length(tag: int, vr: bytes) -> str:
    name = vr.decode("ascii")
    return f"{attribute(tag)} has undefined length, which VR {name} does not permit"


def _truncated(tag: int, stated: int, end: int) -> NeedMore:
    return NeedMore(f"its {attribute(tag)} should end at byte {stated}, it ends at byte {end}")
