"""Stage: `burnish db recover` and `restore`: rebuilds the rows of instances from the spool."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from pydicom.filereader import read_file_meta_info
from sqlalchemy import delete, exists, func, insert, select, text, update
from sqlalchemy.orm import Session

from burnish import file_access
from burnish.db import identity as database_identity
from burnish.db import instance_rows
from burnish.db.history import note
from burnish.db.session import Database, in_batches
from burnish.db.tables import (
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    TranscodedInstance,
    short_id,
)
from burnish.directory_records import ROOT_TYPES
from burnish.errors import Unreadable
from burnish.hashing import digest_text, new_hasher
from burnish.identifiers import is_tolerable_uid, new_uid
from burnish.instance_header.header import IndexedFile, index_file
from burnish.spool import Spool, is_converted
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, RequestPriority, YesNo

log = structlog.get_logger(__name__)

#: Instances that are looked up in one statement.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Differences:
    """How the spool and the database differ.

    `rowless_files`: keys of files that no row names, oldest first. `fileless_instances`: ids of
    live instances whose files are missing or cut short. `fileless_transcodings`: ids of transcoded
    instances of which the same is true.
    """

    rowless_files: Sequence[str]
    fileless_instances: Sequence[int]
    fileless_transcodings: Sequence[int]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How many instances and files were dealt with in which way.

    `recovered`: contents of instances that have a row again. `known`: conversions, and files of
    instances that have a row with another file. `unreadable`: files that are no instances. `lost`:
    instances that were released because their files are gone.
    """

    recovered: int
    known: int
    unreadable: int
    lost: int


def compare(database: Database, spool: Spool) -> Differences:
    """Compare every file with every row; nothing may arrive meanwhile."""
    transcoded = TranscodedInstance
    is_live = Instance.released_at.is_(None)
    with database.reading() as session:
        rows = session.execute(
            select(Instance.id, Instance.spool_key, Instance.size).where(is_live)
        ).all()
        transcoded_rows = session.execute(
            select(transcoded.id, transcoded.spool_key, transcoded.size)
            .join(Instance, transcoded.instance_id == Instance.id)
            .where(is_live)
        ).all()
    files = {key: spool.path(key).stat() for key in spool.published_keys()}

    def is_whole(row: Any) -> bool:
        if row.spool_key in files:
            return bool(files[row.spool_key].st_size == row.size)
        return spool.slice(row.spool_key, row.size).is_whole()

    named_keys = {row.spool_key for row in (*rows, *transcoded_rows)}

    return Differences(
        rowless_files=sorted(files.keys() - named_keys, key=lambda key: files[key].st_mtime_ns),
        fileless_instances=[row.id for row in rows if not is_whole(row)],
        fileless_transcodings=[row.id for row in transcoded_rows if not is_whole(row)],
    )


def recover(
    database: Database,
    spool: Spool,
    *,
    called_ae_title: str,
    same_uid: Literal["newest", "first"] = "newest",
    identity: str = "",
) -> Recovery:
    """Make spool and database agree; nothing may arrive meanwhile.

    All of it is one transaction. Conversions get no row: they are made again. `same_uid` says which
    content of a SOP Instance UID counts, as in `receive`. No file tells which AE title the sender
    called: `called_ae_title` is put into each row. Instances without a whole file are released, so
    that they can be sent again. The database gets `identity`, or else one of its own if it has
    none.

    Raises AccessDenied for a file that this user may not read: it may well be an instance.
    """
    differences = compare(database, spool)
    recovered = known = unreadable = 0
    with database.writing() as session:
        _release_fileless(session, differences)
        for keys in in_batches(differences.rowless_files, _BATCH):
            rows = []
            for key in keys:
                if is_converted(key):
                    known += 1
                    continue
                try:
                    rows.append(_row(spool.path(key), key, called_ae_title))
                except (Unreadable, OSError) as error:
                    log.warning("spool file is not an instance", key=key, why=str(error))
                    unreadable += 1
            inserted = _insert_new(session, rows, newest_counts=same_uid == "newest")
            recovered += inserted
            known += len(rows) - inserted
        if identity or not database_identity.identity(session):
            database_identity.set_identity(session, identity)
    return Recovery(recovered, known, unreadable, lost=len(differences.fileless_instances))


