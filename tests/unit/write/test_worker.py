"""The writer of one device, with a device that does what a test tells it."""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

import burnish.burn
from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult
from burnish.content.rendition_pool import RenditionPool, RenditionTask
from burnish.content.volume_files import rendition_path
from burnish.db import devices, queue
from burnish.db.session import Database
from burnish.db.tables import Event, FileSet, MediaCreationRequest, Piece
from burnish.devices import watch_writers
from burnish.errors import OperatorError, OutOfResources, StaleLease
from burnish.plan.planner import Planner
from burnish.request import operations
from burnish.settings import (
    ContentSettings,
    DeviceSettings,
    NotifySettings,
    RequestSettings,
    SecuritySettings,
    StorageSettings,
)
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState
from burnish.write import piece_state
from burnish.write import worker as working
from burnish.write.worker import Worker
from factories import Ground, instance
from locks import locked
from scripted_burner import ScriptedBurner
from waiting import wait_until

R, P, I = ExecutionStatus, PieceState, ExecutionStatusInfo  # noqa: E741


@pytest.fixture(autouse=True)
def _held_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A held piece is not tried again during a test, however slow the machine is."""
    monkeypatch.setattr(piece_state, "HOLD_TIME", timedelta(hours=1))


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ScriptedBurner)
    with Ground(tmp_path, request=RequestSettings(attempts=2)) as ground:
        yield ground


def worker_of(ground: Ground, device: DeviceSettings | None = None) -> Worker:
    return Worker(ground.settings, device or ground.device, ground.database, ground.spool)


@pytest.fixture
def worker(ground: Ground) -> Worker:
    return worker_of(ground)


@pytest.fixture
def burner(worker: Worker) -> ScriptedBurner:
    assert isinstance(worker.burner, ScriptedBurner)
    return worker.burner


def planned_request(ground: Ground, *, copies: int = 1, **attributes: Any) -> str:
    """A request that has been planned."""
    instances = [instance(instance_number=n, size=3000) for n in (1, 2)]
    ground.store(*instances)
    uid = ground.admit(instances, copies=copies, **attributes)
    plan(ground)
    return uid


def plan(ground: Ground) -> None:
    Planner(ground.settings, ground.database, ground.spool).tick()


def states(request: MediaCreationRequest) -> list[PieceState]:
    return [piece.state for file_set in request.file_sets for piece in file_set.pieces]


def images(ground: Ground) -> list[str]:
    return sorted(path.name for path in (ground.settings.storage.root / "images").glob("*.iso"))


def discs(ground: Ground) -> list[str]:
    root = ground.settings.storage.root / "outbox"
    paths = root.glob("R*/*")
    return sorted(str(path.relative_to(root)) for path in paths if path.suffix != ".pdf")


def wait_no_longer(ground: Ground) -> None:
    with ground.database.writing() as session:
        session.execute(update(Piece).values(not_before=None))


def status_of(request: MediaCreationRequest) -> tuple[ExecutionStatus, ExecutionStatusInfo]:
    return request.execution_status, request.execution_status_info


# --- secure media --------------------------------------------------------------------------------

SECURE = SecuritySettings(password=SecretStr("correct horse"), password_iterations=1000)


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ScriptedBurner)
    with Ground(tmp_path, request=RequestSettings(attempts=2), security=SECURE) as ground:
        yield ground


def test_secure_media_of_two_copies_share_an_image(secured: Ground) -> None:
    uid = planned_request(secured, copies=2, profiles="STD-GEN-SEC-CD")
    worker = worker_of(secured)
    assert worker.make_next()
    assert worker.make_next()
    assert status_of(secured.request(uid)) == (R.DONE, I.NORMAL)
    root = secured.settings.storage.root / "outbox" / "R000001"
    assert (root / "VOLUME01.iso").read_bytes() == (root / "VOLUME01-COPY02.iso").read_bytes()
    assert worker._built == {}


def test_a_secure_image_without_its_keys_is_made_anew(secured: Ground) -> None:
    uid = planned_request(secured, copies=2, profiles="STD-GEN-SEC-CD")
    assert worker_of(secured).make_next()
    assert len(images(secured)) == 1
    # another process does not have the keys of the image that is there
    assert worker_of(secured).make_next()
    assert status_of(secured.request(uid)) == (R.DONE, I.NORMAL)
    root = secured.settings.storage.root / "outbox" / "R000001"
    assert (root / "VOLUME01.iso").read_bytes() != (root / "VOLUME01-COPY02.iso").read_bytes()


def test_secure_media_wait_for_a_password_file_that_is_gone(
    secured: Ground, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text("its own words")
    uid = planned_request(secured, profiles="STD-GEN-SEC-CD", password_file=str(path))
    path.rename(tmp_path / "away")
    worker = worker_of(secured)
    assert worker.make_next()
    assert states(secured.request(uid)) == [P.QUEUED]
    (tmp_path / "away").rename(path)
    wait_no_longer(secured)
    assert worker.make_next()
    assert status_of(secured.request(uid)) == (R.DONE, I.NORMAL)


# --- pieces that are made ------------------------------------------------------------------------


def test_without_work_no_piece_is_made(worker: Worker) -> None:
    assert not worker.make_next()


def test_a_request_of_two_copies_is_made(ground: Ground, worker: Worker) -> None:
    uid = planned_request(ground, copies=2)
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.CREATING, I.NORMAL)
    assert states(ground.request(uid)) == [P.CREATED, P.QUEUED]
    assert len(images(ground)) == 1
    assert worker.make_next()
    request = ground.request(uid)
    assert status_of(request) == (R.DONE, I.NORMAL)
    assert states(request) == [P.CREATED, P.CREATED]
    assert request.ended_at is not None
    assert all(piece.created_at for piece in request.file_sets[0].pieces)
    assert images(ground) == []
    assert discs(ground) == [
        f"R000001/VOLUME01{copy}.{kind}" for copy in ("-COPY02", "") for kind in ("iso", "json")
    ]
    assert not worker.make_next()
    assert ground.events(uid, pieces=True) == 2 * [
        ("CLAIMED", "QUEUED", "IMAGING"),
        ("IMAGED", "IMAGING", "WRITING"),
        ("WRITTEN", "WRITING", "VERIFYING"),
        ("VERIFIED", "VERIFYING", "CREATED"),
    ]
    moved = [event for event in ground.events(uid, pieces=False) if event[1]]
    assert moved == [
        ("INITIATED", "IDLE", "PENDING"),
        ("STARTED", "PENDING", "CREATING"),
        ("COMPLETED", "CREATING", "DONE"),
    ]


# --- a device that cannot make a piece -----------------------------------------------------------

HOLDS = {
    BurnOutcome.HOLD_OPERATOR: I.CHECK_MCD_OP,
    BurnOutcome.HOLD_SERVICE: I.CHECK_MCD_SRV,
    BurnOutcome.OUT_OF_SUPPLIES: I.OUT_OF_SUPPLIES,
    BurnOutcome.BUSY: I.MCD_BUSY,
}
LOSSES = {
    BurnOutcome.RUINED: I.MCD_FAILURE,
    BurnOutcome.REJECTED: I.PROC_FAILURE,
    BurnOutcome.GONE: I.PROC_FAILURE,
}


@pytest.mark.parametrize(("outcome", "info"), HOLDS.items())
def test_a_device_that_stops_while_it_writes_holds_the_piece(
    ground: Ground,
    worker: Worker,
    burner: ScriptedBurner,
    outcome: BurnOutcome,
    info: ExecutionStatusInfo,
) -> None:
    uid = planned_request(ground)
    for _ in range(4):  # more often than there are attempts
        burner.results = [BurnResult(outcome, "something is the matter", "do something")]
        assert worker.make_next()
        request = ground.request(uid)
        assert status_of(request) == (R.CREATING, info)
        assert request.remedy == "do something"
        (piece,) = request.file_sets[0].pieces
        assert piece.state == P.QUEUED
        assert piece.attempts == 0
        assert piece.lease_until is None
        assert piece.not_before is not None
        assert piece.not_before > datetime.now(UTC)
        assert not worker.make_next()
        wait_no_longer(ground)
    assert worker.make_next()
    request = ground.request(uid)
    assert status_of(request) == (R.DONE, I.NORMAL)
    assert request.remedy == ""


@pytest.mark.parametrize(("outcome", "info"), HOLDS.items())
def test_a_device_that_takes_no_job_holds_the_piece(
    ground: Ground,
    worker: Worker,
    burner: ScriptedBurner,
    monkeypatch: pytest.MonkeyPatch,
    outcome: BurnOutcome,
    info: ExecutionStatusInfo,
) -> None:
    monkeypatch.setattr(working, "_NOT_READY", 0)
    uid, behind = planned_request(ground), planned_request(ground)
    burner.ready = BurnResult(outcome, "something is the matter", "do something")
    for _ in range(4):
        assert not worker.make_next()
        request = ground.request(uid)
        assert status_of(request) == (R.PENDING, info)
        assert request.remedy == "do something"
        assert states(request) == [P.QUEUED]
    assert status_of(ground.request(behind)) == (R.PENDING, I.QUEUED)
    assert [event for event, _, _ in ground.events(uid)].count(info) == 1
    burner.ready = BurnResult(BurnOutcome.READY)
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)
    assert ground.request(uid).remedy == ""


def test_without_work_a_device_that_is_not_ready_is_not_reported(
    worker: Worker, burner: ScriptedBurner
) -> None:
    burner.ready = BurnResult(BurnOutcome.HOLD_OPERATOR, "open", "close the tray")
    assert not worker.make_next()


def test_a_request_does_not_name_a_problem_that_is_over(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    uid = planned_request(ground, copies=2)
    burner.results = [BurnResult(BurnOutcome.OUT_OF_SUPPLIES, "empty", "put in blanks")]
    worker.make_next()
    wait_no_longer(ground)
    worker.make_next()
    request = ground.request(uid)
    assert status_of(request) == (R.CREATING, I.NORMAL)
    assert request.remedy == ""


def test_a_device_that_cannot_publish_waits_for_an_operator(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    uid = planned_request(ground)

    def refuse(_: BurnJob) -> None:
        raise OperatorError("the folder is read-only", hint="make it writable")

    burner.before_publish = refuse
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.CREATING, I.CHECK_MCD_OP)
    assert ground.request(uid).remedy == "make it writable"
    assert states(ground.request(uid)) == [P.QUEUED]


@pytest.mark.parametrize(("outcome", "info"), LOSSES.items())
def test_a_ruined_piece_is_replaced_while_attempts_allow(
    ground: Ground,
    worker: Worker,
    burner: ScriptedBurner,
    outcome: BurnOutcome,
    info: ExecutionStatusInfo,
) -> None:
    uid = planned_request(ground, copies=2)
    burner.results = [BurnResult(outcome, "the laser is tired")] * 2
    assert worker.make_next()
    request = ground.request(uid)
    assert request.execution_status is R.CREATING
    assert sorted(states(request)) == [P.QUEUED, P.QUEUED, P.SPOILED]
    assert worker.make_next()
    request = ground.request(uid)
    assert status_of(request) == (R.FAILURE, info)
    assert "retry" in request.remedy
    assert sorted(states(request)) == [P.DROPPED, P.SPOILED, P.SPOILED]
    assert max(p.attempts for p in request.file_sets[0].pieces) == 2
    assert not worker.make_next()
    assert discs(ground) == []


def test_one_ruined_piece_is_replaced(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    uid = planned_request(ground)
    burner.results = [BurnResult(BurnOutcome.RUINED, "the laser is tired")]
    assert worker.make_next()
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)
    assert ("RETRY", "", "") in ground.events(uid)


def test_a_medium_that_reads_back_with_faults_is_not_published(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    uid = planned_request(ground)

    def flip(written: Path) -> None:
        data = bytearray(written.read_bytes())
        data[-3000] ^= 1
        written.unlink()
        written.write_bytes(data)

    burner.after_write = flip
    assert worker.make_next()
    assert sorted(states(ground.request(uid))) == [P.QUEUED, P.SPOILED]
    assert images(ground) == discs(ground) == []
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.FAILURE, I.MCD_FAILURE)
    assert discs(ground) == []


def test_an_instance_that_is_gone_from_the_spool_fails_the_request(
    ground: Ground, worker: Worker
) -> None:
    uid = planned_request(ground)
    for key in list(ground.spool.published_keys()):
        ground.spool.remove(key)
    while worker.make_next():
        pass
    assert status_of(ground.request(uid)) == (R.FAILURE, I.PROC_FAILURE)


@pytest.mark.parametrize("error", [RuntimeError("a defect"), MemoryError(), ValueError("bad")])
def test_a_defect_uses_up_the_attempts_of_its_piece(
    ground: Ground, worker: Worker, burner: ScriptedBurner, error: Exception
) -> None:
    """The request fails with a reason; the worker goes on, and the device is not paused."""
    uid = planned_request(ground)

    def fail(_: BurnJob) -> None:
        raise error

    burner.before_write = fail
    for _ in range(3):
        worker.make_next()
    assert ground.request(uid).execution_status is R.FAILURE
    assert P.QUEUED not in states(ground.request(uid))


def test_a_piece_that_kills_its_worker_each_time_is_given_up(
    ground: Ground, worker: Worker
) -> None:
    """As after an out-of-memory kill: each worker claims the piece that the last one left."""
    uid = planned_request(ground)
    for n in range(10):
        with ground.database.writing() as session:
            assert queue.claim(session, device="outbox", capacity={"CD": 10**9}, owner=f"w{n}")
        with ground.database.writing() as session:
            queue.reap(session, device="outbox", owner="another")
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.FAILURE, I.PROC_FAILURE)
    assert states(ground.request(uid)) == [P.SPOILED]


# --- a request that cannot be made, and a device that can ----------------------------------------


def flip_a_pixel(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3000] ^= 1
    path.write_bytes(data)


def is_paused(ground: Ground) -> bool:
    with ground.database.reading() as session:
        return devices.standing(session, "outbox").paused_at is not None


def test_a_faulty_image_fails_its_request_and_does_not_pause_the_device(
    ground: Ground, worker: Worker, burner: ScriptedBurner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_state, "RUINED_IN_A_ROW", 3)
    uids = [planned_request(ground) for _ in range(4)]
    built: list[Path] = []
    written: list[BurnJob] = []
    build = working.pipeline.build_image

    def build_badly(plan: Any, image: Path, *args: Any) -> Any:
        result = build(plan, image, *args)
        flip_a_pixel(image)
        built.append(image)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(working.pipeline, "build_image", build_badly)
        burner.before_write = written.append
        while worker.make_next():
            wait_no_longer(ground)
    assert [status_of(ground.request(uid)) for uid in uids] == [(R.FAILURE, I.PROC_FAILURE)] * 4
    assert len(built) == 8  # each request has two attempts
    assert len(written) == 4  # a second medium was given to none of them
    assert not is_paused(ground)
    assert images(ground) == discs(ground) == []
    uid = planned_request(ground)
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)


def test_an_image_that_was_damaged_before_it_was_written_is_built_again(
    ground: Ground, worker: Worker
) -> None:
    uid = planned_request(ground, copies=2)
    assert worker.make_next()
    (image,) = (ground.settings.storage.root / "images").glob("*.iso")
    damaged = image.read_bytes()
    image.unlink()
    image.write_bytes(damaged)
    flip_a_pixel(image)
    assert worker.make_next()
    assert worker.recorder.ruined_in_a_row == 0
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)


def test_a_device_that_writes_a_good_image_badly_is_paused(
    ground: Ground, worker: Worker, burner: ScriptedBurner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_state, "RUINED_IN_A_ROW", 3)
    uids = [planned_request(ground) for _ in range(2)]

    def write_badly(written: Path) -> None:
        data = written.read_bytes()
        written.unlink()
        written.write_bytes(data)
        flip_a_pixel(written)

    burner.after_write = write_badly
    while worker.make_next():
        wait_no_longer(ground)
    assert status_of(ground.request(uids[0])) == (R.FAILURE, I.MCD_FAILURE)
    assert is_paused(ground)


def test_a_device_that_does_not_accept_a_job_is_not_paused(
    ground: Ground, worker: Worker, burner: ScriptedBurner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is the content of the job, so that the device may accept the next one."""
    monkeypatch.setattr(piece_state, "RUINED_IN_A_ROW", 3)
    uids = [planned_request(ground) for _ in range(2)]
    burner.results = [BurnResult(BurnOutcome.REJECTED, "the label is not valid")] * 4
    while burner.results:
        assert worker.make_next()
        wait_no_longer(ground)
    assert [status_of(ground.request(uid)) for uid in uids] == [(R.FAILURE, I.PROC_FAILURE)] * 2
    assert worker.recorder.ruined_in_a_row == 0
    assert not is_paused(ground)


