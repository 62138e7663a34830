"""Stage: gives back instances of the spool as single DICOM files."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from burnish.db import instance_records, instance_rows
from burnish.db.instance_rows import Selection
from burnish.db.session import Database, in_batches
from burnish.db.tables import Instance, Segment
from burnish.errors import AlreadyExists, BurnishError, Unknown
from burnish.file_slice import Slice
from burnish.hashing import digest_as_text, digest_text, hasher_like
from burnish.identifiers import is_tolerable_uid
from burnish.spool import Spool, segment

#: Instances that are looked up in one statement.
_BATCH = 500


class Damaged(BurnishError):
    """An instance in the spool is not what was received."""


@dataclass(frozen=True, slots=True)
class Export:
    """How many instances were written, and how many were there already.

    `failed` has the SOP Instance UIDs of those that are not in the spool, or damaged, and why.
    """

    written: int
    present: int
    failed: dict[str, str]


@dataclass(frozen=True, slots=True)
class _ExportedInstance:
    """An instance to export: its file in the spool, and what its new file is named for."""

    source: Slice
    data_set_offset: int
    digest: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str

    def path_below(self, target: Path) -> Path:
        """Folders are named for study and series, the file is named for the instance."""
        names = [self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid]
        names = [name for name in names if name]
        if not all(map(is_tolerable_uid, names)):
            raise Damaged("its UIDs are not UIDs")
        return target.joinpath(*names[:-1], f"{names[-1]}.dcm")


def export(
    database: Database,
    spool: Spool,
    target: Path,
    *,
    selection: Selection | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Export:
    """Write the newest contents of the selected instances below the folder `target`.

    Without a selection, all instances are written. Each file is complete or not there, so an export
    that was interrupted can be repeated. Raises Unknown if nothing matches, AlreadyExists if there
    is another file with the name of an instance.
    """
    with database.reading() as session:
        statement = select(Instance.id).where(Instance.is_newest()).order_by(Instance.id)
        if selection is not None:
            statement = statement.where(selection.condition())
        ids = session.scalars(statement).all()
    if not ids:
        raise Unknown("no instance matches", hint="`burnish instance list` shows instances")
    written = present = 0
    failed: dict[str, str] = {}
    for batch in in_batches(ids, _BATCH):
        for instance in _instances(database, spool, batch):
            try:
                if _write(instance, target):
                    written += 1
                else:
                    present += 1
            except FileNotFoundError:
                failed[instance.sop_instance_uid] = "it is not in the spool"
            except Damaged as error:
                failed[instance.sop_instance_uid] = str(error)
            if progress:
                progress(written + present + len(failed), len(ids))
    return Export(written, present, failed)


def export_without_rows(database: Database, spool: Spool, target: Path) -> Export:
    """Write the instances in segments that have no row, because the database refused it."""
    written = present = 0
    failed: dict[str, str] = {}
    for instance in _instances_without_rows(database, spool):
        try:
            if _write(instance, target):
                written += 1
            else:
                present += 1
        except (FileNotFoundError, Damaged) as error:
            failed[instance.sop_instance_uid] = str(error)
    return Export(written, present, failed)


def _instances(database: Database, spool: Spool, ids: Sequence[int]) -> Iterator[_ExportedInstance]:
    """The instances of a batch that are still here, each with its place at this moment."""
    with database.reading() as session:
        rows = session.scalars(
            select(Instance).where(Instance.id.in_(ids), Instance.released_at.is_(None))
        ).all()
    for row in rows:
        source = spool.slice(row.spool_key, row.size)
        if not source.is_whole():  # it may have been moved since
            with database.reading() as session:
                moved = session.get(Instance, row.id)
            if moved is None or moved.released_at is not None:
                continue
            source = spool.slice(moved.spool_key, moved.size)
        yield _exported(vars(row), source)


def _exported(row: Any, source: Slice) -> _ExportedInstance:
    return _ExportedInstance(
        source,
        row["data_set_offset"],
        row["digest"],
        row["study_instance_uid"],
        row["series_instance_uid"],
        row["sop_instance_uid"],
    )


def _instances_without_rows(database: Database, spool: Spool) -> Iterator[_ExportedInstance]:
    with database.reading() as session:
        offsets = {
            row.name: row.indexed_offset
            for row in session.execute(select(Segment.name, Segment.indexed_offset))
        }
        rows = instance_rows.rows_in_segments(session, spool.place_in_segment)
    for name, indexed_offset in offsets.items():
        of_segment = rows.get(name, instance_rows.RowsInSegment())
        known = {*of_segment.offsets, *of_segment.released_offsets}
        with suppress(FileNotFoundError), segment.opened(spool.segments, name) as descriptor:
            for record in segment.all_records(descriptor):
                if record.has_own_file or record.payload in known:
                    continue
                if record.offset >= indexed_offset or segment.is_released(descriptor, record):
                    continue
                key = spool.key_in_segment(name, record.payload)
                row = instance_records.decode(record.row, key, digest_as_text(record.digest))
                yield _exported(row, spool.slice(key, record.size))


def _write(instance: _ExportedInstance, target: Path) -> bool:
    """Write one instance; False if its file is there already.

    Raises FileNotFoundError if it is not in the spool, Damaged, AlreadyExists.
    """
    path = instance.path_below(target)
    if path.exists():
        if path.stat().st_size != instance.source.size:
            raise AlreadyExists(f"{path} exists already, with other content")
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    hasher = hasher_like(instance.digest)
    position = 0
    try:
        with part.open("wb") as file:
            for piece in instance.source.pieces():
                file.write(piece)
                hasher.update(memoryview(piece)[max(0, instance.data_set_offset - position) :])
                position += len(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest_text(hasher) != instance.digest:
            raise Damaged("its digest is not that of what was received")
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return True
