"""Craft: the printable ring of a disc, and how much room there is at each height."""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

Side = Literal["all", "left", "right"]
#: Outer diameter of a disc and diameter of its hole, in mm (ECMA-130 8.2, 8.4).
DISC, HOLE = 120.0, 15.0


@dataclass(frozen=True, slots=True)
class Ring:
    """The diameters between which a disc can be printed, in mm.

    The origin of all coordinates is the centre of the disc. Text keeps `margin` mm away from both
    edges of the ring.
    """

    inner: float = 22.0
    outer: float = 118.0
    margin: float = 1.5

    @property
    def band(self) -> float:
        """Half the height of the band that contains the hole."""
        return self.inner / 2 + self.margin

    @property
    def reach(self) -> float:
        """The largest distance of text from the centre."""
        return self.outer / 2 - self.margin

    def span(self, low: float, high: float, side: Side) -> tuple[float, float]:
        """The left and right end of the room that is free at every height from `low` to `high`.

        With `side` "all", the span is empty if the hole is in the way; otherwise it is the room on
        that side of the hole.
        """
        farthest_height = max(abs(low), abs(high))
        outer_end = sqrt(max(0.0, self.reach**2 - farthest_height**2))
        nearest_height = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        inner_end = sqrt(max(0.0, self.band**2 - nearest_height**2))
        if side == "all":
            return (0.0, 0.0) if inner_end else (-outer_end, outer_end)
        outer_end = max(inner_end, outer_end)
        return (-outer_end, -inner_end) if side == "left" else (inner_end, outer_end)
