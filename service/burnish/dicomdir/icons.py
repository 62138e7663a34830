"""Craft: icons for directory records: Icon Image Sequence (0088,0200) (PS3.3 F.7, PS3.11)."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.application_profiles.icon import IconRule, acceptable
from burnish.dicom_elements import encode

#: Rows and columns where no profile says how many: what every reader shows (PS3.3 F.7).
PIXELS = 64
_SAMPLES, _PHOTOMETRIC, _ROWS, _COLUMNS = 0x00280002, 0x00280004, 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_PIXEL_DATA = 0x7FE00010
_WINDOW = ("WindowCenter", "WindowWidth")
#: What pydicom and the codecs raise for damaged or unusual pixel data.
_CODEC_ERRORS = (
    *(ArithmeticError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError, struct.error, zlib.error),
)


def choose(record_type: str, supplied: bytes | None, made: bytes, rule: IconRule | None) -> bytes:
    """The item for a record, b"" for none: the SCU's if it may stand there (PS3.4 S.3.2.1.1.3)."""
    if record_type != "IMAGE":
        return b""
    return supplied if supplied and acceptable(supplied, rule) else made


def make(source: Path, pixels: int) -> bytes:
    """An icon of a DICOM image: the middle frame in 8 bits of grey, `pixels` wide and high.

    Its pixels are not square where the image is not: it is put on black. b"" where the file is
    no image, or cannot be decoded.
    """
    import warnings

    from pydicom.errors import BytesLengthException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            grey = _grey(source)
        except (*_CODEC_ERRORS, BytesLengthException):
            return b""
    return b"" if grey is None else _item(_fitted(grey, pixels), pixels)


def _grey(source: Path) -> Any:
    """The middle frame as numbers from 0 to 255, dark to bright; None where there is none."""
    import numpy as np
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    header = dcmread(source, stop_before_pixels=True, force=True)
    frames = int(header.get("NumberOfFrames") or 1)
    frame = pixel_array(source, index=max(0, (frames - 1) // 2))
    kind = header.get("PhotometricInterpretation", "")
    if kind == "PALETTE COLOR":
        frame = apply_color_lut(frame, header)
    if frame.ndim == 3:
        bright = frame[..., :3].astype(np.float64) @ np.array((0.299, 0.587, 0.114))
        return np.clip(bright * 255 / max(255, float(frame.max())), 0, 255)
    values = apply_modality_lut(frame, header).astype(np.float64)
    low, high = _window(header, values)
    grey = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255
    return 255 - grey if kind == "MONOCHROME1" else grey


def _window(header: Any, values: Any) -> tuple[float, float]:
    """What is black and what is white: the first window, else nearly all of the values."""
    import numpy as np

    centres, widths = (np.atleast_1d(header.get(name, [])) for name in _WINDOW)
    if centres.size and widths.size and float(widths[0]) > 0:
        centre, width = float(centres[0]), float(widths[0])
        return centre - width / 2, centre + width / 2
    low, high = np.percentile(values, (1, 99))
    return float(low), float(high)


def _fitted(grey: Any, pixels: int) -> Any:
    """The picture as large as it can be in a square, in its middle, on black."""
    import numpy as np

    rows, columns = grey.shape
    scale = pixels / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    small = _resized(_resized(grey, height).T, width).T
    square = np.zeros((pixels, pixels), np.uint8)
    top, left = (pixels - height) // 2, (pixels - width) // 2
    square[top : top + height, left : left + width] = np.rint(small)
    return square


def _resized(picture: Any, rows: int) -> Any:
    """As many rows: each the mean of those it stands for, or the nearest where there are fewer."""
    import numpy as np

    count = len(picture)
    if count <= rows:
        return picture[np.arange(rows) * count // rows]
    starts = np.arange(rows) * count // rows
    lengths = np.diff(np.append(starts, count))
    return np.add.reduceat(picture, starts, axis=0) / lengths[:, None]


def _item(square: Any, pixels: int) -> bytes:
    numbers: Mapping[int, int] = {
        _ROWS: pixels,
        _COLUMNS: pixels,
        _ALLOCATED: 8,
        _STORED: 8,
        _HIGH: 7,
        _SIGNED: 0,
    }
    return b"".join(
        (
            encode(_SAMPLES, b"US", b"\1\0"),
            encode(_PHOTOMETRIC, b"CS", b"MONOCHROME2"),
            *(encode(tag, b"US", n.to_bytes(2, "little")) for tag, n in numbers.items()),
            encode(_PIXEL_DATA, b"OB", square.tobytes()),
        )
    )
