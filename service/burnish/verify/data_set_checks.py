"""Craft: checks the data set of a DICOM file: its elements, and whether its pixels can be shown.

What makes a viewer show no image or a wrong one is a fault, everything else a note.
"""

import struct
from collections.abc import Mapping

from burnish.application_profiles import limits
from burnish.directory_records import record_type
from burnish.instance_header import codestreams, pixel_data
from burnish.instance_header.codestreams import EncapsulatedPixelData
from burnish.instance_header.pixel_data import PIXELS_ELSEWHERE
from burnish.instance_header.pixel_description import description_faults
from burnish.verify.data_set_walk import PIXEL_DATA, DataSetWalk, Value
from burnish.verify.faults import FaultCode, Faults, attribute
from burnish.verify.file_meta_checks import FileMeta
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

_NATIVE = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)
_PLANAR_CONFIGURATION = 0x00280006
_EXTENDED_OFFSET_TABLE, _EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE00001, 0x7FE00002
_FLOAT_PIXEL_DATA, _DOUBLE_PIXEL_DATA = 0x7FE00008, 0x7FE00009
#: Bytes of the longest offset table that is read: two million frames.
_LONGEST_TABLE = 1 << 24
#: The values that the checks of pixels need, and the most bytes of each.
PIXEL_VALUES: Mapping[int, int] = {
    _PLANAR_CONFIGURATION: 2,
    _EXTENDED_OFFSET_TABLE: _LONGEST_TABLE,
    _EXTENDED_OFFSET_TABLE_LENGTHS: _LONGEST_TABLE,
    _FLOAT_PIXEL_DATA: 0,
    _DOUBLE_PIXEL_DATA: 0,
}
_REQUIRED = (
    limits.SAMPLES_PER_PIXEL,
    limits.PHOTOMETRIC_INTERPRETATION,
    limits.ROWS,
    limits.COLUMNS,
    limits.BITS_ALLOCATED,
    limits.BITS_STORED,
    limits.HIGH_BIT,
)
#: Kinds of malformed elements that readers pass over; the service keeps them as they are.
_TOLERABLE = frozenset({"order", "length"})


class ElementReport:
    """Takes what is wrong with the elements of one file; of each kind the first is enough."""

    def __init__(self, name: str, faults: Faults, notes: Faults) -> None:
        self._name, self._faults, self._notes = name, faults, notes
        self._reported: set[str] = set()

    def __call__(self, kind: str, message: str) -> None:
        if kind in self._reported:
            return
        self._reported.add(kind)
        if kind in _TOLERABLE:
            self._notes.add(FaultCode.DATA_SET_MALFORMED, self._name, f"{message} (kept as it is)")
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
        self._check_required(name, walk.values, values)
        is_native = syntax in _NATIVE
        for fault in description_faults(
            limited_attributes, syntax, meta.sop_class_uid, is_native=is_native
        ):
            self._add(name, fault.message, is_fault=fault.prevents_viewing)
        samples = values.get(limits.SAMPLES_PER_PIXEL)
        if isinstance(samples, int) and samples > 1 and not walk.values.get(_PLANAR_CONFIGURATION):
            message = f"its {attribute(_PLANAR_CONFIGURATION)} is missing, which colour requires"
            self._add(name, message, is_fault=False)
        if pixels.undefined is is_native:
            form, required = ("encapsulated", "native")[:: 1 if is_native else -1]
            message = f"its {attribute(PIXEL_DATA)} is {form}, where its transfer syntax requires"
            self._add(name, f"{message} {required}")
        elif is_native:
            self._check_length(name, pixels, values)
        else:
            self._check_frames(name, walk, values, syntax)

    def _check_required(
        self, name: str, encoded: Mapping[int, bytes], values: limits.Values
    ) -> None:
        for tag in _REQUIRED:
            is_empty = not encoded.get(tag) or values.get(tag) == ""
            is_zero = not is_empty and values.get(tag) == 0 and tag != limits.HIGH_BIT
            if is_empty or is_zero:
                message = f"its {attribute(tag)} is {'0' if is_zero else 'missing or empty'}"
                self._add(name, f"{message}, where Pixel Data requires a value")
        allocated, stored = values.get(limits.BITS_ALLOCATED), values.get(limits.BITS_STORED)
        if isinstance(allocated, int) and isinstance(stored, int) and stored > allocated > 0:
            message = (
                f"its {attribute(limits.BITS_STORED)} is {stored}, more than its"
                f" {attribute(limits.BITS_ALLOCATED)} of {allocated}"
            )
            self._add(name, message)

    def _check_length(self, name: str, pixels: Value, values: limits.Values) -> None:
        expected = _expected_length(values)
        pixel_name = attribute(PIXEL_DATA)
        if pixels.length < expected:
            message = f"its {pixel_name} has {pixels.length} bytes, where {expected} are required"
            self._add(name, message)
        elif expected and pixels.length > expected + expected % 2:
            message = f"its {pixel_name} has {pixels.length} bytes, {pixels.length - expected} more"
            self._add(name, f"{message} than it needs", is_fault=False)

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


def _expected_length(values: limits.Values) -> int:
    """Bytes of all frames in native format; 0 if that cannot be told."""
    counts = [
        values.get(tag, 1 if tag == limits.NUMBER_OF_FRAMES else 0)
        for tag in (
            limits.ROWS,
            limits.COLUMNS,
            limits.SAMPLES_PER_PIXEL,
            limits.BITS_ALLOCATED,
            limits.NUMBER_OF_FRAMES,
        )
    ]
    numbers = [count if isinstance(count, int) else 0 for count in counts]
    interpretation = str(values.get(limits.PHOTOMETRIC_INTERPRETATION, ""))
    return pixel_data.native_length(numbers, interpretation)
