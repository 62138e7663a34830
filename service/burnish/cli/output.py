"""Surface: how commands print: tables and progress bars for people, JSON for programs."""

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
from burnish.wording import format_duration

if TYPE_CHECKING:
    from rich.console import Console

    from burnish.request.views import ListPage

#: Characters per line where the output is not a terminal: lines are not wrapped in practice.
_UNLIMITED_WIDTH = 400


def console(*, stderr: bool = False, width: int = _UNLIMITED_WIDTH) -> "Console":
    """A console that uses colours and the width of the terminal only if there is a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    fixed_width = None if stream.isatty() or "COLUMNS" in os.environ else width
    return Console(stderr=stderr, width=fixed_width, highlight=False, markup=False, emoji=False)


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(value, default=_to_json, indent=2, ensure_ascii=False))


def print_views(view: object, *, patients: bool = True) -> None:
    """Print a view, or several, as one JSON document, as REST has it; without patients if asked."""
    from burnish.request.views import to_json

    print_json(to_json(view, patients=patients))


def print_line(view: object) -> None:
    """Print a view as one JSON document on one line, at once."""
    from burnish.request.views import to_json

    typer.echo(json.dumps(to_json(view), ensure_ascii=False))
    sys.stdout.flush()


def print_new(name: str, view: object, *, json: bool) -> None:
    """Print the name of something new on standard output, for scripts, or its view as JSON."""
    if json:
        print_views(view)
    else:
        typer.echo(name)


def print_more(page: "ListPage") -> None:
    """Say on standard error that a list goes on, and how to see the rest."""
    if page.next is not None:
        typer.echo(f"… and more: --before {page.next}, or a higher --limit", err=True)


def _to_json(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table, or `empty` on standard error if there are no rows.

    Columns whose name begins with `>` are aligned to the right.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        typer.echo(empty, err=True)
        return
    lines = _table_lines(columns, cells)
    # rich takes five milliseconds for each row, too long for 10,000 rows: it is used only where
    # lines have to be wrapped or have wide characters
    fits = max(len(line) for line in lines) <= _line_width()
    if not fits or not all(_is_single_width(line) for line in lines):
        print_wrapped_table(columns, cells)
        return
    typer.secho(lines[0], bold=True)
    typer.echo("\n".join(lines[1:]))


def _table_lines(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table without wrapping, for text of single-width characters."""
    names = [column.removeprefix(">") for column in columns]
    formats = []
    for column, values in zip(columns, zip(names, *cells, strict=True), strict=True):
        alignment = ">" if column.startswith(">") else "<"
        width = max(len(value) for value in values)
        formats.append(f"{{:{alignment}{width}}}")
    line_format = "  ".join(formats)
    return [line_format.format(*row) for row in (names, *cells)]


def _is_single_width(line: str) -> bool:
    """Whether every character takes one cell of a terminal."""
    if line.isascii():
        return line.isprintable()
    from rich.cells import cell_len

    return line.isprintable() and cell_len(line) == len(line)


def _line_width() -> int:
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return console().width
    return _UNLIMITED_WIDTH


def print_wrapped_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a table whose cells are wrapped to the width of the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if is_number else "left")
    for row in cells:
        table.add_row(*[Text(cell, overflow="fold") for cell in row])
    console().print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair per line."""
    pairs = [(name, _cell(value)) for name, value in fields]
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name:<{width}}  {value}".rstrip())


def _cell(value: object) -> str:
    if value is None:
        return ""
    return format_time(value) if isinstance(value, datetime) else str(value)


def format_time(value: datetime) -> str:
    """A point in time in the time zone of this machine, with its offset from UTC."""
    return value.astimezone().isoformat(sep=" ", timespec="seconds")


def format_age(value: datetime) -> str:
    """How long ago a point in time is, in its two largest units: 3 d 4 h, 12 min 5 s."""
    return format_seconds(max((datetime.now(UTC) - value).total_seconds(), 0))


def format_seconds(seconds: float) -> str:
    """A number of seconds in its two largest units: 3 d 4 h, 12 min 5 s, 8 s."""
    left = round(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, length)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def print_items(items: Iterable[str], *, indent: int = 0, hanging: int = 0) -> None:
    """Print texts in lines of the width of the terminal, none of them broken over two lines.

    A text that is longer than the line has a line of its own. All lines but the first are indented
    by `hanging` more.
    """
    from rich.cells import cell_len

    width = _line_width()
    line, separator = " " * indent, ""
    for item in items:
        if not item:
            continue
        text = _printable(item)
        if separator and cell_len(line) + len(separator) + cell_len(text) > width:
            typer.echo(line)
            line, separator = " " * (indent + hanging), ""
        line += separator + text
        separator = "  "
    if line.strip():
        typer.echo(line)


def print_sentence(sentence: str, *, indent: int = 0) -> None:
    """Print a text in lines of the width of the terminal, broken between words."""
    import textwrap

    if sentence:
        margin = " " * indent
        typer.echo(
            textwrap.fill(
                _printable(sentence),
                _line_width(),
                initial_indent=margin,
                subsequent_indent=margin,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def _printable(text: str) -> str:
    """The text without characters that could control the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def format_size(size: int) -> str:
    """Bytes in three digits: 520 kB, 700 MB, 4.7 GB."""
    for unit, length in (("GB", 10**9), ("MB", 10**6)):
        if size >= length:
            return f"{size / length:.3g} {unit}"
    return f"{size / 1000:.3g} kB"


def print_error(message: str, hint: str = "") -> None:
    """Print an error and its remedy on standard error."""
    typer.echo(f"burnish: {message}", err=True)
    if hint:
        typer.echo(f"  {hint}", err=True)


def table_rows(items: Sequence[Any], fields: Sequence[str]) -> list[list[object]]:
    """The named fields of each item, as the rows of a table."""
    return [[getattr(item, field) for field in fields] for item in items]


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A function that shows (task, done, total) as a bar, if standard error is a terminal."""
    terminal = console(stderr=True)
    if not terminal.is_terminal:
        yield lambda task, done, total: None  # noqa: ARG005
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as ProgressBars

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with ProgressBars(*columns, console=terminal, transient=True) as bars:
        bar = bars.add_task("", total=None)
        yield lambda task, done, total: bars.update(
            bar, description=task, completed=done, total=total
        )