@pytest.mark.parametrize("file_set_uid", ["1.2.03", "1.2..3", "12", "1.2.3 "])
def test_a_file_set_uid_that_verification_refuses_costs_no_medium(
    ground: Ground, worker: Worker, burner: ScriptedBurner, file_set_uid: str
) -> None:
    """Such a UID may be in rows that an earlier version accepted."""
    uid = planned_request(ground)
    with ground.database.writing() as session:
        session.execute(update(FileSet).values(file_set_uid=file_set_uid))
    written: list[BurnJob] = []
    burner.before_write = written.append
    while worker.make_next():
        wait_no_longer(ground)
    assert status_of(ground.request(uid)) == (R.FAILURE, I.PROC_FAILURE)
    assert written == []
    assert worker.recorder.ruined_in_a_row == 0


def test_a_piece_whose_rows_make_no_sense_fails_its_request_alone(
    ground: Ground, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer does not end, and makes the next piece."""
    bad, good = planned_request(ground, copies=2), planned_request(ground)
    read = working.job.volume_instances

    def read_or_fail(session: Any, file_set: FileSet, spool: Any) -> Any:
        if file_set.id == 1:
            raise LookupError("no such header")
        return read(session, file_set, spool)

    monkeypatch.setattr(working.job, "volume_instances", read_or_fail)
    while worker.make_next():
        pass
    assert status_of(ground.request(bad)) == (R.FAILURE, I.PROC_FAILURE)
    assert "retry" in ground.request(bad).remedy
    assert sorted(states(ground.request(bad))) == [P.DROPPED, P.SPOILED]
    assert status_of(ground.request(good)) == (R.DONE, I.NORMAL)
    assert not is_paused(ground)


# --- cancelled, and retried ----------------------------------------------------------------------


def cancel(ground: Ground, uid: str) -> None:
    with ground.database.writing() as session:
        operations.cancel(session, uid)


def test_a_queued_piece_of_a_cancelled_request_is_dropped(ground: Ground, worker: Worker) -> None:
    uid = planned_request(ground)
    cancel(ground, uid)
    assert not worker.make_next()
    assert ground.request(uid).execution_status is R.DELETED
    assert states(ground.request(uid)) == [P.DROPPED]


@pytest.mark.parametrize("when", ["imaging", "writing", "verifying", "publishing"])
def test_a_request_cancelled_at_any_step_publishes_nothing(
    ground: Ground,
    worker: Worker,
    burner: ScriptedBurner,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    from burnish.write import pipeline

    uid = planned_request(ground)
    states_at_cancel: list[PieceState] = []

    def cancel_now(*_: object) -> None:
        states_at_cancel.extend(states(ground.request(uid)))
        cancel(ground, uid)

    build = pipeline.build_image
    if when == "imaging":
        monkeypatch.setattr(pipeline, "build_image", lambda *args: (cancel_now(), build(*args)))
    elif when == "writing":
        burner.before_write = cancel_now
    elif when == "verifying":
        burner.after_write = cancel_now
    else:
        burner.before_publish = cancel_now
    assert worker.make_next()
    before = {"imaging": P.IMAGING, "publishing": P.VERIFYING}.get(when, P.WRITING)
    assert states_at_cancel == [before]
    after = P.DROPPED if when == "imaging" else P.SPOILED
    assert states(ground.request(uid)) == [after]
    assert ground.request(uid).execution_status is R.DELETED
    assert images(ground) == discs(ground) == []
    assert not worker.make_next()


def test_finished_pieces_of_a_cancelled_request_stay(ground: Ground, worker: Worker) -> None:
    uid = planned_request(ground, copies=2)
    worker.make_next()
    cancel(ground, uid)
    assert states(ground.request(uid)) == [P.CREATED, P.DROPPED]
    assert len(discs(ground)) == 2


def test_a_failed_request_that_is_retried_is_made(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    uid = planned_request(ground, copies=2)
    burner.results = [BurnResult(BurnOutcome.RUINED)] * 2
    while worker.make_next():
        pass
    assert ground.request(uid).execution_status is R.FAILURE
    with ground.database.writing() as session:
        operations.retry(session, uid)
        operations.get_request(session, uid).admitted_at = datetime.now(UTC)
    assert status_of(ground.request(uid)) == (R.PENDING, I.QUEUED)
    plan(ground)
    while worker.make_next():
        pass
    request = ground.request(uid)
    assert status_of(request) == (R.DONE, I.NORMAL)
    assert request.remedy == ""
    assert states(request) == [P.CREATED, P.CREATED]


def test_a_request_retried_while_another_device_still_writes_is_made(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    """The rows of the piece that this worker makes are gone when it reads them again."""
    uid = planned_request(ground)

    def fail_and_retry(_: BurnJob) -> None:
        from burnish.db.history import fail

        with ground.database.writing() as session:
            fail(session, operations.get_request(session, uid), I.MCD_FAILURE, why="elsewhere")
        with ground.database.writing() as session:
            operations.retry(session, uid)
        burner.before_write = lambda _: None

    burner.before_write = fail_and_retry
    assert worker.make_next()
    with ground.database.writing() as session:
        operations.get_request(session, uid).admitted_at = datetime.now(UTC)
    plan(ground)
    while worker.make_next():
        pass
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)


def test_a_blank_larger_than_the_capacity_of_the_device_gets_no_larger_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configured capacity holds, whatever the device says of the blank in it."""
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ScriptedBurner)
    monkeypatch.setattr(working, "_NOT_READY", 0.01)
    folder = tmp_path / "folder"
    folder.mkdir()
    small = DeviceSettings(name="small", media=("CD",), capacity=400_000, directory=folder)
    large = DeviceSettings(name="large", media=("CD",), capacity=600_000_000, directory=folder)
    with Ground(tmp_path, device=(small, large)) as ground:
        instances = [instance(instance_number=1, size=500_000)]
        ground.store(*instances)
        uid = ground.admit(instances)
        plan(ground)
        (file_set,) = ground.request(uid).file_sets
        assert file_set.predicted_size > 400_000
        worker = worker_of(ground, small)
        assert isinstance(worker.burner, ScriptedBurner)
        worker.burner.ready = BurnResult(BurnOutcome.READY, takes={"CD": 700_000_000})
        assert not worker.make_next()
        assert states(ground.request(uid)) == [P.QUEUED]
        other = worker_of(ground, large)
        assert other.make_next()
        assert states(ground.request(uid)) == [P.CREATED]


