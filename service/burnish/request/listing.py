"""Stage: requests as people see them: in lists, and each with all there is to know about it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from burnish.db import registered_media
from burnish.db.session import in_batches
from burnish.db.tables import (
    Event,
    FailedInstance,
    FileSet,
    FileSetEntry,
    Instance,
    KnownStudy,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    RequestStudy,
    TranscodedInstance,
    short_id,
)
from burnish.errors import Unknown
from burnish.lifecycle import PieceEvent
from burnish.request import matching, replacements, states
from burnish.request.states import PieceCounts
from burnish.request.views import (
    EventLine,
    FailureGroup,
    FailureLine,
    PatientLine,
    PieceLine,
    RequestGroup,
    RequestLine,
    RequestView,
    SeriesShare,
    StudyLine,
    VolumeView,
    WorkProgress,
)
from burnish.vocabulary import OPEN_STATES, ExecutionStatus, FailureReason, PieceState

#: The most values in one IN condition.
_BATCH = 500
#: The patients that a list names of each request, and the UIDs of each group of failures.
_PATIENTS_SHOWN = 3
_UIDS_SHOWN = 20
#: The finished pieces of a device from which the time of the next is estimated.
_PIECES_COMPARED = 5
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
    MediaCreationRequest.calling_ae_title,
    MediaCreationRequest.requested_by,
    MediaCreationRequest.standing_order,
    _INSTANCES.label("instances"),
    MediaCreationRequest.number_of_copies,
    MediaCreationRequest.request_priority,
    MediaCreationRequest.created_at,
    MediaCreationRequest.initiated_at,
    MediaCreationRequest.admitted_at,
    MediaCreationRequest.retrieval_began_at,
    MediaCreationRequest.ended_at,
    MediaCreationRequest.remedy,
    MediaCreationRequest.device,
    MediaCreationRequest.held_at,
    MediaCreationRequest.supplements_id,
)


#: The columns that are fields of a RequestLine as they are.
_COPIED = (
    "sop_instance_uid",
    "execution_status",
    "execution_status_info",
    "origin",
    "calling_ae_title",
    "standing_order",
    "instances",
    "number_of_copies",
    "request_priority",
    "created_at",
    "initiated_at",
    "ended_at",
    "device",
    "held_at",
)
#: Events that a list of requests tells, in words.
_TOLD = {
    "CONTRADICTION": "contradictions",
    "DAMAGED": "damaged instances",
    "LEFT OUT": "damaged instances left out",
    "MADE AGAIN": "made again",
    "REPLACED": "has newer content",
}


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests: those that match all that is given.

    `status`: cancelled requests are listed only if this, or `group`, asks for them. `patient` is a
    Patient ID or words of a name, `study_date` a date or a range. `names` are requests by their
    names.
    """

    status: ExecutionStatus | None = None
    group: RequestGroup | None = None
    patient: str = ""
    accession_number: str = ""
    study_date: str = ""
    since: datetime | None = None
    device: str = ""
    calling_ae_title: str = ""
    standing_order: str = ""
    names: tuple[str, ...] = ()


def requests(
    session: Session,
    wanted: RequestFilter | None = None,
    *,
    status: ExecutionStatus | None = None,
    limit: int = 100,
    before: str = "",
) -> list[RequestLine]:
    """The newest requests, newest first; with `before`, those that are older than that request.

    Raises InvalidArgument if the study date of the filter is no date.
    """
    wanted = wanted or RequestFilter(status=status)
    query = _LINE.where(*conditions(wanted)).order_by(MediaCreationRequest.id.desc()).limit(limit)
    if before:
        query = query.where(MediaCreationRequest.id < _number(before))
    return _lines(session, query)


def request_ids(session: Session, wanted: RequestFilter) -> Sequence[int]:
    """The ids of all requests that match, oldest first."""
    query = select(MediaCreationRequest.id).where(*conditions(wanted))
    return session.scalars(query.order_by(MediaCreationRequest.id)).all()


def count(session: Session, wanted: RequestFilter) -> int:
    """The number of requests that match."""
    query = select(func.count(MediaCreationRequest.id)).where(*conditions(wanted))
    return session.scalar(query) or 0


