"""Stage: `burnish db recover` and `restore`: rebuilds the rows of instances from the spool."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from pydicom.filereader import read_file_meta_info
from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.orm import Session

from burnish import file_access
from burnish.db import identity as database_identity
from burnish.db import instance_count, instance_records, instance_rows, received_rows
from burnish.db.history import note
from burnish.db.received_rows import RowRecorder
from burnish.db.session import Database, in_batches
from burnish.db.tables import (
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    Segment,
    TranscodedInstance,
    short_id,
)
from burnish.directory_records import ROOT_TYPES
from burnish.errors import Unreadable
from burnish.hashing import digest_as_text, digest_text, new_hasher
from burnish.identifiers import is_tolerable_uid, new_uid
from burnish.instance_header.header import IndexedFile, index_file, index_slice
from burnish.spool import Spool, is_converted, segment
from burnish.values import CheckFinding
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, RequestPriority, YesNo
from burnish.wording import quantity

log = structlog.get_logger(__name__)

#: Instances that are looked up in one statement.
_BATCH = 500
#: Rows that are inserted at once.
_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Differences:
    """How the spool and the database differ.

    `rowless_files`: keys of files of their own that no row names, oldest first.
    `rowless_instances`: how many instances in segments no row names. `fileless_instances`: ids of
    live instances that are not in the spool, or not whole. `fileless_transcodings`: ids of
    transcoded instances of which the same is true.
    """

    rowless_files: Sequence[str]
    rowless_instances: int
    fileless_instances: Sequence[int]
    fileless_transcodings: Sequence[int]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How many instances and files were dealt with in which way.

    `recovered`: contents of instances that have a row again. `known`: conversions, and contents
    that have a row which names another place in the spool. `unreadable`: what is no instance.
    `lost`: instances that were released because they are not in the spool. `unneeded`: spool key
    and size of what can be erased once the recovered database is in its place.
    """

    recovered: int
    known: int
    unreadable: int
    lost: int
    unneeded: Sequence[tuple[str, int]] = field(default=(), compare=False)


def compare(database: Database, spool: Spool) -> Differences:
    """Compare the spool with every row. Instances that arrive meanwhile are left out."""
    with database.reading() as session:
        complete_to = {
            row.name: row.indexed_offset
            for row in session.execute(select(Segment.name, Segment.indexed_offset))
        }
    comparison = _SpoolComparison(database, spool)
    rowless_instances = 0
    for name in segment.names(spool.segments):
        for record, is_rowless in comparison.records(name):
            if is_rowless and record.offset < complete_to.get(name, 0):
                rowless_instances += 1
    return Differences(
        rowless_files=comparison.rowless_files(),
        rowless_instances=rowless_instances,
        fileless_instances=comparison.fileless_instances(),
        fileless_transcodings=comparison.fileless_transcodings,
    )


def findings(database: Database, spool: Spool) -> list[CheckFinding]:
    """Compare the spool with every row; what that finds, in sentences."""
    differences = compare(database, spool)
    rowless = len(differences.rowless_files) + differences.rowless_instances
    sentences = [CheckFinding(f"without a row in the spool: {quantity(rowless, 'instance')}")]
    incomplete = len(differences.fileless_instances) + len(differences.fileless_transcodings)
    if incomplete:
        text = f"the file of {quantity(incomplete, 'instance')} is missing or incomplete"
        remedy = "`burnish db recover` releases them, so that they can be sent again"
        sentences.append(CheckFinding(text, remedy))
    else:
        sentences.append(CheckFinding("every instance has its complete file"))
    return sentences


def all_rows_are_lost(database: Database, spool: Spool) -> bool:
    """Whether the database has no instance at all, but segments have instances that had rows.

    The row of a released instance is deleted only when its room was given back.
    """
    with database.reading() as session:
        if session.scalar(select(exists(select(Instance.id)))):
            return False
        complete_to = {
            row.name: row.indexed_offset
            for row in session.execute(select(Segment.name, Segment.indexed_offset))
        }
    return any(
        _has_kept_instances(spool, name, complete_to.get(name, 0))
        for name in segment.names(spool.segments)
    )


