"""Craft: the frames of encapsulated Pixel Data, decoded one by one (PS3.5 8.2, A.4).

Samples come out as the codec has them: no colour transformation is applied, and what the result
is, is said along with it.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from burnish.errors import BurnishError
from burnish.instance_header.scan import PIXEL_DATA
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

#: A frame larger than this is not decoded: the codecs hold several copies.
_LARGEST_FRAME = 1 << 29
#: What pydicom and the codecs raise for damaged or unusual pixel data.
CODEC_ERRORS = (
    *(ArithmeticError, AttributeError, BufferError, EOFError, LookupError, MemoryError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError, struct.error, zlib.error),
)
#: JPEG markers without a length, and the frame headers, that have the size (ISO/IEC 10918-1 B).
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}


class NotTranscodable(BurnishError):
    """Pixel Data that cannot be brought into another transfer syntax.

    `attributes` are the tags of those that stand against it (2200,000E).
    """

    def __init__(self, message: str, *, attributes: Iterable[int] = (PIXEL_DATA,)) -> None:
        super().__init__(message)
        self.attributes = tuple(attributes)


class AttributesMissing(NotTranscodable):
    """Without `attributes` nobody can tell what the Pixel Data are."""


class ValuesMissing(NotTranscodable):
    """`attributes` are there, but empty."""


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
        """Raise NotTranscodable where this cannot be, or is more than is decoded."""
        sound = {
            ROWS: self.rows > 0,
            COLUMNS: self.columns > 0,
            SAMPLES_PER_PIXEL: self.samples_per_pixel in (1, 2, 3, 4),
            BITS_ALLOCATED: self.bits_allocated in (1, 8, 16, 32, 64),
            BITS_STORED: 0 < self.bits_stored <= self.bits_allocated,
            NUMBER_OF_FRAMES: self.number_of_frames > 0,
        }
        if not all(sound.values()):
            wrong = [tag for tag, good in sound.items() if not good]
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

    With each comes what it is: colour by pixel, in the colour space the codec left it in.
    """
    image.check()
    count = 0
    for frame in islice(_encoded(file, offset, image), image.number_of_frames):
        try:
            if transfer_syntax_uid == DEFLATED_IMAGE_FRAME:
                yield _inflate(frame, image), image
            elif image.bits_allocated == 1 and transfer_syntax_uid == _RLE:
                yield _decode_packed(frame, image), image
            else:
                _refuse_other_size(frame, transfer_syntax_uid, image)
                sequential = transfer_syntax_uid in _SEQUENTIAL
                whole = _with_whole_spectrum(frame) if sequential else frame
                yield decode_frame(whole, transfer_syntax_uid, image)
        except CODEC_ERRORS as error:
            raise NotTranscodable(f"frame {count + 1} is damaged or unusual") from error
        count += 1
    if count != image.number_of_frames:
        raise NotTranscodable(
            f"there are {count} of {image.number_of_frames} frames",
            attributes=(NUMBER_OF_FRAMES, PIXEL_DATA),
        )


def _encoded(file: BinaryIO, offset: int, image: ImagePixel) -> Iterator[bytes]:
    from pydicom.encaps import generate_frames

    file.seek(offset)
    try:
        yield from generate_frames(file, number_of_frames=image.number_of_frames)
    except CODEC_ERRORS as error:
        raise NotTranscodable("the fragments of the Pixel Data do not make frames") from error


def decode_frame(
    encoded: bytes, transfer_syntax_uid: str, image: ImagePixel
) -> tuple[bytes, ImagePixel]:
    """One frame in native format, colour by pixel, and what it is. Raises CODEC_ERRORS."""
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
    array, said = next(frames)
    photometric = str(said["photometric_interpretation"])
    # A codec that subsamples gives all samples back.
    photometric = {"YBR_FULL_422": "YBR_FULL", "YBR_ICT": "RGB", "YBR_RCT": "RGB"}.get(
        photometric, photometric
    )
    decoded = replace(image, photometric_interpretation=photometric, planar_configuration=0)
    return _native(array, image), decoded


def _decode_packed(encoded: bytes, image: ImagePixel) -> bytes:
    """A frame of single bits in RLE, which has them packed: one row of bytes to the codec."""
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
    """Samples in cells of Bits Allocated, little endian; of one bit, one byte for each."""
    width = max(1, image.bits_allocated // 8)
    if array.dtype.itemsize > width:
        raise NotTranscodable(
            "the codec has more bits than Bits Allocated", attributes=(BITS_ALLOCATED, PIXEL_DATA)
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
    """A byte for each of the bits (PS3.5 8.1.1)."""
    import numpy as np

    cells = np.frombuffer(packed, np.uint8)
    return np.unpackbits(cells, count=count, bitorder="little").tobytes()


def pack_bits(frames: Iterator[bytes]) -> Iterator[bytes]:
    """Frames with a byte for each bit, packed without a gap between them (PS3.5 8.1.1)."""
    import numpy as np

    rest = b""
    for frame in frames:
        bits = rest + frame
        whole = len(bits) // 8 * 8
        cells = np.frombuffer(bits[:whole], np.uint8)
        yield np.packbits(cells, bitorder="little").tobytes()
        rest = bits[whole:]
    if rest:
        yield np.packbits(np.frombuffer(rest, np.uint8), bitorder="little").tobytes()


def _refuse_other_size(encoded: bytes, transfer_syntax_uid: str, image: ImagePixel) -> None:
    """Refuse a codestream that says it is larger than the image: the codec would believe it."""
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


def _with_whole_spectrum(encoded: bytes) -> bytes:
    """Scans of a sequential JPEG that say that they end with coefficient 0, as some encoders do.

    They have all 64 (ISO/IEC 10918-1 B.2.3), and the codec insists on it.
    """
    mended = bytearray(encoded)
    start = encoded.find(b"\xff\xda")
    while start >= 0:
        length = int.from_bytes(encoded[start + 2 : start + 4], "big")
        end = start + length
        if encoded[end - 1 : end + 2] == b"\0\0\0" and length == 6 + 2 * encoded[start + 4]:
            mended[end] = 63
        start = encoded.find(b"\xff\xda", start + 2)
    return bytes(mended)


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
