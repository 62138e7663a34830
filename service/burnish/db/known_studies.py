"""Ground: keeps the studies that people search for in step with the instances.

A study is known from its first instance until no instance and no request of it is kept any more. A
request keeps its studies, so that it names its patients when the instances are gone.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from burnish import character_sets
from burnish.db.search_terms import terms_of
from burnish.db.session import Database
from burnish.db.tables import (
    Instance,
    KnownStudy,
    MediaCreationRequest,
    ReferencedInstance,
    RequestStudy,
    SearchFill,
    SearchTerm,
)
from burnish.dicom_elements import scan
from burnish.vocabulary import ExecutionStatus

_SPECIFIC_CHARACTER_SET, _ACCESSION_NUMBER, _STUDY_DESCRIPTION = 0x00080005, 0x00080050, 0x00081030
_BIRTH_DATE, _SEX = 0x00100030, 0x00100040
#: The columns of an instance that tell studies apart.
KEY_COLUMNS = (
    Instance.study_instance_uid,
    Instance.patient_id,
    Instance.issuer_of_patient_id,
    Instance.patient_name,
)
#: Studies whose ids a receiver remembers. Then it forgets them all.
_MOST_REMEMBERED = 5000
#: Requests of an older database whose studies are noted by one transaction.
_REQUESTS_AT_ONCE = 50

#: The time of receipt of a study is noted this exactly.
_SAME_TIME = timedelta(seconds=2)
#: A study without new instances for this long can be closed: a receiver that has noted one since
#: will note the next.
_QUIET = timedelta(seconds=20)

Key = tuple[str, str, str, str, str]


class StudyRecorder:
    """Notes the studies of received instances, in the transaction that inserts their rows.

    It remembers which studies it has seen, so that one statement for all studies of a batch is
    enough, unless one of them is new.
    """

    def __init__(self) -> None:
        self._ids: dict[Key, int] = {}
        self._noted: dict[Key, datetime] = {}

    def note(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note the studies of the instances of `rows`."""
        studies: dict[Key, Mapping[str, Any]] = {}
        previous: Key | None = None
        for row in rows:
            key = (
                row["study_instance_uid"],
                row["patient_id"],
                row["issuer_of_patient_id"],
                row["patient_name"],
                row["modality"],
            )
            if key != previous:
                previous = key
                studies[key] = row
        noted = self._noted
        studies = {
            key: studies[key]
            for key in sorted(studies)
            if key[0]
            and (key not in noted or studies[key]["received_at"] - noted[key] > _SAME_TIME)
        }
        if not studies:
            return
        if not self._touch(connection, studies):
            if len(self._ids) > _MOST_REMEMBERED:
                self._ids.clear()
                noted.clear()
            for key, row in studies.items():
                self._ids[key] = _ensure(connection, row)
        for key, row in studies.items():
            noted[key] = row["received_at"]

    def _touch(self, connection: Connection, studies: Mapping[Key, Mapping[str, Any]]) -> bool:
        """Note the time of receipt of studies; False if one of them may have no row."""
        values = [
            {
                "known_id": self._ids.get(key, 0),
                "known_uid": key[0],
                "received_at": row["received_at"],
            }
            for key, row in studies.items()
        ]
        if any(value["known_id"] == 0 for value in values):
            return False
        return connection.execute(_TOUCH, values).rowcount == len(values)


_TOUCH = (
    update(KnownStudy.__table__)  # type: ignore[arg-type]
    .where(KnownStudy.id == bindparam("known_id"))
    .where(KnownStudy.study_instance_uid == bindparam("known_uid"))
    .values(last_received_at=bindparam("received_at"), is_open=True)
)


_INSERT = sqlite.insert(KnownStudy).on_conflict_do_nothing().returning(KnownStudy.id)
_INSERT_IN_POSTGRESQL = (
    postgresql.insert(KnownStudy).on_conflict_do_nothing().returning(KnownStudy.id)
)
_FIND = select(KnownStudy.id, KnownStudy.modalities).where(
    KnownStudy.identity == bindparam("known_identity")
)
#: Columns that a study has from its first instance.
_COPIED = (*(column.name for column in KEY_COLUMNS), "study_date", "study_time")


