"""Stage: the events of all requests, in their order, for programs that follow them.

Transactions that write follow each other on every database, so that the numbers of events are in
the order in which they are committed, and none appears behind one that was read.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.db import tallies
from burnish.db.session import Database
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


@dataclass(frozen=True, slots=True)
class FeedGap:
    """Events are missing between `after` and the next one: whoever follows has to look again.

    They were deleted with their requests, or the database is another one, such as a backup.
    """

    after: int
    reason: str


class EventFeed:
    """Reads the events after one of them, each once and in order."""

    def __init__(self, database: Database, after: int) -> None:
        self._database = database
        self._last = after

    def gap(self) -> FeedGap | None:
        """Whether events that follow the first one are missing; they are then passed over."""
        after = self._last
        with self._database.reading() as session:
            newest = newest_event(session)
            deleted = tallies.value(session, tallies.LAST_DELETED_EVENT)
        if newest < after:
            self._last = newest
            return FeedGap(after, "no event has this number: the database is another one")
        if deleted > after:
            return FeedGap(after, "events that followed were deleted with their requests")
        return None

    def read(self, *, limit: int) -> list[FeedEvent]:
        """The next events, oldest first; none if nothing has happened."""
        with self._database.reading() as session:
            if newest_event(session) <= self._last:
                return []
            events = events_after(session, self._last, limit=limit)
        if events:
            self._last = events[-1].id
        return events


def newest_event(session: Session) -> int:
    """The number of the newest event: it changes whenever a request or a piece does."""
    return session.scalar(select(func.max(Event.id))) or 0


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
