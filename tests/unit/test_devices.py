"""Devices as people see them: state, reason, supplies, the present piece, and the test burn."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import update

import burnish.burn
from burnish import devices, register
from burnish.burn import BurnOutcome, BurnResult, Supply, open_burner
from burnish.db import devices as device_rows
from burnish.db import queue
from burnish.db.tables import MediaCreationRequest, Piece
from burnish.devices import DeviceView
from burnish.errors import InvalidArgument, NotNow, Unknown
from burnish.plan.planner import Planner
from burnish.receive import Receiver
from burnish.register import RegisterFilter
from burnish.request import admission, burn_test
from burnish.settings import DeviceSettings
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo
from burnish.write.worker import Worker
from factories import Ground, add_request, instance
from robots.epson import EpsonRobot
from robots.primera import PrimeraRobot
from scripted_burner import ScriptedBurner

ANNA = Actor("user", "anna", "10.0.0.3")


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ScriptedBurner)
    with Ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def worker(ground: Ground) -> Worker:
    return Worker(ground.settings, ground.device, ground.database, ground.spool)


def view(ground: Ground) -> DeviceView:
    with ground.database.reading() as session:
        return devices.view(session, ground.settings, "outbox")


@pytest.mark.usefixtures("worker")
def test_a_device_without_work_is_ready(ground: Ground) -> None:
    ready = view(ground)
    assert (ready.state, ready.category, ready.current) == ("ready", "folder", None)
    assert ready.place.endswith("outbox")
    (supply,) = ready.supplies
    assert (supply.name, supply.unit) == ("free space", "bytes")
    assert supply.level > 0


@pytest.mark.usefixtures("worker")
def test_a_pause_has_a_reason_and_an_actor_until_it_ends(ground: Ground) -> None:
    with ground.database.writing() as session:
        devices.pause(session, ground.settings, "outbox", " a  new disk ", actor=ANNA)
    paused = view(ground)
    assert paused.state == "paused"
    assert paused.paused_by == "user anna (10.0.0.3)"
    assert "a new disk" in paused.reason
    assert "burnish device resume outbox" in paused.remedy
    with ground.database.writing() as session:
        devices.resume(session, ground.settings, "outbox", actor=ANNA)
    assert (view(ground).state, view(ground).paused_by) == ("ready", "")


def test_only_devices_of_the_configuration_can_be_paused(ground: Ground) -> None:
    with ground.database.writing() as session:
        with pytest.raises(Unknown):
            devices.pause(session, ground.settings, "other", "", actor=ANNA)
        with pytest.raises(Unknown):
            devices.resume(session, ground.settings, "other", actor=ANNA)
        with pytest.raises(InvalidArgument):
            devices.pause(session, ground.settings, "outbox", "a\x1b[31m", actor=ANNA)


@pytest.mark.usefixtures("worker")
def test_a_device_that_reported_a_problem_is_held_up(ground: Ground) -> None:
    with ground.database.writing() as session:
        info = ExecutionStatusInfo.OUT_OF_SUPPLIES
        device_rows.tell(session, "outbox", info, "the bins are empty", "Fill them.")
    held_up = view(ground)
    assert (held_up.state, held_up.info) == ("held up", ExecutionStatusInfo.OUT_OF_SUPPLIES)
    assert (held_up.reason, held_up.remedy) == ("the bins are empty", "Fill them.")


def test_a_device_that_is_not_there_is_held_up(tmp_path: Path) -> None:
    missing = tmp_path / "stick"
    device = DeviceSettings(name="outbox", kind="mounted", directory=missing)
    with Ground(tmp_path / "storage", device=(device,)) as ground:
        held_up = view(ground)
    assert held_up.state == "held up"
    assert f"{missing} does not exist" in held_up.reason


def test_the_present_piece_has_progress_and_speed(ground: Ground) -> None:
    with ground.database.writing() as session:
        add_request(session, size=1000)
        claim = queue.claim(session, device="outbox", capacity={"CD": 10**9}, owner="test")
    assert claim is not None
    with ground.database.writing() as session:
        assert queue.heartbeat(session, claim, 250)
        began = datetime.now(UTC) - timedelta(seconds=10)
        session.execute(update(Piece).values(step_began_at=began))
    working = view(ground)
    assert working.state == "working"
    current = working.current
    assert current is not None
    assert (current.request, current.file_set_id, current.step) == ("R000001", "SET1", "image")
    assert (current.bytes_done, current.bytes_total) == (250, 1000)
    assert current.bytes_per_second is not None
    assert current.seconds_left is not None
    assert 0 < current.bytes_per_second <= 25
    assert current.seconds_left >= 30


def test_a_worker_notes_its_progress_with_its_lease(
    ground: Ground, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[int] = []
    monkeypatch.setattr("burnish.write.worker._HEARTBEAT", 0.01)
    heartbeat = queue.heartbeat

    def note(session: Any, claim: Any, bytes_done: int, *, is_active: bool) -> bool:
        noted.append(bytes_done)
        return heartbeat(session, claim, bytes_done, is_active=is_active)

    monkeypatch.setattr(queue, "heartbeat", note)
    burner = worker.burner
    assert isinstance(burner, ScriptedBurner)

    def wait(_path: Path) -> None:
        with ground.database.reading() as session:
            while not (current := devices.view(session, ground.settings, "outbox").current):
                pass
            assert current.step == "write"
            count = len(noted)
            while len(noted) == count:
                worker.stopping.wait(0.01)

    burner.after_write = wait
    samples = [instance(size=3000)]
    ground.store(*samples)
    ground.admit(samples)
    Planner(ground.settings, ground.database, ground.spool).tick()
    worker.make_all()
    assert max(noted) > 3000
    assert view(ground).created == 1


def test_the_counts_of_a_device_are_those_of_the_register(ground: Ground, worker: Worker) -> None:
    assert isinstance(worker.burner, ScriptedBurner)
    worker.burner.results = [BurnResult(BurnOutcome.RUINED, "the laser failed")]
    samples = [instance()]
    ground.store(*samples)
    ground.admit(samples)
    Planner(ground.settings, ground.database, ground.spool).tick()
    worker.make_all()
    assert (view(ground).created, view(ground).spoiled) == (1, 1)


def test_a_test_burn_is_made_read_back_and_registered(ground: Ground, worker: Worker) -> None:
    assert not burn_test.uses_up_a_blank(ground.device)
    receiver = Receiver(ground.database, ground.spool, same_uid="newest")
    instances = burn_test.generated_instances("BURNISH")
    for generated in instances:
        receiver.receive(generated)
    receiver.index()
    receiver.close()
    with ground.database.writing() as session:
        request_id = burn_test.request_test_burn(
            session, ground.settings.request, ground.device, instances, actor=ANNA
        )
    with ground.database.writing() as session:
        admission.admit(session, request_id, timedelta(0), timedelta(0), rows_complete=True)
    Planner(ground.settings, ground.database, ground.spool).tick()
    worker.make_all()
    with ground.database.reading() as session:
        request = session.get_one(MediaCreationRequest, request_id)
        (entry,) = register.entries(session, RegisterFilter(patient="TEST"), limit=9)
    assert request.execution_status is ExecutionStatus.DONE
    assert request.device == "outbox"
    assert entry.requested_by == "user anna (10.0.0.3)"
    assert entry.instances == len(instances)
    assert "compared byte for byte" in entry.verified


def test_a_test_burn_needs_a_profile_for_the_media_of_the_device(ground: Ground) -> None:
    bd_only = DeviceSettings(name="bd", media=("BD",))
    assert burn_test.profile_for(bd_only).startswith("STD-GEN-BD")
    with pytest.raises(NotNow):
        burn_test.profile_for(
            DeviceSettings(name="none", media=("CD",)).model_copy(update={"media": ()})
        )
    assert burn_test.profile_for(ground.device) == ""


def test_a_robot_tells_its_supplies(tmp_path: Path) -> None:
    folder, exchange = tmp_path / "jobs", tmp_path / "exchange"
    folder.mkdir()
    exchange.mkdir()
    epson = EpsonRobot(folder, exchange)
    epson.step()
    burner = open_burner("epson", "e", directory=folder, exchange=exchange)
    assert Supply("blanks: stacker1", epson.blanks, "discs") in burner.supplies()
    assert Supply("ink: C", 80, "%") in burner.supplies()
    primera_folder = tmp_path / "primera"
    primera_folder.mkdir()
    (primera_folder / "Status").mkdir()
    primera = PrimeraRobot(primera_folder, exchange)
    primera.step()
    burner = open_burner("primera", "p", directory=primera_folder, exchange=exchange)
    assert burner.supplies() == (Supply("blanks: left bin", 20, "discs"),)
