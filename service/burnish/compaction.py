"""Stage: gives back the room of segments in which little or nothing is wanted any more.

A released instance gives back its room at once, if the file system can make holes. What is left is
given back here: a segment without live instances is deleted, and the live instances of a segment
that is mostly released are moved to another one.

Whatever is killed at whatever moment: an instance is in the segment that its row names. A copy that
was not finished is a duplicate, of which the replay of segments gives back the room.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.orm import Session

from burnish.db import instance_records, instance_rows, received_rows
from burnish.db.instance_rows import RowsInSegment
from burnish.db.session import Database, in_batches
from burnish.db.tables import (
    FileSet,
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    ReferencedInstance,
    Segment,
)
from burnish.errors import OutOfResources
from burnish.hashing import digest_text, new_hasher
from burnish.spool import Spool, segment
from burnish.vocabulary import OPEN_STATES

log = structlog.get_logger(__name__)

#: Seconds for which a segment is kept once nothing in it is wanted: it may be being read.
GRACE = 3600.0
#: The most bytes of instances that one call moves, and that are moved to one segment.
_MOST_MOVED = 1 << 30
_LARGEST_SEGMENT = 64 << 20
#: A segment is rewritten if that gives back at least so many bytes.
_LEAST_GAIN = 1 << 20
#: Bytes that are written at a time.
_WRITE = 4 << 20
#: Values in one IN condition.
_BATCH = 500


@dataclass(slots=True, eq=False)
class SegmentUse:
    """The state of one segment.

    `allocated`: the bytes that it takes on disk. `is_complete`: nothing is appended to it any more,
    and all its records have their rows.
    """

    name: str
    path: Path
    allocated: int = 0
    modified_at: float = 0.0
    is_complete: bool = False
    rows: RowsInSegment = field(default_factory=RowsInSegment)

    @property
    def gain(self) -> int:
        """The bytes that would be given back if the live instances were elsewhere."""
        return self.allocated - self.rows.live_size


class Compaction(NamedTuple):
    """How many segments were deleted and rewritten."""

    deleted: int
    rewritten: int


def survey(database: Database, spool: Spool) -> list[SegmentUse]:
    """Every segment of the spool, oldest first."""
    # listed first, and complete segments before live instances: what is inserted meanwhile belongs
    # to other segments
    uses = {
        name: SegmentUse(name, segment.path(spool.segments, name))
        for name in segment.names(spool.segments)
    }
    with database.reading() as session:
        complete = session.scalars(
            select(Segment.name).where(
                Segment.sealed_at.is_not(None), Segment.indexed_offset >= Segment.sealed_size
            )
        )
        for name in complete:
            if name in uses:
                uses[name].is_complete = True
        for name, rows in instance_rows.rows_in_segments(session, spool.place_in_segment).items():
            if name in uses:
                uses[name].rows = rows
    for name, use in list(uses.items()):
        try:
            status = os.stat(use.path)
        except FileNotFoundError:
            del uses[name]
            continue
        use.allocated, use.modified_at = status.st_blocks * 512, status.st_mtime
    return list(uses.values())


@dataclass(frozen=True, slots=True)
class SpoolRoom:
    """The room that the spool takes on disk, in bytes.

    `disk_used` is the share of the disk that is in use, by whatever. `segments_live` is what the
    instances take that are wanted; the rest of `segments_allocated` is given back in time, except
    what is allocated in advance.
    """

    disk_used: float
    disk_free: int
    segments: int
    segments_allocated: int
    segments_live: int
    segment_instances: int
    files: int
    files_size: int


def room(database: Database, spool: Spool) -> SpoolRoom:
    """Measure the room that the spool takes on disk at this moment."""
    uses = survey(database, spool)
    files = files_size = 0
    for key in spool.published_keys():
        with suppress(FileNotFoundError):
            files_size += spool.path(key).stat().st_blocks * 512
            files += 1
    disk = shutil.disk_usage(spool.segments)
    return SpoolRoom(
        disk_used=(disk.total - disk.free) / disk.total,
        disk_free=disk.free,
        segments=len(uses),
        segments_allocated=sum(use.allocated for use in uses),
        segments_live=sum(use.rows.live_size for use in uses),
        segment_instances=sum(len(use.rows.ids) for use in uses),
        files=files,
        files_size=files_size,
    )


def compact(database: Database, spool: Spool, *, grace: float = GRACE) -> Compaction:
    """Delete segments without live instances, and rewrite those that are mostly released.

    A segment that was changed in the last `grace` seconds is not deleted. Raises OutOfResources.
    """
    with _disk_errors():
        uses = survey(database, spool)
        deleted = _delete(database, spool, _unwanted(uses, grace))
        rewritten = _rewrite(database, spool, _mostly_released(database, uses))
    if deleted or rewritten:
        log.info("segments compacted", deleted=deleted, rewritten=rewritten)
    return Compaction(deleted, rewritten)


def delete_unwanted(database: Database, spool: Spool) -> None:
    """Delete segments without live instances; no other process may use the spool."""
    with _disk_errors():
        _delete(database, spool, _unwanted(survey(database, spool), 0))


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Turns errors of the disk into OutOfResources."""
    try:
        yield
    except OSError as error:
        raise OutOfResources(f"segments cannot be rewritten: {error.strerror}") from None


