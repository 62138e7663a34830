"""Craft: how the frames of an image are displayed, as values: LUTs, windows, palettes, overlays.

`instance_reader` reads them from a data set; `render` applies them (PS3.3 C.11.1, C.11.2, C.7.9).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A LUT: the first value that is mapped, the entries, and the bits of an entry."""

    first: int
    entries: "numpy.ndarray[Any, Any]"
    bits: int


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay plane (60xx): its bits, and the row and column (from 0) of the first of them.

    `planes` has a plane for each of the frames from `first_frame` (from 0) on; one plane that
    applies to all frames has `first_frame` None. With `bit`, the plane is that bit of the pixel
    cells.
    """

    top: int
    left: int
    planes: "numpy.ndarray[Any, Any] | None"
    first_frame: int | None = None
    bit: int | None = None


@dataclass(frozen=True, slots=True)
class FrameDisplay:
    """How one frame is displayed.

    `padding` are the least and the largest stored value that are not of the image (PS3.3
    C.7.5.1.1.2). `palette` has the red, green and blue LUT of PALETTE COLOR in 8 bits.
    """

    bits_stored: int = 8
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookupTable | None = None
    center: float | None = None
    width: float | None = None
    function: str = "LINEAR"
    voi_lut: LookupTable | None = None
    inverse: bool = False
    padding: tuple[int, int] | None = None
    palette: tuple[LookupTable, LookupTable, LookupTable] | None = None

    @property
    def has_window(self) -> bool:
        return self.center is not None and self.width is not None
