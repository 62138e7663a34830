"""Marked patient data go through the whole flow, and are sought where they must not be."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from burnish.db.tables import DeviceState, Event, MediaCreationRequest
from burnish.dicom_elements import encode
from burnish.errors import BurnishError
from burnish.receive import Receiver
from burnish.request import operations
from burnish.request.event_log import EventLog
from burnish.schedule import Schedule
from burnish.settings import LabelSettings, RequestSettings
from burnish.write.worker import Worker
from factories import Ground, SampleInstance, instance

#: Values of patients and studies, none of which is part of anything else.
MARKS = ("MARKNAME", "MARKID", "19471103", "19991224", "MARKOTHER")


def marked(**attributes: object) -> SampleInstance:
    values: dict[str, object] = {
        "patient_name": "MARKNAME^Jane",
        "patient_id": "MARKID",
        "birth_date": "19471103",
        "study_date": "19991224",
    }
    return instance(**{**values, **attributes})  # type: ignore[arg-type]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    settings = RequestSettings(wait_for_instances=timedelta(0), attempts=1)
    label = LabelSettings(institution="St. Elsewhere")
    with Ground(tmp_path, request=settings, label=label) as ground:
        yield ground


def receive(ground: Ground, sample: SampleInstance, data_set: bytes, **identity: str) -> None:
    receiver = Receiver(ground.database, ground.spool)
    incoming = receiver.open(
        **{
            "sop_class_uid": sample.sop_class_uid,
            "sop_instance_uid": sample.sop_instance_uid,
            "transfer_syntax_uid": sample.transfer_syntax_uid,
            "calling_ae_title": "MODALITY",
            "called_ae_title": "BURNISH",
            **identity,
        }
    )
    incoming.write(memoryview(data_set))
    receiver.accept(incoming)
    receiver.index()


def check(texts: str) -> None:
    assert [mark for mark in MARKS if mark in texts] == []


def _truncated(data_set: bytes) -> bytes:
    return data_set[:-10]


def _same(data_set: bytes) -> bytes:
    return data_set


@pytest.mark.parametrize(
    ("sample", "change", "identity"),
    [
        (marked(), _truncated, {}),
        (marked(), _same, {"sop_instance_uid": "1.2.3.4"}),
        (marked(), _same, {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}),
        (marked(study=""), _same, {}),
        (marked(study="MARKOTHER"), _same, {}),
        (marked(series="MARKOTHER"), _same, {}),
        (marked(), lambda data: data[:60] + b"\xff\xff" + data[62:], {}),
    ],
)
def test_a_refusal_of_an_instance_names_no_patient(
    ground: Ground,
    sample: SampleInstance,
    change: Callable[[bytes], bytes],
    identity: dict[str, str],
) -> None:
    """The text of the error is the Error Comment, which the sender logs."""
    with capture_logs() as lines, pytest.raises(BurnishError) as refused:
        receive(ground, sample, change(sample.data_set), **identity)
    check(f"{refused.value} {refused.value.hint} {lines}")


@pytest.mark.parametrize("name", [b"MARKNAME^J\xf6rg", b"MARKNAME^Jane"])
def test_the_log_of_a_damaged_or_doubtful_instance_names_no_patient(
    ground: Ground, name: bytes
) -> None:
    short_pixels = encode(0x7FE00010, b"OW", bytes(50))
    sample = marked(patient_name=name, pixels=short_pixels)
    with capture_logs() as lines:
        receive(ground, sample, sample.data_set)
    assert [line["event"] for line in lines] == ["instance is damaged"]
    check(str(lines))


def test_neither_log_nor_events_nor_file_names_have_patient_data(ground: Ground) -> None:
    events = EventLog(ground.database)
    root = ground.settings.storage.root
    samples = [
        marked(),
        marked(patient_name="MARKOTHER^Joe"),
        marked(patient_id="MARKID 2", study="1.2.3.9", series="1.2.3.9.1"),
    ]
    with capture_logs() as lines:
        for sample in samples:
            receive(ground, sample, sample.data_set)
        newer = marked(sop_instance_uid=samples[0].sop_instance_uid, patient_name="MARKOTHER^X")
        with suppress(BurnishError):
            receive(ground, newer, newer.data_set)
        for references in (samples, samples[:1], [marked()]):
            uid = ground.create(references)
            with ground.database.writing() as session:
                operations.initiate(session, ground.settings.request, uid)
            Schedule(ground.settings, ground.database, ground.spool, lambda: None).admit()
            ground.plan()
        worker = Worker(ground.settings, ground.device, ground.database, ground.spool)
        worker.make_all()
        events.tick()
    assert any(line["event"] == "request done" for line in lines)
    assert any(line["event"] == "request failed" for line in lines)
    check(str(lines))
    with ground.database.reading() as session:
        texts = session.execute(select(Event.event, Event.why)).all()
        states = session.execute(select(DeviceState.detail, DeviceState.remedy)).all()
        remedies = session.scalars(select(MediaCreationRequest.remedy)).all()
    check(f"{texts} {states} {remedies}")
    check(" ".join(str(path) for path in root.rglob("*")))
    for manifest in (root / "outbox").rglob("*.json"):
        check(manifest.read_text())
