"""Stage: what has come and is not on media, by patient and study; the priors of a patient."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Integer, LargeBinary, Select, bindparam, func, literal, select
from sqlalchemy.orm import Session

from burnish.contradictions import find_contradictions, part_with_details
from burnish.db import known_studies, search_terms
from burnish.db.tables import Instance, KnownStudy, SearchTerm
from burnish.errors import InvalidArgument, MissingValue, Unknown
from burnish.request import instance_listing, matching, standing_orders, study_listing
from burnish.request.study_listing import StudyHit
from burnish.settings import StandingOrderSettings
from burnish.values import InstanceHeader

#: What the studies of one Patient ID should agree on.
_FIELDS_OF_PATIENT = ("patient_name", "birth_date", "sex")


@dataclass(frozen=True, slots=True)
class _Unrequested:
    """What one peer has sent of a study and nobody has requested.

    `never_requested` is the number of instances that not even a cancelled request names. It is for
    standing orders, and can be 0 without them.
    """

    calling_ae_title: str
    called_ae_title: str
    instances: int
    size: int
    last_received_at: datetime
    never_requested: int


@dataclass(frozen=True, slots=True)
class _CountedStudy:
    """How many instances of a study are here, and which of them nobody has requested.

    `details_differ`: some may differ in the patient's birth date or sex.
    """

    instances: int
    unrequested: Sequence[_Unrequested]
    details_differ: bool


@dataclass(frozen=True, slots=True)
class ArrivedStudy:
    """A study with instances that nobody has requested media for.

    `unrequested` is their number, `size` that in bytes. `standing_order` will issue a request for
    them at `due_at`, unless more of them arrive. `contradictory` are the fields of the patient
    (patient_name, birth_date, sex) in which studies with the same Patient ID differ.
    `contradictions` are those between the instances of this study, in words without patient data.
    """

    study: StudyHit
    unrequested: int
    size: int
    calling_ae_titles: tuple[str, ...]
    standing_order: str = ""
    due_at: datetime | None = None
    contradictory: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()


def arrivals(
    session: Session,
    orders: Sequence[StandingOrderSettings] = (),
    *,
    limit: int = 50,
    before: str = "",
) -> list[ArrivedStudy]:
    """The studies with instances that nobody has requested, those that arrived last first.

    With `before`, those behind the study with this `cursor`. Raises InvalidArgument.
    """
    position = _position(before) if before else None
    counted: dict[int, _CountedStudy] = {}
    while len(counted) < limit:
        # some that are marked as open are requested by now
        looked_at = session.execute(_open_studies(position).limit(limit)).all()
        counted |= _count_unrequested(session, [row.id for row in looked_at], bool(orders))
        if len(looked_at) < limit:
            break
        position = (looked_at[-1].last_received_at, looked_at[-1].id)
    listed_ids = list(counted)[:limit]
    numbers = {study_id: counted[study_id].instances for study_id in listed_ids}
    hits = study_listing.study_hits(session, listed_ids, instances=numbers)
    contradictory = _contradictory_fields(session, hits)
    details_differ = {study_id for study_id in listed_ids if counted[study_id].details_differ}
    contradictions = _contradictions_within(session, hits, details_differ)
    return [
        replace(
            _arrived(session, hit, counted[hit.id].unrequested, orders),
            contradictory=contradictory.get((hit.patient_id, hit.issuer_of_patient_id), ()),
            contradictions=contradictions.get(hit.study_instance_uid, ()),
        )
        for hit in hits
    ]


def _contradictory_fields(
    session: Session, hits: Sequence[StudyHit]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """The fields in which the studies of a Patient ID differ, by Patient ID and its issuer.

    An empty value differs from none.
    """
    patient_ids = {hit.patient_id for hit in hits if hit.patient_id}
    terms = {search_terms.code(patient_id) for patient_id in patient_ids}
    columns = [getattr(KnownStudy, name) for name in _FIELDS_OF_PATIENT]
    rows = session.execute(
        select(KnownStudy.patient_id, KnownStudy.issuer_of_patient_id, *columns)
        .join(SearchTerm, SearchTerm.study_id == KnownStudy.id)
        .where(
            SearchTerm.kind == search_terms.PATIENT_ID,
            SearchTerm.term.in_(terms),
            KnownStudy.patient_id.in_(patient_ids),
        )
        .distinct()
    )
    values: dict[tuple[str, str], dict[str, set[str]]] = {}
    for patient_id, issuer, *of_study in rows:
        of_patient = values.setdefault((patient_id, issuer), {})
        for name, value in zip(_FIELDS_OF_PATIENT, of_study, strict=True):
            if value.strip():
                of_patient.setdefault(name, set()).add(value.strip())
    return {
        patient: tuple(name for name, distinct in of_patient.items() if len(distinct) > 1)
        for patient, of_patient in values.items()
    }


def _contradictions_within(
    session: Session, hits: Sequence[StudyHit], details_differ: Collection[int]
) -> dict[str, tuple[str, ...]]:
    """Where the instances of one study contradict each other, by Study Instance UID.

    Only those are compared that can: of studies known with several patients, and of those in
    `details_differ`.
    """
    listed_uids = [hit.study_instance_uid for hit in hits]
    several_patients = session.scalars(
        select(KnownStudy.study_instance_uid)
        .where(KnownStudy.study_instance_uid.in_(listed_uids))
        .group_by(KnownStudy.study_instance_uid)
        .having(func.count() > 1)
    )
    uids = {hit.study_instance_uid for hit in hits if hit.id in details_differ}
    uids.update(several_patients)
    headers: dict[str, list[InstanceHeader]] = {}
    for header in instance_listing.distinct_patients_of_studies(session, sorted(uids)):
        headers.setdefault(header.study_instance_uid, []).append(header)
    return {
        uid: tuple(
            contradiction.text.replace(f"Study Instance UID {uid}", "this study")
            for contradiction in find_contradictions(of_study)
        )
        for uid, of_study in headers.items()
    }


def cursor(arrived: ArrivedStudy) -> str:
    """Where the list goes on behind a study: by time and id, since times can be equal."""
    return f"{arrived.study.last_received_at.isoformat()}_{arrived.study.id}"


def _position(text: str) -> tuple[datetime, int]:
    """The reverse of `cursor`; raises InvalidArgument."""
    time, _, number = text.rpartition("_")
    try:
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise ValueError
        return datetime.fromisoformat(time).astimezone(UTC), int(number)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"the list has no place {text!r}", hint="use what the page before gives as `next`"
        ) from None


def _open_studies(position: tuple[datetime, int] | None) -> Select[int, datetime]:
    """The studies marked as open behind a position, those that arrived last first."""
    study = KnownStudy
    query = select(study.id, study.last_received_at).where(study.is_open)
    if position is not None:
        time, number = position
        is_behind = (study.last_received_at < time) | (
            (study.last_received_at == time) & (study.id < number)
        )
        # the bound by time alone is what the index can use
        query = query.where(study.last_received_at <= time, is_behind)
    return query.order_by(study.last_received_at.desc(), study.id.desc())


def fingerprint(session: Session) -> tuple[Any, ...]:
    """A value that changes, besides the events of requests, whenever the arrivals do."""
    last_id = select(func.max(KnownStudy.id)).scalar_subquery()
    last_received = select(func.max(KnownStudy.last_received_at)).scalar_subquery()
    return tuple(session.execute(select(last_id, last_received)).one())


def _count_unrequested(
    session: Session, study_ids: Sequence[int], with_orders: bool
) -> dict[int, _CountedStudy]:
    """The studies that have instances which nobody has requested, in the order of `study_ids`.

    The instances of a study are read once, and compared with one of them. Nearly always no request
    names any, and all have the same sender, birth date and sex: only if not, they are grouped,
    which takes as long again.
    """
    sample_of = {
        sample["id"]: sample
        for sample in session.execute(_SAMPLES, {"study_ids": study_ids}).mappings()
    }
    counted = {}
    for study_id in study_ids:
        if study_id not in sample_of:
            continue
        sample = sample_of[study_id]
        keys = sample["entity_keys"]
        part = part_with_details(keys)
        values = {
            "part_start": part.start + 1,
            "part_length": part.stop - part.start,
            "part": keys[part],
        }
        total = session.execute(_TOTALS, {**sample, **values}).one()
        if total.referenced or total.of_other_senders:
            senders = session.execute(_by_sender(study_id, with_orders)).all()
            unrequested = [_Unrequested(*sender) for sender in senders]
        else:
            unrequested = [
                _Unrequested(
                    sample["calling_ae_title"],
                    sample["called_ae_title"],
                    total.instances,
                    total.size,
                    total.last_received_at,
                    never_requested=total.instances,
                )
            ]
        if unrequested:
            differ = total.with_other_details > 0
            counted[study_id] = _CountedStudy(total.instances, unrequested, differ)
    return counted


#: One instance of each of some studies: what all instances of a study mostly have in common.
_SAMPLES = (
    select(
        KnownStudy.id,
        *known_studies.KEY_COLUMNS,
        Instance.calling_ae_title,
        Instance.called_ae_title,
        Instance.entity_keys,
    )
    .join(
        Instance,
        Instance.id
        == select(Instance.id)
        .where(known_studies.is_of_study(), known_studies.is_newest())
        .limit(1)
        .correlate(KnownStudy)
        .scalar_subquery(),
    )
    .where(KnownStudy.id.in_(bindparam("study_ids", expanding=True)))
)
#: The instances of a study in numbers, and how many differ from the sample.
_TOTALS = select(
    func.count().label("instances"),
    func.sum(Instance.size).label("size"),
    func.max(Instance.received_at).label("last_received_at"),
    func.count().filter(known_studies.is_referenced()).label("referenced"),
    func.count()
    .filter(
        (Instance.calling_ae_title != bindparam("calling_ae_title"))
        | (Instance.called_ae_title != bindparam("called_ae_title"))
    )
    .label("of_other_senders"),
    func.count()
    .filter(
        func.substr(
            Instance.entity_keys,
            bindparam("part_start", type_=Integer),
            bindparam("part_length", type_=Integer),
        )
        != bindparam("part", type_=LargeBinary)
    )
    .label("with_other_details"),
).where(
    *(column == bindparam(column.name) for column in known_studies.KEY_COLUMNS),
    known_studies.is_newest(),
)


def _by_sender(study_id: int, with_orders: bool) -> Any:
    """For each sender, what nobody has requested of a study, as `_Unrequested` has it."""
    never_requested = func.count().filter(~known_studies.is_referenced())
    return (
        select(
            Instance.calling_ae_title,
            Instance.called_ae_title,
            func.count(),
            func.sum(Instance.size),
            func.max(Instance.received_at),
            never_requested if with_orders else literal(0),
        )
        .select_from(KnownStudy)
        .join(Instance, known_studies.is_of_study())
        .where(KnownStudy.id == study_id, known_studies.unrequested())
        .group_by(Instance.calling_ae_title, Instance.called_ae_title)
        .order_by(Instance.calling_ae_title)
    )


def _arrived(
    session: Session,
    study: StudyHit,
    unrequested: Sequence[_Unrequested],
    orders: Sequence[StandingOrderSettings],
) -> ArrivedStudy:
    order_name, due_at = _standing_order(session, study.id, orders, unrequested)
    return ArrivedStudy(
        study=study,
        unrequested=sum(of_sender.instances for of_sender in unrequested),
        size=int(sum(of_sender.size for of_sender in unrequested)),
        calling_ae_titles=tuple(
            dict.fromkeys(of_sender.calling_ae_title for of_sender in unrequested)
        ),
        standing_order=order_name,
        due_at=due_at,
    )


def _standing_order(
    session: Session,
    study_id: int,
    orders: Sequence[StandingOrderSettings],
    unrequested: Sequence[_Unrequested],
) -> tuple[str, datetime | None]:
    """The standing order that will issue a request for instances of a study, and when."""
    for order in orders:
        times = [
            of_sender.last_received_at
            for of_sender in unrequested
            if of_sender.never_requested
            and standing_orders.concerns(
                order, of_sender.calling_ae_title, of_sender.called_ae_title
            )
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
        hits += [hit for hit in study_listing.study_hits(session, ids) if hit.instances]
    return hits[:limit]


def chosen_studies(session: Session, study_ids: Sequence[int]) -> list[StudyHit]:
    """The studies that a person has chosen; raises MissingValue, Unknown if one is gone."""
    if not study_ids:
        raise MissingValue("no study is chosen", hint="tick at least one study")
    hits = study_listing.study_hits(session, study_ids)
    if len(hits) < len(set(study_ids)) or not all(hit.instances for hit in hits):
        raise Unknown("a chosen study is no longer here", hint="choose again on the page Arrivals")
    return hits


def studies_with_uids(session: Session, uids: Sequence[str]) -> list[StudyHit]:
    """The studies of these Study Instance UIDs that are here; raises Unknown if one is not.

    Instances of one Study Instance UID may name several patients: then it is a study of each.
    """
    known = KnownStudy
    ids = session.scalars(
        select(known.id).where(known.study_instance_uid.in_(uids)).order_by(known.id)
    ).all()
    hits = [hit for hit in study_listing.study_hits(session, ids) if hit.instances]
    missing = set(uids) - {hit.study_instance_uid for hit in hits}
    if missing:
        raise Unknown(f"no instance of study {min(missing)} is here")
    return hits