def counts(session: Session) -> dict[RequestGroup, int]:
    """The number of requests in each group."""
    request = MediaCreationRequest
    is_held = request.held_at.is_not(None)
    rows = session.execute(
        select(request.execution_status, request.execution_status_info, is_held, func.count())
        .group_by(request.execution_status, request.execution_status_info, is_held)
        .order_by(None)
    )
    numbers = dict.fromkeys(RequestGroup, 0)
    for status, info, held, number in rows:
        numbers[states.group_of(status, info, is_held=bool(held))] += number
    return numbers


def conditions(wanted: RequestFilter) -> list[Any]:
    """The conditions of a filter."""
    request = MediaCreationRequest
    terms: list[Any] = []
    if wanted.status is not None:
        terms.append(request.execution_status == wanted.status)
    if wanted.group is not None:
        terms.append(states.is_in_group(wanted.group))
    if wanted.status is None and wanted.group is None and not wanted.names:
        terms.append(request.execution_status != ExecutionStatus.DELETED)
    if wanted.patient:
        terms.append(request.id.in_(matching.requests_of(matching.of_patient(wanted.patient))))
    if wanted.accession_number:
        studies = matching.of_accession_number(wanted.accession_number)
        terms.append(request.id.in_(matching.requests_of(studies)))
    if wanted.study_date:
        studies = matching.of_dates(*matching.study_dates(wanted.study_date))
        terms.append(request.id.in_(matching.requests_of(studies)))
    if wanted.since is not None:
        terms.append(request.created_at >= wanted.since)
    if wanted.device:
        made_there = exists().where(
            FileSet.request_id == request.id,
            Piece.file_set_id == FileSet.id,
            Piece.device == wanted.device,
        )
        terms.append((request.device == wanted.device) | made_there)
    if wanted.calling_ae_title:
        terms.append(request.calling_ae_title == wanted.calling_ae_title)
    if wanted.standing_order:
        terms.append(request.standing_order == wanted.standing_order)
    if wanted.names:
        terms.append(request.id.in_([_number(name) for name in wanted.names]))
    return terms


def _number(name: str) -> int:
    """The number of a request from its short id; 0 if it is none."""
    digits = name.upper().removeprefix("R")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0


def find_request(session: Session, name: str) -> RequestLine:
    """The request with a short id, a number or a SOP Instance UID; raises Unknown."""
    return _find(session, name, _PATIENTS_SHOWN)


def _find(session: Session, name: str, most_patients: int | None) -> RequestLine:
    if _number(name):
        query = _LINE.where(MediaCreationRequest.id == _number(name))
    else:
        query = _LINE.where(MediaCreationRequest.sop_instance_uid == name)
    lines = _lines(session, query, most_patients)
    if not lines:
        raise Unknown(f"no request {name}", hint="`burnish request list` shows them")
    return lines[0]


def show(session: Session, name: str) -> RequestView:
    """Everything about one request; raises Unknown."""
    line = _find(session, name, None)
    row = session.scalars(
        select(MediaCreationRequest).where(
            MediaCreationRequest.sop_instance_uid == line.sop_instance_uid
        )
    ).one()
    volumes = _volumes(session, row.id)
    return RequestView(
        line=with_time_left(session, line),
        label_text=row.label_text,
        label_style_selection=row.label_style_selection,
        barcode_value=row.barcode_value,
        barcode_symbology=row.barcode_symbology,
        media_disposition=row.media_disposition,
        missing=_missing(session, row) if line.execution_status in OPEN_STATES else 0,
        volumes=volumes,
        unplanned=() if volumes else _unplanned(session, row.id),
        pieces=tuple(pieces(session, line)),
        failures=tuple(failures(session, line)),
        failure_groups=failure_groups(session, row.id),
        events=tuple(events(session, line)),
        replaced=tuple(replacements.replacements(session, line.sop_instance_uid)),
    )


def with_time_left(session: Session, line: RequestLine) -> RequestLine:
    """The request with the probable time until its last piece is created, if that is known."""
    if line.group is not RequestGroup.MAKING:
        return line
    seconds = _seconds_left(session, _number(line.short_id))
    return line._replace(progress=WorkProgress(line.progress.step, line.progress.fraction, seconds))