def test_a_worker_whose_lease_was_given_away_changes_nothing(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    uid = planned_request(ground)

    def give_away(_: BurnJob) -> None:
        with ground.database.writing() as session:
            session.execute(update(Piece).values(lease_until=datetime(2020, 1, 1, tzinfo=UTC)))
            assert queue.reap(session) == 1
            assert queue.claim(session, device="other", capacity={"CD": 10**9}, owner="other")

    burner.before_write = give_away
    assert worker.make_next()
    (piece,) = ground.request(uid).file_sets[0].pieces
    assert piece.state == P.IMAGING
    assert piece.device == "other"
    assert piece.lease_epoch == 2
    assert discs(ground) == []


def test_a_writer_that_is_stuck_in_a_call_of_the_system_is_silent(
    ground: Ground, worker: Worker, burner: ScriptedBurner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is renewed all the time: only its work does not go on."""
    uid = planned_request(ground)
    monkeypatch.setattr(working, "_HEARTBEAT", 0.01)
    answer, device = os.pipe()
    burner.before_write = lambda _: os.close(device if os.read(answer, 1) else answer)

    def reason() -> str:
        settings = ground.settings.model_copy(
            update={"notify": NotifySettings(silent_after=timedelta(seconds=0.5))}
        )
        watch_writers(ground.database, settings, watched_for=timedelta(hours=1))
        with ground.database.reading() as session:
            state = devices.standing(session, "outbox")
            return "" if state.works else state.detail

    thread = threading.Thread(target=worker.make_all)
    thread.start()
    stuck = "the writer of device outbox does not go on with R000001"
    try:
        wait_until(lambda: reason() == stuck, what="the silence of the writer")
        assert states(ground.request(uid)) == [P.WRITING]
        with ground.database.reading() as session:
            assert devices.at_work(session, "outbox")
    finally:
        os.write(device, b"x")
        thread.join()
        os.close(answer)
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)
    with ground.database.writing() as session:
        devices.give_sign_of_life(session, "outbox")
    assert reason() == ""


def test_a_lost_lease_stops_a_device_that_is_writing(
    ground: Ground, worker: Worker, burner: ScriptedBurner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device asks, while it writes, whether it is to go on."""
    uid = planned_request(ground)
    monkeypatch.setattr(working, "_HEARTBEAT", 0.01)
    write = burner.write
    stopped: list[str] = []

    def write_for_long(_: BurnJob, progress: Any, _tell: Any) -> BurnResult:
        with ground.database.writing() as session:
            session.execute(update(Piece).values(lease_until=datetime(2020, 1, 1, tzinfo=UTC)))
            assert queue.reap(session) == 1

        def is_stopped() -> bool:
            try:
                progress(1)
            except StaleLease as error:
                stopped.append(str(error))
            return bool(stopped)

        wait_until(is_stopped, what="the writer to notice that its lease is lost")
        raise StaleLease("the device was stopped")

    monkeypatch.setattr(burner, "write", write_for_long)
    assert worker.make_next()
    assert stopped
    assert discs(ground) == []
    assert states(ground.request(uid)) == [P.QUEUED]
    monkeypatch.setattr(burner, "write", write)
    wait_no_longer(ground)
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)


@pytest.mark.parametrize("durability", ["full", "os"])
def test_what_was_written_is_read_back_from_the_medium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Literal["full", "os"]
) -> None:
    """Unless the site has chosen to trust the page cache."""
    storage = StorageSettings(root=tmp_path, durability=durability)
    read_back = working.pipeline.read_back
    fresh_reads: list[bool] = []

    def spy(*arguments: Any, fresh: bool) -> Any:
        fresh_reads.append(fresh)
        return read_back(*arguments, fresh=fresh)

    monkeypatch.setattr(working.pipeline, "read_back", spy)
    with Ground(tmp_path, storage=storage) as ground:
        uid = planned_request(ground)
        assert worker_of(ground).make_next()
        assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)
    assert fresh_reads == [durability == "full"]


