"""Ground: the queue of pieces: claim, keep, give back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, or_, select, update
from sqlalchemy.orm import Session

from burnish.db.history import HELD, move_piece
from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.lifecycle import Custody, PieceEvent
from burnish.vocabulary import ExecutionStatus, PieceState, RequestPriority

#: How long a lease holds without a heartbeat.
LEASE = timedelta(seconds=60)
#: A request that has waited so long is served like those of the next higher priority.
AGEING = timedelta(hours=4)


def by_priority() -> tuple[Any, ...]:
    """The order in which requests are served: priority, then who came first.

    LOW is as MED after `AGEING`, and as HIGH after twice that, so that nobody waits for ever.
    """
    request, now = MediaCreationRequest, datetime.now(UTC)
    low = request.request_priority == RequestPriority.LOW
    return (
        case(
            (request.request_priority == RequestPriority.HIGH, 0),
            (request.initiated_at < now - 2 * AGEING, 0),
            (low & (request.initiated_at >= now - AGEING), 2),
            (low, 1),
            (request.initiated_at < now - AGEING, 0),
            else_=1,
        ),
        request.initiated_at,
        request.id,
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """A piece in the hands of one worker."""

    piece_id: int
    file_set_id: int
    request_id: int
    lease_epoch: int


def claim(
    session: Session,
    *,
    device: str,
    capacity: Mapping[str, int],
    owner: str,
    followed: bool = False,
) -> Claim | None:
    """Takes the next piece for `device`, which can put so much on each medium, in bytes.

    By priority, then who came first. Copy 1 of all volumes comes before copy 2 of any, so that
    sets come out whole (1, 2, 3, 1, 2, 3). With `followed`, only a piece on which the device goes
    on by itself.
    """
    row = _next(session, device, capacity, followed=followed)
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


def next_piece(
    session: Session, device: str, capacity: Mapping[str, int]
) -> tuple[int, FileSet] | None:
    """The request and the volume of the piece that would be claimed next, if there is one."""
    row = _next(session, device, capacity)
    return None if row is None else (int(row[1]), session.get_one(FileSet, row[0].file_set_id))


def anything_due(session: Session, device: str, media: Iterable[str]) -> bool:
    """Whether a look for the next piece may find one; it takes no lock."""
    found = session.scalar(
        select(Piece.id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(_due(device), FileSet.medium.in_(tuple(media)))
        .limit(1)
    )
    return found is not None


def _due(device: str) -> ColumnElement[bool]:
    """Pieces whose time has come; what one device is to leave alone another may have."""
    return and_(
        Piece.state == PieceState.QUEUED,
        or_(
            Piece.not_before.is_(None),
            Piece.not_before <= datetime.now(UTC),
            Piece.device.not_in((device, "")),
        ),
    )


def _next(
    session: Session, device: str, capacity: Mapping[str, int], *, followed: bool = False
) -> Any:
    """The next piece, locked, with the id of its request."""
    fits = or_(
        false(),
        *(
            (FileSet.medium == medium) & (FileSet.predicted_size <= size)
            for medium, size in capacity.items()
        ),
    )
    free = and_(
        Piece.device_job == "",
        fits,
        MediaCreationRequest.held_at.is_(None),
        MediaCreationRequest.device.in_(("", device)),
    )
    own = (Piece.device_job != "") & (Piece.device == device)
    return session.execute(
        select(Piece, FileSet.request_id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .join(MediaCreationRequest, FileSet.request_id == MediaCreationRequest.id)
        .where(
            _due(device),
            MediaCreationRequest.execution_status.in_(
                (ExecutionStatus.PENDING, ExecutionStatus.CREATING)
            ),
            own if followed else or_(own, free),
        )
        .order_by(
            *by_priority(),
            Piece.copy_number,
            FileSet.volume_number,
        )
        .limit(1)
        .with_for_update(skip_locked=True, of=Piece)
    ).first()


def anything_held(session: Session) -> bool:
    """Whether any worker, alive or dead, holds a piece."""
    held = or_(*(Piece.state == state for state in HELD))  # SQLite uses no index for `state IN`
    return session.scalar(select(Piece.id).where(held).limit(1)) is not None


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

    What one of them was burning is ruined, and another piece is queued for it. What a device does
    by itself is followed on, which is no attempt. Dead is whose lease has run out; with `device`,
    also every other owner on that device, for a worker that has just taken the device for itself.
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
        ruined = piece.custody is Custody.RUINED and piece.state is not PieceState.IMAGING
        move_piece(
            session,
            piece,
            PieceEvent.RUINED if ruined else PieceEvent.RETURNED,
            request_id=request_id,
            held_epoch=piece.lease_epoch,
            why="its worker ended in the middle",
            lease_until=None,
            lease_owner="",
            attempts=piece.attempts - bool(piece.device_job),
        )
        if ruined:
            replace(session, piece)
    return len(rows)


def replace(session: Session, ruined: Piece, *, not_before: datetime | None = None) -> None:
    """Queues a piece in place of a ruined one; its device may have it at `not_before`."""
    session.add(
        Piece(
            file_set_id=ruined.file_set_id,
            copy_number=ruined.copy_number,
            state=PieceState.QUEUED,
            attempts=ruined.attempts,
            device=ruined.device,
            not_before=not_before,
        )
    )
