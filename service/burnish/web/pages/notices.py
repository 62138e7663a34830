"""Surface: notices and their receivers on the page System, and the test of a receiver."""

from collections.abc import Hashable
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish import notify
from burnish.db.session import Database
from burnish.errors import OperatorError
from burnish.notices import listing, outbox
from burnish.settings import Settings
from burnish.web.access import Permission, needs
from burnish.web.context import WebContext, context_of
from burnish.web.live import Topic

router = APIRouter(dependencies=[needs(Permission.ADMINISTER)])

#: How many notices the page shows.
_SHOWN = 20


def values(context: WebContext) -> dict[str, Any]:
    """The content of the part of the page."""
    return _values(context.settings, context.database)


@router.get("/live/system/notices")
async def live_notices(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """Notices and receivers, again after each change."""
    context = context_of(request)

    def fingerprint(database: Database) -> Hashable:
        return tuple(map(tuple, _values(context.settings, database).values()))

    topic = Topic(
        "notices_content.html",
        fingerprint,
        lambda database, _sees_patients: _values(context.settings, database),
    )
    return context.live.response(request, "notices", topic, last_event_id)


def _values(settings: Settings, database: Database) -> dict[str, Any]:
    with database.reading() as session:
        return {
            "notices": listing.notices(session, limit=_SHOWN),
            "receivers": listing.receivers(session, settings),
        }


@router.post("/system/notices/{name}/test")
def test_receiver(request: Request, name: str) -> Response:
    """Send a test message to a receiver."""
    context = context_of(request)
    receiver = listing.receiver_named(context.settings, name)
    problem, remedy = "", ""
    try:
        notify.send(receiver, outbox.trial_message(context.settings))
    except OperatorError as error:
        problem, remedy = str(error), error.hint
    return context.rendering.page(
        request, "notice_test.html", name=name, problem=problem, remedy=remedy
    )