def _has_kept_instances(spool: Spool, name: str, end: int) -> bool:
    """Whether a segment has an instance before the position `end` that was not released."""
    with suppress(FileNotFoundError), segment.opened(spool.segments, name) as descriptor:
        for record in segment.all_records(descriptor):
            if record.offset >= end:
                break
            if record.has_own_file:
                key = instance_records.decode(record.row, "", "")["spool_key"]
                if spool.path(key).exists():
                    return True
            elif not segment.is_released(descriptor, record):
                return True
    return False


class _SpoolComparison:
    """A comparison of the spool with the rows that the database has at this moment.

    `records` has to be called for each segment before the other results are asked for.
    """

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        # files before rows: the row of each listed file is there, or it arrives at this moment
        self._files = {key: spool.path(key).stat() for key in spool.published_keys()}
        transcoded = TranscodedInstance
        is_live = Instance.released_at.is_(None)
        is_in_segment = Instance.spool_key.contains("@")
        with database.reading() as session:
            self._rows = session.execute(
                select(Instance.id, Instance.spool_key, Instance.size).where(
                    is_live, ~is_in_segment
                )
            ).all()
            transcoded_rows = session.execute(
                select(transcoded.id, transcoded.spool_key, transcoded.size)
                .join(Instance, transcoded.instance_id == Instance.id)
                .where(is_live)
            ).all()
            self._in_segments = instance_rows.rows_in_segments(session, spool.place_in_segment)
        self._named_keys = {row.spool_key for row in (*self._rows, *transcoded_rows)}
        self._keys_in_records: set[str] = set()
        self._fileless = [row.id for row in self._rows if not self._is_whole_file(row)]
        self.fileless_transcodings = [
            row.id for row in transcoded_rows if not self._is_whole_file(row)
        ]
        #: Released instances that a segment still has: a crash prevented that they were erased.
        self.unerased: list[tuple[str, int]] = []

    def _is_whole_file(self, row: Any) -> bool:
        status = self._files.get(row.spool_key)
        return status is not None and status.st_size == row.size

    def records(self, name: str) -> Iterator[tuple[segment.SegmentRecord, bool]]:
        """The records of the segment `name`, each with whether it has an instance without a row."""
        rows = self._in_segments.pop(name, None) or instance_rows.RowsInSegment()
        ids = dict(zip(rows.offsets, rows.ids, strict=True))
        released_offsets = set(rows.released_offsets)
        with segment.opened(self._spool.segments, name) as descriptor:
            for record in segment.all_records(descriptor):
                if record.has_own_file:
                    yield record, self._is_rowless_file(record)
                elif (
                    segment.is_released(descriptor, record)
                    or ids.pop(record.payload, None) is not None
                ):
                    yield record, False
                elif record.payload in released_offsets:
                    key = self._spool.key_in_segment(name, record.payload)
                    self.unerased.append((key, record.size))
                    yield record, False
                else:
                    yield record, True
        self._fileless += self._not_whole(list(ids.values()))

    def _is_rowless_file(self, record: segment.SegmentRecord) -> bool:
        key = instance_records.decode(record.row, "", "")["spool_key"]
        self._keys_in_records.add(key)
        return key in self._files and key not in self._named_keys

    def fileless_instances(self) -> list[int]:
        """The ids of live instances that are not in the spool, or not whole."""
        for name in list(self._in_segments):  # those have no file
            self._fileless += self._in_segments.pop(name).ids
        return self._fileless

    def rowless_files(self) -> list[str]:
        """The files that neither a row nor a record of a segment names, oldest first."""
        keys = self._files.keys() - self._named_keys - self._keys_in_records
        return sorted(keys, key=lambda key: self._files[key].st_mtime_ns)

    def _not_whole(self, ids: Sequence[int]) -> list[int]:
        """Those of the instances that are live and not whole, as their rows are now."""
        fileless: list[int] = []
        for batch in in_batches(ids, _BATCH):
            with self._database.reading() as session:
                rows = session.execute(
                    select(Instance.id, Instance.spool_key, Instance.size).where(
                        Instance.id.in_(batch), Instance.released_at.is_(None)
                    )
                ).all()
            fileless += [
                row.id for row in rows if not self._spool.slice(row.spool_key, row.size).is_whole()
            ]
        return fileless


