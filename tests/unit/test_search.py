"""One box finds studies and requests; arrivals are what nobody has requested."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from burnish import search
from burnish.db.known_studies import StudyRecorder
from burnish.db.tables import FileSet, Instance, KnownStudy, MediaCreationRequest
from burnish.dicom_elements import encode
from burnish.errors import Conflict
from burnish.request import arrivals, media_orders, operations
from burnish.request.media_orders import MediaOrder
from burnish.request.views import to_json
from burnish.settings import StandingOrderSettings
from factories import Ground, SampleInstance, instance
from query_plans import plan_of, remembered_statements


def note_studies(ground: Ground) -> None:
    """Note the studies of the instances that are here, as a receiver does."""
    with ground.database.connection() as connection:
        rows = connection.execute(select(*Instance.__table__.columns)).mappings().all()
        StudyRecorder().note(connection, rows)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


JANE = "Müller-Doe^Jané=山田^花子"


@pytest.fixture
def two_patients(ground: Ground) -> list[SampleInstance]:
    """Two studies of Jane and one of John; a request has the first of Jane."""
    instances = [
        instance(patient_name=JANE, patient_id="ab12", study="1.2.1", sop_instance_uid="1.2.1.1.1"),
        instance(patient_name=JANE, patient_id="ab12", study="1.2.2", study_date="20250607"),
        instance(patient_name="Roe^John", patient_id="77", study="1.2.3", study_date="20260131"),
    ]
    ground.store(*instances)
    with ground.database.writing() as session:
        row = session.scalars(select(Instance).where(Instance.study_instance_uid == "1.2.3")).one()
        row.entity_keys = encode(0x00080050, b"SH", b"ACC-9 ") + row.entity_keys
    note_studies(ground)
    ground.create([instances[0]], barcode_value="*4711*")
    return instances


@pytest.mark.parametrize(
    ("text", "studies", "requests"),
    [
        ("muller", ["1.2.1", "1.2.2"], ["R000001"]),
        ("JANE muel", ["1.2.1", "1.2.2"], ["R000001"]),
        ("山田", ["1.2.1", "1.2.2"], ["R000001"]),
        ("jane roe", [], []),
        ("AB12", ["1.2.1", "1.2.2"], ["R000001"]),
        ("ab1", ["1.2.1", "1.2.2"], ["R000001"]),
        ("acc-9", ["1.2.3"], []),
        ("2025-06-07", ["1.2.2"], []),
        ("07.06.2025", ["1.2.2"], []),
        ("20250101-20261231", ["1.2.2", "1.2.3"], []),
        ("1.2.1", ["1.2.1"], ["R000001"]),
        ("1.2.1.1.1", ["1.2.1"], ["R000001"]),
        ("R000001", [], ["R000001"]),
        ("r1", [], ["R000001"]),
        ("*4711*", [], ["R000001"]),
        ("DISC7", [], ["R000001"]),
        ("1.9.9.9", [], ["R000001"]),
        ("PACS9", [], ["R000001"]),
        ("%", [], []),
        ("'; drop table", [], []),
        ("   ", [], []),
    ],
)
def test_one_box_finds_studies_and_requests(
    ground: Ground,
    two_patients: list[SampleInstance],
    text: str,
    studies: list[str],
    requests: list[str],
) -> None:
    assert two_patients
    ground.store(instance())
    with ground.database.writing() as session:
        request = session.scalars(select(MediaCreationRequest)).one()
        request.calling_ae_title = "PACS9"
        session.add(
            FileSet(
                request_id=request.id,
                file_set_id="DISC7",
                file_set_uid="1.9.9.9",
                volume_number=1,
                volume_count=1,
                media_application_profile="STD-GEN-CD",
                medium="CD",
                capacity=1,
                predicted_size=1,
                instances=1,
                planned_at=datetime.now(UTC),
            )
        )
    with ground.database.reading() as session:
        result = search.search(session, text)
    assert sorted(study.study_instance_uid for study in result.studies) == studies
    assert [hit.request.short_id for hit in result.requests] == requests
    assert all(hit.matched for hit in (*result.studies, *result.requests))


def test_a_found_study_tells_its_requests_and_how_much_of_it_is_here(
    ground: Ground, two_patients: list[SampleInstance]
) -> None:
    assert two_patients
    with ground.database.reading() as session:
        (study,) = search.search(session, "1.2.1").studies
    assert study.instances == 1
    assert [request.short_id for request in study.requests] == ["R000001"]
    told = json.dumps(to_json(study, patients=False), ensure_ascii=False)
    assert "ab12" not in told
    assert "Müller" not in told


def test_a_search_says_that_there_is_more(
    ground: Ground, two_patients: list[SampleInstance]
) -> None:
    assert two_patients
    with ground.database.reading() as session:
        result = search.search(session, "muller", limit=1)
    assert len(result.studies) == 1
    assert result.more_studies
    assert not result.more_requests


def test_arrivals_are_studies_that_no_request_names_unless_it_was_cancelled(
    ground: Ground, two_patients: list[SampleInstance]
) -> None:
    assert two_patients
    with ground.database.writing() as session:
        listed = arrivals.arrivals(session)
        assert {arrival.study.study_instance_uid for arrival in listed} == {"1.2.2", "1.2.3"}
        assert all(arrival.unrequested == 1 and arrival.size for arrival in listed)
        request = session.scalars(select(MediaCreationRequest)).one()
        operations.cancel(session, request.sop_instance_uid)
        assert len(arrivals.arrivals(session)) == 3
        assert len(arrivals.arrivals(session, limit=2)) == 2


def test_an_arrival_counts_only_what_nobody_has_requested_of_it(ground: Ground) -> None:
    first, second, third = (instance(instance_number=number) for number in (1, 2, 3))
    ground.store(first, second)
    ground.store(third, calling_ae_title="CT2")
    note_studies(ground)
    with ground.database.reading() as session:
        (arrival,) = arrivals.arrivals(session)
    assert arrival.unrequested == 3
    assert arrival.calling_ae_titles == ("CT2", "MODALITY")
    ground.create([third])
    with ground.database.reading() as session:
        (arrival,) = arrivals.arrivals(session)
        sizes = session.scalars(
            select(Instance.size).where(Instance.calling_ae_title == "MODALITY")
        ).all()
    assert arrival.study.instances == 3
    assert arrival.unrequested == 2
    assert arrival.size == sum(sizes)
    assert arrival.calling_ae_titles == ("MODALITY",)
    ground.create([first, second])
    with ground.database.reading() as session:
        assert not arrivals.arrivals(session)


def test_a_standing_order_does_not_wait_for_what_was_requested_once(ground: Ground) -> None:
    first, second = (instance(instance_number=number) for number in (1, 2))
    ground.store(first, second)
    note_studies(ground)
    order = StandingOrderSettings(
        name="us", calling_ae_titles=("MODALITY",), quiet_period=timedelta(minutes=5)
    )
    uid = ground.create([first, second])
    with ground.database.writing() as session:
        operations.cancel(session, uid)
    with ground.database.reading() as session:
        (arrival,) = arrivals.arrivals(session, [order])
    assert arrival.unrequested == 2
    assert arrival.standing_order == ""


@pytest.mark.parametrize(
    ("details", "remarks"),
    [
        ([("", ""), ("19700101", "F"), ("19700102", "F")], ["2 birth dates"]),
        ([("19700101", "F"), ("19700101", "M")], ["2 values of Patient's Sex"]),
        ([("19700101", "F"), ("", ""), ("19700101", "F")], []),
        ([("", "F"), ("", "M")], ["2 values of Patient's Sex"]),
        ([("", ""), ("", "")], []),
    ],
)
def test_an_arrival_tells_of_other_birth_dates_and_sexes_whichever_came_first(
    ground: Ground, details: list[tuple[str, str]], remarks: list[str]
) -> None:
    for order in (details, details[::-1]):
        study = f"1.2.{order is details:d}.7"
        ground.store(*(instance(birth_date=date, sex=sex, study=study) for date, sex in order))
    note_studies(ground)
    with ground.database.reading() as session:
        listed = arrivals.arrivals(session)
    assert len(listed) == 2
    for arrival in listed:
        assert len(arrival.contradictions) == len(remarks)
        for contradiction, remark in zip(arrival.contradictions, remarks, strict=True):
            assert contradiction.endswith(remark)


def test_arrivals_read_the_instances_of_each_study_once_by_an_index(ground: Ground) -> None:
    for study in ("1.2.1", "1.2.2"):
        ground.store(*(instance(study=study, series=f"{study}.{n}") for n in range(3)))
    note_studies(ground)
    with ground.database.reading() as session:
        with remembered_statements(session) as statements:
            assert len(arrivals.arrivals(session)) == 2
        of_instances = [statement for statement in statements if "instance." in statement[0]]
        assert len(of_instances) == 3  # one instance of each study, then all of one study each
        for statement in of_instances:
            steps = plan_of(session, statement)
            assert any("ix_instance_study (study_instance_uid=?)" in step for step in steps), steps
            assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP"))], steps


def test_an_arrival_tells_when_a_standing_order_makes_a_request_of_it(
    ground: Ground, two_patients: list[SampleInstance]
) -> None:
    assert two_patients
    order = StandingOrderSettings(
        name="us", calling_ae_titles=("MODALITY",), quiet_period=timedelta(minutes=5)
    )
    other = StandingOrderSettings(name="other", calling_ae_titles=("ELSEWHERE",))
    with ground.database.reading() as session:
        (arrival, *_) = arrivals.arrivals(session, [other, order])
        received_at = session.scalar(
            select(Instance.received_at).where(
                Instance.study_instance_uid == arrival.study.study_instance_uid
            )
        )
    assert received_at is not None
    assert arrival.standing_order == "us"
    assert arrival.due_at == received_at + timedelta(minutes=5)


def test_priors_are_the_other_studies_of_the_patient_that_are_here(
    ground: Ground, two_patients: list[SampleInstance]
) -> None:
    assert two_patients
    with ground.database.reading() as session:
        ids = dict(session.execute(select(KnownStudy.study_instance_uid, KnownStudy.id)).all())
        hits = arrivals.priors(session, [ids["1.2.1"]])
        assert [hit.study_instance_uid for hit in hits] == ["1.2.2"]
        assert arrivals.priors(session, [ids["1.2.3"]]) == []


def test_chosen_studies_of_several_patients_are_told(
    ground: Ground, two_patients: list[SampleInstance]
) -> None:
    assert two_patients
    with ground.database.reading() as session:
        ids = dict(session.execute(select(KnownStudy.study_instance_uid, KnownStudy.id)).all())
        same = MediaOrder(studies=["1.2.1", "1.2.2"])
        several = MediaOrder(studies=list(ids))
        items = media_orders.references(session, several)
        assert media_orders.count_patients_of(session, items) == 2
        with pytest.raises(Conflict, match="of 2 patients"):
            media_orders.check_patients(session, several, items)
        media_orders.check_patients(session, replace(several, several_patients=True), items)
        media_orders.check_patients(session, same, media_orders.references(session, same))
