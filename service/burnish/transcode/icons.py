"""Craft: makes icons of images for Icon Image Sequence (0088,0200) (PS3.3 F.7)."""

import struct
import warnings
import zlib
from typing import Any, BinaryIO

from burnish.codec_process import panics_as_errors
from burnish.dicom_elements import PIXEL_DATA, encode
from burnish.file_slice import Slice

#: Rows and columns where no profile says how many: every reader shows that size (PS3.3 F.7).
PIXELS = 64
#: Errors that pydicom and the codecs raise for damaged or unusual pixel data.
_CODEC_ERRORS = (
    ArithmeticError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def make_icon(source: Slice, pixels: int) -> bytes:
    """The encoded item of an icon of a DICOM image, `pixels` wide and high.

    It shows the middle frame in 8 bits of grey; an image that is not square is put on a black
    square. b"" if the file is not an image or cannot be decoded.
    """
    from pydicom.errors import BytesLengthException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with source.open() as file:
                grey = _middle_frame(file)
        except (*_CODEC_ERRORS, BytesLengthException):
            return b""
    return _item(_on_square(grey, pixels), pixels)


def _middle_frame(file: BinaryIO) -> Any:
    """The middle frame as an array of numbers from 0 (dark) to 255 (bright)."""
    import numpy as np
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    header = dcmread(file, stop_before_pixels=True, force=True)
    frames = int(header.get("NumberOfFrames") or 1)
    with panics_as_errors():
        frame = pixel_array(file, index=max(0, (frames - 1) // 2))
    photometric_interpretation = header.get("PhotometricInterpretation", "")
    if photometric_interpretation == "PALETTE COLOR":
        frame = apply_color_lut(frame, header)
    if frame.ndim == 3:
        luminance = frame[..., :3].astype(np.float64) @ np.array((0.299, 0.587, 0.114))
        return np.clip(luminance * 255 / max(255, float(frame.max())), 0, 255)
    values = apply_modality_lut(frame, header).astype(np.float64)
    black, white = _window(header, values)
    grey = np.clip((values - black) / max(white - black, 1e-9), 0, 1) * 255
    return 255 - grey if photometric_interpretation == "MONOCHROME1" else grey


def _window(header: Any, values: Any) -> tuple[float, float]:
    """The values shown as black and as white.

    Those of the first window; without one, those that leave out the extreme 1 % at each end.
    """
    import numpy as np

    centers = np.atleast_1d(header.get("WindowCenter", []))
    widths = np.atleast_1d(header.get("WindowWidth", []))
    if centers.size and widths.size and float(widths[0]) > 0:
        center, width = float(centers[0]), float(widths[0])
        return center - width / 2, center + width / 2
    black, white = np.percentile(values, (1, 99))
    return float(black), float(white)


def _on_square(grey: Any, pixels: int) -> Any:
    """The picture, as large as it fits, in the middle of a black square."""
    import numpy as np

    rows, columns = grey.shape
    scale = pixels / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    resized = _with_rows(_with_rows(grey, height).T, width).T
    square = np.zeros((pixels, pixels), np.uint8)
    top, left = (pixels - height) // 2, (pixels - width) // 2
    square[top : top + height, left : left + width] = np.rint(resized)
    return square


def _with_rows(picture: Any, rows: int) -> Any:
    """The picture with another number of rows: means of several rows, or rows repeated."""
    import numpy as np

    count = len(picture)
    starts = np.arange(rows) * count // rows
    if count <= rows:
        return picture[starts]
    lengths = np.diff(np.append(starts, count))
    return np.add.reduceat(picture, starts, axis=0) / lengths[:, None]


def _item(square: Any, pixels: int) -> bytes:
    """The content of the item (PS3.3 Table C.7-11b, F.7)."""

    def us(tag: int, number: int) -> bytes:
        return encode(tag, b"US", number.to_bytes(2, "little"))

    return b"".join(
        [
            us(0x00280002, 1),
            encode(0x00280004, b"CS", b"MONOCHROME2"),
            us(0x00280010, pixels),
            us(0x00280011, pixels),
            us(0x00280100, 8),
            us(0x00280101, 8),
            us(0x00280102, 7),
            us(0x00280103, 0),
            encode(PIXEL_DATA, b"OB", square.tobytes()),
        ]
    )
