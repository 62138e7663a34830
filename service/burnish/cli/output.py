"""Surface: how commands print: tables and progress bars for people, JSON for programs."""

import contextlib
import dataclasses
import json
import os
import shutil
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
_UNLIMITED_WIDTH = 10_000
#: Format characters that names need in some scripts: joiners, and marks of the direction.
_JOINERS = "\u200c\u200d\u200e\u200f"


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


def print_outcome(text: str, outcome: object, *, json: bool) -> None:
    """Print what a command has done: as a sentence, or as JSON."""
    if json:
        print_views(outcome)
    else:
        for line in text.splitlines():
            typer.echo(printable(line))


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

    Columns whose name begins with `>` are aligned to the right. If the table is wider than the
    terminal, each row becomes lines of their own, so that no name or number is broken.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        typer.echo(empty, err=True)
        return
    lines = _table_lines(columns, cells)
    if max(_width(line) for line in lines) > _line_width():
        _print_records(columns, cells)
        return
    typer.secho(lines[0], bold=True)
    typer.echo("\n".join(lines[1:]))


def _table_lines(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table without wrapping."""
    names = [column.removeprefix(">") for column in columns]
    rows = [names, *cells]
    widths = [max(_width(row[number]) for row in rows) for number in range(len(names))]
    are_numbers = [column.startswith(">") for column in columns]
    lines = []
    for row in rows:
        parts = []
        for text, width, is_number in zip(row, widths, are_numbers, strict=True):
            padding = " " * (width - _width(text))
            parts.append(padding + text if is_number else text + padding)
        lines.append("  ".join(parts).rstrip())
    return lines


def _print_records(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print each row of a table as its first cell, followed by the others with their names."""
    names = [column.removeprefix(">") for column in columns]
    for row in cells:
        others = [f"{name} {text}" for name, text in zip(names[1:], row[1:], strict=True) if text]
        print_items((row[0], *others), hanging=2)


def _width(text: str) -> int:
    """The cells that a text takes on a terminal: a Chinese letter two, a combining accent none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _line_width() -> int:
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return _UNLIMITED_WIDTH


def wrap(text: str, *, indent: int = 0, hanging: int = 0) -> list[str]:
    """The text in lines of the width of the terminal, broken between words only.

    All lines but the first are indented by `hanging` more. A word that is longer than a line has a
    line of its own.
    """
    width = _line_width()
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        if line and _width(line) + 1 + _width(word) > width:
            lines.append(line)
            line = ""
        if line:
            line += " " + word
        else:
            line = " " * (indent + hanging if lines else indent) + word
    return [*lines, line] if line else lines


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair per line; a long value is broken between its words."""
    pairs = [(name, _cell(value)) for name, value in fields]
    margin = max(_width(name) for name, _ in pairs) + 2
    for name, value in pairs:
        words = [_width(word) for word in value.split()]
        if words and margin + max(words) > _line_width():
            typer.echo(name)
            print_sentence(value, indent=2)
            continue
        first, *others = wrap(value, indent=margin) or [""]
        typer.echo(name + first[_width(name) :])
        for line in others:
            typer.echo(line)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return format_time(value) if isinstance(value, datetime) else printable(str(value))


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

    A text that is longer than the line has lines of its own, broken between its words. All lines
    but the first are indented by `hanging` more.
    """
    for line in item_lines(items, indent=indent, hanging=hanging):
        typer.echo(line)


def item_lines(items: Iterable[str], *, indent: int = 0, hanging: int = 0) -> list[str]:
    """The lines that `print_items` prints."""
    width = _line_width()
    lines: list[str] = []
    line = ""
    for item in items:
        text = printable(item)
        if line and _width(line) + 2 + _width(text) > width:
            lines.append(line)
            line = ""
        if line:
            line += "  " + text if text else ""
            continue
        margin = indent + hanging if lines else indent
        line = " " * margin + text if text else ""
        if _width(line) > width:
            *full, line = wrap(text, indent=margin, hanging=0 if lines else hanging)
            lines += full
    return [*lines, line] if line else lines


def print_sentence(sentence: str, *, indent: int = 0) -> None:
    """Print a text in lines of the width of the terminal, broken between words."""
    for line in wrap(sentence, indent=indent):
        typer.echo(line)


def printable(text: str) -> str:
    """The text without characters that could control the terminal."""
    return text if text.isprintable() else "".join(map(_printable_letter, text))


def _printable_letter(letter: str) -> str:
    if letter.isprintable() or letter in _JOINERS:
        return letter
    return " " if letter.isspace() else "\ufffd"


def format_size(size: int) -> str:
    """Bytes in three digits: 520 kB, 700 MB, 4.7 GB."""
    for unit, length in (("GB", 10**9), ("MB", 10**6)):
        if size >= length:
            return f"{size / length:.3g} {unit}"
    return f"{size / 1000:.3g} kB"


def print_error(message: str, hint: str = "") -> None:
    """Print an error and its remedy on standard error."""
    for number, line in enumerate(message.splitlines()):
        typer.echo(f"{'' if number else 'burnish: '}{printable(line)}", err=True)
    for line in hint.splitlines():
        typer.echo(f"  {printable(line)}", err=True)


class Interrupted(KeyboardInterrupt):
    """A command was interrupted with Ctrl-C: what stays of its work, and how it goes on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@contextlib.contextmanager
def if_interrupted(message: str, hint: str = "") -> Iterator[None]:
    """Have Ctrl-C in this context tell what stays of the work, and how it goes on."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as interrupt:
        raise Interrupted(message, hint) from interrupt


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
