"""Attributes of Media Creation Management: each of them, each character set, any bytes."""

import random
import warnings
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from sqlalchemy import update

from burnish.db.tables import FailedInstance, MediaCreationRequest, Piece
from burnish.errors import BurnishError, InvalidValue, MissingAttribute, MissingValue
from burnish.request import operations
from burnish.scp import attributes
from burnish.scp.attributes import (
    ATTRIBUTES,
    decode,
    encode,
    new_request,
)
from burnish.scp.request_attributes import SUPPORTED_TAGS, RequestAttributes, are_supported
from burnish.vocabulary import ExecutionStatusInfo, PieceState
from factories import CT, Ground, add_request

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
SYNTAXES = (IMPLICIT, EXPLICIT, BIG)
each_attribute = pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda a: a.keyword)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def n_create(**values: Any) -> Dataset:
    data_set = Dataset()
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = "1.2.3"
    data_set.ReferencedSOPSequence = [item]
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def transferred(data_set: Dataset, syntax: str = EXPLICIT) -> Dataset:
    """The data set as it arrives over the network."""
    return decode(encode(data_set, syntax), syntax)


def n_get(
    ground: Ground, request_uid: str, tags: Collection[int] = (), syntax: str = EXPLICIT
) -> Dataset:
    """The data set of the answer to an N-GET."""
    pieces = RequestAttributes(ground.database).encoded(request_uid, syntax, tags)
    return decode(b"".join(pieces), syntax)


def valid_value(attribute: attributes.Attribute) -> str:
    if attribute.enumerated:
        return "NO"
    return "1.2.3.4" if dictionary_VR(attribute.keyword) == "UI" else "VALUE_1"


@each_attribute
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_each_attribute_is_read_and_is_supported_by_n_get(
    attribute: attributes.Attribute, syntax: str
) -> None:
    value = valid_value(attribute)
    request = new_request(transferred(n_create(**{attribute.keyword: value}), syntax), "1.2.9")
    assert request.attributes == {attribute.column: value}
    assert request.sop_instance_uid == "1.2.9"
    assert tag_for_keyword(attribute.keyword) in SUPPORTED_TAGS
    assert hasattr(MediaCreationRequest, attribute.column)


@each_attribute
def test_an_empty_attribute_is_treated_as_absent(attribute: attributes.Attribute) -> None:
    for empty in ("", None):
        assert new_request(transferred(n_create(**{attribute.keyword: empty})), "").attributes == {}


