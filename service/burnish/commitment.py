"""Stage: Storage Commitment (PS3.4 Annex J), from the request of a peer to its delivered report.

A transaction is requested, then judged (is each instance in the spool, whole?), then reported: by
the association that asked, or later by an association of our own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Select, insert, or_, select, update
from sqlalchemy.orm import Session

from burnish.db.tables import (
    CommitmentTransaction,
    CommittedInstance,
    FileSet,
    FileSetEntry,
    Instance,
    Piece,
)
from burnish.errors import InvalidArgument, OutOfResources
from burnish.identifiers import is_tolerable_uid
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.vocabulary import CommitmentFailure, PieceState

#: How long, after judging, only the association that asked for a transaction may report it.
_ASKING_ASSOCIATION_FIRST = timedelta(seconds=2)
#: How long a claim lasts: meanwhile nobody else sends the report. Then it is tried again.
CLAIM = timedelta(minutes=2)
#: The longest time between two attempts to deliver a report.
_LONGEST_PAUSE = timedelta(hours=1)

#: SOP Class UID and SOP Instance UID.
Reference = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One instance of a report; committed if `failure_reason` is 0.

    `file_set_id` and `file_set_uid` name the medium that it is on, if it is on one.
    """

    sop_class_uid: str
    sop_instance_uid: str
    failure_reason: int
    file_set_id: str
    file_set_uid: str


@dataclass(frozen=True, slots=True)
class Report:
    """The report to a peer about one transaction."""

    commitment_id: int
    transaction_uid: str
    items: tuple[Item, ...]

    @property
    def committed(self) -> list[Item]:
        return [item for item in self.items if not item.failure_reason]

    @property
    def failed(self) -> list[Item]:
        return [item for item in self.items if item.failure_reason]


@dataclass(frozen=True, slots=True)
class CommitmentLine:
    """One transaction in a list. `next_attempt` is when its report is tried again."""

    transaction_uid: str
    state: str
    calling_ae_title: str
    instances: int
    failed: int
    requested_at: datetime
    promised_until: datetime | None
    reported_at: datetime | None
    attempts: int
    next_attempt: datetime | None
    why: str


def request(
    session: Session,
    transaction_uid: str,
    references: Sequence[Reference],
    *,
    calling_ae_title: str,
    called_ae_title: str,
) -> int:
    """Record a request for commitment (PS3.4 J.3.2); returns the id of its transaction.

    A reference that is given twice is answered once. A peer that repeats a request before it has
    got the report gets the same transaction. If it asks for other instances under a Transaction
    UID that is in use, all of them fail with 0131H. Raises InvalidArgument.
    """
    _check_request(transaction_uid, references)
    references = list(dict.fromkeys(references))
    open_transaction = _open_transaction(session, transaction_uid, calling_ae_title)
    now = datetime.now(UTC)
    failure_reason = 0
    judged_at = None
    if open_transaction is not None:
        requested = {
            (instance.referenced_sop_class_uid, instance.referenced_sop_instance_uid)
            for instance in open_transaction.instances
        }
        if requested == set(references):
            return open_transaction.id
        failure_reason = CommitmentFailure.DUPLICATE_TRANSACTION_UID
        judged_at = now
    transaction = CommitmentTransaction(
        transaction_uid=transaction_uid,
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        requested_at=now,
        judged_at=judged_at,
        not_before=now + _ASKING_ASSOCIATION_FIRST,
        attempts=0,
    )
    session.add(transaction)
    session.flush()
    session.execute(
        insert(CommittedInstance),
        list(_instance_rows(transaction.id, references, failure_reason)),
    )
    return transaction.id


def _open_transaction(
    session: Session, transaction_uid: str, calling_ae_title: str
) -> CommitmentTransaction | None:
    return session.scalars(
        select(CommitmentTransaction).where(
            CommitmentTransaction.transaction_uid == transaction_uid,
            CommitmentTransaction.calling_ae_title == calling_ae_title,
            CommitmentTransaction.reported_at.is_(None),
            CommitmentTransaction.given_up_at.is_(None),
        )
    ).first()


def _check_request(transaction_uid: str, references: Sequence[Reference]) -> None:
    if not is_tolerable_uid(transaction_uid):
        raise InvalidArgument("Transaction UID is not a UID")
    if not references:
        raise InvalidArgument("Referenced SOP Sequence has no item")
    if not all(is_tolerable_uid(uid) for reference in references for uid in reference):
        raise InvalidArgument("Referenced SOP Sequence has a value that is not a UID")


def _instance_rows(
    commitment_id: int, references: Sequence[Reference], failure_reason: int
) -> Iterator[dict[str, Any]]:
    for ordinal, (sop_class, sop_instance) in enumerate(references):
        yield {
            "storage_commitment_id": commitment_id,
            "ordinal": ordinal,
            "referenced_sop_class_uid": sop_class,
            "referenced_sop_instance_uid": sop_instance,
            "failure_reason": failure_reason,
            "storage_media_file_set_id": "",
            "storage_media_file_set_uid": "",
        }