def _unwanted(uses: Iterable[SegmentUse], grace: float) -> list[SegmentUse]:
    """The segments without live instances that nobody can be reading any more."""
    oldest_kept = time.time() - grace
    return [
        use
        for use in uses
        if use.is_complete and not use.rows.ids and (grace <= 0 or use.modified_at < oldest_kept)
    ]


# --- deleting -------------------------------------------------------------------------------------


def _delete(database: Database, spool: Spool, unwanted: Sequence[SegmentUse]) -> int:
    """Delete segments without live instances, and the rows of segments whose files are gone."""
    _keep_records_of_own_files(database, spool, unwanted)
    for use in unwanted:
        use.path.unlink(missing_ok=True)
    if unwanted:
        # before the rows: without its row, a segment counts as new
        spool.sync_segments()
    # asked before the files are listed: a segment has its file before it has its row
    with database.reading() as session:
        names = set(session.scalars(select(Segment.name).where(Segment.sealed_at.is_not(None))))
    gone = sorted(names.difference(segment.names(spool.segments)))
    if gone:
        with database.writing() as session:
            for batch in in_batches(gone, _BATCH):
                session.execute(delete(Segment).where(Segment.name.in_(batch)))
    return len(unwanted)


def _keep_records_of_own_files(
    database: Database, spool: Spool, unwanted: Sequence[SegmentUse]
) -> None:
    """Copy the records of instances that have files of their own, as long as the files are there.

    From them, such instances would be recovered.
    """
    copied: list[segment.SegmentRecord] = []
    for use in unwanted:
        with segment.opened(spool.segments, use.name) as descriptor:
            for record in segment.all_records(descriptor):
                if record.has_own_file:
                    row = instance_records.decode(record.row, "", "")
                    if spool.path(row["spool_key"]).exists():
                        copied.append(record)
    if not copied:
        return
    with _SegmentOfCopies(spool) as target:
        for record in copied:
            target.add(record, b"")
        target.finish()
        with database.connection() as connection:
            target.record(connection)


# --- rewriting ------------------------------------------------------------------------------------


def _mostly_released(database: Database, uses: Iterable[SegmentUse]) -> list[SegmentUse]:
    """The segments to be rewritten, those with the least live bytes first.

    An instance that an open request needs is not moved: the media may be being written from it.
    """
    candidates = [
        use
        for use in uses
        if use.is_complete and use.rows.ids and use.gain >= max(use.rows.live_size, _LEAST_GAIN)
    ]
    chosen: list[SegmentUse] = []
    left = _MOST_MOVED
    for use in sorted(candidates, key=lambda use: use.rows.live_size):
        left -= use.rows.live_size
        if left < 0:
            break
        with database.reading() as session:
            if not _needed(session, use.rows.ids):
                chosen.append(use)
    return chosen


def _needed(session: Session, ids: Sequence[int]) -> set[int]:
    """Those of the instances that open requests name, or that are planned for their volumes."""
    request = MediaCreationRequest
    is_open = request.execution_status.in_(OPEN_STATES)
    needed: set[int] = set()
    for batch in in_batches(ids, _BATCH):
        needed.update(
            session.scalars(
                select(Instance.id)
                .join(
                    ReferencedInstance,
                    ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
                )
                .join(request, ReferencedInstance.request_id == request.id)
                .where(Instance.id.in_(batch), is_open)
            )
        )
        needed.update(
            session.scalars(
                select(FileSetEntry.instance_id)
                .join(FileSet, FileSetEntry.file_set_id == FileSet.id)
                .join(request, FileSet.request_id == request.id)
                .where(FileSetEntry.instance_id.in_(batch), is_open)
            )
        )
    return needed


def _rewrite(database: Database, spool: Spool, uses: Sequence[SegmentUse]) -> int:
    """Move the live instances of segments to new ones; how many segments were rewritten."""
    group: list[SegmentUse] = []
    size = 0
    for use in uses:
        if group and size + use.rows.live_size > _LARGEST_SEGMENT:
            _move(database, spool, group)
            group, size = [], 0
        group.append(use)
        size += use.rows.live_size
    if group:
        _move(database, spool, group)
    return len(uses)


class _Copy(NamedTuple):
    """A live instance that was copied."""

    instance_id: int
    size: int
    old_key: str
    new_key: str


