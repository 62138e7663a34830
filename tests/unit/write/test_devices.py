"""Several devices, paused devices, drives and robots: which device makes a piece, and when."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import burnish.burn
from burnish.burn import mounted
from burnish.burn.burner import BurnOutcome, BurnResult
from burnish.burn.libburn import PADDING
from burnish.burn.optical import OpticalBurner
from burnish.burn.primera import PrimeraBurner
from burnish.db import devices, queue
from burnish.db.tables import Piece
from burnish.errors import NotNow, OutOfResources
from burnish.image.reader import open_volume
from burnish.lifecycle import PieceEvent
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
from scripted_burner import ScriptedBurner
from waiting import wait_until

R, P, I = ExecutionStatus, PieceState, ExecutionStatusInfo  # noqa: E741
HOLD = BurnResult(BurnOutcome.OUT_OF_SUPPLIES, "the bin is empty", "fill it")
RUINED = BurnResult(BurnOutcome.RUINED, "the laser is tired")


@pytest.fixture(autouse=True)
def _not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ScriptedBurner)
    monkeypatch.setattr(working, "_NOT_READY", 0)
    monkeypatch.setattr(piece_state, "HOLD_TIME", timedelta(hours=1))


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    devices = (
        DeviceSettings(name="a", media=("CD",)),
        DeviceSettings(name="b", media=("CD", "DVD")),
    )
    with Ground(tmp_path, request=RequestSettings(attempts=3), device=devices) as ground:
        yield ground


def worker_of(ground: Ground, index: int) -> tuple[Worker, ScriptedBurner]:
    worker = Worker(ground.settings, ground.settings.devices[index], ground.database, ground.spool)
    assert isinstance(worker.burner, ScriptedBurner)
    return worker, worker.burner


def planned_request(ground: Ground, **attributes: Any) -> str:
    instances = [instance(instance_number=n, size=3000) for n in (1, 2)]
    ground.store(*instances)
    uid = ground.admit(instances, **attributes)
    Planner(ground.settings, ground.database, ground.spool).tick()
    return uid


def status_of(ground: Ground, uid: str) -> tuple[ExecutionStatus, ExecutionStatusInfo, str]:
    request = ground.request(uid)
    return request.execution_status, request.execution_status_info, request.remedy


def pieces(ground: Ground) -> list[tuple[str, str]]:
    with ground.database.reading() as session:
        rows = session.scalars(select(Piece).order_by(Piece.id))
        return [(str(row.state), row.device) for row in rows]


# --- several devices -----------------------------------------------------------------------------


def test_another_device_takes_a_piece_that_is_held(ground: Ground) -> None:
    uid = planned_request(ground)
    (a, burner), (b, _) = worker_of(ground, 0), worker_of(ground, 1)
    burner.results = [HOLD]
    assert a.make_next()
    assert status_of(ground, uid) == (R.CREATING, I.NORMAL, "")
    assert not a.make_next()
    assert b.make_next()
    assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")
    assert pieces(ground) == [("CREATED", "b")]


def test_a_request_says_what_it_waits_for_if_no_device_can_make_it(ground: Ground) -> None:
    uid = planned_request(ground)
    (a, burner_a), (b, burner_b) = worker_of(ground, 0), worker_of(ground, 1)
    burner_a.ready = HOLD
    assert not a.make_next()
    assert status_of(ground, uid) == (R.PENDING, I.QUEUED, "")
    burner_b.ready = BurnResult(BurnOutcome.BUSY, "somebody else's job", "wait")
    assert not b.make_next()
    assert status_of(ground, uid) == (R.PENDING, I.MCD_BUSY, "wait")
    burner_b.results = [HOLD]
    burner_b.ready = None
    assert b.make_next()
    assert status_of(ground, uid) == (R.CREATING, I.OUT_OF_SUPPLIES, "fill it")
    burner_a.ready = None
    assert not a.make_next()  # the piece is held
    with ground.database.writing() as session:
        operations.retry(session, uid)
    assert a.make_next()
    assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")


def test_waiting_requests_are_queued_when_the_device_is_ready_again(ground: Ground) -> None:
    first, second = planned_request(ground), planned_request(ground)
    (a, burner_a), (b, burner_b) = worker_of(ground, 0), worker_of(ground, 1)
    burner_a.ready = burner_b.ready = HOLD
    assert not a.make_next()
    assert not b.make_next()
    assert status_of(ground, first) == (R.PENDING, I.OUT_OF_SUPPLIES, "fill it")
    with ground.database.writing() as session:
        operations.get_request(session, second).request_priority = "HIGH"  # type: ignore[assignment]
    burner_a.ready = None
    assert a.make_next()
    assert status_of(ground, second)[0] is R.DONE
    assert status_of(ground, first) == (R.PENDING, I.QUEUED, "")


def test_a_ruined_piece_is_made_by_the_other_device(ground: Ground) -> None:
    uid = planned_request(ground)
    (a, burner), (b, _) = worker_of(ground, 0), worker_of(ground, 1)
    burner.results = [RUINED]
    assert a.make_next()
    assert not a.make_next()
    assert b.make_next()
    assert status_of(ground, uid)[0] is R.DONE
    assert pieces(ground) == [("SPOILED", "a"), ("CREATED", "b")]
    with ground.database.reading() as session:
        assert listing.find_request(session, uid).pieces_ruined == 1
        assert devices.work(session, "a") == {"made": 0, "ruined": 1}


def test_only_a_request_that_waits_for_a_device_can_be_retried(ground: Ground) -> None:
    uid = planned_request(ground)
    with pytest.raises(NotNow), ground.database.writing() as session:
        operations.retry(session, uid)


# --- paused --------------------------------------------------------------------------------------


@pytest.fixture
def single_device(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path, request=RequestSettings(attempts=3)) as ground:
        yield ground


def test_a_paused_device_takes_nothing_until_it_is_resumed(single_device: Ground) -> None:
    uid = planned_request(single_device)
    worker, _ = worker_of(single_device, 0)
    with single_device.database.writing() as session:
        devices.pause(session, "outbox", "the disk is being changed")
    assert not worker.make_next()
    remedy = "To resume: burnish device resume outbox"
    assert status_of(single_device, uid) == (R.PENDING, I.CHECK_MCD_OP, remedy)
    with single_device.database.writing() as session:
        devices.resume(session, "outbox")
    assert worker.make_next()
    assert status_of(single_device, uid) == (R.DONE, I.NORMAL, "")


def test_a_device_that_is_paused_after_its_state_was_read_gets_only_what_it_works_on(
    single_device: Ground,
) -> None:
    planned_request(single_device)
    worker, _ = worker_of(single_device, 0)
    capacities = worker.recorder.capacities
    with single_device.database.writing() as session:
        devices.pause(session, "outbox", "the disk is being changed")
    assert worker.claim_piece(capacities) is None
    with single_device.database.writing() as session:
        session.execute(update(Piece).values(device="outbox", device_job="J"))
    assert worker.claim_piece(capacities, at_device=True) is not None


def test_resuming_a_device_tries_held_pieces_at_once(single_device: Ground) -> None:
    uid = planned_request(single_device)
    worker, burner = worker_of(single_device, 0)
    burner.results = [HOLD]
    assert worker.make_next()
    assert not worker.make_next()
    with single_device.database.writing() as session:
        devices.resume(session, "outbox")
    assert worker.make_next()
    assert status_of(single_device, uid)[0] is R.DONE


def test_a_device_that_ruins_everything_is_paused(
    single_device: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_state, "RUINED_IN_A_ROW", 4)
    first, second = planned_request(single_device), planned_request(single_device)
    worker, burner = worker_of(single_device, 0)
    burner.results = [RUINED] * 4
    while worker.make_next():
        pass
    assert status_of(single_device, first)[:2] == (R.FAILURE, I.MCD_FAILURE)
    status, info, remedy = status_of(single_device, second)
    assert status == R.CREATING
    assert info == I.CHECK_MCD_OP
    assert "burnish device resume outbox" in remedy
    with single_device.database.writing() as session:
        assert "the laser is tired" in devices.standing(session, "outbox").detail
        devices.resume(session, "outbox")
    assert worker.make_next()
    assert status_of(single_device, second)[0] is R.DONE


# --- a drive -------------------------------------------------------------------------------------


@pytest.fixture
def burning(tmp_path: Path) -> Iterator[tuple[Ground, Path]]:
    disc = tmp_path / "disc"
    drive = DeviceSettings(name="drive", kind="optical", drive=f"stdio:{disc}", finalise=False)
    with Ground(tmp_path / "root", request=RequestSettings(attempts=2), device=(drive,)) as ground:
        yield ground, disc


def drive_of(ground: Ground) -> Worker:
    return Worker(ground.settings, ground.device, ground.database, ground.spool)


def test_a_drive_burns_one_disc_after_the_other(burning: tuple[Ground, Path]) -> None:
    ground, disc = burning
    uid = planned_request(ground, copies=2)
    worker = drive_of(ground)
    assert worker.make_next()
    first = disc.read_bytes()
    assert not any(first[-PADDING:])  # it was left open
    assert status_of(ground, uid) == (R.CREATING, I.NORMAL, "")
    assert not worker.make_next()
    assert status_of(ground, uid) == (R.CREATING, I.CHECK_MCD_OP, "Put in a blank disc.")
    disc.unlink()
    assert worker.make_next()
    assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")
    assert disc.read_bytes() == first
    assert list((ground.settings.storage.root / "images").iterdir()) == []


def test_a_drive_that_ruins_discs_fails_the_request_in_the_end(
    burning: tuple[Ground, Path],
) -> None:
    ground, _ = burning
    uid = planned_request(ground)
    worker = drive_of(ground)
    worker.burner = OpticalBurner("drive", drive="stdio:/dev/full", finalise=False)
    while worker.make_next():
        pass
    status, info, remedy = status_of(ground, uid)
    assert status == R.FAILURE
    assert info == I.MCD_FAILURE
    assert "retry" in remedy
    assert pieces(ground) == [("SPOILED", "drive")] * 2


def test_a_disc_that_cannot_be_read_back_is_ruined(burning: tuple[Ground, Path]) -> None:
    ground, disc = burning
    uid = planned_request(ground)
    worker = drive_of(ground)
    worker.burner.written = lambda _: disc.with_name("gone")  # type: ignore[method-assign]
    assert worker.make_next()
    assert pieces(ground) == [("SPOILED", "drive"), ("QUEUED", "drive")]
    assert status_of(ground, uid)[:2] == (R.CREATING, I.NORMAL)


def test_the_remedy_names_the_blank_that_is_needed(burning: tuple[Ground, Path]) -> None:
    ground, _ = burning
    uid = planned_request(ground)
    worker = drive_of(ground)
    dvd = BurnResult(BurnOutcome.READY, "the disc in the drive is a DVD+R", takes={"DVD": 10**9})
    worker.burner.state = lambda: dvd  # type: ignore[method-assign]
    assert not worker.make_next()
    assert status_of(ground, uid) == (
        R.PENDING,
        I.CHECK_MCD_OP,
        "Put in a blank CD that holds 0 MB.",
    )


def test_a_disc_whose_burner_was_killed_is_ruined(burning: tuple[Ground, Path]) -> None:
    ground, disc = burning
    uid = planned_request(ground)
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
        wait_until(lambda: status_of(ground, uid)[0] is R.DONE, what="the end of the request")
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
    with Ground(tmp_path / "root", request=RequestSettings(attempts=2), device=(device,)) as ground:
        yield ground, robot
    robot.stop()


def robot_worker(ground: Ground) -> Worker:
    worker = drive_of(ground)
    device = ground.device
    assert device.directory is not None
    assert device.exchange is not None
    worker.burner = PrimeraBurner(
        device.name, directory=device.directory, exchange=device.exchange, poll=0.02
    )
    return worker


def device_jobs(ground: Ground) -> list[str]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Piece.device_job).order_by(Piece.id)))


def test_a_robot_makes_all_volumes_of_a_set(robotic: tuple[Ground, PrimeraRobot]) -> None:
    ground, robot = robotic
    uid = planned_request(ground, copies=2)
    robot.faults = ["verify"]
    robot.start()
    worker = robot_worker(ground)
    while worker.make_next():
        worker.call_off()
    assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")
    assert len(robot.touched) == 3
    assert len(robot.good) == 2
    assert sorted(state for state, _ in pieces(ground)) == ["CREATED", "CREATED", "SPOILED"]
    assert [path for path in robot.exchange.iterdir() if path.suffix != ".done"] == []


def test_a_robot_is_followed_again_after_a_restart(robotic: tuple[Ground, PrimeraRobot]) -> None:
    ground, robot = robotic
    uid = planned_request(ground)
    robot.blanks = 0
    robot.start()
    worker = robot_worker(ground)
    worker.recorder.report = lambda *_: worker.stopping.set()  # type: ignore[method-assign]
    assert worker.make_next()
    assert pieces(ground) == [("QUEUED", "robot")]
    (sent,) = device_jobs(ground)
    assert sent
    robot.blanks = 2
    next_worker = robot_worker(ground)
    assert next_worker.make_next()
    assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")
    assert robot.touched == [sent]


def test_a_robot_gets_no_image_that_is_damaged(
    robotic: tuple[Ground, PrimeraRobot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The robot compares a disc with the image that it was given, and so would not notice."""
    ground, robot = robotic
    uid = planned_request(ground)
    robot.start()
    build = working.pipeline.build_image

    def build_badly(plan: Any, image: Path, *arguments: Any) -> Any:
        result = build(plan, image, *arguments)
        data = bytearray(image.read_bytes())
        data[-3000] ^= 1
        image.write_bytes(data)
        return result

    monkeypatch.setattr(working.pipeline, "build_image", build_badly)
    worker = robot_worker(ground)
    while worker.make_next():
        pass
    assert status_of(ground, uid)[:2] == (R.FAILURE, I.PROC_FAILURE)
    assert robot.touched == []


