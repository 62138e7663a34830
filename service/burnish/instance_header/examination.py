"""Craft: examines an instance completely, where its header could not tell whether it is damaged."""

import struct
from typing import BinaryIO

from burnish.application_profiles import limits
from burnish.dicom_elements import PIXEL_DATA, UNDEFINED_LENGTH, Window, close, header, items
from burnish.errors import Unreadable
from burnish.file_slice import Slice
from burnish.instance_header import instance_faults
from burnish.instance_header.codestreams import EncapsulatedPixelData, FrameFault, frame_faults
from burnish.instance_header.header import IndexedFile, index_slice

_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
#: Bytes that are read at once: enough for the header of most codestreams.
_BLOCK = 1 << 12


def examine(source: Slice) -> str:
    """The faults of the instance in a DICOM file, in words; "" if it has none.

    Its frames are not decoded; their headers, lengths and number are examined. Raises OSError.
    """
    try:
        indexed = index_slice(source)
        fault = indexed.header.fault
        if not instance_faults.is_unexamined(fault):
            return fault
        with source.open() as file:
            faults = _frame_faults(file, source.size, indexed)
    except Unreadable as error:
        return f"its data set cannot be read: {error}"
    return instance_faults.with_frame_faults(fault, faults)


def _frame_faults(file: BinaryIO, size: int, indexed: IndexedFile) -> list[FrameFault]:
    """The faults of the frames, as `burnish disc verify` finds them too."""
    window = Window(file, indexed.data_set_offset, size - indexed.data_set_offset, _BLOCK)
    tables = {_EXTENDED_OFFSETS: b"", _EXTENDED_LENGTHS: b""}
    fragments: list[tuple[int, int]] = []
    position = 0
    while position < window.size:
        tag, vr, start, length = header(window, position, window.size, explicit=True)
        if tag == PIXEL_DATA:
            fragments = [
                (start, end - start)
                for start, end in items(window, start, window.size, explicit=True)
            ]
            break
        position = start + length
        if length == UNDEFINED_LENGTH:
            position = close(window, start, window.size, explicit=vr != b"UN")
        elif tag in tables:
            tables[tag] = window[start:position]

    def read(offset: int, count: int) -> bytes:
        return window[offset : offset + count]

    basic_table = read(*fragments[0]) if fragments else b""
    pixel_data = EncapsulatedPixelData(
        fragments[1:],
        _numbers(basic_table, "L"),
        _numbers(tables[_EXTENDED_OFFSETS], "Q"),
        _numbers(tables[_EXTENDED_LENGTHS], "Q"),
    )
    values = limits.unpack(indexed.header.limited_attributes)
    return frame_faults(read, pixel_data, values, indexed.transfer_syntax_uid)


def _numbers(table: bytes, form: str) -> tuple[int, ...]:
    """The numbers of an offset table; those that are cut off are left out."""
    count = len(table) // struct.calcsize(f"<{form}")
    return struct.unpack_from(f"<{count}{form}", table)
