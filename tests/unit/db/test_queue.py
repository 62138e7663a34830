"""The queue of pieces: whose turn it is, whose piece it is, and what becomes of the dead."""

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from burnish.db import queue
from burnish.db.history import HELD, move_piece
from burnish.db.queue import AGEING, LEASE, Claim
from burnish.db.session import Database
from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.errors import StaleLease
from burnish.lifecycle import Custody, PieceEvent
from burnish.vocabulary import ExecutionStatus, PieceState, RequestPriority
from factories import Ground, add_request

CD = {"CD": 10**9}
NOW = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def added(ground: Ground, **columns: Any) -> int:
    with ground.database.writing() as session:
        return add_request(session, **columns).id


def claim(
    ground: Ground, capacity: Mapping[str, int] = CD, *, device: str = "d", owner: str = "w"
) -> Claim | None:
    with ground.database.writing() as session:
        return queue.claim(session, device=device, capacity=capacity, owner=owner)


def claimed(ground: Ground) -> Claim:
    got = claim(ground)
    assert got is not None
    return got


def piece(ground: Ground, piece_id: int) -> Piece:
    with ground.database.reading() as session:
        return session.get_one(Piece, piece_id)


def set_piece(ground: Ground, piece_id: int, **columns: Any) -> None:
    with ground.database.writing() as session:
        session.execute(update(Piece).where(Piece.id == piece_id).values(**columns))


def order(ground: Ground) -> list[tuple[int, int, int]]:
    """(request, volume, copy) in the order in which they are claimed."""
    pieces = []
    while (claimed := claim(ground)) is not None:
        with ground.database.reading() as session:
            volume = session.get_one(FileSet, claimed.file_set_id).volume_number
        pieces.append((claimed.request_id, volume, piece(ground, claimed.piece_id).copy_number))
    return pieces


def test_an_empty_queue(ground: Ground) -> None:
    assert claim(ground) is None


def test_a_claim_gives_the_piece_to_the_worker(ground: Ground) -> None:
    request_id = added(ground)
    before = datetime.now(UTC)
    got = claimed(ground)
    row = piece(ground, got.piece_id)
    assert got.request_id == request_id
    assert got.lease_epoch == 1
    assert row.state == PieceState.IMAGING
    assert row.device == "d"
    assert row.lease_owner == "w"
    assert row.lease_epoch == 1
    assert row.attempts == 1
    assert row.lease_until is not None
    assert row.lease_until >= before + LEASE
    assert claim(ground) is None


def test_pieces_are_claimed_by_priority_then_age_then_number(ground: Ground) -> None:
    late = datetime.now(UTC)
    early = late - timedelta(hours=1)
    requests = [
        added(ground, request_priority=priority, initiated_at=at)
        for priority in (RequestPriority.LOW, RequestPriority.MED, RequestPriority.HIGH)
        for at in (late, early, early)
    ]
    low, med, high = requests[:3], requests[3:6], requests[6:]
    expected = [*high[1:], high[0], *med[1:], med[0], *low[1:], low[0]]
    assert [request for request, _, _ in order(ground)] == expected


def test_a_request_that_has_waited_long_gets_the_next_higher_priority(ground: Ground) -> None:
    now = datetime.now(UTC)
    waited = {
        (priority, times): added(
            ground,
            request_priority=priority,
            initiated_at=now - times * AGEING - timedelta(minutes=1),
        )
        for priority in (RequestPriority.LOW, RequestPriority.MED, RequestPriority.HIGH)
        for times in (0, 1, 2)
    }
    low, med, high = (
        [waited[priority, times] for times in (2, 1, 0)]
        for priority in (RequestPriority.LOW, RequestPriority.MED, RequestPriority.HIGH)
    )
    as_high = [low[0], med[0], high[0], med[1], high[1], high[2]]
    assert [request for request, _, _ in order(ground)] == [*as_high, low[1], med[2], low[2]]


def test_a_piece_that_one_device_leaves_alone_may_be_claimed_by_another(ground: Ground) -> None:
    added(ground)
    set_piece(ground, 1, device="d", not_before=datetime.now(UTC) + timedelta(hours=1))
    assert claim(ground) is None
    got = claim(ground, device="other")
    assert got is not None
    assert piece(ground, got.piece_id).device == "other"


def test_a_device_that_goes_on_by_itself_keeps_its_piece(ground: Ground) -> None:
    added(ground, copies=2)
    set_piece(ground, 2, device="d", device_job="J")
    with ground.database.writing() as session:
        got = queue.claim(session, device="d", capacity=CD, owner="w", followed=True)
    assert got is not None
    assert got.piece_id == 2
    set_piece(ground, 2, state=PieceState.QUEUED)
    claimed = claim(ground, device="other")
    assert claimed is not None
    assert claimed.piece_id == 1
    assert claim(ground, device="other") is None


