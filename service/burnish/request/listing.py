"""Stage: requests, pieces, events and instances as people see them, in frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select, union_all
from sqlalchemy.orm import Session

from burnish.db import instance_rows
from burnish.db.tables import (
    Event,
    FileSet,
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    short_id,
)
from burnish.errors import Conflict, Unknown
from burnish.values import OWN_FIELDS, InstanceHeader
from burnish.vocabulary import ExecutionStatus, PieceState
from burnish.wording import quantity

#: The most values in one IN condition.
_BATCH = 500
_INSTANCES = (
    select(func.count())
    .where(ReferencedInstance.request_id == MediaCreationRequest.id)
    .correlate(MediaCreationRequest)
    .scalar_subquery()
)
#: The columns of a RequestLine that one row has.
_LINE = select(
    MediaCreationRequest.id,
    MediaCreationRequest.sop_instance_uid,
    MediaCreationRequest.execution_status,
    MediaCreationRequest.execution_status_info,
    MediaCreationRequest.origin,
    _INSTANCES.label("instances"),
    MediaCreationRequest.number_of_copies,
    MediaCreationRequest.request_priority,
    MediaCreationRequest.created_at,
    MediaCreationRequest.initiated_at,
    MediaCreationRequest.ended_at,
    MediaCreationRequest.remedy,
    MediaCreationRequest.device,
    MediaCreationRequest.held_at,
    MediaCreationRequest.supplements_id,
)


#: Events that a list of requests tells, in words.
_TOLD = {
    "CONTRADICTION": "contradictions",
    "DAMAGED": "damaged images",
    "LEFT OUT": "damaged images left out",
    "MADE AGAIN": "made again",
    "REPLACED": "has newer content",
}


class RequestLine(NamedTuple):
    """One request in a list; people and folder devices name it by its `short_id`."""

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
    told: tuple[str, ...] = ()

    @property
    def remarks(self) -> str:
        """Whether it is held, what it supplements, and what people should know, in words."""
        remarks = []
        if self.held_at:
            remarks.append("held")
        if self.supplements:
            remarks.append(f"supplements {self.supplements}")
        remarks += [f"supplemented by {request}" for request in self.supplemented_by]
        return ", ".join([*remarks, *self.told])


@dataclass(frozen=True, slots=True)
class PieceLine:
    """One piece of media of a request; events refer to it by its `id`."""

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
    actor: str = ""


@dataclass(frozen=True, slots=True)
class OlderContent:
    """An older content of an instance: what was received, and when and by what it was replaced.

    `changed` names the attributes in which the next content differs, without values. `is_kept`:
    whether the file is still in the spool.
    """

    received_at: datetime
    calling_ae_title: str
    transfer_syntax_uid: str
    size: int
    replaced_at: datetime
    replaced_by: str
    changed: str
    is_kept: bool


@dataclass(frozen=True, slots=True)
class MediumLine:
    """A volume that one content of an instance is planned for, or was written to."""

    request: str
    file_set_id: str
    file_set_uid: str
    medium: str
    pieces_created: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class InstanceLine:
    """One instance in a list; no patient data. `replaces` are its older contents, latest first."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    modality: str
    size: int
    calling_ae_title: str
    called_ae_title: str
    received_at: datetime
    fault: str
    replaces: tuple[OlderContent, ...] = ()

    @property
    def replaced(self) -> str:
        """When it replaced the content before, where that came from, and what differs; in words."""
        if not self.replaces:
            return ""
        latest = self.replaces[0]
        return f"{latest.replaced_at:%Y-%m-%d %H:%M}Z {latest.calling_ae_title}: {latest.changed}"


def requests(
    session: Session, *, status: ExecutionStatus | None = None, limit: int = 100
) -> list[RequestLine]:
    """The newest requests, newest first; cancelled requests only if `status` is DELETED."""
    query = _LINE.order_by(MediaCreationRequest.id.desc()).limit(limit)
    if status is not None:
        query = query.where(MediaCreationRequest.execution_status == status)
    else:
        query = query.where(MediaCreationRequest.execution_status != ExecutionStatus.DELETED)
    return _lines(session, query)


def find_request(session: Session, name: str) -> RequestLine:
    """The request with a short id, a number or a SOP Instance UID; raises Unknown."""
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
    """Every piece of a request, by copy and volume; spoiled and dropped pieces too."""
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
    """The events of a request after the event with the id `after`, oldest first."""
    rows = session.scalars(
        select(Event)
        .join(MediaCreationRequest)
        .where(MediaCreationRequest.sop_instance_uid == line.sop_instance_uid, Event.id > after)
        .order_by(Event.id)
    )
    return [
        EventLine(
            row.id, row.at, row.event, row.before, row.after, row.why, row.piece_id, row.actor
        )
        for row in rows
    ]


