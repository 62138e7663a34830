"""Live updates: what is sent to an open page, and what not."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from burnish.db.session import Database
from burnish.errors import Unknown
from burnish.request import event_feed
from burnish.values import AccountRole
from burnish.web import live
from burnish.web.context import WebContext
from burnish.web.live import Topic
from burnish.web.rendering import Audience
from factories import instance
from web_client import WebGround

DESK = Audience(AccountRole.DESK, "en")


def _fingerprint(database: object) -> int:
    with database.reading() as session:  # type: ignore[attr-defined]
        return event_feed.newest_event(session)


TOPIC = Topic(
    "problem_message.html",
    _fingerprint,
    lambda database, _sees_patients: {
        "problem": {"kind": {"title": ""}, "detail": f"{_fingerprint(database)}", "remedy": ""}
    },
)


async def _next(stream: AsyncIterator[bytes]) -> str:
    """The next event, without the comments that show that the stream lives."""
    while True:
        chunk = (await anext(stream)).decode()
        if chunk.startswith("id: "):
            return chunk


def test_a_page_gets_the_present_state_and_then_each_change(web: WebGround) -> None:
    context: WebContext = web.app.state.context

    async def look() -> None:
        context.live.start()
        stream = context.live.stream("test", TOPIC, DESK, "")
        first = await _next(stream)
        assert "problem" in first
        await asyncio.to_thread(web.create, [instance()])
        second = await _next(stream)
        assert second != first
        assert context.live.open_pages == 1
        context.live.stop()
        assert [chunk async for chunk in stream] == []

    asyncio.run(look())
    assert context.live.open_pages == 0


def test_a_page_that_has_the_present_state_gets_only_what_changes(web: WebGround) -> None:
    context: WebContext = web.app.state.context
    _, present = context.live.render(TOPIC, DESK)

    async def look() -> None:
        context.live.start()
        stream = context.live.stream("test", TOPIC, DESK, present)
        await anext(stream)
        await asyncio.to_thread(web.create, [instance()])
        assert present not in await _next(stream)
        context.live.stop()
        async for _ in stream:
            pass

    asyncio.run(look())


def test_a_part_that_changes_with_each_instance_rests_while_others_go_on(
    web: WebGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    context: WebContext = web.app.state.context
    drawn: list[int] = []

    def values(database: object, sees_patients: bool) -> Mapping[str, Any]:
        drawn.append(_fingerprint(database))
        return TOPIC.values(cast(Database, database), sees_patients)

    resting = replace(TOPIC, values=values, longest_rest=3600.0)

    async def look() -> None:
        context.live.start()
        quiet = context.live.stream("resting", resting, DESK, "")
        stream = context.live.stream("test", TOPIC, DESK, "")
        await _next(quiet)
        await _next(stream)
        while True:  # until the watcher has drawn it once, and rests
            await asyncio.to_thread(web.create, [instance()])
            await _next(stream)
            if len(drawn) > 1:
                break
        count = len(drawn)
        for _ in range(3):
            await asyncio.to_thread(web.create, [instance()])
            await _next(stream)
        assert len(drawn) == count
        context.live.stop()
        for ended in (quiet, stream):
            async for _ in ended:
                pass

    monkeypatch.setattr(live, "_REST", 1e9)
    asyncio.run(look())


def test_a_part_that_cannot_be_drawn_any_more_stops_no_other(web: WebGround) -> None:
    context: WebContext = web.app.state.context
    is_gone: list[bool] = []

    def values(database: object, sees_patients: bool) -> Mapping[str, Any]:
        if is_gone:
            raise Unknown("no such Media Creation Request")
        return TOPIC.values(cast(Database, database), sees_patients)

    going = replace(TOPIC, values=values)

    async def look() -> None:
        context.live.start()
        gone = context.live.stream("gone", going, DESK, "")
        stream = context.live.stream("test", TOPIC, DESK, "")
        await _next(gone)
        await _next(stream)
        is_gone.append(True)
        await asyncio.to_thread(web.create, [instance()])
        await _next(stream)
        # a page that is opened now is told to come back much later
        late = context.live.stream("gone", going, DESK, "")
        assert [chunk async for chunk in late][1:] == [b"retry: 60000\n\n"]
        context.live.stop()
        for ended in (gone, stream):
            async for _ in ended:
                pass

    asyncio.run(look())
