"""Surface: shows the progress of one request, or of all that are open."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from burnish.cli import output, request_output
from burnish.vocabulary import ExecutionStatus

if TYPE_CHECKING:
    from rich.console import Console

    from burnish.db.session import Database
    from burnish.request.views import RequestLine

_FINAL_STATUSES = (ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED)
#: Seconds between two looks at the database.
_POLL_INTERVAL = 0.4
#: The most open requests that are shown at once.
_SHOWN = 200
#: The most events that are read at once.
_BATCH = 1000


def follow(database: "Database", name: str) -> "RequestLine":
    """Print the events of a request, and why it waits, until it ends; return its last state."""
    from burnish.request import listing

    console = output.console()
    pause = threading.Event()
    last_event_id, told = 0, ""
    with _piece_bar(console) as update_bar:
        while True:
            with database.reading() as session:
                request = listing.with_time_left(session, listing.find_request(session, name))
                events = listing.events(session, request, after=last_event_id)
            for event in events:
                request_output.print_event(event)
                last_event_id = event.id
            state = f"{request.reason} {request.remedy}".strip()
            if state != told:
                told = state
                request_output.print_state(request)
            update_bar(request)
            if request.execution_status in _FINAL_STATUSES:
                return request
            pause.wait(_POLL_INTERVAL)


def follow_all(database: "Database", *, patients: bool, until_idle: bool) -> None:
    """Show all open requests until Ctrl-C, or until there is none.

    A terminal shows their present state, in place. Otherwise each change of a state is a line.
    """
    console = output.console()
    pause = threading.Event()
    told: dict[str, str] = {}
    while True:
        lines = _open_requests(database)
        if console.is_terminal:
            console.clear()
            request_output.print_open(lines, patients=patients)
        else:
            for line in lines:
                state = f"{line.execution_status} {line.reason} {line.remedy}"
                if told.get(line.short_id) != state:
                    told[line.short_id] = state
                    request_output.print_state(line)
        if until_idle and not lines:
            return
        pause.wait(_POLL_INTERVAL * (3 if console.is_terminal else 1))


def follow_events(database: "Database", name: str, *, until_idle: bool) -> "RequestLine | None":
    """Print each event as one line of JSON, as the stream of REST has it.

    Of one request, from its first event until it ends; its last state is returned. Of all, from now
    on until Ctrl-C, or until none is open.
    """
    from burnish.request import event_feed, listing
    from burnish.request.event_feed import EventFeed

    pause = threading.Event()
    with database.reading() as session:
        short_id = listing.find_request(session, name).short_id if name else ""
        feed = EventFeed(database, 0 if name else event_feed.newest_event(session))
    while True:
        with database.reading() as session:
            request = listing.find_request(session, short_id) if name else None
        has_ended = request is not None and request.execution_status in _FINAL_STATUSES
        if until_idle and not name:
            has_ended = not _open_requests(database)
        while events := feed.read(limit=_BATCH):
            for event in events:
                if not name or event.request == short_id:
                    output.print_line(event)
        if has_ended:
            return request
        pause.wait(_POLL_INTERVAL)


def _open_requests(database: "Database") -> "list[RequestLine]":
    """The open requests, those that need a person first."""
    from burnish.request import listing
    from burnish.request.listing import RequestFilter
    from burnish.request.views import RequestGroup

    groups = (RequestGroup.NEEDS_PERSON, RequestGroup.MAKING, RequestGroup.WAITING)
    with database.reading() as session:
        return [
            listing.with_time_left(session, line)
            for group in groups
            for line in listing.requests(session, RequestFilter(group=group), limit=_SHOWN)
        ]


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
            progress = request_output.format_progress(request.progress)
            bars.update(
                bar,
                description=f"{request.short_id} {progress}",
                total=request.pieces or None,
                completed=request.pieces_created,
            )

        yield update_bar