@pytest.mark.parametrize("state", HELD)
def test_a_disc_whose_worker_died_is_ruined_and_replaced(ground: Ground, state: PieceState) -> None:
    added(ground)
    columns = {"lease_until": NOW, "device": "d", "attempts": 1, "custody": Custody.RUINED}
    set_piece(ground, 1, state=state, **columns)
    with ground.database.writing() as session:
        assert queue.reap(session) == 1
    with ground.database.reading() as session:
        rows = [(row.state, row.attempts) for row in session.scalars(select(Piece))]
    if state is PieceState.IMAGING:
        assert rows == [(PieceState.QUEUED, 1)]
    else:
        assert rows == [(PieceState.SPOILED, 1), (PieceState.QUEUED, 1)]


@pytest.mark.parametrize(("device_job", "attempts"), [("J", 1), ("", 2)])
def test_a_worker_that_ends_while_a_device_goes_on_by_itself_uses_up_no_attempt(
    ground: Ground, device_job: str, attempts: int
) -> None:
    added(ground)
    columns = {"lease_until": NOW, "device": "d", "attempts": 2, "device_job": device_job}
    set_piece(ground, 1, state=PieceState.WRITING, **columns)
    with ground.database.writing() as session:
        assert queue.reap(session) == 1
    assert piece(ground, 1).attempts == attempts


def test_copies_are_collated(ground: Ground) -> None:
    request = added(ground, volumes=3, copies=2)
    assert order(ground) == [(request, volume, copy) for copy in (1, 2) for volume in (1, 2, 3)]


def test_the_first_request_is_completed_first(ground: Ground) -> None:
    first = added(ground, volumes=2, copies=2, initiated_at=NOW)
    second = added(ground, volumes=2, initiated_at=NOW + timedelta(seconds=1))
    assert [request for request, _, _ in order(ground)] == [first] * 4 + [second] * 2


@pytest.mark.parametrize(
    ("capacity", "fits"),
    [
        ({"CD": 1000}, True),
        ({"CD": 999}, False),
        ({"DVD": 10**9}, False),
        ({"DVD": 10**9, "CD": 1000}, True),
    ],
)
def test_a_device_gets_only_pieces_that_it_can_make(
    ground: Ground, capacity: dict[str, int], fits: bool
) -> None:
    added(ground, medium="CD", size=1000)
    assert (claim(ground, capacity) is not None) == fits


def test_a_piece_that_one_device_cannot_make_does_not_hold_up_the_others(ground: Ground) -> None:
    added(ground, medium="DVD", request_priority=RequestPriority.HIGH)
    small = added(ground, medium="CD")
    got = claim(ground)
    assert got is not None
    assert got.request_id == small


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_only_requests_under_way_are_served(ground: Ground, status: ExecutionStatus) -> None:
    added(ground, status=status)
    under_way = status in (ExecutionStatus.PENDING, ExecutionStatus.CREATING)
    assert (claim(ground) is not None) == under_way


@pytest.mark.parametrize("state", list(PieceState))
def test_only_queued_pieces_are_claimed(ground: Ground, state: PieceState) -> None:
    added(ground)
    set_piece(ground, 1, state=state)
    assert (claim(ground) is not None) == (state is PieceState.QUEUED)


def test_a_piece_is_not_claimed_before_its_time(ground: Ground) -> None:
    added(ground)
    set_piece(ground, 1, not_before=datetime.now(UTC) + timedelta(hours=1))
    assert claim(ground) is None
    set_piece(ground, 1, not_before=datetime.now(UTC) - timedelta(hours=1))
    got = claimed(ground)
    assert piece(ground, got.piece_id).not_before is None


def test_there_is_one_live_piece_of_each_copy(ground: Ground) -> None:
    from sqlalchemy.exc import IntegrityError

    added(ground)
    with pytest.raises(IntegrityError), ground.database.writing() as session:  # noqa: PT012
        session.add(Piece(file_set_id=1, copy_number=1, state=PieceState.QUEUED))
        session.flush()
    set_piece(ground, 1, state=PieceState.SPOILED)
    with ground.database.writing() as session:
        session.add(Piece(file_set_id=1, copy_number=1, state=PieceState.QUEUED))


