"""Stage: one box for everything: finds studies and requests by whatever people have in hand."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from burnish.db import known_studies
from burnish.db.session import in_batches
from burnish.db.tables import (
    FileSet,
    Instance,
    KnownStudy,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    RequestStudy,
    short_id,
)
from burnish.request import listing, matching
from burnish.request.listing import RequestFilter
from burnish.request.views import RequestLine
from burnish.vocabulary import ExecutionStatus, PieceState

#: The most studies whose requests are looked for, and the most requests found by one kind of name.
_MOST_STUDIES = 200
_BATCH = 500
#: A UID, but no date such as 31.01.2026.
_UID = re.compile(r"(?![0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}$)[0-9]+(\.[0-9]+){2,}")
_REQUEST = re.compile(r"[Rr]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class RequestOfStudy:
    """A request that has instances of a study, and how many of its pieces are made."""

    short_id: str
    execution_status: str
    pieces_created: int


@dataclass(frozen=True, slots=True)
class StudyHit:
    """One study with its patient. `instances` are those that are here.

    `matched` says what the search has found it by.
    """

    id: int
    patient_name: str
    patient_id: str
    issuer_of_patient_id: str
    birth_date: str
    sex: str
    study_instance_uid: str
    study_date: str
    study_time: str
    study_description: str
    accession_number: str
    modalities: tuple[str, ...]
    last_received_at: datetime
    instances: int
    requests: tuple[RequestOfStudy, ...]
    matched: str = ""


@dataclass(frozen=True, slots=True)
class RequestHit:
    """One request; `matched` says what the search has found it by."""

    request: RequestLine
    matched: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search has found, the newest first. `more_…`: there are more than were asked for."""

    text: str
    studies: tuple[StudyHit, ...]
    requests: tuple[RequestHit, ...]
    more_studies: bool = False
    more_requests: bool = False


def search(session: Session, text: str, *, limit: int = 20) -> SearchResult:
    """Find studies and requests by a text.

    It is a patient's name or the beginning of its parts, a Patient ID, an Accession Number, a study
    date or range, a Study, SOP Instance or File-set UID, a request, a File-set ID, the bar code of
    a label, or the AE title of a peer that has made requests.
    """
    text = text.strip()
    if not text:
        return SearchResult(text, (), ())
    matched_studies = _matched_studies(session, text, limit + 1)
    matched_requests = _matched_requests(session, text, limit + 1)
    of_studies = _requests_of(session, list(matched_studies)[:_MOST_STUDIES], limit + 1)
    for request_id in of_studies:
        matched_requests.setdefault(request_id, "a study of it")
    studies = study_hits(session, list(matched_studies)[:limit], matched_studies)
    newest = sorted(matched_requests, reverse=True)[:limit]
    names = tuple(short_id(request_id) for request_id in newest)
    lines = listing.requests(session, RequestFilter(names=names), limit=limit) if names else []
    return SearchResult(
        text,
        tuple(studies),
        tuple(RequestHit(line, matched_requests[int(line.short_id[1:])]) for line in lines),
        more_studies=len(matched_studies) > limit,
        more_requests=len(matched_requests) > limit,
    )


def _matched_studies(session: Session, text: str, limit: int) -> dict[int, str]:
    """The ids of the studies that match, newest first, and by what."""
    matched: dict[int, str] = {}
    for what, query in _study_queries(text):
        rows = session.scalars(
            select(KnownStudy.id)
            .where(KnownStudy.id.in_(query))
            .order_by(KnownStudy.last_received_at.desc(), KnownStudy.id.desc())
            .limit(limit)
        )
        for study_id in rows:
            matched.setdefault(study_id, what)
    return matched


def _study_queries(text: str) -> Iterable[tuple[str, Select[Any]]]:
    """What a text may be of a study, and the studies that match."""
    if _UID.fullmatch(text):
        yield (
            "Study Instance UID",
            select(KnownStudy.id).where(KnownStudy.study_instance_uid == text),
        )
        yield (
            "SOP Instance UID",
            select(KnownStudy.id)
            .join(Instance, known_studies.is_of_study())
            .where(Instance.sop_instance_uid == text, Instance.is_newest()),
        )
        return
    yield "Accession Number", matching.of_accession_number(text)
    yield "Patient ID", matching.of_patient_id(text)
    named = matching.of_name(text)
    if named is not None:
        yield "patient's name", named
    dates = matching.parse_date_range(text)
    if dates is not None:
        yield "study date", matching.of_dates(*dates)


def _matched_requests(session: Session, text: str, limit: int) -> dict[int, str]:
    """The ids of the requests that match themselves, and by what."""
    matched: dict[int, str] = {}
    for what, query in _request_queries(text):
        column = query.subquery().c[0]
        for request_id in session.scalars(select(column).order_by(column.desc()).limit(limit)):
            matched.setdefault(request_id, what)
    return matched


