"""Craft: whether two files hold equal data, however the data sets are encoded."""

import struct
import zlib
from typing import cast

from pydicom import DataElement, Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag

from burnish.file_slice import Slice

#: Both data sets are read into memory: larger files count as different.
_LARGEST = 512 << 20
#: What pydicom raises for files that are damaged, or no DICOM files.
_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    InvalidDicomError,
    struct.error,
    zlib.error,
)
#: Says nothing about the content (PS3.10 7.2).
_DATA_SET_TRAILING_PADDING = 0xFFFCFFFC


def are_equal_as_data(first: Slice, second: Slice) -> bool:
    """Whether two files have the same elements with the same values.

    The transfer syntax may differ if neither data set is compressed, and sequences may have defined
    or undefined lengths. Group lengths and padding behind the data set do not count. Files that
    cannot be read, or are larger than 512 MB, count as different.
    """
    try:
        if max(first.size, second.size) > _LARGEST:
            return False
        with first.open() as first_file, second.open() as second_file:
            data_sets = dcmread(first_file), dcmread(second_file)
        syntaxes = {data_set.file_meta.TransferSyntaxUID for data_set in data_sets}
        if len(syntaxes) > 1 and any(syntax.is_encapsulated for syntax in syntaxes):
            return False
        return _are_equal(*data_sets)
    except _UNREADABLE:
        return False


def _are_equal(first: Dataset, second: Dataset) -> bool:
    tags = _compared_tags(first)
    if tags != _compared_tags(second):
        return False
    return all(_are_equal_elements(first, second, tag) for tag in tags)


def _compared_tags(data_set: Dataset) -> list[BaseTag]:
    """All tags, without those of group lengths and padding."""
    tags = data_set.keys()  # to iterate the data set itself would decode all its elements
    return sorted(tag for tag in tags if tag.element and tag != _DATA_SET_TRAILING_PADDING)


def _are_equal_elements(first: Dataset, second: Dataset, tag: int) -> bool:
    elements = first[tag], second[tag]
    if elements[0].VR == "SQ" and elements[1].VR == "SQ":
        items = elements[0].value, elements[1].value
        return len(items[0]) == len(items[1]) and all(map(_are_equal, *items))
    return _encoded(elements[0], first) == _encoded(elements[1], second)


def _encoded(element: DataElement, data_set: Dataset) -> bytes:
    """The element in Implicit VR Little Endian, which does not depend on how its VR is known."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = True
    buffer.is_little_endian = True
    write_data_element(buffer, element, cast(list[str], data_set.original_character_set))
    return buffer.getvalue()
