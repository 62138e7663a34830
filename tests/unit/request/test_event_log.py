"""The log tells the story of requests and devices, with the same fields in each line."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from burnish.burn.burner import BurnOutcome, BurnResult
from burnish.db import devices
from burnish.db.history import fail
from burnish.db.tables import MediaCreationRequest
from burnish.lifecycle import RequestEvent
from burnish.request import operations
from burnish.request.event_log import _PIECE_EVENTS, _REQUEST_EVENTS, EventLog
from burnish.schedule import Schedule
from burnish.settings import RequestSettings
from burnish.vocabulary import ExecutionStatusInfo
from burnish.write.worker import Worker
from factories import Ground, instance

Lines = list[dict[str, Any]]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path, request=RequestSettings(wait_for_instances=timedelta(0))) as ground:
        yield ground


def logged(events: EventLog) -> Lines:
    """What is logged now, without the time."""
    with capture_logs() as lines:
        events.tick()
    return [dict(line) for line in lines]


def make(ground: Ground, *, is_received: bool = True) -> str:
    """A request of a peer that has been admitted; its SOP Instance UID."""
    sample = instance()
    if is_received:
        ground.store(sample)
    with ground.database.writing() as session:
        reference = operations.Reference(sample.sop_class_uid, sample.sop_instance_uid)
        request = operations.create(
            session,
            ground.settings.request,
            operations.NewRequest([reference]),
            origin="peer",
            calling_ae_title="PACS1",
        )
        operations.initiate(session, ground.settings.request, request.sop_instance_uid)
    Schedule(ground.settings, ground.database, ground.spool, lambda: None).admit()
    return request.sop_instance_uid


def test_one_search_follows_a_request_from_its_creation_to_its_end(ground: Ground) -> None:
    events = EventLog(ground.database)
    uid = make(ground)
    ground.plan()
    worker = Worker(ground.settings, ground.device, ground.database, ground.spool)
    worker.make_all()
    lines = logged(events)
    assert [line["event"] for line in lines] == [
        "request created",
        "request initiated",
        "request admitted",
        "request planned",
        "piece claimed",
        "request started",
        "piece image built",
        "piece written",
        "piece created",
        "request done",
    ]
    assert lines[0]["sop_instance_uid"] == uid
    for line in lines:
        assert line["request"] == "R000001"
        assert line["calling_ae_title"] == "PACS1"
        assert line["log_level"] == "info"
        if line["event"].startswith("piece"):
            assert line["piece"] == 1
            assert line["device"] == "outbox"
    assert logged(events) == []


def test_a_failure_is_an_error_with_its_reason_and_remedy(ground: Ground) -> None:
    events = EventLog(ground.database)
    make(ground, is_received=False)
    with ground.database.writing() as session:
        request = session.get_one(MediaCreationRequest, 1)
        fail(session, request, ExecutionStatusInfo.NO_INSTANCE, why="not received")
    [failed] = [line for line in logged(events) if line["event"] == "request failed"]
    assert failed["log_level"] == "error"
    assert failed["info"] == "NO_INSTANCE"
    assert failed["why"] == "not received"
    with ground.database.writing() as session:
        request = session.get_one(MediaCreationRequest, 1)
        operations.retry(session, request.sop_instance_uid)
        fail(session, request, ExecutionStatusInfo.PROC_FAILURE, why="a defect", remedy="Retry.")
    again = [line for line in logged(events) if line["event"] == "request failed"]
    assert [(line["why"], line["remedy"]) for line in again] == [("a defect", "Retry.")]


def test_a_request_that_waits_says_for_what_once_and_then_that_it_goes_on(ground: Ground) -> None:
    events = EventLog(ground.database)
    make(ground)
    ground.plan()
    worker = Worker(ground.settings, ground.device, ground.database, ground.spool)
    logged(events)
    needs_blank = BurnResult(BurnOutcome.OUT_OF_SUPPLIES, "there is no disc", "Put in a blank.")
    for _ in range(3):
        worker.recorder.device_not_ready(needs_blank)
    lines = logged(events)
    assert [(line["event"], line["log_level"], line["why"], line["remedy"]) for line in lines] == [
        ("request waiting", "warning", "there is no disc", "Put in a blank."),
        ("device not ready", "warning", "there is no disc", "Put in a blank."),
    ]
    assert lines[0]["info"] == lines[1]["info"] == "OUT_OF_SUPPLIES"
    worker.recorder.device_ready()
    assert [line["event"] for line in logged(events)] == ["request queued", "device ready"]


def test_pausing_and_resuming_a_device_are_in_the_log(ground: Ground) -> None:
    events = EventLog(ground.database)
    with ground.database.writing() as session:
        devices.pause(session, "outbox", "a new disk")
    [paused] = logged(events)
    assert paused["event"] == "device paused"
    assert paused["why"] == "a new disk"
    assert paused["remedy"] == "burnish device resume outbox"
    with ground.database.writing() as session:
        devices.resume(session, "outbox")
    assert [line["event"] for line in logged(events)] == ["device resumed"]


def test_every_transition_has_a_name_in_the_log() -> None:
    assert set(RequestEvent) <= set(_REQUEST_EVENTS)
    names = [*_REQUEST_EVENTS.values(), *_PIECE_EVENTS.values()]
    assert len(set(names)) == len(names)


def test_a_missing_folder_is_told_while_nothing_waits_and_again_once_it_is_there(
    tmp_path: Path,
) -> None:
    from burnish.settings import DeviceSettings

    gone = tmp_path / "not" / "there"
    device = DeviceSettings(name="burner", directory=gone)
    with Ground(tmp_path / "root", device=(device,)) as ground:
        events = EventLog(ground.database)
        worker = Worker(ground.settings, ground.device, ground.database, ground.spool)
        for _ in range(3):
            worker.make_all()
        [line] = logged(events)
        assert line["event"] == "device not ready"
        assert line["device"] == "burner"
        assert str(gone) in line["why"]
        assert str(gone) in line["remedy"]
        gone.mkdir(parents=True)
        worker.make_all()
        assert [line["event"] for line in logged(events)] == ["device ready"]
