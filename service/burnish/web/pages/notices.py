"""Surface: notices and their receivers on the page System, and the test of a receiver."""

from typing import Any

from fastapi import APIRouter, Request, Response

from burnish import notify
from burnish.errors import OperatorError
from burnish.notices import listing, outbox
from burnish.web.access import Permission, needs
from burnish.web.context import WebContext, context_of

router = APIRouter(dependencies=[needs(Permission.ADMINISTER)])

#: How many notices the page shows.
_SHOWN = 20


def values(context: WebContext) -> dict[str, Any]:
    """What the part of the page shows."""
    with context.database.reading() as session:
        return {
            "notices": listing.notices(session, limit=_SHOWN),
            "receivers": listing.receivers(session, context.settings),
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
