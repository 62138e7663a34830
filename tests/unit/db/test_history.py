"""Every move leaves an event, is compared with what was there, and happens in no other cell."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from burnish.db import history
from burnish.db.tables import Event, FailedInstance, MediaCreationRequest, Piece
from burnish.errors import NotNow, StaleLease
from burnish.lifecycle import PIECE, REQUEST, PieceEvent, RequestEvent
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState
from factories import CT, Ground, add_request

ENDED = {ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED}


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def added(ground: Ground, **columns: object) -> str:
    with ground.database.writing() as session:
        return add_request(session, **columns).sop_instance_uid  # type: ignore[arg-type]


def events(session: Session, request_id: int) -> list[tuple[str, str, str]]:
    rows = session.scalars(select(Event).where(Event.request_id == request_id))
    return [(row.event, row.before, row.after) for row in rows]


def test_each_change_of_a_request_is_permitted_or_refused(ground: Ground) -> None:
    with ground.database.writing() as session:
        for status, event in product(ExecutionStatus, RequestEvent):
            request = add_request(session, status=status, remedy="as before", volumes=0)
            after = REQUEST.get((status, event))
            if after is None:
                with pytest.raises(NotNow):
                    history.move(session, request, event)
                assert request.execution_status is status
                assert events(session, request.id) == []
                continue
            history.move(session, request, event, why="because")
            session.expire(request)
            assert request.execution_status is after
            assert events(session, request.id) == [(event, status, after)]
            assert (request.ended_at is not None) == (after in ENDED)
            assert request.remedy == ""


def test_each_change_of_a_piece_is_permitted_or_refused(ground: Ground) -> None:
    with ground.database.writing() as session:
        for state, event in product(PieceState, PieceEvent):
            request = add_request(session)
            piece = request.file_sets[0].pieces[0]
            session.execute(update(Piece).where(Piece.id == piece.id).values(state=state))
            session.refresh(piece)
            after = PIECE.get((state, event))
            if after is None:
                with pytest.raises(NotNow):
                    history.move_piece(session, piece, event, request_id=request.id)
                assert events(session, request.id) == []
                continue
            history.move_piece(session, piece, event, request_id=request.id, attempts=7, device="d")
            session.expire(piece)
            assert piece.state == after
            assert piece.attempts == 7
            assert piece.device == "d"
            assert events(session, request.id) == [(event, state, after)]


@pytest.mark.parametrize(
    ("event", "status", "info"),
    [
        (RequestEvent.INITIATED, ExecutionStatus.IDLE, ExecutionStatusInfo.QUEUED),
        (RequestEvent.STARTED, ExecutionStatus.PENDING, ExecutionStatusInfo.NORMAL),
        (RequestEvent.COMPLETED, ExecutionStatus.CREATING, ExecutionStatusInfo.NORMAL),
        (RequestEvent.FAILED, ExecutionStatus.CREATING, ExecutionStatusInfo.UNKNOWN),
        (RequestEvent.RETRIED, ExecutionStatus.FAILURE, ExecutionStatusInfo.QUEUED),
        (RequestEvent.REPLANNED, ExecutionStatus.CREATING, ExecutionStatusInfo.QUEUED),
    ],
)
def test_each_status_has_a_default_info(
    ground: Ground, event: RequestEvent, status: ExecutionStatus, info: ExecutionStatusInfo
) -> None:
    uid = added(ground, status=status)
    with ground.database.writing() as session:
        history.move(session, session.merge(ground.request(uid)), event)
    assert ground.request(uid).execution_status_info is info


def test_the_event_records_why_and_when(ground: Ground) -> None:
    uid = added(ground)
    with ground.database.writing() as session:
        request = session.merge(ground.request(uid))
        history.move(
            session,
            request,
            RequestEvent.FAILED,
            info=ExecutionStatusInfo.SET_OVERSIZED,
            why="too large",
            remedy="a larger medium",
        )
    request = ground.request(uid)
    assert request.execution_status_info is ExecutionStatusInfo.SET_OVERSIZED
    assert request.remedy == "a larger medium"
    with ground.database.reading() as session:
        event = session.scalars(select(Event)).one()
        assert event.why == "too large"
        assert event.at.utcoffset() is not None
        assert event.at == request.ended_at


def test_of_two_processes_that_change_a_request_one_is_stale(ground: Ground) -> None:
    uid = added(ground)
    with ground.database.reading() as session:
        seen = session.scalars(select(MediaCreationRequest)).one()
    with ground.database.writing() as session:
        history.move(session, session.merge(ground.request(uid)), RequestEvent.STARTED)
    with pytest.raises(StaleLease), ground.database.writing() as session:  # noqa: PT012
        session.add(seen)
        history.move(session, seen, RequestEvent.CANCELLED)
    assert ground.request(uid).execution_status is ExecutionStatus.CREATING
    assert [event for event, _, _ in ground.events(uid)] == [RequestEvent.STARTED]


def test_of_two_processes_that_change_a_piece_one_is_stale(ground: Ground) -> None:
    uid = added(ground)
    request = ground.request(uid)
    seen = request.file_sets[0].pieces[0]
    with ground.database.writing() as session:
        history.move_piece(
            session,
            session.get_one(Piece, seen.id),
            PieceEvent.CANCELLED,
            request_id=request.id,
        )
    with pytest.raises(StaleLease), ground.database.writing() as session:  # noqa: PT012
        session.add(seen)
        history.move_piece(session, seen, PieceEvent.CLAIMED, request_id=request.id)
    assert len(ground.events(uid)) == 1


def test_a_lease_that_is_not_the_latest_changes_nothing(ground: Ground) -> None:
    uid = added(ground)
    request = ground.request(uid)
    with pytest.raises(StaleLease), ground.database.writing() as session:  # noqa: PT012
        piece = session.get_one(Piece, request.file_sets[0].pieces[0].id)
        history.move_piece(session, piece, PieceEvent.CLAIMED, request_id=request.id, held_epoch=5)
    assert ground.events(uid) == []


def test_a_change_and_its_event_are_one_transaction(ground: Ground) -> None:
    uid = added(ground)
    with pytest.raises(ZeroDivisionError), ground.database.writing() as session:  # noqa: PT012
        history.move(session, session.merge(ground.request(uid)), RequestEvent.STARTED)
        _ = 1 / 0
    assert ground.request(uid).execution_status is ExecutionStatus.PENDING
    assert ground.events(uid) == []


def test_dropping_cancels_unfinished_pieces_and_ends_their_leases(ground: Ground) -> None:
    uid = added(ground, copies=len(PieceState))
    with ground.database.writing() as session:
        for piece, state in zip(
            session.scalars(select(Piece).order_by(Piece.copy_number)), PieceState, strict=True
        ):
            session.execute(
                update(Piece).where(Piece.id == piece.id).values(state=state, lease_epoch=3)
            )
    with ground.database.writing() as session:
        history.drop_pieces(session, session.merge(ground.request(uid)), why="enough")
    after = [(p.state, p.lease_epoch) for p in ground.request(uid).file_sets[0].pieces]
    assert dict(zip(PieceState, after, strict=True)) == {
        PieceState.QUEUED: (PieceState.DROPPED, 4),
        PieceState.IMAGING: (PieceState.DROPPED, 4),
        PieceState.WRITING: (PieceState.SPOILED, 4),
        PieceState.VERIFYING: (PieceState.SPOILED, 4),
        PieceState.CREATED: (PieceState.CREATED, 3),
        PieceState.SPOILED: (PieceState.SPOILED, 3),
        PieceState.DROPPED: (PieceState.DROPPED, 3),
    }
    assert len(ground.events(uid, pieces=True)) == 4


def test_failing_drops_the_pieces_and_names_the_instances(ground: Ground) -> None:
    uid = added(ground, volumes=2, copies=2)
    for reason in (0x0112, 0x0110):  # again, after an administrator's retry
        with ground.database.writing() as session:
            history.fail(
                session,
                session.merge(ground.request(uid)),
                ExecutionStatusInfo.NO_INSTANCE,
                why="gone",
                remedy="send again",
                failures=[
                    FailedInstance(
                        ordinal=n,
                        referenced_sop_class_uid=CT,
                        referenced_sop_instance_uid=f"1.2.{n}",
                        failure_reason=reason,
                    )
                    for n in range(2)
                ],
            )
        request = ground.request(uid)
        assert request.execution_status is ExecutionStatus.FAILURE
        assert request.execution_status_info is ExecutionStatusInfo.NO_INSTANCE
        assert [failure.failure_reason for failure in request.failures] == [reason] * 2
        assert {piece.state for file_set in request.file_sets for piece in file_set.pieces} == {
            PieceState.DROPPED
        }
        with ground.database.writing() as session:
            history.move(session, session.merge(request), RequestEvent.RETRIED)


def test_a_note_changes_no_state(ground: Ground) -> None:
    uid = added(ground)
    with ground.database.writing() as session:
        history.note(session, ground.request(uid).id, "PLANNED", "on 2 x CD")
    assert ground.events(uid) == [("PLANNED", "", "")]


def test_informing_is_recorded_once(ground: Ground) -> None:
    uid = added(ground)
    for _ in range(3):
        with ground.database.writing() as session:
            request = session.merge(ground.request(uid))
            history.inform(
                session, request, ExecutionStatusInfo.OUT_OF_SUPPLIES, remedy="put in blanks"
            )
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.execution_status_info is ExecutionStatusInfo.OUT_OF_SUPPLIES
    assert request.remedy == "put in blanks"
    assert ground.events(uid) == [("OUT_OF_SUPPLIES", "", "")]