def newest_event(session: Session) -> int:
    """The number of the newest event: it changes whenever a request or a piece does."""
    return session.scalar(select(func.max(Event.id))) or 0


def instances(
    session: Session, *, study_instance_uid: str = "", limit: int = 100
) -> list[InstanceLine]:
    """The newest instances in the spool, newest first."""
    query = select(Instance).where(Instance.is_newest())
    if study_instance_uid:
        query = query.where(Instance.study_instance_uid == study_instance_uid)
    rows = session.scalars(query.order_by(Instance.id.desc()).limit(limit)).all()
    older = instance_rows.older_contents(session, [row.sop_instance_uid for row in rows])
    return [_instance_line(row, older.get(row.sop_instance_uid, ())) for row in rows]


def find_instance(session: Session, sop_instance_uid: str) -> InstanceLine:
    """The newest content of an instance; raises Unknown if the instance is not in the spool."""
    row = instance_rows.newest_contents(session, [sop_instance_uid]).get(sop_instance_uid)
    if row is None:
        raise Unknown(
            f"no instance {sop_instance_uid}", hint="`burnish instance list` shows instances"
        )
    return _instance_line(
        row, instance_rows.older_contents(session, [sop_instance_uid]).get(sop_instance_uid, ())
    )


def media_of_instance(session: Session, sop_instance_uid: str) -> list[MediumLine]:
    """The volumes that an instance is planned for or is on, with the content each has."""
    is_created = Piece.state == PieceState.CREATED
    of_instance = Instance.sop_instance_uid == sop_instance_uid
    # two queries, since each has an index of its own
    contents = union_all(
        select(Instance.id).where(of_instance, Instance.is_newest()),
        select(Instance.id).where(of_instance, Instance.replaced_at.is_not(None)),
    )
    rows = session.execute(
        select(FileSet, Instance.received_at, func.count().filter(is_created))
        .join(FileSetEntry, FileSetEntry.file_set_id == FileSet.id)
        .join(Instance, FileSetEntry.instance_id == Instance.id)
        .outerjoin(Piece, Piece.file_set_id == FileSet.id)
        .where(Instance.id.in_(contents))
        .group_by(FileSet.id, Instance.received_at)
        .order_by(FileSet.id)
    )
    return [
        MediumLine(
            short_id(file_set.request_id),
            file_set.file_set_id,
            file_set.file_set_uid,
            file_set.medium,
            created,
            received_at,
        )
        for file_set, received_at, created in rows
    ]


def _instance_line(row: Instance, older: Sequence[Instance]) -> InstanceLine:
    columns = [field.name for field in fields(InstanceLine) if field.name != "replaces"]
    return InstanceLine(
        **{name: getattr(row, name) for name in columns},
        replaces=tuple(
            _older_content(content, newer)
            for content, newer in zip(older, [row, *older], strict=False)
        ),
    )


def _older_content(older: Instance, newer: Instance) -> OlderContent:
    assert older.replaced_at is not None  # noqa: S101
    return OlderContent(
        received_at=older.received_at,
        calling_ae_title=older.calling_ae_title,
        transfer_syntax_uid=older.transfer_syntax_uid,
        size=older.size,
        replaced_at=older.replaced_at,
        replaced_by=newer.calling_ae_title,
        changed=instance_rows.differences(vars(older), vars(newer)),
        is_kept=older.released_at is None,
    )


def references_of_study(session: Session, study_instance_uid: str) -> list[tuple[str, str]]:
    """SOP Class and Instance UIDs of the instances of a study; raises Unknown if there are none."""
    rows = session.execute(
        select(Instance.sop_class_uid, Instance.sop_instance_uid)
        .where(Instance.study_instance_uid == study_instance_uid, Instance.is_newest())
        .order_by(Instance.id)
    ).all()
    if not rows:
        raise Unknown("no instance of that study", hint="`burnish instance list` shows them")
    return [(row.sop_class_uid, row.sop_instance_uid) for row in rows]


