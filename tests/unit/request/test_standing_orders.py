"""Standing orders: one request for each study or patient that has been quiet long enough."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select, update

from burnish.db.tables import Instance, MediaCreationRequest
from burnish.dicom_elements import encode
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


def has_event(ground: Ground, request: MediaCreationRequest, event: str) -> bool:
    return event in [name for name, _, _ in ground.events(request.sop_instance_uid)]


def test_a_study_under_two_patient_ids_is_told_in_both_requests(ground: Ground) -> None:
    store(ground, patient_id="OLD")
    store(ground, patient_id="NEW", instance_number=2)
    requests = issue(ground, order())
    assert len(requests) == 2
    plan_requests(ground)
    for request in issue(ground, order()):
        assert has_event(ground, request, "CONTRADICTION")
        [file_set] = request.file_sets
        assert "belongs to 2 Patient IDs" in file_set.readme_remarks
        assert "the others are not on these media" in file_set.readme_remarks
        assert "OLD" not in file_set.readme_remarks
    with ground.database.reading() as session:
        assert {line.remarks for line in listing.requests(session)} == {"contradictions"}


def test_studies_of_one_patient_are_no_contradiction(ground: Ground) -> None:
    store(ground)
    store(ground, study="1.9", series="1.9.1")
    store(ground, patient_id="P2", study="1.8", series="1.8.1")
    issue(ground, order())
    plan_requests(ground)
    for request in issue(ground, order()):
        assert not has_event(ground, request, "CONTRADICTION")


def done(ground: Ground) -> None:
    """All planned requests are DONE, as if their media had been made."""
    with ground.database.writing() as session:
        for request in session.scalars(select(MediaCreationRequest)):
            request.execution_status = ExecutionStatus.DONE
            request.ended_at = datetime.now(UTC)


def replace_content(ground: Ground, uid: str, **values: Any) -> None:
    """Newer content of an instance arrives, and has been there longer than a quiet period."""
    with ground.database.writing() as session:
        session.execute(
            update(Instance)
            .where(Instance.sop_instance_uid == uid, Instance.is_newest())
            .values(replaced_at=datetime.now(UTC))
        )
    store(ground, sop_instance_uid=uid, **values)


def make_again(ground: Ground, order: StandingOrderSettings) -> int:
    with ground.database.writing() as session:
        return standing_orders.make_again(session, RequestSettings(), order)


AGAIN = {"corrected": "make_again", "quiet_period": timedelta(0)}


def test_media_of_corrected_instances_are_made_again_if_the_order_says_so(ground: Ground) -> None:
    uids = [store(ground, instance_number=number) for number in (1, 2)]
    issue(ground, order())
    plan_requests(ground)
    done(ground)
    replace_content(ground, uids[0], patient_name="Right^Name")
    assert make_again(ground, order()) == 0
    assert make_again(ground, order(**AGAIN)) == 1
    assert make_again(ground, order(**AGAIN)) == 0, "once for each correction"
    first, second = issue(ground, order(quiet_period=timedelta(days=9)))
    assert referenced_uids(second) == uids
    assert second.execution_status is ExecutionStatus.PENDING
    assert has_event(ground, first, "MADE AGAIN")
    assert has_event(ground, second, "REPLACES")


def test_media_are_not_made_again_before_they_are_done_or_for_another_encoding(
    ground: Ground,
) -> None:
    uid = store(ground)
    issue(ground, order())
    plan_requests(ground)
    replace_content(ground, uid, patient_name="Right^Name")
    assert make_again(ground, order(**AGAIN)) == 0, "not DONE yet"
    done(ground)
    with ground.database.writing() as session:
        older = session.scalars(select(Instance).where(Instance.replaced_at.is_not(None))).one()
        newest = session.scalars(select(Instance).where(Instance.is_newest())).one()
        newest.entity_keys = older.entity_keys
        newest.transfer_syntax_uid = "1.2.840.10008.1.2"
    assert make_again(ground, order(**AGAIN)) == 0, "the same image in another encoding"


def test_a_request_that_failed_for_damage_is_planned_again_once_all_is_corrected(
    ground: Ground,
) -> None:
    short = encode(0x7FE00010, b"OW", bytes(10))
    uids = [store(ground, instance_number=number, pixels=short) for number in (1, 2)]
    issue(ground, order())
    plan_requests(ground)
    (request,) = issue(ground, order())
    assert request.execution_status is ExecutionStatus.FAILURE
    quick = order(quiet_period=timedelta(0))
    replace_content(ground, uids[0], received_at=datetime.now(UTC))
    with ground.database.writing() as session:
        assert standing_orders.retry_corrected(session, quick) == 0
    replace_content(ground, uids[1], received_at=datetime.now(UTC))
    with ground.database.writing() as session:
        assert standing_orders.retry_corrected(session, quick) == 1
    plan_requests(ground)
    (request,) = issue(ground, order())
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.file_sets[0].instances == 2
