"""Craft: finds the values that the header index needs, without reading the rest of a data set.

Usually all of them are in the first bytes, which are scanned as they were received. The remaining
elements are walked in the file: their values are skipped unless they are needed.
"""

import struct
from collections.abc import Callable
from contextlib import ExitStack
from typing import BinaryIO, Literal

from burnish import site_records
from burnish.application_profiles.limits import LIMITED_ON_ARRIVAL
from burnish.dicom_elements import (
    LONG_VRS,
    PIXEL_DATA,
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
from burnish.instance_header.element_checks import FOREIGN_GROUPS, TOLERABLE, ElementChecks
from burnish.instance_header.inflated import Inflated
from burnish.values import HeaderValues
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from burnish.wording import quantity

_PIXEL_GROUP = 0x7FE00000
#: Bytes of the longest value that is indexed; a longer one is damage or an attack.
_LONGEST_VALUE = 1 << 24
#: The most bytes before the Pixel Data of a data set that is deflated or in big endian.
_LONGEST_HEADER = 1 << 26
#: The most bytes after the Pixel Data of a deflated data set.
_LONGEST_TAIL = 1 << 24
#: Longer elements before the Pixel Data of a data set in big endian are not indexed.
_LONGEST_SWAPPED_VALUE = 1 << 20
#: The most zeros behind a data set with which a copy is filled up to a sector.
_LONGEST_PADDING = 1 << 16
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"

_IDENTITY = {0x00080005, 0x00080016, 0x00080018, 0x0008001A, 0x00100021}
#: Dates and times that may replace a missing Study Date.
_DATES = {0x00080021, 0x00080022, 0x00080023, 0x00080031, 0x00080032, 0x00080033}
#: Sequences from whose items keys are made.
_SOURCES = {0x0040A073, 0x52009229}
_KEYS = {key.tag for table in (KEYS, CD_KEYS, DVD_KEYS) for keys in table.values() for key in keys}
#: The tags of the values that are indexed, apart from those of further keys.
INDEXED = frozenset(_IDENTITY | _DATES | _SOURCES | _KEYS | LIMITED_ON_ARRIVAL)

_SHORT = frozenset(int.from_bytes(vr, "little") for vr in SHORT_VRS)
_LONG = frozenset(int.from_bytes(vr, "little") for vr in LONG_VRS)
_UN = int.from_bytes(b"UN", "little")
_SQ = int.from_bytes(b"SQ", "little")
_EXPLICIT_HEADER = struct.Struct("<HHHH")
_IMPLICIT_HEADER = struct.Struct("<HHL")
_LENGTH = struct.Struct("<L")


def _indexed_tags() -> frozenset[int]:
    further = site_records.in_use().indexed_tags
    return INDEXED | further if further else INDEXED


def find_values(
    head: bytes, size: int, transfer_syntax_uid: str, reopen: Callable[[], BinaryIO]
) -> HeaderValues:
    """The indexed values of a data set of `size` bytes that begins with `head`.

    `reopen` returns a file positioned at the first byte of the data set. Raises Unreadable if
    the data set cannot be parsed or is truncated.
    """
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return _find_in_deflated(size, reopen)
    if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
        return _find_in_big_endian(head, size, reopen)
    result = HeaderValues(explicit=transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN)
    # In Implicit VR only the data dictionary tells, and to ask it for each element takes too long.
    result.has_sequences = not result.explicit
    _refuse_foreign_group(head, explicit=result.explicit)
    position, last = (_scan_explicit if result.explicit else _scan_implicit)(head, result)
    if position > size:
        raise NeedMore("the data set is truncated")
    if head[last : last + 4] == bytes(4):
        position = 0  # zeros behind the data set, which look like elements in Implicit VR
    if position < size:
        if len(head) >= size:
            last = _walk(head, position, size, result, last)
        else:
            with reopen() as file:
                window = Window(file, file.tell(), size, 1 << 13)
                last = _walk(window, position, size, result, last)
    if (size - result.padding) & 1 and last < len(head):
        _note_odd_length(head, last, size - result.padding, result)
    if result.irregular:
        _note_fault(head, size, reopen, result)
    return result


def _refuse_foreign_group(head: bytes, *, explicit: bool, big_endian: bool = False) -> None:
    """Raise Unreadable if the data set begins with elements of messages or of files.

    A file that has them would be read with another transfer syntax than its own (PS3.5 7.1).
    """
    order: Literal["big", "little"] = "big" if big_endian else "little"
    group, number = (int.from_bytes(head[start : start + 2], order) for start in (0, 2))
    if len(head) >= 12 and group in FOREIGN_GROUPS and head[:4] != bytes(4):
        if explicit and not head[4:6].isalpha():
            return  # no element, but damage or the wrong transfer syntax
        tag = describe(group << 16 | number)
        raise Unreadable(f"the data set begins with {tag}, which is not of a data set")


def _note_fault(
    head: bytes, size: int, reopen: Callable[[], BinaryIO], result: HeaderValues
) -> None:
    """Take in words what is wrong with the elements of a data set that is not regular.

    The walk from the beginning is repeated: few data sets are irregular.
    """
    checks = ElementChecks()
    end = size - result.padding
    even_length_at = result.odd_length[0] if result.odd_length else -1
    with ExitStack() as files:
        buffer: Buffer = head
        if len(head) < size:
            file = files.enter_context(reopen())
            buffer = Window(file, file.tell(), size, 1 << 13)
        position = 0
        while position < end and not result.fault:
            tag, vr, start, length = header(buffer, position, end, explicit=result.explicit)
            is_repaired = 0 < start - even_length_at <= 4 and even_length_at >= 0
            checked_length = length + 1 if is_repaired else length
            for kind, text in checks.faults(tag, checked_length):
                if kind not in TOLERABLE:
                    result.fault = text
                elif not result.tolerable_fault:
                    result.tolerable_fault = text
            position = start + length
            if length == UNDEFINED_LENGTH:
                explicit = result.explicit and vr != b"UN"
                position = _end_of_undefined_length(buffer, tag, start, end, explicit=explicit)


def _note_odd_length(head: bytes, last: int, end: int, result: HeaderValues) -> None:
    """Take where the length of the last element is stored, if that is odd."""
    _, vr, start, length = header(head, last, end, explicit=result.explicit)
    field_size = 2 if vr in SHORT_VRS else 4
    if length & 1 and start + length == end and length + 1 < 1 << 8 * field_size:
        result.odd_length = start - field_size, (length + 1).to_bytes(field_size, "little")


def _scan_explicit(head: bytes, result: HeaderValues) -> tuple[int, int]:  # noqa: PLR0912
    """Takes the values in `head`.

    Returns where it stopped, and where the last element before that starts. It stops at an
    element that is cut off by the end of `head`, or not in Explicit VR. If the last element is
    skipped and ends beyond `head`, the result lies beyond `head` too.
    """
    # One loop without calls: it takes 12 µs for sixty elements, half of `dicom_elements.scan`.
    position, last, end = 0, 0, len(head)
    values, indexed, pixel_data = result.values, _indexed_tags(), PIXEL_DATA
    short_vrs, long_vrs, unpack = _SHORT, _LONG, _EXPLICIT_HEADER.unpack_from
    highest = lengths = 0
    try:
        while position < end:
            group, number, vr, length = unpack(head, position)
            key = group << 16 | number
            if key <= highest:
                result.irregular = True
            highest = key
            if vr in short_vrs:
                after = position + 8 + length
            elif vr in long_vrs:
                start = position + 12
                (length,) = _LENGTH.unpack_from(head, position + 8)
                if key == pixel_data:
                    result.pixel_data_length = length
                if vr == _SQ or (length == UNDEFINED_LENGTH and key != pixel_data):
                    result.has_sequences = True
                if vr == _UN and key in indexed:
                    result.implicit.add(key)
                if length == UNDEFINED_LENGTH:
                    after = close(head, start, end, explicit=vr != _UN)
                    if key in indexed:
                        values[key] = head[start : after - 8]
                    last, position = position, after
                    continue
                after = start + length
            else:
                return position, last
            if key in indexed:
                if after > end:
                    return position, last
                values[key] = head[after - length : after]
            lengths |= length
            last, position = position, after
    except (struct.error, Unreadable):
        return position, last
    finally:
        result.irregular = result.irregular or lengths & 1 == 1
    return position, last


def _scan_implicit(head: bytes, result: HeaderValues) -> tuple[int, int]:
    """As `_scan_explicit`, for Implicit VR."""
    position, last, end = 0, 0, len(head)
    values, indexed, pixel_data = result.values, _indexed_tags(), PIXEL_DATA
    unpack = _IMPLICIT_HEADER.unpack_from
    highest = lengths = 0
    try:
        while position < end:
            group, number, length = unpack(head, position)
            if group == 0xFFFE:
                return position, last
            key = group << 16 | number
            if key <= highest:
                result.irregular = True
            highest = key
            start = position + 8
            if key == pixel_data:
                result.pixel_data_length = length
            if length == UNDEFINED_LENGTH:
                after = close(head, start, end, explicit=False)
                length = after - 8 - start
            else:
                after = start + length
            if key in indexed:
                if after > end:
                    return position, last
                values[key] = head[start : start + length]
            lengths |= length
            last, position = position, after
    except (struct.error, Unreadable):
        return position, last
    finally:
        result.irregular = result.irregular or lengths & 1 == 1
    return position, last


def _walk(buffer: Buffer, position: int, size: int, result: HeaderValues, last: int = 0) -> int:
    """Takes the remaining values, from the element at `position` to the end of the data set.

    Returns where the last element starts; `last` is where the one before `position` does.
    """
    checks = ElementChecks()
    indexed = _indexed_tags()
    if position:
        tag, _, _, length = header(buffer, last, size, explicit=result.explicit)
        any(checks.faults(tag, length))
    while position < size:
        if _is_padding(buffer, position, size):
            result.padding = size - position
            return last
        last = position
        try:
            tag, vr, start, length = header(buffer, position, size, explicit=result.explicit)
        except Unreadable as error:
            raise _unreadable_element(error, buffer, position, size, result) from error
        result.irregular = any(checks.faults(tag, length)) or result.irregular
        if tag == PIXEL_DATA:
            result.pixel_data_length = length
        elif vr == b"SQ" or length == UNDEFINED_LENGTH:
            result.has_sequences = True
        if length == UNDEFINED_LENGTH:
            explicit = result.explicit and vr != b"UN"
            after = _end_of_undefined_length(buffer, tag, start, size, explicit=explicit)
            length = after - 8 - start
        else:
            after = start + length
            if after > size:
                raise NeedMore(f"{describe(tag)} is truncated")
        if tag in indexed:
            if length > _LONGEST_VALUE:
                raise Unreadable(f"{describe(tag)} is too long to be indexed")
            result.values[tag] = bytes(buffer[start : start + length])
            if vr == b"UN":
                result.implicit.add(tag)
        position = after
    return last


def _unreadable_element(
    error: Unreadable, buffer: Buffer, position: int, size: int, result: HeaderValues
) -> Unreadable:
    """The error for bytes that are no element, with their place if that explains them."""
    if result.pixel_data_length is None:
        return error
    behind = size - position
    if behind > _LONGEST_PADDING and not any(buffer[position : position + _LONGEST_PADDING]):
        return Unreadable(f"more than {_LONGEST_PADDING} zero bytes follow the data set")
    bytes_behind = f"{quantity(behind, 'byte')} behind Pixel Data (7FE0,0010)"
    return type(error)(f"{bytes_behind} are not an element: {error}")


def _end_of_undefined_length(
    buffer: Buffer, tag: int, start: int, size: int, *, explicit: bool
) -> int:
    """The offset after an element of undefined length whose value begins at `start`."""
    if tag == PIXEL_DATA and bytes(buffer[size - 8 : size]) == _SEQUENCE_END:
        # Walking from fragment to fragment would read most of a large file.
        return size
    return close(buffer, start, size, explicit=explicit)


def _is_padding(buffer: Buffer, position: int, size: int) -> bool:
    """Whether only zeros follow: some copies are filled up to a sector."""
    return size - position <= _LONGEST_PADDING and not any(buffer[position:size])


def _find_in_big_endian(head: bytes, size: int, reopen: Callable[[], BinaryIO]) -> HeaderValues:
    _refuse_foreign_group(head, explicit=True, big_endian=True)
    result = HeaderValues()
    with reopen() as file:
        source = Window(file, file.tell(), size)
        converter = Converter(source, 0, size, layout(EXPLICIT_VR_BIG_ENDIAN))
        converted = bytearray()
        try:
            for piece in converter.convert(stop=_PIXEL_GROUP, longest=_LONGEST_SWAPPED_VALUE):
                converted += piece
                if len(converted) > _LONGEST_HEADER:
                    raise Unreadable("the data set has too much before its Pixel Data")
        except Unreadable:
            if not _is_padding(source, converter.position, size):
                raise
        _walk(bytes(converted), 0, len(converted), result)
        if result.irregular:
            _note_fault(bytes(converted), len(converted), reopen, result)
        while converter.position < size:
            if _is_padding(source, converter.position, size):
                result.padding = size - converter.position
                break
            tag, vr, start, length = converter.header()
            if tag == PIXEL_DATA:
                result.pixel_data_length = length
            elif vr == b"SQ":
                result.has_sequences = True
            if length == UNDEFINED_LENGTH:
                raise Unreadable(f"{describe(tag)} is encapsulated in Big Endian")
            if start + length > size:
                raise NeedMore(f"{describe(tag)} is truncated")
            converter.position = start + length
    return result


def _find_in_deflated(size: int, reopen: Callable[[], BinaryIO]) -> HeaderValues:
    with reopen() as file:
        inflated = Inflated(file, size)
        head = bytearray()
        while True:
            head += inflated.read(max(1 << 18, 3 * len(head)))
            result = HeaderValues()
            _refuse_foreign_group(bytes(head[:12]), explicit=True)
            position, last = _scan_explicit(bytes(head), result)
            if inflated.ended or position > len(head):
                break
            if len(head) > _LONGEST_HEADER:
                raise Unreadable("the deflated data set has too much before its Pixel Data")
        rest, start = bytes(head), position
        if not inflated.ended:
            inflated.skip_to(position)
            rest, start, last = inflated.read(_LONGEST_TAIL), 0, 0
            if not inflated.ended:
                raise Unreadable("the deflated data set has too much behind its Pixel Data")
        elif position > len(head):
            raise NeedMore("the deflated data set is truncated")
        _walk(rest, start, len(rest), result, last)
        if result.padding:
            # they cannot be removed without deflating the data set anew
            raise Unreadable("zeros follow the data set, inside of what is deflated")
        if result.irregular:
            _note_fault(bytes(head), len(head), reopen, result)
        result.padding = _padding_behind_deflated(inflated, size)
    return result


def _padding_behind_deflated(inflated: Inflated, size: int) -> int:
    """The zeros behind deflated bytes, without the one that makes their number even (PS3.5 A.5).

    Other bytes are left alone: some writers end with a checksum, as zlib does.
    """
    behind = inflated.remainder(_LONGEST_PADDING + 1)
    if not behind or any(behind) or len(behind) > _LONGEST_PADDING:
        return 0
    return len(behind) - (size - len(behind)) % 2
