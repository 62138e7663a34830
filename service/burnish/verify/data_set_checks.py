"""Craft: checks the data set of a DICOM file: its elements, and whether its pixels can be shown."""

from collections.abc import Mapping

from burnish.application_profiles import limits
from burnish.dicom_elements import Element
from burnish.directory_records import record_type
from burnish.instance_header.pixel_data import PIXELS_ELSEWHERE, native_length
from burnish.verify.faults import FaultCode, Faults, attribute
from burnish.verify.file_meta_checks import FileMeta
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

PIXEL_DATA = 0x7FE00010
#: Float Pixel Data and Double Float Pixel Data.
_OTHER_PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009})
_NATIVE = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN})
_REQUIRED = (
    limits.SAMPLES_PER_PIXEL,
    limits.PHOTOMETRIC_INTERPRETATION,
    limits.ROWS,
    limits.COLUMNS,
    limits.BITS_ALLOCATED,
    limits.BITS_STORED,
    limits.HIGH_BIT,
)
_COUNTS = (limits.ROWS, limits.COLUMNS, limits.SAMPLES_PER_PIXEL, limits.BITS_ALLOCATED)


class DataSetChecks:
    """The checks of one data set, whose elements are handed over in order."""

    def __init__(self, name: str, meta: FileMeta, faults: Faults, notes: Faults) -> None:
        self._name, self._meta = name, meta
        self._faults, self._notes = faults, notes
        self._previous = -1
        self._reported: set[str] = set()
        self._pixel_data: Element | None = None
        self._has_other_pixel_data = False

    def check_element(self, element: Element) -> None:
        """Checks one element of the top level (PS3.5 7.1, 7.1.1; PS3.10 7.1)."""
        tag = element.tag
        if tag >> 16 in (0x0000, 0x0002):
            self._add("group", f"its data set has {attribute(tag)}, which belongs outside of it")
        elif tag == self._previous:
            self._add("twice", f"its data set has {attribute(tag)} twice")
        elif tag < self._previous:
            self._add("order", f"its {attribute(tag)} comes behind an element of a higher tag")
        if element.length % 2 and not element.undefined:
            message = f"its {attribute(tag)} has {element.length} bytes, where lengths are even"
            self._add("length", message)
        self._previous = max(self._previous, tag)
        if tag == PIXEL_DATA:
            self._pixel_data = element
        self._has_other_pixel_data |= tag in _OTHER_PIXEL_DATA

    def finish(self, values: Mapping[int, bytes]) -> None:
        """Checks the pixel data of an image by the `values` of its attributes (PS3.3 C.7.6.3)."""
        syntax = self._meta.transfer_syntax_uid
        if (
            record_type(self._meta.sop_class_uid) != "IMAGE"
            or syntax.startswith(PIXELS_ELSEWHERE)
            or self._has_other_pixel_data
        ):
            return
        name = attribute(PIXEL_DATA)
        element = self._pixel_data
        if element is None:
            message = f"it has no {name}: no viewer can show it"
            self._notes.add(FaultCode.PIXEL_DATA_WRONG, self._name, message)
            return
        self._check_description(values)
        if element.undefined and syntax in _NATIVE:
            message = f"its {name} is encapsulated, where its transfer syntax requires native"
            self._faults.add(FaultCode.PIXEL_DATA_WRONG, self._name, message)
        elif not element.undefined and syntax not in _NATIVE:
            message = f"its {name} is native, where its transfer syntax requires encapsulated"
            self._faults.add(FaultCode.PIXEL_DATA_WRONG, self._name, message)
        elif not element.undefined:
            expected = _expected_length(values)
            if element.length < expected:
                message = f"its {name} has {element.length} bytes, where {expected} are required"
                self._faults.add(FaultCode.PIXEL_DATA_WRONG, self._name, message)

    def _check_description(self, values: Mapping[int, bytes]) -> None:
        """What describes the pixels is there, and can be so (PS3.3 C.7.6.3.1, PS3.5 8.1.1)."""
        for tag in _REQUIRED:
            value = values.get(tag, b"")
            is_text = tag == limits.PHOTOMETRIC_INTERPRETATION
            is_zero = bool(value) and not is_text and tag != limits.HIGH_BIT and not any(value)
            if is_zero or not (value.strip(b"\0 ") if is_text else value):
                message = f"its {attribute(tag)} is {'0' if is_zero else 'missing or empty'}"
                message += ", where Pixel Data requires a value"
                self._faults.add(FaultCode.PIXEL_DATA_WRONG, self._name, message)
        allocated, stored = (
            int.from_bytes(values.get(tag, b"")[:2], "little")
            for tag in (limits.BITS_ALLOCATED, limits.BITS_STORED)
        )
        if allocated and stored > allocated:
            message = (
                f"its {attribute(limits.BITS_STORED)} is {stored}, more than its"
                f" {attribute(limits.BITS_ALLOCATED)} of {allocated}"
            )
            self._faults.add(FaultCode.PIXEL_DATA_WRONG, self._name, message)

    def _add(self, kind: str, message: str) -> None:
        """Adds a fault; of each kind the first one of a file is enough."""
        if kind not in self._reported:
            self._reported.add(kind)
            self._faults.add(FaultCode.DATA_SET_MALFORMED, self._name, message)


def _expected_length(values: Mapping[int, bytes]) -> int:
    """Bytes of all frames in native form (PS3.5 8.1.1); 0 if that cannot be told."""
    counts = [int.from_bytes(values.get(tag, b"")[:2], "little") for tag in _COUNTS]
    frames = values.get(limits.NUMBER_OF_FRAMES, b"").strip(b"\0 ")
    if frames:
        counts.append(int(frames) if frames.isdigit() and len(frames) < 10 else 0)
    interpretation = values.get(limits.PHOTOMETRIC_INTERPRETATION, b"").strip(b"\0 ")
    return native_length(counts, interpretation.decode("latin-1"))
