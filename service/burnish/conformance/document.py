"""Surface: the parts of a statement, independent of the form in which it is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field

#: What a cell without a value shows, an en dash.
NOTHING = "\u2013"
#: The title of the section in which each writer puts the contents.
CONTENTS = "Table of Contents"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text in which `code` and **strong** words are marked as in Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of texts, as in `Paragraph`."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatementTable:
    """A table; each cell is a text as in `Paragraph`. Writers number it and print the caption.

    In a grouped table, rows one after another whose first cells are equal belong together: forms
    that can do so show that cell once.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_grouped: bool = False

    @classmethod
    def of(
        cls,
        caption: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        is_grouped: bool = False,
    ) -> "StatementTable":
        """A table whose cells are the texts of any values; an empty cell gets a dash."""
        cells = tuple(tuple(str(cell) or NOTHING for cell in row) for row in rows)
        return cls(caption, tuple(columns), cells, is_grouped)

    def goes_on(self, number: int) -> bool:
        """Whether a row belongs to the group of the row before it."""
        return self.is_grouped and number > 0 and self.rows[number][0] == self.rows[number - 1][0]


@dataclass(frozen=True, slots=True)
class FigureBox:
    """A box of a figure, in millimetres from the upper left corner; `kind` chooses its look."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    kind: str = "entity"


@dataclass(frozen=True, slots=True)
class FigureArrow:
    """A line from one point to another with a label above its middle, in millimetres."""

    start: tuple[float, float]
    end: tuple[float, float]
    label: str = ""
    both_ways: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing of boxes and arrows. `barrier` is the x of the line between local and remote.

    `flows` say the same in words, for forms without drawings.
    """

    caption: str
    width: float
    height: float
    boxes: tuple[FigureBox, ...]
    arrows: tuple[FigureArrow, ...]
    flows: tuple[str, ...]
    barrier: float = 0.0


Block = Paragraph | Bullets | StatementTable | Figure


@dataclass(slots=True)
class Section:
    """A heading with its number, and what stands below it up to the next heading."""

    level: int
    number: str
    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The name that links of the contents lead to."""
        return "section-" + self.number.lower().replace(".", "-").replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Statement:
    """A whole document: what its cover says, and its sections in order."""

    title: str
    subtitle: str
    cover: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]

    @property
    def tables(self) -> list[StatementTable]:
        """All tables, in order."""
        return [
            block
            for section in self.sections
            for block in section.blocks
            if isinstance(block, StatementTable)
        ]

    def section(self, title: str) -> Section:
        """The first section of a title; raises KeyError."""
        for section in self.sections:
            if section.title == title:
                return section
        raise KeyError(title)
