"""Stage: what people ask to see of requests and instances, as frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, String, func, select, type_coerce
from sqlalchemy.orm import Session

from burnish.db.tables import (
    Event,
    FileSet,
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    UTCDateTime,
    short_id,
)
from burnish.errors import Conflict, Unknown
from burnish.vocabulary import ExecutionStatus, PieceState

#: How many names go into one question to the database.
_BATCH = 500
#: The references of a request; looked up for each, they need no row each.
_REFERENCES = (
    select(func.count())
    .where(ReferencedInstance.request_id == MediaCreationRequest.id)
    .correlate(MediaCreationRequest)
    .scalar_subquery()
)
#: What a line is made of, in the order that `_lines` takes it.
_LINE = select(
    MediaCreationRequest.id,
    MediaCreationRequest.sop_instance_uid,
    type_coerce(MediaCreationRequest.execution_status, String),
    type_coerce(MediaCreationRequest.execution_status_info, String),
    MediaCreationRequest.origin,
    _REFERENCES,
    MediaCreationRequest.number_of_copies,
    type_coerce(MediaCreationRequest.request_priority, String),
    MediaCreationRequest.created_at,
    MediaCreationRequest.initiated_at,
    MediaCreationRequest.ended_at,
    MediaCreationRequest.remedy,
    MediaCreationRequest.device,
    MediaCreationRequest.held_at,
    MediaCreationRequest.supplements_id,
)


class RequestLine(NamedTuple):
    """One request in a list. `short_id` names it to people and on the outbox."""

    short_id: str
    sop_instance_uid: str
    execution_status: str
    execution_status_info: str
    origin: str
    instances: int
    number_of_copies: int
    request_priority: str
    pieces: int
    pieces_created: int
    pieces_ruined: int
    created_at: datetime
    initiated_at: datetime | None
    ended_at: datetime | None
    remedy: str
    device: str
    held_at: datetime | None
    supplements: str
    supplemented_by: tuple[str, ...]

    @property
    def remarks(self) -> str:
        """What sets it apart, in words."""
        said = ["held"] if self.held_at else []
        said += [f"supplements {self.supplements}"] if self.supplements else []
        said += [f"supplemented by {name}" for name in self.supplemented_by]
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class PieceLine:
    """One piece of media of a request; its events name it by `id`."""

    id: int
    volume_number: int
    volume_count: int
    copy_number: int
    state: str
    device: str
    attempts: int
    file_set_id: str
    file_set_uid: str
    media_application_profile: str
    medium: str
    size: int
    instances: int
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class FailureLine:
    """One item of a Failed SOP Sequence."""

    referenced_sop_class_uid: str
    referenced_sop_instance_uid: str
    failure_reason: str


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event of a request."""

    id: int
    at: datetime
    event: str
    before: str
    after: str
    why: str
    piece_id: int | None


