"""Craft: whether an image has the pixel data that its header announces, as far as that tells."""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from burnish.application_profiles import limits
from burnish.dicom_elements import UNDEFINED_LENGTH, scan
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

#: The fault of an image that is a header alone: there is nothing in it that could be damaged.
NO_PIXEL_DATA = "it has no Pixel Data (7FE0,0010)"

_NATIVE = frozenset(
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
_SIZES = {limits.ROWS: "Rows (0028,0010)", limits.COLUMNS: "Columns (0028,0011)"}
_FORMS = ("native", "encapsulated")
#: The share of samples that are stored, where chrominance is subsampled (PS3.3 C.7.6.3.1.2).
_SUBSAMPLED = {
    "YBR_FULL_422": (2, 3),
    "YBR_PARTIAL_422": (2, 3),
    "YBR_PARTIAL_420": (1, 2),
}


@lru_cache(maxsize=1024)
def pixel_fault(
    length: int | None, limited_attributes: bytes, transfer_syntax_uid: str, sop_class_uid: str
) -> str:
    """Why no viewer can show the image, in words; "" if the header announces nothing wrong.

    `length` is that of Pixel Data (7FE0,0010), None if there is none. The frames of encapsulated
    Pixel Data are not looked at.
    """
    if transfer_syntax_uid.startswith(PIXELS_ELSEWHERE) or sop_class_uid == _PARAMETRIC_MAP:
        return ""
    if length is None:
        return NO_PIXEL_DATA
    absent = [tag for tags in absent_sizes(limited_attributes) for tag in tags]
    if absent:
        return f"{' and '.join(_SIZES[tag] for tag in absent)} missing or 0"
    is_encapsulated = length == UNDEFINED_LENGTH
    is_native = transfer_syntax_uid in _NATIVE
    if is_encapsulated is is_native:
        form, syntax = _FORMS[is_encapsulated], _FORMS[not is_native]
        return f"its Pixel Data (7FE0,0010) is {form}, but its transfer syntax is {syntax}"
    expected = _expected_length(limits.unpack(limited_attributes)) if is_native else 0
    if length < expected:
        return f"its Pixel Data (7FE0,0010) has {length} of {expected} bytes"
    return ""


class AbsentSizes(NamedTuple):
    """Which of Rows and Columns an image lacks, has without a value, or has with the value 0."""

    missing: tuple[int, ...]
    empty: tuple[int, ...]
    zero: tuple[int, ...]


@lru_cache(maxsize=1024)
def absent_sizes(limited_attributes: bytes) -> AbsentSizes:
    """The sizes that an image needs and has not."""
    lengths = {
        element.tag: element.length
        for element in scan(limited_attributes, 0, len(limited_attributes), explicit=True)
        if element.tag in _SIZES
    }
    values = limits.unpack(limited_attributes)
    return AbsentSizes(
        tuple(tag for tag in _SIZES if tag not in lengths),
        tuple(tag for tag, length in lengths.items() if not length),
        tuple(tag for tag, length in lengths.items() if length and not values[tag]),
    )


def _expected_length(values: Mapping[int, int | str]) -> int:
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
