"""Craft: text as lines of glyphs, wrapped and shortened to the room that there is."""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from burnish.label import bidi
from burnish.label.fonts import Bounds, Face, Fonts

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
#: Size of the box that stands for a character that no font has, in em.
BOX_WIDTH, BOX_HEIGHT, BOX_STROKE = 0.62, 0.72, 0.06
_BOX_INK = Bounds(0.0, 0.0, BOX_WIDTH, BOX_HEIGHT)
#: Text beyond this number of characters is ignored: no label has room for it.
_MAXIMUM_LENGTH = 1000
#: Hardly any character is narrower than this, in em.
_NARROWEST_CHARACTER = 0.15
#: Characters after which a line may end.
_WORD_ENDS = " -/^=\N{HYPHEN}"
#: Vowels of Thai and Lao that are written before their consonant, and those behind it, SARA AM.
_LEADING_VOWELS = frozenset(map(chr, (*range(0x0E40, 0x0E45), *range(0x0EC0, 0x0EC5))))
_FOLLOWING_VOWELS = frozenset("\N{THAI CHARACTER SARA AM}\N{LAO VOWEL SIGN AM}")
#: The combining class of a sign that joins two consonants, as in Devanagari.
_VIRAMA = 9
#: Shares of the room that are tried, in this order, to make the lines of a text equally long.
_EVEN_SHARES = (0.9, 0.8, 0.7, 0.6)


