"""Surface: how answers look: tables and progress for people, JSON for programs."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from burnish.values import Progress

if TYPE_CHECKING:
    from rich.console import Console


#: Where nobody looks through a window, lines are as long as they need to be.
_ENDLESS = 400


def console(*, stderr: bool = False, width: int = _ENDLESS) -> "Console":
    """A console that colours only a terminal, and wraps only there."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else width
    return Console(stderr=stderr, width=fixed, highlight=False, markup=False, emoji=False)


def document(value: object) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table; columns that begin with `>` are numbers. `empty` is said where there are no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        typer.echo(empty, err=True)
        return
    lines = _lines(columns, cells)
    if max(map(len, lines)) > _width() or not all(map(_is_plain, lines)):
        _wrapped_table(columns, cells)
        return
    typer.secho(lines[0], bold=True)
    typer.echo("\n".join(lines[1:]))


def _lines(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """A table as wide as it needs to be, where each letter is as wide as any other."""
    names = [column.removeprefix(">") for column in columns]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    line = "  ".join(
        f"{{:{'>' if column.startswith('>') else '<'}{width}}}"
        for column, width in zip(columns, widths, strict=True)
    )
    return [line.format(*row) for row in (names, *cells)]


def _is_plain(line: str) -> bool:
    """Whether each letter is one cell of a terminal wide."""
    if line.isascii():
        return line.isprintable()
    from rich.cells import cell_len

    return line.isprintable() and cell_len(line) == len(line)


def _width() -> int:
    """How wide lines may be."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return console().width
    return _ENDLESS


def _wrapped_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """A table within the width there is, which takes five milliseconds for a line."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        right = column.startswith(">")
        shown.add_column(column.removeprefix(">"), justify="right" if right else "left")
    for row in cells:
        shown.add_row(*(Text(cell, overflow="fold") for cell in row))
    console().print(shown)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line."""
    lines = [(name, _cell(value)) for name, value in pairs]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        typer.echo(f"{name:<{width}}  {value}".rstrip())


def _cell(value: object) -> str:
    if value is None:
        return ""
    return moment(value) if isinstance(value, datetime) else str(value)


def moment(value: datetime) -> str:
    """A point in time, in UTC as the database has it."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(value: timedelta) -> str:
    """As the configuration file has it: 500ms, 90s, 24h."""
    seconds = value.total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds and seconds % length == 0:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds * 1000:.15g}ms"


def megabytes(size: int) -> str:
    """Bytes for people: 0.52 MB, 700 MB, 4.7 GB."""
    for unit, length in (("GB", 10**9), ("MB", 10**6)):
        if size >= length:
            return f"{size / length:.3g} {unit}"
    return f"{size / 1000:.3g} kB"


def complain(message: str, hint: str = "") -> None:
    """What went wrong and the remedy, on standard error."""
    typer.echo(f"burnish: {message}", err=True)
    if hint:
        typer.echo(f"  {hint}", err=True)


def columns_of(rows: Sequence[Any], *names: str) -> list[list[object]]:
    """The named fields of each row."""
    return [[getattr(row, name) for name in names] for row in rows]


@contextlib.contextmanager
def progress() -> "Iterator[Progress]":
    """A bar on standard error for (what, done, of how much); nothing where nobody looks."""
    shown = console(stderr=True)
    if not shown.is_terminal:
        yield lambda what, done, total: None  # noqa: ARG005
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Bars(*columns, console=shown, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda what, done, total: bars.update(
            task, description=what, completed=done, total=total
        )
