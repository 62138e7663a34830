"""Craft: whether an image has the pixel data that its header announces, as far as that tells."""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from burnish.application_profiles import limits
from burnish.dicom_elements import PIXEL_DATA, UNDEFINED_LENGTH, scan
from burnish.instance_header.element_checks import attribute
from burnish.instance_header.pixel_description import description_faults
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

#: The fault of an image that is a header alone: there is nothing in it that could be damaged.
NO_PIXEL_DATA = "it has no Pixel Data (7FE0,0010)"

#: Transfer syntaxes with native Pixel Data.
NATIVE = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)
#: Transfer syntaxes whose pixel data are elsewhere (PS3.5 8.4, PS3.22).
PIXELS_ELSEWHERE = (
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.7.",
)
#: Parametric maps may have Float Pixel Data (7FE0,0008) or (7FE0,0009) in its place.
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
#: The attributes without which pixels mean nothing (PS3.3 C.7.6.3.1).
REQUIRED = (
    limits.SAMPLES_PER_PIXEL,
    limits.PHOTOMETRIC_INTERPRETATION,
    limits.ROWS,
    limits.COLUMNS,
    limits.BITS_ALLOCATED,
    limits.BITS_STORED,
    limits.HIGH_BIT,
)
_FORMS = ("native", "encapsulated")
#: The share of samples that are stored, where chrominance is subsampled (PS3.3 C.7.6.3.1.2).
_SUBSAMPLED = {
    "YBR_FULL_422": (2, 3),
    "YBR_PARTIAL_422": (2, 3),
    "YBR_PARTIAL_420": (1, 2),
}


@lru_cache(maxsize=1024)
def pixel_faults(
    length: int | None, limited_attributes: bytes, transfer_syntax_uid: str, sop_class_uid: str
) -> tuple[str, ...]:
    """Why viewers cannot show the image, in words; none if its header announces nothing wrong.

    `length` is that of Pixel Data (7FE0,0010), None if there is none. `limited_attributes` are
    encoded by `limits.pack`. The frames of encapsulated Pixel Data are not looked at.
    """
    if transfer_syntax_uid.startswith(PIXELS_ELSEWHERE) or sop_class_uid == _PARAMETRIC_MAP:
        return ()
    if length is None:
        return (NO_PIXEL_DATA,)
    absent = absent_attributes(limited_attributes)
    faults = []
    for tag in (*absent.missing, *absent.empty, *absent.zero):
        state = "0" if tag in absent.zero else "missing or empty"
        faults.append(f"its {attribute(tag)} is {state}, where Pixel Data requires a value")
    values = limits.unpack(limited_attributes)
    stored, allocated = values.get(limits.BITS_STORED), values.get(limits.BITS_ALLOCATED)
    if isinstance(stored, int) and isinstance(allocated, int) and stored > allocated > 0:
        faults.append(
            f"its {attribute(limits.BITS_STORED)} is {stored}, more than its"
            f" {attribute(limits.BITS_ALLOCATED)} of {allocated}"
        )
    is_encapsulated = length == UNDEFINED_LENGTH
    is_native = transfer_syntax_uid in NATIVE
    described = description_faults(
        limited_attributes, transfer_syntax_uid, sop_class_uid, is_native=is_native
    )
    faults += [fault.message for fault in described if fault.prevents_viewing]
    name = attribute(PIXEL_DATA)
    if is_encapsulated is is_native:
        form, required_form = _FORMS[is_encapsulated], _FORMS[not is_native]
        faults.append(f"its {name} is {form}, where its transfer syntax requires {required_form}")
    expected = expected_length(values) if is_native else 0
    if length < expected:
        faults.append(f"its {name} has {length} bytes, where {expected} are required")
    return tuple(faults)


class AbsentAttributes(NamedTuple):
    """The `REQUIRED` attributes that an image lacks, has without a value, or has with 0."""

    missing: tuple[int, ...]
    empty: tuple[int, ...]
    zero: tuple[int, ...]


@lru_cache(maxsize=1024)
def absent_attributes(limited_attributes: bytes) -> AbsentAttributes:
    """The attributes that an image needs and has not."""
    lengths = {
        element.tag: element.length
        for element in scan(limited_attributes, 0, len(limited_attributes), explicit=True)
        if element.tag in REQUIRED
    }
    values = limits.unpack(limited_attributes)
    return AbsentAttributes(
        tuple(tag for tag in REQUIRED if tag not in lengths),
        tuple(tag for tag, length in lengths.items() if not length),
        tuple(
            tag
            for tag, length in lengths.items()
            if length and tag != limits.HIGH_BIT and values[tag] == 0
        ),
    )


def expected_length(values: Mapping[int, int | str]) -> int:
    """Bytes of all frames in native format (PS3.5 8.1.1); 0 if that cannot be told."""
    numbers = [
        values.get(limits.ROWS),
        values.get(limits.COLUMNS),
        values.get(limits.SAMPLES_PER_PIXEL),
        values.get(limits.BITS_ALLOCATED),
        values.get(limits.NUMBER_OF_FRAMES, 1),
    ]
    counts = [number for number in numbers if isinstance(number, int)]
    if len(counts) < len(numbers):
        return 0
    return native_length(counts, str(values.get(limits.PHOTOMETRIC_INTERPRETATION)))


def native_length(counts: Iterable[int], photometric_interpretation: str) -> int:
    """Bytes of all frames in native format (PS3.5 8.1.1).

    `counts` are Rows, Columns, Samples per Pixel, Bits Allocated and Number of Frames.
    """
    stored, of = _SUBSAMPLED.get(photometric_interpretation, (1, 1))
    return (math.prod(counts) * stored // of + 7) // 8
