"""Craft: the order in which text of two directions stands on a line (Unicode Standard Annex 9).

Of the algorithm all that a label needs: explicit directional formatting is taken out of the text
before, and brackets are neutral as any other sign.
"""

import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

_RIGHT = frozenset({"R", "AL"})
_NUMBERS = frozenset({"EN", "AN"})
_STRONG = frozenset({"L", "R"})
#: Explicit formatting and other controls: not printed, and no part of the order.
_CONTROLS = frozenset({"LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN", "B"})
#: They have a direction and no shape.
MARKS = frozenset("\N{LEFT-TO-RIGHT MARK}\N{RIGHT-TO-LEFT MARK}\N{ARABIC LETTER MARK}")
_LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"


class Run(NamedTuple):
    """Text from `start` to `end` that goes in one direction."""

    start: int
    end: int
    right_to_left: bool


def printable(text: str) -> str:
    """The text in one line: without controls, each stretch of white space one space."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (
        " " if letter.isspace() else letter
        for letter in text
        if letter.isspace() or unicodedata.bidirectional(letter) not in _CONTROLS
    )
    return " ".join("".join(kept).split())


def apart(parts: list[str], separator: str) -> str:
    """The parts from left to right, whichever the direction of each."""
    return _LEFT_TO_RIGHT + f"{_LEFT_TO_RIGHT}{separator}{_LEFT_TO_RIGHT}".join(parts)


def runs(text: str) -> list[Run]:
    """The runs of a printable line in the order they stand from left to right (L2)."""
    if text.isascii():
        return [Run(0, len(text), False)] if text else []
    levels = _levels(text)
    found: list[tuple[int, int, int]] = []
    at = 0
    for level, group in groupby(levels):
        length = len(list(group))
        found.append((at, at + length, level))
        at += length
    for turned in range(max(levels), 0, -1):
        found = list(_turn(found, turned))
    return [Run(start, end, bool(level & 1)) for start, end, level in found]


def _turn(found: list[tuple[int, int, int]], level: int) -> Iterator[tuple[int, int, int]]:
    for high, group in groupby(found, key=lambda run: run[2] >= level):
        part = list(group)
        yield from reversed(part) if high else part


def _levels(text: str) -> list[int]:
    kinds = [unicodedata.bidirectional(letter) or "L" for letter in text]
    base = next((kind in _RIGHT for kind in kinds if kind == "L" or kind in _RIGHT), False)
    side = "R" if base else "L"
    _resolve_weak(kinds, side)
    _resolve_neutral(kinds, side)
    if base:
        return [1 if kind == "R" else 2 for kind in kinds]
    return [{"L": 0, "R": 1}.get(kind, 2) for kind in kinds]


def _resolve_weak(kinds: list[str], side: str) -> None:
    """Rules W1 to W7."""
    for at, kind in enumerate(kinds):
        if kind == "NSM":
            kinds[at] = kinds[at - 1] if at else side
    strong = side
    for at, kind in enumerate(kinds):
        if kind == "L" or kind in _RIGHT:
            strong = kind
        elif kind == "EN" and strong == "AL":
            kinds[at] = "AN"
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for at in range(1, len(kinds) - 1):
        before, kind, after = kinds[at - 1 : at + 2]
        if before == after and (
            (kind == "CS" and before in _NUMBERS) or (kind == "ES" and before == "EN")
        ):
            kinds[at] = before
    _join_terminators(kinds)
    strong = side
    for at, kind in enumerate(kinds):
        if kind in _STRONG:
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"
        elif kind in {"ES", "ET", "CS"}:
            kinds[at] = "ON"


def _join_terminators(kinds: list[str]) -> None:
    """Rule W5: a sequence of European terminators beside a European number is of the number."""
    at = 0
    for is_terminator, group in groupby(list(kinds), key=lambda kind: kind == "ET"):
        end = at + len(list(group))
        beside = {kinds[at - 1] if at else "", kinds[end] if end < len(kinds) else ""}
        if is_terminator and "EN" in beside:
            kinds[at:end] = ["EN"] * (end - at)
        at = end


def _resolve_neutral(kinds: list[str], side: str) -> None:
    """Rules N1 and N2; numbers count as right to left."""
    firm = _STRONG | _NUMBERS
    at = 0
    for is_firm, group in groupby(list(kinds), key=lambda kind: kind in firm):
        end = at + len(list(group))
        if not is_firm:
            before = _direction(kinds[at - 1]) if at else side
            after = _direction(kinds[end]) if end < len(kinds) else side
            kinds[at:end] = [before if before == after else side] * (end - at)
        at = end


def _direction(kind: str) -> str:
    return "L" if kind == "L" else "R"
