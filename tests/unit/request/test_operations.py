"""Create, initiate, cancel, retry: what comes of each, and every error."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from burnish.db.tables import FileSet, MediaCreationRequest
from burnish.errors import (
    AlreadyCompleted,
    AlreadyExists,
    AlreadyInitiated,
    BurnishError,
    InvalidArgument,
    InvalidUID,
    InvalidValue,
    MissingValue,
    NotNow,
    Unknown,
)
from burnish.identifiers import is_uid
from burnish.request import operations
from burnish.request.operations import NewRequest, Reference
from burnish.settings import RequestSettings
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState, RequestPriority
from factories import CT, Ground, add_request

REFERENCE = Reference(CT, "1.2.3")
DEFAULTS = RequestSettings()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as made:
        yield made


def create(
    ground: Ground, order: NewRequest, defaults: RequestSettings = DEFAULTS
) -> MediaCreationRequest:
    with ground.database.writing() as session:
        uid = operations.create(
            session, defaults, order, origin="peer", calling_ae_title="PACS"
        ).sop_instance_uid
    return ground.request(uid)


def standing(ground: Ground, status: ExecutionStatus, **more: Any) -> str:
    with ground.database.writing() as session:
        return add_request(session, status=status, **more).sop_instance_uid


def test_what_the_order_leaves_out_comes_from_the_defaults(ground: Ground) -> None:
    request = create(ground, NewRequest([REFERENCE]))
    assert request.execution_status is ExecutionStatus.IDLE
    assert request.execution_status_info is ExecutionStatusInfo.NORMAL
    assert is_uid(request.sop_instance_uid)
    assert (request.origin, request.calling_ae_title) == ("peer", "PACS")
    for name in operations._defaults(DEFAULTS):
        assert getattr(request, name) == getattr(DEFAULTS, name)
    assert (request.number_of_copies, request.request_priority) == (1, RequestPriority.MED)
    assert request.initiated_at is None
    assert ground.events(request.sop_instance_uid) == [("CREATED", "", "")]


def test_what_the_order_says_holds(ground: Ground) -> None:
    said = {
        "allow_media_splitting": "NO",
        "label_text": "Ä text",
        "storage_media_file_set_id": "DISC_1",
        "storage_media_file_set_uid": "1.2.840.1",
    }
    references = [
        Reference(CT, "1.2.3", "STD-GEN-CD", b"icon"),
        Reference(CT, "1.2.4"),
    ]
    defaults = RequestSettings(requested_media_application_profile="STD-GEN-DVD-JPEG")
    request = create(ground, NewRequest(references, said, "1.2.99"), defaults)
    assert request.sop_instance_uid == "1.2.99"
    assert {name: getattr(request, name) for name in said} == said
    first, second = request.references
    assert (first.ordinal, first.icon_image_sequence) == (0, b"icon")
    assert first.requested_media_application_profile == "STD-GEN-CD"
    assert second.requested_media_application_profile == "STD-GEN-DVD-JPEG"


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (NewRequest([]), MissingValue),
        (NewRequest([Reference(CT, "")]), InvalidValue),
        (NewRequest([Reference(CT, "1.2.x")]), InvalidValue),
        (NewRequest([Reference("CT", "1.2.3")]), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_id": "lower"}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_id": "A" * 17}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_uid": "1.2.x"}), InvalidValue),
        (NewRequest([REFERENCE], {}, "1.2.x"), InvalidUID),
        (NewRequest([REFERENCE], {}, "1" * 65), InvalidUID),
    ],
)
def test_orders_that_are_refused(
    ground: Ground, order: NewRequest, error: type[BurnishError]
) -> None:
    with pytest.raises(error):
        create(ground, order)
    assert ground.count(MediaCreationRequest) == 0


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_a_uid_that_is_taken(ground: Ground, status: ExecutionStatus) -> None:
    uid = standing(ground, status)
    if status is ExecutionStatus.DELETED:  # PS3.4 S.3.2.3.3: it is not there any more
        assert create(ground, NewRequest([REFERENCE], {}, uid)).id == 2
        assert ground.request(uid).execution_status is ExecutionStatus.IDLE
        return
    with pytest.raises(AlreadyExists):
        create(ground, NewRequest([REFERENCE], {}, uid))


def initiate(ground: Ground, uid: str, **arguments: Any) -> MediaCreationRequest:
    with ground.database.writing() as session:
        operations.initiate(session, DEFAULTS, uid, **arguments)
    return ground.request(uid)


def test_initiating(ground: Ground) -> None:
    uid = create(ground, NewRequest([REFERENCE])).sop_instance_uid
    request = initiate(ground, uid, number_of_copies=5, request_priority=RequestPriority.HIGH)
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.execution_status_info is ExecutionStatusInfo.QUEUED
    assert (request.number_of_copies, request.request_priority) == (5, RequestPriority.HIGH)
    assert request.initiated_at is not None


@pytest.mark.parametrize("copies", [0, -1, 100, 1 << 40])
def test_a_number_of_copies_that_is_not_possible(ground: Ground, copies: int) -> None:
    uid = create(ground, NewRequest([REFERENCE])).sop_instance_uid
    with pytest.raises(InvalidArgument):
        initiate(ground, uid, number_of_copies=copies)
    assert ground.request(uid).number_of_copies == 1


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_initiating_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = standing(ground, status)
    before = ground.request(uid).number_of_copies
    if status is ExecutionStatus.IDLE:
        assert initiate(ground, uid).execution_status is ExecutionStatus.PENDING
        return
    error = Unknown if status is ExecutionStatus.DELETED else AlreadyInitiated
    with pytest.raises(error):
        initiate(ground, uid, number_of_copies=7, request_priority=RequestPriority.LOW)
    request = ground.request(uid)
    assert (request.number_of_copies, request.execution_status) == (before, status)


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_cancelling_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = standing(ground, status, volumes=2, copies=2)

    def cancel() -> None:
        with ground.database.writing() as session:
            operations.cancel(session, uid)

    ended = {
        ExecutionStatus.DONE: AlreadyCompleted,
        ExecutionStatus.FAILURE: AlreadyCompleted,
        ExecutionStatus.DELETED: Unknown,
    }
    if status in ended:
        with pytest.raises(ended[status]):
            cancel()
        assert ground.request(uid).execution_status is status
        return
    cancel()
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.DELETED
    assert {p.state for s in request.file_sets for p in s.pieces} == {PieceState.DROPPED}
    with ground.database.reading() as session, pytest.raises(Unknown):
        operations.get_request(session, uid)


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_retrying_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = standing(ground, status, remedy="do something", ended_at=datetime.now(UTC))

    def retry() -> None:
        with ground.database.writing() as session:
            operations.retry(session, uid)

    if status is not ExecutionStatus.FAILURE:
        with pytest.raises(Unknown if status is ExecutionStatus.DELETED else NotNow):
            retry()
        return
    retry()
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.PENDING
    assert (request.remedy, request.ended_at, request.admitted_at) == ("", None, None)
    assert request.failures == request.file_sets == []
    assert ground.count(FileSet) == 0


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_holding_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = standing(ground, status)
    with ground.database.writing() as session:
        if status in (ExecutionStatus.DONE, ExecutionStatus.FAILURE, ExecutionStatus.DELETED):
            with pytest.raises(Unknown if status is ExecutionStatus.DELETED else NotNow):
                operations.hold(session, uid)
            return
        operations.hold(session, uid)
        operations.hold(session, uid)
    assert ground.request(uid).held_at
    with ground.database.writing() as session:
        operations.release(session, uid)
        with pytest.raises(NotNow):
            operations.release(session, uid)
    assert ground.request(uid).held_at is None
    assert [event for event, *_ in ground.events(uid)][-2:] == ["HELD", "RELEASED"]


@pytest.mark.parametrize("operation", [operations.cancel, operations.retry, operations.get_request])
def test_what_is_not_here(ground: Ground, operation: Any) -> None:
    with ground.database.writing() as session, pytest.raises(Unknown):
        operation(session, "1.2.3")


def test_file_sets_come_in_order(ground: Ground) -> None:
    uid = standing(ground, ExecutionStatus.PENDING, volumes=3)
    with ground.database.writing() as session:
        session.execute(update(FileSet).values(file_set_id="X"))
        found = operations.file_sets(session, operations.get_request(session, uid))
        assert [file_set.volume_number for file_set in found] == [1, 2, 3]
