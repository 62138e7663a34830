"""Retention: released by reference, never by age alone; only orphans are swept."""

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from burnish import retention
from burnish.db import queue
from burnish.db.history import note
from burnish.db.session import Database
from burnish.db.tables import (
    Event,
    FileSet,
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    TranscodedInstance,
)
from burnish.errors import OutOfResources
from burnish.plan.planner import Planner
from burnish.request import standing_orders
from burnish.settings import StandingOrderSettings
from burnish.spool import Spool
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, ExecutionStatus, PieceState
from factories import Ground, SampleInstance, add_request, instance
from locks import locked

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OPEN = (ExecutionStatus.IDLE, ExecutionStatus.PENDING, ExecutionStatus.CREATING)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def ago(age: timedelta) -> datetime:
    return datetime.now(UTC) - age


def release(ground: Ground) -> None:
    retention.release(ground.database, ground.spool, ground.settings.retention)


def test_the_row_of_an_instance_stays_until_its_room_was_given_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.store(instance(), received_at=ago(400 * DAY))

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(Spool, "erase_durably", fail)
        with pytest.raises(OutOfResources, match="the spool cannot be written"):
            release(ground)
        assert ground.count(Instance) == 1
    assert len(ground.stored_keys()) == 1
    release(ground)
    assert ground.count(Instance) == 0
    assert ground.stored_keys() == []


def ask(
    ground: Ground, sample: SampleInstance, status: ExecutionStatus, age: timedelta, **more: Any
) -> int:
    """A request for an instance that came into its state so long ago."""
    with ground.database.writing() as session:
        request = add_request(
            session,
            status=status,
            volumes=0,
            created_at=ago(age),
            ended_at=None if status in OPEN else ago(age),
            **more,
        )
        session.add(
            ReferencedInstance(
                request_id=request.id,
                ordinal=0,
                referenced_sop_class_uid=sample.sop_class_uid,
                referenced_sop_instance_uid=sample.sop_instance_uid,
            )
        )
        return request.id


def live(ground: Ground) -> set[str]:
    with ground.database.reading() as session:
        return set(
            session.scalars(select(Instance.sop_instance_uid).where(Instance.released_at.is_(None)))
        )


def test_instances_are_released_when_their_requests_have_long_ended(ground: Ground) -> None:
    """Every state × age of the request × preserve flag; the instances are a year old."""
    expected = {}
    for status, age, preserve in product(ExecutionStatus, (HOUR, 2 * DAY, 20 * DAY), ("NO", "YES")):
        sample = instance()
        ground.store(sample, received_at=ago(365 * DAY))
        ask(
            ground, sample, status, age,
            preserve_composite_instances_after_media_creation=preserve,
        )  # fmt: skip
        if status is ExecutionStatus.IDLE:
            stays = age < 7 * DAY  # then the request is removed, and nobody asks any more
        elif status in OPEN:
            stays = True
        else:
            stays = age < (14 * DAY if preserve == "YES" else DAY)
        expected[sample.sop_instance_uid] = (stays, status, age, preserve)
    release(ground)
    live_uids = live(ground)
    wrong = {uid: reason for uid, reason in expected.items() if (uid in live_uids) != reason[0]}
    assert wrong == {}
    assert len(list(ground.spool.published_keys())) == len(live_uids)


@pytest.mark.parametrize(("age", "stays"), [(13 * DAY, True), (15 * DAY, False)])
def test_instances_that_nobody_requested_are_released_later(
    ground: Ground, age: timedelta, stays: bool
) -> None:
    sample = instance()
    ground.store(sample, received_at=ago(age))
    release(ground)
    assert live(ground) == ({sample.sop_instance_uid} if stays else set())
    assert len(list(ground.spool.published_keys())) == stays


@pytest.mark.parametrize("status", OPEN)
def test_one_open_request_is_enough_to_keep_it(ground: Ground, status: ExecutionStatus) -> None:
    sample = instance()
    ground.store(sample, received_at=ago(365 * DAY))
    for other in (ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED):
        ask(ground, sample, other, 20 * DAY)
    ask(ground, sample, status, HOUR)
    release(ground)
    assert live(ground) == {sample.sop_instance_uid}


