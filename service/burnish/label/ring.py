"""Craft: the printable ring of a disc: how far a line may go at which height."""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

Side = Literal["all", "left", "right"]
#: The outer diameter of a disc and that of its hole, in mm (ECMA-130 8.2, 8.4).
DISC, HOLE = 120.0, 15.0


@dataclass(frozen=True, slots=True)
class Ring:
    """Diameters between which a disc can be printed, in mm. The origin is its centre.

    Text keeps `margin` mm away from either edge.
    """

    inner: float = 22.0
    outer: float = 118.0
    margin: float = 1.5

    @property
    def band(self) -> float:
        """Half the height of the band in which the hole is."""
        return self.inner / 2 + self.margin

    @property
    def reach(self) -> float:
        """How far from the centre text may go."""
        return self.outer / 2 - self.margin

    def span(self, low: float, high: float, side: Side) -> tuple[float, float]:
        """From where to where there is room at all heights from `low` to `high`.

        Above and below the hole for `all`, else on one side of it. An empty span where there is
        none.
        """
        furthest = max(abs(low), abs(high))
        outer = sqrt(max(0.0, self.reach**2 - furthest**2))
        nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        inner = sqrt(max(0.0, self.band**2 - nearest**2))
        if side == "all":
            return (0.0, 0.0) if inner else (-outer, outer)
        near, far = inner, max(inner, outer)
        return (-far, -near) if side == "left" else (near, far)
