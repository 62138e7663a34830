"""Surface: shows the progress of one request."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from burnish.cli import output
from burnish.vocabulary import ExecutionStatus

if TYPE_CHECKING:
    from rich.console import Console

    from burnish.db.session import Database
    from burnish.request.views import EventLine, RequestLine

_FINAL_STATUSES = (ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED)
#: Seconds between two looks at the database.
_POLL_INTERVAL = 0.4


def follow(database: "Database", name: str) -> "RequestLine":
    """Print the events of a request until it ends; return its last state."""
    from burnish.request import listing

    console = output.console()
    pause = threading.Event()
    last_event_id = 0
    with _piece_bar(console) as update_bar:
        while True:
            with database.reading() as session:
                request = listing.find_request(session, name)
                events = listing.events(session, request, after=last_event_id)
            for event in events:
                console.print(format_event(event), soft_wrap=True)
                last_event_id = event.id
            update_bar(request)
            if request.execution_status in _FINAL_STATUSES:
                return request
            pause.wait(_POLL_INTERVAL)


def format_event(event: "EventLine") -> str:
    """One event as a line of text."""
    columns = [
        output.format_time(event.at),
        f"{f'piece {event.piece_id}' if event.piece_id else 'request':<9}",
        f"{event.event:<10}",
        f"{event.before} -> {event.after}" if event.after else "",
        f"by {event.actor}" if event.actor else "",
        event.why,
    ]
    return "  ".join(column for column in columns if column)


@contextlib.contextmanager
def _piece_bar(console: "Console") -> Iterator[Callable[["RequestLine"], None]]:
    """A function that shows the created pieces as a bar, if there is a terminal."""
    if not console.is_terminal:
        yield lambda request: None  # noqa: ARG005
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
        bar = bars.add_task("", total=None)

        def update_bar(request: "RequestLine") -> None:
            status = f"{request.execution_status} {request.execution_status_info}"
            bars.update(
                bar,
                description=f"{request.short_id} {status}",
                total=request.pieces or None,
                completed=request.pieces_created,
            )

        yield update_bar
