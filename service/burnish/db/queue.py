"""Ground: the queue of pieces: claim, keep, give back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import case, or_, select, update
from sqlalchemy.orm import Session

from burnish.db.history import HELD, move_piece
from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.lifecycle import PieceEvent
from burnish.vocabulary import ExecutionStatus, PieceState, RequestPriority

#: How long a lease holds without a heartbeat.
LEASE = timedelta(seconds=60)
_RANK = {RequestPriority.HIGH: 0, RequestPriority.MED: 1, RequestPriority.LOW: 2}


def by_priority() -> tuple[Any, ...]:
    """The order in which requests are served: priority, then who came first."""
    return (
        case(_RANK, value=MediaCreationRequest.request_priority, else_=1),
        MediaCreationRequest.initiated_at,
        MediaCreationRequest.id,
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """A piece in the hands of one worker."""

    piece_id: int
    file_set_id: int
    request_id: int
    lease_epoch: int


def claim(
    session: Session, *, device: str, capacity: Mapping[str, int], owner: str
) -> Claim | None:
    """Takes the next piece for `device`, which can put so much on each medium, in bytes.

    By priority, then who came first. Copy 1 of all volumes comes before copy 2 of any, so that
    sets come out whole (1, 2, 3, 1, 2, 3).
    """
    row = _next(session, device, capacity)
    if row is None:
        return None
    piece, request_id = row
    move_piece(
        session,
        piece,
        PieceEvent.CLAIMED,
        request_id=request_id,
        why=f"by device {device}",
        device=device,
        lease_owner=owner,
        lease_epoch=piece.lease_epoch + 1,
        lease_until=datetime.now(UTC) + LEASE,
        attempts=piece.attempts + 1,
        not_before=None,
    )
    return Claim(piece.id, piece.file_set_id, request_id, piece.lease_epoch)


def next_request(session: Session, device: str, capacity: Mapping[str, int]) -> int | None:
    """The request whose piece would be claimed next, None where there is none."""
    row = _next(session, device, capacity)
    return None if row is None else int(row[1])


def _next(session: Session, device: str, capacity: Mapping[str, int]) -> Any:
    """The next piece, locked, with the id of its request."""
    now = datetime.now(UTC)
    return session.execute(
        select(Piece, FileSet.request_id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .join(MediaCreationRequest, FileSet.request_id == MediaCreationRequest.id)
        .where(
            Piece.state == PieceState.QUEUED,
            MediaCreationRequest.execution_status.in_(
                (ExecutionStatus.PENDING, ExecutionStatus.CREATING)
            ),
            MediaCreationRequest.held_at.is_(None),
            MediaCreationRequest.device.in_(("", device)),
            or_(Piece.not_before.is_(None), Piece.not_before <= now),
            or_(
                *(
                    (FileSet.medium == medium) & (FileSet.predicted_size <= size)
                    for medium, size in capacity.items()
                )
            ),
        )
        .order_by(
            *by_priority(),
            Piece.copy_number,
            FileSet.volume_number,
        )
        .limit(1)
        .with_for_update(skip_locked=True, of=Piece)
    ).first()


def heartbeat(session: Session, claimed: Claim) -> bool:
    """Extends the lease; False where the piece is no longer this worker's."""
    result = session.execute(
        update(Piece)
        .where(
            Piece.id == claimed.piece_id,
            Piece.lease_epoch == claimed.lease_epoch,
            Piece.state.in_(HELD),
        )
        .values(lease_until=datetime.now(UTC) + LEASE)
        .returning(Piece.id)
    ).first()
    return result is not None


def reap(session: Session, *, device: str | None = None, owner: str = "") -> int:
    """Gives back what dead workers held; how many pieces.

    Dead is whose lease has run out; with `device`, also every other owner on that device, for a
    worker that has just taken the device for itself.
    """
    dead = Piece.lease_until < datetime.now(UTC)
    if device is not None:
        dead = or_(dead, (Piece.device == device) & (Piece.lease_owner != owner))
    rows = session.execute(
        select(Piece, FileSet.request_id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(Piece.state.in_(HELD), dead)
    ).all()
    for piece, request_id in rows:
        move_piece(
            session,
            piece,
            PieceEvent.RETURNED,
            request_id=request_id,
            held_epoch=piece.lease_epoch,
            why="its worker ended in the middle",
            lease_until=None,
            lease_owner="",
        )
    return len(rows)