class Glyph(NamedTuple):
    """A glyph at its place in a line, in em; `face` is None for the box of a missing character.

    `text` is what the glyph stands for, "" if another glyph stands for it already.
    """

    face: Face | None
    number: int
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as glyphs, measured in em from the start of its base line.

    `missing` counts the characters that no font has. `shortened` is true if an ellipsis or the end
    of the room took the place of text. `breaks_word` is true if the line ends within a word.
    """

    text: str
    glyphs: tuple[Glyph, ...]
    ink: Bounds
    missing: int
    shortened: bool = False
    breaks_word: bool = False

    @property
    def ink_width(self) -> float:
        return self.ink.right - self.ink.left


class Typesetter:
    """Sets text in certain fonts."""

    def __init__(self, fonts: Fonts) -> None:
        self._fonts = fonts
        # Fitting the rows asks for the same lines again and again: without this, a label takes 4 to
        # 18 times as long (22 instead of 5 ms for one patient, 810 instead of 45 ms for sixty).
        self._lines: dict[tuple[str, bool], Line] = {}

    def line(self, text: str, *, bold: bool = False) -> Line:
        """Printable text as one line, however long."""
        key = text, bold
        if key not in self._lines:
            self._lines[key] = self._set_line(text, bold=bold)
        return self._lines[key]

    def _set_line(self, text: str, *, bold: bool) -> Line:
        glyphs: list[Glyph] = []
        width = 0.0
        for part, face, right_to_left in self._parts(text, bold=bold):
            if face is None:
                part_glyphs, part_width = _boxes(part, width)
            else:
                part_glyphs, part_width = _shaped(part, face, width, right_to_left=right_to_left)
            glyphs += part_glyphs
            width += part_width
        missing = sum(glyph.face is None for glyph in glyphs)
        return Line(text, tuple(glyphs), _ink(glyphs, width), missing)

    def fitted(self, text: str, width: float, *, bold: bool = False) -> Line:
        """As much of the text as fits into `width` em; an ellipsis replaces what does not fit."""
        if len(text) <= _MAXIMUM_LENGTH:
            line = self.line(text, bold=bold)
            if line.ink_width <= width:
                return line

        def fits(length: int) -> bool:
            return self.line(_with_ellipsis(text, length), bold=bold).ink_width <= width

        length = _largest(0, _most_characters(text, width), fits)
        return replace(self.line(_with_ellipsis(text, length), bold=bold), shortened=True)

    def wrapped(
        self, text: str, room: Callable[[int], float], most_lines: int, *, bold: bool = False
    ) -> list[Line]:
        """The text in at most `most_lines` lines; `room` gives the width in em of each by number.

        Lines end at the line ends of the text, at spaces, hyphens and carets, and within words that
        are too long for a line. They are made about equally long where this takes no more lines and
        breaks no word.
        """
        lines = self._wrapped_to_full_width(text, room, most_lines, bold=bold)
        if len(lines) < 2 or lines[-1].shortened:
            return lines
        for share in _EVEN_SHARES:

            def part_of_room(number: int, share: float = share) -> float:
                return room(number) * share

            even = self._wrapped_to_full_width(text, part_of_room, len(lines), bold=bold)
            if any(line.shortened or line.breaks_word for line in even):
                break
            lines = even
        return lines

    def _wrapped_to_full_width(
        self, text: str, room: Callable[[int], float], most_lines: int, *, bold: bool
    ) -> list[Line]:
        paragraphs = [bidi.printable(line) for line in text[:_MAXIMUM_LENGTH].splitlines()]
        remaining = [paragraph for paragraph in paragraphs if paragraph]
        lines: list[Line] = []
        while remaining and len(lines) < most_lines:
            width = room(len(lines))
            if len(lines) == most_lines - 1:
                last_line = remaining[0]
                if len(remaining) > 1 or len(text) > _MAXIMUM_LENGTH:
                    last_line = " ".join(remaining)
                lines.append(self.fitted(last_line, width, bold=bold))
                break
            paragraph = remaining[0]
            end = self._line_end(paragraph, width, bold=bold)
            line = self.line(paragraph[:end].rstrip(), bold=bold)
            is_end = end == len(paragraph) or _may_break(paragraph, end)
            lines.append(line if is_end else replace(line, breaks_word=True))
            paragraph = paragraph[end:].lstrip()
            if paragraph:
                remaining[0] = paragraph
            else:
                del remaining[0]
        return lines

    def _line_end(self, text: str, width: float, *, bold: bool) -> int:
        """The number of characters in a line of `width` em, at least one."""

        def fits(length: int) -> bool:
            return self.line(text[:length].rstrip(), bold=bold).ink_width <= width

        length = _largest(1, max(1, _most_characters(text, width)), fits)
        if length == len(text):
            return length
        breaks = [index for index in range(1, length + 1) if _may_break(text, index)]
        end = breaks[-1] if breaks else length
        while end > 1 and _is_within_cluster(text, end):
            end -= 1
        return end

    def _parts(self, text: str, *, bold: bool) -> Iterator[tuple[str, Face | None, bool]]:
        """The text, from left to right, in parts of one direction, script and font."""
        for run in bidi.directional_runs(text):
            characters = "".join(
                character for character in text[run.start : run.end] if character not in bidi.MARKS
            )
            parts = []
            start = 0
            for (face, _), group in groupby(self._faces_and_scripts(characters, bold=bold)):
                end = start + len(list(group))
                parts.append((characters[start:end], face, run.right_to_left))
                start = end
            yield from reversed(parts) if run.right_to_left else parts

    def _faces_and_scripts(
        self, characters: str, *, bold: bool
    ) -> Iterator[tuple[Face | None, str]]:
        """The font of each character, and its script as far as that matters within a run.

        Hebrew and Arabic can share a run but not a call of HarfBuzz. Spaces and combining
        characters stay in the font of the character before them if it has them.
        """
        face: Face | None = None
        script = ""
        for index, character in enumerate(characters):
            joins = index > 0 and (
                unicodedata.combining(character) or character in " \N{NO-BREAK SPACE}"
            )
            if not (joins and face is not None and face.has(character)):
                face = self._fonts.face(character, bold=bold)
            if unicodedata.bidirectional(character) in {"R", "AL"}:
                script = unicodedata.bidirectional(character)
            yield face, script


def _largest(minimum: int, maximum: int, fits: Callable[[int], bool]) -> int:
    """The largest number that fits, by bisection; `minimum` if none does."""
    while minimum < maximum:
        middle = (minimum + maximum + 1) // 2
        if fits(middle):
            minimum = middle
        else:
            maximum = middle - 1
    return minimum


def _most_characters(text: str, width: float) -> int:
    """An upper bound of the number of characters that fit into `width` em."""
    return min(len(text), int(width / _NARROWEST_CHARACTER) + 8)


def _with_ellipsis(text: str, length: int) -> str:
    """The first characters of the text, not ending within a combined character, and an ellipsis."""
    while length and length < len(text) and _is_within_cluster(text, length):
        length -= 1
    return text[:length].rstrip() + ELLIPSIS


def _may_break(text: str, index: int) -> bool:
    """Whether a line may end before the character at `index`.

    It may at spaces, between ideographs, and after what separates the parts of a name (PS3.5 6.2).
    """
    if text[index] == " " or text[index - 1] in _WORD_ENDS:
        return True
    return _is_wide(text[index]) and _is_wide(text[index - 1])


def _is_within_cluster(text: str, index: int) -> bool:
    """Whether the character at `index` is drawn together with the one before it.

    Vowel signs of Thai and Devanagari are, though their combining class is 0.
    """
    character, previous = text[index], text[index - 1]
    return (
        unicodedata.category(character).startswith("M")
        or character in _FOLLOWING_VOWELS
        or previous in _LEADING_VOWELS
        or unicodedata.combining(previous) == _VIRAMA
    )


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in {"W", "F"}


def _boxes(part: str, start: float) -> tuple[list[Glyph], float]:
    """Boxes for characters that no font has, from `start` on, and their width."""
    characters = [character for character in part if not unicodedata.combining(character)]
    glyphs = [
        Glyph(None, 0, start + number * BOX_WIDTH, 0.0, character)
        for number, character in enumerate(characters)
    ]
    return glyphs, BOX_WIDTH * len(glyphs)


def _shaped(
    part: str, face: Face, start: float, *, right_to_left: bool
) -> tuple[list[Glyph], float]:
    """The glyphs of a part from `start` on, and its width."""
    shaped_glyphs = list(face.shape(part, right_to_left=right_to_left))
    starts = sorted({shaped.cluster for shaped in shaped_glyphs})
    ends = [*starts[1:], len(part)]
    texts = {first: part[first:end] for first, end in zip(starts, ends, strict=True)}
    glyphs = []
    for shaped in shaped_glyphs:
        # Only the first glyph of a cluster carries its text.
        text = texts.pop(shaped.cluster, "")
        glyphs.append(Glyph(face, shaped.number, start + shaped.x, shaped.y, text))
    return glyphs, sum(shaped.advance for shaped in shaped_glyphs)


def _ink(glyphs: list[Glyph], width: float) -> Bounds:
    """The bounds of the glyphs, and at least of the base line."""
    bounds = [Bounds(0.0, 0.0, width, 0.0)]
    for glyph in glyphs:
        ink = glyph.face.ink(glyph.number) if glyph.face else _BOX_INK
        if ink is not None:
            bounds.append(ink.placed(glyph.x, glyph.y))
    lefts, bottoms, rights, tops = zip(*bounds, strict=True)
    return Bounds(min(lefts), min(bottoms), max(rights), max(tops))