def recover(
    database: Database,
    spool: Spool,
    *,
    called_ae_title: str,
    same_uid: Literal["newest", "first"] = "newest",
    identity: str = "",
    releases_missing: bool = True,
) -> Recovery:
    """Make spool and database agree; nothing may arrive meanwhile.

    All of it is one transaction. Rows come from the records of segments. Files of their own without
    a record are indexed anew: no such file tells which AE title the sender called, so their rows
    get `called_ae_title`. Conversions get no row: they are made again. `same_uid` says which
    content of a SOP Instance UID counts, as in `receive`. With `releases_missing`, instances that
    are not whole are released, so that they can be sent again. The database gets `identity`, or
    else one of its own if it has none.

    Raises AccessDenied for a file that this user may not read: it may well be an instance.
    """
    with database.writing() as session:
        run = _Run(database, spool, session, RowRecorder(database, same_uid))
        run.recover_files(called_ae_title)
        for name in segment.names(spool.segments):
            run.recover_segment(name)
        lost = run.release_fileless() if releases_missing else 0
        instance_count.set_to_present(session)
        if identity or not database_identity.identity(session):
            database_identity.set_identity(session, identity)
    return Recovery(run.recovered, run.known, run.unreadable, lost, run.unneeded)


def restore_lost_rows(
    database: Database,
    spool: Spool,
    *,
    called_ae_title: str,
    same_uid: Literal["newest", "first"] = "newest",
) -> int:
    """Give instances of the spool their rows again if the database has lost some.

    Returns how many were restored. The spool is read only if rows are missing. No other process may
    use the spool.
    """
    with database.reading() as session:
        lost = instance_count.lost_rows(session)
    if not lost:
        return 0
    outcome = recover(
        database,
        spool,
        called_ae_title=called_ae_title,
        same_uid=same_uid,
        releases_missing=False,
    )
    spool.erase_durably(outcome.unneeded)
    log.warning("lost rows of instances restored", lost=lost, restored=outcome.recovered)
    if outcome.recovered < lost:
        log.error(
            "instances lost",
            instances=lost - outcome.recovered,
            why="the database has lost their rows, and they are not in the spool",
            remedy="send the latest studies again",
        )
    return outcome.recovered


