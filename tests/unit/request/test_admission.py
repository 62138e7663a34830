"""Admission: once all instances are here; else the reason."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from burnish.db.tables import MediaCreationRequest
from burnish.request import admission, operations
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, FailureReason
from factories import MR, Ground, Made, instance

WAIT, NO_WAIT = timedelta(hours=1), timedelta(0)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as made:
        yield made


def initiated(ground: Ground, made: list[Made]) -> str:
    uid = ground.create(made)
    with ground.database.writing() as session:
        operations.initiate(session, ground.settings.request, uid)
    return uid


def examine(ground: Ground, uid: str, wait: timedelta = NO_WAIT) -> bool:
    with ground.database.writing() as session:
        return admission.admit(session, ground.request(uid).id, wait)


def waiting(ground: Ground) -> list[int]:
    with ground.database.reading() as session:
        return list(admission.waiting_requests(session))


def failures(ground: Ground, uid: str) -> list[tuple[str, int]]:
    return [(f.referenced_sop_instance_uid, f.failure_reason) for f in ground.request(uid).failures]


def test_all_is_here(ground: Ground) -> None:
    made = [instance(instance_number=n) for n in range(3)]
    ground.store(*made)
    uid = initiated(ground, made)
    assert waiting(ground) == [ground.request(uid).id]
    assert examine(ground, uid, WAIT)
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.admitted_at is not None
    assert waiting(ground) == []
    assert ground.events(uid)[-1] == ("ADMITTED", "", "")
    assert examine(ground, uid)
    assert len(ground.events(uid)) == 3


def test_what_is_missing_is_waited_for(ground: Ground) -> None:
    made = [instance(instance_number=n) for n in range(3)]
    ground.store(*made[:2])
    uid = initiated(ground, made)
    assert not examine(ground, uid, WAIT)
    assert ground.request(uid).admitted_at is None
    ground.store(made[2])
    assert examine(ground, uid, WAIT)
    assert ground.request(uid).admitted_at is not None


def test_what_does_not_come_is_named(ground: Ground) -> None:
    made = [instance(instance_number=n) for n in range(3)]
    ground.store(made[1])
    uid = initiated(ground, made)
    assert examine(ground, uid)
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.FAILURE
    assert request.execution_status_info is ExecutionStatusInfo.NO_INSTANCE
    assert request.remedy
    assert failures(ground, uid) == [
        (made[n].sop_instance_uid, FailureReason.NO_SUCH_OBJECT_INSTANCE) for n in (0, 2)
    ]


def test_what_was_released_is_not_here(ground: Ground) -> None:
    made = instance()
    ground.store(made, released_at=datetime.now(UTC))
    uid = initiated(ground, [made])
    assert examine(ground, uid)
    assert ground.request(uid).execution_status_info is ExecutionStatusInfo.NO_INSTANCE


def test_another_sop_class(ground: Ground) -> None:
    made = [instance(instance_number=n) for n in range(2)]
    ground.store(*made)
    wrong = Made(MR, made[1].sop_instance_uid, made[1].transfer_syntax_uid, b"")
    uid = initiated(ground, [made[0], wrong])
    assert examine(ground, uid)
    assert ground.request(uid).execution_status_info is ExecutionStatusInfo.INST_AP_CONFLICT
    assert failures(ground, uid) == [
        (wrong.sop_instance_uid, FailureReason.CLASS_INSTANCE_CONFLICT)
    ]


def test_missing_and_of_another_class(ground: Ground) -> None:
    made = [instance(instance_number=n) for n in range(2)]
    ground.store(made[0])
    wrong = Made(MR, made[0].sop_instance_uid, "", b"")
    uid = initiated(ground, [wrong, made[1]])
    assert examine(ground, uid)
    assert ground.request(uid).execution_status_info is ExecutionStatusInfo.NO_INSTANCE
    assert sorted(reason for _, reason in failures(ground, uid)) == [0x0112, 0x0119]


def test_referenced_twice(ground: Ground) -> None:
    made = instance()
    ground.store(made)
    uid = initiated(ground, [made, made])
    assert examine(ground, uid, WAIT)
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.FAILURE
    assert request.execution_status_info is ExecutionStatusInfo.DUPL_REF_INST


@pytest.mark.parametrize("status", [s for s in ExecutionStatus if s is not ExecutionStatus.PENDING])
def test_only_what_is_pending_is_looked_at(ground: Ground, status: ExecutionStatus) -> None:
    uid = initiated(ground, [instance()])
    with ground.database.writing() as session:
        session.execute(update(MediaCreationRequest).values(execution_status=status))
    assert waiting(ground) == []
    assert examine(ground, uid)
    assert ground.request(uid).execution_status is status


def test_the_oldest_comes_first(ground: Ground) -> None:
    uids = [initiated(ground, [instance()]) for _ in range(3)]
    for age, uid in enumerate(uids):
        with ground.database.writing() as session:
            session.execute(
                update(MediaCreationRequest)
                .where(MediaCreationRequest.sop_instance_uid == uid)
                .values(initiated_at=datetime(2024, 1, 9 - age, tzinfo=UTC))
            )
    assert waiting(ground) == [ground.request(uid).id for uid in reversed(uids)]
