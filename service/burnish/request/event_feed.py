"""Stage: the events of all requests, in their order, for programs that follow them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.db.tables import Event, MediaCreationRequest, short_id


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event, and the request with the state that it has now."""

    id: int
    at: datetime
    request: str
    event: str
    before: str
    after: str
    why: str
    piece_id: int | None
    actor: str
    execution_status: str
    execution_status_info: str


def events_after(session: Session, after: int, *, limit: int) -> list[FeedEvent]:
    """The events with a higher number than `after`, oldest first."""
    request = MediaCreationRequest
    rows = session.execute(
        select(Event, request.execution_status, request.execution_status_info)
        .join(request, Event.request_id == request.id)
        .where(Event.id > after)
        .order_by(Event.id)
        .limit(limit)
    )
    return [
        FeedEvent(
            id=event.id,
            at=event.at,
            request=short_id(event.request_id),
            event=event.event,
            before=event.before,
            after=event.after,
            why=event.why,
            piece_id=event.piece_id,
            actor=event.actor,
            execution_status=status,
            execution_status_info=info,
        )
        for event, status, info in rows
    ]