class _Run:
    """One recovery, in the transaction of `session`."""

    def __init__(
        self, database: Database, spool: Spool, session: Session, recorder: RowRecorder
    ) -> None:
        self._spool = spool
        self._session = session
        self._recorder = recorder
        self._comparison = _SpoolComparison(database, spool)
        self.recovered = self.known = self.unreadable = 0
        self.unneeded: list[tuple[str, int]] = []

    def recover_files(self, called_ae_title: str) -> None:
        """Recover files of their own that have no record, as those of an earlier version."""
        rowless = self._comparison.rowless_files()
        if rowless:
            in_records = self._keys_of_own_files()
            rowless = [key for key in rowless if key not in in_records]
        for keys in in_batches(rowless, _BATCH):
            rows = []
            for key in keys:
                if is_converted(key):
                    self.known += 1
                    continue
                try:
                    rows.append(_row_of_file(self._spool.path(key), key, called_ae_title))
                except (Unreadable, OSError) as error:
                    log.warning("spool file is not an instance", key=key, why=str(error))
                    self.unreadable += 1
            self._record(rows)

    def _keys_of_own_files(self) -> set[str]:
        keys: set[str] = set()
        for name in segment.names(self._spool.segments):
            with segment.opened(self._spool.segments, name) as descriptor:
                keys.update(
                    instance_records.decode(record.row, "", "")["spool_key"]
                    for record in segment.all_records(descriptor)
                    if record.has_own_file
                )
        return keys

    def recover_segment(self, name: str) -> None:
        """Recover the instances of a segment, and seal it.

        The records of a segment that was sealed were acknowledged. Of another one, some may be
        torn: all payloads are compared with their digests.
        """
        with segment.opened(self._spool.segments, name) as descriptor:
            is_sealed = segment.looks_sealed(descriptor)
            hasher = new_hasher()
            end = segment.HEADER_SIZE
            rows: list[dict[str, Any]] = []
            for record, is_rowless in self._comparison.records(name):
                hasher.update(record.header)
                end = record.end
                if not is_rowless:
                    continue
                if not is_sealed and not segment.is_whole(descriptor, record):
                    log.warning("torn instance left out", segment=name, offset=record.offset)
                    self.unreadable += 1
                    continue
                try:
                    rows.append(self._row_of_record(name, record))
                except (Unreadable, OSError) as error:
                    log.warning(
                        "record is not an instance",
                        segment=name,
                        offset=record.offset,
                        why=str(error),
                    )
                    self.unreadable += 1
                if len(rows) >= _ROWS_AT_ONCE:
                    self._record(rows)
                    rows = []
            self._record(rows)
            if end < os.fstat(descriptor).st_size:  # the rest was allocated in advance
                os.truncate(segment.path(self._spool.segments, name), end)
            received_rows.set_sealed(
                self._session.connection(),
                name,
                size=end,
                digest=digest_text(hasher),
                sealed_at=datetime.now(UTC),
            )

    def _row_of_record(self, name: str, record: segment.SegmentRecord) -> dict[str, Any]:
        key = self._spool.key_in_segment(name, record.payload)
        row = instance_records.decode(record.row, key, digest_as_text(record.digest))
        if not instance_records.has_this_header_index(record.row):
            source = self._spool.slice(row["spool_key"], row["size"])
            row |= instance_rows.header_values(index_slice(source).header)
        return row

    def _record(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        outcome = self._recorder.record_within(self._session.connection(), rows, self._is_whole)
        self.recovered += outcome.inserted
        self.unreadable += len(outcome.unstorable)
        self.known += len(rows) - outcome.inserted - len(outcome.unstorable)
        for row in outcome.unstorable:
            received_rows.log_unstorable(row)
        self.unneeded += outcome.unneeded
        self.unneeded += [(row["spool_key"], row["size"]) for row, _ in outcome.refused]

    def _is_whole(self, spool_key: str, size: int) -> bool:
        return self._spool.slice(spool_key, size).is_whole()

    def release_fileless(self) -> int:
        """Release instances that are not in the spool, and delete such transcodings.

        Instances whose content was found elsewhere in the spool are not among them any more.
        """
        self.unneeded += self._comparison.unerased
        session = self._session
        lost: list[int] = []
        for ids in in_batches(self._comparison.fileless_instances(), _BATCH):
            rows = session.execute(
                select(Instance.id, Instance.spool_key, Instance.size).where(Instance.id.in_(ids))
            )
            batch = [row.id for row in rows if not self._is_whole(row.spool_key, row.size)]
            session.execute(
                update(Instance).where(Instance.id.in_(batch)).values(released_at=datetime.now(UTC))
            )
            lost += batch
        transcoded = TranscodedInstance
        is_on_media = exists().where(FileSetEntry.transcoded_instance_id == transcoded.id)
        for ids in in_batches(self._comparison.fileless_transcodings, _BATCH):
            session.execute(
                delete(transcoded)
                .where(transcoded.id.in_(ids), ~is_on_media)
                .execution_options(synchronize_session=False)
            )
        return len(lost)


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


def _row_of_file(path: Path, key: str, called_ae_title: str) -> dict[str, Any]:
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