def _ensure(connection: Connection, row: Mapping[str, Any], *, is_newer: bool = True) -> int:
    """The id of the study of an instance; the study gets a row if it has none.

    `is_newer`: no instance of the study was received later.
    """
    identity = _identity(row)
    known = connection.execute(_FIND, {"known_identity": identity}).first()
    if known is None:
        study_id = _insert(connection, identity, row)
        if study_id is not None:
            return study_id
        known = connection.execute(_FIND, {"known_identity": identity}).one()
    modalities = [name for name in known.modalities.split(",") if name]
    if row["modality"] and row["modality"] not in modalities:
        modalities.append(row["modality"])
    values: dict[str, Any] = {"modalities": ",".join(modalities)}
    if is_newer:
        values |= {"last_received_at": row["received_at"], "is_open": True}
    connection.execute(update(KnownStudy).where(KnownStudy.id == known.id).values(values))
    return int(known.id)


def _insert(connection: Connection, identity: str, row: Mapping[str, Any]) -> int | None:
    """Insert a study with its terms; None if it is there already."""
    texts = _texts(row["entity_keys"])
    accession_number = texts.get(_ACCESSION_NUMBER, "")
    values = {
        "identity": identity,
        **{column: row[column] for column in _COPIED},
        "birth_date": texts.get(_BIRTH_DATE, ""),
        "sex": texts.get(_SEX, ""),
        "accession_number": accession_number,
        "study_description": texts.get(_STUDY_DESCRIPTION, ""),
        "modalities": row["modality"],
        "first_received_at": row["received_at"],
        "last_received_at": row["received_at"],
        "is_open": True,
    }
    statement = _INSERT_IN_POSTGRESQL if connection.dialect.name == "postgresql" else _INSERT
    study_id = connection.execute(statement, values).scalar()
    if study_id is None:
        return None
    terms = [
        {"kind": kind, "term": term, "study_id": study_id}
        for kind, term in terms_of(row["patient_name"], row["patient_id"], accession_number)
    ]
    if terms:
        connection.execute(insert(SearchTerm), terms)
    return int(study_id)


def _dialect_insert(connection: Connection) -> Any:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _identity(row: Mapping[str, Any]) -> str:
    """A digest of what tells studies apart, since a name can be longer than an index allows."""
    parts = "\0".join(str(row[column.name]) for column in KEY_COLUMNS)
    return hashlib.sha256(parts.encode("utf-8", "replace")).hexdigest()[:32]


def _texts(entity_keys: bytes) -> dict[int, str]:
    """The decoded values of the keys of patient and study that a known study has."""
    values = {
        element.tag: entity_keys[element.value : element.value + element.length]
        for element in scan(entity_keys, 0, len(entity_keys), explicit=True)
    }
    character_set = values.get(_SPECIFIC_CHARACTER_SET, b"")
    return {
        tag: character_sets.decode(values[tag], character_set)
        for tag in (_ACCESSION_NUMBER, _STUDY_DESCRIPTION, _BIRTH_DATE, _SEX)
        if tag in values
    }


# --- requests ---


def is_newest() -> ColumnElement[bool]:
    """As `Instance.is_newest`, where instances are found by their study.

    SQLite would go through all instances that are here, since it has an index of these, too.
    """
    return func.coalesce(Instance.released_at, Instance.replaced_at).is_(None)


def is_of_study() -> ColumnElement[bool]:
    """The condition that an instance is of a known study: for joins."""
    return (
        (Instance.study_instance_uid == KnownStudy.study_instance_uid)
        & (Instance.patient_id == KnownStudy.patient_id)
        & (Instance.issuer_of_patient_id == KnownStudy.issuer_of_patient_id)
        & (Instance.patient_name == KnownStudy.patient_name)
    )


def link_request(session: Session, request_id: int) -> None:
    """Note the studies of the instances of a request that are here."""
    _link(session.connection(), request_id)


def _link(connection: Connection, request_id: int) -> None:
    studies = (
        select(ReferencedInstance.request_id, KnownStudy.id)
        .distinct()
        .select_from(ReferencedInstance)
        .join(
            Instance,
            (Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid)
            & Instance.is_newest(),
        )
        .join(KnownStudy, is_of_study())
        .where(ReferencedInstance.request_id == request_id)
    )
    connection.execute(
        _dialect_insert(connection)(RequestStudy)
        .from_select(["request_id", "study_id"], studies)
        .on_conflict_do_nothing()
    )


def is_referenced() -> ColumnElement[bool]:
    """The condition that a request names an instance, even if it is cancelled."""
    return exists().where(
        ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid
    )