def references_of_instances(
    session: Session, sop_instance_uids: Sequence[str]
) -> list[tuple[str, str]]:
    """SOP Class and Instance UIDs of instances.

    Raises Unknown if one has not been received, Conflict if one is named twice.
    """
    classes: dict[str, str] = {}
    for start in range(0, len(sop_instance_uids), _BATCH):
        rows = session.execute(
            select(Instance.sop_instance_uid, Instance.sop_class_uid).where(
                Instance.sop_instance_uid.in_(sop_instance_uids[start : start + _BATCH]),
                Instance.is_newest(),
            )
        )
        classes.update({row.sop_instance_uid: row.sop_class_uid for row in rows})
    missing = [uid for uid in sop_instance_uids if uid not in classes]
    if missing:
        have_not = "has not" if len(missing) == 1 else "have not"
        raise Unknown(
            f"{quantity(len(missing), 'instance')} {have_not} been received, "
            f"the first is {missing[0]}"
        )
    if len(set(sop_instance_uids)) < len(sop_instance_uids):
        raise Conflict("an instance is named twice")
    return [(classes[uid], uid) for uid in sop_instance_uids]


def distinct_headers(session: Session, sop_instance_uids: Sequence[str]) -> list[InstanceHeader]:
    """One header for each difference in what instances say of patient, study and series."""
    names = InstanceHeader._fields[OWN_FIELDS : InstanceHeader._fields.index("entity_keys") + 1]
    columns = [getattr(Instance, name) for name in names]
    rows: dict[tuple[Any, ...], None] = {}
    for start in range(0, len(sop_instance_uids), _BATCH):
        query = select(*columns).where(
            Instance.sop_instance_uid.in_(sop_instance_uids[start : start + _BATCH]),
            Instance.is_newest(),
        )
        rows.update((tuple(row), None) for row in session.execute(query.distinct()))
    return [InstanceHeader("", None, b"", *row) for row in rows]


def _lines(session: Session, query: Select[Any]) -> list[RequestLine]:
    rows = session.execute(query).all()
    ids = [row.id for row in rows]
    pieces = _count_pieces(session, ids)
    supplements = _supplements(session, ids)
    told = _told(session, ids)
    lines = []
    for row in rows:
        wanted, created, ruined = pieces.get(row.id, (0, 0, 0))
        lines.append(
            RequestLine(
                short_id=short_id(row.id),
                sop_instance_uid=row.sop_instance_uid,
                execution_status=row.execution_status,
                execution_status_info=row.execution_status_info,
                origin=row.origin,
                instances=row.instances,
                number_of_copies=row.number_of_copies,
                request_priority=row.request_priority,
                pieces=wanted,
                pieces_created=created,
                pieces_ruined=ruined,
                created_at=row.created_at,
                initiated_at=row.initiated_at,
                ended_at=row.ended_at,
                remedy=row.remedy,
                device=row.device,
                held_at=row.held_at,
                supplements="" if row.supplements_id is None else short_id(row.supplements_id),
                supplemented_by=tuple(supplements.get(row.id, ())),
                told=tuple(told.get(row.id, ())),
            )
        )
    return lines


def _supplements(session: Session, request_ids: Sequence[int]) -> dict[int, list[str]]:
    """The short ids of the requests that supplement each request."""
    supplements: dict[int, list[str]] = {}
    for start in range(0, len(request_ids), _BATCH):
        rows = session.execute(
            select(MediaCreationRequest.supplements_id, MediaCreationRequest.id)
            .where(MediaCreationRequest.supplements_id.in_(request_ids[start : start + _BATCH]))
            .order_by(MediaCreationRequest.id)
        )
        for supplemented_id, request_id in rows:
            supplements.setdefault(supplemented_id or 0, []).append(short_id(request_id))
    return supplements


def _told(session: Session, request_ids: Sequence[int]) -> dict[int, list[str]]:
    """What the events of each request tell that people should know."""
    told: dict[int, list[str]] = {}
    for start in range(0, len(request_ids), _BATCH):
        rows = session.execute(
            select(Event.request_id, Event.event)
            .where(
                Event.request_id.in_(request_ids[start : start + _BATCH]),
                Event.event.in_(_TOLD),
            )
            .distinct()
            .order_by(Event.request_id, Event.event)
        )
        for request_id, event in rows:
            told.setdefault(request_id, []).append(_TOLD[event])
    return told


def _count_pieces(session: Session, request_ids: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """The numbers of wanted, created and ruined pieces of each request."""
    given_up = (PieceState.SPOILED, PieceState.DROPPED)
    counts = {}
    for start in range(0, len(request_ids), _BATCH):
        rows = session.execute(
            select(
                FileSet.request_id,
                func.count().filter(Piece.state.not_in(given_up)),
                func.count().filter(Piece.state == PieceState.CREATED),
                func.count().filter(Piece.state == PieceState.SPOILED),
            )
            .join(Piece, Piece.file_set_id == FileSet.id)
            .where(FileSet.request_id.in_(request_ids[start : start + _BATCH]))
            .group_by(FileSet.request_id)
        )
        counts.update({row[0]: (row[1], row[2], row[3]) for row in rows})
    return counts
