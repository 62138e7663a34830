"""Stage: releases what nobody needs any more, and returns the work of dead workers."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, case, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from burnish.db import queue
from burnish.db.history import move
from burnish.db.session import Database, in_batches
from burnish.db.tables import (
    CommitmentTransaction,
    CommittedInstance,
    FileSet,
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    TranscodedInstance,
)
from burnish.lifecycle import RequestEvent
from burnish.settings import RetentionSettings, Settings
from burnish.spool import Spool
from burnish.vocabulary import ExecutionStatus, PieceState, YesNo

log = structlog.get_logger(__name__)

_OPEN = (ExecutionStatus.IDLE, ExecutionStatus.PENDING, ExecutionStatus.CREATING)
#: So many instances are released in one transaction, for which those that arrive have to wait,
_BATCH = 100
#: and so many in one go, for which planning has to wait.
_AT_ONCE = 5_000
#: A file that no row names may belong to a group that is being committed, for so many seconds.
_ORPHAN_AGE = 3600
#: In so many seconds whoever is alive renews its lease, once the database answers again.
_RENEWING = 10.0


def return_dead_work(database: Database) -> int:
    """Gives back the pieces whose lease has run out; how many.

    Where the database has not answered, nobody could renew a lease: then they get the time to.
    """
    with database.reading() as session:
        if not queue.anything_held(session):
            return 0
    with database.writing() as session:
        session.connection()  # which begins, and may have to wait
        return 0 if database.hindered(_RENEWING) else queue.reap(session)


def release(database: Database, spool: Spool, retention: RetentionSettings) -> None:
    """Removes old requests, then the instances that nobody references, then their files.

    By reference, never by age alone: an instance that an open request references stays, and one
    that Storage Commitment was promised for stays until the promise ends. Where there is much to
    release, it is released by and by: a part each time.
    """
    with database.writing() as session:
        _delete_requests(session, retention)
        _delete_commitments(session, retention)
    # looking through a million instances takes seconds, in which others want to write
    with database.reading() as session:
        due = session.scalars(_releasable(retention).limit(_AT_ONCE)).all()
        unnamed = session.scalars(
            select(Instance.id)
            .where(Instance.released_at.is_not(None), ~_on_media())
            .limit(_AT_ONCE)
        ).all()
    for batch in in_batches(due, _BATCH):
        with database.writing() as session:
            keys = _release_instances(session, retention, batch)
        for key in keys:
            spool.remove(key)
    for batch in in_batches(unnamed, _BATCH):
        with database.writing() as session:
            _forget_instances(session, batch)


def sweep(
    database: Database, spool: Spool, settings: Settings, *, orphan_age: float = _ORPHAN_AGE
) -> int:
    """Removes files that no row names, left by a crash, older than so many seconds; how many."""
    before = time.time() - orphan_age
    unknown = {key for key in spool.published_keys() if _is_older(spool.path(key), before)}
    unknown.difference_update(_needed_keys(database))
    orphans = [spool.path(key) for key in unknown]
    orphans += [path for path in spool.incoming.iterdir() if _is_older(path, before)]
    orphans += _unneeded_images(database, settings.storage.root / "images")
    for path in orphans:
        path.unlink(missing_ok=True)
    if orphans:
        log.info("files without a row removed", files=len(orphans))
    return len(orphans)


def _is_older(path: Path, than: float) -> bool:
    try:
        return os.stat(path).st_mtime < than
    except FileNotFoundError:
        return False


def _needed_keys(database: Database) -> Iterator[str]:
    """The keys of all files that live instances have; one pass, since keys have no index."""
    live = Instance.released_at.is_(None)
    received = select(Instance.spool_key).where(live)
    made = select(TranscodedInstance.spool_key).join(Instance).where(live)
    with database.reading() as session:
        for keys in (received, made):
            yield from session.scalars(keys.execution_options(yield_per=10_000))


def _unneeded_images(database: Database, images: Path) -> list[Path]:
    finished = (PieceState.CREATED, PieceState.SPOILED, PieceState.DROPPED)
    found = list(images.iterdir()) if images.is_dir() else []
    with database.reading() as session:
        needed = set(
            session.scalars(
                select(FileSet.id)
                .join(Piece, Piece.file_set_id == FileSet.id)
                .where(Piece.state.not_in(finished))
            )
        )
    return [path for path in found if path.name.partition("-")[0] not in map(str, needed)]


def _delete_requests(session: Session, retention: RetentionSettings) -> None:
    """Forgets requests whose time is over, but for two kinds.

    While an instance is here, it is known that it was asked for: no standing order asks again. And
    the newest request stays: SQLite would give its number to the next one, which would then have
    the names of its folder, its jobs and its File-sets (R000042).
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
    session.execute(
        delete(request)
        .where(or_(idle, finished), request.id != newest)
        .execution_options(synchronize_session=False)
    )
    for stays in session.scalars(select(request).where(idle, request.id == newest)):
        move(session, stays, RequestEvent.CANCELLED, why="nobody initiated it")


def _delete_commitments(session: Session, retention: RetentionSettings) -> None:
    """Forgets transactions of which the peer was told, or could not be, and whose promise ended."""
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
) -> Sequence[str]:
    """Releases those of a batch that are due now as they were before; the keys of their files."""
    # all that is due would be gone through again, were the batch not taken first
    taken = select(Instance).where(Instance.id.in_(batch)).limit(len(batch)).subquery()
    doomed = session.scalars(_releasable(retention, aliased(Instance, taken))).all()
    session.execute(
        update(Instance).where(Instance.id.in_(doomed)).values(released_at=datetime.now(UTC))
    )
    made = TranscodedInstance
    keys = [
        *session.scalars(select(Instance.spool_key).where(Instance.id.in_(doomed))),
        *session.scalars(select(made.spool_key).where(made.instance_id.in_(doomed))),
    ]
    _forget_instances(session, doomed)
    return keys


def _forget_instances(session: Session, ids: Sequence[int]) -> None:
    """Forgets those that are released and that no File-set names."""
    session.execute(
        delete(Instance)
        .where(Instance.id.in_(ids), Instance.released_at.is_not(None), ~_on_media())
        .execution_options(synchronize_session=False)
    )


def _on_media() -> ColumnElement[bool]:
    return exists().where(FileSetEntry.instance_id == Instance.id)


def _releasable(retention: RetentionSettings, among: type[Instance] = Instance) -> Select[Any]:
    """Those instances whose requests have all ended long ago, or for which nobody ever asked."""
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
            request.execution_status.in_(_OPEN),
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
        # two bounds joined by OR would be looked up one by one, each for all instances there are
        among.received_at < latest,
        among.received_at < case((referenced(), latest), else_=unrequested),
    )
