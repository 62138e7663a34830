"""Craft: checks the data set of a DICOM file: its elements, and whether its pixels can be shown.

What makes a viewer show no image or a wrong one is a fault, everything else a note.
"""

import struct
from collections.abc import Mapping

from burnish.application_profiles import limits
from burnish.dicom_elements import PIXEL_DATA, UNDEFINED_LENGTH
from burnish.instance_header import codestreams
from burnish.instance_header.codestreams import EncapsulatedPixelData
from burnish.instance_header.data_set_walk import DataSetWalk, Value
from burnish.instance_header.element_checks import is_passed_over
from burnish.instance_header.instance_faults import KEPT
from burnish.instance_header.pixel_data import (
    NATIVE,
    PIXELS_ELSEWHERE,
    expected_length,
    pixel_faults,
)
from burnish.instance_header.pixel_description import description_faults
from burnish.site_records import record_type
from burnish.verify.faults import FaultCode, Faults, attribute
from burnish.verify.file_meta_checks import FileMeta

_PLANAR_CONFIGURATION = 0x00280006
_EXTENDED_OFFSET_TABLE, _EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE00001, 0x7FE00002
_FLOAT_PIXEL_DATA, _DOUBLE_PIXEL_DATA = 0x7FE00008, 0x7FE00009
#: Bytes of the longest Extended Offset Table that is read: that of a million frames.
_LONGEST_TABLE = 1 << 23
#: The values that the checks of pixels need, and the most bytes of each.
PIXEL_VALUES: Mapping[int, int] = {
    _PLANAR_CONFIGURATION: 2,
    _EXTENDED_OFFSET_TABLE: _LONGEST_TABLE,
    _EXTENDED_OFFSET_TABLE_LENGTHS: _LONGEST_TABLE,
    _FLOAT_PIXEL_DATA: 0,
    _DOUBLE_PIXEL_DATA: 0,
}


class ElementReport:
    """Takes what is wrong with the elements of one file; of each kind the first is enough."""

    def __init__(self, name: str, faults: Faults, notes: Faults) -> None:
        self._name, self._faults, self._notes = name, faults, notes
        self._reported: set[str] = set()

    def __call__(self, kind: str, message: str) -> None:
        if kind in self._reported:
            return
        self._reported.add(kind)
        if is_passed_over(kind):
            self._notes.add(FaultCode.DATA_SET_MALFORMED, self._name, f"{message}{KEPT}")
        else:
            self._faults.add(FaultCode.DATA_SET_MALFORMED, self._name, message)


class PixelChecks:
    """The checks of the pixel data of files (PS3.3 C.7.6.3, PS3.5 8, A.4)."""

    def __init__(self, faults: Faults, notes: Faults) -> None:
        self._faults, self._notes = faults, notes

    def check(
        self, name: str, meta: FileMeta, walk: DataSetWalk, limited_attributes: bytes
    ) -> None:
        """Checks the file `name`, whose data set was walked.

        `limited_attributes` are encoded by `limits.pack`.
        """
        syntax, pixels = meta.transfer_syntax_uid, walk.pixel_data
        if syntax.startswith(PIXELS_ELSEWHERE) or not walk.values.keys().isdisjoint(
            {_FLOAT_PIXEL_DATA, _DOUBLE_PIXEL_DATA}
        ):
            return
        if pixels is None:
            if record_type(meta.sop_class_uid) == "IMAGE":
                message = f"it has no {attribute(PIXEL_DATA)}: no viewer can show it"
                self._notes.add(FaultCode.PIXEL_DATA_ABSENT, name, message)
            return
        values = limits.unpack(limited_attributes)
        is_native = syntax in NATIVE
        length = UNDEFINED_LENGTH if pixels.undefined else pixels.length
        for message in pixel_faults(length, limited_attributes, syntax, meta.sop_class_uid):
            self._add(name, message)
        for fault in description_faults(
            limited_attributes, syntax, meta.sop_class_uid, is_native=is_native
        ):
            if not fault.prevents_viewing:
                self._add(name, fault.message, is_fault=False)
        samples = values.get(limits.SAMPLES_PER_PIXEL)
        if isinstance(samples, int) and samples > 1 and not walk.values.get(_PLANAR_CONFIGURATION):
            message = f"its {attribute(_PLANAR_CONFIGURATION)} is missing, which colour requires"
            self._add(name, message, is_fault=False)
        if pixels.undefined and not is_native:
            self._check_frames(name, walk, values, syntax)
        elif not pixels.undefined and is_native:
            self._note_surplus(name, pixels, values)

    def _note_surplus(self, name: str, pixels: Value, values: limits.Values) -> None:
        expected = expected_length(values)
        if expected and pixels.length > expected + expected % 2:
            message = (
                f"its {attribute(PIXEL_DATA)} has {pixels.length} bytes,"
                f" {pixels.length - expected} more than it needs"
            )
            self._add(name, message, is_fault=False)

    def _check_frames(
        self, name: str, walk: DataSetWalk, values: limits.Values, syntax: str
    ) -> None:
        encapsulated = EncapsulatedPixelData(
            walk.fragments,
            _numbers(walk.offset_table, "L"),
            _numbers(walk.values.get(_EXTENDED_OFFSET_TABLE, b""), "Q"),
            _numbers(walk.values.get(_EXTENDED_OFFSET_TABLE_LENGTHS, b""), "Q"),
        )
        for fault in codestreams.frame_faults(walk.read, encapsulated, values, syntax):
            self._add(name, fault.message, is_fault=fault.prevents_viewing)

    def _add(self, name: str, message: str, *, is_fault: bool = True) -> None:
        (self._faults if is_fault else self._notes).add(FaultCode.PIXEL_DATA_WRONG, name, message)


def _numbers(table: bytes, form: str) -> tuple[int, ...]:
    """The numbers of an offset table; those that are cut off are left out."""
    count = len(table) // struct.calcsize(form := f"<{form}")
    return struct.unpack_from(f"<{count}{form[1]}", table)
