"""Craft: label templates, which say what is printed where.

Templates are TOML files; a site can add its own to those of the package.
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from burnish.errors import InvalidSettings
from burnish.label import bidi
from burnish.label.fields import FIELDS, LabelContent

#: The templates of the package.
INCLUDED = Path(__file__).parent / "templates"
_FIELD = re.compile(r"\{([a-z_]+)\}")
#: Label Style Selection (2200,0003) is a CS (PS3.5 6.2).
_STYLE = re.compile(r"[A-Z0-9_][A-Z0-9_ ]{0,15}")

Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
#: A type size in points.
Points = Annotated[float, Field(ge=4, le=72)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Table):
    """One line of an area, the bar code, or the logo.

    Each part has fields in braces and is left out if one of them is empty. The other parts are
    joined by `separator`. A row with `each` is repeated for each patient or study, and `more`
    replaces those that have no room. The type is made smaller, down to `minimum`, before text is
    shortened. `space` above the row and `height` of the bars or of the logo are in mm.
    """

    parts: tuple[str, ...] = ()
    separator: str = "  ·  "
    each: Literal["", "patient", "study"] = ""
    more: str = "… and {more} more"
    barcode: bool = False
    logo: bool = False
    size: Points = 9
    minimum: Points = 5
    bold: bool = False
    colour: Colour = "#000000"
    lines: int = Field(default=1, ge=1, le=20)
    space: float = Field(default=0, ge=0, le=40)
    height: float = Field(default=8, ge=4, le=30)

    @model_validator(mode="after")
    def _check_parts(self) -> "Row":
        unknown = {name for part in self.parts for name in _FIELD.findall(part)} - FIELDS
        if unknown:
            raise ValueError(f"no such field: {', '.join(sorted(unknown))}")
        if [bool(self.parts), self.barcode, self.logo].count(True) != 1:
            raise ValueError("a row has either parts or the bar code or the logo")
        return self

    def text(self, fields: dict[str, str]) -> str:
        """The text of the row, "" if every part is left out."""
        texts = []
        for part in self.parts:
            if all(fields[name] for name in _FIELD.findall(part)):
                texts.append(_FIELD.sub(lambda match: fields[match[1]], part))
        if len(texts) < 2:
            return "".join(texts)
        # A part written from right to left must not reverse the order of the parts.
        return bidi.join_left_to_right(texts, self.separator)


class Area(_Table):
    """Rows, one below the other; `anchor` says where they stand if the area has room to spare."""

    align: Literal["left", "center", "right"] = "center"
    anchor: Literal["top", "middle", "bottom"] = "middle"
    rows: tuple[Row, ...] = ()


class Template(_Table):
    """A label: the areas above, left of, right of and below the hole."""

    description: str = ""
    top: Area = Area()
    left: Area = Area()
    right: Area = Area()
    bottom: Area = Area()
    divider: Colour | None = None


def read_templates(folder: Path | None) -> dict[str, Template]:
    """Every template by its Label Style Selection.

    A template in the `folder` of the site replaces an included one of the same name. Raises
    InvalidSettings with the name of the file and the key.
    """
    templates = dict(_read_folder(INCLUDED))
    if folder is not None:
        if not folder.is_dir():
            raise InvalidSettings(f"label.templates: {folder} is not a folder")
        templates |= _read_folder(folder)
    return templates


@lru_cache(maxsize=8)
def _read_folder(folder: Path) -> dict[str, Template]:
    return {path.stem: _read_template(path) for path in sorted(folder.glob("*.toml"))}


def _read_template(path: Path) -> Template:
    if not _STYLE.fullmatch(path.stem):
        raise InvalidSettings(
            f"{path}: the name of a style has 1 to 16 of A-Z, 0-9, _ and spaces",
            hint="Name the file after its Label Style Selection, for example LEGAL.toml.",
        )
    try:
        return Template.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first_error = error.errors()[0]
        key = ".".join(str(part) for part in first_error["loc"])
        raise InvalidSettings(f"{path}: {key}: {first_error['msg']}") from None
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{path}: {error}") from None


def choose_template(content: LabelContent, style: str, folder: Path | None) -> Template:
    """The template of a Label Style Selection, which is a hint (PS3.4 S.3.2.1.1.4).

    If no such style exists: STANDARD for one patient, LIST for several, TEXT if nothing from the
    instances may be printed.
    """
    templates = read_templates(folder)
    template = templates.get(style.strip())
    if template is not None:
        return template
    if not content.patients:
        return templates["TEXT"]
    return templates["STANDARD" if len(content.patients) == 1 else "LIST"]
