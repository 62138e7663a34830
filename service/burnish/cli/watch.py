"""Surface: shows the progress of one request, or of all that are open."""

import shutil
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from burnish import service_lock
from burnish.cli import output, request_output
from burnish.cli.live_screen import live_screen, printed_lines
from burnish.errors import OperatorError, OutOfResources, SchemaMismatch
from burnish.vocabulary import ExecutionStatus

if TYPE_CHECKING:
    from burnish.db.session import Database
    from burnish.request.views import EventLine, RequestLine

_FINAL_STATUSES = (ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED)
#: Seconds between two looks at the database.
_POLL_INTERVAL = 0.4
#: Seconds between two drawings of a terminal.
_DRAW_INTERVAL = 1.0
#: The most open requests that are shown at once.
_SHOWN = 200
#: The most events that are read at once.
_BATCH = 1000
#: Characters of the bar of a request.
_BAR = 40

Answer = TypeVar("Answer")


class Surroundings:
    """What a view needs beside the requests: the database answers, the service runs.

    `root` is the storage root of the service. Both are told as lines of a live view, or once on
    standard error.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._told: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()

    def ask(self, question: Callable[[], Answer]) -> Answer | None:
        """The answer of the database, or None while it does not answer."""
        problems = []
        answer = None
        try:
            answer = question()
        except SchemaMismatch:
            raise
        except (OutOfResources, OperatorError) as error:
            text = str(error)
            problems.append(f"{text[:1].upper()}{text[1:]}; it is asked again.")
        if not service_lock.is_serving(self._root):
            problems.append(
                "The service does not run on this machine; nothing goes on until it is started:"
                " burnish serve"
            )
        self.problems = tuple(problems)
        return answer

    def tell(self) -> None:
        """Print the problems on standard error if they have changed."""
        for problem in self.problems:
            if problem not in self._told:
                output.print_error(problem)
        self._told = self.problems


def follow(database: "Database", name: str, *, root: Path, patients: bool) -> "RequestLine":
    """Show a request, its events and why it waits, until it ends; return its last state.

    A terminal shows its present state in place, and all its events at the end. Otherwise each event
    and each change of the state is printed.
    """
    from burnish.request import listing

    def look() -> "tuple[RequestLine, list[EventLine]]":
        with database.reading() as session:
            request = listing.with_time_left(session, listing.find_request(session, name))
            return request, listing.events(session, request, after=last_event_id)

    surroundings = Surroundings(root)
    last_event_id = 0
    if sys.stdout.isatty():
        return _follow_live(surroundings, look, patients=patients)
    pause = threading.Event()
    told = ""
    while True:
        answer = surroundings.ask(look)
        if answer is not None:
            request, events = answer
            for event in events:
                request_output.print_event(event)
                last_event_id = event.id
            state = f"{request.reason} {request.remedy}".strip()
            if state != told:
                told = state
                request_output.print_state(request)
            if request.execution_status in _FINAL_STATUSES:
                return request
        surroundings.tell()
        sys.stdout.flush()
        pause.wait(_POLL_INTERVAL)


def _follow_live(
    surroundings: Surroundings,
    look: "Callable[[], tuple[RequestLine, list[EventLine]]]",
    *,
    patients: bool,
) -> "RequestLine":
    """Show one request in place until it ends; then print all of its events."""
    pause = threading.Event()
    shown: tuple[RequestLine, list[EventLine]] | None = None
    try:
        with live_screen() as draw:
            while shown is None or shown[0].execution_status not in _FINAL_STATUSES:
                shown = surroundings.ask(look) or shown
                draw(_live_lines(surroundings, shown, patients=patients))
                pause.wait(_POLL_INTERVAL)
    finally:
        if shown is not None:
            for event in shown[1]:
                request_output.print_event(event)
            request_output.print_state(shown[0])
    return shown[0]


def _live_lines(
    surroundings: Surroundings,
    shown: "tuple[RequestLine, list[EventLine]] | None",
    *,
    patients: bool,
) -> list[str]:
    """State, progress and the last events of one request, in the height of the terminal."""
    lines = printed_lines(lambda: _print_problems(surroundings))
    if shown is None:
        return lines
    request, events = shown

    def print_request() -> None:
        request_output.print_state(request)
        request_output.print_patients(request, patients=patients)
        typer.echo(f"         {_bar(request)}")

    lines += [*printed_lines(print_request), ""]
    room = shutil.get_terminal_size().lines - len(lines) - 1
    of_events: list[str] = []
    for event in reversed(events):
        of_event = printed_lines(partial(request_output.print_event, event))
        if len(of_events) + len(of_event) > room:
            break
        of_events = of_event + of_events
    return [*lines, *of_events]


def _bar(request: "RequestLine") -> str:
    """How much of a request is made, drawn."""
    done = round(_BAR * (request.progress.fraction or 0))
    pieces = f"  {request.pieces_created} of {request.pieces} pieces" if request.pieces else ""
    return f"[{'#' * done}{'.' * (_BAR - done)}]{pieces}"


def _print_problems(surroundings: Surroundings) -> None:
    for problem in surroundings.problems:
        output.print_sentence(f"! {problem}")


def follow_all(database: "Database", *, root: Path, patients: bool, until_idle: bool) -> None:
    """Show all open requests until Ctrl-C, or until there is none.

    A terminal shows their present state, in place. Otherwise each change of a state is a line.
    """
    surroundings = Surroundings(root)
    pause = threading.Event()
    if sys.stdout.isatty():
        lines: list[str] = []
        try:
            with live_screen() as draw:
                while True:
                    requests = surroundings.ask(lambda: _open_requests(database))
                    lines = _lines_of_all(surroundings, requests, lines, patients=patients)
                    draw(lines)
                    if until_idle and requests == []:
                        return
                    pause.wait(_DRAW_INTERVAL)
        finally:
            typer.echo("\n".join(lines))
    told: dict[str, str] = {}
    while True:
        requests = surroundings.ask(lambda: _open_requests(database))
        for line in requests or []:
            state = f"{line.execution_status} {line.reason} {line.remedy}"
            if told.get(line.short_id) != state:
                told[line.short_id] = state
                request_output.print_state(line)
        surroundings.tell()
        sys.stdout.flush()
        if until_idle and requests == []:
            return
        pause.wait(_POLL_INTERVAL)


def _lines_of_all(
    surroundings: Surroundings,
    requests: "list[RequestLine] | None",
    before: list[str],
    *,
    patients: bool,
) -> list[str]:
    """The lines of all open requests; those before if the database does not answer."""
    problems = printed_lines(lambda: _print_problems(surroundings))
    if requests is None:
        known = [line for line in before if not line.startswith("!")]
        return [*problems, *known]

    def print_all() -> None:
        now = output.format_time(datetime.now().astimezone())
        output.print_items((f"open requests: {len(requests)}", now, "Ctrl-C ends this view"))
        request_output.print_open(requests, patients=patients)

    return [*problems, *printed_lines(print_all)]


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
