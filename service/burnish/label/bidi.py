"""Craft: the order of text of two directions on a line (Unicode Standard Annex 9).

HarfBuzz shapes one run of one direction at a time, so a line must first be split into runs. The
main function of python-bidi returns only the displayed line, so its steps are called one by one.
"""

import unicodedata
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from bidi import algorithm

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
    runs = []
    for level, group in groupby(_displayed_characters(text), key=itemgetter("level")):
        indices = [character["index"] for character in group]
        # Odd levels are written from right to left.
        runs.append(DirectionalRun(min(indices), max(indices) + 1, level % 2 == 1))
    return runs


def _displayed_characters(text: str) -> list[dict[str, Any]]:
    """Index and embedding level of each character, in the order from left to right."""
    storage = algorithm.get_empty_storage()
    storage["base_level"] = algorithm.get_base_level(text)
    storage["base_dir"] = "LR"[storage["base_level"]]
    algorithm.get_embedding_levels(text, storage)
    for index, character in enumerate(storage["chars"]):
        character["index"] = index
        # Unassigned code points have no class, and controls would be dropped.
        if not character["type"] or character["type"] in _CONTROLS:
            character["type"] = character["orig"] = "L"
    algorithm.explicit_embed_and_overrides(storage)
    algorithm.resolve_weak_types(storage)
    algorithm.resolve_neutral_types(storage, debug=False)
    algorithm.resolve_implicit_levels(storage, debug=False)
    algorithm.reorder_resolved_levels(storage, debug=False)
    characters: list[dict[str, Any]] = storage["chars"]
    return characters
