"""Requests, pieces, events and instances as people see them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from burnish.db import history
from burnish.db.tables import FailedInstance, MediaCreationRequest, Piece
from burnish.errors import BurnishError, Conflict, Unknown
from burnish.request import listing, operations
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
        uids = [line.sop_instance_uid for line in listing.instances(session)]
        assert uids == [stored.sop_instance_uid for stored in reversed(instances)]
        assert len(listing.instances(session, study_instance_uid="1.2.1")) == 2
        assert len(listing.instances(session, limit=1)) == 1
        references = listing.references_of_study(session, "1.2.0")
        assert references == [
            (CT, instances[0].sop_instance_uid),
            (CT, instances[2].sop_instance_uid),
        ]
        with pytest.raises(Unknown):
            listing.references_of_study(session, "1.9")


def test_references_of_instances_keep_their_order(ground: Ground) -> None:
    instances = [instance(instance_number=n) for n in range(3)]
    ground.store(*instances)
    uids = [stored.sop_instance_uid for stored in instances]
    with ground.database.reading() as session:
        assert listing.references_of_instances(session, uids[::-1]) == [
            (CT, uid) for uid in uids[::-1]
        ]
        assert listing.references_of_instances(session, []) == []
        with pytest.raises(Unknown, match=r"1\.2\.3"):
            listing.references_of_instances(session, [*uids, "1.2.3"])
        with pytest.raises(Conflict):
            listing.references_of_instances(session, [*uids, uids[0]])


def test_300000_instances_can_be_named_at_once(ground: Ground) -> None:
    uids = [f"1.2.{n}" for n in range(300_000)]
    with ground.database.reading() as session:
        # pytest.raises would print all UIDs if it failed
        try:
            listing.references_of_instances(session, uids)
        except BurnishError as error:
            raised = type(error)
    assert raised is Unknown


def test_lines_have_no_patient_data(ground: Ground) -> None:
    stored = instance(patient_name="Secret^Name", patient_id="SECRET")
    ground.store(stored)
    uid = ground.create([stored])
    with ground.database.reading() as session:
        operations.get_request(session, uid)
        lines = repr([listing.requests(session), listing.instances(session)])
    assert "ecret" not in lines.casefold().replace("secretary", "")
    assert ground.count(MediaCreationRequest) == 1
