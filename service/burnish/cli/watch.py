"""Surface: follows one request while it is made."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from burnish.cli import output
from burnish.vocabulary import ExecutionStatus

if TYPE_CHECKING:
    from rich.console import Console

    from burnish.db.session import Database
    from burnish.request.listing import EventLine, RequestLine

_ENDED = (ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED)
_POLL = 0.4

Show = Callable[["RequestLine"], None]


def follow(database: "Database", name: str) -> "RequestLine":
    """Prints what happens to a request until it has ended; returns how it ended."""
    from burnish.request import listing

    console = output.console()
    pause = threading.Event()
    seen = 0
    with _progress(console) as show:
        while True:
            with database.reading() as session:
                line = listing.find_request(session, name)
                events = listing.events(session, line, after=seen)
            for event in events:
                console.print(told(event), soft_wrap=True)
                seen = event.id
            show(line)
            if line.execution_status in _ENDED:
                return line
            pause.wait(_POLL)


def told(event: "EventLine") -> str:
    """One event as a line."""
    moved = f"{event.before} -> {event.after}" if event.after else ""
    subject = f"piece {event.piece_id}" if event.piece_id else "request"
    words = (output.moment(event.at), f"{subject:<9}", f"{event.event:<10}", moved, event.why)
    return "  ".join(word for word in words if word)


@contextlib.contextmanager
def _progress(console: "Console") -> Iterator[Show]:
    """On a terminal a bar of the pieces that are created; elsewhere the events are enough."""
    if not console.is_terminal:
        yield lambda line: None  # noqa: ARG005
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pieces"),
        TimeElapsedColumn(),
        console=console,
    ) as bars:
        task = bars.add_task("", total=None)

        def show(line: "RequestLine") -> None:
            bars.update(
                task,
                description=f"{line.short_id} {line.execution_status} {line.execution_status_info}",
                total=line.pieces or None,
                completed=line.pieces_created,
            )

        yield show