def is_requested() -> ColumnElement[bool]:
    """The condition that a request names an instance, and is not cancelled."""
    return exists().where(
        ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        MediaCreationRequest.id == ReferencedInstance.request_id,
        MediaCreationRequest.execution_status != ExecutionStatus.DELETED,
    )


def unrequested() -> ColumnElement[bool]:
    """The condition that an instance is here, and that no request names it but cancelled ones."""
    return is_newest() & ~is_requested()


def close_requested(session: Session, quiet: timedelta = _QUIET) -> int:
    """Note which studies have no instance any more that is here and that nobody has requested.

    Returns their number. The others are `is_open`: among them are all studies with such instances.
    """
    statement = (
        update(KnownStudy)
        .where(
            KnownStudy.is_open,
            KnownStudy.last_received_at < datetime.now(UTC) - quiet,
            ~exists(select(Instance.id).where(is_of_study(), unrequested())),
        )
        .values(is_open=False)
    )
    return session.connection().execute(statement).rowcount


def reopen(session: Session, request_id: int) -> None:
    """Note that instances of a cancelled request may be in no other request."""
    studies = select(RequestStudy.study_id).where(RequestStudy.request_id == request_id)
    session.connection().execute(
        update(KnownStudy).where(KnownStudy.id.in_(studies)).values(is_open=True)
    )


# --- older databases, and studies that nobody needs any more ---


def fill(database: Database, *, batch: int = 5000) -> bool:
    """Note the studies of some instances, or of some requests, of an older database.

    Returns False once all have been noted. Later instances and requests are noted as they come.
    """
    with database.connection() as connection:
        row = connection.execute(select(SearchFill.instances, SearchFill.requests)).first()
        instances, requests = (row[0], row[1]) if row else _begin_fill(connection)
        if instances is not None:
            values = {"instances": _fill_instances(connection, instances, batch)}
        elif requests is not None:
            values = {"requests": _fill_requests(connection, requests)}
        else:
            return False
        connection.execute(update(SearchFill).values(**values))
    return True


def _begin_fill(connection: Connection) -> tuple[int | None, int | None]:
    """The newest instance and the newest request that may have no studies noted."""
    instances = connection.execute(select(func.max(Instance.id))).scalar()
    requests = connection.execute(select(func.max(MediaCreationRequest.id))).scalar()
    connection.execute(insert(SearchFill).values(id=1, instances=instances, requests=requests))
    return instances, requests


def _fill_instances(connection: Connection, last: int, batch: int) -> int | None:
    """Note the studies of the instances up to `last`; the last one that is left, if any is."""
    newest = func.max(Instance.id).label("newest")
    groups = (
        select(newest)
        .where(Instance.id <= last, Instance.id > last - batch)
        .group_by(*KEY_COLUMNS, Instance.modality)
    )
    rows = connection.execute(
        select(
            *KEY_COLUMNS,
            Instance.modality,
            Instance.study_date,
            Instance.study_time,
            Instance.entity_keys,
            Instance.received_at,
        )
        .where(Instance.id.in_(groups), Instance.study_instance_uid != "")
        .order_by(Instance.id)
    ).all()
    for row in rows:
        _ensure(connection, row._asdict(), is_newer=False)
    return last - batch if last > batch else None


def _fill_requests(connection: Connection, last: int) -> int | None:
    """Note the studies of some requests up to `last`; the last one that is left, if any is."""
    request_ids = connection.execute(
        select(MediaCreationRequest.id)
        .where(MediaCreationRequest.id <= last)
        .order_by(MediaCreationRequest.id.desc())
        .limit(_REQUESTS_AT_ONCE)
    ).scalars()
    left = 0
    for request_id in request_ids:
        _link(connection, request_id)
        left = request_id - 1
    return left or None


def forget_unneeded(session: Session, quiet: timedelta = _QUIET) -> int:
    """Delete the studies of which no instance and no request is kept; returns their number.

    The newest study stays, so that its id is not given to another one.
    """
    is_requested = exists().where(RequestStudy.study_id == KnownStudy.id)
    deletion = delete(KnownStudy).where(
        KnownStudy.last_received_at < datetime.now(UTC) - quiet,
        ~exists(select(Instance.id).where(is_of_study())),
        ~is_requested,
        KnownStudy.id != select(func.max(KnownStudy.id)).scalar_subquery(),
    )
    return session.connection().execute(deletion).rowcount
