"""Stage: what has come and is not on media, by patient and study; the priors of a patient."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.contradictions import count_patients
from burnish.db import known_studies
from burnish.db.tables import Instance, KnownStudy
from burnish.errors import MissingValue, Unknown
from burnish.request import instance_listing, matching, search, standing_orders
from burnish.request.operations import Reference
from burnish.request.search import StudyHit
from burnish.settings import StandingOrderSettings
from burnish.values import InstanceHeader

#: The open studies that are looked at for each one that is listed: some may be requested by now.
_LOOKED_AT = 2


@dataclass(frozen=True, slots=True)
class ArrivedStudy:
    """A study with instances that nobody has requested media for.

    `unrequested` is their number, `size` that in bytes. `standing_order` will issue a request for
    them at `due_at`, unless more of them arrive.
    """

    study: StudyHit
    unrequested: int
    size: int
    calling_ae_titles: tuple[str, ...]
    standing_order: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PatientDifference:
    """Whether chosen studies are of several patients, and what tells them apart."""

    patients: int
    names: tuple[str, ...]
    patient_ids: tuple[str, ...]
    birth_dates: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether a person has to confirm that the studies may share media."""
        return self.patients > 1


def arrivals(
    session: Session,
    orders: Sequence[StandingOrderSettings] = (),
    *,
    limit: int = 50,
    before: datetime | None = None,
) -> list[ArrivedStudy]:
    """The studies with instances that nobody has requested, those that arrived last first.

    With `before`, those whose last instance came earlier than that.
    """
    query = select(KnownStudy.id).where(KnownStudy.is_open)
    if before is not None:
        query = query.where(KnownStudy.last_received_at < before)
    query = query.order_by(KnownStudy.last_received_at.desc(), KnownStudy.id.desc())
    open_ids = session.scalars(query.limit(limit * _LOOKED_AT)).all()
    rows: dict[int, list[Any]] = {}
    for row in session.execute(_unrequested_of(open_ids)):
        rows.setdefault(row[0], []).append(row[1:])
    listed_ids = [study_id for study_id in open_ids if study_id in rows][:limit]
    return [
        _arrived(session, hit, rows[hit.id], orders)
        for hit in search.study_hits(session, listed_ids)
    ]


def fingerprint(session: Session) -> tuple[Any, ...]:
    """What changes, besides the events of requests, whenever the arrivals do."""
    last_id = select(func.max(KnownStudy.id)).scalar_subquery()
    last_received = select(func.max(KnownStudy.last_received_at)).scalar_subquery()
    return tuple(session.execute(select(last_id, last_received)).one())


def _unrequested_of(study_ids: Sequence[int]) -> Any:
    """For each study and sender: what nobody has requested of it, and of that, what nobody ever."""
    return (
        select(
            KnownStudy.id,
            Instance.calling_ae_title,
            Instance.called_ae_title,
            func.count(),
            func.sum(Instance.size),
            func.max(Instance.received_at),
            func.count().filter(~known_studies.is_referenced()),
        )
        .select_from(KnownStudy)
        .join(Instance, known_studies.is_of_study())
        .where(KnownStudy.id.in_(study_ids), known_studies.unrequested())
        .group_by(KnownStudy.id, Instance.calling_ae_title, Instance.called_ae_title)
        .order_by(KnownStudy.id, Instance.calling_ae_title)
    )


def _arrived(
    session: Session,
    study: StudyHit,
    rows: Sequence[Any],
    orders: Sequence[StandingOrderSettings],
) -> ArrivedStudy:
    order_name, due_at = _standing_order(session, study.id, orders, rows)
    return ArrivedStudy(
        study=study,
        unrequested=sum(row[2] for row in rows),
        size=int(sum(row[3] for row in rows)),
        calling_ae_titles=tuple(dict.fromkeys(row[0] for row in rows)),
        standing_order=order_name,
        due_at=due_at,
    )


def _standing_order(
    session: Session, study_id: int, orders: Sequence[StandingOrderSettings], rows: Sequence[Any]
) -> tuple[str, datetime | None]:
    """The standing order that will issue a request for instances of a study, and when."""
    for order in orders:
        times = [
            last
            for calling, called, _, _, last, never_requested in rows
            if never_requested and standing_orders.concerns(order, calling, called)
        ]
        if not times:
            continue
        if order.scope == "patient":
            times.append(_last_of_patient(session, study_id))
        return order.name, max(times) + order.quiet_period
    return "", None


