"""Stage: inserts the rows of what was received by a process that has ended before it did so.

Whoever appends to a segment holds its lock: a segment that nobody has locked, and that is not
sealed, was left by a process that has died. It is indexed to its end and sealed.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from sqlalchemy import delete, select

from burnish.db import instance_records, instance_rows, received_rows
from burnish.db.new_rows import NewRow
from burnish.db.received_rows import RowRecorder
from burnish.db.session import Database
from burnish.db.tables import Segment
from burnish.errors import Unreadable
from burnish.file_slice import Slice
from burnish.hashing import digest_as_text, digest_text, new_hasher
from burnish.instance_header.header import index_slice
from burnish.spool import Spool, segment

log = structlog.get_logger(__name__)

#: Rows that are inserted by one transaction.
_BATCH = 500


def replay(database: Database, spool: Spool, same_uid: Literal["newest", "first"]) -> int:
    """Index and seal what processes that have died have left; how many instances got their rows.

    Raises OutOfResources.
    """
    with database.reading() as session:
        sealed = set(session.scalars(select(Segment.name).where(Segment.sealed_at.is_not(None))))
    inserted = 0
    for name in segment.names(spool.segments):
        if name not in sealed:
            inserted += _replay_segment(database, spool, same_uid, name)
    segment.remove_unfinished(spool.segments)
    return inserted


def _replay_segment(
    database: Database, spool: Spool, same_uid: Literal["newest", "first"], name: str
) -> int:
    path = segment.path(spool.segments, name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        if not segment.lock(descriptor):
            return 0
        if not segment.check_header(descriptor, name):
            return _discard(path, descriptor)
        return _Replay(database, spool, same_uid, name, descriptor).run()
    except Unreadable as error:
        log.error("segment cannot be read", segment=name, why=str(error))
        return 0
    finally:
        os.close(descriptor)


def _discard(path: Path, descriptor: int) -> int:
    """Remove a segment whose header did not reach the disk: nothing in it was acknowledged."""
    if any(os.pread(descriptor, segment.HEADER_SIZE, 0)):
        log.error("segment cannot be read", segment=path.stem, why="it has no header")
    else:
        path.unlink()
    return 0


class _Replay:
    """The replay of one segment, of which this process has the lock."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        same_uid: Literal["newest", "first"],
        name: str,
        descriptor: int,
    ) -> None:
        self._database = database
        self._spool = spool
        self._recorder = RowRecorder(database, same_uid)
        self._name = name
        self._descriptor = descriptor
        self._end = segment.HEADER_SIZE
        self._headers_hasher = new_hasher()

    def run(self) -> int:
        with self._database.reading() as session:
            row = session.get(Segment, self._name)
            if row is not None and row.sealed_at is not None:
                return 0
            indexed_offset = segment.HEADER_SIZE if row is None else row.indexed_offset
        if indexed_offset > os.fstat(self._descriptor).st_size:
            indexed_offset = segment.HEADER_SIZE  # the row is not that of this file
        inserted = 0
        batch: list[dict[str, Any]] = []
        for record in self._records():
            if record.offset >= indexed_offset and self._is_wanted(record):
                batch.append(self._row(record))
            if len(batch) >= _BATCH:
                inserted += self._insert(batch)
                batch = []
        if batch:
            inserted += self._insert(batch)
        self._seal()
        if inserted:
            log.warning("rows of instances replayed", segment=self._name, instances=inserted)
        return inserted

    def _records(self) -> Iterator[segment.SegmentRecord]:
        """The records of the segment; its end and the digest of the headers follow.

        Also those behind a damaged record header: they may have been acknowledged.
        """
        size = os.fstat(self._descriptor).st_size
        for record in segment.all_records(self._descriptor):
            if record.end > size + segment.ALIGNMENT:
                return
            self._end = record.end
            self._headers_hasher.update(record.header)
            yield record

    def _is_wanted(self, record: segment.SegmentRecord) -> bool:
        """Whether an instance gets its row: it was not released, and it was written whole.

        One that is torn was never acknowledged. It is released, so that nobody takes it for whole.
        """
        if record.has_own_file:
            row = instance_records.decode(record.row, "", "")
            return self._spool.slice(row["spool_key"], record.size).is_whole()
        if segment.is_released(self._descriptor, record):
            return False
        if segment.is_whole(self._descriptor, record):
            return True
        key = self._spool.key_in_segment(self._name, record.payload)
        log.warning("torn instance removed", segment=self._name, offset=record.offset)
        self._spool.erase(key, record.size)
        return False

    def _row(self, record: segment.SegmentRecord) -> dict[str, Any]:
        key = self._spool.key_in_segment(self._name, record.payload)
        row = instance_records.decode(record.row, key, digest_as_text(record.digest))
        if not instance_records.has_this_header_index(record.row):
            source: Slice = self._spool.slice(row["spool_key"], row["size"])
            row |= instance_rows.header_values(index_slice(source).header)
        return row

    def _insert(self, rows: list[dict[str, Any]]) -> int:
        new_rows = [NewRow.of(row) for row in rows]
        outcome = self._recorder.record(new_rows, {self._name: self._end}, self._spool.has_whole)
        outcome.log()
        unneeded = [*outcome.unneeded]
        unneeded += [(row["spool_key"], row["size"]) for row, _ in outcome.refused]
        for key, size in unneeded:
            with suppress(OSError):
                self._spool.erase(key, size)
        return outcome.inserted

    def _seal(self) -> None:
        """Cut off what is behind the last record, and note that the segment is sealed.

        A segment without records is removed.
        """
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._end)
        if self._end == segment.HEADER_SIZE:
            segment.path(self._spool.segments, self._name).unlink(missing_ok=True)
            with self._database.connection() as connection:
                connection.execute(delete(Segment).where(Segment.name == self._name))
            return
        with self._database.connection() as connection:
            received_rows.set_sealed(
                connection,
                self._name,
                size=self._end,
                digest=digest_text(self._headers_hasher),
                sealed_at=datetime.now(UTC),
            )
