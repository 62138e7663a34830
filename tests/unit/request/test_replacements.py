"""Newer content of an instance: what is planned, and what requests and listings say of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from burnish.db.tables import Event, FileSetEntry, Instance
from burnish.plan.planner import Planner
from burnish.receive import Receiver
from burnish.request import admission, instance_listing, replacements
from burnish.vocabulary import ExecutionStatus
from burnish.write import job
from factories import MR, Ground, SampleInstance, instance

UID = "1.2.3.4"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def receive(ground: Ground, sample: SampleInstance, calling_ae_title: str = "MODALITY") -> None:
    receiver = Receiver(ground.database, ground.spool)
    receiver.receive(sample.arriving(calling_ae_title=calling_ae_title))
    receiver.index()


def plan(ground: Ground, sample: SampleInstance) -> str:
    """Plan a request for an instance; its SOP Instance UID."""
    uid = ground.admit([sample])
    planner = Planner(ground.settings, ground.database, ground.spool)
    planner.tick()
    planner.close()
    return uid


def planned_patients(ground: Ground, uid: str) -> list[str]:
    """The Patient IDs that the writer puts on the volume of a request."""
    (file_set,) = ground.request(uid).file_sets
    with ground.database.reading() as session:
        return [
            instance.header.patient_id
            for instance in job.volume_instances(session, file_set, ground.spool)
        ]


def note(ground: Ground) -> int:
    with ground.database.writing() as session:
        return replacements.note_replacements(session)


def reasons(ground: Ground) -> list[str]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Event.why).where(Event.event == "REPLACED")))


WRONG = instance(sop_instance_uid=UID, patient_id="W1")
RIGHT = instance(sop_instance_uid=UID, patient_id="R1")


def test_the_newest_content_is_planned(ground: Ground) -> None:
    receive(ground, WRONG)
    receive(ground, RIGHT)
    assert planned_patients(ground, plan(ground, RIGHT)) == ["R1"]


def test_what_is_planned_keeps_its_content_and_later_requests_get_the_newest(
    ground: Ground,
) -> None:
    receive(ground, WRONG)
    first = plan(ground, WRONG)
    receive(ground, RIGHT, "ARCHIVE")
    second = plan(ground, RIGHT)
    assert planned_patients(ground, first) == ["W1"]
    assert planned_patients(ground, second) == ["R1"]
    assert ground.count(FileSetEntry) == 2
    with ground.database.reading() as session:
        (replaced,) = replacements.replacements(session, first)
        assert replacements.replacements(session, second) == []
    assert replaced.sop_instance_uid == UID
    assert replaced.calling_ae_title == "ARCHIVE"
    assert replaced.changed == "Patient ID"


def test_a_request_is_told_once_for_each_newer_content(ground: Ground) -> None:
    receive(ground, WRONG)
    uid = plan(ground, WRONG)
    assert note(ground) == 0
    receive(ground, RIGHT, "ARCHIVE")
    assert note(ground) == 1
    assert note(ground) == 0
    assert reasons(ground) == [
        "1 instance received again with newer content from ARCHIVE;"
        " the planned media have the older content"
    ]
    assert ground.request(uid).execution_status is ExecutionStatus.PENDING
    plan(ground, RIGHT)
    receive(ground, instance(sop_instance_uid=UID, patient_id="R2"))
    assert note(ground) == 1
    assert len(reasons(ground)) == 2


def test_an_instance_is_admitted_by_its_newest_content(ground: Ground) -> None:
    """One content is one instance, and its SOP Class is that of the newest."""
    receive(ground, WRONG)
    receive(ground, instance(sop_instance_uid=UID, sop_class_uid=MR))
    uid = ground.admit([WRONG])
    with ground.database.writing() as session:
        request = session.merge(ground.request(uid))
        request.admitted_at = None
        session.flush()
        admission.admit(session, request.id, ground.settings.request.wait_for_instances)
    (failure,) = ground.request(uid).failures
    assert failure.failure_reason == 0x0119


def test_listings_show_each_instance_once_with_what_it_replaces(ground: Ground) -> None:
    receive(ground, WRONG)
    receive(ground, RIGHT, "PACS")
    receive(ground, instance(sop_instance_uid=UID, patient_id="R1", study="1.2.9"), "ARCHIVE")
    with ground.database.reading() as session:
        (line,) = instance_listing.instances(session)
        assert line == instance_listing.find_instance(session, UID)
        assert instance_listing.references_of_study(session, "1.2.9") == [
            (RIGHT.sop_class_uid, UID)
        ]
        assert instance_listing.instances(session, study_instance_uid="1.2.3.1") == []
    assert line.calling_ae_title == "ARCHIVE"
    assert [
        (content.calling_ae_title, content.replaced_by, content.changed, content.is_kept)
        for content in line.replaces
    ] == [
        ("PACS", "ARCHIVE", "Study Instance UID", True),
        ("MODALITY", "PACS", "Patient ID", True),
    ]
    assert line.replaced.endswith("PACS: Study Instance UID")


def test_the_media_of_an_instance_are_shown_with_their_content(ground: Ground) -> None:
    receive(ground, WRONG)
    plan(ground, WRONG)
    receive(ground, RIGHT)
    plan(ground, RIGHT)
    with ground.database.reading() as session:
        media = instance_listing.media_of_instance(session, UID)
        received = dict(session.execute(select(Instance.patient_id, Instance.received_at)).all())
    assert [line.request for line in media] == ["R000001", "R000002"]
    assert [line.received_at for line in media] == [received["W1"], received["R1"]]
    assert all(line.received_at <= datetime.now(UTC) for line in media)
