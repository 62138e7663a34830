"""Craft: a line of text as glyphs with their places, shortened where there is no room for it."""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import NamedTuple

from burnish.label import bidi
from burnish.label.fonts import Face, Fonts

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
#: What stands for a letter that no font has: a box, in em.
BOX_WIDTH, BOX_HEIGHT, BOX_STROKE = 0.62, 0.72, 0.06
#: More of a text than this is not looked at: no label has room for it.
_LONGEST = 1000
#: Hardly a letter is narrower, in em.
_NARROW = 0.15
#: How much of their room lines of even length take, step by step.
_SHARES = (0.9, 0.8, 0.7, 0.6)


class Glyph(NamedTuple):
    """One glyph, in em from the beginning of its line; without a face, the box."""

    face: Face | None
    number: int
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as it is printed, in em: its width, and how far ink goes from its base.

    `missing` letters are in no font. `cut`: it is not all of the text that was asked for.
    """

    text: str
    glyphs: tuple[Glyph, ...]
    width: float
    left: float
    right: float
    bottom: float
    top: float
    missing: int
    cut: bool = False

    @property
    def extent(self) -> float:
        """How wide it is with all its ink."""
        return self.right - self.left


class Typesetter:
    """Sets lines in the fonts it was given."""

    def __init__(self, fonts: Fonts) -> None:
        self._fonts = fonts
        self._set: dict[tuple[str, bool], Line] = {}

    def line(self, text: str, *, bold: bool = False) -> Line:
        """The text, which must be printable, in one line."""
        if (text, bold) not in self._set:
            self._set[text, bold] = self._line(text, bold=bold)
        return self._set[text, bold]

    def _line(self, text: str, *, bold: bool) -> Line:
        glyphs: list[Glyph] = []
        at = 0.0
        for part, face, right_to_left in self._parts(text, bold=bold):
            placed, advance = _place(part, face, at, right_to_left=right_to_left)
            glyphs += placed
            at += advance
        left, bottom, right, top = _ink(glyphs, at)
        missing = sum(glyph.face is None for glyph in glyphs)
        return Line(text, tuple(glyphs), at, left, right, bottom, top, missing)

    def fitted(self, text: str, width: float, *, bold: bool = False) -> Line:
        """As much of the text as `width` em have room for; an ellipsis stands for the rest."""
        if len(text) <= _LONGEST and (whole := self.line(text, bold=bold)).extent <= width:
            return whole
        low, high = 0, _most(text, width)
        while low < high:
            middle = (low + high + 1) // 2
            if self.line(_cut(text, middle), bold=bold).extent <= width:
                low = middle
            else:
                high = middle - 1
        return replace(self.line(_cut(text, low), bold=bold), cut=True)

    def wrapped(
        self, text: str, width: Callable[[int], float], lines: int, *, bold: bool = False
    ) -> list[Line]:
        """The text in so many lines at most; the first is `width(0)` em wide at most.

        Lines are broken where the text has line ends, at spaces, and within words too long for
        one. They are as alike in length as their number permits.
        """
        widest = self._wrapped(text, width, lines, bold=bold)
        if len(widest) < 2 or widest[-1].cut:
            return widest
        for share in _SHARES:
            alike = self._wrapped(text, partial(_share, width, share), len(widest), bold=bold)
            if any(line.cut for line in alike):
                return widest
            widest = alike
        return widest

    def _wrapped(
        self, text: str, width: Callable[[int], float], lines: int, *, bold: bool
    ) -> list[Line]:
        found: list[Line] = []
        paragraphs = [bidi.printable(line) for line in text[:_LONGEST].splitlines()]
        rest = [paragraph for paragraph in paragraphs if paragraph]
        while rest and len(found) < lines:
            room = width(len(found))
            if len(found) == lines - 1:
                more = len(rest) > 1 or len(text) > _LONGEST
                last = " ".join(rest) if more else rest[0]
                found.append(self.fitted(last, room, bold=bold))
                break
            broken = self._broken(rest[0], room, bold=bold)
            found.append(self.line(rest[0][:broken].rstrip(), bold=bold))
            rest[0] = rest[0][broken:].lstrip()
            rest = rest if rest[0] else rest[1:]
        return found

    def _broken(self, text: str, width: float, *, bold: bool) -> int:
        """Where a line that has room for `width` em ends."""
        low, high = 1, max(1, _most(text, width))
        while low < high:
            middle = (low + high + 1) // 2
            if self.line(text[:middle].rstrip(), bold=bold).extent <= width:
                low = middle
            else:
                high = middle - 1
        if low == len(text):
            return low
        best = max((at for at in range(1, low + 1) if _breaks(text, at)), default=low)
        while best > 1 and unicodedata.combining(text[best]):
            best -= 1
        return best

    def _parts(self, text: str, *, bold: bool) -> Iterator[tuple[str, Face | None, bool]]:
        """The text in parts of one direction, script and font, from left to right."""
        for run in bidi.runs(text):
            letters = "".join(c for c in text[run.start : run.end] if c not in bidi.MARKS)
            faces = list(self._faces(letters, bold=bold))
            parts = []
            at = 0
            for face, group in groupby(faces, key=lambda pair: pair):
                end = at + len(list(group))
                parts.append((letters[at:end], face[0], run.right_to_left))
                at = end
            yield from reversed(parts) if run.right_to_left else parts

    def _faces(self, letters: str, *, bold: bool) -> Iterator[tuple[Face | None, str]]:
        """The font of each letter, and its script where that matters within a direction."""
        face: Face | None = None
        script = ""
        for number, letter in enumerate(letters):
            joins = number and (unicodedata.combining(letter) or letter in " \N{NO-BREAK SPACE}")
            if not (joins and face is not None and face.has(letter)):
                face = self._fonts.face(letter, bold=bold)
            if unicodedata.bidirectional(letter) in {"R", "AL"}:
                script = unicodedata.bidirectional(letter)
            yield face, script


def _share(width: Callable[[int], float], share: float, number: int) -> float:
    return width(number) * share


def _most(text: str, width: float) -> int:
    """So many letters are more than `width` em have room for, so that no more need be tried."""
    return min(len(text), int(width / _NARROW) + 8)


def _cut(text: str, length: int) -> str:
    while length and length < len(text) and unicodedata.combining(text[length]):
        length -= 1
    return text[:length].rstrip() + ELLIPSIS


def _breaks(text: str, at: int) -> bool:
    """Whether a line may end before the letter at `at`: at spaces, and between ideographs."""
    if text[at : at + 1] == " " or text[at - 1] in " -/":
        return True
    wide = {"W", "F"}
    return (
        unicodedata.east_asian_width(text[at]) in wide
        and unicodedata.east_asian_width(text[at - 1]) in wide
    )


def _place(
    part: str, face: Face | None, at: float, *, right_to_left: bool
) -> tuple[list[Glyph], float]:
    """The glyphs of a part that begins at `at`, and how wide it is."""
    if face is None:
        letters = [letter for letter in part if not unicodedata.combining(letter)]
        boxes = [Glyph(None, 0, at + n * BOX_WIDTH, 0.0, c) for n, c in enumerate(letters)]
        return boxes, BOX_WIDTH * len(letters)
    shaped = list(face.shape(part, right_to_left=right_to_left))
    starts = sorted({one.cluster for one in shaped})
    ends = dict(zip(starts, [*starts[1:], len(part)], strict=True))
    glyphs = []
    told: set[int] = set()
    for one in shaped:
        text = "" if one.cluster in told else part[one.cluster : ends[one.cluster]]
        told.add(one.cluster)
        glyphs.append(Glyph(face, one.number, at + one.x, one.y, text))
    return glyphs, sum(one.advance for one in shaped)


def _ink(glyphs: list[Glyph], width: float) -> tuple[float, float, float, float]:
    """What the glyphs cover, and their line at least."""
    boxes = [(0.0, 0.0, width, 0.0)]
    for glyph in glyphs:
        if glyph.face is None:
            ink: tuple[float, float, float, float] | None = (0.0, 0.0, BOX_WIDTH, BOX_HEIGHT)
        else:
            ink = glyph.face.ink(glyph.number)
        if ink:
            left, bottom, right, top = ink
            x, y = glyph.x, glyph.y
            boxes.append((x + left, y + bottom, x + right, y + top))
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)
