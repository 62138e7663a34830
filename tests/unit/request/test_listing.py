"""Requests, pieces, events and instances as people see them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from burnish.db import history
from burnish.db.known_studies import StudyRecorder
from burnish.db.tables import Event, FailedInstance, Instance, MediaCreationRequest, Piece
from burnish.errors import BurnishError, Conflict, Unknown
from burnish.request import instance_listing, listing
from burnish.request.listing import RequestFilter
from burnish.request.views import RequestGroup, to_json
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState
from factories import CT, Ground, add_request, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def test_requests_are_listed_newest_first_without_cancelled_ones(ground: Ground) -> None:
    with ground.database.writing() as session:
        for status in ExecutionStatus:
            add_request(session, status=status, volumes=2, copies=2)
        session.execute(
            update(Piece).where(Piece.file_set_id == 1).values(state=PieceState.CREATED)
        )
        session.execute(update(Piece).where(Piece.id == 3).values(state=PieceState.SPOILED))
    with ground.database.reading() as session:
        lines = listing.requests(session)
        assert [line.execution_status for line in lines] == [
            "FAILURE", "DONE", "CREATING", "PENDING", "IDLE",
        ]  # fmt: skip
        assert lines[-1].pieces == 3
        assert lines[-1].pieces_created == 2
        assert [line.short_id for line in listing.requests(session, limit=2)] == [
            "R000005",
            "R000004",
        ]
        (cancelled,) = listing.requests(session, status=ExecutionStatus.DELETED)
        assert cancelled.short_id == "R000006"


def test_a_request_is_found_by_short_id_number_and_uid(ground: Ground) -> None:
    with ground.database.writing() as session:
        uid = add_request(session).sop_instance_uid
    with ground.database.reading() as session:
        for name in ("R000001", "r000001", "r1", "1", uid):
            assert listing.find_request(session, name).sop_instance_uid == uid
        for name in ("", "R", "R2", "2", "x", "1.2.3", "9" * 40, "٣", "-1", "R-1", "1 "):
            with pytest.raises(Unknown):
                listing.find_request(session, name)


def test_pieces_failures_and_events_of_a_request(ground: Ground) -> None:
    with ground.database.writing() as session:
        request = add_request(session, volumes=2, copies=2)
        history.fail(
            session,
            request,
            ExecutionStatusInfo.NO_INSTANCE,
            why="not here",
            failures=[
                FailedInstance(
                    ordinal=0,
                    referenced_sop_class_uid=CT,
                    referenced_sop_instance_uid="1.2.3",
                    failure_reason=0x0112,
                )
            ],
        )
    with ground.database.reading() as session:
        line = listing.find_request(session, "R1")
        pieces = listing.pieces(session, line)
        assert [(piece.copy_number, piece.volume_number) for piece in pieces] == [
            (1, 1), (1, 2), (2, 1), (2, 2),
        ]  # fmt: skip
        assert {piece.state for piece in pieces} == {"DROPPED"}
        (failure,) = listing.failures(session, line)
        assert failure.failure_reason == "0112"
        events = listing.events(session, line)
        assert [event.event for event in events] == ["CANCELLED"] * 4 + ["FAILED"]
        assert listing.events(session, line, after=events[2].id) == events[3:]
        assert events[-1].before == "PENDING"
        assert events[-1].after == "FAILURE"


def test_instances_are_listed_newest_first_without_released_ones(ground: Ground) -> None:
    instances = [instance(study=f"1.2.{n % 2}", instance_number=n) for n in range(4)]
    ground.store(*instances)
    ground.store(instance(), released_at=datetime.now(UTC))
    with ground.database.reading() as session:
        uids = [line.sop_instance_uid for line in instance_listing.instances(session)]
        assert uids == [stored.sop_instance_uid for stored in reversed(instances)]
        assert len(instance_listing.instances(session, study_instance_uid="1.2.1")) == 2
        assert len(instance_listing.instances(session, limit=1)) == 1
        references = instance_listing.references_of_study(session, "1.2.0")
        assert references == [
            (CT, instances[0].sop_instance_uid),
            (CT, instances[2].sop_instance_uid),
        ]
        with pytest.raises(Unknown):
            instance_listing.references_of_study(session, "1.9")


def test_references_of_instances_keep_their_order(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(3)]
    ground.store(*instances)
    uids = [stored.sop_instance_uid for stored in instances]
    with ground.database.reading() as session:
        assert instance_listing.references_of_instances(session, uids[::-1]) == [
            (CT, uid) for uid in uids[::-1]
        ]
        assert instance_listing.references_of_instances(session, []) == []
        with pytest.raises(Unknown, match=r"1\.2\.3"):
            instance_listing.references_of_instances(session, [*uids, "1.2.3"])
        with pytest.raises(Conflict):
            instance_listing.references_of_instances(session, [*uids, uids[0]])


def test_300000_instances_can_be_named_at_once(ground: Ground) -> None:
    uids = [f"1.2.{n}" for n in range(300_000)]
    with ground.database.reading() as session:
        # pytest.raises would print all UIDs if it failed
        try:
            instance_listing.references_of_instances(session, uids)
        except BurnishError as error:
            raised = type(error)
    assert raised is Unknown


def test_the_json_of_a_view_has_no_patient_data_if_asked(ground: Ground) -> None:
    stored = instance(
        patient_name="Secret^Name",
        patient_id="SECRET",
        study_date="19990101",
        birth_date="19590101",
    )
    ground.store(stored)
    note_studies(ground)
    uid = ground.create([stored], label_text="for Mr Secret", barcode_value="SECRET")
    with ground.database.reading() as session:
        views = [
            listing.requests(session),
            listing.show(session, uid),
            instance_listing.instances(session),
        ]
    told = json.dumps(to_json(views))
    assert "Secret^Name" in told
    told = json.dumps(to_json(views, patients=False)).casefold()
    for secret in ("secret", "19990101", "19590101"):
        assert secret not in told.replace("secretary", "")
    assert ground.count(MediaCreationRequest) == 1


def note_studies(ground: Ground) -> None:
    """Note the studies of the instances that are here, as a receiver does."""
    with ground.database.connection() as connection:
        rows = connection.execute(select(*Instance.__table__.columns)).mappings().all()
        StudyRecorder().note(connection, rows)


def test_a_request_names_its_patients_when_its_instances_are_gone(ground: Ground) -> None:
    jane = instance(study="1.2.1", birth_date="19700131", sex="F")
    john = instance(study="1.2.2", patient_id="P2", patient_name="Doe^John")
    ground.store(jane, john)
    note_studies(ground)
    ground.create([jane, john])
    with ground.database.writing() as session:
        session.execute(delete(Instance))
        (line,) = listing.requests(session)
    assert [patient.patient_name for patient in line.patients] == ["Doe^Jane", "Doe^John"]
    assert (line.patient_count, line.study_count, line.modalities) == (2, 2, ("CT",))
    assert (line.patients[0].birth_date, line.patients[0].sex) == ("19700131", "F")


def test_each_state_of_a_request_has_a_reason_and_a_group(ground: Ground) -> None:
    with ground.database.writing() as session:
        for status in ExecutionStatus:
            add_request(session, status=status, ended_at=datetime.now(UTC))
        add_request(session, status=ExecutionStatus.PENDING, held_at=datetime.now(UTC))
        waiting = add_request(session, status=ExecutionStatus.CREATING)
        history.inform(
            session,
            waiting,
            ExecutionStatusInfo.OUT_OF_SUPPLIES,
            why="drive1 has no blank disc",
            remedy="insert a blank disc",
        )
        history.note(session, 7, "HELD", "", actor=Actor("user", "anna"))
    with ground.database.reading() as session:
        lines = {
            line.short_id: line
            for group in RequestGroup
            for line in listing.requests(session, RequestFilter(group=group))
        }
        counts = listing.counts(session)
    assert sorted(lines) == [f"R{number:06d}" for number in range(1, 9)]
    assert counts[RequestGroup.NEEDS_PERSON] == 2
    assert all(line.reason.endswith(".") for line in lines.values())
    assert lines["R000007"].reason == "It is held by user anna."
    assert lines["R000007"].remedy == "burnish request release R000007"
    assert lines["R000008"].reason == "Drive1 has no blank disc." or (
        lines["R000008"].reason == "drive1 has no blank disc."
    )
    assert lines["R000008"].remedy == "insert a blank disc"
    for group, number in counts.items():
        assert number == sum(line.group is group for line in lines.values())


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (RequestFilter(patient="doe"), ["R000002", "R000001"]),
        (RequestFilter(patient="john do"), ["R000002"]),
        (RequestFilter(patient="P2"), ["R000002"]),
        (RequestFilter(patient="nobody"), []),
        (RequestFilter(study_date="2024-01-02"), ["R000001"]),
        (RequestFilter(study_date="20240101-20251231"), ["R000002", "R000001"]),
        (RequestFilter(study_date="2024-01-03.."), ["R000002"]),
        (RequestFilter(since=datetime(2100, 1, 1, tzinfo=UTC)), []),
        (RequestFilter(names=("R1",)), ["R000001"]),
        (RequestFilter(device="robot"), []),
        (RequestFilter(calling_ae_title="PACS"), []),
    ],
)
def test_requests_are_filtered(ground: Ground, wanted: RequestFilter, names: list[str]) -> None:
    jane = instance(study="1.2.1")
    john = instance(study="1.2.2", patient_id="P2", patient_name="Doe^John", study_date="20250102")
    ground.store(jane, john)
    note_studies(ground)
    ground.create([jane])
    ground.create([john])
    with ground.database.reading() as session:
        assert [line.short_id for line in listing.requests(session, wanted)] == names
        assert listing.count(session, wanted) == len(names)


def test_a_list_goes_on_before_the_last_request_of_the_page(ground: Ground) -> None:
    with ground.database.writing() as session:
        for _ in range(5):
            add_request(session)
    with ground.database.reading() as session:
        page = listing.requests(session, limit=2)
        following = listing.requests(session, limit=2, before=page[-1].short_id)
    names = [line.short_id for line in [*page, *following]]
    assert names == ["R000005", "R000004", "R000003", "R000002"]


def test_a_shown_request_tells_its_volumes_by_series_and_its_failures_by_reason(
    ground: Ground,
) -> None:
    planned, waiting = instance(study="1.2.1"), instance(study="1.2.2", series="1.2.2.1")
    ground.store(planned, waiting)
    first = ground.admit([planned])
    ground.plan()
    second = ground.create([waiting])
    failed = ground.admit([instance(), instance()])
    with ground.database.writing() as session:
        for ordinal, reason in enumerate((0x0112, 0x0112, 0x0110)):
            session.add(
                FailedInstance(
                    request_id=3,
                    ordinal=ordinal,
                    referenced_sop_class_uid=CT,
                    referenced_sop_instance_uid=f"1.2.{ordinal}",
                    failure_reason=reason,
                )
            )
    with ground.database.reading() as session:
        view, unplanned = listing.show(session, first), listing.show(session, second)
        failures = listing.show(session, failed).failure_groups
        told = to_json(listing.show(session, failed))
    (volume,) = view.volumes
    assert volume.size <= volume.capacity
    assert [share.instances for share in volume.series] == [1]
    assert [share.series_instance_uid for share in unplanned.unplanned] == ["1.2.2.1"]
    assert [(group.failure_reason, group.instances) for group in failures] == [
        ("0112", 2),
        ("0110", 1),
    ]
    assert all(group.meaning and group.remedy for group in failures)
    assert [failure["failure_reason"] for failure in told["failures"]] == ["0112", "0112", "0110"]
    assert [group["instances"] for group in told["failure_groups"]] == [2, 1]


def test_the_time_left_is_told_only_if_the_device_has_made_pieces_before(ground: Ground) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=100)
    with ground.database.writing() as session:
        add_request(session, status=ExecutionStatus.CREATING)
        session.execute(update(Piece).values(state=PieceState.WRITING, device="drive"))
        history.note(session, 1, "CLAIMED", "", piece_id=1)
    with ground.database.reading() as session:
        assert listing.show(session, "R1").line.progress.step == "writing"
        assert listing.show(session, "R1").line.progress.seconds_left is None
    with ground.database.writing() as session:
        add_request(session, status=ExecutionStatus.DONE)
        session.execute(
            update(Piece)
            .where(Piece.id == 2)
            .values(state=PieceState.CREATED, device="drive", created_at=datetime.now(UTC))
        )
        history.note(session, 2, "CLAIMED", "", piece_id=2)
        session.execute(update(Event).where(Event.piece_id == 2).values(at=begun))
    with ground.database.reading() as session:
        seconds = listing.show(session, "R1").line.progress.seconds_left
    assert seconds is not None
    assert 0 < seconds <= 101
