"""Craft: which transfer syntaxes an instance may have on media (PS3.11, PS3.4 S.3.2.1.1)."""

from collections.abc import Set as AbstractSet
from typing import NamedTuple

from burnish.application_profiles import limits
from burnish.transcode.frames import ENCAPSULATED
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
    RLE_LOSSLESS,
)

#: Burnish compresses images without loss into these transfer syntaxes, the first one if it may.
LOSSLESS = (JPEG_LOSSLESS_SV1, JPEG_2000_LOSSLESS)
#: Burnish compresses images with loss into these transfer syntaxes.
LOSSY = frozenset({JPEG_BASELINE, JPEG_EXTENDED, JPEG_2000})

_NATIVE = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)
#: Transfer syntaxes that cannot have lost anything, unless the data set says so.
_WITHOUT_LOSS = _NATIVE | {
    JPEG_LOSSLESS_SV1,
    JPEG_2000_LOSSLESS,
    RLE_LOSSLESS,
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless, any selection value
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
}


class MediaSyntaxes(NamedTuple):
    """The transfer syntaxes that an instance may have on media of one Application Profile.

    `default` is the one that it has unless it is compressed to save space: its own where the
    profile permits that. None where Burnish cannot bring it into any that the profile permits.
    `lossless` and `lossy` are those it may be compressed into, None where it may not or cannot be.
    """

    default: str | None
    lossless: str | None = None
    lossy: str | None = None


def decodable(transfer_syntax_uid: str) -> bool:
    """Whether Burnish can bring this transfer syntax into Explicit VR Little Endian."""
    return transfer_syntax_uid in _NATIVE or transfer_syntax_uid in ENCAPSULATED


def media_syntaxes(
    transfer_syntax_uid: str,
    permitted: AbstractSet[str],
    limited_attributes: limits.Values,
    *,
    is_image: bool,
) -> MediaSyntaxes:
    """Decide on the transfer syntaxes for an instance that is in `transfer_syntax_uid` now.

    `permitted` are those that the profile permits for it. What only looks like an image, as an
    RT Dose does, is not compressed with loss: see `is_image`.
    """
    lossless = next((syntax for syntax in LOSSLESS if syntax in permitted), None)
    if transfer_syntax_uid in permitted:
        default: str | None = transfer_syntax_uid
    elif not decodable(transfer_syntax_uid):
        default = None
    elif EXPLICIT_VR_LITTLE_ENDIAN in permitted:
        default = EXPLICIT_VR_LITTLE_ENDIAN
    else:
        default = lossless
    return MediaSyntaxes(
        default,
        lossless if default == EXPLICIT_VR_LITTLE_ENDIAN else None,
        _lossy(transfer_syntax_uid, permitted, limited_attributes) if is_image else None,
    )


def _lossy(
    transfer_syntax_uid: str, permitted: AbstractSet[str], limited_attributes: limits.Values
) -> str | None:
    """The transfer syntax of those permitted that an image may be compressed into with loss.

    None for an image that was compressed with loss already (PS3.4 S.3.2.1.1.9), and for one that
    no encoder here takes.
    """
    if transfer_syntax_uid not in _WITHOUT_LOSS:
        return None
    photometric = limited_attributes.get(limits.PHOTOMETRIC_INTERPRETATION)
    grey = photometric in ("MONOCHROME1", "MONOCHROME2")
    if not grey and photometric not in ("RGB", "YBR_FULL"):
        return None
    allocated = limited_attributes.get(limits.BITS_ALLOCATED)
    stored = limited_attributes.get(limits.BITS_STORED)
    unsigned = limited_attributes.get(limits.PIXEL_REPRESENTATION) == 0
    if allocated == stored == 8 and unsigned and JPEG_BASELINE in permitted:
        return JPEG_BASELINE
    if allocated == 16 and stored == 12 and unsigned and grey and JPEG_EXTENDED in permitted:
        return JPEG_EXTENDED
    if allocated in (8, 16) and photometric != "YBR_FULL" and JPEG_2000 in permitted:
        return JPEG_2000
    return None
