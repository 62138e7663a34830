"""Stage: studies as people see them, with their patients and the requests that have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.db import known_studies
from burnish.db.session import in_batches
from burnish.db.tables import (
    FileSet,
    Instance,
    KnownStudy,
    MediaCreationRequest,
    Piece,
    RequestStudy,
    short_id,
)
from burnish.vocabulary import ExecutionStatus, PieceState

#: The most values in one IN condition.
_BATCH = 500


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


def study_hits(
    session: Session,
    study_ids: Sequence[int],
    matched: Mapping[int, str] | None = None,
    *,
    instances: Mapping[int, int] | None = None,
) -> list[StudyHit]:
    """Known studies with their requests, in the order of `study_ids`.

    `instances`: how many instances of each are here, if the caller has counted them.
    """
    rows: dict[int, KnownStudy] = {}
    for batch in in_batches(study_ids, _BATCH):
        rows.update(
            {
                row.id: row
                for row in session.scalars(select(KnownStudy).where(KnownStudy.id.in_(batch)))
            }
        )
    requests = requests_of_studies(session, study_ids)
    if instances is None:
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
