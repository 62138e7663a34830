"""Ground: changes the states of requests and pieces, and writes each change to their history."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import CursorResult, delete, update
from sqlalchemy.orm import Session

from burnish.db import registered_media, tallies
from burnish.db.tables import Event, FailedInstance, MediaCreationRequest, Piece
from burnish.errors import StaleLease
from burnish.lifecycle import PIECE, REQUEST, PieceEvent, RequestEvent, advance
from burnish.values import SERVICE, Actor
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState

#: Execution Status Info (PS3.3 C.22.1.3) of a status unless the event has another.
_DEFAULT_INFO = {
    ExecutionStatus.PENDING: ExecutionStatusInfo.QUEUED,
    ExecutionStatus.FAILURE: ExecutionStatusInfo.UNKNOWN,
}
#: The states of a piece that a worker holds.
HELD = (PieceState.IMAGING, PieceState.WRITING, PieceState.VERIFYING)
#: The step of the work on a piece that each event ends.
_STEP_ENDED_BY = {
    PieceEvent.IMAGED: "image",
    PieceEvent.WRITTEN: "burn",
    PieceEvent.VERIFIED: "verify",
}
_ENDED = frozenset({ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED})


def move(
    session: Session,
    request: MediaCreationRequest,
    event: RequestEvent,
    *,
    info: ExecutionStatusInfo | None = None,
    why: str = "",
    remedy: str = "",
    actor: Actor = SERVICE,
) -> None:
    """Change the status of a request by `event`, which `actor` has caused.

    Raises NotNow if the status does not allow it.

    The database compares the old status again: of two processes that change it at the same time,
    one gets StaleLease.
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
            execution_status_info=info or _DEFAULT_INFO.get(after, ExecutionStatusInfo.NORMAL),
            remedy=remedy,
            ended_at=now if after in _ENDED else None,
        ),
    )
    session.add(
        Event(
            request_id=request.id,
            at=now,
            event=event,
            before=before,
            after=after,
            why=why,
            actor=str(actor),
        )
    )
    if after in _ENDED:
        tallies.add(session, tallies.REQUESTS, after)
    if event is RequestEvent.STARTED and request.initiated_at is not None:
        tallies.observe(session, "wait", (now - request.initiated_at).total_seconds())
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
    actor: Actor = SERVICE,
    verified: str = "",
    **facts: Any,
) -> None:
    """Change the state of a piece by `event`, and set the columns `facts`.

    `held_epoch`: the lease of the caller; raises StaleLease if another worker has got the piece
    since. A piece that is created or spoiled enters the register of media; `verified` says there
    what was examined after writing.
    """
    before = piece.state
    after = advance(PIECE, before, event)
    statement = update(Piece).where(Piece.id == piece.id, Piece.state == before)
    if held_epoch is not None:
        statement = statement.where(Piece.lease_epoch == held_epoch)
    now = datetime.now(UTC)
    began_at = piece.step_began_at
    changes = {"bytes_done": 0, "step_began_at": now, "active_at": now, **facts}
    _compare_and_set(session, statement.values(state=after, **changes))
    states = {"event": event, "before": before, "after": after, "why": why}
    session.add(Event(request_id=request_id, piece_id=piece.id, at=now, actor=str(actor), **states))
    session.flush()
    session.refresh(piece)
    if event in _STEP_ENDED_BY and began_at is not None:
        tallies.observe(session, _STEP_ENDED_BY[event], (now - began_at).total_seconds())
    if after in registered_media.REGISTERED_STATES:
        tallies.add(session, tallies.PIECES, f"{after}{tallies.SEPARATOR}{piece.device}")
        registered_media.register(
            session,
            piece,
            ended_at=now,
            why="" if after is PieceState.CREATED else why,
            verified=verified,
            medium_begun=before is not PieceState.IMAGING,
        )


def drop_pieces(
    session: Session, request: MediaCreationRequest, *, why: str, actor: Actor = SERVICE
) -> None:
    """Cancel every unfinished piece of a request, queued or held by a worker."""
    for file_set in request.file_sets:
        for piece in file_set.pieces:
            if piece.state is PieceState.QUEUED or piece.state in HELD:
                move_piece(
                    session,
                    piece,
                    PieceEvent.CANCELLED,
                    request_id=request.id,
                    why=why,
                    actor=actor,
                    lease_epoch=piece.lease_epoch + 1,
                )


def discard_plan(session: Session, request: MediaCreationRequest) -> None:
    """Discard the volumes of a request, their pieces and its Failed SOP Sequence."""
    session.execute(delete(FailedInstance).where(FailedInstance.request_id == request.id))
    for file_set in list(request.file_sets):
        session.delete(file_set)
    session.flush()
    session.expire(request, ["file_sets", "failures"])


def fail(
    session: Session,
    request: MediaCreationRequest,
    info: ExecutionStatusInfo,
    *,
    why: str,
    failures: Sequence[FailedInstance] = (),
    remedy: str = "",
    actor: Actor = SERVICE,
) -> None:
    """End a request in FAILURE, with the reason and its Failed SOP Sequence."""
    drop_pieces(session, request, why="the request failed", actor=actor)
    request.failures = list(failures)
    move(session, request, RequestEvent.FAILED, info=info, why=why, remedy=remedy, actor=actor)


def note(
    session: Session,
    request_id: int,
    event: str,
    why: str,
    *,
    piece_id: int | None = None,
    actor: Actor = SERVICE,
) -> None:
    """Record a fact that changes no state."""
    session.add(
        Event(
            request_id=request_id,
            piece_id=piece_id,
            at=datetime.now(UTC),
            event=event,
            why=why,
            actor=str(actor),
        )
    )


def inform(
    session: Session,
    request: MediaCreationRequest,
    info: ExecutionStatusInfo,
    *,
    why: str = "",
    remedy: str = "",
) -> None:
    """Record why a request waits: its Execution Status Info changes, its status does not."""
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
        raise StaleLease("another process changed the state at the same time")
