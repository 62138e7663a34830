"""Surface: puts a statement together from text files, which have its prose, and from tables.

A text file has headings (`#` to `#####`), paragraphs, lists (`- `), and directives on lines of
their own:

- `{{table NAME}}` and `{{figure NAME}}` put in what the code makes;
- `{{others PREFIX}}` puts in all tables whose names begin so and that are nowhere else in the text;
- `{{include NAME}}` puts in another text file, its headings moved below the current one;
- `{{if NAME}}`, `{{else}}`, `{{end}}` depend on the configuration.

In the text, `{name}` is a value of the configuration (`{dicom.ae_title}`) or of the code.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from burnish.conformance.document import Block, Bullets, Figure, Paragraph, Section, StatementTable

_DIRECTIVE = re.compile(r"\{\{(table|others|figure|include|if|else|end) ?([a-z_0-9]*)\}\}")
_VALUE = re.compile(r"\{([a-z_0-9.]+)\}")
_HEADING = re.compile(r"(#+) (.+)")


@dataclass(frozen=True)
class Material:
    """The values, conditions, tables and figures that fill the text files, by name."""

    value: Callable[[str], str]
    conditions: Mapping[str, bool]
    tables: Mapping[str, Callable[[], StatementTable]]
    figures: Mapping[str, Callable[[], Figure]]


@lru_cache
def text_file(name: str) -> str:
    """The content of a text file of this package."""
    return files(__package__).joinpath("text", f"{name}.md").read_text(encoding="utf-8")


def assemble(name: str, material: Material) -> list[Section]:
    """The sections of a text file, numbered from 1; raises KeyError for a name that is unknown."""
    lines = list(_lines(name, material.conditions, 0))
    directives = [match for line in lines if (match := _DIRECTIVE.fullmatch(line))]
    placed = {directive[2] for directive in directives if directive[1] == "table"}
    sections: list[Section] = []
    paragraph: list[str] = []
    counters: list[int] = []
    for line in [*lines, ""]:
        heading = _HEADING.fullmatch(line)
        directive = _DIRECTIVE.fullmatch(line)
        if line and heading is None and directive is None:
            paragraph.append(line)
            continue
        if paragraph:
            sections[-1].blocks.append(_text_block(paragraph, material))
            paragraph.clear()
        if heading is not None:
            counters = _count(counters, len(heading[1]))
            number = ".".join(map(str, counters))
            sections.append(Section(len(counters), number, _fill(heading[2], material)))
        elif directive is not None:
            sections[-1].blocks += _blocks(directive[1], directive[2], material, placed)
    return sections


def _blocks(kind: str, name: str, material: Material, placed: Container[str]) -> list[Block]:
    """The text that a directive puts in; `placed` are the tables that the text names."""
    if kind == "figure":
        return [material.figures[name]()]
    if kind == "table":
        return [material.tables[name]()]
    others = [key for key in material.tables if key.startswith(name) and key not in placed]
    return [material.tables[key]() for key in others]


def _count(counters: list[int], level: int) -> list[int]:
    """The number of the next heading of a level."""
    counters = [*counters, *[0] * level][:level]
    counters[-1] += 1
    return counters


def _lines(name: str, conditions: Mapping[str, bool], depth: int) -> Iterator[str]:
    """The lines of a text file with those of the files that it includes.

    `depth` is the number of levels by which its headings are moved down.
    """
    level = depth
    active = [True]
    for line in text_file(name).splitlines():
        text = line.rstrip()
        directive = _DIRECTIVE.fullmatch(text)
        kind = directive[1] if directive is not None else ""
        if kind == "if":
            assert directive is not None  # noqa: S101
            active.append(active[-1] and conditions[directive[2]])
        elif kind == "else":
            active[-1] = active[-2] and not active[-1]
        elif kind == "end":
            active.pop()
        elif not active[-1]:
            continue
        elif kind == "include":
            assert directive is not None  # noqa: S101
            yield ""
            yield from _lines(directive[2], conditions, level)
            yield ""
        elif heading := _HEADING.fullmatch(text):
            level = depth + len(heading[1])
            yield f"{'#' * level} {heading[2]}"
        else:
            yield text


def _text_block(lines: list[str], material: Material) -> Paragraph | Bullets:
    if not lines[0].startswith("- "):
        return Paragraph(_fill(" ".join(lines), material))
    items: list[str] = []
    for line in lines:
        if line.startswith("- "):
            items.append(line[2:])
        else:
            items[-1] += " " + line.strip()
    return Bullets(tuple(_fill(item, material) for item in items))


def _fill(text: str, material: Material) -> str:
    return _VALUE.sub(lambda match: material.value(match[1]), text)
