"""Craft: images compressed without loss, each frame decoded and compared (PS3.4 S.3.2.1.1.6).

Frames are read, encoded and compared one by one, so that an image of any size takes the memory of
a few frames.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from burnish.dicom_elements import PIXEL_DATA, UNDEFINED_LENGTH, Element, Window, encode, scan
from burnish.errors import BurnishError
from burnish.file_meta import locate
from burnish.file_slice import Slice
from burnish.instance_header.header import HEAD
from burnish.transcode import jpeg_lossless
from burnish.transcode.frames import (
    BITS_ALLOCATED,
    BITS_STORED,
    CODEC_ERRORS,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLES_PER_PIXEL,
    ImagePixel,
    NotTranscodable,
    decode_frame,
)
from burnish.transcode.uncompressed import (
    PIXEL_GROUP,
    TranscodedFile,
    before_pixels,
    copied,
    image_pixel,
    in_explicit_vr_little_endian,
    removed_on_failure,
    write,
)
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
)

if TYPE_CHECKING:
    import numpy as np

#: Photometric Interpretations that can be encoded, by Samples per Pixel (PS3.5 8.2.1, 8.2.4).
_PHOTOMETRIC = {
    1: frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}),
    3: frozenset({"RGB", "YBR_FULL"}),
}
_MAXIMUM_OFFSET = 0xFFFFFFFF
_ITEM = struct.Struct("<HHL")
_SEQUENCE_END = _ITEM.pack(0xFFFE, 0xE0DD, 0)


class NotCompressible(NotTranscodable):
    """An image that cannot be compressed; it can still go on media uncompressed."""


class NotIdentical(BurnishError):
    """An encoder's output decodes to other pixel values: the encoder is at fault."""


@dataclass(frozen=True, slots=True)
class NativeImage:
    """A data set in Explicit VR Little Endian: Pixel Data, and the elements before and behind."""

    window: Window
    before: list[Element]
    pixels: Element
    behind: list[Element]
    image: ImagePixel

    def frames(self) -> Iterator["np.ndarray"]:
        """Each frame as rows, columns and samples, unsigned, in cells of Bits Allocated."""
        size = self.image.length // self.image.number_of_frames
        for start in range(self.pixels.value, self.pixels.value + self.image.length, size):
            yield _samples(self.window[start : start + size], self.image)


def compress(
    source: Slice, target: Path, transfer_syntax_uid: str, *, source_ae_title: str = ""
) -> TranscodedFile:
    """Write the image `source` to `target` in one of LOSSLESS, durably.

    Every frame is decoded again and compared. An image that is mostly noise gets a little larger.
    Raises NotCompressible for an image that the transfer syntax cannot hold, NotIdentical where
    pixel values differ, and what to_explicit_vr_little_endian raises; then there is no `target`.
    """
    with open_native(source, target) as native, TemporaryFile(dir=target.parent) as encoded:
        lengths = list(_encode_all(native, transfer_syntax_uid, encoded))
        image = _encoded(native.image, transfer_syntax_uid)
        pieces = encapsulated(native, image, encoded, lengths)
        with removed_on_failure(target):
            return write(target, pieces, transfer_syntax_uid, source_ae_title)


@contextmanager
def open_native(source: Slice, target: Path) -> Iterator[NativeImage]:
    """The image `source` in native format; it is decoded into a file beside `target` if necessary.

    Raises as `compress` does.
    """
    with (
        source.open() as file,
        source.open() as fragments,
        TemporaryFile(dir=target.parent) as scratch,
    ):
        offset, syntax = locate(file.read(HEAD))
        if syntax == EXPLICIT_VR_LITTLE_ENDIAN:
            window = Window(file, offset, file.seek(0, 2) - offset)
        else:
            for piece in in_explicit_vr_little_endian(file, fragments, offset, syntax):
                scratch.write(piece)
            window = Window(scratch, 0, scratch.tell())
        yield _native(window)


def _native(window: Window) -> NativeImage:
    before = list(scan(window, 0, window.size, explicit=True, stop=PIXEL_GROUP))
    position = before[-1].end if before else 0
    group = list(scan(window, position, window.size, explicit=True))
    pixels = next((element for element in group if element.tag == PIXEL_DATA), None)
    if pixels is None or pixels.undefined:
        raise NotCompressible("the data set has no Pixel Data")
    image = image_pixel(window, before)
    _refuse_unusual(image)
    if not 0 <= pixels.length - image.length <= 1:
        raise NotCompressible("the length of the Pixel Data does not match Rows and Columns")
    behind = [element for element in group if element.start > pixels.start]
    return NativeImage(window, before, pixels, behind, image)


def _refuse_unusual(image: ImagePixel) -> None:
    image.check()
    if image.bits_allocated not in (8, 16):
        raise NotCompressible("neither 8 nor 16 bits are allocated", attributes=(BITS_ALLOCATED,))
    if image.photometric_interpretation not in _PHOTOMETRIC.get(image.samples_per_pixel, ()):
        raise NotCompressible(
            "the encoders do not support this colour space",
            attributes=(SAMPLES_PER_PIXEL, PHOTOMETRIC_INTERPRETATION),
        )