def open_transactions() -> Select[Any]:
    """The transactions that are still to be judged or to be reported."""
    return select(CommitmentTransaction.id).where(
        CommitmentTransaction.reported_at.is_(None), CommitmentTransaction.given_up_at.is_(None)
    )


def unjudged(session: Session) -> Sequence[int]:
    """The open transactions of which it is not decided yet what is committed, oldest first."""
    return session.scalars(
        select(CommitmentTransaction.id)
        .where(
            CommitmentTransaction.judged_at.is_(None),
            # implied by the first; for the index of open transactions
            CommitmentTransaction.reported_at.is_(None),
            CommitmentTransaction.given_up_at.is_(None),
        )
        .order_by(CommitmentTransaction.id)
    ).all()


def judge(
    session: Session,
    settings: Settings,
    spool: Spool,
    commitment_id: int,
    *,
    rows_complete: bool = True,
) -> bool:
    """Decide which instances are committed; False while a missing one may still arrive.

    As long as the rows of received instances are not complete, one without a row may be here.
    An instance is committed if it is in the spool, whole: it then stays there for
    `retention.committed_instances`. Failure Reasons are those of PS3.3 C.14.1.1.
    """
    row = session.get_one(CommitmentTransaction, commitment_id)
    if row.judged_at is not None:
        return True
    stored = {live.sop_instance_uid: live for live in session.execute(_stored(commitment_id))}
    now = datetime.now(UTC)
    wait_until = row.requested_at + settings.storage_commitment.wait_for_instances
    is_incomplete = any(
        instance.referenced_sop_instance_uid not in stored for instance in row.instances
    )
    if is_incomplete and (not rows_complete or now < wait_until):
        return False
    reason_if_missing = _reason_if_missing(spool)
    for instance in row.instances:
        live = stored.get(instance.referenced_sop_instance_uid)
        if live is None:
            instance.failure_reason = reason_if_missing
        else:
            instance.failure_reason = _failure_reason(
                spool, live, instance.referenced_sop_class_uid
            )
    if settings.storage_commitment.report_media:
        _name_media(session, row, {uid: live.id for uid, live in stored.items()})
    row.judged_at = now
    row.not_before = now + _ASKING_ASSOCIATION_FIRST
    if any(not instance.failure_reason for instance in row.instances):
        row.promised_until = now + settings.retention.committed_instances
    return True


