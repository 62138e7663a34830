"""Surface: volumes as drawings: a disc is filled from the inside, as a writer fills it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Radii in mm: the hole, where data begin and end, and the edge (ECMA-130).
HOLE, BEGIN, END, EDGE = 7.5, 25.0, 58.0, 60.0
#: As many colours as the style sheet has; the next series begin again.
_COLOURS = 8
#: More series than these are drawn as one.
_MOST = 24


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a volume that one series takes. `title` says which, for people."""

    title: str
    size: int


@dataclass(frozen=True, slots=True)
class SeriesRing:
    """One series on a disc: a ring by its middle radius and its width, in mm; `colour` from 1.

    Colour 0 is that of the other files: directories, pages, viewer.
    """

    title: str
    size: int
    colour: int
    radius: float
    width: float


@dataclass(frozen=True, slots=True)
class DiscDrawing:
    """One volume: its rings, and how much of it is used, in per cent."""

    rings: tuple[SeriesRing, ...]
    used: int


def draw(shares: Sequence[Share], capacity: int, size: int = 0) -> DiscDrawing:
    """The drawing of a volume that holds `capacity` bytes.

    The area of each ring is in proportion to its bytes. `size` is that of all files: what it has
    more than the shares becomes the last ring.
    """
    total = sum(share.size for share in shares)
    coloured = [(number % _COLOURS + 1, share) for number, share in enumerate(_merged(shares))]
    if size > total:
        coloured.append((0, Share("", size - total)))
    rings = []
    inner = BEGIN
    area = (END**2 - BEGIN**2) / max(capacity, 1)
    for colour, share in coloured:
        outer = min(END, math.sqrt(inner**2 + share.size * area))
        rings.append(
            SeriesRing(
                share.title,
                share.size,
                colour,
                round((inner + outer) / 2, 3),
                round(max(outer - inner, 0.15), 3),
            )
        )
        inner = outer
    used = round(100 * max(size, total) / max(capacity, 1))
    return DiscDrawing(tuple(rings), min(100, used))


def _merged(shares: Sequence[Share]) -> Iterable[Share]:
    """The largest shares in their order; all others as one, without a title."""
    if len(shares) <= _MOST:
        return shares
    least = sorted((share.size for share in shares), reverse=True)[_MOST - 1]
    shown = [share for share in shares if share.size > least][:_MOST]
    rest = sum(share.size for share in shares) - sum(share.size for share in shown)
    return [*shown, Share("", rest)]
