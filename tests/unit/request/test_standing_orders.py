"""Standing orders: one request for each study or patient that has been quiet long enough."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from burnish.db.tables import MediaCreationRequest
from burnish.plan import persist
from burnish.plan.planner import Planner
from burnish.request import admission, listing, operations, standing_orders
from burnish.settings import DeviceSettings, RequestSettings, Settings, StandingOrderSettings
from burnish.vocabulary import ExecutionStatus, RequestPriority
from factories import Ground, instance

OLD = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def order(**values: Any) -> StandingOrderSettings:
    return StandingOrderSettings(**{"name": "us", "called_ae_titles": ("BURN_US",), **values})


def store(
    ground: Ground,
    received_at: datetime = OLD,
    called: str = "BURN_US",
    calling: str = "MODALITY",
    **values: Any,
) -> str:
    stored = instance(**values)
    ground.store(stored, received_at=received_at, called_ae_title=called, calling_ae_title=calling)
    return stored.sop_instance_uid


def issue(ground: Ground, order: StandingOrderSettings) -> list[MediaCreationRequest]:
    with ground.database.writing() as session:
        standing_orders.join_late_instances(session, order)
        count = standing_orders.issue_requests(session, RequestSettings(), order)
    with ground.database.reading() as session:
        uids = session.scalars(
            select(MediaCreationRequest.sop_instance_uid).order_by(MediaCreationRequest.id)
        ).all()
    assert count <= len(uids)
    return [ground.request(uid) for uid in uids]


def referenced_uids(request: MediaCreationRequest) -> list[str]:
    return [reference.referenced_sop_instance_uid for reference in request.references]


def test_a_quiet_study_gets_a_request(ground: Ground) -> None:
    uids = [store(ground, instance_number=n) for n in (1, 2)]
    (request,) = issue(ground, order(profile="STD-GEN-CD", copies=2, priority=RequestPriority.HIGH))
    assert referenced_uids(request) == uids
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.number_of_copies == 2
    assert request.request_priority == RequestPriority.HIGH
    assert request.origin == "standing order us"
    assert {r.requested_media_application_profile for r in request.references} == {"STD-GEN-CD"}
    assert len(issue(ground, order())) == 1, "nothing is requested twice"


def test_a_study_that_is_not_quiet_gets_no_request(ground: Ground) -> None:
    store(ground)
    store(ground, received_at=datetime.now(UTC))
    assert issue(ground, order()) == []
    assert len(issue(ground, order(quiet_period=timedelta(0)))) == 1


def plan_requests(ground: Ground) -> None:
    planner = Planner(ground.settings, ground.database, ground.spool)
    with ground.database.writing() as session:
        for request_id in admission.waiting_requests(session):
            assert admission.admit(session, request_id, timedelta(0))
    planner.tick()
    planner.close()


def test_a_late_instance_joins_a_request_that_is_not_planned(ground: Ground) -> None:
    first = store(ground, instance_number=1)
    issue(ground, order(profile="STD-GEN-CD"))
    other = store(ground, instance_number=2, received_at=datetime.now(UTC), study="1.9")
    late = store(ground, instance_number=2, received_at=datetime.now(UTC))
    (request,) = issue(ground, order(profile="STD-GEN-CD"))
    assert referenced_uids(request) == [first, late], "at once, without a quiet period"
    assert other not in referenced_uids(request)
    assert {r.requested_media_application_profile for r in request.references} == {"STD-GEN-CD"}
    assert ("JOINED", "", "") in ground.events(request.sop_instance_uid)
    plan_requests(ground)
    (request,) = issue(ground, order(quiet_period=timedelta(days=9)))
    assert request.file_sets[0].instances == 2


def test_an_instance_that_joins_while_the_plan_is_made_is_on_the_media(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(ground, instance_number=1)
    issue(ground, order())
    load, joined = persist.load_instances, []

    def loading(session: Any, request_id: int) -> Any:
        request = load(session, request_id)
        if not joined:
            joined.append(store(ground, instance_number=2))
            issue(ground, order())
        return request

    monkeypatch.setattr(persist, "load_instances", loading)
    plan_requests(ground)
    assert len(issue(ground, order())) == 1
    plan_requests(ground)
    (request,) = issue(ground, order())
    assert request.file_sets[0].instances == 2


def test_a_late_instance_gets_a_supplement_if_the_request_is_planned(ground: Ground) -> None:
    store(ground, instance_number=1)
    issue(ground, order())
    plan_requests(ground)
    late = [store(ground, instance_number=n) for n in (2, 3)]
    first, second = issue(ground, order())
    assert referenced_uids(second) == late
    assert second.supplements_id == first.id
    plan_requests(ground)
    store(ground, instance_number=4)
    store(ground, instance_number=1, study="1.9")
    third, fourth = issue(ground, order())[2:]
    assert sorted([third.supplements_id or 0, fourth.supplements_id or 0]) == [0, first.id]
    with ground.database.reading() as session:
        lines = {line.short_id: line for line in listing.requests(session)}
        assert listing.find_request(session, "R000001") == lines["R000001"]
    (supplement,) = [name for name in ("R000003", "R000004") if lines[name].supplements]
    assert lines["R000001"].remarks == f"supplemented by R000002, supplemented by {supplement}"
    assert lines["R000002"].remarks == "supplements R000001"


def test_a_cancelled_request_gets_no_supplement(ground: Ground) -> None:
    store(ground, instance_number=1)
    (request,) = issue(ground, order())
    with ground.database.writing() as session:
        operations.cancel(session, request.sop_instance_uid)
    store(ground, instance_number=2)
    assert issue(ground, order())[-1].supplements_id is None


def test_the_aes_of_a_group_share_a_request(ground: Ground) -> None:
    groups = (("CT1", "CT1WS"), ("US1",))
    for number, calling in enumerate(("CT1", "CT1WS", "US1", "MR1")):
        store(ground, instance_number=number, calling=calling)
    assert len(issue(ground, order(ae_groups=groups))) == 3, (
        "an AE that is in no group has a request of its own"
    )
    for number, calling in enumerate(("CT1", "CT1WS", "US1", "MR1")):
        store(ground, instance_number=number, calling=calling, study="1.9")
    later = issue(ground, order(called_ae_titles=(), ae_groups=groups))[3:]
    assert sorted(len(referenced_uids(request)) for request in later) == [1, 2], (
        "MR1 is in no group"
    )


def test_a_request_has_the_attributes_of_its_standing_order(tmp_path: Path) -> None:
    devices = (DeviceSettings(name="folder1"), DeviceSettings(name="folder2"))
    attributes = {
        "label_using_information_extracted_from_instances": "NO",
        "label_text": "Ward 7",
        "label_style_selection": "PLAIN",
        "barcode_value": "123",
        "barcode_symbology": "CODE39",
        "media_disposition": "Ward 7, by mail",
        "allow_media_splitting": "NO",
        "allow_lossy_compression": "YES",
        "include_non_dicom_objects": "NO",
        "include_display_application": "YES",
        "preserve_composite_instances_after_media_creation": "YES",
    }
    with Ground(tmp_path, device=devices) as ground:
        store(ground)
        (request,) = issue(ground, order(device="folder2", hold=True, **attributes))
        assert {name: getattr(request, name) for name in attributes} == attributes
        assert request.device == "folder2"
        assert request.standing_order == "us"
        assert request.held_at
        store(ground, study="1.9")
        (_, request) = issue(ground, order())
        defaults = RequestSettings()
        for name in attributes:
            assert getattr(request, name) == str(getattr(defaults, name, ""))


@pytest.mark.parametrize(
    "values",
    [
        {"called_ae_titles": ()},
        {"ae_groups": (("A", "B"), ("B",))},
        {"barcode_symbology": "code 39"},
        {"allow_media_splitting": "MAYBE"},
    ],
)
def test_an_invalid_standing_order_is_rejected(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        order(**values)


def test_the_device_of_a_standing_order_must_be_configured() -> None:
    with pytest.raises(ValidationError, match="no device"):
        Settings(standing_order=(order(device="robot"),))


@pytest.mark.parametrize(("scope", "count"), [("study", 3), ("patient", 2)])
def test_the_scope_is_a_study_or_a_patient(ground: Ground, scope: str, count: int) -> None:
    store(ground, patient_id="P1", study="1.2.1")
    store(ground, patient_id="P1", study="1.2.2")
    store(ground, patient_id="P2", study="1.2.3")
    assert len(issue(ground, order(scope=scope))) == count


def test_two_patients_never_share_a_request(ground: Ground) -> None:
    for name in ("Doe^Jane", "Roe^Richard"):
        store(ground, patient_id="P1", patient_name=name)
    for scope in ("study", "patient"):
        assert len(issue(ground, order(scope=scope))) == 2


def test_patients_of_two_issuers_never_share_a_request(ground: Ground) -> None:
    """The same Patient ID and name, given out by two hospitals."""
    for issuer in ("HERE", "THERE"):
        stored = instance(patient_id="P1", patient_name="Doe^Jane", study="1.2.3.9")
        ground.store(
            stored, received_at=OLD, called_ae_title="BURN_US", issuer_of_patient_id=issuer
        )
    for scope in ("study", "patient"):
        requests = issue(ground, order(scope=scope))
        assert len(requests) == 2
        assert [len(request.references) for request in requests] == [1, 1]


@pytest.mark.parametrize(
    ("titles", "count"),
    [
        ({"called_ae_titles": ("BURN_US",)}, 1),
        ({"called_ae_titles": ("BURN_CT",)}, 0),
        ({"called_ae_titles": (), "calling_ae_titles": ("MODALITY",)}, 1),
        ({"called_ae_titles": ("BURN_US",), "calling_ae_titles": ("OTHER",)}, 0),
    ],
)
def test_ae_titles_choose_the_instances_of_a_standing_order(
    ground: Ground, titles: dict[str, Any], count: int
) -> None:
    store(ground)
    store(ground, called="OTHER", study="1.9")
    requests = issue(ground, order(**titles))
    assert len([request for request in requests if len(referenced_uids(request)) == 1]) >= count
    assert bool(requests) == bool(count)


def test_released_and_requested_instances_are_not_due(ground: Ground) -> None:
    requested = instance()
    ground.store(requested, received_at=OLD, called_ae_title="BURN_US")
    ground.store(
        instance(study="1.9"),
        received_at=OLD,
        called_ae_title="BURN_US",
        released_at=datetime.now(UTC),
    )
    ground.create([requested])
    with ground.database.reading() as session:
        assert standing_orders.groups_due(session, order()) == []
