"""Frames decoded only to see whether that is possible."""

import io
import struct

import numpy
import pytest
from openjpeg.utils import encode_array

from burnish.application_profiles import limits
from burnish.dicom_elements import PIXEL_DATA, encode
from burnish.transcode.decoding import decode_all
from burnish.values import DecodedFrames
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000_LOSSLESS
from factories import encapsulated

VALUES: limits.Values = {
    limits.ROWS: 128,
    limits.COLUMNS: 128,
    limits.SAMPLES_PER_PIXEL: 1,
    limits.PHOTOMETRIC_INTERPRETATION: "MONOCHROME2",
    limits.BITS_ALLOCATED: 16,
    limits.BITS_STORED: 16,
    limits.PIXEL_REPRESENTATION: 0,
}


def codestream() -> tuple[bytes, bytes]:
    """A JPEG 2000 codestream of one tile-part: its headers, and the content of the tile."""
    ramp = numpy.arange(128)
    noise = numpy.random.default_rng(1).integers(0, 40, (128, 128))
    data = bytes(encode_array((numpy.add.outer(ramp, ramp) * 9 + noise).astype("uint16")))
    start = data.index(b"\xff\x93") + 2
    return data[:start], data[start:-2]


def with_tile(headers: bytes, content: bytes) -> bytes:
    """The codestream with another content of its tile, and the length of the tile-part right."""
    tile_part = headers.index(b"\xff\x90")
    length = struct.pack(">I", len(headers) - tile_part + len(content))
    return headers[: tile_part + 6] + length + headers[tile_part + 10 :] + content + b"\xff\xd9"


def decoded(frame: bytes) -> DecodedFrames:
    pixels = encapsulated(frame + bytes(len(frame) % 2))
    start = len(encode(PIXEL_DATA, b"OB", b""))
    return decode_all(io.BytesIO(pixels), start, JPEG_2000_LOSSLESS, VALUES)


def test_a_sound_frame_is_decoded() -> None:
    assert decoded(with_tile(*codestream())) == DecodedFrames(1)


@pytest.mark.parametrize("damage", ["half", "short", "ones", "empty"])
def test_a_tile_of_which_packets_are_gone_or_impossible_is_told(damage: str) -> None:
    """OpenJPEG calls all of this an error in strict mode, and has no warnings besides."""
    headers, content = codestream()
    damaged = {
        "half": content[: len(content) // 2],
        "short": content[:-40],
        "ones": content[:1000] + b"\xff" * 2000 + content[3000:],
        "empty": b"",
    }[damage]
    result = decoded(with_tile(headers, damaged))
    assert result.frames == 0
    assert result.fault


def test_native_pixel_data_are_not_decoded() -> None:
    result = decode_all(io.BytesIO(b""), 0, EXPLICIT_VR_LITTLE_ENDIAN, VALUES)
    assert not result.is_supported