def test_a_robot_keeps_its_piece_if_the_database_fails_when_the_disc_is_done(
    robotic: tuple[Ground, PrimeraRobot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise no device would claim the piece again, and its request would never end."""
    ground, robot = robotic
    uid = planned_request(ground)
    robot.start()
    worker = robot_worker(ground)
    advance = worker.recorder.advance

    def fail_once(claim: queue.Claim, event: PieceEvent, **columns: Any) -> None:
        if event is PieceEvent.WRITTEN:
            monkeypatch.setattr(worker.recorder, "advance", advance)
            raise OutOfResources("the database does not answer")
        advance(claim, event, **columns)

    monkeypatch.setattr(worker.recorder, "advance", fail_once)
    assert worker.make_next()
    assert pieces(ground) == [("QUEUED", "robot")]
    with ground.database.writing() as session:
        session.execute(update(Piece).values(not_before=None))
    assert robot_worker(ground).make_next()
    assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")
    assert len(robot.touched) == 1


def test_a_request_says_what_its_robot_needs(
    robotic: tuple[Ground, PrimeraRobot],
) -> None:
    ground, robot = robotic
    uid = planned_request(ground)
    robot.blanks = 0
    robot.start()
    worker = robot_worker(ground)
    statuses = []
    report = worker.recorder.report

    def fill(piece_job: Any, result: BurnResult) -> None:
        report(piece_job, result)
        statuses.append(status_of(ground, uid))
        if result.outcome is BurnOutcome.OUT_OF_SUPPLIES:
            robot.blanks = 2

    worker.recorder.report = fill  # type: ignore[method-assign]
    assert worker.make_next()
    remedy = "Fill the bins with blanks. The robot then continues by itself."
    assert (R.CREATING, I.OUT_OF_SUPPLIES, remedy) in statuses
    assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")


def test_the_robot_stops_a_cancelled_piece(
    robotic: tuple[Ground, PrimeraRobot],
) -> None:
    ground, robot = robotic
    uid = planned_request(ground)
    robot.blanks = 0
    robot.start()
    worker = robot_worker(ground)
    worker.recorder.report = lambda *_: worker.stopping.set()  # type: ignore[method-assign]
    assert worker.make_next()
    with ground.database.writing() as session:
        operations.cancel(session, uid)
    worker.call_off()
    assert device_jobs(ground) == [""]
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
        uid = planned_request(ground, profiles="STD-GEN-USB-JPEG")
        worker = drive_of(ground)
        assert worker.make_next()
        assert status_of(ground, uid) == (R.DONE, I.NORMAL, "")
        with open_volume(stick) as volume:
            report = examine_volume(volume)
    assert report.good, report.faults
    assert report.instances == 2
    assert not (stick / "BURNISH.TMP").exists()