def test_many_are_released_in_batches(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 3)
    ground.store(*(instance(instance_number=n) for n in range(10)), received_at=ago(15 * DAY))
    release(ground)
    assert ground.count(Instance) == 0
    assert list(ground.spool.published_keys()) == []


def test_each_call_releases_a_limited_number(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 3)
    monkeypatch.setattr(retention, "_MOST_RELEASED", 7)
    ground.store(*(instance(instance_number=n) for n in range(10)), received_at=ago(15 * DAY))
    release(ground)
    assert ground.count(Instance) == len(list(ground.spool.published_keys())) == 3
    release(ground)
    assert ground.count(Instance) == len(list(ground.spool.published_keys())) == 0


def test_an_instance_that_is_requested_during_a_release_stays(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 1)
    samples = [instance(instance_number=n) for n in range(3)]
    ground.store(*samples, received_at=ago(15 * DAY))
    remove = ground.spool.remove

    def ask_for_the_last(key: str) -> None:
        remove(key)
        monkeypatch.setattr(ground.spool, "remove", remove)
        ask(ground, samples[-1], ExecutionStatus.PENDING, timedelta(0))

    monkeypatch.setattr(ground.spool, "remove", ask_for_the_last)
    release(ground)
    assert live(ground) == {samples[-1].sop_instance_uid}
    assert len(list(ground.spool.published_keys())) == 1


