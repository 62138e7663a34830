"""Stage: received instances as people see them, in frozen values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from burnish.db import instance_rows, known_studies
from burnish.db.tables import FileSet, FileSetEntry, Instance, KnownStudy, Piece, short_id
from burnish.errors import Conflict, Unknown
from burnish.instance_header import instance_faults
from burnish.request import matching
from burnish.values import OWN_FIELDS, InstanceHeader
from burnish.vocabulary import PieceState
from burnish.wording import quantity

#: The most values in one IN condition.
_BATCH = 500
#: What instances of a study say of patient and study; keys of the series are among `entity_keys`.
_PATIENT_AND_STUDY = (
    "study_instance_uid",
    "patient_id",
    "issuer_of_patient_id",
    "patient_name",
    "entity_keys",
)
_NOTHING_KNOWN = InstanceHeader(
    sop_instance_uid="",
    instance_number=None,
    record_keys=b"",
    sop_class_uid="",
    study_instance_uid="",
    series_instance_uid="",
    patient_id="",
    issuer_of_patient_id="",
    patient_name="",
    study_date="",
    study_time="",
    modality="",
    series_number=None,
    directory_record_type="",
    entity_keys=b"",
)


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
    """One instance in a list. `replaces` are its older contents, latest first.

    `fault` says what is known to be wrong with it. Until it is `examined`, nobody has looked into
    its sequences and compressed frames; the first request for it does.
    """

    id: int
    patient_name: str
    patient_id: str
    study_date: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    size: int
    calling_ae_title: str
    called_ae_title: str
    received_at: datetime
    fault: str
    examined: bool
    replaces: tuple[OlderContent, ...] = ()

    @property
    def replaced(self) -> str:
        """When it replaced the content before, where that came from, and what differs; in words."""
        if not self.replaces:
            return ""
        latest = self.replaces[0]
        return f"{latest.replaced_at:%Y-%m-%d %H:%M}Z {latest.calling_ae_title}: {latest.changed}"


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Which instances: those that match all that is given.

    `patient` is a Patient ID or words of a name, `study_date` a date or a range.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    patient: str = ""
    accession_number: str = ""
    study_date: str = ""
    since: datetime | None = None
    calling_ae_title: str = ""


def instances(
    session: Session,
    wanted: InstanceFilter | None = None,
    *,
    study_instance_uid: str = "",
    limit: int = 100,
    before: int = 0,
) -> list[InstanceLine]:
    """The newest instances in the spool, newest first; with `before`, older ones than that.

    Raises InvalidArgument if the study date of the filter is no date.
    """
    wanted = wanted or InstanceFilter(study_instance_uid=study_instance_uid)
    query = select(Instance).where(known_studies.is_newest(), *_conditions(wanted))
    if before:
        query = query.where(Instance.id < before)
    rows = session.scalars(query.order_by(Instance.id.desc()).limit(limit)).all()
    older = instance_rows.older_contents(session, [row.sop_instance_uid for row in rows])
    return [_instance_line(row, older.get(row.sop_instance_uid, ())) for row in rows]


def _conditions(wanted: InstanceFilter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.study_instance_uid:
        conditions.append(Instance.study_instance_uid == wanted.study_instance_uid)
    for studies in _studies(wanted):
        uids = select(KnownStudy.study_instance_uid).where(KnownStudy.id.in_(studies))
        conditions.append(Instance.study_instance_uid.in_(uids))
    if wanted.series_instance_uid:
        conditions.append(Instance.series_instance_uid == wanted.series_instance_uid)
    if wanted.since is not None:
        conditions.append(Instance.received_at >= wanted.since)
    if wanted.calling_ae_title:
        conditions.append(Instance.calling_ae_title == wanted.calling_ae_title)
    return conditions


def _studies(wanted: InstanceFilter) -> Iterator[Any]:
    """The known studies that match each criterion of a filter."""
    if wanted.patient:
        yield matching.of_patient(wanted.patient)
    if wanted.accession_number:
        yield matching.of_accession_number(wanted.accession_number)
    if wanted.study_date:
        yield matching.of_dates(*matching.study_dates(wanted.study_date))


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
    computed = {"fault", "examined", "replaces"}
    columns = [field.name for field in fields(InstanceLine) if field.name not in computed]
    return InstanceLine(
        **{name: getattr(row, name) for name in columns},
        fault=instance_faults.known(row.fault),
        examined=not instance_faults.is_unexamined(row.fault),
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


def references_of_studies_where(
    session: Session,
    *,
    patient_id: str = "",
    accession_number: str = "",
    series_instance_uid: str = "",
) -> list[tuple[str, str]]:
    """SOP Class and Instance UIDs of the instances of a patient, an Accession Number or a series.

    Exactly that Patient ID or Accession Number, other than in a search. Raises Unknown if there is
    none.
    """
    query = select(Instance.sop_class_uid, Instance.sop_instance_uid).where(
        known_studies.is_newest()
    )
    if series_instance_uid:
        query = query.where(Instance.series_instance_uid == series_instance_uid)
    if patient_id or accession_number:
        studies = select(KnownStudy.study_instance_uid)
        if patient_id:
            studies = studies.where(
                KnownStudy.id.in_(matching.of_patient_id(patient_id)),
                KnownStudy.patient_id == patient_id,
            )
            query = query.where(Instance.patient_id == patient_id)
        if accession_number:
            studies = studies.where(
                KnownStudy.id.in_(matching.of_accession_number(accession_number))
            )
        query = query.where(Instance.study_instance_uid.in_(studies))
    rows = session.execute(query.order_by(Instance.id)).all()
    if not rows:
        raise Unknown(
            "no instance of that patient, Accession Number or series",
            hint="`burnish search TEXT` finds studies by parts of what is known of them",
        )
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
    return _distinct_headers(session, Instance.sop_instance_uid, sop_instance_uids)


def distinct_patients_of_studies(
    session: Session, study_instance_uids: Sequence[str]
) -> list[InstanceHeader]:
    """One header for each difference in what instances of a study say of patient and study.

    The headers tell nothing of the series: to compare that, too, of each of the thousands of
    instances of large studies takes as long as to read them.
    """
    columns = [getattr(Instance, name) for name in _PATIENT_AND_STUDY]
    headers: list[InstanceHeader] = []
    for start in range(0, len(study_instance_uids), _BATCH):
        is_of_studies = Instance.study_instance_uid.in_(study_instance_uids[start : start + _BATCH])
        query = select(*columns).where(is_of_studies, known_studies.is_newest()).distinct()
        headers += [
            _NOTHING_KNOWN._replace(**dict(zip(_PATIENT_AND_STUDY, row, strict=True)))
            for row in session.execute(query)
        ]
    return headers


def _distinct_headers(
    session: Session, column: InstrumentedAttribute[str], uids: Sequence[str]
) -> list[InstanceHeader]:
    names = InstanceHeader._fields[OWN_FIELDS : InstanceHeader._fields.index("entity_keys") + 1]
    columns = [getattr(Instance, name) for name in names]
    rows: dict[tuple[Any, ...], None] = {}
    for start in range(0, len(uids), _BATCH):
        query = select(*columns).where(
            column.in_(uids[start : start + _BATCH]), Instance.is_newest()
        )
        rows.update((tuple(row), None) for row in session.execute(query.distinct()))
    return [InstanceHeader("", None, b"", *row) for row in rows]