def test_a_piece_is_not_made_of_other_pictures_than_were_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache was lost, and what is made again has another size."""
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ScriptedBurner)

    def make(pool: RenditionPool, tasks: list[RenditionTask], *_: object) -> None:
        for task in tasks:
            rendition_path(pool.folder, task.key).write_bytes(b"other")

    with Ground(tmp_path, content=ContentSettings()) as ground:
        uid = planned_request(ground)
        for rendition in (ground.settings.storage.root / "content").glob("*/*"):
            rendition.unlink()
        monkeypatch.setattr(RenditionPool, "make", make)
        worker_of(ground).make_next()
        assert status_of(ground.request(uid)) != (R.DONE, I.NORMAL)
        with ground.database.reading() as session:
            reasons = session.scalars(select(Event.why).where(Event.why.contains("pictures"))).all()
        assert "pictures of the volume are no longer those that were planned" in reasons
        assert images(ground) == discs(ground) == []


def test_two_requests_with_the_same_file_set_uid_get_their_own_content(
    ground: Ground, worker: Worker
) -> None:
    """An SCU may give the same Storage Media File-set UID twice; each gets its own content."""
    first = planned_request(ground, copies=2, storage_media_file_set_uid="1.2.3")
    second = planned_request(
        ground, storage_media_file_set_uid="1.2.3", storage_media_file_set_id="OTHER"
    )
    with ground.database.writing() as session:
        operations.get_request(session, second).request_priority = "HIGH"  # type: ignore[assignment]
        session.execute(
            update(Piece)
            .where(Piece.file_set_id == 2)
            .values(not_before=datetime.max.replace(tzinfo=UTC))
        )
    worker.make_next()  # first copy of the first request; its image is kept for the second copy
    wait_no_longer(ground)
    while worker.make_next():
        pass
    for uid in (first, second):
        request = ground.request(uid)
        assert status_of(request) == (R.DONE, I.NORMAL)
        assert P.SPOILED not in states(request)


# --- the loop of the worker ----------------------------------------------------------------------


def test_a_worker_takes_over_the_piece_of_a_dead_worker_and_stops_when_asked(
    ground: Ground, worker: Worker, burner: ScriptedBurner
) -> None:
    uid = planned_request(ground)
    with ground.database.writing() as session:
        assert queue.claim(session, device="outbox", capacity={"CD": 10**9}, owner="dead")
    images = ground.settings.storage.root / "images"
    (images / "1-1.2.3-outbox.iso.0a1b2c3d.part").touch()
    image_of_other_device = images / "1-1.2.3-my-outbox.iso.0a1b2c3d.part"
    image_of_other_device.touch()
    burner.before_publish = lambda _: worker.stopping.set()
    thread = threading.Thread(target=worker.run)
    thread.start()
    thread.join(300)
    assert not thread.is_alive()
    assert states(ground.request(uid)) == [P.CREATED]
    assert list(images.iterdir()) == [image_of_other_device]


def test_a_worker_that_is_to_stop_finishes_what_its_device_cannot_make_alone(
    ground: Ground, worker: Worker
) -> None:
    uid = planned_request(ground)
    worker.stopping.set()
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)


@pytest.mark.parametrize(
    ("error", "info"),
    [
        (errno.ENOSPC, I.INSUFFIC_MEMORY),
        (errno.EDQUOT, I.INSUFFIC_MEMORY),
        (errno.EIO, I.CHECK_MCD_SRV),
        (errno.EROFS, I.CHECK_MCD_SRV),
    ],
)
def test_a_failing_disk_of_images_uses_up_no_attempt(
    ground: Ground, worker: Worker, monkeypatch: pytest.MonkeyPatch, error: int, info: I
) -> None:
    from burnish.image import image_file

    uid = planned_request(ground)

    def fail(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    for _ in range(5):
        with monkeypatch.context() as patch:
            patch.setattr(image_file.NewImage, "finish", fail)
            assert worker.make_next()
        request = ground.request(uid)
        assert status_of(request) == (R.CREATING, info)
        assert request.remedy
        assert [(piece.state, piece.attempts) for piece in request.file_sets[0].pieces] == [
            (P.QUEUED, 0)
        ]
        assert images(ground) == []
        wait_no_longer(ground)
    assert worker.make_next()
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)


@pytest.mark.parametrize("how", ["cancelled", "returned"])
def test_nothing_is_published_without_the_lease(
    ground: Ground,
    worker: Worker,
    burner: ScriptedBurner,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """Even if the heartbeat has not yet noticed that the lease is lost."""
    uid = planned_request(ground)
    published: list[BurnJob] = []
    burner.before_publish = published.append
    read_back = working.pipeline.read_back

    def lose(*args: Any, **options: Any) -> Any:
        report = read_back(*args, **options)
        if how == "cancelled":
            cancel(ground, uid)
        else:
            with ground.database.writing() as session:
                session.execute(update(Piece).values(lease_until=datetime(2020, 1, 1, tzinfo=UTC)))
                assert queue.reap(session) == 1
        return report

    with monkeypatch.context() as patch:
        patch.setattr(working.pipeline, "read_back", lose)
        assert worker.make_next()
    assert published == []
    assert discs(ground) == []
    if how == "returned":
        assert worker.make_next()
        assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)


# --- a database that does not answer -------------------------------------------------------------


@pytest.fixture
def impatient(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr(piece_state, "_DATABASE_RETRY", 0.02)
    monkeypatch.setattr(working, "_NOT_READY", 0.02)
    ground.database.close()
    ground.database = Database(ground.url, durable=False, wait=0.1)
    return ground


@pytest.mark.parametrize("when", ["before_write", "after_write", "before_publish"])
def test_a_locked_database_ruins_no_disc(impatient: Ground, when: str) -> None:
    """The writer waits until it can record what the device has done."""
    uid = planned_request(impatient)
    worker = worker_of(impatient)
    lock = sqlite3.connect(
        impatient.settings.storage.root / "burnish.db",
        isolation_level=None,
        check_same_thread=False,
    )
    timer = threading.Timer(0.8, lambda: lock.execute("ROLLBACK"))

    def hold(_: object) -> None:
        lock.execute("BEGIN IMMEDIATE")
        timer.start()

    setattr(worker.burner, when, hold)
    assert worker.make_next()
    timer.join()
    lock.close()
    request = impatient.request(uid)
    assert status_of(request) == (R.DONE, I.NORMAL)
    assert states(request) == [P.CREATED]
    assert [piece.attempts for file_set in request.file_sets for piece in file_set.pieces] == [1]


def test_a_worker_begins_once_the_database_answers(impatient: Ground) -> None:
    uid = planned_request(impatient)
    worker = worker_of(impatient)
    thread = threading.Thread(target=worker.run)
    with locked(impatient.url):
        thread.start()
        wait_until(lambda: "locked" in worker.database_problem, what="the worker to wait")
    wait_until(
        lambda: status_of(impatient.request(uid))[0] is R.DONE, what="the end of the request"
    )
    worker.stopping.set()
    thread.join()


def test_a_worker_that_waits_for_the_database_can_be_stopped(impatient: Ground) -> None:
    worker = worker_of(impatient)
    worker.stopping.set()
    with locked(impatient.url), pytest.raises(OutOfResources):
        worker.run()


# --- plans of an earlier version -----------------------------------------------------------------


def plan_otherwise(ground: Ground) -> None:
    """Give every volume another size, as an earlier version would have planned it."""
    with ground.database.writing() as session:
        session.execute(update(FileSet).values(predicted_size=FileSet.predicted_size + 2048))


def replanned(ground: Ground) -> list[str]:
    with ground.database.reading() as session:
        events = session.scalars(select(Event).where(Event.event == "REPLANNED"))
        return [event.why for event in events]


def test_a_request_whose_plan_is_out_of_date_is_planned_anew(
    ground: Ground, worker: Worker
) -> None:
    uid = planned_request(ground, copies=2)
    plan_otherwise(ground)
    assert worker.make_next()
    request = ground.request(uid)
    assert status_of(request) == (R.PENDING, I.QUEUED)
    assert states(request) == []
    (why,) = replanned(ground)
    assert why.endswith("were planned by an earlier version of Burnish or with other settings")
    plan(ground)
    while worker.make_next():
        pass
    assert status_of(ground.request(uid)) == (R.DONE, I.NORMAL)
    assert len(discs(ground)) == 4


def test_a_plan_that_is_wrong_twice_is_not_made_a_third_time(
    ground: Ground, worker: Worker
) -> None:
    uid = planned_request(ground)
    for _ in range(2):
        plan_otherwise(ground)
        assert worker.make_next()
        plan(ground)
    while worker.make_next():
        pass
    request = ground.request(uid)
    assert status_of(request) == (R.FAILURE, I.PROC_FAILURE)
    assert len(replanned(ground)) == 1


def test_media_that_exist_are_not_planned_anew(ground: Ground, worker: Worker) -> None:
    uid = planned_request(ground, copies=2)
    assert worker.make_next()
    plan_otherwise(ground)
    another = worker_of(ground)
    while another.make_next():
        pass
    request = ground.request(uid)
    assert status_of(request) == (R.FAILURE, I.PROC_FAILURE)
    assert P.CREATED in states(request)
    assert replanned(ground) == []
