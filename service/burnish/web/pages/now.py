"""Surface: the page Now: what is being made, what waits, what needs a person, what failed."""

from collections.abc import Hashable, Mapping
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish.db.session import Database
from burnish.request import listing
from burnish.vocabulary import ExecutionStatus
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.live import Topic

router = APIRouter()

_SHOWN = (
    ExecutionStatus.IDLE,
    ExecutionStatus.PENDING,
    ExecutionStatus.CREATING,
    ExecutionStatus.FAILURE,
    ExecutionStatus.DONE,
)


def _fingerprint(database: Database) -> Hashable:
    with database.reading() as session:
        return listing.newest_event(session)


def _values(database: Database, sees_patients: bool) -> Mapping[str, Any]:  # noqa: ARG001
    with database.reading() as session:
        return {
            status.name.lower(): listing.requests(session, status=status, limit=50)
            for status in _SHOWN
        }


NOW = Topic("now_content.html", _fingerprint, _values)


@router.get("/", dependencies=[needs(Permission.SEE)])
def now(request: Request) -> Response:
    """The page."""
    context = context_of(request)
    audience = context.rendering.audience(request)
    values = NOW.values(context.database, audience.sees_patients)
    return context.rendering.page(request, "now.html", **values)


@router.get("/live/now", dependencies=[needs(Permission.SEE)])
async def live_now(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """The content of the page, again after each change."""
    context = context_of(request)
    audience = context.rendering.audience(request)
    stream = context.live.stream("now", NOW, audience, last_event_id)
    return StreamingResponse(stream, media_type="text/event-stream")