def _encode_all(native: NativeImage, transfer_syntax_uid: str, out: BinaryIO) -> Iterator[int]:
    """Encode each frame and write it to `out` as an item; the length of each item."""
    for samples in native.frames():
        fragment = _encode(samples, native.image, transfer_syntax_uid)
        _compare(fragment, samples, native.image, transfer_syntax_uid)
        yield out.write(as_item(fragment))


def as_item(fragment: bytes) -> bytes:
    """The item that holds a frame in one fragment (PS3.5 A.4)."""
    fragment += b"\0" * (len(fragment) & 1)
    return _ITEM.pack(0xFFFE, 0xE000, len(fragment)) + fragment


def _samples(frame: bytes, image: ImagePixel) -> "np.ndarray":
    """A native frame as rows, columns and samples, unsigned."""
    import numpy as np

    cells = np.frombuffer(frame, "<u2" if image.bits_allocated == 16 else "u1")
    if image.samples_per_pixel > 1 and image.planar_configuration == 1:
        planes = cells.reshape(image.samples_per_pixel, image.rows, image.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return cells.reshape(image.rows, image.columns, image.samples_per_pixel)


def _encode(samples: "np.ndarray", image: ImagePixel, transfer_syntax_uid: str) -> bytes:
    if transfer_syntax_uid == JPEG_LOSSLESS_SV1:
        # all bits of the cells are encoded, also unused ones and sign extension
        return jpeg_lossless.encode(samples, image.bits_allocated)
    if transfer_syntax_uid != JPEG_2000_LOSSLESS:
        raise NotCompressible(f"Burnish has no encoder for transfer syntax {transfer_syntax_uid}")
    from openjpeg.utils import encode_array

    samples = pixel_values(samples, image)
    colour = 1 if image.photometric_interpretation == "RGB" else 0
    try:
        return bytes(
            encode_array(
                samples[:, :, 0] if image.samples_per_pixel == 1 else samples,
                bits_stored=image.bits_stored,
                photometric_interpretation=colour,
                use_mct=bool(colour),
            )
        )
    except CODEC_ERRORS as error:
        raise NotCompressible("the JPEG 2000 encoder does not accept this image") from error


def pixel_values(samples: "np.ndarray", image: ImagePixel) -> "np.ndarray":
    """Pixel values, signed or unsigned; raises NotCompressible where unused bits have content."""
    import numpy as np

    unused = image.bits_allocated - image.bits_stored
    signed = samples.view(samples.dtype.str.replace("u", "i"))
    values = signed << unused >> unused if image.pixel_representation else samples
    clear = samples << unused >> unused
    if not (np.array_equal(samples, clear) or np.array_equal(signed, values)):
        raise NotCompressible(
            "bits beyond Bits Stored are in use", attributes=(BITS_STORED, PIXEL_DATA)
        )
    return values


def _compare(
    fragment: bytes, samples: "np.ndarray", image: ImagePixel, transfer_syntax_uid: str
) -> None:
    """Raise NotIdentical unless the fragment decodes to these samples."""
    import numpy as np

    try:
        frame, _ = decode_frame(fragment, transfer_syntax_uid, _encoded(image, transfer_syntax_uid))
    except (NotTranscodable, *CODEC_ERRORS) as error:
        raise NotIdentical("the encoded frame cannot be decoded") from error
    all_bits = transfer_syntax_uid == JPEG_LOSSLESS_SV1
    mask = (1 << (image.bits_allocated if all_bits else image.bits_stored)) - 1
    decoded = np.frombuffer(frame, samples.dtype)
    if decoded.size != samples.size or ((decoded ^ samples.reshape(-1)) & mask).any():
        raise NotIdentical("the encoded frame decodes to other pixel values")


def _encoded(image: ImagePixel, transfer_syntax_uid: str) -> ImagePixel:
    """The description of the image once it is compressed."""
    photometric = image.photometric_interpretation
    if transfer_syntax_uid == JPEG_2000_LOSSLESS and photometric == "RGB":
        photometric = "YBR_RCT"
    return replace(image, photometric_interpretation=photometric, planar_configuration=0)


def encapsulated(
    native: NativeImage,
    image: ImagePixel,
    encoded: BinaryIO,
    lengths: list[int],
    changes: Mapping[int, bytes] | None = None,
) -> Iterator[bytes]:
    """The data set with encapsulated Pixel Data (PS3.5 A.4), described by `image`.

    `encoded` has the items of all frames, `lengths` their lengths. `changes` are as in
    `before_pixels`.
    """
    window = native.window
    yield from before_pixels(window, native.before, image, changes)
    yield encode(PIXEL_DATA, b"OB", b"")[:8] + UNDEFINED_LENGTH.to_bytes(4, "little")
    table = _basic_offset_table(lengths)
    yield _ITEM.pack(0xFFFE, 0xE000, len(table)) + table
    yield from copied(Window(encoded, 0, sum(lengths)), 0, sum(lengths))
    yield _SEQUENCE_END
    for element in native.behind:
        yield from copied(window, element.start, element.end)


def _basic_offset_table(lengths: list[int]) -> bytes:
    """The offset of each frame; empty where an offset takes more than 32 bits (PS3.5 A.4)."""
    offsets, offset = [], 0
    for length in lengths:
        offsets.append(offset)
        offset += length
    if offsets[-1] > _MAXIMUM_OFFSET:
        return b""
    return struct.pack(f"<{len(offsets)}L", *offsets)
