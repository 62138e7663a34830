"""Stage: rebuilds the rows of instances from the spool, where the database was lost or is older."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from pydicom.filereader import read_file_meta_info
from sqlalchemy import delete, exists, insert, select, update

from burnish.db import instance_rows
from burnish.db.session import Database, in_batches
from burnish.db.tables import FileSetEntry, Instance, TranscodedInstance
from burnish.directory_records import ROOT_TYPES
from burnish.errors import Unreadable
from burnish.hashing import digest_text, new_hasher
from burnish.identifiers import is_tolerable_uid
from burnish.instance_header.header import IndexedFile, index_file
from burnish.spool import Spool

log = structlog.get_logger(__name__)

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the spool and the database differ.

    `rowless` are the keys of files that no row names, oldest file first; `fileless` the ids of
    live instances, and `unconverted` of their conversions, whose files are not there whole.
    """

    rowless: Sequence[str]
    fileless: Sequence[int]
    unconverted: Sequence[int]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done: instances that have rows again, that are known in another file already,
    files that cannot be read, and instances whose files are gone and that are here no more.
    """

    recovered: int
    known: int
    unreadable: int
    lost: int


def compare(database: Database, spool: Spool) -> Agreement:
    """Looks at every file and every row, while nothing arrives."""
    made, live = TranscodedInstance, Instance.released_at.is_(None)
    with database.reading() as session:
        rows = session.execute(
            select(Instance.id, Instance.spool_key, Instance.size).where(live)
        ).all()
        conversions = session.execute(
            select(made.id, made.spool_key, made.size)
            .join(Instance, made.instance_id == Instance.id)
            .where(live)
        ).all()
    sizes = {key: spool.path(key).stat() for key in spool.published_keys()}
    named = {row.spool_key for row in (*rows, *conversions)}

    def not_whole(found: Sequence[Any]) -> list[int]:
        return [
            row.id
            for row in found
            if row.spool_key not in sizes or sizes[row.spool_key].st_size != row.size
        ]

    rowless = sorted(sizes.keys() - named, key=lambda key: sizes[key].st_mtime_ns)
    return Agreement(rowless, not_whole(rows), not_whole(conversions))


def recover(database: Database, spool: Spool, *, called_ae_title: str) -> Recovery:
    """Makes spool and database agree; nothing may arrive meanwhile.

    Files without a row get one, the oldest file of each SOP Instance; a later one is its
    conversion. Whom the sender called is in no file, so it is given. Instances without their file
    are released, so that they can be sent again.
    """
    found = compare(database, spool)
    _release(database, found)
    recovered = known = unreadable = 0
    for keys in in_batches(found.rowless, _BATCH):
        rows = []
        for key in keys:
            try:
                rows.append(_row(spool.path(key), key, called_ae_title))
            except (Unreadable, OSError) as error:
                log.warning("a file of the spool is no instance", key=key, why=str(error))
                unreadable += 1
        new = _insert(database, rows)
        recovered += new
        known += len(rows) - new
    return Recovery(recovered, known, unreadable, len(found.fileless))


def _insert(database: Database, rows: Sequence[dict[str, Any]]) -> int:
    """Inserts the rows of instances that have none; how many."""
    by_uid: dict[str, dict[str, Any]] = {}
    for row in rows:
        by_uid.setdefault(row["sop_instance_uid"], row)
    with database.writing() as session:
        known = session.scalars(
            select(Instance.sop_instance_uid).where(
                Instance.sop_instance_uid.in_(by_uid), Instance.released_at.is_(None)
            )
        ).all()
        new = [row for uid, row in by_uid.items() if uid not in set(known)]
        if new:
            session.execute(insert(Instance), new)
    return len(new)


def _release(database: Database, found: Agreement) -> None:
    """What is not here any more is not said to be."""
    made = TranscodedInstance
    on_media = exists().where(FileSetEntry.transcoded_instance_id == made.id)
    with database.writing() as session:
        for ids in in_batches(found.fileless, _BATCH):
            session.execute(
                update(Instance).where(Instance.id.in_(ids)).values(released_at=datetime.now(UTC))
            )
        for ids in in_batches(found.unconverted, _BATCH):
            session.execute(
                delete(made)
                .where(made.id.in_(ids), ~on_media)
                .execution_options(synchronize_session=False)
            )


def _row(path: Path, key: str, called_ae_title: str) -> dict[str, Any]:
    """The row that `receive` made of this file; raises Unreadable."""
    found = index_file(path)
    header = found.header
    rooted = header.directory_record_type in ROOT_TYPES
    uids = [header.sop_class_uid, header.sop_instance_uid]
    if not rooted or header.study_instance_uid or header.series_instance_uid:
        uids += [header.study_instance_uid, header.series_instance_uid]
    if not all(map(is_tolerable_uid, uids)):
        raise Unreadable("a UID is missing")
    return {
        **instance_rows.header_values(header),
        "transfer_syntax_uid": found.transfer_syntax_uid,
        "spool_key": key,
        "size": path.stat().st_size,
        "data_set_offset": found.data_set_offset,
        "digest": _digest(path, found),
        "calling_ae_title": str(read_file_meta_info(path).get("SourceApplicationEntityTitle", ""))[
            :16
        ],
        "called_ae_title": called_ae_title,
        "received_at": datetime.fromtimestamp(path.stat().st_mtime, UTC),
        "released_at": None,
    }


def _digest(path: Path, found: IndexedFile) -> str:
    hasher = new_hasher()
    with path.open("rb") as file:
        file.seek(found.data_set_offset)
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return digest_text(hasher)