def test_others_can_write_during_the_search_for_what_is_due(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.store(instance(), received_at=ago(15 * DAY))
    look, wrote = retention._releasable, []

    def look_and_let_write(*asked: Any) -> Any:
        if not wrote:
            with Database(ground.database.url, wait=10).writing() as session:
                wrote.append(session.execute(update(Instance).values(called_ae_title="OTHER")))
        return look(*asked)

    monkeypatch.setattr(retention, "_releasable", look_and_let_write)
    release(ground)
    assert wrote
    assert ground.count(Instance) == 0


@pytest.mark.parametrize(
    ("status", "age", "stays"),
    [
        (ExecutionStatus.IDLE, 6 * DAY, True),
        (ExecutionStatus.IDLE, 8 * DAY, False),
        (ExecutionStatus.PENDING, 900 * DAY, True),
        (ExecutionStatus.CREATING, 900 * DAY, True),
        (ExecutionStatus.DONE, 29 * DAY, True),
        (ExecutionStatus.DONE, 31 * DAY, False),
        (ExecutionStatus.FAILURE, 31 * DAY, False),
        (ExecutionStatus.DELETED, 31 * DAY, False),
    ],
)
def test_old_requests_are_deleted(
    ground: Ground, status: ExecutionStatus, age: timedelta, stays: bool
) -> None:
    ask(ground, instance(), status, age)
    newest = ask(ground, instance(), ExecutionStatus.PENDING, HOUR)
    release(ground)
    assert ground.count(MediaCreationRequest) == stays + 1
    assert ground.count(ReferencedInstance) == stays + 1
    with ground.database.reading() as session:
        assert session.get(MediaCreationRequest, newest) is not None


@pytest.mark.parametrize("status", [ExecutionStatus.IDLE, ExecutionStatus.DONE])
def test_the_id_of_a_request_is_never_used_again(ground: Ground, status: ExecutionStatus) -> None:
    """Folders, jobs and File-sets are named for it: they would be those of another request."""
    sample = instance()
    ground.store(sample, received_at=ago(365 * DAY))
    old = [ask(ground, sample, status, 40 * DAY) for _ in range(2)]
    for _ in range(2):  # the instance goes first
        release(ground)
    assert live(ground) == (set() if status is ExecutionStatus.DONE else {sample.sop_instance_uid})
    with ground.database.reading() as session:
        (left,) = session.scalars(select(MediaCreationRequest))
        assert left.id == max(old)
        wanted = ExecutionStatus.DELETED if status is ExecutionStatus.IDLE else status
        assert left.execution_status is wanted
    assert ask(ground, instance(), ExecutionStatus.IDLE, HOUR) == max(old) + 1


def test_a_request_stays_while_its_instances_are_here(ground: Ground) -> None:
    """An instance that is kept for longer than its request would be: by commitment, for one."""
    sample = instance()
    ground.store(sample, received_at=ago(HOUR))
    ask(ground, sample, ExecutionStatus.DONE, 40 * DAY)
    ask(ground, instance(), ExecutionStatus.PENDING, HOUR)
    order = StandingOrderSettings(
        name="all", called_ae_titles=("BURNISH",), quiet_period=timedelta(0)
    )
    release(ground)
    with ground.database.reading() as session:
        assert standing_orders.groups_due(session, order) == []


def test_a_request_is_deleted_with_all_its_rows(ground: Ground) -> None:
    sample = instance()
    ids = ground.store(sample, received_at=ago(365 * DAY))
    uid = ground.admit([sample])
    Planner(ground.settings, ground.database, ground.spool).tick()
    key = ground.spool.new_key()
    ground.spool.path(key).write_bytes(b"transcoded")
    with ground.database.writing() as session:
        session.add(
            TranscodedInstance(
                instance_id=ids[0],
                transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
                spool_key=key,
                size=10,
                data_set_offset=0,
                digest="",
            )
        )
        session.execute(
            update(MediaCreationRequest).values(
                execution_status=ExecutionStatus.DONE, ended_at=ago(2 * DAY)
            )
        )
    release(ground)
    # the files go, the row of what was on the media stays as long as the request
    assert live(ground) == set()
    assert list(ground.spool.published_keys()) == []
    assert ground.request(uid).file_sets[0].entries[0].instance_id == ids[0]
    with ground.database.writing() as session:
        session.execute(update(MediaCreationRequest).values(ended_at=ago(31 * DAY)))
        newer = add_request(session, volumes=0)
        note(session, newer.id, "CREATED", "")
    release(ground)
    assert ground.count(MediaCreationRequest) == 1
    assert ground.count(Event) == 1, "the event of the newer request"
    for table in (FileSet, Piece, Instance, TranscodedInstance):
        assert ground.count(table) == 0


def test_releasing_again_changes_nothing(ground: Ground) -> None:
    ground.store(instance(), received_at=ago(HOUR))
    for _ in range(2):
        release(ground)
    assert ground.count(Instance) == 1


def old(path: Path) -> Path:
    os.utime(path, (0, 0))
    return path


def test_the_sweep_removes_orphans_only(ground: Ground) -> None:
    spool = ground.spool
    (known,) = ground.store(instance())
    with ground.database.reading() as session:
        stored = spool.path(session.get_one(Instance, known).spool_key)
    transcoded = spool.new_key()
    with ground.database.writing() as session:
        session.add(
            TranscodedInstance(
                instance_id=known,
                transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
                spool_key=transcoded,
                size=1,
                data_set_offset=0,
                digest="",
            )
        )
    orphan, young = (spool.path(spool.new_key()) for _ in range(2))
    arriving, half = (spool.arriving(spool.new_key()) for _ in range(2))
    for path in (spool.path(transcoded), orphan, young, arriving, half):
        path.write_bytes(b"x")
    for path in (stored, spool.path(transcoded), orphan, half):
        old(path)
    assert retention.sweep(ground.database, spool, ground.settings) == 2
    assert [path.exists() for path in (orphan, half)] == [False, False]
    assert all(path.exists() for path in (stored, spool.path(transcoded), young, arriving))


@pytest.mark.parametrize("state", list(PieceState))
def test_images_that_no_piece_needs_are_removed(ground: Ground, state: PieceState) -> None:
    with ground.database.writing() as session:
        request = add_request(session)
        name = f"{request.file_sets[0].id}-outbox.iso"
        session.execute(update(Piece).values(state=state))
    images = ground.settings.storage.root / "images"
    images.mkdir()
    needed = state not in (PieceState.CREATED, PieceState.SPOILED, PieceState.DROPPED)
    for image in (name, f"{name}.0a1b2c3d.part", "4711-outbox.iso"):
        (images / image).write_bytes(b"image")
    retention.sweep(ground.database, ground.spool, ground.settings)
    assert sorted(os.listdir(images)) == ([name, f"{name}.0a1b2c3d.part"] if needed else [])


def test_the_pieces_of_dead_workers_are_returned(ground: Ground) -> None:
    with ground.database.writing() as session:
        add_request(session)
        queue.claim(session, device="d", capacity={"CD": 10**9}, owner="w")
    assert retention.return_dead_work(ground.database) == 0
    with ground.database.writing() as session:
        session.execute(update(Piece).values(lease_until=ago(HOUR)))
    assert retention.return_dead_work(ground.database) == 1


def test_a_file_whose_release_was_cut_short_is_an_orphan(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of what was on media stays with its request; the file goes all the same."""
    sample = instance()
    ground.store(sample, received_at=ago(365 * DAY))
    ground.admit([sample])
    Planner(ground.settings, ground.database, ground.spool).tick()
    with ground.database.writing() as session:
        session.execute(
            update(MediaCreationRequest).values(
                execution_status=ExecutionStatus.DONE, ended_at=ago(2 * DAY)
            )
        )
    with monkeypatch.context() as patch:
        patch.setattr(ground.spool, "remove", lambda _key: None)  # a kill between row and file
        release(ground)
    assert len(list(ground.spool.published_keys())) == ground.count(Instance) == 1
    assert retention.sweep(ground.database, ground.spool, ground.settings) == 0
    assert retention.sweep(ground.database, ground.spool, ground.settings, orphan_age=0) == 1
    assert list(ground.spool.published_keys()) == []


def test_an_instance_that_was_sent_again_is_kept_as_if_received_now(ground: Ground) -> None:
    """Whoever sends an instance again after its media were made wants media again."""
    sample = instance()
    ground.store(sample, received_at=ago(HOUR))
    ask(ground, sample, ExecutionStatus.DONE, 2 * DAY)
    release(ground)
    assert live(ground) == {sample.sop_instance_uid}


def test_after_the_database_was_locked_workers_get_time_to_renew_their_leases(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database was locked no heartbeat came through: nobody is dead for that."""
    database = Database(ground.url, durable=False, wait=0.1)
    with ground.database.writing() as session:
        add_request(session)
        claim = queue.claim(session, device="d", capacity={"CD": 10**9}, owner="w")
        session.execute(update(Piece).values(lease_until=ago(HOUR)))
    with locked(ground.url), pytest.raises(OutOfResources):
        retention.return_dead_work(database)
    assert claim
    assert retention.return_dead_work(database) == 0
    with ground.database.writing() as session:
        assert queue.heartbeat(session, claim)
    monkeypatch.setattr(retention, "_LEASE_RENEWAL", 0.0)
    assert retention.return_dead_work(database) == 0
    with ground.database.writing() as session:
        session.execute(update(Piece).values(lease_until=ago(HOUR)))
    assert retention.return_dead_work(database) == 1
    database.close()


# --- newer content -------------------------------------------------------------------------------


def contents(ground: Ground) -> list[tuple[str, bool, bool]]:
    """Patient ID, whether it was released, whether it was replaced, of each row."""
    with ground.database.reading() as session:
        return [
            (row.patient_id, row.released_at is not None, row.replaced_at is not None)
            for row in session.scalars(select(Instance).order_by(Instance.id))
        ]


def test_older_content_is_released_by_its_age_and_its_row_stays_as_history(ground: Ground) -> None:
    older, newer = (instance(sop_instance_uid="1.2.3", patient_id=name) for name in ("OLD", "NEW"))
    ground.store(older, received_at=ago(20 * DAY), replaced_at=ago(HOUR))
    ground.store(newer, received_at=ago(HOUR))
    release(ground)
    assert contents(ground) == [("OLD", True, True), ("NEW", False, False)]
    assert len(list(ground.spool.published_keys())) == 1
    release(ground)
    assert len(contents(ground)) == 2
    with ground.database.writing() as session:
        session.execute(update(Instance).values(received_at=ago(20 * DAY)))
    release(ground)
    release(ground)
    assert contents(ground) == []
    assert list(ground.spool.published_keys()) == []


def test_older_content_stays_while_an_open_request_may_have_it_planned(ground: Ground) -> None:
    older, newer = (instance(sop_instance_uid="1.2.3", patient_id=name) for name in ("OLD", "NEW"))
    ground.store(older, received_at=ago(20 * DAY), replaced_at=ago(HOUR))
    ground.store(newer, received_at=ago(HOUR))
    ask(ground, newer, ExecutionStatus.PENDING, HOUR)
    release(ground)
    assert contents(ground) == [("OLD", False, True), ("NEW", False, False)]
    assert sweep_nothing(ground)


def sweep_nothing(ground: Ground) -> bool:
    return retention.sweep(ground.database, ground.spool, ground.settings, orphan_age=-1) == 0
