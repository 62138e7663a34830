"""What people change about requests, one at a time and many at once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from burnish.db.tables import FileSet, Instance, MediaCreationRequest, Piece, ReferencedInstance
from burnish.errors import Conflict, InvalidArgument, InvalidValue, NotNow, Unknown
from burnish.request import bulk, changes
from burnish.request.bulk import BulkAction
from burnish.request.listing import RequestFilter
from burnish.request.views import ActionKind
from burnish.settings import DeviceSettings, RequestSettings
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatus, PieceState, RequestPriority
from factories import Ground, add_request, instance

DEFAULTS = RequestSettings()
ANNA = Actor("user", "anna")
ENDED = (ExecutionStatus.DONE, ExecutionStatus.FAILURE)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def last_event(ground: Ground, uid: str) -> Any:
    return ground.events(uid)[-1][0]


def planned(ground: Ground, **attributes: str) -> str:
    """A planned request for one instance, of which no piece was begun."""
    stored = instance()
    ground.store(stored)
    uid = ground.admit([stored], **attributes)
    ground.plan()
    assert ground.request(uid).file_sets
    return uid


def begin(ground: Ground) -> None:
    with ground.database.writing() as session:
        session.execute(update(Piece).values(state=PieceState.WRITING, attempts=1))


def test_the_priority_of_a_request_is_changed_until_it_ends(ground: Ground) -> None:
    uid = planned(ground)
    with ground.database.writing() as session:
        changes.set_priority(session, uid, RequestPriority.HIGH, actor=ANNA)
        changes.set_priority(session, uid, RequestPriority.HIGH, actor=ANNA)
    assert ground.request(uid).request_priority is RequestPriority.HIGH
    assert [event for event, *_ in ground.events(uid)].count("PRIORITY") == 1
    for status in ENDED:
        with ground.database.writing() as session:
            ended = add_request(session, status=status).sop_instance_uid
            with pytest.raises(NotNow):
                changes.set_priority(session, ended, RequestPriority.LOW)


def test_a_request_that_was_not_begun_is_planned_again_for_another_device(ground: Ground) -> None:
    uid = planned(ground)
    devices = [ground.device, DeviceSettings(name="stick", kind="folder", directory="/nowhere")]
    with ground.database.writing() as session:
        changes.move_to_device(session, uid, "stick", devices, actor=ANNA)
        with pytest.raises(Unknown):
            changes.move_to_device(session, uid, "nobody", devices, actor=ANNA)
    request = ground.request(uid)
    assert request.device == "stick"
    assert request.file_sets == []
    assert request.admitted_at is None
    assert last_event(ground, uid) == "DEVICE"


def test_pieces_that_are_left_move_to_another_device_if_it_can_make_them(ground: Ground) -> None:
    with ground.database.writing() as session:
        uid = add_request(session, status=ExecutionStatus.CREATING, copies=2).sop_instance_uid
        session.execute(update(FileSet).values(medium="CD"))
        session.execute(update(Piece).where(Piece.id == 1).values(state=PieceState.CREATED))
        later = datetime(2100, 1, 1, tzinfo=UTC)
        session.execute(update(Piece).where(Piece.id == 2).values(device="other", not_before=later))
    discs = DeviceSettings(name="discs", kind="folder", directory="/nowhere", media=("CD",))
    sticks = DeviceSettings(name="sticks", kind="folder", directory="/nowhere", media=("DVD",))
    with ground.database.writing() as session:
        with pytest.raises(Conflict):
            changes.move_to_device(session, uid, "sticks", [discs, sticks])
        changes.move_to_device(session, uid, "discs", [discs, sticks])
    request = ground.request(uid)
    assert len(request.file_sets) == 1
    left = request.file_sets[0].pieces[1]
    assert (left.device, left.not_before) == ("", None)


def test_the_label_is_changed_before_a_piece_is_begun(ground: Ground) -> None:
    uid = planned(ground, label_text="before")
    with ground.database.writing() as session:
        changes.set_label(session, uid, text="after", style="PLAIN", actor=ANNA)
        with pytest.raises(InvalidValue):
            changes.set_label(session, uid, style="lower case")
    request = ground.request(uid)
    assert (request.label_text, request.label_style_selection) == ("after", "PLAIN")
    assert request.file_sets == []  # the text is on the media, too
    assert last_event(ground, uid) == "LABEL CHANGED"


def test_the_label_stays_once_a_piece_was_begun(ground: Ground) -> None:
    uid = planned(ground)
    begin(ground)
    with ground.database.writing() as session, pytest.raises(NotNow):
        changes.set_label(session, uid, text="after")


@pytest.mark.parametrize("copies", [0, -1, 99])
def test_more_copies_than_permitted_are_refused(ground: Ground, copies: int) -> None:
    uid = planned(ground)
    with ground.database.writing() as session, pytest.raises(InvalidArgument):
        changes.add_copies(session, DEFAULTS, uid, copies)


def test_an_open_request_gets_more_pieces(ground: Ground) -> None:
    uid = planned(ground)
    begin(ground)
    with ground.database.writing() as session:
        same = changes.add_copies(session, DEFAULTS, uid, 2, actor=ANNA)
        assert same.sop_instance_uid == uid
    request = ground.request(uid)
    assert request.number_of_copies == 3
    pieces = request.file_sets[0].pieces
    assert [(piece.copy_number, str(piece.state)) for piece in pieces] == [
        (1, "WRITING"),
        (2, "QUEUED"),
        (3, "QUEUED"),
    ]


def end(ground: Ground, uid: str, status: ExecutionStatus) -> None:
    with ground.database.writing() as session:
        session.execute(
            update(MediaCreationRequest)
            .where(MediaCreationRequest.sop_instance_uid == uid)
            .values(execution_status=status, ended_at=datetime.now(UTC))
        )


@pytest.mark.parametrize("status", ENDED)
def test_copies_of_an_ended_request_are_a_new_request(
    ground: Ground, status: ExecutionStatus
) -> None:
    uid = planned(ground, label_text="for Dr. Roe", barcode_value="4711")
    end(ground, uid, status)
    with ground.database.writing() as session:
        again = changes.add_copies(session, DEFAULTS, uid, 2, actor=ANNA)
        again_uid = again.sop_instance_uid
    first, again = ground.request(uid), ground.request(again_uid)
    assert first.execution_status is status
    assert again.execution_status is ExecutionStatus.PENDING
    assert again.number_of_copies == 2
    assert (again.label_text, again.barcode_value) == ("for Dr. Roe", "4711")
    assert again.requested_by == "user anna"
    assert [row.referenced_sop_instance_uid for row in again.references] == [
        row.referenced_sop_instance_uid for row in first.references
    ]
    assert last_event(ground, uid) == "MADE AGAIN"
    assert last_event(ground, again_uid) == "REPEATS"


def test_media_are_made_again_only_while_the_instances_are_here(ground: Ground) -> None:
    uid = planned(ground)
    end(ground, uid, ExecutionStatus.DONE)
    with ground.database.writing() as session:
        session.execute(delete(FileSet))
        session.execute(delete(Instance))
        with pytest.raises(NotNow, match="1 instance of R000001 is no longer here"):
            changes.repeat(session, DEFAULTS, uid)
        assert changes.repeat(session, DEFAULTS, uid, even_if_missing=True)


def test_a_request_is_split_by_patient(ground: Ground) -> None:
    instances = [
        instance(patient_id="P1"),
        instance(patient_id="P2", study="1.2.9"),
        instance(patient_id="P1"),
    ]
    ground.store(*instances)
    uid = ground.admit(instances, copies=2)
    with ground.database.writing() as session:
        parts = changes.split_by_patient(session, DEFAULTS, uid, actor=ANNA)
        numbers = [len(part.references) for part in parts]
        assert numbers == [2, 1]
        assert {part.execution_status for part in parts} == {ExecutionStatus.PENDING}
        assert {part.number_of_copies for part in parts} == {2}
        with pytest.raises(NotNow):
            changes.split_by_patient(session, DEFAULTS, parts[0].sop_instance_uid)
    assert ground.request(uid).execution_status is ExecutionStatus.DELETED
    with ground.database.reading() as session:
        count = len(session.scalars(select(ReferencedInstance)).all())
    assert count == 6


def test_an_action_on_many_shows_the_count_first_and_can_be_undone(ground: Ground) -> None:
    with ground.database.writing() as session:
        for status in ExecutionStatus:
            add_request(session, status=status)
    everything = RequestFilter()
    action = BulkAction(ActionKind.PRIORITY, "HIGH")
    with ground.database.reading() as session:
        preview = bulk.preview(session, everything, action)
    assert (preview.matching, preview.permitted, preview.can_be_undone) == (5, 3, True)
    result = bulk.apply(ground.database, ground.settings, everything, action, actor=ANNA)
    assert result.changed == ("R000001", "R000002", "R000003")
    assert priorities(ground) == ["HIGH", "HIGH", "HIGH", "MED", "MED", "MED"]
    assert bulk.undo(ground.database, ground.settings, result.undo, actor=ANNA).refused == ()
    assert priorities(ground) == ["MED"] * 6


def priorities(ground: Ground) -> list[str]:
    request = MediaCreationRequest
    with ground.database.reading() as session:
        return list(session.scalars(select(request.request_priority).order_by(request.id)))


@pytest.mark.parametrize(
    ("kind", "changed", "undoable"),
    [
        (ActionKind.INITIATE, 1, False),
        (ActionKind.CANCEL, 3, False),
        (ActionKind.RETRY, 1, False),
        (ActionKind.HOLD, 3, True),
        (ActionKind.RELEASE, 0, True),
    ],
)
def test_each_action_changes_the_requests_whose_state_permits_it(
    ground: Ground, kind: ActionKind, changed: int, undoable: bool
) -> None:
    with ground.database.writing() as session:
        for status in ExecutionStatus:
            add_request(session, status=status)
    action = BulkAction(kind)
    result = bulk.apply(ground.database, ground.settings, RequestFilter(), action, actor=ANNA)
    assert result.refused == ()
    assert len(result.changed) == changed
    assert bool(result.undo) == (undoable and changed > 0)


def test_a_wrong_value_of_an_action_is_refused_before_anything_is_changed(ground: Ground) -> None:
    for action in (
        BulkAction(ActionKind.PRIORITY, "URGENT"),
        BulkAction(ActionKind.DEVICE, "nobody"),
    ):
        with pytest.raises(InvalidArgument):
            bulk.apply(ground.database, ground.settings, RequestFilter(), action, actor=ANNA)
