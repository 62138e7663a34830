"""Several devices, paused devices, drives: who makes a piece, and what is said while nobody can."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import burnish.burn
from burnish.burn import mounted
from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult
from burnish.burn.folder import FolderBurner
from burnish.burn.libburn import PADDING, Drive
from burnish.burn.optical import OpticalBurner
from burnish.db import devices, queue
from burnish.db.tables import Piece
from burnish.errors import NotNow
from burnish.image.reader import open_volume
from burnish.plan.planner import Planner
from burnish.request import listing, operations
from burnish.settings import DeviceSettings, RequestSettings
from burnish.verify.examine import examine_volume
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState
from burnish.write import piece_state
from burnish.write import worker as working
from burnish.write.worker import Worker
from factories import Ground, instance
from robots.primera import PrimeraRobot
from waiting import wait_until

R, P, I = ExecutionStatus, PieceState, ExecutionStatusInfo  # noqa: E741
HOLD = BurnResult(BurnOutcome.OUT_OF_SUPPLIES, "the bin is empty", "fill it")
RUINED = BurnResult(BurnOutcome.RUINED, "the laser is tired")


class ToldBurner(FolderBurner):
    """A folder device that says and does once what a test tells it."""

    def __init__(self, name: str, *, directory: Path) -> None:
        super().__init__(name, directory=directory)
        self.ready: BurnResult | None = None
        self.results: list[BurnResult] = []

    def state(self) -> BurnResult:
        return self.ready or super().state()

    def write(self, job: BurnJob, progress: Any = None, tell: Any = None) -> BurnResult:
        return self.results.pop(0) if self.results else super().write(job, progress, tell)


@pytest.fixture(autouse=True)
def _not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ToldBurner)
    monkeypatch.setattr(working, "_NOT_READY", 0)
    monkeypatch.setattr(piece_state, "HOLD_TIME", timedelta(hours=1))


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    two = (DeviceSettings(name="a", media=("CD",)), DeviceSettings(name="b", media=("CD", "DVD")))
    with Ground(tmp_path, request=RequestSettings(attempts=3), device=two) as made:
        yield made


def worker_of(ground: Ground, index: int) -> tuple[Worker, ToldBurner]:
    worker = Worker(ground.settings, ground.settings.devices[index], ground.database, ground.spool)
    assert isinstance(worker._burner, ToldBurner)
    return worker, worker._burner


def asked(ground: Ground, **attributes: Any) -> str:
    made = [instance(instance_number=n, size=3000) for n in (1, 2)]
    ground.store(*made)
    uid = ground.admit(made, **attributes)
    Planner(ground.settings, ground.database, ground.spool).tick()
    return uid


def stands(ground: Ground, uid: str) -> tuple[ExecutionStatus, ExecutionStatusInfo, str]:
    request = ground.request(uid)
    return request.execution_status, request.execution_status_info, request.remedy


def pieces(ground: Ground) -> list[tuple[str, str]]:
    with ground.database.reading() as session:
        rows = session.scalars(select(Piece).order_by(Piece.id))
        return [(str(row.state), row.device) for row in rows]


# --- several devices -----------------------------------------------------------------------------


def test_another_device_takes_what_one_cannot_make_now(ground: Ground) -> None:
    uid = asked(ground)
    (a, told), (b, _) = worker_of(ground, 0), worker_of(ground, 1)
    told.results = [HOLD]
    assert a.make_next()
    assert stands(ground, uid) == (R.CREATING, I.NORMAL, "")
    assert not a.make_next()
    assert b.make_next()
    assert stands(ground, uid) == (R.DONE, I.NORMAL, "")
    assert pieces(ground) == [("CREATED", "b")]


def test_a_request_says_what_it_waits_for_if_no_device_can_make_it(ground: Ground) -> None:
    uid = asked(ground)
    (a, told_a), (b, told_b) = worker_of(ground, 0), worker_of(ground, 1)
    told_a.ready = HOLD
    assert not a.make_next()
    assert stands(ground, uid) == (R.PENDING, I.QUEUED, "")
    told_b.ready = BurnResult(BurnOutcome.BUSY, "somebody else's job", "wait")
    assert not b.make_next()
    assert stands(ground, uid) == (R.PENDING, I.MCD_BUSY, "wait")
    told_b.results = [HOLD]
    told_b.ready = None
    assert b.make_next()
    assert stands(ground, uid) == (R.CREATING, I.OUT_OF_SUPPLIES, "fill it")
    told_a.ready = None
    assert not a.make_next()  # nobody is to try again at once
    with ground.database.writing() as session:
        operations.retry(session, uid)
    assert a.make_next()
    assert stands(ground, uid) == (R.DONE, I.NORMAL, "")


def test_waiting_requests_are_queued_when_the_device_is_ready_again(ground: Ground) -> None:
    first, second = asked(ground), asked(ground)
    (a, told_a), (b, told_b) = worker_of(ground, 0), worker_of(ground, 1)
    told_a.ready = told_b.ready = HOLD
    assert not a.make_next()
    assert not b.make_next()
    assert stands(ground, first) == (R.PENDING, I.OUT_OF_SUPPLIES, "fill it")
    with ground.database.writing() as session:
        operations.get_request(session, second).request_priority = "HIGH"  # type: ignore[assignment]
    told_a.ready = None
    assert a.make_next()
    assert stands(ground, second)[0] is R.DONE
    assert stands(ground, first) == (R.PENDING, I.QUEUED, "")


def test_a_ruined_piece_is_made_by_the_other_device(ground: Ground) -> None:
    uid = asked(ground)
    (a, told), (b, _) = worker_of(ground, 0), worker_of(ground, 1)
    told.results = [RUINED]
    assert a.make_next()
    assert not a.make_next()
    assert b.make_next()
    assert stands(ground, uid)[0] is R.DONE
    assert pieces(ground) == [("SPOILED", "a"), ("CREATED", "b")]
    with ground.database.reading() as session:
        assert listing.find_request(session, uid).pieces_ruined == 1
        assert devices.work(session, "a") == {"made": 0, "ruined": 1}


def test_only_a_request_that_waits_for_a_device_is_tried_at_once(ground: Ground) -> None:
    uid = asked(ground)
    with pytest.raises(NotNow), ground.database.writing() as session:
        operations.retry(session, uid)


# --- paused --------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path, request=RequestSettings(attempts=3)) as made:
        yield made


def test_a_paused_device_takes_nothing_until_it_is_resumed(alone: Ground) -> None:
    uid = asked(alone)
    worker, _ = worker_of(alone, 0)
    with alone.database.writing() as session:
        devices.pause(session, "outbox", "the disk is being changed")
    assert not worker.make_next()
    remedy = "To resume: burnish device resume outbox"
    assert stands(alone, uid) == (R.PENDING, I.CHECK_MCD_OP, remedy)
    with alone.database.writing() as session:
        devices.resume(session, "outbox")
    assert worker.make_next()
    assert stands(alone, uid) == (R.DONE, I.NORMAL, "")


def test_resuming_tries_at_once_what_was_held(alone: Ground) -> None:
    uid = asked(alone)
    worker, told = worker_of(alone, 0)
    told.results = [HOLD]
    assert worker.make_next()
    assert not worker.make_next()
    with alone.database.writing() as session:
        devices.resume(session, "outbox")
    assert worker.make_next()
    assert stands(alone, uid)[0] is R.DONE


def test_a_device_that_ruins_everything_is_paused(
    alone: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_state, "RUINED_IN_A_ROW", 4)
    first, second = asked(alone), asked(alone)
    worker, told = worker_of(alone, 0)
    told.results = [RUINED] * 4
    while worker.make_next():
        pass
    assert stands(alone, first)[:2] == (R.FAILURE, I.MCD_FAILURE)
    status, info, remedy = stands(alone, second)
    assert (status, info) == (R.CREATING, I.CHECK_MCD_OP)
    assert "burnish device resume outbox" in remedy
    with alone.database.writing() as session:
        assert "the laser is tired" in devices.standing(session, "outbox").detail
        devices.resume(session, "outbox")
    assert worker.make_next()
    assert stands(alone, second)[0] is R.DONE


# --- a drive -------------------------------------------------------------------------------------


@pytest.fixture
def burning(tmp_path: Path) -> Iterator[tuple[Ground, Path]]:
    disc = tmp_path / "disc"
    drive = DeviceSettings(name="drive", kind="optical", drive=f"stdio:{disc}", finalise=False)
    with Ground(tmp_path / "root", request=RequestSettings(attempts=2), device=(drive,)) as made:
        yield made, disc


def drive_of(ground: Ground) -> Worker:
    return Worker(ground.settings, ground.device, ground.database, ground.spool)


def test_a_drive_burns_one_disc_after_the_other(burning: tuple[Ground, Path]) -> None:
    ground, disc = burning
    uid = asked(ground, copies=2)
    worker = drive_of(ground)
    assert worker.make_next()
    first = disc.read_bytes()
    assert not any(first[-PADDING:])  # it was left open
    assert stands(ground, uid) == (R.CREATING, I.NORMAL, "")
    assert not worker.make_next()
    assert stands(ground, uid) == (R.CREATING, I.CHECK_MCD_OP, "Put in a blank disc.")
    disc.unlink()
    assert worker.make_next()
    assert stands(ground, uid) == (R.DONE, I.NORMAL, "")
    assert disc.read_bytes() == first
    assert list((ground.settings.storage.root / "images").iterdir()) == []


def test_a_drive_that_ruins_discs_fails_the_request_in_the_end(
    burning: tuple[Ground, Path],
) -> None:
    ground, _ = burning
    uid = asked(ground)
    worker = drive_of(ground)
    assert isinstance(worker._burner, OpticalBurner)
    worker._burner._drive = Drive("stdio:/dev/full")
    while worker.make_next():
        pass
    status, info, remedy = stands(ground, uid)
    assert (status, info) == (R.FAILURE, I.MCD_FAILURE)
    assert "retry" in remedy
    assert pieces(ground) == [("SPOILED", "drive")] * 2


def test_a_disc_that_cannot_be_read_back_is_ruined(burning: tuple[Ground, Path]) -> None:
    ground, disc = burning
    uid = asked(ground)
    worker = drive_of(ground)
    worker._burner.written = lambda _: disc.with_name("gone")  # type: ignore[method-assign]
    assert worker.make_next()
    assert pieces(ground) == [("SPOILED", "drive"), ("QUEUED", "drive")]
    assert stands(ground, uid)[:2] == (R.CREATING, I.NORMAL)


def test_the_remedy_names_the_blank_that_is_needed(burning: tuple[Ground, Path]) -> None:
    ground, _ = burning
    uid = asked(ground)
    worker = drive_of(ground)
    other = BurnResult(BurnOutcome.READY, "the disc in the drive is a DVD+R", takes={"DVD": 10**9})
    worker._burner.state = lambda: other  # type: ignore[method-assign]
    assert not worker.make_next()
    assert stands(ground, uid) == (R.PENDING, I.CHECK_MCD_OP, "Put in a blank CD that holds 0 MB.")


def test_a_disc_whose_burner_was_killed_is_ruined(burning: tuple[Ground, Path]) -> None:
    ground, disc = burning
    uid = asked(ground)
    with ground.database.writing() as session:
        claim = queue.claim(session, device="drive", capacity={"CD": 10**9}, owner="dead")
    assert claim is not None
    with ground.database.writing() as session:
        session.execute(update(Piece).values(state=P.WRITING, custody="RUINED"))
    disc.write_bytes(b"half a disc" * 1000)
    worker = drive_of(ground)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: pieces(ground)[0][0] == "SPOILED", what="a disc that is ruined")
        disc.unlink()
        wait_until(lambda: stands(ground, uid)[0] is R.DONE, what="the end of the request")
    finally:
        worker.stopping.set()
        thread.join()
    assert pieces(ground) == [("SPOILED", "drive"), ("CREATED", "drive")]


# --- a robot -------------------------------------------------------------------------------------


@pytest.fixture
def robotic(tmp_path: Path) -> Iterator[tuple[Ground, PrimeraRobot]]:
    folders = {name: tmp_path / name for name in ("jobs", "exchange")}
    for folder in folders.values():
        folder.mkdir()
    device = DeviceSettings(
        name="robot", kind="primera", directory=folders["jobs"], exchange=folders["exchange"]
    )
    robot = PrimeraRobot(folders["jobs"], folders["exchange"])
    with Ground(tmp_path / "root", request=RequestSettings(attempts=2), device=(device,)) as made:
        yield made, robot
    robot.stop()


def follower(ground: Ground) -> Worker:
    worker = drive_of(ground)
    worker._burner._poll = 0.02  # type: ignore[attr-defined]
    return worker


def jobs(ground: Ground) -> list[str]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Piece.device_job).order_by(Piece.id)))


def test_a_robot_makes_all_volumes_of_a_set(robotic: tuple[Ground, PrimeraRobot]) -> None:
    ground, robot = robotic
    uid = asked(ground, copies=2)
    robot.faults = ["verify"]
    robot.start()
    worker = follower(ground)
    while worker.make_next():
        worker.call_off()
    assert stands(ground, uid) == (R.DONE, I.NORMAL, "")
    assert len(robot.touched) == 3
    assert len(robot.good) == 2
    assert sorted(state for state, _ in pieces(ground)) == ["CREATED", "CREATED", "SPOILED"]
    assert [path for path in robot.exchange.iterdir() if path.suffix != ".done"] == []


def test_a_robot_is_followed_again_after_a_restart(robotic: tuple[Ground, PrimeraRobot]) -> None:
    ground, robot = robotic
    uid = asked(ground)
    robot.blanks = 0
    robot.start()
    worker = follower(ground)
    worker.recorder.report = lambda *_: worker.stopping.set()  # type: ignore[method-assign]
    assert worker.make_next()
    assert pieces(ground) == [("QUEUED", "robot")]
    (sent,) = jobs(ground)
    assert sent
    robot.blanks = 2
    again = follower(ground)
    assert again.make_next()
    assert stands(ground, uid) == (R.DONE, I.NORMAL, "")
    assert robot.touched == [sent]


def test_a_request_says_what_its_robot_needs(
    robotic: tuple[Ground, PrimeraRobot],
) -> None:
    ground, robot = robotic
    uid = asked(ground)
    robot.blanks = 0
    robot.start()
    worker = follower(ground)
    seen = []
    report = worker.recorder.report

    def fill(piece_job: Any, result: BurnResult) -> None:
        report(piece_job, result)
        seen.append(stands(ground, uid))
        if result.outcome is BurnOutcome.OUT_OF_SUPPLIES:
            robot.blanks = 2

    worker.recorder.report = fill  # type: ignore[method-assign]
    assert worker.make_next()
    remedy = "Fill the bins with blanks. The robot then continues by itself."
    assert (R.CREATING, I.OUT_OF_SUPPLIES, remedy) in seen
    assert stands(ground, uid) == (R.DONE, I.NORMAL, "")


def test_the_robot_stops_a_cancelled_piece(
    robotic: tuple[Ground, PrimeraRobot],
) -> None:
    ground, robot = robotic
    uid = asked(ground)
    robot.blanks = 0
    robot.start()
    worker = follower(ground)
    worker.recorder.report = lambda *_: worker.stopping.set()  # type: ignore[method-assign]
    assert worker.make_next()
    with ground.database.writing() as session:
        operations.cancel(session, uid)
    worker.call_off()
    assert jobs(ground) == [""]
    robot.stop()
    robot.blanks = 2
    for _ in range(5):
        robot.step()
    assert robot.touched == []


# --- a stick -------------------------------------------------------------------------------------


def test_a_stick_is_read_back_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"2 1 8:2 / {stick} rw - vfat /dev/sdb1 rw\n")
    monkeypatch.setattr(mounted, "_MOUNTS", mounts)
    device = DeviceSettings(name="stick", kind="mounted", directory=stick)
    with Ground(tmp_path / "root", device=(device,)) as ground:
        uid = asked(ground, profiles="STD-GEN-USB-JPEG")
        worker = drive_of(ground)
        assert worker.make_next()
        assert stands(ground, uid) == (R.DONE, I.NORMAL, "")
        with open_volume(stick) as volume:
            report = examine_volume(volume)
    assert report.good, report.faults
    assert report.instances == 2
    assert not (stick / "BURNISH.TMP").exists()
