"""Directory order: who belongs together, and that the order of the input does not matter."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.plan.candidates import Candidate
from burnish.plan.grouping import group_into_series
from factories import candidate, header
from trees import few, instances, shuffled


def uids(candidates: list[Candidate]) -> list[str]:
    return [member.header.sop_instance_uid for member in candidates]


@few
@given(instances())
def test_every_instance_is_in_one_series(candidates: list[Candidate]) -> None:
    grouped = [c for series in group_into_series(candidates) for c in series.candidates]
    assert sorted(uids(grouped)) == sorted(uids(candidates))


@few
@given(instances(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    candidates: list[Candidate], random_: random.Random
) -> None:
    def order(candidates: list[Candidate]) -> list[list[str]]:
        return [uids(list(series.candidates)) for series in group_into_series(candidates)]

    assert order(shuffled(candidates, random_)) == order(candidates)


@few
@given(instances())
def test_instances_of_a_patient_and_study_stand_together(candidates: list[Candidate]) -> None:
    series = group_into_series(candidates)
    for key in (
        lambda group: group.patient,
        lambda group: (group.patient, group.study),
        lambda group: (group.patient, group.study, group.series),
    ):
        keys = [key(group) for group in series]
        begun = [key_ for n, key_ in enumerate(keys) if n == 0 or key_ != keys[n - 1]]
        assert len(begun) == len(set(begun))


def test_patients_are_ordered_by_id_and_name_studies_by_date_series_and_instances_by_number() -> (
    None
):
    rows = [
        ("B", "1.2", "20240101", "1.2.1", 1, 1),
        ("A", "1.4", "20240301", "1.4.1", 1, 1),
        ("A", "1.3", "20240201", "1.3.2", 2, 1),
        ("A", "1.3", "20240201", "1.3.9", 1, 10),
        ("A", "1.3", "20240201", "1.3.9", 1, 9),
        ("A", "1.3", "20240201", "1.3.9", 1, None),
        ("A", "1.3", "20240201", "1.3.8", None, 1),
    ]
    candidates = [
        candidate(
            n,
            header(
                patient_id=patient,
                study=study,
                date=date,
                series=series,
                uid=f"1.9.{n}",
                series_number=series_number,
                instance_number=number,
            ),
            100,
        )
        for n, (patient, study, date, series, series_number, number) in enumerate(rows)
    ]
    order = [c.instance_id for series in group_into_series(candidates) for c in series.candidates]
    assert order == [4, 3, 5, 2, 6, 1, 0]


def test_instances_without_a_patient_come_last() -> None:
    candidates = [
        candidate(1, header(record_type="HANGING PROTOCOL", uid="1.1"), 100),
        candidate(2, header(uid="1.2"), 100),
    ]
    first, last = group_into_series(candidates)
    assert first.patient is not None
    assert last.patient is None
    assert uids(list(last.candidates)) == ["1.1"]


@pytest.mark.parametrize(
    ("first_header", "second_header", "together"),
    [
        ({"name": "Doe^Jane"}, {"name": "DOE^JANE"}, True),
        ({"name": "Müller^Ä"}, {"name": "muller a"}, True),
        ({"name": "Doe^Jane"}, {"name": ""}, True),
        ({"name": "Doe^Jane"}, {"name": "Doe^John"}, False),
        ({"issuer": "A"}, {"issuer": ""}, True),
        ({"issuer": "A"}, {"issuer": "B"}, False),
        ({"patient_id": "P1"}, {"patient_id": "P2"}, False),
        ({"patient_id": "", "study": "1.2"}, {"patient_id": "", "study": "1.2"}, True),
        ({"patient_id": "", "study": "1.2"}, {"patient_id": "", "study": "1.3"}, False),
    ],
)
def test_instances_of_one_patient_are_grouped_together(
    first_header: dict[str, str], second_header: dict[str, str], together: bool
) -> None:
    candidates = [
        candidate(n, header(**{"series": f"1.5.{n}", "uid": f"1.6.{n}", **values}), 100)  # type: ignore[arg-type]
        for n, values in enumerate((first_header, second_header))
    ]
    first, second = group_into_series(candidates)
    assert (first.patient == second.patient) == together


def test_one_series_uid_in_two_studies_is_two_series() -> None:
    candidates = [
        candidate(n, header(study=f"1.2.{n}", series="1.5", uid=f"1.6.{n}"), 100) for n in (1, 2)
    ]
    assert len(group_into_series(candidates)) == 2


def test_no_instances_make_no_series() -> None:
    assert group_into_series([]) == []


def test_patients_that_differ_only_in_issuer_are_kept_apart() -> None:
    rows = [("A", "", "1.2", "1.3"), ("B", "Doe", "1.4", "1.5"), ("B", "", "1.2", "1.6")]
    candidates = [
        candidate(
            n,
            header(issuer=issuer, name=name, study=study, series=series, uid=f"1.9.{n}"),
            100,
        )
        for n, (issuer, name, study, series) in enumerate(rows)
    ]
    patients = [series.patient for series in group_into_series(candidates)]
    assert patients in (
        [*patients[:1], patients[1], patients[1]],
        [patients[0], patients[0], patients[2]],
    )
