"""Craft: whether the attributes that describe Pixel Data agree with each other and the standard."""

from functools import lru_cache
from typing import NamedTuple, Protocol

from burnish.application_profiles import limits
from burnish.dicom_elements import describe

_BITS = (limits.BITS_ALLOCATED, limits.BITS_STORED, limits.HIGH_BIT)
_COMMON_BITS_ALLOCATED = frozenset({1, 8, 16, 32, 64})
#: Samples per Pixel of each Photometric Interpretation, also of retired ones.
_SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "HSV": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_PARTIAL_422": 3,
    "YBR_PARTIAL_420": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
    "XYB": 3,
    "ARGB": 4,
    "CMYK": 4,
}
_ONLY_JPEG_2000 = frozenset({"YBR_ICT", "YBR_RCT"})
_JPEG_2000_SYNTAXES = ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")
_ONLY_COMPRESSED = frozenset({"YBR_PARTIAL_420", "XYB"})
_STORAGE = "1.2.840.10008.5.1.4.1.1."
#: Bits Allocated that the IOD of a SOP Class allows (PS3.3 A), by the end of its UID.
_BITS_ALLOCATED_BY_CLASS = {
    "2": (16,),
    "4": (16,),
    "128": (16,),
    "20": (8, 16),
    "3.1": (8, 16),
    "6.1": (8, 16),
    "7.1": (1,),
    "7.2": (8,),
    "7.3": (16,),
    "7.4": (8,),
    "12.1": (8, 16),
    "12.2": (8, 16),
    "1.1": (8, 16),
    "1.1.1": (8, 16),
    "1.2": (8, 16),
    "1.2.1": (8, 16),
    "1.3": (8, 16),
    "1.3.1": (8, 16),
    "66.4": (1, 8),
    "77.1.1": (8,),
    "77.1.2": (8,),
    "77.1.4": (8,),
    "77.1.5.1": (8,),
    "77.1.5.2": (16,),
    "481.1": (8, 16),
    "481.2": (16, 32),
}


class DescriptionFault(NamedTuple):
    """A fault of an attribute that describes pixels, in words.

    `prevents_viewing`: a viewer shows no image, or a wrong one.
    """

    tag: int
    message: str
    prevents_viewing: bool


@lru_cache(maxsize=256)
def description_faults(
    limited_attributes: bytes, transfer_syntax_uid: str, sop_class_uid: str, *, is_native: bool
) -> tuple[DescriptionFault, ...]:
    """The faults of the attributes that describe Pixel Data.

    Source: PS3.3 C.7.6.3, PS3.5 8. Missing attributes are left to `pixel_data`, except Pixel
    Representation, which tells little.
    """
    values = limits.unpack(limited_attributes)
    faults: list[DescriptionFault] = []

    def add(tag: int, message: str, *, prevents_viewing: bool = True) -> None:
        named = f"its {limits.LIMITED[tag].name} {describe(tag)} {message}"
        faults.append(DescriptionFault(tag, named, prevents_viewing))

    if values.get(limits.PIXEL_REPRESENTATION) not in (0, 1):
        add(limits.PIXEL_REPRESENTATION, "is missing or not 0 or 1", prevents_viewing=False)
    _check_frames(values, add)
    _check_bits(values, add)
    _check_colours(values, transfer_syntax_uid, add, is_native=is_native)
    allowed = _BITS_ALLOCATED_BY_CLASS.get(sop_class_uid.removeprefix(_STORAGE), ())
    allocated = values.get(limits.BITS_ALLOCATED)
    if allocated and allowed and allocated not in allowed:
        expected = " or ".join(map(str, allowed))
        message = f"is {allocated}, where its SOP Class requires {expected}"
        add(limits.BITS_ALLOCATED, message, prevents_viewing=False)
    return tuple(faults)


class _Add(Protocol):
    def __call__(self, tag: int, message: str, *, prevents_viewing: bool = True) -> None: ...


def _check_frames(values: limits.Values, add: _Add) -> None:
    frames = values.get(limits.NUMBER_OF_FRAMES, 1)
    if frames != "" and (not isinstance(frames, int) or frames < 1):
        add(limits.NUMBER_OF_FRAMES, f"is {str(frames)[:16]!r}, where a number from 1 is required")


def _check_bits(values: limits.Values, add: _Add) -> None:
    """Bits Allocated, Bits Stored and High Bit (PS3.5 8.1.1)."""
    allocated, stored, high = (values.get(tag) for tag in _BITS)
    if not isinstance(allocated, int) or not allocated:
        return
    if allocated != 1 and allocated % 8:
        add(limits.BITS_ALLOCATED, f"is {allocated}, where 1 or a multiple of 8 is required")
    elif allocated not in _COMMON_BITS_ALLOCATED:
        message = f"is {allocated}, where 1, 8, 16, 32 or 64 are usual"
        add(limits.BITS_ALLOCATED, message, prevents_viewing=False)
    if not isinstance(stored, int) or not stored:
        return
    if stored <= allocated and isinstance(high, int) and high != stored - 1:
        # Cells with their bits further up conformed until the standard of 2014.
        is_possible = stored <= high + 1 <= allocated
        message = f"is {high}, where Bits Stored (0028,0101) of {stored} requires {stored - 1}"
        add(limits.HIGH_BIT, message, prevents_viewing=not is_possible)


def _check_colours(
    values: limits.Values, transfer_syntax_uid: str, add: _Add, *, is_native: bool
) -> None:
    """Photometric Interpretation against Samples per Pixel and the transfer syntax.

    Source: PS3.3 C.7.6.3.1.2, PS3.5 8.2.
    """
    photometric = values.get(limits.PHOTOMETRIC_INTERPRETATION, "")
    samples = values.get(limits.SAMPLES_PER_PIXEL)
    if not photometric or not samples:
        return
    required = _SAMPLES.get(str(photometric))
    tag = limits.PHOTOMETRIC_INTERPRETATION
    if required is None:
        add(tag, f"is {str(photometric)[:16]!r}, which is not one of the standard")
    elif samples != required:
        message = f"is {samples}, where {photometric} requires {required}"
        add(limits.SAMPLES_PER_PIXEL, message)
    elif photometric in _ONLY_JPEG_2000:
        if not transfer_syntax_uid.startswith(_JPEG_2000_SYNTAXES):
            message = f"is {photometric}, which only JPEG 2000 has"
            add(tag, message, prevents_viewing=is_native)
    elif photometric in _ONLY_COMPRESSED and is_native:
        message = f"is {photometric}, which native Pixel Data does not have"
        add(tag, message, prevents_viewing=False)
