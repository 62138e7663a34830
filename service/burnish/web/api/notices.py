"""Surface: `/api/v1/notices`: what people were told of, and who is told."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from burnish import notify
from burnish.notices import listing, outbox
from burnish.notices.listing import NoticeLine, ReceiverLine
from burnish.request.views import ListPage
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Limit, answer, documented, page
from burnish.web.api.shapes import page_of
from burnish.web.context import context_of

router = APIRouter(prefix="/api/v1/notices", tags=["notices"])

_TAKEN: dict[str, Any] = {
    "type": "object",
    "properties": {"message": {"type": "string", "format": "uuid"}},
    "required": ["message"],
}


@router.get(
    "",
    dependencies=[needs(Permission.SEE)],
    summary="List the notices",
    responses=documented(page_of(NoticeLine), text="One page of notices, newest first."),
)
def list_notices(
    request: Request,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=1, le=(1 << 63) - 1)] = None,
    is_open: Annotated[bool | None, Query(alias="open", description="Only open ones.")] = None,
) -> Response:
    """The notices to people, with beginning and end, and how each receiver took them."""
    with context_of(request).database.reading() as session:
        notices = listing.notices(session, limit=limit + 1, before=before, is_open=is_open)
    return page(request, notices, limit, lambda line: line.id)


@router.get(
    "/receivers",
    dependencies=[needs(Permission.ADMINISTER)],
    summary="List the receivers",
    responses=documented(page_of(ReceiverLine), text="All receivers."),
)
def list_receivers(request: Request) -> Response:
    """Who is told, what waits for each, and why one takes no messages."""
    context = context_of(request)
    with context.database.reading() as session:
        receivers = listing.receivers(session, context.settings)
    return answer(request, ListPage(tuple(receivers)))


@router.post(
    "/receivers/{name}/test",
    dependencies=[needs(Permission.ADMINISTER)],
    summary="Send a test message",
    responses=documented(_TAKEN, 404, 500, text="The receiver has taken the message."),
)
def send_test_message(request: Request, name: str) -> Response:
    """Send a message to one receiver, and wait until it has taken it."""
    settings = context_of(request).settings
    receiver = listing.receiver_named(settings, name)
    message = outbox.trial_message(settings)
    notify.send(receiver, message)
    return answer(request, {"message": message.id})
