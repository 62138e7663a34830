"""Create, initiate, cancel, retry, hold and release: results and errors."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from burnish.db.tables import Event, FileSet, MediaCreationRequest
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
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState, RequestPriority
from factories import CT, Ground, add_request

REFERENCE = Reference(CT, "1.2.3")
DEFAULTS = RequestSettings()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def create(
    ground: Ground, new_request: NewRequest, defaults: RequestSettings = DEFAULTS
) -> MediaCreationRequest:
    with ground.database.writing() as session:
        uid = operations.create(
            session, defaults, new_request, origin="peer", calling_ae_title="PACS"
        ).sop_instance_uid
    return ground.request(uid)


def request_in_state(ground: Ground, status: ExecutionStatus, **more: Any) -> str:
    with ground.database.writing() as session:
        return add_request(session, status=status, **more).sop_instance_uid


def test_defaults_fill_in_what_a_new_request_leaves_out(ground: Ground) -> None:
    request = create(ground, NewRequest([REFERENCE]))
    assert request.execution_status is ExecutionStatus.IDLE
    assert request.execution_status_info is ExecutionStatusInfo.NORMAL
    assert is_uid(request.sop_instance_uid)
    assert request.origin == "peer"
    assert request.calling_ae_title == "PACS"
    for name in (
        "label_using_information_extracted_from_instances",
        "allow_media_splitting",
        "allow_lossy_compression",
        "include_non_dicom_objects",
        "include_display_application",
        "preserve_composite_instances_after_media_creation",
    ):
        assert getattr(request, name) == getattr(DEFAULTS, name)
    assert request.number_of_copies == 1
    assert request.request_priority is RequestPriority.MED
    assert request.initiated_at is None
    assert ground.events(request.sop_instance_uid) == [("CREATED", "", "")]


def test_given_attributes_are_stored(ground: Ground) -> None:
    attributes = {
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
    request = create(ground, NewRequest(references, attributes, "1.2.99"), defaults)
    assert request.sop_instance_uid == "1.2.99"
    assert {name: getattr(request, name) for name in attributes} == attributes
    first, second = request.references
    assert first.ordinal == 0
    assert first.icon_image_sequence == b"icon"
    assert first.requested_media_application_profile == "STD-GEN-CD"
    assert second.requested_media_application_profile == "STD-GEN-DVD-JPEG"


@pytest.mark.parametrize(
    ("new_request", "error"),
    [
        (NewRequest([]), MissingValue),
        (NewRequest([Reference(CT, "")]), InvalidValue),
        (NewRequest([Reference(CT, "1.2.x")]), InvalidValue),
        (NewRequest([Reference("CT", "1.2.3")]), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_id": "lower"}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_id": "A" * 17}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_uid": "1.2.x"}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_uid": "1.2.03"}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_uid": "12"}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_uid": "1.2."}), InvalidValue),
        (NewRequest([REFERENCE], {"storage_media_file_set_uid": "1." + 63 * "2"}), InvalidValue),
        (NewRequest([REFERENCE], {}, "1.2.x"), InvalidUID),
        (NewRequest([REFERENCE], {}, "1" * 65), InvalidUID),
    ],
)
def test_invalid_new_requests_are_rejected(
    ground: Ground, new_request: NewRequest, error: type[BurnishError]
) -> None:
    with pytest.raises(error):
        create(ground, new_request)
    assert ground.count(MediaCreationRequest) == 0


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_only_the_uid_of_a_cancelled_request_can_be_used_again(
    ground: Ground, status: ExecutionStatus
) -> None:
    uid = request_in_state(ground, status)
    if status is ExecutionStatus.DELETED:  # PS3.4 S.3.2.3.3: the request is deleted
        assert create(ground, NewRequest([REFERENCE], {}, uid)).id == 2
        assert ground.request(uid).execution_status is ExecutionStatus.IDLE
        return
    with pytest.raises(AlreadyExists):
        create(ground, NewRequest([REFERENCE], {}, uid))


def initiate(ground: Ground, uid: str, **arguments: Any) -> MediaCreationRequest:
    with ground.database.writing() as session:
        operations.initiate(session, DEFAULTS, uid, **arguments)
    return ground.request(uid)


def test_initiating_sets_copies_and_priority(ground: Ground) -> None:
    uid = create(ground, NewRequest([REFERENCE])).sop_instance_uid
    request = initiate(ground, uid, number_of_copies=5, request_priority=RequestPriority.HIGH)
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.execution_status_info is ExecutionStatusInfo.QUEUED
    assert request.number_of_copies == 5
    assert request.request_priority is RequestPriority.HIGH
    assert request.initiated_at is not None


@pytest.mark.parametrize("copies", [0, -1, 100, 1 << 40])
def test_an_invalid_number_of_copies_is_rejected(ground: Ground, copies: int) -> None:
    uid = create(ground, NewRequest([REFERENCE])).sop_instance_uid
    with pytest.raises(InvalidArgument):
        initiate(ground, uid, number_of_copies=copies)
    assert ground.request(uid).number_of_copies == 1


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_initiating_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = request_in_state(ground, status)
    before = ground.request(uid).number_of_copies
    if status is ExecutionStatus.IDLE:
        assert initiate(ground, uid).execution_status is ExecutionStatus.PENDING
        return
    error = Unknown if status is ExecutionStatus.DELETED else AlreadyInitiated
    with pytest.raises(error):
        initiate(ground, uid, number_of_copies=7, request_priority=RequestPriority.LOW)
    request = ground.request(uid)
    assert request.number_of_copies == before
    assert request.execution_status is status


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_cancelling_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = request_in_state(ground, status, volumes=2, copies=2)

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
    assert {piece.state for file_set in request.file_sets for piece in file_set.pieces} == {
        PieceState.DROPPED
    }
    with ground.database.reading() as session, pytest.raises(Unknown):
        operations.get_request(session, uid)


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_retrying_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = request_in_state(ground, status, remedy="do something", ended_at=datetime.now(UTC))

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
    assert request.remedy == ""
    assert request.ended_at is None
    assert request.admitted_at is None
    assert request.failures == request.file_sets == []
    assert ground.count(FileSet) == 0


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_holding_in_each_state(ground: Ground, status: ExecutionStatus) -> None:
    uid = request_in_state(ground, status)
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
def test_an_unknown_request_is_rejected(ground: Ground, operation: Any) -> None:
    with ground.database.writing() as session, pytest.raises(Unknown):
        operation(session, "1.2.3")


def test_file_sets_of_a_request_are_in_volume_order(ground: Ground) -> None:
    uid = request_in_state(ground, ExecutionStatus.PENDING, volumes=3)
    with ground.database.writing() as session:
        session.execute(update(FileSet).values(file_set_id="X"))
        file_sets = operations.get_request(session, uid).file_sets
        assert [file_set.volume_number for file_set in file_sets] == [1, 2, 3]


def test_each_event_names_the_actor(ground: Ground) -> None:
    peer = Actor("ae", "PACS1", "10.0.0.5")
    anna = Actor("user", "anna")
    with ground.database.writing() as session:
        request = operations.create(
            session, DEFAULTS, NewRequest([REFERENCE]), origin="peer", actor=peer
        )
        uid = request.sop_instance_uid
        operations.initiate(session, DEFAULTS, uid, actor=peer)
        operations.hold(session, uid, actor=anna)
        operations.release(session, uid, actor=anna)
        operations.cancel(session, uid, actor=Actor("cli", "root"))
    with ground.database.reading() as session:
        events = session.execute(select(Event.event, Event.actor).order_by(Event.id)).all()
        requested_by = session.scalar(select(MediaCreationRequest.requested_by))
    assert events == [
        ("CREATED", "AE PACS1 (10.0.0.5)"),
        ("INITIATED", "AE PACS1 (10.0.0.5)"),
        ("HELD", "user anna"),
        ("RELEASED", "user anna"),
        ("CANCELLED", "command line (root)"),
    ]
    assert requested_by == "AE PACS1 (10.0.0.5)"
