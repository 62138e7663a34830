"""Admission: a request is admitted once its instances have been received, or it fails."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from burnish.db.tables import MediaCreationRequest
from burnish.request import admission, listing, operations
from burnish.vocabulary import (
    JPEG_2000_LOSSLESS,
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
)
from factories import MR, STANDALONE_CURVE, Ground, SampleInstance, encapsulated, instance

WAIT, NO_WAIT = timedelta(hours=1), timedelta(0)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def initiated_request(ground: Ground, instances: list[SampleInstance]) -> str:
    uid = ground.create(instances)
    with ground.database.writing() as session:
        operations.initiate(session, ground.settings.request, uid)
    return uid


def admit(ground: Ground, uid: str, wait: timedelta = NO_WAIT) -> bool:
    with ground.database.writing() as session:
        return admission.admit(session, ground.request(uid).id, wait)


def admit_and_plan(ground: Ground, uid: str, wait: timedelta = NO_WAIT) -> None:
    """The planner fails a request together with what admission found against it."""
    assert admit(ground, uid, wait)
    ground.plan()


def why_failed(ground: Ground, uid: str) -> str:
    with ground.database.reading() as session:
        request = listing.find_request(session, uid)
        return listing.events(session, request)[-1].why


def waiting(ground: Ground) -> list[int]:
    with ground.database.reading() as session:
        return list(admission.waiting_requests(session))


def failures(ground: Ground, uid: str) -> list[tuple[str, int]]:
    return [
        (failure.referenced_sop_instance_uid, failure.failure_reason)
        for failure in ground.request(uid).failures
    ]


def test_a_request_is_admitted_once_all_instances_have_been_received(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(3)]
    ground.store(*instances)
    uid = initiated_request(ground, instances)
    assert waiting(ground) == [ground.request(uid).id]
    assert admit(ground, uid, WAIT)
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.admitted_at is not None
    assert waiting(ground) == []
    assert ground.events(uid)[-1] == ("ADMITTED", "", "")
    assert admit(ground, uid)
    assert len(ground.events(uid)) == 3


def test_a_request_waits_for_missing_instances(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(3)]
    ground.store(*instances[:2])
    uid = initiated_request(ground, instances)
    assert not admit(ground, uid, WAIT)
    assert ground.request(uid).admitted_at is None
    ground.store(instances[2])
    assert admit(ground, uid, WAIT)
    assert ground.request(uid).admitted_at is not None


def test_instances_that_are_never_received_are_in_the_failed_sop_sequence(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(3)]
    ground.store(instances[1])
    uid = initiated_request(ground, instances)
    admit_and_plan(ground, uid)
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.FAILURE
    assert request.execution_status_info is ExecutionStatusInfo.NO_INSTANCE
    assert request.remedy
    assert failures(ground, uid) == [
        (instances[n].sop_instance_uid, FailureReason.NO_SUCH_OBJECT_INSTANCE) for n in (0, 2)
    ]


def test_a_released_instance_is_missing(ground: Ground) -> None:
    stored = instance()
    ground.store(stored, released_at=datetime.now(UTC))
    uid = initiated_request(ground, [stored])
    admit_and_plan(ground, uid)
    assert ground.request(uid).execution_status_info is ExecutionStatusInfo.NO_INSTANCE


def test_an_instance_of_another_sop_class_fails_the_request(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(2)]
    ground.store(*instances)
    wrong = SampleInstance(MR, instances[1].sop_instance_uid, instances[1].transfer_syntax_uid, b"")
    uid = initiated_request(ground, [instances[0], wrong])
    admit_and_plan(ground, uid)
    assert ground.request(uid).execution_status_info is ExecutionStatusInfo.INST_AP_CONFLICT
    assert failures(ground, uid) == [
        (wrong.sop_instance_uid, FailureReason.CLASS_INSTANCE_CONFLICT)
    ]


def test_a_missing_instance_and_one_of_another_sop_class(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(2)]
    ground.store(instances[0])
    wrong = SampleInstance(MR, instances[0].sop_instance_uid, "", b"")
    uid = initiated_request(ground, [wrong, instances[1]])
    admit_and_plan(ground, uid)
    assert ground.request(uid).execution_status_info is ExecutionStatusInfo.NO_INSTANCE
    assert sorted(reason for _, reason in failures(ground, uid)) == [0x0112, 0x0119]


def test_an_instance_that_is_referenced_twice_fails_the_request(ground: Ground) -> None:
    stored = instance()
    ground.store(stored)
    uid = initiated_request(ground, [stored, stored])
    admit_and_plan(ground, uid, WAIT)
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.FAILURE
    assert request.execution_status_info is ExecutionStatusInfo.DUPL_REF_INST


def test_what_stands_against_a_request_is_told_at_once(ground: Ground) -> None:
    """What is missing, of another SOP Class, outside the profile, and damaged."""
    sound, outside, other_class = (
        instance(instance_number=1),
        instance(sop_class_uid=STANDALONE_CURVE),
        instance(instance_number=3),
    )
    damaged = [
        instance(transfer_syntax_uid=JPEG_2000_LOSSLESS, pixels=encapsulated(b"\0\1" * n))
        for n in (4, 5)
    ]
    missing = instance(instance_number=6)
    ground.store(sound, outside, other_class, *damaged)
    wrong = SampleInstance(MR, other_class.sop_instance_uid, "", b"")
    uid = initiated_request(ground, [sound, *damaged, wrong, missing, outside, sound])
    admit_and_plan(ground, uid)
    assert failures(ground, uid) == [
        (missing.sop_instance_uid, FailureReason.NO_SUCH_OBJECT_INSTANCE),
        (wrong.sop_instance_uid, FailureReason.CLASS_INSTANCE_CONFLICT),
        *((sample.sop_instance_uid, FailureReason.PROCESSING_FAILURE) for sample in damaged),
        (outside.sop_instance_uid, FailureReason.SOP_CLASS_NOT_SUPPORTED),
    ]
    why = why_failed(ground, uid)
    for reason in (
        "1 reference given more than once",
        "1 instance not received",
        "1 instance of another SOP Class",
        "no place in a DICOMDIR (1 instance)",
        "damaged instances",
    ):
        assert reason in why
    assert "burnish request retry" in ground.request(uid).remedy


def test_a_request_that_lacked_an_instance_is_made_when_it_is_there(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(2)]
    ground.store(instances[0])
    uid = initiated_request(ground, instances)
    admit_and_plan(ground, uid)
    ground.store(instances[1])
    with ground.database.writing() as session:
        operations.retry(session, uid)
    admit_and_plan(ground, uid)
    request = ground.request(uid)
    assert request.failures == []
    assert [len(file_set.entries) for file_set in request.file_sets] == [2]


@pytest.mark.parametrize(
    "status", [status for status in ExecutionStatus if status is not ExecutionStatus.PENDING]
)
def test_only_pending_requests_are_admitted(ground: Ground, status: ExecutionStatus) -> None:
    uid = initiated_request(ground, [instance()])
    with ground.database.writing() as session:
        session.execute(update(MediaCreationRequest).values(execution_status=status))
    assert waiting(ground) == []
    assert admit(ground, uid)
    assert ground.request(uid).execution_status is status


def test_the_oldest_request_comes_first(ground: Ground) -> None:
    uids = [initiated_request(ground, [instance()]) for _ in range(3)]
    for age, uid in enumerate(uids):
        with ground.database.writing() as session:
            session.execute(
                update(MediaCreationRequest)
                .where(MediaCreationRequest.sop_instance_uid == uid)
                .values(initiated_at=datetime(2024, 1, 9 - age, tzinfo=UTC))
            )
    assert waiting(ground) == [ground.request(uid).id for uid in reversed(uids)]