def test_a_worker_that_has_lost_its_lease_changes_nothing(ground: Ground) -> None:
    added(ground)
    first = claimed(ground)
    set_piece(ground, first.piece_id, lease_until=NOW)
    with ground.database.writing() as session:
        assert queue.reap(session) == 1
    second = claimed(ground)
    assert second.piece_id == first.piece_id
    assert second.lease_epoch == 2
    with ground.database.writing() as session:
        assert not queue.heartbeat(session, first)
        assert queue.heartbeat(session, second)
    with pytest.raises(StaleLease), ground.database.writing() as session:
        move_piece(
            session,
            session.get_one(Piece, first.piece_id),
            PieceEvent.IMAGED,
            request_id=first.request_id,
            held_epoch=first.lease_epoch,
        )
    with ground.database.writing() as session:
        move_piece(
            session,
            session.get_one(Piece, second.piece_id),
            PieceEvent.IMAGED,
            request_id=second.request_id,
            held_epoch=second.lease_epoch,
        )
    assert piece(ground, first.piece_id).state is PieceState.WRITING


def test_a_held_request_waits_and_a_device_takes_its_own(ground: Ground) -> None:
    held = added(ground, held_at=NOW)
    mine, others = added(ground, device="d"), added(ground, device="other")
    first = claimed(ground)
    assert first.request_id == mine
    assert claim(ground) is None
    with ground.database.reading() as session:
        following = queue.next_piece(session, "other", CD)
        assert following is not None
        assert following[0] == others
        assert queue.next_piece(session, "d", CD) is None
    assert held != mine
    assert others != mine


def test_a_heartbeat_renews_the_lease(ground: Ground) -> None:
    added(ground)
    got = claimed(ground)
    set_piece(ground, got.piece_id, lease_until=NOW)
    before = datetime.now(UTC)
    with ground.database.writing() as session:
        assert queue.heartbeat(session, got)
    until = piece(ground, got.piece_id).lease_until
    assert until is not None
    assert until >= before + LEASE


@pytest.mark.parametrize("state", [state for state in PieceState if state not in HELD])
def test_a_piece_that_is_not_held_has_no_heartbeat(ground: Ground, state: PieceState) -> None:
    added(ground)
    got = claimed(ground)
    set_piece(ground, got.piece_id, state=state)
    with ground.database.writing() as session:
        assert not queue.heartbeat(session, got)


@pytest.mark.parametrize("state", list(PieceState))
def test_reaping_returns_the_pieces_of_dead_workers(ground: Ground, state: PieceState) -> None:
    request_id = added(ground)
    set_piece(ground, 1, state=state, lease_until=NOW, lease_owner="w", lease_epoch=4, attempts=2)
    with ground.database.writing() as session:
        assert queue.reap(session) == (state in HELD)
    row = piece(ground, 1)
    if state in HELD:
        assert row.state == PieceState.QUEUED
        assert row.lease_owner == ""
        assert row.lease_until is None
        with ground.database.reading() as session:
            uid = session.get_one(MediaCreationRequest, request_id).sop_instance_uid
        assert ground.events(uid) == [(PieceEvent.RETURNED, state, PieceState.QUEUED)]
    else:
        assert row.state is state


def test_reaping_leaves_the_pieces_of_live_workers(ground: Ground) -> None:
    added(ground)
    claim(ground)
    with ground.database.writing() as session:
        assert queue.reap(session) == 0


def test_a_worker_that_takes_over_a_device_returns_the_pieces_held_on_it(ground: Ground) -> None:
    added(ground, copies=3)
    for device, owner in (("d", "old"), ("d", "new"), ("other", "old")):
        assert claim(ground, device=device, owner=owner)
    with ground.database.writing() as session:
        assert queue.reap(session, device="d", owner="new") == 1
    with ground.database.reading() as session:
        rows = session.scalars(select(Piece).order_by(Piece.id)).all()
    assert [row.state for row in rows] == [
        PieceState.QUEUED,
        PieceState.IMAGING,
        PieceState.IMAGING,
    ]


def test_many_claimers_never_get_the_same_piece(ground: Ground) -> None:
    added(ground, volumes=5, copies=5)
    claims: list[Claim] = []
    start = threading.Barrier(5)

    def work() -> None:
        database = Database(ground.url, durable=False)
        start.wait()
        while True:
            with database.writing() as session:
                claimed = queue.claim(session, device="d", capacity=CD, owner="w")
            if claimed is None:
                break
            claims.append(claimed)
        database.close()

    workers = [threading.Thread(target=work) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(claims) == 25
    assert len({claimed.piece_id for claimed in claims}) == 25
    with ground.database.reading() as session:
        assert {p.lease_epoch for p in session.scalars(select(Piece))} == {1}
