"""Surface: `/api/v1/events`: all events of requests as a stream that can be resumed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from burnish.request import event_feed, listing
from burnish.request.event_feed import FeedEvent
from burnish.request.views import to_json
from burnish.web.access import Permission, needs
from burnish.web.api.answers import documented
from burnish.web.api.shapes import schema_of
from burnish.web.context import WebContext, context_of

router = APIRouter(prefix="/api/v1", tags=["events"])

_BATCH = 200
#: Seconds between two looks for events; each asks for the newest row of an index.
_LOOK = 0.25
#: Looks without an event after which a comment shows that both ends still live.
_HEARTBEAT = 60
_STREAM = {
    "type": "string",
    "description": "The data of each event is JSON: see FeedEvent.",
    "x-event": schema_of(FeedEvent),
}


@router.get(
    "/events",
    dependencies=[needs(Permission.SEE)],
    summary="Follow the events of all requests",
    response_class=StreamingResponse,
    responses=documented(_STREAM, text="Server-sent events.", media_type="text/event-stream"),
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
        _events(context, after), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(context: WebContext, after: int | None) -> AsyncIterator[bytes]:
    last = after if after is not None else await asyncio.to_thread(_newest, context)
    yield b"retry: 1000\n\n"
    quiet = 0
    while not context.live.is_stopping:
        events = await asyncio.to_thread(_read, context, last)
        for event in events:
            last = event.id
            data = json.dumps(to_json(event), ensure_ascii=False)
            yield f"id: {event.id}\nevent: request\ndata: {data}\n\n".encode()
        if events:
            quiet = 0
            continue
        quiet += 1
        if quiet % _HEARTBEAT == 0:
            yield b": still here\n\n"
        await asyncio.sleep(_LOOK)


def _newest(context: WebContext) -> int:
    with context.database.reading() as session:
        return listing.newest_event(session)


def _read(context: WebContext, after: int) -> list[FeedEvent]:
    with context.database.reading() as session:
        if listing.newest_event(session) <= after:
            return []
        return event_feed.events_after(session, after, limit=_BATCH)
