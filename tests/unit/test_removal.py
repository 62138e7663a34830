"""Removing instances: what is chosen, what is refused, and what becomes of requests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from burnish import removal
from burnish.db.instance_rows import Selection
from burnish.db.tables import (
    CommitmentTransaction,
    CommittedInstance,
    Instance,
    MediaCreationRequest,
    Piece,
)
from burnish.errors import Conflict, Unknown
from burnish.plan.planner import Planner
from burnish.vocabulary import (
    CommitmentFailure,
    ExecutionStatus,
    ExecutionStatusInfo,
    PieceState,
)
from factories import Ground, SampleInstance, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def remove(ground: Ground, *, even_if_needed: bool = False, **selection: Any) -> removal.Removal:
    return removal.remove(
        ground.database, ground.spool, Selection(**selection), even_if_needed=even_if_needed
    )


def kept(ground: Ground) -> set[str]:
    with ground.database.reading() as session:
        uids = {
            row.sop_instance_uid for row in session.query(Instance).all() if row.released_at is None
        }
    assert len(list(ground.spool.published_keys())) == len(uids)
    return uids


@pytest.mark.parametrize(
    ("selection", "removed"),
    [
        ({"sop_instance_uids": ["1.1"]}, {"1.1"}),
        ({"sop_instance_uids": ["1.1", "1.3"]}, {"1.1", "1.3"}),
        ({"series_instance_uids": ["3.2"]}, {"1.2", "1.3"}),
        ({"study_instance_uids": ["2.1"]}, {"1.1", "1.2"}),
        ({"patient_ids": ["P2"]}, {"1.3", "1.4"}),
        ({"patient_ids": ["P2"], "sop_instance_uids": ["1.1"]}, {"1.1", "1.3", "1.4"}),
    ],
)
def test_what_is_chosen_is_removed_and_nothing_else(
    ground: Ground, selection: dict[str, Any], removed: set[str]
) -> None:
    values = [("1.1", "2.1", "3.1", "P1"), ("1.2", "2.1", "3.2", "P1"),
              ("1.3", "2.2", "3.2", "P2"), ("1.4", "2.3", "3.4", "P2")]  # fmt: skip
    ground.store(
        *[
            instance(sop_instance_uid=uid, study=study, series=series, patient_id=patient)
            for uid, study, series, patient in values
        ]
    )
    done = remove(ground, **selection)
    assert done.instances == len(removed)
    assert kept(ground) == {"1.1", "1.2", "1.3", "1.4"} - removed


def test_nothing_that_matches_is_an_error(ground: Ground) -> None:
    ground.store(instance())
    with pytest.raises(Unknown):
        remove(ground, sop_instance_uids=["1.9"])


def test_older_contents_go_with_the_instance(ground: Ground) -> None:
    """Nothing of the patient stays under the name that was corrected."""
    for patient, replaced_at in (("WRONG", datetime.now(UTC)), ("RIGHT", None)):
        sample = instance(sop_instance_uid="1.1", patient_id=patient)
        ground.store(sample, replaced_at=replaced_at)
    done = remove(ground, patient_ids=["RIGHT"])
    assert done.instances == 1
    assert done.patients == 2
    assert kept(ground) == set()
    assert ground.count(Instance) == 0


def test_older_content_can_be_removed_by_its_patient_alone(ground: Ground) -> None:
    for patient, replaced_at in (("WRONG", datetime.now(UTC)), ("RIGHT", None)):
        sample = instance(sop_instance_uid="1.1", patient_id=patient)
        ground.store(sample, replaced_at=replaced_at)
    remove(ground, patient_ids=["WRONG"])
    assert kept(ground) == {"1.1"}


@pytest.mark.parametrize("state", ["created", "admitted", "planned"])
def test_what_an_open_request_needs_is_refused_unless_told(ground: Ground, state: str) -> None:
    sample, other = instance(), instance(instance_number=2)
    ground.store(sample, other)
    request = _request(ground, [sample, other], state)
    with pytest.raises(Conflict, match="R000001"):
        remove(ground, sop_instance_uids=[sample.sop_instance_uid])
    assert len(kept(ground)) == 2
    done = remove(ground, even_if_needed=True, sop_instance_uids=[sample.sop_instance_uid])
    assert done.needed_by == ("R000001",)
    assert kept(ground) == {other.sop_instance_uid}
    row = ground.request(request)
    if state == "created":
        assert row.execution_status is ExecutionStatus.IDLE
        return
    assert row.execution_status is ExecutionStatus.FAILURE
    assert row.execution_status_info is ExecutionStatusInfo.NO_INSTANCE
    assert [(f.referenced_sop_instance_uid, f.failure_reason) for f in row.failures] == [
        (sample.sop_instance_uid, 0x0112)
    ]
    pieces = [piece for file_set in row.file_sets for piece in file_set.pieces]
    assert {piece.state for piece in pieces} <= {PieceState.DROPPED}
    assert bool(pieces) == (state == "planned")


def _request(ground: Ground, samples: list[SampleInstance], state: str) -> str:
    if state == "created":
        return ground.create(samples)
    uid = ground.admit(samples)
    if state == "planned":
        planner = Planner(ground.settings, ground.database, ground.spool)
        planner.tick()
        planner.close()
        assert ground.count(Piece) == 1
    return uid


def test_a_request_that_has_ended_needs_nothing_and_its_history_stays(ground: Ground) -> None:
    sample = instance()
    ground.store(sample)
    uid = _request(ground, [sample], "planned")
    with ground.database.writing() as session:
        session.query(MediaCreationRequest).update({"execution_status": ExecutionStatus.DONE})
    remove(ground, sop_instance_uids=[sample.sop_instance_uid])
    assert kept(ground) == set()
    (file_set,) = ground.request(uid).file_sets
    assert len(file_set.entries) == 1


@pytest.mark.parametrize(
    ("hours", "failure_reason", "refused"),
    [(1, 0, True), (-1, 0, False), (1, CommitmentFailure.PROCESSING_FAILURE, False)],
)
def test_what_a_peer_was_promised_is_refused_unless_told(
    ground: Ground, hours: int, failure_reason: int, refused: bool
) -> None:
    """An instance that the report names as failed was not promised."""
    sample = instance()
    ground.store(sample)
    now = datetime.now(UTC)
    with ground.database.writing() as session:
        transaction = CommitmentTransaction(
            transaction_uid="1.2",
            calling_ae_title="A",
            called_ae_title="B",
            requested_at=now,
            promised_until=now + timedelta(hours=hours),
        )
        transaction.instances = [
            CommittedInstance(
                ordinal=0,
                referenced_sop_class_uid=sample.sop_class_uid,
                referenced_sop_instance_uid=sample.sop_instance_uid,
                failure_reason=failure_reason,
            )
        ]
        session.add(transaction)
    if refused:
        with pytest.raises(Conflict, match="promised"):
            remove(ground, sop_instance_uids=[sample.sop_instance_uid])
    remove(ground, even_if_needed=refused, sop_instance_uids=[sample.sop_instance_uid])
    assert kept(ground) == set()
