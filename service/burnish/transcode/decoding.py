"""Craft: decodes all frames of an image, only to see whether that is possible."""

from typing import BinaryIO

from burnish.application_profiles import limits
from burnish.transcode.frames import ENCAPSULATED, ImagePixel, NotTranscodable, decode
from burnish.values import DecodedFrames


def decode_all(
    file: BinaryIO, offset: int, transfer_syntax_uid: str, values: limits.Values
) -> DecodedFrames:
    """Decodes the Pixel Data that `values` describe, and whose value begins at `offset`.

    One frame is in memory at a time.
    """
    if transfer_syntax_uid not in ENCAPSULATED:
        return DecodedFrames(is_supported=False)

    def number(tag: int, default: int = 0) -> int:
        value = values.get(tag, default)
        return value if isinstance(value, int) else default

    image = ImagePixel(
        rows=number(limits.ROWS),
        columns=number(limits.COLUMNS),
        samples_per_pixel=number(limits.SAMPLES_PER_PIXEL, 1),
        bits_allocated=number(limits.BITS_ALLOCATED),
        bits_stored=number(limits.BITS_STORED, number(limits.BITS_ALLOCATED)),
        pixel_representation=number(limits.PIXEL_REPRESENTATION),
        photometric_interpretation=str(
            values.get(limits.PHOTOMETRIC_INTERPRETATION, "MONOCHROME2")
        ),
        planar_configuration=0,
        number_of_frames=number(limits.NUMBER_OF_FRAMES, 1),
    )
    frames = 0
    try:
        for _ in decode(file, offset, transfer_syntax_uid, image):
            frames += 1
    except NotTranscodable as error:
        return DecodedFrames(frames, str(error))
    return DecodedFrames(frames)