@dataclass(frozen=True, slots=True)
class InstanceLine:
    """One instance in a list; no patient data."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    modality: str
    size: int
    calling_ae_title: str
    called_ae_title: str
    received_at: datetime


def requests(
    session: Session, *, status: ExecutionStatus | None = None, limit: int = 100
) -> list[RequestLine]:
    """The newest requests, newest first; cancelled ones only where asked for."""
    query = _LINE.order_by(MediaCreationRequest.id.desc()).limit(limit)
    if status is not None:
        query = query.where(MediaCreationRequest.execution_status == status)
    else:
        query = query.where(MediaCreationRequest.execution_status != ExecutionStatus.DELETED)
    return _lines(session, query)


def find_request(session: Session, name: str) -> RequestLine:
    """The request that `name` means: its short id, number, or SOP Instance UID; raises Unknown."""
    digits = name.upper().removeprefix("R")
    if digits.isascii() and digits.isdigit() and len(digits) < 19:
        query = _LINE.where(MediaCreationRequest.id == int(digits))
    else:
        query = _LINE.where(MediaCreationRequest.sop_instance_uid == name)
    lines = _lines(session, query)
    if not lines:
        raise Unknown(f"no request {name}", hint="`burnish request list` shows them")
    return lines[0]


def pieces(session: Session, line: RequestLine) -> list[PieceLine]:
    """Every piece of a request, spoiled ones too, by copy and volume."""
    rows = session.execute(
        select(Piece, FileSet)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .join(MediaCreationRequest)
        .where(MediaCreationRequest.sop_instance_uid == line.sop_instance_uid)
        .order_by(Piece.copy_number, FileSet.volume_number, Piece.id)
    )
    return [
        PieceLine(
            id=piece.id,
            volume_number=file_set.volume_number,
            volume_count=file_set.volume_count,
            copy_number=piece.copy_number,
            state=piece.state,
            device=piece.device,
            attempts=piece.attempts,
            file_set_id=file_set.file_set_id,
            file_set_uid=file_set.file_set_uid,
            media_application_profile=file_set.media_application_profile,
            medium=file_set.medium,
            size=file_set.predicted_size,
            instances=file_set.instances,
            created_at=piece.created_at,
        )
        for piece, file_set in rows
    ]


def failures(session: Session, line: RequestLine) -> list[FailureLine]:
    """The Failed SOP Sequence of a request."""
    request = session.scalars(
        select(MediaCreationRequest).where(
            MediaCreationRequest.sop_instance_uid == line.sop_instance_uid
        )
    ).one()
    return [
        FailureLine(
            item.referenced_sop_class_uid,
            item.referenced_sop_instance_uid,
            f"{item.failure_reason:04X}",
        )
        for item in request.failures
    ]


def events(session: Session, line: RequestLine, *, after: int = 0) -> list[EventLine]:
    """What happened to a request, oldest first, from event id `after` on."""
    rows = session.scalars(
        select(Event)
        .join(MediaCreationRequest)
        .where(MediaCreationRequest.sop_instance_uid == line.sop_instance_uid, Event.id > after)
        .order_by(Event.id)
    )
    return [
        EventLine(row.id, row.at, row.event, row.before, row.after, row.why, row.piece_id)
        for row in rows
    ]


def instances(
    session: Session, *, study_instance_uid: str = "", limit: int = 100
) -> list[InstanceLine]:
    """The newest instances in the spool, newest first."""
    query = select(Instance).where(Instance.released_at.is_(None))
    if study_instance_uid:
        query = query.where(Instance.study_instance_uid == study_instance_uid)
    names = InstanceLine.__slots__
    return [
        InstanceLine(**{name: getattr(row, name) for name in names})
        for row in session.scalars(query.order_by(Instance.id.desc()).limit(limit))
    ]


def references_of_study(session: Session, study_instance_uid: str) -> list[tuple[str, str]]:
    """SOP Class and Instance UIDs of a study; raises Unknown where there are none."""
    rows = session.execute(
        select(Instance.sop_class_uid, Instance.sop_instance_uid)
        .where(Instance.study_instance_uid == study_instance_uid, Instance.released_at.is_(None))
        .order_by(Instance.id)
    ).all()
    if not rows:
        raise Unknown("no instances of that study", hint="`burnish instance list` shows them")
    return [(row.sop_class_uid, row.sop_instance_uid) for row in rows]


def references_of_instances(
    session: Session, sop_instance_uids: Sequence[str]
) -> list[tuple[str, str]]:
    """SOP Class and Instance UID of the instances named; raises Unknown where one is not here."""
    classes: dict[str, str] = {}
    for start in range(0, len(sop_instance_uids), _BATCH):
        rows = session.execute(
            select(Instance.sop_instance_uid, Instance.sop_class_uid).where(
                Instance.sop_instance_uid.in_(sop_instance_uids[start : start + _BATCH]),
                Instance.released_at.is_(None),
            )
        )
        classes.update({row.sop_instance_uid: row.sop_class_uid for row in rows})
    missing = [uid for uid in sop_instance_uids if uid not in classes]
    if missing:
        raise Unknown(f"{len(missing)} instances are not here, the first is {missing[0]}")
    if len(set(sop_instance_uids)) < len(sop_instance_uids):
        raise Conflict("an instance is named twice")
    return [(classes[uid], uid) for uid in sop_instance_uids]


def _lines(session: Session, query: Select[Any]) -> list[RequestLine]:
    session.flush()  # what was asked of a request is seen by who looks at it next
    connection = session.connection()
    # rows as the driver has them: an object for each, and a look at each of its values, would
    # take as long as all the rest
    result: Any = connection.execute(query)
    rows = result.cursor.fetchall()
    in_utc: Any = (
        UTCDateTime().dialect_impl(connection.dialect).result_processor(connection.dialect, None)
    )
    ids = [row[0] for row in rows]
    pieces, later, none = _pieces(session, ids), _supplements(session, ids), (0, 0, 0)
    return [
        RequestLine(
            *(short_id(number), uid, status, info, origin, references, copies, priority),
            *pieces.get(number, none),
            *(in_utc(created), initiated and in_utc(initiated), ended and in_utc(ended)),
            *(remedy, device, held and in_utc(held)),
            "" if first is None else short_id(first),
            tuple(later.get(number, ())),
        )
        for (
            number,
            uid,
            status,
            info,
            origin,
            references,
            copies,
            priority,
            created,
            initiated,
            ended,
            remedy,
            device,
            held,
            first,
        ) in rows
    ]


def _supplements(session: Session, ids: Sequence[int]) -> dict[int, list[str]]:
    """Request → the requests that supplement it."""
    rows = session.execute(
        select(MediaCreationRequest.supplements_id, MediaCreationRequest.id)
        .where(_among(MediaCreationRequest.supplements_id, ids))
        .order_by(MediaCreationRequest.id)
    )
    found: dict[int, list[str]] = {}
    for first, later in rows:
        found.setdefault(first or 0, []).append(short_id(later))
    return found


def _among(column: Any, ids: Sequence[int]) -> Any:
    """Rows of these requests and, where they are many, of others between them."""
    if len(ids) <= _BATCH:
        return column.in_(ids)
    return column.between(min(ids), max(ids))


def _pieces(session: Session, ids: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """Request → pieces wanted, pieces created, pieces ruined."""
    given_up = (PieceState.SPOILED, PieceState.DROPPED)
    rows = session.execute(
        select(
            FileSet.request_id,
            func.count().filter(Piece.state.not_in(given_up)),
            func.count().filter(Piece.state == PieceState.CREATED),
            func.count().filter(Piece.state == PieceState.SPOILED),
        )
        .join(Piece, Piece.file_set_id == FileSet.id)
        .where(_among(FileSet.request_id, ids))
        .group_by(FileSet.request_id)
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
