"""Surface: whether the bytes of a DIMSE-N data set are whole elements up to the last one (PS3.5 7).

pydicom reads a data set that was cut, and ignores what it does not understand behind its end. A
UID that was cut is another UID. So each data set that pydicom is to read is examined here first.
"""

import struct

from pydicom.datadict import dictionary_VR

from burnish.dicom_elements import (
    ITEM,
    ITEM_DELIMITATION_ITEM,
    LONG_VRS,
    MAXIMUM_DEPTH,
    SEQUENCE_DELIMITATION_ITEM,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    describe,
)
from burnish.errors import Unreadable
from burnish.vocabulary import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

#: Groups 0000 to 0007 cannot be in a data set (PS3.5 7.1).
_FIRST_GROUP = 0x0008
_DELIMITER_GROUP = 0xFFFE


def check_structure(data: bytes, transfer_syntax_uid: str) -> None:
    """Raises Unreadable if a data set is cut, or has bytes that belong to no element."""
    is_big_endian = transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN
    walk = _StructureWalk(data, ">" if is_big_endian else "<")
    explicit = transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN
    walk.check_elements(0, len(data), depth=0, explicit=explicit, is_delimited=False)


class _StructureWalk:
    """Walks the elements of a data set and of the items in it."""

    def __init__(self, data: bytes, byte_order: str) -> None:
        self._data = data
        self._tag_and_length = struct.Struct(f"{byte_order}HHL")
        self._tag_vr_and_length = struct.Struct(f"{byte_order}HH2sH")
        self._length = struct.Struct(f"{byte_order}L")

    def check_elements(
        self, position: int, end: int, *, depth: int, explicit: bool, is_delimited: bool
    ) -> int:
        """Checks elements up to `end`, or to an Item Delimitation Item; returns the offset behind.

        Raises Unreadable.
        """
        tags: set[int] = set()
        while position < end:
            tag, vr, value, length = self._header(position, end, explicit=explicit)
            if is_delimited and tag == ITEM_DELIMITATION_ITEM:
                return value
            if tag >> 16 < _FIRST_GROUP or tag >> 16 == _DELIMITER_GROUP:
                raise Unreadable(f"the data set has {describe(tag)}, which it cannot have")
            if tag in tags:
                raise Unreadable(f"the data set has {describe(tag)} twice")
            tags.add(tag)
            position = self._check_value(
                tag, vr, value, length, end=end, depth=depth, explicit=explicit
            )
        if is_delimited:
            raise Unreadable("the data set ends within an item")
        return position

    def _header(self, position: int, end: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """Tag, VR, offset of the value, and length of the element at `position`."""
        if position + 8 > end:
            raise Unreadable("the data set ends within an element")
        group, number, length = self._tag_and_length.unpack_from(self._data, position)
        tag = group << 16 | number
        if not explicit or group == _DELIMITER_GROUP:
            return tag, b"", position + 8, length
        _, _, vr, length = self._tag_vr_and_length.unpack_from(self._data, position)
        if vr in SHORT_VRS:
            return tag, vr, position + 8, length
        if vr not in LONG_VRS:
            raise Unreadable(f"{describe(tag)} has no Value Representation")
        if position + 12 > end:
            raise Unreadable("the data set ends within an element")
        (length,) = self._length.unpack_from(self._data, position + 8)
        return tag, vr, position + 12, length

    def _check_value(
        self,
        tag: int,
        vr: bytes,
        value: int,
        length: int,
        *,
        end: int,
        depth: int,
        explicit: bool,
    ) -> int:
        """Checks a value and the items in it; returns the offset behind it."""
        if length == UNDEFINED_LENGTH:
            if vr not in (b"SQ", b"UN", b""):
                raise Unreadable(f"{describe(tag)} cannot be of undefined length")
            # a value of VR UN and undefined length is in Implicit VR (PS3.5 6.2.2)
            explicit = explicit and vr != b"UN"
            return self._check_items(value, end, depth=depth, explicit=explicit, is_delimited=True)
        if value + length > end:
            raise Unreadable(f"the data set ends within {describe(tag)}")
        if vr == b"SQ" or (vr == b"" and _is_sequence(tag)):
            self._check_items(
                value, value + length, depth=depth, explicit=explicit, is_delimited=False
            )
        return value + length

    def _check_items(
        self, position: int, end: int, *, depth: int, explicit: bool, is_delimited: bool
    ) -> int:
        """Checks the items of a sequence; returns the offset behind it."""
        if depth >= MAXIMUM_DEPTH:
            raise Unreadable("sequences are nested too deeply")
        while position < end:
            tag, _, content, length = self._header(position, end, explicit=False)
            if tag == SEQUENCE_DELIMITATION_ITEM and (is_delimited or content == end):
                return content
            if tag != ITEM:
                raise Unreadable("a sequence has data between its items")
            item_end = end if length == UNDEFINED_LENGTH else content + length
            if item_end > end:
                raise Unreadable("the data set ends within an item")
            position = self.check_elements(
                content,
                item_end,
                depth=depth + 1,
                explicit=explicit,
                is_delimited=length == UNDEFINED_LENGTH,
            )
        if is_delimited:
            raise Unreadable("the data set ends within a sequence")
        return position


def _is_sequence(tag: int) -> bool:
    """Whether the data dictionary says that an element is a sequence."""
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
