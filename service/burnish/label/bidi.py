"""Craft: the order of text of two directions on a line (Unicode Standard Annex 9).

HarfBuzz shapes one run of one direction at a time, so a line must first be split into runs. Labels
need only a part of the algorithm: `printable` removes explicit directional formatting, and brackets
are treated like any other neutral character.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")
_RIGHT_TO_LEFT = frozenset({"R", "AL"})
_NUMBERS = frozenset({"EN", "AN"})
_STRONG = frozenset({"L", "R"})
#: Bidirectional classes of controls, which are not printed.
_CONTROLS = frozenset({"LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN", "B"})
#: Characters that have a direction but no glyph.
MARKS = frozenset("\N{LEFT-TO-RIGHT MARK}\N{RIGHT-TO-LEFT MARK}\N{ARABIC LETTER MARK}")
_LEFT_TO_RIGHT_MARK = "\N{LEFT-TO-RIGHT MARK}"


class DirectionalRun(NamedTuple):
    """The characters `start` to `end` of a line, all of one direction."""

    start: int
    end: int
    right_to_left: bool


class _LevelRun(NamedTuple):
    """The characters `start` to `end` of a line, all of one embedding level."""

    start: int
    end: int
    level: int


def printable(text: str) -> str:
    """The text as one line, without controls, and with each stretch of white space as one space."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    characters = []
    for character in text:
        if character.isspace():
            characters.append(" ")
        elif unicodedata.bidirectional(character) not in _CONTROLS:
            characters.append(character)
    return " ".join("".join(characters).split())


def join_left_to_right(parts: list[str], separator: str) -> str:
    """Joins the parts so that they stand from left to right, whatever the direction of each."""
    marked_separator = f"{_LEFT_TO_RIGHT_MARK}{separator}{_LEFT_TO_RIGHT_MARK}"
    return _LEFT_TO_RIGHT_MARK + marked_separator.join(parts)


def directional_runs(text: str) -> list[DirectionalRun]:
    """The runs of a printable line in the order in which they stand from left to right."""
    if not text:
        return []
    if text.isascii():
        return [DirectionalRun(0, len(text), right_to_left=False)]
    levels = _embedding_levels(text)
    runs = [_LevelRun(start, end, level) for start, end, level in _stretches(levels)]
    # Rule L2: from the highest level down, reverse each sequence of runs of that level or higher.
    for level in range(max(levels), 0, -1):
        runs = _reverse_from_level(runs, level)
    return [DirectionalRun(start, end, level % 2 == 1) for start, end, level in runs]


def _reverse_from_level(runs: list[_LevelRun], level: int) -> list[_LevelRun]:
    result: list[_LevelRun] = []
    for is_high, group in groupby(runs, key=lambda run: run.level >= level):
        stretch = list(group)
        result += reversed(stretch) if is_high else stretch
    return result


def _embedding_levels(text: str) -> list[int]:
    """The embedding level of each character; odd levels are written from right to left."""
    classes = [unicodedata.bidirectional(character) or "L" for character in text]
    paragraph = _paragraph_direction(classes)
    _resolve_letters_and_marks(classes, paragraph)
    _resolve_numbers(classes, paragraph)
    _resolve_neutral(classes, paragraph)
    # Rules I1 and I2.
    if paragraph == "R":
        return [1 if class_ == "R" else 2 for class_ in classes]
    return [{"L": 0, "R": 1}.get(class_, 2) for class_ in classes]


def _paragraph_direction(classes: list[str]) -> str:
    """Rules P2 and P3: the direction of the first strong character."""
    for class_ in classes:
        if class_ == "L":
            return "L"
        if class_ in _RIGHT_TO_LEFT:
            return "R"
    return "L"


def _resolve_letters_and_marks(classes: list[str], paragraph: str) -> None:
    """Rules W1 to W3, in place."""
    # W1: a non-spacing mark takes the class of the character before it.
    for index, class_ in enumerate(classes):
        if class_ == "NSM":
            classes[index] = classes[index - 1] if index else paragraph
    # W2 and W3: European numbers after an Arabic letter are Arabic numbers.
    strong = paragraph
    for index, class_ in enumerate(classes):
        if class_ == "L" or class_ in _RIGHT_TO_LEFT:
            strong = class_
        elif class_ == "EN" and strong == "AL":
            classes[index] = "AN"
    classes[:] = ["R" if class_ == "AL" else class_ for class_ in classes]


def _resolve_numbers(classes: list[str], paragraph: str) -> None:
    """Rules W4 to W7, in place."""
    # W4: a single separator between two numbers of one kind belongs to them.
    for index in range(1, len(classes) - 1):
        before, class_, after = classes[index - 1 : index + 2]
        joins_numbers = (class_ == "CS" and before in _NUMBERS) or (
            class_ == "ES" and before == "EN"
        )
        if joins_numbers and before == after:
            classes[index] = before
    # W5: terminators beside a European number belong to it.
    for start, end, class_ in list(_stretches(classes)):
        neighbours = classes[max(0, start - 1) : start] + classes[end : end + 1]
        if class_ == "ET" and "EN" in neighbours:
            classes[start:end] = ["EN"] * (end - start)
    # W6 and W7: other separators are neutral; European numbers after a Latin letter are like it.
    strong = paragraph
    for index, class_ in enumerate(classes):
        if class_ in _STRONG:
            strong = class_
        elif class_ == "EN" and strong == "L":
            classes[index] = "L"
        elif class_ in {"ES", "ET", "CS"}:
            classes[index] = "ON"


def _resolve_neutral(classes: list[str], paragraph: str) -> None:
    """Rules N1 and N2, in place; numbers count as right to left."""
    resolved_classes = _STRONG | _NUMBERS
    is_resolved = [class_ in resolved_classes for class_ in classes]
    for start, end, resolved in _stretches(is_resolved):
        if resolved:
            continue
        before = _direction(classes[start - 1]) if start else paragraph
        after = _direction(classes[end]) if end < len(classes) else paragraph
        classes[start:end] = [before if before == after else paragraph] * (end - start)


def _direction(class_: str) -> str:
    return "L" if class_ == "L" else "R"


def _stretches(values: Sequence[_T]) -> Iterator[tuple[int, int, _T]]:
    """Start, end and value of each stretch of equal values."""
    start = 0
    for value, group in groupby(values):
        end = start + len(list(group))
        yield start, end, value
        start = end
