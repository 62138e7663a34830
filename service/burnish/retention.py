"""Stage: releases what nobody needs any more, and returns the pieces of dead workers."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, case, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from burnish.db import instance_count, instance_rows, queue, registered_media, tallies
from burnish.db.history import move
from burnish.db.session import Database, in_batches
from burnish.db.tables import (
    CommitmentTransaction,
    CommittedInstance,
    Event,
    FileSet,
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    TranscodedInstance,
)
from burnish.errors import OutOfResources
from burnish.lifecycle import RequestEvent
from burnish.settings import RetentionSettings, Settings
from burnish.spool import Spool
from burnish.vocabulary import OPEN_STATES, ExecutionStatus, PieceState, YesNo

log = structlog.get_logger(__name__)

#: Instances that are released in one transaction: those that arrive have to wait for it.
_BATCH = 100
#: The most instances that one call of `release` releases: planning has to wait for it.
_MOST_RELEASED = 5_000
#: Seconds for which a file without a row is kept: its row may be about to be committed.
_ORPHAN_AGE = 3600
#: Instances that were released so long before the last one are certain to be erased.
_ERASED_AGAIN = timedelta(hours=1)
#: After the database answers again, wait this many seconds, so that every live worker can renew
#: its lease.
_LEASE_RENEWAL = 10.0


def return_dead_work(database: Database) -> int:
    """Return the pieces whose lease has run out to the queue, and the number of them.

    While the database does not answer, no worker can renew its lease. When it answers again, no
    piece is returned until every worker has had time to renew.
    """
    with database.reading() as session:
        if not queue.anything_held(session):
            return 0
    with database.writing() as session:
        session.connection()  # begins the transaction, which may have to wait
        if database.hindered(_LEASE_RENEWAL):
            return 0
        return queue.reap(session)


def release(database: Database, spool: Spool, retention: RetentionSettings) -> None:
    """Delete old requests, then the instances that nobody needs, then their files.

    Age alone never decides: an instance stays while an open request references it, or while a
    promise of Storage Commitment holds. If there is much to release, each call releases a part.

    The row of a released instance is deleted only when its room was given back durably: whatever a
    crash prevents is done by the next call. Raises OutOfResources.
    """
    with database.writing() as session:
        _delete_requests(session, retention)
        _delete_commitments(session, retention)
        registered_media.delete_old(session, retention.media_register)
        tallies.delete_old(session)
    # Scanning a million instances takes seconds, so it is done in a session that only reads: others
    # can write meanwhile.
    with database.reading() as session:
        due = session.scalars(_releasable(retention).limit(_MOST_RELEASED)).all()
        released = session.scalars(
            select(Instance.id).where(*instance_rows.is_deletable()).limit(_MOST_RELEASED)
        ).all()
    for batch in in_batches(due, _BATCH):
        with database.writing() as session:
            ids = _release_instances(session, retention, batch)
        _erase_and_delete(database, spool, ids)
    for batch in in_batches(released, _BATCH):
        _erase_and_delete(database, spool, batch)


def sweep(
    database: Database, spool: Spool, settings: Settings, *, orphan_age: float = _ORPHAN_AGE
) -> int:
    """Remove files that a crash left without a row, and return the number of them.

    So are renditions of instances that were released. Files younger than `orphan_age` seconds are
    kept. Instances in segments that were released just
    before a crash are erased again.
    """
    _erase_again(database, spool)
    oldest_kept = time.time() - orphan_age
    # listed before the query, so that the row of each listed file is there, or will never be
    keys = set(spool.published_keys())
    keys.difference_update(_needed_keys(database))
    orphans = [path for path in map(spool.path, keys) if _is_older(path, oldest_kept)]
    orphans += [path for path in spool.incoming.iterdir() if _is_older(path, oldest_kept)]
    orphans += _unneeded_images(database, settings.storage.root / "images")
    renditions = _unneeded_renditions(database, settings.storage.root / "content")
    orphans += [path for path in renditions if _is_older(path, oldest_kept)]
    for path in orphans:
        path.unlink(missing_ok=True)
    if orphans:
        log.info("files without a row removed", files=len(orphans))
    return len(orphans)


def _erase_again(database: Database, spool: Spool) -> None:
    """Erase the instances in segments again that were released last, in case that was cut off."""
    with database.reading() as session:
        last = session.scalar(select(func.max(Instance.released_at)))
        if last is None:
            return
        rows = session.execute(
            select(Instance.spool_key, Instance.size).where(
                Instance.released_at > last - _ERASED_AGAIN, Instance.spool_key.contains("@")
            )
        ).all()
    spool.erase_durably((row.spool_key, row.size) for row in rows)


def _is_older(path: Path, than: float) -> bool:
    try:
        return os.stat(path).st_mtime < than
    except FileNotFoundError:
        return False


def _needed_keys(database: Database) -> Iterator[str]:
    """The keys of all files of their own of live instances, in one pass: keys have no index."""
    live = Instance.released_at.is_(None)
    received = select(Instance.spool_key).where(live, ~Instance.spool_key.contains("@"))
    transcoded = select(TranscodedInstance.spool_key).join(Instance).where(live)
    with database.reading() as session:
        for keys in (received, transcoded):
            yield from session.scalars(keys.execution_options(yield_per=10_000))


def _unneeded_renditions(database: Database, renditions: Path) -> list[Path]:
    """The files in the cache of renditions whose instance is no longer here."""
    # listed before the query, so that the row of each listed file is there, or will never be
    paths = list(renditions.glob("*/*"))
    if not paths:
        return []
    digests = select(Instance.digest).where(Instance.released_at.is_(None))
    with database.reading() as session:
        rows = session.scalars(digests.execution_options(yield_per=10_000))
        live = {digest.rpartition(":")[2] for digest in rows}
    return [path for path in paths if path.name.partition("-")[0] not in live]


def _unneeded_images(database: Database, images: Path) -> list[Path]:
    """The images of File-sets that no piece is to be made from any more."""
    finished = (PieceState.CREATED, PieceState.SPOILED, PieceState.DROPPED)
    # listed before the query, so that old rows do not decide about an image that is begun between
    paths = list(images.iterdir()) if images.is_dir() else []
    with database.reading() as session:
        needed_file_sets = set(
            session.scalars(
                select(FileSet.id)
                .join(Piece, Piece.file_set_id == FileSet.id)
                .where(Piece.state.not_in(finished))
            )
        )
    needed_prefixes = {str(file_set_id) for file_set_id in needed_file_sets}
    return [path for path in paths if path.name.partition("-")[0] not in needed_prefixes]


def _delete_requests(session: Session, retention: RetentionSettings) -> None:
    """Delete requests whose retention is over, except three kinds.

    A request stays while one of its instances is here, so that no standing order asks for it again.
    The newest request stays, because SQLite would give its id to the next one, which would then
    have the same names for its folder, jobs and File-sets (R000042). So does the request with the
    newest event, whose number would be given again.
    """
    now = datetime.now(UTC)
    request = MediaCreationRequest
    idle = (request.execution_status == ExecutionStatus.IDLE) & (
        request.created_at < now - retention.idle_requests
    )
    is_here = exists().where(
        ReferencedInstance.request_id == request.id,
        ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        Instance.released_at.is_(None),
    )
    finished = (request.ended_at < now - retention.finished_requests) & ~is_here
    newest = session.scalar(select(func.max(request.id)))
    with_newest_event = session.scalar(select(Event.request_id).order_by(Event.id.desc()).limit(1))
    staying = [number for number in (newest, with_newest_event) if number is not None]
    deleted = session.scalars(
        select(request.id).where(or_(idle, finished), request.id.not_in(staying))
    ).all()
    for batch in in_batches(deleted, _BATCH):
        last_event = session.scalar(select(func.max(Event.id)).where(Event.request_id.in_(batch)))
        tallies.raise_to(session, tallies.LAST_DELETED_EVENT, last_event or 0)
        session.execute(
            delete(request)
            .where(request.id.in_(batch))
            .execution_options(synchronize_session=False)
        )
    for stays in session.scalars(select(request).where(idle, request.id == newest)):
        move(session, stays, RequestEvent.CANCELLED, why="nobody initiated it")


def _delete_commitments(session: Session, retention: RetentionSettings) -> None:
    """Delete transactions that are reported or given up, once their promise has ended."""
    now = datetime.now(UTC)
    row = CommitmentTransaction
    before = now - retention.finished_requests
    session.execute(
        delete(row)
        .where(
            or_(row.reported_at < before, row.given_up_at < before),
            or_(row.promised_until.is_(None), row.promised_until < now),
        )
        .execution_options(synchronize_session=False)
    )


def _release_instances(
    session: Session, retention: RetentionSettings, batch: Sequence[int]
) -> Sequence[int]:
    """Release the instances of a batch that are still due. Returns their ids."""
    # The subquery makes SQLite start from the batch. Otherwise it scans every releasable instance
    # for each batch.
    candidates = select(Instance).where(Instance.id.in_(batch)).limit(len(batch)).subquery()
    ids = session.scalars(_releasable(retention, aliased(Instance, candidates))).all()
    session.execute(
        update(Instance).where(Instance.id.in_(ids)).values(released_at=datetime.now(UTC))
    )
    return ids


def _erase_and_delete(database: Database, spool: Spool, ids: Sequence[int]) -> None:
    """Give back the room of released instances, then delete their rows where nothing needs them."""
    with database.reading() as session:
        files = instance_rows.files_of(session, ids)
    try:
        spool.erase_durably(files)
    except OSError as error:
        raise OutOfResources(f"the spool cannot be written: {error.strerror}") from None
    with database.writing() as session:
        _delete_released(session, ids)


def _delete_released(session: Session, ids: Sequence[int]) -> None:
    """Delete those of the rows that nothing needs any more."""
    deleted = session.connection().execute(
        delete(Instance).where(Instance.id.in_(ids), *instance_rows.is_deletable())
    )
    instance_count.note_deleted(session, deleted.rowcount)


def _releasable(retention: RetentionSettings, among: type[Instance] = Instance) -> Select[Any]:
    """Selects instances whose requests have all ended long ago, or that nobody ever asked for."""
    now = datetime.now(UTC)
    after_media = now - retention.instances_after_media
    unrequested = now - retention.unrequested_instances
    latest = max(after_media, unrequested)
    request = MediaCreationRequest
    keeps = request.preserve_composite_instances_after_media_creation == YesNo.YES

    def referenced(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists().where(
            ReferencedInstance.referenced_sop_instance_uid == among.sop_instance_uid,
            ReferencedInstance.request_id == request.id,
            *conditions,
        )

    needed = referenced(
        or_(
            request.execution_status.in_(OPEN_STATES),
            request.ended_at >= after_media,
            keeps & (request.ended_at >= unrequested),
        )
    )
    promised = exists().where(
        CommittedInstance.referenced_sop_instance_uid == among.sop_instance_uid,
        CommittedInstance.storage_commitment_id == CommitmentTransaction.id,
        or_(
            CommitmentTransaction.judged_at.is_(None),
            (CommittedInstance.failure_reason == 0) & (CommitmentTransaction.promised_until > now),
        ),
    )
    return select(among.id).where(
        among.released_at.is_(None),
        ~needed,
        ~promised,
        # not two bounds joined by OR: SQLite would go through all instances for each
        among.received_at < latest,
        among.received_at < case((referenced(), latest), else_=unrequested),
    )
