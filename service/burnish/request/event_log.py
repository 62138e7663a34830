"""Stage: writes the events of requests, pieces and devices to the log, as they are committed.

Whoever changes a request (a peer, a person, a standing order, a writer) leaves an event in the
database. So one process can log them all, in their order, with the same fields: `request`, `piece`,
`device`, `calling_ae_title`.
"""

import logging

import structlog
from sqlalchemy import func, select

from burnish.db.session import Database
from burnish.db.tables import DeviceState, Event, MediaCreationRequest, Piece, short_id
from burnish.lifecycle import PieceEvent, RequestEvent
from burnish.vocabulary import ExecutionStatusInfo

log = structlog.get_logger(__name__)

#: Events that are logged in one go.
_BATCH = 1000
#: What the events of requests and pieces are called in the log.
_REQUEST_EVENTS = {
    "CREATED": "request created",
    RequestEvent.INITIATED: "request initiated",
    RequestEvent.FAILED: "request failed",
    RequestEvent.CANCELLED: "request cancelled",
    RequestEvent.STARTED: "request started",
    RequestEvent.COMPLETED: "request done",
    RequestEvent.RETRIED: "request retried",
    RequestEvent.REPLANNED: "request planned anew",
    "PLANNED": "request planned",
    "STAND-INS": "values stand in for missing ones",
    "DAMAGED": "damaged instances on media",
    "LEFT OUT": "damaged instances left out",
    "REPLACED": "instances on media replaced",
    "HELD": "request held",
    "RELEASED": "request released",
    "PRIORITY": "request priority changed",
    "DEVICE": "request moved to another device",
    "LABEL CHANGED": "request label changed",
    "COPIES": "request copies added",
    "REPEATS": "request repeats another one",
    "SPLIT": "request split by patient",
    ExecutionStatusInfo.NORMAL: "request resumed",
    ExecutionStatusInfo.QUEUED: "request queued",
}
_PIECE_EVENTS = {
    PieceEvent.CLAIMED: "piece claimed",
    PieceEvent.IMAGED: "piece image built",
    PieceEvent.WRITTEN: "piece written",
    PieceEvent.VERIFIED: "piece created",
    PieceEvent.RETURNED: "piece returned",
    PieceEvent.RUINED: "piece spoiled",
    PieceEvent.CANCELLED: "piece cancelled",
    "RETRY": "piece made again",
    "LABEL": "label incomplete",
}
#: Events after which somebody has to look; all others are for information.
_LEVELS = {
    "request failed": logging.ERROR,
    "piece spoiled": logging.ERROR,
    "request waiting": logging.WARNING,
    "label incomplete": logging.WARNING,
    "damaged instances on media": logging.WARNING,
    "damaged instances left out": logging.WARNING,
    "instances on media replaced": logging.WARNING,
}
#: Execution Status Info of a request that does not wait.
_GOES_ON = (ExecutionStatusInfo.NORMAL, ExecutionStatusInfo.QUEUED)


class EventLog:
    """Logs what is committed after it was made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._devices: dict[str, tuple[object, ...]] = {}
        with database.reading() as session:
            self._last_event = session.scalar(select(func.max(Event.id))) or 0

    def tick(self) -> None:
        """Log the events since the last call."""
        with self._database.reading() as session:
            rows = session.execute(
                select(Event, MediaCreationRequest, Piece.device)
                .join(MediaCreationRequest, Event.request_id == MediaCreationRequest.id)
                .outerjoin(Piece, Event.piece_id == Piece.id)
                .where(Event.id > self._last_event)
                .order_by(Event.id)
                .limit(_BATCH)
            ).all()
            devices = session.scalars(select(DeviceState)).all()
        for event, request, device in rows:
            self._last_event = event.id
            _log_event(event, request, device or "")
        for state in devices:
            self._log_device(state)

    def _log_device(self, state: DeviceState) -> None:
        """Log the state of a device if it is another one than before."""
        present = (state.paused_at is not None, state.execution_status_info, state.detail)
        before = self._devices.get(state.name, (False, ExecutionStatusInfo.NORMAL, ""))
        self._devices[state.name] = present
        if present == before:
            return
        is_paused, info, _ = present
        if is_paused and not before[0]:
            log.warning(
                "device paused",
                device=state.name,
                why=state.paused_because or "by an administrator",
                remedy=f"burnish device resume {state.name}",
            )
            return
        if before[0] and not is_paused:
            log.info("device resumed", device=state.name)
        if info is ExecutionStatusInfo.NORMAL:
            if before[1] is not ExecutionStatusInfo.NORMAL:
                log.info("device ready", device=state.name)
        elif present[1:] != before[1:]:
            log.warning(
                "device not ready",
                device=state.name,
                info=str(info),
                why=state.detail,
                remedy=state.remedy,
            )


def _log_event(event: Event, request: MediaCreationRequest, device: str) -> None:
    name = _name(event)
    level = _LEVELS.get(name, logging.INFO)
    fields: dict[str, object] = {"request": short_id(request.id)}
    if event.piece_id is not None:
        fields["piece"] = event.piece_id
    if device or request.device:
        fields["device"] = device or request.device
    fields["calling_ae_title"] = request.calling_ae_title
    if name == "request created":
        fields["sop_instance_uid"] = request.sop_instance_uid
    if name in ("request failed", "request waiting"):
        fields["info"] = str(request.execution_status_info)
    if event.actor:
        fields["by"] = event.actor
    if event.why:
        fields["why"] = event.why
    if level > logging.INFO and request.remedy:
        fields["remedy"] = request.remedy
    log.log(level, name, **fields)


def _name(event: Event) -> str:
    """The name of an event in the log."""
    names = _REQUEST_EVENTS if event.piece_id is None else _PIECE_EVENTS
    if event.event in names:
        return names[event.event]
    is_wait = event.event in ExecutionStatusInfo.__members__.values()
    if is_wait and event.event not in _GOES_ON:
        return "request waiting"
    subject = "request" if event.piece_id is None else "piece"
    return f"{subject} {event.event.lower().replace('_', ' ')}"
