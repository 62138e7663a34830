"""Craft: what is drawn: lines of text and filled boxes at their places."""

from collections.abc import Iterator
from dataclasses import dataclass

from burnish.label.typesetting import Line


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text from (x, y), its base line; `size` is one em. All in mm."""

    line: Line
    x: float
    y: float
    size: float
    colour: str


@dataclass(frozen=True, slots=True)
class Box:
    """A filled box of which (x, y) is the lower left corner. All in mm."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A page in mm with its origin in the middle.

    `shortened`: not all of what there was to say is on it. `missing` letters are in no font.
    `notes` say what else could not be done, without patient data.
    """

    width: float
    height: float
    texts: tuple[Text, ...]
    boxes: tuple[Box, ...]
    shortened: bool = False
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        return sum(text.line.missing for text in self.texts)

    def ink(self) -> Iterator[tuple[float, float, float, float]]:
        """What each thing drawn covers: left, bottom, right, top."""
        for text in self.texts:
            line, size = text.line, text.size
            yield (
                text.x + line.left * size,
                text.y + line.bottom * size,
                text.x + line.right * size,
                text.y + line.top * size,
            )
        for box in self.boxes:
            yield box.x, box.y, box.x + box.width, box.y + box.height
