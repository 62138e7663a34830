"""The vocabulary of Burnish agrees with a table of the terms of the standard, and with pydicom."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID

from burnish import identifiers, vocabulary
from burnish.application_profiles import PROFILES

TABLE = tomllib.loads(Path(__file__).with_name("defined_terms.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("element", TABLE["element"], ids=lambda element: element["keyword"])
def test_the_terms_of_an_element_are_those_of_the_standard(element: dict[str, Any]) -> None:
    burnish_terms = getattr(vocabulary, element["name"])
    assert {term.value for term in burnish_terms} == {*element["terms"], *element.get("ours", [])}
    assert all(term.name == term.value for term in burnish_terms)
    assert all(re.fullmatch(r"[A-Z0-9_ ]{1,16}", term.value) for term in burnish_terms), (
        "a CS (PS3.5 6.2)"
    )


@pytest.mark.parametrize("element", TABLE["element"], ids=lambda element: element["keyword"])
def test_the_element_is_in_the_data_dictionary(element: dict[str, Any]) -> None:
    assert tag_for_keyword(element["keyword"]) == element["tag"]
    assert dictionary_VR(element["tag"]) == "CS"


def test_failure_reasons_are_those_of_media_creation_management() -> None:
    burnish_terms = {reason.name: reason.value for reason in vocabulary.FailureReason}
    assert burnish_terms == TABLE["failure_reasons"]


def test_failure_reasons_of_storage_commitment_are_the_enumerated_ones() -> None:
    burnish_terms = {reason.name: reason.value for reason in vocabulary.CommitmentFailure}
    assert burnish_terms == TABLE["commitment_failures"]


@pytest.mark.parametrize("name", list(TABLE["uids"]))
def test_each_uid_has_the_name_of_the_standard(name: str) -> None:
    assert UID(getattr(vocabulary, name)).keyword == TABLE["uids"][name]


def test_every_uid_of_the_vocabulary_is_in_the_table() -> None:
    registered = {
        name
        for name, value in vars(vocabulary).items()
        if isinstance(value, str) and value.startswith("1.2.840.10008.")
    }
    assert registered == set(TABLE["uids"])


def test_the_implementation_class_uid_is_derived_from_a_random_uuid() -> None:
    uid = UID(vocabulary.IMPLEMENTATION_CLASS_UID)
    assert uid.is_valid
    assert identifiers.is_uid(uid)
    prefix, _, number = uid.rpartition(".")
    assert prefix == "2.25"  # PS3.5 B.2
    assert int(number) < 2**128
    assert int(number) >> 76 & 0xF == 4, "version 4: random (ISO/IEC 9834-8)"
    assert int(number) >> 62 & 0b11 == 0b10, "the variant of ISO/IEC 9834-8"


def test_the_implementation_version_name_is_of_1_to_16_characters() -> None:  # PS3.7 D.3.3.2
    assert re.fullmatch(
        r"[ -\[\]-~]{1,16}", vocabulary.IMPLEMENTATION_VERSION_NAME
    )  # PS3.7 D.3.3.2


def test_new_uids_are_valid_and_differ() -> None:
    uids = {identifiers.new_uid() for _ in range(100)}
    assert len(uids) == 100
    assert all(UID(uid).is_valid and identifiers.is_uid(uid) for uid in uids)


@pytest.mark.parametrize(
    ("value", "good", "tolerable"),
    [
        ("1.2.840.10008.1.1", True, True),
        ("2.25.0", True, True),
        ("1.2." + "3" * 60, True, True),
        ("1.2." + "3" * 61, False, False),
        ("1.02.3", False, True),
        ("1", False, True),
        ("", False, False),
        ("1.2.", False, False),
        (".1.2", False, False),
        ("1..2", False, False),
        ("1.2.a", False, False),
        ("1.2 ", False, False),
        ("1.2\n", False, False),
        ("1.٢", False, False),
    ],
)
def test_is_uid_and_is_tolerable_uid_follow_their_rules(
    value: str, good: bool, tolerable: bool
) -> None:
    assert identifiers.is_uid(value) is good
    assert identifiers.is_tolerable_uid(value) is tolerable


@pytest.mark.parametrize("profile", list(PROFILES.values()), ids=lambda profile: profile.label)
def test_profiles_have_labels_and_transfer_syntaxes_of_the_standard(profile: Any) -> None:
    assert re.fullmatch(r"[A-Z0-9]+(-[A-Z0-9]+)+", profile.label)
    assert re.match(r"PS3\.11 [A-Z]", profile.section)
    assert all(UID(uid).is_transfer_syntax for uid in profile.transfer_syntaxes)
