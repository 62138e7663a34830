"""Surface: the page Now: what is being made, what waits, what needs a person, what failed."""

from collections.abc import Hashable, Mapping
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish import devices
from burnish.db import signs_of_life
from burnish.db.session import Database
from burnish.request import event_feed, listing
from burnish.request.listing import RequestFilter
from burnish.request.views import RequestGroup
from burnish.settings import Settings
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.live import Topic

router = APIRouter()

#: How many requests of each group the page shows; the list of all is one click away.
_SHOWN = {
    RequestGroup.NEEDS_PERSON: 25,
    RequestGroup.FAILED: 10,
    RequestGroup.MAKING: 25,
    RequestGroup.WAITING: 25,
    RequestGroup.NOT_STARTED: 10,
    RequestGroup.DONE: 10,
}


def fingerprint(database: Database) -> Hashable:
    """A value that changes whenever a request, a piece or a device does."""
    with database.reading() as session:
        return (event_feed.newest_event(session), *devices.fingerprint(session))


def _values(settings: Settings, database: Database) -> Mapping[str, Any]:
    with database.reading() as session:
        return {
            "counts": listing.counts(session),
            "groups": {
                group: listing.requests(session, RequestFilter(group=group), limit=limit)
                for group, limit in _SHOWN.items()
            },
            "devices": devices.views(session, settings),
            "silence": signs_of_life.scheduler_silence(session, settings.notify.silent_after),
            "ae_title": settings.dicom.ae_title,
            "dicom_port": settings.dicom.port,
        }


def _topic(settings: Settings) -> Topic:
    def of_page(database: Database) -> Hashable:
        with database.reading() as session:
            silence = signs_of_life.scheduler_silence(session, settings.notify.silent_after)
        return fingerprint(database), silence

    return Topic(
        "now_content.html",
        of_page,
        lambda database, _sees_patients: _values(settings, database),
    )


@router.get("/", dependencies=[needs(Permission.SEE)])
def now(request: Request) -> Response:
    """The page."""
    context = context_of(request)
    values = _values(context.settings, context.database)
    return context.rendering.page(request, "now.html", **values)


@router.get("/live/now", dependencies=[needs(Permission.SEE)])
async def live_now(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """The content of the page, again after each change."""
    context = context_of(request)
    return context.live.response(request, "now", _topic(context.settings), last_event_id)