@each_attribute
def test_invalid_values_are_rejected(attribute: attributes.Attribute) -> None:
    maximum_length = attributes._MAXIMUM_LENGTHS.get(dictionary_VR(attribute.keyword))
    invalid: list[Any] = (
        [[valid_value(attribute)] * 2]
        if dictionary_VR(attribute.keyword) not in ("LT", "UT")
        else []
    )
    if attribute.enumerated:
        invalid += ["MAYBE", "yes"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if maximum_length is not None and maximum_length < 10_000:
            invalid.append("1" * (maximum_length + 2))
        for value in invalid:
            data_set = n_create()
            data_set.add_new(
                tag_for_keyword(attribute.keyword), dictionary_VR(attribute.keyword), value
            )
            with pytest.raises(InvalidValue):
                new_request(transferred(data_set), "")


def test_references_with_profile_and_icon_image() -> None:
    data_set = n_create()
    icon = Dataset()
    icon.Rows = 64
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = "1.2.4"
    item.RequestedMediaApplicationProfile = "STD-GEN-CD"
    item.IconImageSequence = [icon]
    data_set.ReferencedSOPSequence.append(item)
    first, second = new_request(transferred(data_set), "").references
    assert first.sop_class_uid == CT
    assert first.sop_instance_uid == "1.2.3"
    assert first.profile == ""
    assert first.icon_image_sequence is None
    assert second.profile == "STD-GEN-CD"
    assert second.icon_image_sequence is not None
    assert decode(second.icon_image_sequence, "").Rows == 64


@pytest.mark.parametrize("keyword", ["ReferencedSOPClassUID", "ReferencedSOPInstanceUID"])
def test_an_item_without_a_uid_is_rejected(keyword: str) -> None:
    data_set = n_create()
    setattr(data_set.ReferencedSOPSequence[0], keyword, "")
    with pytest.raises(MissingValue):
        new_request(transferred(data_set), "")
    delattr(data_set.ReferencedSOPSequence[0], keyword)
    with pytest.raises(MissingAttribute):
        new_request(transferred(data_set), "")


def test_a_request_without_references_is_rejected() -> None:
    data_set = n_create()
    data_set.ReferencedSOPSequence = []
    with pytest.raises(MissingValue):
        new_request(transferred(data_set), "")
    del data_set.ReferencedSOPSequence
    with pytest.raises(MissingAttribute):
        new_request(transferred(data_set), "")


TEXTS = {
    "ISO_IR 100": "Äußerst früh",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 192": "王^小东 Äé",
    "GB18030": "王小东",
    "\\ISO 2022 IR 87": "山田太郎",
    "\\ISO 2022 IR 149": "김희중",
}


def created_request(ground: Ground, data_set: Dataset) -> MediaCreationRequest:
    with ground.database.writing() as session:
        uid = operations.create(
            session, ground.settings.request, new_request(data_set, ""), origin="peer"
        ).sop_instance_uid
    return ground.request(uid)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("character_set", TEXTS)
def test_text_is_returned_as_it_was_sent(ground: Ground, character_set: str, syntax: str) -> None:
    text = TEXTS[character_set]
    data_set = n_create(LabelText=text, MediaDisposition=text)
    data_set.SpecificCharacterSet = character_set.split("\\")
    request = created_request(ground, transferred(data_set, syntax))
    assert request.label_text == text
    answer = n_get(ground, request.sop_instance_uid, syntax=syntax)
    assert answer.LabelText == text
    assert answer.MediaDisposition == text


def test_text_without_a_character_set_is_returned_in_utf_8(ground: Ground) -> None:
    with ground.database.writing() as session:
        uid = add_request(session, label_text="Müller").sop_instance_uid
    answer = n_get(ground, uid)
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert answer.LabelText == "Müller"


def test_an_unknown_character_set_does_no_harm(ground: Ground) -> None:
    data_set = n_create(LabelText="text")
    data_set.SpecificCharacterSet = "ISO_IR 999"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            request = created_request(
                ground, decode(encode(n_create(LabelText="text"), EXPLICIT), EXPLICIT)
            )
            with ground.database.writing() as session:
                row = operations.get_request(session, request.sop_instance_uid)
                row.specific_character_set = "ISO_IR 999"
            assert n_get(ground, request.sop_instance_uid)
            new_request(data_set, "")
        except BurnishError:
            return


def test_text_that_its_character_set_cannot_encode_is_returned_in_utf_8(ground: Ground) -> None:
    """Such as a barcode or a media disposition that does not come from the SCU."""
    with ground.database.writing() as session:
        uid = add_request(
            session, specific_character_set="ISO_IR 100", label_text="王小东"
        ).sop_instance_uid
    assert n_get(ground, uid).LabelText == "王小东"


def test_n_get_returns_every_attribute(ground: Ground) -> None:
    with ground.database.writing() as session:
        request = add_request(
            session,
            volumes=2,
            copies=2,
            storage_media_file_set_id="MINE",
            storage_media_file_set_uid="1.2.3.4",
            label_text="a label",
            label_style_selection="S",
            barcode_value="123",
            barcode_symbology="CODE128",
            media_disposition="to the ward",
        )
        request.failures = [
            FailedInstance(
                ordinal=0,
                referenced_sop_class_uid=CT,
                referenced_sop_instance_uid="1.2.3",
                requested_media_application_profile="STD-GEN-CD",
                failure_reason=0x0120,
                failure_attributes="00100010 00100020",
            )
        ]
        session.execute(
            update(Piece).where(Piece.file_set_id == 1).values(state=PieceState.CREATED)
        )
        uid = request.sop_instance_uid
    for syntax in SYNTAXES:
        answer = n_get(ground, uid, syntax=syntax)
        assert {e.tag for e in answer} <= SUPPORTED_TAGS
        assert SUPPORTED_TAGS - {e.tag for e in answer} == {tag_for_keyword("SpecificCharacterSet")}
        assert answer.ExecutionStatus == "PENDING"
        assert answer.ExecutionStatusInfo == "NORMAL"
        assert answer.TotalNumberOfPiecesOfMediaCreated == 2
        assert [i.StorageMediaFileSetID for i in answer.ReferencedStorageMediaSequence] == ["SET1"]
        (failed,) = answer.FailedSOPSequence
        assert failed.FailureReason == 0x0120
        assert [int(tag) for tag in failed.FailureAttributes] == [0x00100010, 0x00100020]
        assert answer.NumberOfCopies == 2
        assert answer.RequestPriority == "MED"


@pytest.mark.parametrize("tag", sorted(SUPPORTED_TAGS))
def test_each_attribute_can_be_selected(ground: Ground, tag: int) -> None:
    with ground.database.writing() as session:
        request = add_request(session, label_text="Ä", volumes=0)
        uid = request.sop_instance_uid
    selected = n_get(ground, uid, [tag])
    assert are_supported([tag])
    assert {int(element.tag) for element in selected} <= {tag, 0x00080005}


@pytest.mark.parametrize(
    "initiated_at", [None, datetime(2026, 1, 1, tzinfo=UTC)], ids=["idle", "initiated"]
)
def test_selected_attributes_have_the_values_of_the_full_answer(
    ground: Ground, initiated_at: datetime | None
) -> None:
    with ground.database.writing() as session:
        request = add_request(
            session,
            volumes=3,
            copies=2,
            initiated_at=initiated_at,
            specific_character_set="ISO 2022 IR 6\\ISO 2022 IR 87",
            execution_status_info=ExecutionStatusInfo.OUT_OF_SUPPLIES,
            label_text="label",
        )
        add_request(session, volumes=2)
        session.execute(
            update(Piece).where(Piece.file_set_id.in_((1, 3, 4))).values(state=PieceState.CREATED)
        )
        uid = request.sop_instance_uid
    full = n_get(ground, uid)
    assert full.TotalNumberOfPiecesOfMediaCreated == 4
    assert ("NumberOfCopies" in full) == (initiated_at is not None)
    for tags in combinations(sorted(SUPPORTED_TAGS - {0x00080005}), 2):
        expected = Dataset()
        has_text = any(dictionary_VR(tag) in ("LT", "UT") and tag in full for tag in tags)
        for tag in (0x00080005, *tags) if has_text else tags:
            if tag in full:
                expected[tag] = full[tag]
        selected = n_get(ground, uid, tags)
        assert encode(selected, EXPLICIT) == encode(expected, EXPLICIT)


def test_an_attribute_that_is_not_supported_is_left_out(ground: Ground) -> None:
    with ground.database.writing() as session:
        uid = add_request(session, volumes=0).sop_instance_uid
    tags = [0x00100010, 0x00081199]
    assert not are_supported(tags)
    selected = n_get(ground, uid, tags)
    assert [element.keyword for element in selected] == ["ReferencedSOPSequence"]
    assert are_supported([])


BASE = n_create(
    LabelText="text",
    AllowMediaSplitting="YES",
    StorageMediaFileSetUID="1.2.3",
    NumberOfCopies=2,
    RequestPriority="HIGH",
    SpecificCharacterSet=["", "ISO 2022 IR 87"],
    BarcodeValue="1",
)
fuzz = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)


def assert_read_or_rejected(data: bytes, syntax: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            new_request(decode(data, syntax), "")
        except BurnishError:
            return


@fuzz
@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_any_bytes_are_read_or_rejected(data: bytes, syntax: str) -> None:
    assert_read_or_rejected(data, syntax)


@fuzz
@given(st.integers(0, 1 << 32), st.sampled_from(SYNTAXES))
def test_damaged_data_sets_are_read_or_rejected(seed: int, syntax: str) -> None:
    chance = random.Random(seed)
    data = bytearray(encode(BASE, syntax))
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(len(data))] = chance.choice(
            (0, 0xFF, 0x5C, 0x1B, chance.randrange(256))
        )
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    assert_read_or_rejected(bytes(data), syntax)
