"""Directory records as data, compared with the dictionaries of pydicom."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.uid import UID_dictionary

from burnish.directory_records import (
    ANGIOGRAPHY_KEYS,
    ANGIOGRAPHY_LOSSY_KEYS,
    CD_KEYS,
    CT_MR_KEYS,
    DVD_KEYS,
    KEYS,
    MPEG2_KEYS,
    ROOT_TYPES,
    all_keys,
    group_by_study,
    group_patients,
    patient_key,
    record_type,
)

STORAGE = [
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class" and uid.startswith("1.2.840.10008.5.1.4.1.1.") and "Storage" in name
]


@pytest.mark.parametrize(
    "table",
    [
        *(KEYS, CD_KEYS, DVD_KEYS, MPEG2_KEYS),
        *(ANGIOGRAPHY_KEYS, ANGIOGRAPHY_LOSSY_KEYS, CT_MR_KEYS),
    ],
)
def test_keys_have_the_vr_of_the_dictionary(
    table: dict[str, tuple[tuple[int, bytes, str]]],
) -> None:
    for keys in table.values():
        assert [key[0] for key in keys] == sorted({key[0] for key in keys})
        for tag, vr, kind in keys:
            assert dictionary_VR(tag).encode() == vr, hex(tag)
            assert kind in {"1", "1C", "2"}


@pytest.mark.parametrize("uid", STORAGE)
def test_every_storage_class_has_a_known_type_or_none(uid: str) -> None:
    assert record_type(uid) in {*KEYS, ""}


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("1.1.2", "IMAGE"),
        ("1.1.66.4", "IMAGE"),
        ("1.1.481.1", "IMAGE"),
        ("1.1.99.7", "IMAGE"),
        ("1.1.9.1.4", "WAVEFORM"),
        ("1.1.9.100.1", "WF PRESENTATION"),
        ("1.1.11.12", "PRESENTATION"),
        ("1.1.88.59", "KEY OBJECT DOC"),
        ("1.1.88.76", "SR DOCUMENT"),
        ("1.1.481.25", "RADIOTHERAPY"),
        ("1.1.201.1", "INVENTORY"),
        ("34.10", "PLAN"),
        ("38.1", "HANGING PROTOCOL"),
        ("1.1.200.2", ""),
        ("1.1.27", ""),
    ],
)
def test_record_types(tail: str, expected: str) -> None:
    assert record_type(f"1.2.840.10008.5.1.4.{tail}") == expected


def test_other_sop_classes_have_no_record_type() -> None:
    for uid in ("", "1.2.3", "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.x"):
        assert record_type(uid) == ""


def test_root_types_have_keys() -> None:
    assert set(KEYS) > ROOT_TYPES


def test_a_record_has_the_keys_of_every_profile() -> None:
    tags = {key.tag for key in all_keys("IMAGE")}
    assert {0x00200013, 0x00080008, 0x00280010} <= tags


def test_names_are_compared_as_they_sound() -> None:
    name = patient_key("1", "", "Jérôme^Buc")
    assert name == patient_key("1 ", "", "JEROME, BUC=X^Y")
    assert name != patient_key("1", "", "Buc^Pierre")
    assert name != patient_key("2", "", "Jérôme^Buc")


def test_patients_are_grouped() -> None:
    assert group_patients([("1", "A", "X"), ("1", "A", ""), ("2", "A", "X")]) == [0, 0, 1]
    assert group_patients([("1", "A", "X"), ("1", "A", "Y"), ("1", "A", "")]) == [0, 1, 2]
    assert group_patients([("1", "", "X"), ("1", "A", "X"), ("1", "A", "X")]) == [0, 0, 0]
    assert group_patients([("1", "", "X"), ("1", "A", "X"), ("1", "B", "X")]) == [0, 1, 2]
    assert group_patients([("", "", "X"), ("", "", ""), ("", "", "X")]) == [0, 1, 0]
    assert group_patients([]) == []


def test_without_patient_id_each_study_has_a_patient_of_its_own() -> None:
    identities = [("1", "", "X", "1.1"), ("1", "", "X", "1.2")]
    identities += [("", "", "Y", "1.1"), ("", "", "Y", "1.2"), ("", "", "Y", "1.1")]
    keys = group_by_study(identities)
    assert keys[0] == keys[1]
    assert keys[2] == keys[4] != keys[3]
    assert len({*keys}) == 3


def test_component_groups_neither_split_one_person_nor_merge_two() -> None:
    whole, ideographic = "Yamada^Tarou=山田^太郎=やまだ^たろう", "=山田^太郎"
    assert group_patients([("1", "", whole), ("1", "", ideographic)]) == [0, 0]
    assert group_patients(
        [("1", "", ideographic), ("1", "", "YAMADA^TAROU^^^"), ("1", "", whole)]
    ) == [0, 0, 0]
    assert group_patients([("1", "", ideographic), ("1", "", "=鈴木^一郎")]) == [0, 1]
    assert group_patients([("1", "", ideographic), ("1", "", "Yamada^Tarou")]) == [0, 1]
    assert group_patients([("1", "", "Yamada^Tarou="), ("1", "", "Yamada^Tarou==")]) == [0, 0]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("abcdeé 山", min_size=1, max_size=6), min_size=1, max_size=3),
    st.sampled_from([str.upper, str.lower, str.title]),
    st.text("^ ", max_size=3),
    st.sampled_from(["", "=", "=山田", "==x"]),
)
def test_spelling_does_not_split_a_person(
    words: list[str], case: Callable[[str], str], padding: str, groups: str
) -> None:
    name = "^".join(words)
    spelled = case(name) + padding + groups
    if patient_key("1", "", name)[2]:
        assert group_patients([("1", "", name), ("1", "", spelled)]) == [0, 0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["Doe^J", "Roe^K", "=山", "Doe^J=山", "Roe^K=川", ""]), max_size=6))
def test_two_persons_with_one_patient_id_are_never_merged(names: list[str]) -> None:
    groups = group_patients([("1", "", name) for name in names])
    people = [patient_key("1", "", name)[2] for name in names]
    for group, person in zip(groups, people, strict=True):
        for other_group, other_person in zip(groups, people, strict=True):
            if {person, other_person} == {"doe j", "roe k"}:
                assert group != other_group