def _stored(commitment_id: int) -> Any:
    """Selects the live instances of a transaction, locked so that they stay until it is judged."""
    return (
        select(
            Instance.id,
            Instance.sop_instance_uid,
            Instance.sop_class_uid,
            Instance.spool_key,
            Instance.size,
        )
        .join(
            CommittedInstance,
            CommittedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .where(
            CommittedInstance.storage_commitment_id == commitment_id,
            Instance.is_newest(),
        )
        .with_for_update(read=True, of=Instance)
    )


def _reason_if_missing(spool: Spool) -> CommitmentFailure:
    """Why an instance is not here: if the spool is too full, that may be the reason."""
    try:
        spool.check_room()
    except OutOfResources:
        return CommitmentFailure.RESOURCE_LIMITATION
    return CommitmentFailure.NO_SUCH_OBJECT_INSTANCE


def _failure_reason(spool: Spool, live: Any, sop_class_uid: str) -> int:
    """Why an instance that is here is not committed; 0 if it is."""
    if live.sop_class_uid != sop_class_uid:
        return CommitmentFailure.CLASS_INSTANCE_CONFLICT
    try:
        whole = spool.slice(live.spool_key, live.size).is_whole()
    except OSError:
        whole = False
    return 0 if whole else CommitmentFailure.PROCESSING_FAILURE


def _name_media(session: Session, row: CommitmentTransaction, ids: dict[str, int]) -> None:
    """Name the verified medium that each committed instance is on, if it is on one."""
    rows = session.execute(
        select(FileSetEntry.instance_id, FileSet.file_set_id, FileSet.file_set_uid)
        .join(FileSet, FileSetEntry.file_set_id == FileSet.id)
        .join(Piece, Piece.file_set_id == FileSet.id)
        .join(Instance, FileSetEntry.instance_id == Instance.id)
        .join(
            CommittedInstance,
            CommittedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .where(CommittedInstance.storage_commitment_id == row.id, Piece.state == PieceState.CREATED)
        .order_by(FileSet.id)
    )
    media = {
        instance_id: (file_set_id, file_set_uid) for instance_id, file_set_id, file_set_uid in rows
    }
    for instance in row.instances:
        medium = media.get(ids.get(instance.referenced_sop_instance_uid, 0))
        if medium is not None and not instance.failure_reason:
            instance.storage_media_file_set_id, instance.storage_media_file_set_uid = medium


def due(session: Session) -> dict[tuple[str, str], list[int]]:
    """The transactions whose reports are due, by (peer, AE title of ours that it called)."""
    rows = session.execute(
        select(
            CommitmentTransaction.calling_ae_title,
            CommitmentTransaction.called_ae_title,
            CommitmentTransaction.id,
        )
        .where(*_reportable(), CommitmentTransaction.not_before <= datetime.now(UTC))
        .order_by(CommitmentTransaction.id)
    )
    by_peer: dict[tuple[str, str], list[int]] = {}
    for calling, called, commitment_id in rows:
        by_peer.setdefault((calling, called), []).append(commitment_id)
    return by_peer


def _reportable() -> tuple[Any, ...]:
    """The conditions of a transaction that is judged and still open."""
    return (
        CommitmentTransaction.judged_at.is_not(None),
        CommitmentTransaction.reported_at.is_(None),
        CommitmentTransaction.given_up_at.is_(None),
    )


def claim(session: Session, commitment_id: int, *, early: bool = False) -> Report | None:
    """Claim a report for `CLAIM`; None if it is not due, or somebody else has claimed it.

    `early`: for the association that asked. It may make the first attempt before the report is due.
    """
    now = datetime.now(UTC)
    is_due = CommitmentTransaction.not_before <= now
    result = session.execute(
        update(CommitmentTransaction)
        .where(
            CommitmentTransaction.id == commitment_id,
            *_reportable(),
            or_(is_due, CommitmentTransaction.attempts == 0) if early else is_due,
        )
        .values(not_before=now + CLAIM, attempts=CommitmentTransaction.attempts + 1),
        execution_options={"synchronize_session": False},
    )
    assert isinstance(result, CursorResult)  # noqa: S101
    if result.rowcount != 1:
        return None
    row = session.get_one(CommitmentTransaction, commitment_id)
    # columns, not rows: SQLAlchemy would keep an object of each of 100,000 instances
    columns = session.execute(
        select(
            CommittedInstance.referenced_sop_class_uid,
            CommittedInstance.referenced_sop_instance_uid,
            CommittedInstance.failure_reason,
            CommittedInstance.storage_media_file_set_id,
            CommittedInstance.storage_media_file_set_uid,
        )
        .where(CommittedInstance.storage_commitment_id == commitment_id)
        .order_by(CommittedInstance.ordinal)
    )
    return Report(row.id, row.transaction_uid, tuple(Item(*values) for values in columns))


def is_judged(session: Session, commitment_id: int) -> bool:
    """Whether a transaction is judged, or is not there any more."""
    row = session.get(CommitmentTransaction, commitment_id)
    return row is None or row.judged_at is not None


def delivered(session: Session, commitment_id: int) -> None:
    """Note that the peer has acknowledged the report: the transaction is over."""
    row = session.get_one(CommitmentTransaction, commitment_id)
    row.reported_at = datetime.now(UTC)
    row.not_before = None
    row.why = ""


def not_delivered(session: Session, settings: Settings, commitment_id: int, why: str) -> bool:
    """Note why a report was not delivered: whether it is tried again, or given up.

    The pause before the next attempt doubles each time, up to an hour.
    """
    row = session.get_one(CommitmentTransaction, commitment_id)
    now = datetime.now(UTC)
    row.why = why
    limits = settings.storage_commitment
    if now >= (row.judged_at or now) + limits.give_up_after:
        row.given_up_at = now
        row.not_before = None
        return False
    pause = limits.retry_after * 2 ** min(row.attempts - 1, 16)
    row.not_before = now + min(pause, _LONGEST_PAUSE)
    return True


def hand_back(session: Session, commitment_id: int) -> None:
    """Make a report due at once.

    For the case that the association that made the request has ended, and the peer has not answered
    the report.
    """
    row = session.get(CommitmentTransaction, commitment_id)
    if row is not None and row.judged_at and not (row.reported_at or row.given_up_at):
        row.not_before = datetime.now(UTC)


def listing(session: Session, *, limit: int = 100) -> list[CommitmentLine]:
    """The newest transactions, newest first."""
    rows = session.scalars(
        select(CommitmentTransaction).order_by(CommitmentTransaction.id.desc()).limit(limit)
    )
    return [
        CommitmentLine(
            transaction_uid=row.transaction_uid,
            state=_state(row),
            calling_ae_title=row.calling_ae_title,
            instances=len(row.instances),
            failed=sum(bool(instance.failure_reason) for instance in row.instances),
            requested_at=row.requested_at,
            promised_until=row.promised_until,
            reported_at=row.reported_at,
            attempts=row.attempts,
            next_attempt=row.not_before,
            why=row.why,
        )
        for row in rows
    ]


def _state(row: CommitmentTransaction) -> str:
    if row.reported_at:
        return "REPORTED"
    if row.given_up_at:
        return "GIVEN UP"
    return "TO REPORT" if row.judged_at else "WAITING"
