"""Craft: label templates: what is printed where, read from TOML files that a site can add to."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from burnish.errors import InvalidSettings
from burnish.label import bidi
from burnish.label.fields import FIELDS, LabelContent

SHIPPED = Path(__file__).parent / "templates"
_FIELD = re.compile(r"\{([a-z_]+)\}")
#: What a Label Style Selection (2200,0003) can be, a CS (PS3.5 6.2).
_STYLE = re.compile(r"[A-Z0-9_][A-Z0-9_ ]{0,15}")

Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
#: A size of type in points.
Points = Annotated[float, Field(ge=4, le=72)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Table):
    """One line of an area, or the bar code.

    Each of `parts` has fields in braces and is left out if one of them is empty; the rest is
    joined by `separator`. A row `each` patient or study is repeated; `more` stands for those there
    is no room for. Type gets smaller down to `minimum` before text is shortened. `space` above it
    and the `height` of bars are in mm.
    """

    parts: tuple[str, ...] = ()
    separator: str = "  ·  "
    each: Literal["", "patient", "study"] = ""
    more: str = "… and {more} more"
    barcode: bool = False
    size: Points = 9
    minimum: Points = 5
    bold: bool = False
    colour: Colour = "#000000"
    lines: int = Field(default=1, ge=1, le=20)
    space: float = Field(default=0, ge=0, le=40)
    height: float = Field(default=8, ge=4, le=30)

    @model_validator(mode="after")
    def _sense(self) -> "Row":
        unknown = {name for part in self.parts for name in _FIELD.findall(part)} - FIELDS
        if unknown:
            raise ValueError(f"no such field: {', '.join(sorted(unknown))}")
        if bool(self.parts) == self.barcode:
            raise ValueError("a row has parts, or is the bar code")
        return self

    def text(self, fields: dict[str, str]) -> str:
        """What the row says, "" for nothing."""
        said = []
        for part in self.parts:
            if all(fields[name] for name in _FIELD.findall(part)):
                said.append(_FIELD.sub(lambda found: fields[found[1]], part))
        # a part that is written from right to left does not turn the others round
        return "".join(said) if len(said) < 2 else bidi.apart(said, self.separator)


class Area(_Table):
    """Rows, one below the other; `anchor` tells where they are if the area has room to spare."""

    align: Literal["left", "center", "right"] = "center"
    anchor: Literal["top", "middle", "bottom"] = "middle"
    rows: tuple[Row, ...] = ()


class Template(_Table):
    """A label: the areas above and below the hole, and left and right of it."""

    description: str = ""
    top: Area = Area()
    left: Area = Area()
    right: Area = Area()
    bottom: Area = Area()
    divider: Colour | None = None


def styles(folder: Path | None) -> dict[str, Template]:
    """Every template by its Label Style Selection, those of the site before those that are shipped.

    Raises InvalidSettings that names the file and the key.
    """
    found = dict(_read_all(SHIPPED))
    if folder is not None:
        if not folder.is_dir():
            raise InvalidSettings(f"label.templates: {folder} is no folder")
        found |= _read_all(folder)
    return found


@lru_cache(maxsize=8)
def _read_all(folder: Path) -> dict[str, Template]:
    return {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}


def _read(path: Path) -> Template:
    if not _STYLE.fullmatch(path.stem):
        raise InvalidSettings(
            f"{path}: a style has 1 to 16 of A-Z, 0-9, _ and spaces",
            hint="The file is named for its Label Style Selection, as in LEGAL.toml.",
        )
    try:
        return Template.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise InvalidSettings(f"{path}: {where}: {fault['msg']}") from None
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{path}: {error}") from None


def choose(content: LabelContent, wanted: str, folder: Path | None) -> Template:
    """The template of the style wanted, which is a hint (PS3.4 S.3.2.1.1.4).

    Without one, or with one that is not here: STANDARD for one patient, LIST for more, TEXT where
    nothing of the instances is to be printed.
    """
    known = styles(folder)
    usual = "STANDARD" if len(content.patients) == 1 else "LIST" if content.patients else "TEXT"
    return known.get(wanted.strip()) or known[usual]
