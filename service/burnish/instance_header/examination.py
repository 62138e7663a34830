"""Craft: examines an instance completely, where its header could not tell whether it is damaged."""

import struct
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from burnish.application_profiles import limits
from burnish.dicom_elements import NeedMore
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Layout, layout
from burnish.file_slice import Slice
from burnish.instance_header import instance_faults
from burnish.instance_header.codestreams import EncapsulatedPixelData, FrameFault, frame_faults
from burnish.instance_header.data_set_walk import DataSetWalk, Read, Report
from burnish.instance_header.element_checks import TOLERABLE, is_passed_over
from burnish.instance_header.header import HEAD, IndexedFile, index_slice
from burnish.instance_header.inflated import InflatedBytes
from burnish.instance_header.pixel_data import NATIVE
from burnish.vocabulary import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN

_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
#: Bytes of the longest Extended Offset Table that is read: that of a million frames.
_LONGEST_TABLE = 1 << 23
_WANTED: Mapping[int, int] = {_EXTENDED_OFFSETS: _LONGEST_TABLE, _EXTENDED_LENGTHS: _LONGEST_TABLE}


def examine(source: Slice) -> str:
    """The faults of the instance in a DICOM file, in words; "" if it has none.

    Its sequences are walked. Its frames are not decoded; their headers, lengths and number are
    examined. `burnish disc verify` finds the same faults. Raises OSError.
    """
    beginning = source.read(0, HEAD)
    fault = ""
    try:
        indexed = index_slice(source, beginning)
        fault = indexed.header.fault
        if not instance_faults.is_unexamined(fault):
            return fault
        return _with_findings(fault, source, indexed, beginning)
    except Unreadable as error:
        what = "is truncated" if isinstance(error, NeedMore) else "cannot be read"
        return instance_faults.after_examination(fault, (), [f"it {what}: {error}"])


class _Findings:
    """What the walk of a data set has found; of each kind the first is enough."""

    def __init__(self) -> None:
        self.minor: dict[str, str] = {}
        self.serious: dict[str, str] = {}

    def __call__(self, kind: str, message: str) -> None:
        if is_passed_over(kind):
            self.minor.setdefault(kind, message)
        else:
            self.serious.setdefault(kind, message)


def _with_findings(fault: str, source: Slice, indexed: IndexedFile, beginning: bytes) -> str:
    findings = _Findings()
    syntax = indexed.transfer_syntax_uid
    if syntax in NATIVE and syntax != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        # few bytes are needed of what may be long
        _walk_of(source.read, source, indexed, beginning, findings).run({})
        faults: Sequence[FrameFault] = ()
    else:
        with source.open() as file:
            faults = _examine_file(file, source, indexed, findings)
    # those of the elements themselves are known since the data set was indexed
    minor = [text for kind, text in findings.minor.items() if kind not in TOLERABLE]
    serious = [text for text in findings.serious.values() if text not in fault]
    for frame_fault in faults:
        (serious if frame_fault.prevents_viewing else minor).append(frame_fault.message)
    return instance_faults.after_examination(fault, minor, serious)


def _examine_file(
    file: BinaryIO, source: Slice, indexed: IndexedFile, report: Report
) -> Sequence[FrameFault]:
    """Walk a data set that is deflated, or whose frames are compressed; what is wrong with them."""
    start = indexed.data_set_offset
    if indexed.transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        inflated = InflatedBytes(file, start, source.size - start)
        encoding = Layout(explicit=True, big_endian=False)
        DataSetWalk(inflated.read, 0, inflated.size, encoding, report).run({})
        return ()

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    walk = _walk_of(read, source, indexed, b"", report)
    walk.run(_WANTED)
    return _frame_faults(walk, indexed)


def _walk_of(
    read: Read, source: Slice, indexed: IndexedFile, beginning: bytes, report: Report
) -> DataSetWalk:
    # zeros behind the data set do not come onto media
    end = source.size - (indexed.repair.padding if indexed.repair else 0)
    encoding = layout(indexed.transfer_syntax_uid)
    return DataSetWalk(read, indexed.data_set_offset, end, encoding, report, block=beginning)


def _frame_faults(walk: DataSetWalk, indexed: IndexedFile) -> Sequence[FrameFault]:
    """The faults of the frames, if there are any, as `burnish disc verify` finds them too."""
    if walk.pixel_data is None or not walk.pixel_data.undefined:
        return ()
    encapsulated = EncapsulatedPixelData(
        walk.fragments,
        _numbers(walk.offset_table, "L"),
        _numbers(walk.values.get(_EXTENDED_OFFSETS, b""), "Q"),
        _numbers(walk.values.get(_EXTENDED_LENGTHS, b""), "Q"),
    )
    values = limits.unpack(indexed.header.limited_attributes)
    return frame_faults(walk.read, encapsulated, values, indexed.transfer_syntax_uid)


def _numbers(table: bytes, form: str) -> tuple[int, ...]:
    """The numbers of an offset table; those that are cut off are left out."""
    count = len(table) // struct.calcsize(f"<{form}")
    return struct.unpack_from(f"<{count}{form}", table)
