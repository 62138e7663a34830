"""Standing orders: one request for each study or patient that has been quiet long enough."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from burnish.db.tables import MediaCreationRequest
from burnish.request import standing
from burnish.settings import Request, StandingOrder
from burnish.vocabulary import ExecutionStatus, RequestPriority
from factories import Ground, instance

OLD = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as made:
        yield made


def order(**values: Any) -> StandingOrder:
    return StandingOrder(**{"name": "us", "called_ae_titles": ("BURN_US",), **values})


def put(ground: Ground, received_at: datetime = OLD, called: str = "BURN_US", **values: Any) -> str:
    made = instance(**values)
    ground.store(made, received_at=received_at, called_ae_title=called)
    return made.sop_instance_uid


def issue(ground: Ground, one: StandingOrder) -> list[MediaCreationRequest]:
    with ground.database.writing() as session:
        count = standing.issue(session, Request(), one)
    with ground.database.reading() as session:
        uids = session.scalars(
            select(MediaCreationRequest.sop_instance_uid).order_by(MediaCreationRequest.id)
        ).all()
    assert count <= len(uids)
    return [ground.request(uid) for uid in uids]


def asked_for(request: MediaCreationRequest) -> list[str]:
    return [reference.referenced_sop_instance_uid for reference in request.references]


def test_a_study_that_is_quiet(ground: Ground) -> None:
    uids = [put(ground, instance_number=n) for n in (1, 2)]
    (request,) = issue(ground, order(profile="STD-GEN-CD", copies=2, priority=RequestPriority.HIGH))
    assert asked_for(request) == uids
    assert request.execution_status is ExecutionStatus.PENDING
    assert (request.number_of_copies, request.request_priority) == (2, RequestPriority.HIGH)
    assert request.origin == "standing order us"
    assert {r.requested_media_application_profile for r in request.references} == {"STD-GEN-CD"}
    assert len(issue(ground, order())) == 1, "nothing is asked for twice"


def test_a_study_that_is_not_quiet(ground: Ground) -> None:
    put(ground)
    put(ground, received_at=datetime.now(UTC))
    assert issue(ground, order()) == []
    assert len(issue(ground, order(quiet_period=timedelta(0)))) == 1


def test_what_comes_late_is_asked_for_by_itself(ground: Ground) -> None:
    put(ground, instance_number=1)
    issue(ground, order())
    late = put(ground, instance_number=2)
    assert asked_for(issue(ground, order())[-1]) == [late]


@pytest.mark.parametrize(("scope", "count"), [("study", 3), ("patient", 2)])
def test_the_scope(ground: Ground, scope: str, count: int) -> None:
    put(ground, patient_id="P1", study="1.2.1")
    put(ground, patient_id="P1", study="1.2.2")
    put(ground, patient_id="P2", study="1.2.3")
    assert len(issue(ground, order(scope=scope))) == count


def test_two_patients_never_share_a_request(ground: Ground) -> None:
    for name in ("Doe^Jane", "Roe^Richard"):
        put(ground, patient_id="P1", patient_name=name)
    for scope in ("study", "patient"):
        assert len(issue(ground, order(scope=scope))) == 2


@pytest.mark.parametrize(
    ("titles", "count"),
    [
        ({"called_ae_titles": ("BURN_US",)}, 1),
        ({"called_ae_titles": ("BURN_CT",)}, 0),
        ({"called_ae_titles": (), "calling_ae_titles": ("MODALITY",)}, 1),
        ({"called_ae_titles": ("BURN_US",), "calling_ae_titles": ("OTHER",)}, 0),
    ],
)
def test_whom_it_concerns(ground: Ground, titles: dict[str, Any], count: int) -> None:
    put(ground)
    put(ground, called="OTHER", study="1.9")
    found = issue(ground, order(**titles))
    assert len([r for r in found if len(asked_for(r)) == 1]) >= count
    assert bool(found) == bool(count)


def test_what_was_released_or_asked_for_is_not_due(ground: Ground) -> None:
    made = instance()
    ground.store(made, received_at=OLD, called_ae_title="BURN_US")
    ground.store(
        instance(study="1.9"),
        received_at=OLD,
        called_ae_title="BURN_US",
        released_at=datetime.now(UTC),
    )
    ground.create([made])
    with ground.database.reading() as session:
        assert standing.due(session, order()) == []
