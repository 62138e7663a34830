"""Craft: frames as 8-bit pictures, and pictures as JPEG (PS3.3 C.7.6.3, C.11.1, C.11.2)."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from burnish.content.frame_display import FrameDisplay, LookupTable, Overlay

Array = np.ndarray[Any, Any]

#: A table is made of all values from the least to the largest, unless there are more than these.
_LARGEST_TABLE = 1 << 17
#: Pixels that are computed at once: so what is needed beside a frame and its picture is bounded.
_BAND = 1 << 19
#: Without a window, so many percent of the pixels are shown as black, and as many as white.
_CUT = 0.5
#: Every so many pixels in both directions count for that.
_STEP = 4


def render_frame(cells: Array, display: FrameDisplay) -> Array:
    """One frame as rows and columns of bytes; three of them for each pixel of a colour image.

    `cells` are the stored values, or the samples of RGB.
    """
    if display.palette:
        return _in_bands(cells, partial(_apply_palette, palette=display.palette))
    if cells.ndim == 3:
        if _is_bytes(cells, display.bits_stored):
            return cells[..., :3]
        return _in_bands(cells[..., :3], partial(_to_bytes, bits_stored=display.bits_stored))
    if display.bits_stored == 1:
        bits: Array = (cells != 0).astype(np.uint8) * np.uint8(255)
        return 255 - bits if display.inverse else bits
    return _render_grey(cells, display)


def _in_bands(cells: Array, compute: Callable[[Array], Array]) -> Array:
    """The picture of a frame, of which some rows at a time are computed."""
    rows = max(1, _BAND // max(1, cells.shape[1]))
    if len(cells) <= rows:
        return compute(cells)
    first = compute(cells[:rows])
    picture = np.empty((len(cells), *first.shape[1:]), first.dtype)
    picture[:rows] = first
    for start in range(rows, len(cells), rows):
        picture[start : start + rows] = compute(cells[start : start + rows])
    return picture


def _render_grey(cells: Array, display: FrameDisplay) -> Array:
    is_plain = display.modality_lut is None and (display.slope, display.intercept) == (1.0, 0.0)
    has_voi = display.has_window or display.voi_lut is not None
    if is_plain and not has_voi and cells.dtype == np.uint8:
        # an image of 8 bits that says nothing else is what people are to see
        grey = _in_bands(cells, partial(_to_bytes, bits_stored=display.bits_stored))
        return 255 - grey if display.inverse else grey
    extent = (0.0, 1.0) if has_voi else _extent(cells, display)

    def grey_of(values: Array) -> Array:
        return _to_grey(_modality_values(values, display), display, extent)

    if cells.dtype.kind == "f":
        return _in_bands(cells, grey_of)
    least, largest = int(cells.min()), int(cells.max())
    if largest - least > _LARGEST_TABLE:
        return _in_bands(cells, grey_of)
    table = grey_of(np.arange(least, largest + 1, dtype=np.int64))
    return _in_bands(cells, lambda band: table[band.astype(np.int64, copy=False) - least])


def _modality_values(values: Array, display: FrameDisplay) -> Array:
    """Stored values after the Modality LUT (PS3.3 C.11.1)."""
    if display.modality_lut is not None:
        return _look_up(values, display.modality_lut).astype(np.float64)
    result: Array = values.astype(np.float64) * display.slope + display.intercept
    return result


def _to_grey(values: Array, display: FrameDisplay, extent: tuple[float, float]) -> Array:
    """Values after the Modality LUT as bytes.

    `extent` are those shown as black and as white where the image does not say which.
    """
    if display.has_window:
        assert display.center is not None  # noqa: S101
        assert display.width is not None  # noqa: S101
        grey = _window(values, display.center, display.width, display.function)
    elif display.voi_lut is not None:
        table = display.voi_lut
        looked_up = _look_up(np.rint(values).astype(np.int64), table).astype(np.float64)
        grey = looked_up * (255 / ((1 << table.bits) - 1))
    else:
        black, white = extent
        grey = (values - black) * (255 / max(white - black, 1e-9))
    grey = np.nan_to_num(grey)
    result: Array = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return 255 - result if display.inverse else result


def _window(values: Array, center: float, width: float, function: str) -> Array:
    """VOI LUT functions of PS3.3 C.11.2.1.2 and C.11.2.1.3, for an output of 0 to 255."""
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - center) / max(width, 1e-9), -700, 700)
        result: Array = 255 / (1 + np.exp(exponent))
    elif function == "LINEAR_EXACT":
        result = ((values - center) / max(width, 1e-9) + 0.5) * 255
    else:
        result = ((values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5) * 255
    return result


def _extent(cells: Array, display: FrameDisplay) -> tuple[float, float]:
    """The values shown as black and as white where the image does not say which."""
    sample = cells[::_STEP, ::_STEP].ravel()
    if display.padding:
        low, high = display.padding
        inside = sample[(sample < low) | (sample > high)]
        sample = inside if inside.size else sample
    values = _modality_values(sample, display)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    black, white = np.percentile(values, (_CUT, 100 - _CUT))
    if black == white:
        black, white = values.min(), values.max()
    return float(black), float(white)


def _look_up(values: Array, table: LookupTable) -> Array:
    """The entries of a table; values beyond its ends get its first or last one."""
    positions = np.clip(values.astype(np.int64) - table.first, 0, len(table.entries) - 1)
    result: Array = table.entries[positions]
    return result


def _apply_palette(cells: Array, palette: Sequence[LookupTable]) -> Array:
    return np.stack([_look_up(cells, table) for table in palette], axis=-1).astype(np.uint8)


def _is_bytes(samples: Array, bits_stored: int) -> bool:
    return bits_stored == 8 and samples.dtype == np.uint8


def _to_bytes(samples: Array, bits_stored: int) -> Array:
    if _is_bytes(samples, bits_stored):
        return samples
    scaled = samples.astype(np.float64) * (255 / ((1 << bits_stored) - 1))
    result: Array = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return result


def draw_overlays(
    picture: Array, overlays: Sequence[Overlay], frame: int, cells: Array | None = None
) -> Array:
    """The picture with its overlays in white. `frame` counts from 0.

    `cells` are the pixel cells with all their bits, for overlays that lie in them.
    """
    for overlay in overlays:
        plane = _plane(overlay, frame, cells)
        if plane is None:
            continue
        top, left = max(0, overlay.top), max(0, overlay.left)
        visible = plane[max(0, -overlay.top) :, max(0, -overlay.left) :]
        visible = visible[: picture.shape[0] - top, : picture.shape[1] - left]
        if visible.size:
            picture = picture if picture.flags.writeable else picture.copy()
            area = picture[top : top + visible.shape[0], left : left + visible.shape[1]]
            area[visible != 0] = 255
    return picture


def _plane(overlay: Overlay, frame: int, cells: Array | None) -> Array | None:
    if overlay.bit is not None:
        return None if cells is None else (cells >> overlay.bit) & 1
    if overlay.planes is None:
        return None
    if overlay.first_frame is None:
        plane: Array = overlay.planes[0]
        return plane
    number = frame - overlay.first_frame
    return overlay.planes[number] if 0 <= number < len(overlay.planes) else None


def only_regions(picture: Array, regions: Sequence[tuple[int, int, int, int]]) -> Array:
    """A picture that is black outside these regions: x0, y0, x1, y1, inclusive."""
    shown = np.zeros_like(picture)
    for x0, y0, x1, y1 in regions:
        rows, columns = slice(y0, y1 + 1), slice(x0, x1 + 1)
        shown[rows, columns] = picture[rows, columns]
    return shown


def to_jpeg(picture: Array, quality: int) -> bytes:
    """A picture as JPEG, without subsampling: coloured lines and letters stay sharp."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def to_thumbnail(picture: Array, pixels: int, aspect: float = 1.0) -> bytes:
    """A small picture as JPEG, at most `pixels` wide and high.

    `aspect` is the height of a pixel, where its width is 1.
    """
    height, width = picture.shape[0] * aspect, float(picture.shape[1])
    scale = min(1.0, pixels / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # whole blocks of pixels are averaged first: a fifth of the time for a large radiograph
    small = Image.fromarray(picture).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