def pieces(session: Session, line: RequestLine) -> list[PieceLine]:
    """Every piece of a request, by copy and volume; spoiled and dropped pieces too."""
    rows = session.execute(
        select(Piece, FileSet)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .join(MediaCreationRequest)
        .where(MediaCreationRequest.sop_instance_uid == line.sop_instance_uid)
        .order_by(Piece.copy_number, FileSet.volume_number, Piece.id)
    )
    registered = registered_media.facts_of_request(session, _number(line.short_id))
    facts = defaultdict(registered_media.RegisterFacts, registered)  # of pieces not yet made: empty
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
            register_name=facts[piece.id].name,
            verified=facts[piece.id].verified,
            whereabouts=facts[piece.id].whereabouts,
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


def failure_groups(session: Session, request_id: int) -> tuple[FailureGroup, ...]:
    """The Failed SOP Sequence of a request by reason, with the meaning and the remedy of each."""
    numbers = session.execute(
        select(FailedInstance.failure_reason, func.count())
        .where(FailedInstance.request_id == request_id)
        .group_by(FailedInstance.failure_reason)
        .order_by(func.min(FailedInstance.ordinal))
    ).all()
    groups = []
    for reason, number in numbers:
        uids = session.scalars(
            select(FailedInstance.referenced_sop_instance_uid)
            .where(FailedInstance.request_id == request_id, FailedInstance.failure_reason == reason)
            .order_by(FailedInstance.ordinal)
            .limit(_UIDS_SHOWN)
        ).all()
        is_known = reason in [*FailureReason]
        meaning, remedy = states.FAILURES[FailureReason(reason)] if is_known else ("", "")
        groups.append(FailureGroup(f"{reason:04X}", meaning, remedy, number, tuple(uids)))
    return tuple(groups)


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


# --- lists ---


def _lines(
    session: Session, query: Select[Any], most_patients: int | None = _PATIENTS_SHOWN
) -> list[RequestLine]:
    rows = session.execute(query).all()
    ids = [row.id for row in rows]
    piece_counts = _count_pieces(session, ids)
    supplements = _supplements(session, ids)
    events_of = _events(session, ids)
    studies = _studies(session, ids)
    return [
        _line(
            row,
            events_of.get(row.id, []),
            piece_counts.get(row.id, PieceCounts()),
            patients_of(studies.get(row.id, [])),
            most_patients,
        )._replace(supplemented_by=tuple(supplements.get(row.id, [])))
        for row in rows
    ]


def _line(
    row: Any,
    events_of_request: Sequence[Any],
    pieces_of_request: PieceCounts,
    patients: Sequence[PatientLine],
    most_patients: int | None,
) -> RequestLine:
    state = states.describe(row, events_of_request, pieces_of_request)
    told = sorted({event.event for event in events_of_request} & _TOLD.keys())
    return RequestLine(
        **{name: getattr(row, name) for name in _COPIED},
        short_id=short_id(row.id),
        group=state.group,
        reason=state.reason,
        remedy=state.remedy,
        since=state.since,
        progress=state.progress,
        patients=tuple(patients[:most_patients]),
        patient_count=len(patients),
        study_count=sum(len(patient.studies) for patient in patients),
        modalities=_modalities(patients),
        requested_by=row.requested_by or row.origin,
        volume_count=pieces_of_request.volumes,
        pieces=pieces_of_request.total,
        pieces_created=pieces_of_request.created,
        pieces_ruined=pieces_of_request.ruined,
        devices=tuple(pieces_of_request.devices),
        supplements="" if row.supplements_id is None else short_id(row.supplements_id),
        supplemented_by=(),
        told=tuple(_TOLD[event] for event in told),
    )


def patients_of(rows: Sequence[KnownStudy]) -> list[PatientLine]:
    """The patients of known studies, each with these studies; the newest study first."""
    of_patient: dict[tuple[str, str, str], list[KnownStudy]] = {}
    for row in sorted(rows, key=lambda row: (row.study_date, row.study_time), reverse=True):
        key = (row.patient_id, row.issuer_of_patient_id, row.patient_name)
        of_patient.setdefault(key, []).append(row)
    return [
        PatientLine(
            patient_name=name,
            patient_id=patient_id,
            issuer_of_patient_id=issuer,
            birth_date=next((row.birth_date for row in studies if row.birth_date), ""),
            sex=next((row.sex for row in studies if row.sex), ""),
            studies=tuple(study_line(row) for row in studies),
        )
        for (patient_id, issuer, name), studies in of_patient.items()
    ]


