"""Craft: compares the items of a sequence in a directory record with those of a file."""

from collections.abc import Iterator
from itertools import zip_longest

from burnish import character_sets
from burnish.dicom_elements import MAXIMUM_DEPTH, TEXT_VRS, Element, items, scan
from burnish.dicomdir.keys import SPECIFIC_CHARACTER_SET
from burnish.errors import Unreadable
from burnish.verify.faults import attribute

_CODED_VRS = frozenset({b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"})


def difference(
    in_record: bytes, in_file: bytes, record_set: bytes, file_set: bytes, *, depth: int = 0
) -> str:
    """How the items of a record differ from those of a file; "" if they agree.

    Both are in Explicit VR Little Endian. A record may have fewer attributes in an item than the
    file: writers leave some out. `record_set` and `file_set` are the Specific Character Sets.
    """
    if depth > MAXIMUM_DEPTH:
        return "its items are nested too deeply"
    try:
        pairs = zip_longest(_items(in_record), _items(in_file))
        for number, (record_item, file_item) in enumerate(pairs, start=1):
            if record_item is None or file_item is None:
                where = "record" if file_item is None else "file"
                return f"item {number} is only in the {where}"
            if text := _item_difference(record_item, file_item, record_set, file_set, depth):
                return f"item {number}: {text}"
    except Unreadable as error:
        return f"its items cannot be compared: {error}"
    return ""


def _items(value: bytes) -> Iterator[bytes]:
    for start, end in items(value, 0, len(value), explicit=True):
        yield value[start:end]


def _item_difference(
    record_item: bytes, file_item: bytes, record_set: bytes, file_set: bytes, depth: int
) -> str:
    in_file = {element.tag: element for element in _elements(file_item)}
    record_set = _character_set(record_item, record_set)
    file_set = _character_set(file_item, file_set)
    for element in _elements(record_item):
        tag = element.tag
        if not tag & 0xFFFF or tag == SPECIFIC_CHARACTER_SET:
            continue
        value = _value(record_item, element)
        other = in_file.get(tag)
        if other is None:
            if value.strip(b"\0 "):
                return f"{attribute(tag)} is only in the record"
        elif element.vr == b"SQ" or element.undefined:
            file_value = _value(file_item, other)
            text = difference(value, file_value, record_set, file_set, depth=depth + 1)
            if text:
                return f"{attribute(tag)}, {text}"
        elif not _agree(element, value, _value(file_item, other), record_set, file_set):
            return f"{attribute(tag)} differs"
    return ""


def _elements(item: bytes) -> Iterator[Element]:
    return scan(item, 0, len(item), explicit=True)


def _value(item: bytes, element: Element) -> bytes:
    return item[element.value : element.value + element.length]


def _character_set(item: bytes, default: bytes) -> bytes:
    for element in scan(item, 0, len(item), explicit=True, stop=SPECIFIC_CHARACTER_SET + 1):
        if element.tag == SPECIFIC_CHARACTER_SET:
            return _value(item, element)
    return default


def _agree(
    element: Element, value: bytes, file_value: bytes, record_set: bytes, file_set: bytes
) -> bool:
    if value == file_value:
        return True
    if element.vr not in TEXT_VRS and element.vr != b"UI":
        return False
    value, file_value = value.strip(b"\0 "), file_value.strip(b"\0 ")
    if value == file_value or element.vr not in _CODED_VRS:
        return value == file_value
    texts = character_sets.decode(value, record_set), character_sets.decode(file_value, file_set)
    return texts[0].split() == texts[1].split()
