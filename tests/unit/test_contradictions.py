"""Instances that contradict each other about their patient or study."""

import pytest

from burnish.contradictions import Contradiction, count_patients, find_contradictions
from burnish.dicom_elements import encode
from burnish.values import InstanceHeader
from factories import header


def details(instance_header: InstanceHeader, birth_date: str = "", sex: str = "") -> InstanceHeader:
    keys = b"".join(
        encode(tag, vr, value.encode())
        for tag, vr, value in ((0x00100030, b"DA", birth_date), (0x00100040, b"CS", sex))
        if value
    )
    return instance_header._replace(entity_keys=instance_header.entity_keys + keys)


def only(*headers: InstanceHeader) -> Contradiction:
    (contradiction,) = find_contradictions(headers)
    return contradiction


def test_a_study_under_two_patient_ids() -> None:
    old, new = header(patient_id="OLD"), header(patient_id="NEW")
    other = header(patient_id="OLD", study="1.2.2", series="1.2.2.1")
    contradiction = only(old, new, other)
    assert contradiction.text == "Study Instance UID 1.2.1 belongs to 2 Patient IDs"
    assert contradiction.file_sets == 2
    assert [contradiction.concerns(instance_header) for instance_header in (old, new, other)] == [
        True,
        True,
        False,
    ]


def test_a_study_of_which_some_instances_have_no_patient_id() -> None:
    contradiction = only(header(), header(patient_id=""))
    assert contradiction.text.endswith("belongs to 1 Patient ID, and to instances without one")
    assert contradiction.apart


def test_a_series_in_two_studies() -> None:
    contradiction = only(header(), header(study="1.2.2"))
    assert contradiction.text == "Series Instance UID 1.2.1.1 belongs to 2 studies"
    assert contradiction.apart


def test_one_patient_id_of_two_patients() -> None:
    contradiction = only(
        header(issuer="HERE"), header(issuer="THERE", study="1.2.2", series="1.2.2.1")
    )
    assert contradiction.text == "one Patient ID belongs to 2 patients"
    assert contradiction.apart


def test_a_study_of_two_patients_with_one_patient_id() -> None:
    texts = [
        contradiction.text
        for contradiction in find_contradictions([header(), header(name="Roe^Richard")])
    ]
    assert texts == [
        "Study Instance UID 1.2.1 belongs to 2 patients with one Patient ID",
        "one Patient ID belongs to 2 patients",
    ]


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"birth_date": "19600101"}, {"birth_date": "19610101"}, "2 birth dates"),
        ({"sex": "F"}, {"sex": "M"}, "2 values of Patient's Sex"),
    ],
)
def test_one_patient_with_different_details(
    first: dict[str, str], second: dict[str, str], what: str
) -> None:
    here, there = header(), header(study="1.2.2", series="1.2.2.1")
    contradiction = only(details(here, **first), details(there, **second), header())
    assert contradiction.text.endswith(f"has {what}")
    assert not contradiction.apart
    assert not contradiction.concerns(here)
    assert "1960" not in contradiction.text


def test_what_is_no_contradiction() -> None:
    root = header(record_type="HANGING PROTOCOL")
    other = header(patient_id="P2", study="1.2.2", series="1.2.2.1")
    headers = [
        details(header(), "19600101", "F"),
        header(),  # without details
        header(name="DOE^JANE "),
        details(other, "19610101", "M"),
        root,
    ]
    assert find_contradictions(headers) == []
    assert find_contradictions([]) == []


def test_patients_that_have_a_study_in_common_are_counted_as_one() -> None:
    assert count_patients([]) == 0
    assert count_patients([header(), header(), header(record_type="HANGING PROTOCOL")]) == 1
    second = header(patient_id="P2", study="1.2.2", series="1.2.2.1")
    third = header(patient_id="P3", study="1.2.2", series="1.2.2.1")
    assert count_patients([header(), second]) == 2
    assert count_patients([header(), second, third]) == 2
    bridge = header(patient_id="P3")
    assert count_patients([header(), second, third, bridge]) == 1