def _last_of_patient(session: Session, study_id: int) -> datetime:
    """When the last instance of the patient of a study was received."""
    study = session.get_one(KnownStudy, study_id)
    last = session.scalar(
        select(func.max(KnownStudy.last_received_at)).where(
            KnownStudy.id.in_(matching.of_patient_id(study.patient_id)),
            KnownStudy.is_open,
            KnownStudy.patient_id == study.patient_id,
            KnownStudy.issuer_of_patient_id == study.issuer_of_patient_id,
            KnownStudy.patient_name == study.patient_name,
        )
    )
    return last or study.last_received_at


def priors(session: Session, study_ids: Sequence[int], *, limit: int = 20) -> list[StudyHit]:
    """Other studies of the patients of some studies that are here, newest first."""
    patients = session.execute(
        select(KnownStudy.patient_id, KnownStudy.issuer_of_patient_id)
        .where(KnownStudy.id.in_(study_ids), KnownStudy.patient_id != "")
        .distinct()
    ).all()
    hits: list[StudyHit] = []
    for patient_id, issuer in patients:
        ids = session.scalars(
            select(KnownStudy.id)
            .where(
                KnownStudy.id.in_(matching.of_patient_id(patient_id)),
                KnownStudy.patient_id == patient_id,
                KnownStudy.issuer_of_patient_id == issuer,
                KnownStudy.id.not_in(study_ids),
            )
            .order_by(KnownStudy.study_date.desc(), KnownStudy.id.desc())
            .limit(limit)
        ).all()
        hits += [hit for hit in search.study_hits(session, ids) if hit.instances]
    return hits[:limit]


def patient_difference(session: Session, study_ids: Sequence[int]) -> PatientDifference:
    """Whether studies are of several patients, by the rules that planning goes by."""
    rows = session.scalars(select(KnownStudy).where(KnownStudy.id.in_(study_ids))).all()
    headers = [
        InstanceHeader(
            sop_instance_uid="",
            instance_number=None,
            record_keys=b"",
            sop_class_uid="",
            study_instance_uid=row.study_instance_uid,
            series_instance_uid="",
            patient_id=row.patient_id,
            issuer_of_patient_id=row.issuer_of_patient_id,
            patient_name=row.patient_name,
            study_date=row.study_date,
            study_time=row.study_time,
            modality="",
            series_number=None,
            directory_record_type="IMAGE",
            entity_keys=b"",
        )
        for row in rows
    ]
    return PatientDifference(
        patients=count_patients(headers),
        names=tuple(dict.fromkeys(row.patient_name for row in rows)),
        patient_ids=tuple(dict.fromkeys(row.patient_id for row in rows)),
        birth_dates=tuple(dict.fromkeys(row.birth_date for row in rows if row.birth_date)),
    )


def chosen_studies(session: Session, study_ids: Sequence[int]) -> list[StudyHit]:
    """The studies that a person has chosen; raises MissingValue, Unknown if one is gone."""
    if not study_ids:
        raise MissingValue("no study is chosen", hint="tick at least one study")
    hits = search.study_hits(session, study_ids)
    if len(hits) < len(set(study_ids)) or not all(hit.instances for hit in hits):
        raise Unknown("a chosen study is no longer here", hint="choose again on the page Arrivals")
    return hits


def references_of(session: Session, studies: Iterable[StudyHit]) -> list[Reference]:
    """References to all instances of the studies that are here."""
    pairs: dict[str, str] = {}
    for study in studies:
        uids = instance_listing.references_of_study(session, study.study_instance_uid)
        pairs.update({uid: sop_class for sop_class, uid in uids})
    return [Reference(sop_class, uid) for uid, sop_class in pairs.items()]


def count_patients_of(session: Session, references: Sequence[Reference]) -> int:
    """The number of patients that the instances are of, by the rules that planning goes by."""
    uids = [reference.sop_instance_uid for reference in references]
    return count_patients(instance_listing.distinct_headers(session, uids))