def _move(database: Database, spool: Spool, uses: Sequence[SegmentUse]) -> None:
    """Copy the live instances of segments to a new one, then have their rows name it.

    The records that were moved count as released, so that nobody takes them for instances without
    a row. Their payloads stay until the segments are deleted: somebody may be reading them.
    """
    with _SegmentOfCopies(spool) as target:
        copies = [copy for use in uses for copy in _copy_live(spool, use, target)]
        if not copies:
            return
        target.finish()
        unmoved = _record_moves(database, target, copies)
    unmoved_keys = {copy.old_key for copy in unmoved}
    moved = (copy.old_key for copy in copies if copy.old_key not in unmoved_keys)
    with suppress(OSError):
        spool.mark_as_moved(moved)
    for use in uses:
        os.utime(use.path)
    for copy in unmoved:
        with suppress(OSError):
            spool.erase(copy.new_key, copy.size)


def _copy_live(spool: Spool, use: SegmentUse, target: "_SegmentOfCopies") -> Iterator[_Copy]:
    """Copy the live instances of a segment; those that are damaged or released are left out."""
    ids = dict(zip(use.rows.offsets, use.rows.ids, strict=True))
    with segment.opened(spool.segments, use.name) as descriptor:
        for record in segment.all_records(descriptor):
            instance_id = ids.get(record.payload)
            if record.has_own_file or instance_id is None:
                continue
            if segment.is_released(descriptor, record):
                continue
            if not segment.is_whole(descriptor, record):
                log.error("instance damaged", segment=use.name, offset=record.payload)
                continue
            payload = os.pread(descriptor, record.size, record.payload)
            offset = target.add(record, payload)
            yield _Copy(
                instance_id,
                record.size,
                spool.key_in_segment(use.name, record.payload),
                spool.key_in_segment(target.name, offset),
            )


def _record_moves(
    database: Database, target: "_SegmentOfCopies", copies: Sequence[_Copy]
) -> list[_Copy]:
    """Have rows name the copies, in one transaction. Returns the copies that no row names.

    Those were released meanwhile, or an open request needs them now.
    """
    unmoved = {copy.instance_id: copy for copy in copies}
    with database.writing() as session:
        needed = _needed(session, list(unmoved))
        moves = [
            {"of_id": copy.instance_id, "old_key": copy.old_key, "new_key": copy.new_key}
            for copy in copies
            if copy.instance_id not in needed
        ]
        connection = session.connection()
        for batch in in_batches(moves, _BATCH):
            connection.execute(
                update(Instance)
                .where(
                    Instance.id == bindparam("of_id"),
                    Instance.spool_key == bindparam("old_key"),
                    Instance.released_at.is_(None),
                )
                .values(spool_key=bindparam("new_key")),
                list(batch),
            )
        for ids in in_batches(list(unmoved), _BATCH):
            rows = session.execute(
                select(Instance.id, Instance.spool_key).where(Instance.id.in_(ids))
            )
            for instance_id, key in rows:
                if unmoved[instance_id].new_key == key:
                    del unmoved[instance_id]
        target.record(connection)
    return list(unmoved.values())


class _SegmentOfCopies:
    """A segment that gets copies of records of other segments, and nothing else.

    It is locked meanwhile, so that nobody takes it for that of a receiver which has died. If it is
    not recorded in the database, its file is removed.
    """

    def __init__(self, spool: Spool) -> None:
        self.name = segment.new_name()
        self._spool = spool
        self._path = segment.unfinished_path(spool.segments, self.name)
        self._hasher = new_hasher()
        self._is_recorded = False
        self._parts: list[bytes] = []
        self._gathered = 0
        self._end = self._written = 0

    def __enter__(self) -> "_SegmentOfCopies":
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o640)
        segment.lock(self._descriptor)
        self._gather(segment.encode_header(self.name))
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_recorded:
            with suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)

    def add(self, record: segment.SegmentRecord, payload: bytes) -> int:
        """Append a copy of a record; the offset of its payload."""
        self._hasher.update(record.header)
        self._gather(record.header)
        offset = self._end
        self._gather(payload)
        self._gather(segment.padding(self._end))
        return offset

    def finish(self) -> None:
        """Make the segment durable, and give it its name."""
        self._write()
        if self._spool.durable:
            os.fsync(self._descriptor)
        path = segment.path(self._spool.segments, self.name)
        self._path.rename(path)
        self._path = path
        self._spool.sync_segments()

    def record(self, connection: Connection) -> None:
        """Note in the database that the segment is sealed and that all of it has its rows."""
        received_rows.set_sealed(
            connection,
            self.name,
            size=self._end,
            digest=digest_text(self._hasher),
            sealed_at=datetime.now(UTC),
        )
        self._is_recorded = True

    def _gather(self, part: bytes) -> None:
        self._parts.append(part)
        self._end += len(part)
        if self._end - self._written >= _WRITE:
            self._write()

    def _write(self) -> None:
        data = memoryview(b"".join(self._parts))
        self._parts.clear()
        while data:
            count = os.pwrite(self._descriptor, data, self._written)
            self._written += count
            data = data[count:]
