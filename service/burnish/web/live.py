"""Surface: what changes reaches every open page within a second of its commit.

One thread watches the database. After a commit it renders each topic that somebody looks at, once
for each audience, and sends those that changed to all pages of that audience as server-sent events.
An event is the whole part of the page, so that a page that was away needs only the newest one.
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic, thread_time
from typing import Any
from urllib.parse import urlencode

import structlog
from fastapi import Request
from fastapi.responses import StreamingResponse

from burnish.db.session import Database
from burnish.errors import BurnishError
from burnish.web.rendering import Audience, Rendering

log = structlog.get_logger(__name__)

#: Seconds between two comments on a stream without events: they show that both ends still live.
_HEARTBEAT = 15.0
#: Seconds after which the session or token of an open page is looked at again.
_CHECK = 15.0
#: Milliseconds after which a page connects again.
_RETRY = 500
#: The same if what the page shows is gone.
_RETRY_IF_GONE = 60_000
#: Seconds between two looks for changes, at most, while something is committed all the time: with
#: drawing and sending, a change is on screen within a second.
_LONGEST_REST = 0.6
#: A part that changes with each received instance rests for this many times the CPU time that it
#: took, so that pages left open take little from reception.
_REST = 50
_END = "end"


@dataclass(frozen=True, slots=True)
class Topic:
    """A part of a page that is kept up to date.

    `fingerprint` is a cheap question whose answer changes whenever `values` may. `values` are those
    of the template; they depend on the audience only by whether it sees patients. A part that
    changes with each received instance is drawn anew each `longest_rest` seconds at least, and more
    often if that costs little.
    """

    template: str
    fingerprint: Callable[[Database], Hashable]
    values: Callable[[Database, bool], Mapping[str, Any]]
    longest_rest: float = 0.0


@dataclass(slots=True)
class _LivePart:
    """One topic for one audience, and the pages that show it."""

    topic: Topic
    audience: Audience
    pages: "set[asyncio.Queue[_Update]]" = field(default_factory=set)
    message: "_Update | None" = None


@dataclass(frozen=True)
class _Update:
    id: str
    html: str

    @cached_property
    def encoded(self) -> bytes:
        """The event, for all pages that it is sent to."""
        lines = [f"id: {self.id}", *(f"data: {line}" for line in self.html.splitlines())]
        return ("\n".join(lines) + "\n\n").encode()


class Live:
    """The watcher, and the pages that it tells.

    `is_permitted` tells whether the visitor of a page that is open may still see it.
    """

    def __init__(
        self,
        database: Database,
        rendering: Rendering,
        is_permitted: Callable[[Request], bool] = lambda _request: True,
    ) -> None:
        self._is_permitted = is_permitted
        self._database = database
        self._rendering = rendering
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, Audience], _LivePart] = {}
        self._fingerprints: dict[str, Hashable] = {}
        self._rest_until: dict[str, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._watch, name="live", daemon=True)

    def start(self) -> None:
        """Begin to watch; called in the event loop of the server."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, and end all streams."""
        self._stopping.set()
        with self._lock:
            pages = [page for part in self._parts.values() for page in part.pages]
        for page in pages:
            _put(page, _Update(_END, ""))

    @property
    def is_stopping(self) -> bool:
        """Whether all streams end."""
        return self._stopping.is_set()

    @property
    def open_pages(self) -> int:
        """How many pages are open."""
        with self._lock:
            return sum(len(part.pages) for part in self._parts.values())

    def render(self, topic: Topic, audience: Audience) -> tuple[str, str]:
        """The part of the page as it is now, and its id."""
        values = topic.values(self._database, audience.sees_patients)
        message = self._update(topic, audience, values)
        return message.html, message.id

    def response(
        self, request: Request, name: str, topic: Topic, last_id: str
    ) -> StreamingResponse:
        """The answer to a page that wants to be kept up to date; `last_id` is what it has."""
        audience = self._rendering.audience(request)

        stream = self.stream(name, topic, audience, last_id, lambda: self._is_permitted(request))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def stream(
        self,
        name: str,
        topic: Topic,
        audience: Audience,
        last_id: str,
        is_permitted: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[bytes]:
        """The events for one open page, beginning with the present state unless it has that.

        The stream ends when the page's session or token does.
        """
        queue: asyncio.Queue[_Update] = asyncio.Queue(1)
        with self._lock:
            part = self._parts.setdefault((name, audience), _LivePart(topic, audience))
            part.pages.add(queue)
        try:
            yield f"retry: {_RETRY}\n\n".encode()
            try:
                html, message_id = await asyncio.to_thread(self.render, topic, audience)
            except BurnishError:  # what the page shows is gone; the page itself says so
                yield f"retry: {_RETRY_IF_GONE}\n\n".encode()
                return
            if message_id != last_id:
                yield _Update(message_id, html).encoded
            checked_at = monotonic()
            while not self._stopping.is_set():
                if monotonic() >= checked_at + _CHECK:
                    checked_at = monotonic()
                    if not await asyncio.to_thread(is_permitted):
                        return
                try:
                    message = await asyncio.wait_for(queue.get(), _HEARTBEAT)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if message.id == _END:
                    return
                if message.id != message_id:
                    message_id = message.id
                    yield message.encoded
        finally:
            with self._lock:
                part.pages.discard(queue)
                if not part.pages:
                    self._parts.pop((name, audience), None)
                if not any(topic_name == name for topic_name, _ in self._parts):
                    self._fingerprints.pop(name, None)
                    self._rest_until.pop(name, None)

    def _watch(self) -> None:
        with self._database.commits(self._stopping, longest_rest=_LONGEST_REST) as wakeup:
            while wakeup.wait():
                self._tell_changes()

    def _tell_changes(self) -> None:
        with self._lock:
            parts = list(self._parts.items())
        if not parts:
            return
        by_name: dict[str, list[tuple[Audience, _LivePart]]] = {}
        for (name, audience), part in parts:
            by_name.setdefault(name, []).append((audience, part))
        for name, parts_of_name in by_name.items():
            is_new = any(part.message is None for _, part in parts_of_name)
            if not is_new and monotonic() < self._rest_until.get(name, 0.0):
                continue
            began = thread_time()
            try:
                self._tell_changes_of(name, parts_of_name)
            except BurnishError as error:  # the other pages and the next changes are still told
                log.warning("pages not updated", why=str(error))
            except Exception:
                log.exception("pages not updated, by a defect")
            topic = parts_of_name[0][1].topic
            rest = min(_REST * (thread_time() - began), topic.longest_rest)
            self._rest_until[name] = monotonic() + rest

    def _tell_changes_of(self, name: str, parts: Sequence[tuple[Audience, _LivePart]]) -> None:
        topic = parts[0][1].topic
        fingerprint = topic.fingerprint(self._database)
        is_changed = self._fingerprints.get(name) != fingerprint
        self._fingerprints[name] = fingerprint
        values: dict[bool, Mapping[str, Any]] = {}
        for audience, part in parts:
            if not is_changed and part.message is not None:
                continue
            sees_patients = audience.sees_patients
            if sees_patients not in values:
                values[sees_patients] = topic.values(self._database, sees_patients)
            self._tell(part, self._update(topic, audience, values[sees_patients]))

    def _tell(self, part: _LivePart, message: _Update) -> None:
        if part.message is not None and part.message.id == message.id:
            return
        part.message = message
        assert self._loop is not None  # noqa: S101
        with self._lock:
            pages = list(part.pages)
        for page in pages:
            self._loop.call_soon_threadsafe(_put, page, message)

    def _update(self, topic: Topic, audience: Audience, values: Mapping[str, Any]) -> _Update:
        html = self._rendering.part(topic.template, audience, values)
        return _Update(hashlib.blake2b(html.encode(), digest_size=9).hexdigest(), html)


def live_address(path: str, **criteria: str) -> str:
    """A path with what a list is asked for; what is empty is left out."""
    named = {name: value for name, value in criteria.items() if value}
    return f"{path}?{urlencode(named)}" if named else path


def _put(page: "asyncio.Queue[_Update]", message: _Update) -> None:
    """Give a page its newest message in place of one that it has not taken yet."""
    if page.full():
        page.get_nowait()
    page.put_nowait(message)