def continue_request_numbers(database: Database, last: int) -> None:
    """Let the next request have a number above `last`, since media have the numbers up to that.

    The number `last` itself is taken by a cancelled request without instances. It stays until there
    is a newer request (see `retention.release`).
    """
    with database.reading() as session:
        if (session.scalar(select(func.max(MediaCreationRequest.id))) or 0) >= last:
            return
    now = datetime.now(UTC)
    with database.writing() as session:
        session.add(
            MediaCreationRequest(
                id=last,
                sop_instance_uid=new_uid(),
                origin="recovery",
                execution_status=ExecutionStatus.DELETED,
                execution_status_info=ExecutionStatusInfo.NORMAL,
                label_using_information_extracted_from_instances=YesNo.NO,
                allow_media_splitting=YesNo.NO,
                allow_lossy_compression=YesNo.NO,
                include_non_dicom_objects=YesNo.NO,
                include_display_application=YesNo.NO,
                preserve_composite_instances_after_media_creation=YesNo.NO,
                request_priority=RequestPriority.LOW,
                created_at=now,
                ended_at=now,
            )
        )
        session.flush()
        note(session, last, "RECOVERED", "media have the request numbers up to this one")
        if session.connection().dialect.name == "postgresql":
            session.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :last)"),
                {"table": MediaCreationRequest.__tablename__, "last": last},
            )
    log.warning("request numbers continue", after=short_id(last), why="media have the numbers")


def _insert_new(session: Session, rows: Sequence[dict[str, Any]], *, newest_counts: bool) -> int:
    """Insert the rows of contents that have none, and return the number of them.

    The rows are in the order in which the files arrived: of two contents of a SOP Instance UID the
    later one replaces the earlier one, or is left out if the first one counts.
    """
    new_rows: list[dict[str, Any]] = []
    newest = _newest_contents(session, {row["sop_instance_uid"] for row in rows})
    for row in rows:
        uid = row["sop_instance_uid"]
        before = newest.get(uid)
        if before is not None and (
            not newest_counts or instance_rows.has_same_content(before, row)
        ):
            continue
        new_rows.append(row)
        if before is None:
            newest[uid] = row
        elif row["received_at"] < before["received_at"]:
            row["replaced_at"] = before["received_at"]
        else:
            _mark_as_replaced(session, before, row["received_at"])
            newest[uid] = row
    if new_rows:
        session.execute(insert(Instance), new_rows)
    return len(new_rows)


def _newest_contents(session: Session, uids: Collection[str]) -> dict[str, Any]:
    """The newest content that has a row, by SOP Instance UID."""
    rows = session.execute(
        select(
            Instance.id,
            Instance.sop_instance_uid,
            Instance.received_at,
            *instance_rows.CONTENT_COLUMNS,
        ).where(Instance.sop_instance_uid.in_(uids), Instance.is_newest())
    )
    return {row.sop_instance_uid: row._mapping for row in rows}


def _mark_as_replaced(session: Session, before: Any, replaced_at: datetime) -> None:
    if "id" in before:
        session.execute(
            update(Instance).where(Instance.id == before["id"]).values(replaced_at=replaced_at)
        )
    else:  # its row is about to be inserted
        before["replaced_at"] = replaced_at


def _release_fileless(session: Session, differences: Differences) -> None:
    """Release instances, and delete transcodings, whose files are missing or cut short."""
    transcoded = TranscodedInstance
    is_on_media = exists().where(FileSetEntry.transcoded_instance_id == transcoded.id)
    for ids in in_batches(differences.fileless_instances, _BATCH):
        session.execute(
            update(Instance).where(Instance.id.in_(ids)).values(released_at=datetime.now(UTC))
        )
    for ids in in_batches(differences.fileless_transcodings, _BATCH):
        session.execute(
            delete(transcoded)
            .where(transcoded.id.in_(ids), ~is_on_media)
            .execution_options(synchronize_session=False)
        )


def _row(path: Path, key: str, called_ae_title: str) -> dict[str, Any]:
    """The row that `receive` made for this file; raises Unreadable, AccessDenied."""
    file_access.check(path)
    indexed = index_file(path)
    header = indexed.header
    uids = [header.sop_class_uid, header.sop_instance_uid]
    is_of_patient = header.directory_record_type not in ROOT_TYPES
    if is_of_patient or header.study_instance_uid or header.series_instance_uid:
        uids += [header.study_instance_uid, header.series_instance_uid]
    if not all(map(is_tolerable_uid, uids)):
        raise Unreadable("a UID is missing")
    sender = str(read_file_meta_info(path).get("SourceApplicationEntityTitle", ""))
    return {
        **instance_rows.header_values(header),
        "transfer_syntax_uid": indexed.transfer_syntax_uid,
        "spool_key": key,
        "size": path.stat().st_size,
        "data_set_offset": indexed.data_set_offset,
        "digest": _digest(path, indexed),
        "calling_ae_title": sender[:16],
        "called_ae_title": called_ae_title,
        "received_at": datetime.fromtimestamp(path.stat().st_mtime, UTC),
        "released_at": None,
        "replaced_at": None,
    }


def _digest(path: Path, indexed: IndexedFile) -> str:
    """The digest of the data set in this file."""
    hasher = new_hasher()
    with path.open("rb") as file:
        file.seek(indexed.data_set_offset)
        while block := file.read(1 << 20):
            hasher.update(block)
    return digest_text(hasher)
