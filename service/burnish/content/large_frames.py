"""Craft: frames that are too large to be held in memory, as smaller ones.

Nobody looks at 400 million pixels at once, and browsers show no picture of that size. Of such a
frame only every block of so many rows and columns becomes a pixel: the mean of its values, or one
of them where values are no quantities (palettes, single bits).
"""

import io
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pydicom import Dataset

#: A frame of more samples is large: with all that is made of it, it would need too much memory.
_MOST_SAMPLES = 30_000_000
#: The same for frames of several samples for each pixel: pictures of them take more.
_MOST_COLOUR_SAMPLES = 40_000_000
#: Pixels of a smaller one, at most, and its rows or columns (JPEG has at most 65,535).
_REDUCED_PIXELS, _REDUCED_LENGTH = 12_000_000, 32_000
#: Bytes of a frame that are read at once.
_BAND = 4 << 20
#: A decoder of JPEG can halve the rows and columns of an image so many times.
_JPEG_HALVINGS = 3
_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_BIG_ENDIAN = "1.2.840.10008.1.2.2"


def is_large(data_set: "Dataset") -> bool:
    """Whether the frames of an image are too large to be held."""
    samples = int(data_set.get("SamplesPerPixel") or 1)
    pixels = int(data_set.get("Rows") or 0) * int(data_set.get("Columns") or 0)
    most = _MOST_SAMPLES if samples == 1 else _MOST_COLOUR_SAMPLES
    return pixels * samples > most


def smaller_frames(source: BinaryIO, data_set: "Dataset") -> Iterator[Any]:
    """The frames of an image of an open DICOM file, reduced; colours as red, green and blue.

    Raises MemoryError for those that no decoder reduces while it reads.
    """
    pixels = open_pixel_data(source)
    frames = int(data_set.get("NumberOfFrames") or 1)
    syntax = str(data_set.file_meta.TransferSyntaxUID)
    if syntax in _NATIVE:
        for _ in range(frames):
            yield _native_frame(pixels, data_set)
        return
    if syntax != _JPEG_BASELINE and syntax not in _JPEG_2000:
        raise MemoryError
    if int(data_set.BitsAllocated) != 8 or int(data_set.get("PixelRepresentation") or 0):
        raise MemoryError
    from pydicom.encaps import generate_frames

    for encoded in generate_frames(pixels, number_of_frames=frames):
        yield _encoded_frame(encoded, data_set, is_jpeg_2000=syntax in _JPEG_2000)


def _step(data_set: "Dataset") -> int:
    """The rows and columns of a block that becomes one pixel."""
    rows, columns = int(data_set.Rows), int(data_set.Columns)
    by_pixels = math.isqrt(rows * columns // _REDUCED_PIXELS) + 1
    return max(by_pixels, math.ceil(max(rows, columns) / _REDUCED_LENGTH))


def open_pixel_data(source: BinaryIO) -> BinaryIO:
    """The file, at the first byte of the value of Pixel Data."""
    from pydicom import dcmread

    source.seek(0)
    data_set = dcmread(source, force=True, stop_before_pixels=True)
    element = source.read(8)
    if element[:4] not in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"):
        raise MemoryError  # floating point pixels, or none
    if not data_set.file_meta.TransferSyntaxUID.is_implicit_VR:
        source.read(4)
    return source


def _native_frame(pixels: BinaryIO, data_set: "Dataset") -> Any:
    """The next frame of uncompressed Pixel Data."""
    import numpy as np

    allocated, stored = int(data_set.BitsAllocated), int(data_set.BitsStored)
    if allocated not in (8, 16):
        raise MemoryError
    rows, columns, samples = int(data_set.Rows), int(data_set.Columns), _samples(data_set)
    sign = "i" if int(data_set.get("PixelRepresentation") or 0) else "u"
    order = ">" if str(data_set.file_meta.TransferSyntaxUID) == _BIG_ENDIAN else "<"
    stored_type, shift = np.dtype(f"{order}{sign}{allocated // 8}"), allocated - stored
    if samples == 1 or not int(data_set.get("PlanarConfiguration") or 0):
        shape, planes = (columns, samples), 1
    else:
        shape, planes = (columns, 1), samples

    def read(count: int) -> Any:
        size = count * shape[0] * shape[1] * stored_type.itemsize
        data = pixels.read(size)
        if len(data) < size:
            raise ValueError("a frame is cut off")
        values = np.frombuffer(data, stored_type).reshape(count, *shape)
        values = values.astype(stored_type.newbyteorder("="), copy=False)
        return (values << shift) >> shift if shift else values

    row_bytes = shape[0] * shape[1] * stored_type.itemsize
    reduced = [_reduced_rows(read, rows, row_bytes, data_set) for _ in range(planes)]
    frame = np.concatenate(reduced, axis=-1)
    if samples == 1:
        return frame[..., 0]
    return _as_rgb(frame, data_set)


def _reduced_rows(
    read: Callable[[int], Any], rows: int, row_bytes: int, data_set: "Dataset"
) -> Any:
    """All rows of a plane, of which `read` gives the next ones."""
    import numpy as np

    step, has_quantities = _step(data_set), _has_quantities(data_set)
    bands = []
    at_once = max(1, _BAND // (row_bytes * step)) * step
    for start in range(0, rows, at_once):
        band = read(min(at_once, rows - start))
        height, width = len(band) // step * step, band.shape[1] // step * step
        if not height:
            break
        if has_quantities:
            blocks = band[:height, :width].reshape(height // step, step, width // step, step, -1)
            means = np.rint(blocks.mean(axis=(1, 3), dtype=np.float32))
            bands.append(means.astype(band.dtype))
        else:
            bands.append(band[:height:step, :width:step].copy())
    return np.concatenate(bands)


def _encoded_frame(encoded: bytes, data_set: "Dataset", *, is_jpeg_2000: bool) -> Any:
    """A frame of JPEG or JPEG 2000, which is decoded in a smaller size."""
    import numpy as np
    from PIL import Image

    is_colour = _samples(data_set) == 3
    if is_colour and not str(data_set.PhotometricInterpretation).startswith("YBR"):
        # the file does not say for certain which colours these are
        raise MemoryError
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            halvings = math.ceil(math.log2(_step(data_set)))
            if is_jpeg_2000:
                setattr(picture, "reduce", halvings)  # noqa: B010  a property that Pillow has for JPEG 2000
            elif halvings > _JPEG_HALVINGS:
                raise MemoryError
            else:
                # a little smaller, since Pillow takes the next size that is not below it
                size = tuple(length >> halvings for length in picture.size)
                picture.draft(None, (size[0], size[1]))
            picture.load()
            if picture.mode != ("RGB" if is_colour else "L"):
                raise MemoryError
            return np.asarray(picture)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _samples(data_set: "Dataset") -> int:
    return int(data_set.get("SamplesPerPixel") or 1)


def _has_quantities(data_set: "Dataset") -> bool:
    photometric = str(data_set.PhotometricInterpretation)
    return photometric != "PALETTE COLOR" and int(data_set.BitsStored) > 1


def _as_rgb(frame: Any, data_set: "Dataset") -> Any:
    from pydicom.pixels.processing import convert_color_space

    photometric = str(data_set.PhotometricInterpretation)
    if photometric == "YBR_FULL":
        return convert_color_space(frame, photometric, "RGB")
    if photometric != "RGB":
        raise MemoryError  # of YBR_FULL_422, pixels share their colours
    return frame
