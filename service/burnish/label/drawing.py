"""Craft: a label as lines of text, filled boxes and pictures at fixed places, in mm."""

from collections.abc import Iterator
from dataclasses import dataclass

from burnish.label.fonts import Bounds
from burnish.label.typesetting import Line


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text whose base line begins at (x, y); `size` is the length of one em."""

    line: Line
    x: float
    y: float
    size: float
    colour: str

    @property
    def ink(self) -> Bounds:
        return self.line.ink.placed(self.x, self.y, self.size)


@dataclass(frozen=True, slots=True)
class Box:
    """A filled box; (x, y) is its lower left corner."""

    x: float
    y: float
    width: float
    height: float
    colour: str

    @property
    def ink(self) -> Bounds:
        return Bounds(self.x, self.y, self.x + self.width, self.y + self.height)


@dataclass(frozen=True, slots=True)
class PrintedPicture:
    """A JPEG picture in colour of `columns` by `rows` pixels; (x, y) is its lower left corner."""

    x: float
    y: float
    width: float
    height: float
    jpeg: bytes
    columns: int
    rows: int

    @property
    def ink(self) -> Bounds:
        return Bounds(self.x, self.y, self.x + self.width, self.y + self.height)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A page with its origin in the middle.

    `shortened` is true if part of the content had no room. `notes` say what else went wrong,
    without patient data.
    """

    width: float
    height: float
    texts: tuple[Text, ...]
    boxes: tuple[Box, ...]
    pictures: tuple[PrintedPicture, ...] = ()
    shortened: bool = False
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """The number of characters that no font has."""
        return sum(text.line.missing for text in self.texts)

    def inks(self) -> Iterator[Bounds]:
        """The bounds of everything that is drawn."""
        for text in self.texts:
            yield text.ink
        for box in self.boxes:
            yield box.ink
        for picture in self.pictures:
            yield picture.ink