def study_line(row: KnownStudy) -> StudyLine:
    """A known study, for people."""
    return StudyLine(
        row.study_instance_uid,
        row.study_date,
        row.study_time,
        row.study_description,
        row.accession_number,
        tuple(name for name in row.modalities.split(",") if name),
    )


def _modalities(patients: Sequence[PatientLine]) -> tuple[str, ...]:
    names = {
        modality: None
        for patient in patients
        for study in patient.studies
        for modality in study.modalities
    }
    return tuple(names)


def _studies(session: Session, request_ids: Sequence[int]) -> dict[int, list[KnownStudy]]:
    """The known studies of each request."""
    studies: dict[int, list[KnownStudy]] = {}
    for batch in in_batches(request_ids, _BATCH):
        rows = session.execute(
            select(RequestStudy.request_id, KnownStudy)
            .join(KnownStudy, KnownStudy.id == RequestStudy.study_id)
            .where(RequestStudy.request_id.in_(batch))
        )
        for request_id, study in rows:
            studies.setdefault(request_id, []).append(study)
    return studies


def _supplements(session: Session, request_ids: Sequence[int]) -> dict[int, list[str]]:
    """The short ids of the requests that supplement each request."""
    supplements: dict[int, list[str]] = {}
    for batch in in_batches(request_ids, _BATCH):
        rows = session.execute(
            select(MediaCreationRequest.supplements_id, MediaCreationRequest.id)
            .where(MediaCreationRequest.supplements_id.in_(batch))
            .order_by(MediaCreationRequest.id)
        )
        for supplemented_id, request_id in rows:
            supplements.setdefault(supplemented_id or 0, []).append(short_id(request_id))
    return supplements


def _events(session: Session, request_ids: Sequence[int]) -> dict[int, list[Any]]:
    """The events of each request, without those of its pieces, oldest first."""
    events_of: dict[int, list[Any]] = {}
    columns = (Event.request_id, Event.event, Event.at, Event.after, Event.why, Event.actor)
    for batch in in_batches(request_ids, _BATCH):
        rows = session.execute(
            select(*columns)
            .where(Event.request_id.in_(batch), Event.piece_id.is_(None))
            .order_by(Event.request_id, Event.id)
        )
        for row in rows:
            events_of.setdefault(row.request_id, []).append(row)
    return events_of


def _count_pieces(session: Session, request_ids: Sequence[int]) -> dict[int, PieceCounts]:
    """The pieces of each request by state, and the devices that are making some of them."""
    in_work = (PieceState.IMAGING, PieceState.WRITING, PieceState.VERIFYING)
    counts_of: dict[int, PieceCounts] = {}
    for batch in in_batches(request_ids, _BATCH):
        rows = session.execute(
            select(
                FileSet.request_id,
                Piece.state,
                Piece.device,
                func.count(),
                func.max(FileSet.volume_count),
            )
            .join(Piece, Piece.file_set_id == FileSet.id)
            .where(FileSet.request_id.in_(batch))
            .group_by(FileSet.request_id, Piece.state, Piece.device)
        )
        for request_id, state, device, number, volumes in rows:
            counts_of_request = counts_of.setdefault(request_id, PieceCounts())
            present = counts_of_request.counts.get(state, 0)
            counts_of_request.counts[state] = present + number
            counts_of_request.volumes = max(counts_of_request.volumes, volumes)
            if state in in_work and device not in counts_of_request.devices:
                counts_of_request.devices.append(device)
    return counts_of


# --- one request ---


def _missing(session: Session, row: MediaCreationRequest) -> int:
    """The number of instances of a request that are not here."""
    is_here = exists().where(
        Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid,
        Instance.is_newest(),
    )
    query = select(func.count(ReferencedInstance.referenced_sop_instance_uid.distinct())).where(
        ReferencedInstance.request_id == row.id, ~is_here
    )
    return session.scalar(query) or 0


