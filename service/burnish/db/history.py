"""Ground: `move`, the one place where a state is assigned; it writes the history with it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from burnish.db.tables import Event, FailedInstance, MediaCreationRequest, Piece
from burnish.errors import StaleLease
from burnish.lifecycle import PIECE, REQUEST, PieceEvent, RequestEvent, advance
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState

#: Execution Status Info where an event does not say: PS3.3 C.22.1.2.
_USUAL_INFO = {
    ExecutionStatus.PENDING: ExecutionStatusInfo.QUEUED,
    ExecutionStatus.FAILURE: ExecutionStatusInfo.UNKNOWN,
}
#: The states of a piece that is in a worker's hands.
HELD = (PieceState.IMAGING, PieceState.WRITING, PieceState.VERIFYING)
_ENDED = frozenset({ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED})


def move(
    session: Session,
    request: MediaCreationRequest,
    event: RequestEvent,
    *,
    info: ExecutionStatusInfo | None = None,
    why: str = "",
    remedy: str = "",
) -> None:
    """Moves a request by `event`; raises NotNow where its state does not allow it.

    The old state is compared again by the database, so of two who move at once one gets StaleLease.
    """
    before = request.execution_status
    after = advance(REQUEST, before, event)
    now = datetime.now(UTC)
    _compare_and_set(
        session,
        update(MediaCreationRequest)
        .where(
            MediaCreationRequest.id == request.id, MediaCreationRequest.execution_status == before
        )
        .values(
            execution_status=after,
            execution_status_info=info or _USUAL_INFO.get(after, ExecutionStatusInfo.NORMAL),
            remedy=remedy,
            ended_at=now if after in _ENDED else None,
        ),
    )
    session.add(
        Event(request_id=request.id, at=now, event=event, before=before, after=after, why=why)
    )
    session.flush()
    session.refresh(request, ["execution_status", "execution_status_info", "remedy", "ended_at"])


def move_piece(
    session: Session,
    piece: Piece,
    event: PieceEvent,
    *,
    request_id: int,
    held_epoch: int | None = None,
    why: str = "",
    **facts: object,
) -> None:
    """Moves a piece by `event` and sets `facts` with it.

    With `held_epoch`, only while that lease is the latest: StaleLease where the work has been
    given to another worker since.
    """
    before = piece.state
    after = advance(PIECE, before, event)
    statement = update(Piece).where(Piece.id == piece.id, Piece.state == before)
    if held_epoch is not None:
        statement = statement.where(Piece.lease_epoch == held_epoch)
    _compare_and_set(session, statement.values(state=after, **facts))
    now = datetime.now(UTC)
    session.add(
        Event(
            request_id=request_id,
            piece_id=piece.id,
            at=now,
            event=event,
            before=before,
            after=after,
            why=why,
        )
    )
    session.flush()
    session.refresh(piece)


def drop_pieces(session: Session, request: MediaCreationRequest, *, why: str) -> None:
    """Takes every unfinished piece of a request out of the queue, or from its worker's hands."""
    for file_set in request.file_sets:
        for piece in file_set.pieces:
            if piece.state is PieceState.QUEUED or piece.state in HELD:
                move_piece(
                    session,
                    piece,
                    PieceEvent.CANCELLED,
                    request_id=request.id,
                    why=why,
                    lease_epoch=piece.lease_epoch + 1,
                )


def fail(
    session: Session,
    request: MediaCreationRequest,
    info: ExecutionStatusInfo,
    *,
    why: str,
    failures: Sequence[FailedInstance] = (),
    remedy: str = "",
) -> None:
    """Ends a request in FAILURE with its reason and its Failed SOP Sequence."""
    drop_pieces(session, request, why="the request failed")
    request.failures = list(failures)
    move(session, request, RequestEvent.FAILED, info=info, why=why, remedy=remedy)


def note(
    session: Session, request_id: int, event: str, why: str, *, piece_id: int | None = None
) -> None:
    """Records a fact that moves no state."""
    session.add(
        Event(request_id=request_id, piece_id=piece_id, at=datetime.now(UTC), event=event, why=why)
    )


def inform(
    session: Session,
    request: MediaCreationRequest,
    info: ExecutionStatusInfo,
    *,
    why: str = "",
    remedy: str = "",
) -> None:
    """Says why a request waits: its state stays, its Execution Status Info changes."""
    if request.execution_status_info == info and request.remedy == remedy:
        return
    request.execution_status_info = info
    request.remedy = remedy
    note(session, request.id, info, why)


def _compare_and_set(session: Session, statement: object) -> None:
    result = session.execute(
        statement,  # type: ignore[call-overload]
        execution_options={"synchronize_session": False},
    )
    assert isinstance(result, CursorResult)  # noqa: S101
    if result.rowcount != 1:
        raise StaleLease("the state was moved by somebody else at the same time")
