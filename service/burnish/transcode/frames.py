"""Craft: the frames of encapsulated Pixel Data, decoded one by one (PS3.5 8.2, A.4).

Samples stay in the colour space in which the codec returns them, and each frame comes with the
description of that: an ImagePixel.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from burnish.codec_process import panics_as_errors
from burnish.dicom_elements import PIXEL_DATA
from burnish.errors import BurnishError
from burnish.vocabulary import (
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
)

if TYPE_CHECKING:
    import numpy

SAMPLES_PER_PIXEL, PHOTOMETRIC_INTERPRETATION = 0x00280002, 0x00280004
PLANAR_CONFIGURATION, NUMBER_OF_FRAMES = 0x00280006, 0x00280008
ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED = 0x00280010, 0x00280011, 0x00280100, 0x00280101
PIXEL_REPRESENTATION = 0x00280103

DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
_JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
_JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
_JPEG = frozenset({JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS_SV1, _JPEG_LOSSLESS}) | _JPEG_LS
_JPEG_2000 = frozenset(
    {JPEG_2000_LOSSLESS, JPEG_2000}
    | {"1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"}
)
_SEQUENTIAL = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
_RLE = "1.2.840.10008.1.2.5"
ENCAPSULATED = _JPEG | _JPEG_2000 | {_RLE, DEFLATED_IMAGE_FRAME}

#: Bytes of the largest frame that is decoded; the codecs hold several copies of it.
_LARGEST_FRAME = 1 << 29
#: What pydicom and the codecs raise for damaged or unusual pixel data.
CODEC_ERRORS = (
    ArithmeticError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
#: JPEG markers without a length (ISO/IEC 10918-1 B).
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
#: JPEG markers of frame headers, which have the size of the image (ISO/IEC 10918-1 B).
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}


class NotTranscodable(BurnishError):
    """Pixel Data that cannot be brought into another transfer syntax.

    `attributes` are the tags of the attributes that prevent it, for Failure Attributes
    (2200,000E).
    """

    def __init__(self, message: str, *, attributes: Iterable[int] = (PIXEL_DATA,)) -> None:
        super().__init__(message)
        self.attributes = tuple(attributes)


class AttributesMissing(NotTranscodable):
    """The data set lacks `attributes`, without which the Pixel Data have no meaning."""


class ValuesMissing(NotTranscodable):
    """The data set has `attributes` without a value, which the Pixel Data need."""


@dataclass(frozen=True, slots=True)
class ImagePixel:
    """The Image Pixel Module of an image, and its Number of Frames (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    photometric_interpretation: str
    planar_configuration: int
    number_of_frames: int

    @property
    def frame_bits(self) -> int:
        """Bits of one frame in native format, without subsampling."""
        return self.rows * self.columns * self.samples_per_pixel * self.bits_allocated

    @property
    def length(self) -> int:
        """Bytes of all frames in native format, without subsampling (PS3.5 8.1.1)."""
        return (self.frame_bits * self.number_of_frames + 7) // 8

    def check(self) -> None:
        """Raise NotTranscodable for impossible values, and for an image too large to decode."""
        valid = {
            ROWS: self.rows > 0,
            COLUMNS: self.columns > 0,
            SAMPLES_PER_PIXEL: self.samples_per_pixel in (1, 2, 3, 4),
            BITS_ALLOCATED: self.bits_allocated in (1, 8, 16, 32, 64),
            BITS_STORED: 0 < self.bits_stored <= self.bits_allocated,
            NUMBER_OF_FRAMES: self.number_of_frames > 0,
        }
        wrong = [tag for tag, is_valid in valid.items() if not is_valid]
        if wrong:
            raise NotTranscodable("the Image Pixel attributes are wrong", attributes=wrong)
        if self.frame_bits > 8 * _LARGEST_FRAME:
            raise NotTranscodable(
                "a frame is larger than Burnish decodes", attributes=(ROWS, COLUMNS)
            )
        if self.length > 0xFFFFFFFE:
            raise NotTranscodable(
                "the decoded Pixel Data would not fit one element", attributes=(NUMBER_OF_FRAMES,)
            )


def decode(
    file: BinaryIO, offset: int, transfer_syntax_uid: str, image: ImagePixel
) -> Iterator[tuple[bytes, ImagePixel]]:
    """Native frames of the encapsulated Pixel Data whose value starts at `offset`.

    With each frame comes its description: colour by pixel, in the colour space of the codec.
    Raises NotTranscodable.
    """
    image.check()
    count = 0
    for frame in islice(_encoded_frames(file, offset, image), image.number_of_frames):
        try:
            if transfer_syntax_uid == DEFLATED_IMAGE_FRAME:
                yield _inflate(frame, image), image
            elif image.bits_allocated == 1 and transfer_syntax_uid == _RLE:
                yield _decode_packed(frame, image), image
            else:
                _refuse_other_size(frame, transfer_syntax_uid, image)
                sequential = transfer_syntax_uid in _SEQUENTIAL
                repaired = _with_all_coefficients(frame) if sequential else frame
                yield decode_frame(repaired, transfer_syntax_uid, image)
        except CODEC_ERRORS as error:
            raise NotTranscodable(f"frame {count + 1} is damaged or unusual") from error
        count += 1
    if count != image.number_of_frames:
        raise NotTranscodable(
            f"the Pixel Data has {count} of {image.number_of_frames} frames",
            attributes=(NUMBER_OF_FRAMES, PIXEL_DATA),
        )


def _encoded_frames(file: BinaryIO, offset: int, image: ImagePixel) -> Iterator[bytes]:
    from pydicom.encaps import generate_frames

    file.seek(offset)
    try:
        yield from generate_frames(file, number_of_frames=image.number_of_frames)
    except CODEC_ERRORS as error:
        raise NotTranscodable("the fragments of the Pixel Data do not make frames") from error


def decode_frame(
    encoded: bytes, transfer_syntax_uid: str, image: ImagePixel
) -> tuple[bytes, ImagePixel]:
    """One frame in native format, colour by pixel, and its description. Raises CODEC_ERRORS."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    decoder = get_decoder(UID(transfer_syntax_uid))
    frames = decoder.iter_array(
        encapsulate([encoded], has_bot=False),
        raw=True,
        decoding_plugin="pylibjpeg",
        # Unused bits may hold an overlay (PS3.5 8.1.2).
        correct_unused_bits=False,
        rows=image.rows,
        columns=image.columns,
        samples_per_pixel=image.samples_per_pixel,
        bits_allocated=image.bits_allocated,
        bits_stored=image.bits_stored,
        pixel_representation=image.pixel_representation,
        photometric_interpretation=image.photometric_interpretation,
        planar_configuration=image.planar_configuration,
        number_of_frames=1,
        pixel_keyword="PixelData",
    )
    with panics_as_errors():
        array, description = next(frames)
    photometric = str(description["photometric_interpretation"])
    # the codecs undo subsampling and the colour transformations of JPEG 2000
    photometric = {"YBR_FULL_422": "YBR_FULL", "YBR_ICT": "RGB", "YBR_RCT": "RGB"}.get(
        photometric, photometric
    )
    decoded = replace(image, photometric_interpretation=photometric, planar_configuration=0)
    return _native(array, image), decoded


def _decode_packed(encoded: bytes, image: ImagePixel) -> bytes:
    """A frame of single bits in RLE, decoded as one row of the bytes that hold the bits."""
    octets = (image.frame_bits + 7) // 8
    row = replace(
        image,
        rows=1,
        columns=octets,
        samples_per_pixel=1,
        bits_allocated=8,
        bits_stored=8,
        photometric_interpretation="MONOCHROME2",
    )
    return _unpack_bits(decode_frame(encoded, _RLE, row)[0], image.frame_bits)


def _native(array: "numpy.ndarray", image: ImagePixel) -> bytes:
    """Samples in cells of Bits Allocated, little endian; a byte for each sample of one bit."""
    width = max(1, image.bits_allocated // 8)
    if array.dtype.itemsize > width:
        raise NotTranscodable(
            "the codec returns more bits than Bits Allocated",
            attributes=(BITS_ALLOCATED, PIXEL_DATA),
        )
    kind = "i" if image.pixel_representation and array.dtype.kind == "i" else "u"
    return array.astype(f"<{kind}{width}", copy=False).tobytes()


def _inflate(encoded: bytes, image: ImagePixel) -> bytes:
    """A frame that is deflated as it would be in native format (PS3.5 A.4.13)."""
    bits = image.frame_bits
    if image.photometric_interpretation == "YBR_FULL_422":
        bits = bits * 2 // 3
    length = (bits + 7) // 8
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    frame = inflater.decompress(encoded, length + 1)
    if len(frame) - length not in (0, 1):
        raise NotTranscodable("a deflated frame is not as long as its Rows and Columns say")
    frame = frame[:length]
    return _unpack_bits(frame, bits) if image.bits_allocated == 1 else frame


def _unpack_bits(packed: bytes, count: int) -> bytes:
    """A byte for each of `count` bits (PS3.5 8.1.1)."""
    import numpy as np

    cells = np.frombuffer(packed, np.uint8)
    return np.unpackbits(cells, count=count, bitorder="little").tobytes()


def pack_bits(frames: Iterator[bytes]) -> Iterator[bytes]:
    """Frames with a byte for each bit, packed without a gap between them (PS3.5 8.1.1)."""
    import numpy as np

    left_over = b""
    for frame in frames:
        bits = left_over + frame
        end = len(bits) // 8 * 8
        cells = np.frombuffer(bits[:end], np.uint8)
        yield np.packbits(cells, bitorder="little").tobytes()
        left_over = bits[end:]
    if left_over:
        yield np.packbits(np.frombuffer(left_over, np.uint8), bitorder="little").tobytes()


def _refuse_other_size(encoded: bytes, transfer_syntax_uid: str, image: ImagePixel) -> None:
    """Refuse a codestream of another size than the image: the codec would decode that size."""
    if transfer_syntax_uid in _JPEG:
        size = _jpeg_size(encoded)
    elif transfer_syntax_uid in _JPEG_2000:
        size = _jpeg_2000_size(encoded)
    else:
        return
    if size != (image.rows, image.columns):
        raise NotTranscodable(
            "a frame has another size than Rows and Columns say",
            attributes=(ROWS, COLUMNS, PIXEL_DATA),
        )


def _with_all_coefficients(encoded: bytes) -> bytes:
    """A sequential JPEG whose scan headers say that they end with coefficient 63.

    Some encoders write 0 there. The scans have all 64 coefficients (ISO/IEC 10918-1 B.2.3), and
    the codec refuses a header that says otherwise.
    """
    repaired = bytearray(encoded)
    start = encoded.find(b"\xff\xda")
    while start >= 0:
        length = int.from_bytes(encoded[start + 2 : start + 4], "big")
        end = start + length
        if encoded[end - 1 : end + 2] == b"\0\0\0" and length == 6 + 2 * encoded[start + 4]:
            repaired[end] = 63
        start = encoded.find(b"\xff\xda", start + 2)
    return bytes(repaired)


def _jpeg_size(encoded: bytes) -> tuple[int, int] | None:
    """Lines and samples per line in the frame header (ISO/IEC 10918-1 B.2.2, 14495-1 C.2.2)."""
    position = 2
    while position + 9 <= len(encoded):
        if encoded[position] != 0xFF:
            return None
        marker = encoded[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        elif marker in _FRAME_HEADERS:
            return struct.unpack_from(">HH", encoded, position + 5)
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return None


def _jpeg_2000_size(encoded: bytes) -> tuple[int, int] | None:
    """Height and width of the image area in the SIZ segment (ISO/IEC 15444-1 A.5.1)."""
    start = encoded[: 1 << 16].find(b"\xff\x4f\xff\x51")
    if start < 0 or len(encoded) < start + 24:
        return None
    width, height, left, top = struct.unpack_from(">LLLL", encoded, start + 8)
    return height - top, width - left
