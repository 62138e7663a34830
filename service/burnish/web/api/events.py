"""Surface: `/api/v1/events`: all events of requests as a stream that can be resumed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from burnish.request import event_feed
from burnish.request.event_feed import EventFeed, FeedEvent, FeedGap
from burnish.request.views import to_json
from burnish.web.access import Permission, needs
from burnish.web.api.answers import documented
from burnish.web.api.shapes import schema_of
from burnish.web.context import WebContext, context_of
from burnish.web.sessions import is_still_permitted

router = APIRouter(prefix="/api/v1", tags=["events"])

#: The most events that are read at once: a client that is slow holds no more in memory.
_BATCH = 200
#: Seconds between two looks for events; each asks for the newest row of an index.
_LOOK = 0.25
#: Looks without an event after which a comment shows that both ends still live.
_HEARTBEAT = 60
#: Seconds after which the session or token of a stream is looked at again.
_CHECK = 15.0
_STREAM = {
    "type": "string",
    "description": "The data of each event is JSON: a FeedEvent in an event `request`, a FeedGap in"
    " an event `gap`, which is the first of a stream that cannot be resumed without a gap.",
    "x-events": {"request": schema_of(FeedEvent), "gap": schema_of(FeedGap)},
}


@router.get(
    "/events",
    dependencies=[needs(Permission.SEE)],
    summary="Follow the events of all requests",
    response_class=StreamingResponse,
    responses=documented(_STREAM, text="Server-sent events.", media_types=("text/event-stream",)),
)
async def follow_events(
    request: Request,
    after: Annotated[
        int | None,
        Query(ge=0, lt=1 << 62, description="Begin after this event; 0: with the first."),
    ] = None,
    last_event_id: Annotated[str, Header(max_length=19)] = "",
) -> StreamingResponse:
    """Each event once and in order, from now on; after the event that Last-Event-ID names if a
    stream is resumed."""
    context = context_of(request)
    if last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19:
        after = int(last_event_id)
    return StreamingResponse(
        stream(context, after, lambda: is_still_permitted(context, request)),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def stream(
    context: WebContext, after: int | None, is_permitted: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The events after one of them, as they come; from now on if it is None.

    The next ones are read only once the client has taken those before. The stream ends when its
    session or token does.
    """
    yield b"retry: 1000\n\n"
    begin = after if after is not None else await asyncio.to_thread(_newest, context)
    feed = EventFeed(context.database, begin)
    gap = await asyncio.to_thread(feed.gap) if after else None
    if gap is not None:
        # without an id, so that a client which is cut off here is told again
        yield f"event: gap\ndata: {json.dumps(to_json(gap))}\n\n".encode()
    quiet = 0
    checked_at = monotonic()
    while not context.live.is_stopping:
        events = await asyncio.to_thread(feed.read, limit=_BATCH)
        for event in events:
            data = json.dumps(to_json(event), ensure_ascii=False)
            yield f"id: {event.id}\nevent: request\ndata: {data}\n\n".encode()
        if monotonic() >= checked_at + _CHECK:
            checked_at = monotonic()
            if not await asyncio.to_thread(is_permitted):
                return
        if events:
            quiet = 0
            continue
        quiet += 1
        if quiet % _HEARTBEAT == 0:
            yield b": still here\n\n"
        await asyncio.sleep(_LOOK)


def _newest(context: WebContext) -> int:
    with context.database.reading() as session:
        return event_feed.newest_event(session)
