"""Ground: the queue of pieces: a worker claims one, renews its lease, or loses it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, or_, select, update
from sqlalchemy.orm import Session

from burnish.db import tallies
from burnish.db.history import HELD, move_piece
from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.lifecycle import Custody, PieceEvent
from burnish.vocabulary import ExecutionStatus, PieceState, RequestPriority

#: How long a lease is valid after it was granted or renewed.
LEASE = timedelta(seconds=60)
#: A request that has waited this long is served like a request of the next higher priority.
AGEING = timedelta(hours=4)


def by_priority() -> tuple[Any, ...]:
    """The order in which requests are served: by priority, then by time of initiation.

    LOW counts as MED after `AGEING`, and as HIGH after twice that, so that no request waits for
    ever.
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
    """A piece that a worker holds, by its lease `lease_epoch`."""

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
    """Claim the next piece for `device`; None if there is none.

    `capacity`: how many bytes the device can write to each medium. Copy 1 of all volumes comes
    before copy 2 of any, so that complete sets come out first (1, 2, 3, 1, 2, 3). `followed`: only
    a piece that the device is making by itself.
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
    """The request id and the volume of the piece that would be claimed next, if there is one."""
    row = _next(session, device, capacity)
    return None if row is None else (int(row[1]), session.get_one(FileSet, row[0].file_set_id))


def anything_due(session: Session, device: str, media: Iterable[str]) -> bool:
    """Whether `claim` may find a piece; takes no lock."""
    piece_id = session.scalar(
        select(Piece.id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(_due(device), FileSet.medium.in_(tuple(media)))
        .limit(1)
    )
    return piece_id is not None


def _due(device: str) -> ColumnElement[bool]:
    """Queued pieces whose time has come. `not_before` binds the piece's last device, not others."""
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
    """The next piece, locked, and the id of its request."""
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


def heartbeat(
    session: Session, claimed: Claim, bytes_done: int = 0, *, is_active: bool = True
) -> bool:
    """Renew the lease, and note how far the work is; False if the worker has lost the piece.

    `is_active`: the work has gone on since the last heartbeat.
    """
    now = datetime.now(UTC)
    activity = {"active_at": now} if is_active else {}
    result = session.execute(
        update(Piece)
        .where(
            Piece.id == claimed.piece_id,
            Piece.lease_epoch == claimed.lease_epoch,
            Piece.state.in_(HELD),
        )
        .values(lease_until=now + LEASE, bytes_done=bytes_done, **activity)
        .returning(Piece.id)
    ).first()
    return result is not None


def reap(session: Session, *, device: str | None = None, owner: str = "") -> int:
    """Return the pieces of dead workers to the queue, and the number of them.

    A worker is dead if its lease has run out. With `device`, also if it is not `owner` but holds a
    piece on that device, which `owner` has just taken over. A medium that a dead worker was burning
    is ruined, and another piece is queued for it. A piece that the device is making by itself is
    claimed again later, and that does not count as an attempt.
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
            why="its worker ended while it was being made",
            lease_until=None,
            lease_owner="",
            attempts=piece.attempts - bool(piece.device_job),
        )
        if ruined:
            replace(session, piece)
    return len(rows)


def replace(session: Session, ruined: Piece, *, not_before: datetime | None = None) -> None:
    """Queue a piece to replace a ruined one; its device leaves it alone until `not_before`."""
    tallies.add(session, tallies.RETRIES, ruined.device)
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
