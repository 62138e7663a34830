"""The stream of events: nothing lost, nothing twice, whatever happens to client and service."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from burnish import retention
from burnish.db.history import note
from burnish.db.session import Database
from burnish.db.tables import Event, MediaCreationRequest
from burnish.vocabulary import ExecutionStatus
from burnish.web.api.events import stream
from burnish.web.app import create_app
from burnish.web.context import WebContext
from factories import add_request
from web_client import WebGround


def _permitted() -> bool:
    return True


def _context(web: WebGround) -> WebContext:
    context: WebContext = web.app.state.context
    return context


def _note(web: WebGround, count: int) -> None:
    """Events of one request, one transaction each ten."""
    for _ in range(0, count, 10):
        with web.database.writing() as session:
            for _ in range(10):
                note(session, 1, "PRIORITY", "HIGH, it was MED")


def _numbers(web: WebGround) -> list[int]:
    with web.database.reading() as session:
        return list(session.scalars(select(Event.id).order_by(Event.id)))


async def _read(events: AsyncIterator[bytes], count: int) -> list[Any]:
    """The numbers of the next events, and the data of gaps."""
    read: list[Any] = []
    while len(read) < count:
        chunk = (await anext(events)).decode()
        if match := re.match(r"id: (\d+)\n", chunk):
            read.append(int(match[1]))
        elif chunk.startswith("event: gap"):
            read.append(json.loads(chunk.split("data: ")[1]))
    return read


def _follow(
    web: WebGround,
    after: int | None,
    count: int,
    is_permitted: Callable[[], bool] = _permitted,
) -> list[Any]:
    async def read() -> list[Any]:
        events = stream(_context(web), after, is_permitted)
        try:
            return await _read(events, count)
        finally:
            await events.aclose()  # type: ignore[attr-defined]

    return asyncio.run(read())


@pytest.fixture
def filled(web: WebGround) -> WebGround:
    """A request with some events."""
    with web.database.writing() as session:
        add_request(session, volumes=0)
    _note(web, 30)
    return web


def test_a_client_that_connects_again_misses_nothing_and_gets_nothing_twice(
    filled: WebGround,
) -> None:
    received: list[int] = []
    for count in (1, 2, 3, 10):
        received += _follow(filled, received[-1] if received else 0, count)
        _note(filled, 10)
    left = len(_numbers(filled)) - len(received)
    received += _follow(filled, received[-1], left)
    assert received == _numbers(filled)


def test_thousands_of_events_come_in_their_order(filled: WebGround) -> None:
    _note(filled, 3000)
    assert _follow(filled, 0, len(_numbers(filled))) == _numbers(filled)


def test_a_stream_goes_on_over_a_restart_of_the_web_process(filled: WebGround) -> None:
    first = _follow(filled, 0, 12)
    filled.database.close()
    database = Database(filled.settings.database_url, durable=False)
    filled.app = create_app(filled.settings, database, filled.spool)
    _note(filled, 10)
    second = _follow(filled, first[-1], len(_numbers(filled)) - 12)
    assert first + second == _numbers(filled)
    database.close()


def test_a_client_that_lags_holds_no_events_in_memory_and_gets_them_all(
    filled: WebGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.web.api.events._BATCH", 5)

    async def read_slowly() -> list[int]:
        events = stream(_context(filled), 0, _permitted)
        received = await _read(events, 3)
        await asyncio.to_thread(_note, filled, 50)
        received += await _read(events, len(_numbers(filled)) - 3)
        await events.aclose()  # type: ignore[attr-defined]
        return received

    assert asyncio.run(read_slowly()) == _numbers(filled)


def test_a_client_is_told_that_events_were_deleted_which_it_has_not_seen(
    filled: WebGround,
) -> None:
    seen = _follow(filled, 0, 5)
    with filled.database.writing() as session:
        session.execute(
            update(MediaCreationRequest).values(
                execution_status=ExecutionStatus.DONE,
                ended_at=datetime.now(UTC) - timedelta(days=4000),
            )
        )
        newer = add_request(session, volumes=0)
        note(session, newer.id, "CREATED", "1 instance")
    retention.release(filled.database, filled.spool, filled.settings.retention)
    with filled.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(MediaCreationRequest)) == 1
    gap, event = _follow(filled, seen[-1], 2)
    assert gap["after"] == seen[-1]
    assert "deleted" in gap["reason"]
    assert [event] == _numbers(filled)
    assert _follow(filled, event - 1, 1) == [event], "a client that has seen it all is told nothing"


def test_a_client_of_another_database_is_told(filled: WebGround) -> None:
    newest = _numbers(filled)[-1]

    async def read() -> list[Any]:
        events = stream(_context(filled), newest + 1000, _permitted)
        received = await _read(events, 1)
        await asyncio.to_thread(_note, filled, 10)
        received += await _read(events, 10)
        await events.aclose()  # type: ignore[attr-defined]
        return received

    gap, *events = asyncio.run(read())
    assert "another" in gap["reason"]
    assert events == _numbers(filled)[-10:]


def test_the_number_of_a_deleted_event_is_not_given_again(filled: WebGround) -> None:
    before = _numbers(filled)[-1]
    with filled.database.writing() as session:
        add_request(session, volumes=0)
        session.execute(
            update(MediaCreationRequest)
            .where(MediaCreationRequest.id == 1)
            .values(
                execution_status=ExecutionStatus.DONE,
                ended_at=datetime.now(UTC) - timedelta(days=4000),
            )
        )
    retention.release(filled.database, filled.spool, filled.settings.retention)
    with filled.database.writing() as session:
        note(session, 2, "CREATED", "1 instance")
    assert _numbers(filled)[-1] > before


def test_a_stream_ends_when_its_token_does(
    filled: WebGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.web.api.events._CHECK", 0.0)

    async def read() -> list[bytes]:
        events = stream(_context(filled), None, lambda: False)
        return [chunk async for chunk in events]

    assert asyncio.run(read()) == [b"retry: 1000\n\n"]