def _volumes(session: Session, request_id: int) -> tuple[VolumeView, ...]:
    """The planned volumes of a request, with the series on each."""
    file_sets = session.scalars(
        select(FileSet).where(FileSet.request_id == request_id).order_by(FileSet.volume_number)
    ).all()
    size = func.sum(func.coalesce(TranscodedInstance.size, Instance.size))
    shares: dict[int, list[SeriesShare]] = {}
    rows = session.execute(
        select(
            FileSetEntry.file_set_id,
            Instance.series_instance_uid,
            Instance.study_instance_uid,
            Instance.modality,
            func.count(),
            size,
        )
        .join(FileSet, FileSet.id == FileSetEntry.file_set_id)
        .join(Instance, Instance.id == FileSetEntry.instance_id)
        .outerjoin(TranscodedInstance, TranscodedInstance.id == FileSetEntry.transcoded_instance_id)
        .where(FileSet.request_id == request_id)
        .group_by(
            FileSetEntry.file_set_id,
            Instance.series_instance_uid,
            Instance.study_instance_uid,
            Instance.modality,
        )
        .order_by(func.min(FileSetEntry.ordinal))
    )
    for file_set_id, series, study, modality, number, series_size in rows:
        share = SeriesShare(series, study, modality, number, int(series_size))
        shares.setdefault(file_set_id, []).append(share)
    return tuple(
        VolumeView(
            volume_number=file_set.volume_number,
            volume_count=file_set.volume_count,
            file_set_id=file_set.file_set_id,
            file_set_uid=file_set.file_set_uid,
            medium=file_set.medium,
            media_application_profile=file_set.media_application_profile,
            capacity=file_set.capacity,
            size=file_set.predicted_size,
            instances=file_set.instances,
            series=tuple(shares.get(file_set.id, ())),
        )
        for file_set in file_sets
    )


def _unplanned(session: Session, request_id: int) -> tuple[SeriesShare, ...]:
    """The series of a request that has no volumes yet, as far as they are here."""
    rows = session.execute(
        select(
            Instance.series_instance_uid,
            Instance.study_instance_uid,
            Instance.modality,
            func.count(),
            func.sum(Instance.size),
        )
        .join(
            ReferencedInstance,
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .where(ReferencedInstance.request_id == request_id, Instance.is_newest())
        .group_by(Instance.series_instance_uid, Instance.study_instance_uid, Instance.modality)
        .order_by(func.min(ReferencedInstance.ordinal))
    )
    return tuple(
        SeriesShare(series, study, modality, number, int(size))
        for series, study, modality, number, size in rows
    )


def _seconds_left(session: Session, request_id: int) -> int | None:
    """The probable time until the last piece of a request is created.

    From the time for each byte that the last pieces of the same device and medium took. None if it
    has created none yet.
    """
    left = session.execute(
        select(Piece.id, Piece.state, Piece.device, FileSet.medium, FileSet.predicted_size)
        .join(FileSet, FileSet.id == Piece.file_set_id)
        .where(
            FileSet.request_id == request_id,
            Piece.state.not_in((PieceState.CREATED, PieceState.SPOILED, PieceState.DROPPED)),
        )
    ).all()
    in_work = [row for row in left if row.state is not PieceState.QUEUED]
    if not in_work:
        return None
    now = datetime.now(UTC)
    seconds = 0.0
    for row in left:
        device = row.device or in_work[0].device
        rate = _seconds_for_each_byte(session, device, row.medium)
        if rate is None:
            return None
        duration = rate * row.predicted_size
        if row.state is not PieceState.QUEUED:
            begun = _last_claim(session, request_id, row.id)
            passed = (now - begun).total_seconds() if begun else 0.0
            duration = max(duration - passed, 0.0)
        seconds += duration
    devices = {row.device for row in in_work}
    return round(seconds / len(devices))


def _seconds_for_each_byte(session: Session, device: str, medium: str) -> float | None:
    finished = session.execute(
        select(Piece.id, Piece.created_at, FileSet.request_id, FileSet.predicted_size)
        .join(FileSet, FileSet.id == Piece.file_set_id)
        .where(Piece.state == PieceState.CREATED, Piece.device == device, FileSet.medium == medium)
        .order_by(Piece.id.desc())
        .limit(_PIECES_COMPARED)
    ).all()
    size, seconds = 0, 0.0
    for row in finished:
        begun = _last_claim(session, row.request_id, row.id)
        if begun is not None and row.created_at is not None:
            size += row.predicted_size
            seconds += (row.created_at - begun).total_seconds()
    return seconds / size if size else None


def _last_claim(session: Session, request_id: int, piece_id: int) -> datetime | None:
    """When a device last began a piece."""
    return session.scalar(
        select(func.max(Event.at)).where(
            Event.request_id == request_id,
            Event.piece_id == piece_id,
            Event.event == PieceEvent.CLAIMED,
        )
    )
