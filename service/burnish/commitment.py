"""Stage: Storage Commitment: records what peers ask, promises what is here, and keeps what is
yet to be told them (PS3.4 Annex J)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, insert, or_, select, update
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

#: After a transaction is judged, the association that asked for it comes first for so long.
_OWN_ASSOCIATION_FIRST = timedelta(seconds=2)
#: Who has claimed a report has so long to deliver it; then it is tried again.
CLAIM = timedelta(minutes=2)
_LONGEST_PAUSE = timedelta(hours=1)

Reference = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a report; `failure_reason` 0: committed."""

    sop_class_uid: str
    sop_instance_uid: str
    failure_reason: int
    file_set_id: str
    file_set_uid: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a peer is to be told of one transaction."""

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
    """One transaction in a list."""

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
    """Records a request for commitment (PS3.4 J.3.2); its id.

    The same request again, before it was reported, is the same transaction. Another one under a
    Transaction UID that is in use fails as a whole with 0131H. Raises InvalidArgument.
    """
    _check(transaction_uid, references)
    open_one = session.scalars(
        select(CommitmentTransaction).where(
            CommitmentTransaction.transaction_uid == transaction_uid,
            CommitmentTransaction.calling_ae_title == calling_ae_title,
            CommitmentTransaction.reported_at.is_(None),
            CommitmentTransaction.given_up_at.is_(None),
        )
    ).first()
    reason, judged_at = 0, None
    now = datetime.now(UTC)
    if open_one is not None:
        known = {
            (one.referenced_sop_class_uid, one.referenced_sop_instance_uid)
            for one in open_one.instances
        }
        if known == set(references):
            return open_one.id
        reason, judged_at = CommitmentFailure.DUPLICATE_TRANSACTION_UID, now
    made = CommitmentTransaction(
        transaction_uid=transaction_uid,
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        requested_at=now,
        judged_at=judged_at,
        not_before=now + _OWN_ASSOCIATION_FIRST,
        attempts=0,
    )
    session.add(made)
    session.flush()
    session.execute(insert(CommittedInstance), list(_rows(made.id, references, reason)))
    return made.id


def _check(transaction_uid: str, references: Sequence[Reference]) -> None:
    if not is_tolerable_uid(transaction_uid):
        raise InvalidArgument("Transaction UID is not a UID")
    if not references:
        raise InvalidArgument("Referenced SOP Sequence has no item")
    if not all(is_tolerable_uid(uid) for reference in references for uid in reference):
        raise InvalidArgument("a UID of the Referenced SOP Sequence is not one")
    if len({instance for _, instance in references}) < len(references):
        raise InvalidArgument("an instance is referenced twice")


def _rows(
    commitment_id: int, references: Sequence[Reference], reason: int
) -> Iterator[dict[str, Any]]:
    for ordinal, (sop_class, sop_instance) in enumerate(references):
        yield {
            "storage_commitment_id": commitment_id,
            "ordinal": ordinal,
            "referenced_sop_class_uid": sop_class,
            "referenced_sop_instance_uid": sop_instance,
            "failure_reason": reason,
            "storage_media_file_set_id": "",
            "storage_media_file_set_uid": "",
        }


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


def judge(session: Session, settings: Settings, spool: Spool, commitment_id: int) -> bool:
    """Says of each instance whether it is committed; False while some may still arrive.

    Committed is what is in the spool, whole: it stays there for `retention.committed_instances`.
    Failure Reasons are those of PS3.3 C.14.1.1.
    """
    row = session.get_one(CommitmentTransaction, commitment_id)
    if row.judged_at is not None:
        return True
    stored = {found.sop_instance_uid: found for found in session.execute(_stored(commitment_id))}
    now = datetime.now(UTC)
    waits = row.requested_at + settings.storage_commitment.wait_for_instances
    missing = any(one.referenced_sop_instance_uid not in stored for one in row.instances)
    if missing and now < waits:
        return False
    absent = _absent(spool)
    for one in row.instances:
        found = stored.get(one.referenced_sop_instance_uid)
        one.failure_reason = (
            absent if found is None else _failure(spool, found, one.referenced_sop_class_uid)
        )
    if settings.storage_commitment.report_media:
        _name_media(session, row, {uid: found.id for uid, found in stored.items()})
    row.judged_at = now
    row.not_before = now + _OWN_ASSOCIATION_FIRST
    if any(not one.failure_reason for one in row.instances):
        row.promised_until = now + settings.retention.committed_instances
    return True


def _stored(commitment_id: int) -> Any:
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
            Instance.released_at.is_(None),
        )
        .with_for_update(read=True, of=Instance)
    )


def _absent(spool: Spool) -> CommitmentFailure:
    """Why an instance is not here: where the spool takes no more, it may have been for that."""
    try:
        spool.check_room()
    except OutOfResources:
        return CommitmentFailure.RESOURCE_LIMITATION
    return CommitmentFailure.NO_SUCH_OBJECT_INSTANCE


def _failure(spool: Spool, found: Any, sop_class_uid: str) -> int:
    if found.sop_class_uid != sop_class_uid:
        return CommitmentFailure.CLASS_INSTANCE_CONFLICT
    try:
        whole = spool.path(found.spool_key).stat().st_size == found.size
    except OSError:
        whole = False
    return 0 if whole else CommitmentFailure.PROCESSING_FAILURE


def _name_media(session: Session, row: CommitmentTransaction, ids: dict[str, int]) -> None:
    """Says on which verified volume each committed instance is, where there is one."""
    found = session.execute(
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
    media = {instance_id: (name, uid) for instance_id, name, uid in found}
    for one in row.instances:
        on = media.get(ids.get(one.referenced_sop_instance_uid, 0))
        if on is not None and not one.failure_reason:
            one.storage_media_file_set_id, one.storage_media_file_set_uid = on


def due(session: Session) -> dict[tuple[str, str], list[int]]:
    """The transactions to be reported now, by (peer, our AE title that it called)."""
    rows = session.execute(
        select(
            CommitmentTransaction.calling_ae_title,
            CommitmentTransaction.called_ae_title,
            CommitmentTransaction.id,
        )
        .where(*_reportable(), CommitmentTransaction.not_before <= datetime.now(UTC))
        .order_by(CommitmentTransaction.id)
    )
    found: dict[tuple[str, str], list[int]] = {}
    for calling, called, commitment_id in rows:
        found.setdefault((calling, called), []).append(commitment_id)
    return found


def _reportable() -> tuple[Any, ...]:
    return (
        CommitmentTransaction.judged_at.is_not(None),
        CommitmentTransaction.reported_at.is_(None),
        CommitmentTransaction.given_up_at.is_(None),
    )


def claim(session: Session, commitment_id: int, *, early: bool = False) -> Report | None:
    """Takes a report for oneself, for `CLAIM`; None where it is not due, or somebody else's.

    `early` is for the association that asked: it need not wait for its turn the first time.
    """
    now = datetime.now(UTC)
    turn = CommitmentTransaction.not_before <= now
    result = session.execute(
        update(CommitmentTransaction)
        .where(
            CommitmentTransaction.id == commitment_id,
            *_reportable(),
            or_(turn, CommitmentTransaction.attempts == 0) if early else turn,
        )
        .values(not_before=now + CLAIM, attempts=CommitmentTransaction.attempts + 1),
        execution_options={"synchronize_session": False},
    )
    assert isinstance(result, CursorResult)  # noqa: S101
    if result.rowcount != 1:
        return None
    row = session.get_one(CommitmentTransaction, commitment_id)
    items = tuple(
        Item(
            one.referenced_sop_class_uid,
            one.referenced_sop_instance_uid,
            one.failure_reason,
            one.storage_media_file_set_id,
            one.storage_media_file_set_uid,
        )
        for one in row.instances
    )
    return Report(row.id, row.transaction_uid, items)


def is_judged(session: Session, commitment_id: int) -> bool:
    row = session.get(CommitmentTransaction, commitment_id)
    return row is None or row.judged_at is not None


def delivered(session: Session, commitment_id: int) -> None:
    """The peer has acknowledged the report: the transaction is over."""
    row = session.get_one(CommitmentTransaction, commitment_id)
    row.reported_at = datetime.now(UTC)
    row.not_before = None
    row.why = ""


def not_delivered(session: Session, settings: Settings, commitment_id: int, why: str) -> bool:
    """The report did not reach the peer: it is tried again, ever later; False: given up."""
    row = session.get_one(CommitmentTransaction, commitment_id)
    now = datetime.now(UTC)
    row.why = why
    table = settings.storage_commitment
    if now >= (row.judged_at or now) + table.give_up_after:
        row.given_up_at, row.not_before = now, None
        return False
    row.not_before = now + min(table.retry_after * 2 ** min(row.attempts - 1, 16), _LONGEST_PAUSE)
    return True


def hand_back(session: Session, commitment_id: int) -> None:
    """The association that asked has ended without an answer to the report: a new one at once."""
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
            failed=sum(bool(one.failure_reason) for one in row.instances),
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