def _request_queries(text: str) -> Iterable[tuple[str, Select[Any]]]:
    """What a text may be of a request, and the requests that match."""
    request = MediaCreationRequest
    if _UID.fullmatch(text):
        yield "request", select(request.id).where(request.sop_instance_uid == text)
        yield (
            "SOP Instance UID",
            select(ReferencedInstance.request_id)
            .where(ReferencedInstance.referenced_sop_instance_uid == text)
            .distinct(),
        )
        yield (
            "File-set UID",
            select(FileSet.request_id).where(FileSet.file_set_uid == text).distinct(),
        )
        return
    if _REQUEST.fullmatch(text):
        yield "request", select(request.id).where(request.id == int(text.upper().strip("R")))
    yield (
        "bar code",
        select(request.id).where(request.barcode_value == text, request.barcode_value != ""),
    )
    yield (
        "File-set ID",
        select(FileSet.request_id).where(FileSet.file_set_id == text.upper()).distinct(),
    )
    yield "AE title", select(request.id).where(request.calling_ae_title == text.upper())


def _requests_of(session: Session, study_ids: Sequence[int], limit: int) -> Sequence[int]:
    """The newest requests of some studies."""
    return session.scalars(
        select(RequestStudy.request_id)
        .where(RequestStudy.study_id.in_(study_ids))
        .distinct()
        .order_by(RequestStudy.request_id.desc())
        .limit(limit)
    ).all()


def study_hits(
    session: Session, study_ids: Sequence[int], matched: dict[int, str] | None = None
) -> list[StudyHit]:
    """Known studies with their requests, in the order of `study_ids`."""
    rows: dict[int, KnownStudy] = {}
    for batch in in_batches(study_ids, _BATCH):
        rows.update(
            {
                row.id: row
                for row in session.scalars(select(KnownStudy).where(KnownStudy.id.in_(batch)))
            }
        )
    requests = requests_of_studies(session, study_ids)
    instances = _count_instances(session, study_ids)
    hits = []
    for study_id in study_ids:
        row = rows.get(study_id)
        if row is None:
            continue
        hits.append(
            StudyHit(
                id=row.id,
                patient_name=row.patient_name,
                patient_id=row.patient_id,
                issuer_of_patient_id=row.issuer_of_patient_id,
                birth_date=row.birth_date,
                sex=row.sex,
                study_instance_uid=row.study_instance_uid,
                study_date=row.study_date,
                study_time=row.study_time,
                study_description=row.study_description,
                accession_number=row.accession_number,
                modalities=tuple(name for name in row.modalities.split(",") if name),
                last_received_at=row.last_received_at,
                instances=instances.get(study_id, 0),
                requests=tuple(requests.get(study_id, ())),
                matched=(matched or {}).get(study_id, ""),
            )
        )
    return hits


def _count_instances(session: Session, study_ids: Sequence[int]) -> dict[int, int]:
    """The number of instances of each study that are here."""
    numbers: dict[int, int] = {}
    for batch in in_batches(study_ids, _BATCH):
        rows = session.execute(
            select(KnownStudy.id, func.count())
            .join(Instance, known_studies.is_of_study())
            .where(KnownStudy.id.in_(batch), known_studies.is_newest())
            .group_by(KnownStudy.id)
        )
        numbers.update({row[0]: row[1] for row in rows})
    return numbers


def requests_of_studies(
    session: Session, study_ids: Sequence[int]
) -> dict[int, list[RequestOfStudy]]:
    """The requests of each study, newest first, without cancelled ones."""
    created = (
        select(func.count())
        .select_from(FileSet)
        .join(Piece, Piece.file_set_id == FileSet.id)
        .where(FileSet.request_id == MediaCreationRequest.id, Piece.state == PieceState.CREATED)
        .correlate(MediaCreationRequest)
        .scalar_subquery()
    )
    requests: dict[int, list[RequestOfStudy]] = {}
    for batch in in_batches(study_ids, _BATCH):
        rows = session.execute(
            select(
                RequestStudy.study_id,
                MediaCreationRequest.id,
                MediaCreationRequest.execution_status,
                created,
            )
            .join(MediaCreationRequest, MediaCreationRequest.id == RequestStudy.request_id)
            .where(
                RequestStudy.study_id.in_(batch),
                MediaCreationRequest.execution_status != ExecutionStatus.DELETED,
            )
            .order_by(MediaCreationRequest.id.desc())
        )
        for study_id, request_id, status, pieces in rows:
            requests.setdefault(study_id, []).append(
                RequestOfStudy(short_id(request_id), status, pieces)
            )
    return requests
