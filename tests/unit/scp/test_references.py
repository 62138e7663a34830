"""References that are split off a data set are those that pydicom reads, or none."""

import random
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from burnish.errors import BurnishError
from burnish.request.operations import Reference
from burnish.scp import attributes
from burnish.scp.attributes import decode, encode, new_request
from burnish.scp.references import split_references

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
ICON = Dataset()
ICON.Rows = 2


def item(uid: Any = "1.2.3", **values: Any) -> Dataset:
    data_set = Dataset()
    data_set.ReferencedSOPClassUID = CT
    data_set.ReferencedSOPInstanceUID = uid
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def request(
    *items: Dataset, syntax: str = EXPLICIT, undefined: tuple[bool, bool] = (False, False)
) -> bytes:
    """An N-CREATE. `undefined`: whether its sequence and its items have undefined length."""
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.LabelText = "Müller"
    data_set.add_new(0x00091010, "UN", b"private ")
    data_set.ReferencedSOPSequence = Sequence(items)
    data_set["ReferencedSOPSequence"].is_undefined_length = undefined[0]
    for sequence_item in items:
        sequence_item.is_undefined_length_sequence_item = undefined[1]
    return encode(data_set, syntax)


def read_both_ways(data: bytes, syntax: str) -> tuple[object, object]:
    """The request or the error, with the references split off and with pydicom alone."""

    def result_or_error(read: Any) -> object:
        try:
            return read()
        except BurnishError as error:
            return type(error), str(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            result_or_error(lambda: attributes.decode_new_request(data, syntax, "1.2")),
            result_or_error(lambda: new_request(decode(data, syntax), "1.2")),
        )


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize(
    "undefined", [(False, False), (False, True), (True, False), (True, True)], ids=str
)
def test_usual_references_are_split_off(syntax: str, undefined: tuple[bool, bool]) -> None:
    items = [
        item("1.22.333"),
        item("1.22.3334", RequestedMediaApplicationProfile="STD-GEN-CD"),
        item("2.25." + "9" * 59),
    ]
    data = request(*items, syntax=syntax, undefined=undefined)
    split_data_set = split_references(data, syntax)
    assert split_data_set is not None
    assert split_data_set[0] == (
        Reference(CT, "1.22.333"),
        Reference(CT, "1.22.3334", "STD-GEN-CD"),
        Reference(CT, "2.25." + "9" * 59),
    )
    rest = decode(split_data_set[1], syntax)
    assert "ReferencedSOPSequence" not in rest
    assert rest.LabelText == "Müller"
    split, by_pydicom = read_both_ways(data, syntax)
    assert split == by_pydicom


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize(
    "unusual",
    [
        {"uid": "1.2", "IconImageSequence": [ICON]},
        {"uid": "1.2", "PatientID": "1"},
        {"uid": "x"},
        {"uid": ""},
        {"uid": ["1.2", "1.3"]},
        {"uid": "1." * 33 + "1"},
        {"uid": "1.2", "RequestedMediaApplicationProfile": "std gen"},
        {"uid": "1.2", "RequestedMediaApplicationProfile": ["A", "B"]},
        {"uid": "1.2", "RequestedMediaApplicationProfile": "A" * 66},
    ],
    ids=lambda values: str(list(values.items())[-1])[:40] if isinstance(values, dict) else values,
)
def test_an_unusual_item_is_left_to_pydicom(syntax: str, unusual: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = request(item(), item(**unusual), syntax=syntax)
    assert split_references(data, syntax) is None
    split, by_pydicom = read_both_ways(data, syntax)
    assert split == by_pydicom


def test_a_data_set_in_another_encoding_than_negotiated_is_left_to_pydicom() -> None:
    for agreed, sent in ((IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (BIG, EXPLICIT)):
        data = request(item(), item("1.2.4"), syntax=sent)
        assert split_references(data, agreed) is None
        split, by_pydicom = read_both_ways(data, agreed)
        assert split == by_pydicom


@given(st.integers(0, 2**32), st.sampled_from([IMPLICIT, EXPLICIT]))
@settings(max_examples=150, deadline=None)
def test_damaged_data_sets_have_the_same_result_both_ways(seed: int, syntax: str) -> None:
    chance = random.Random(seed)
    undefined = (chance.random() < 0.5, chance.random() < 0.5)
    items = [item(f"1.2.1{n}{'7' * chance.randrange(3)}") for n in range(chance.randrange(1, 4))]
    data = bytearray(request(*items, syntax=syntax, undefined=undefined))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice(b"\0 \xff\x08.1\\SQUI")
            case 2:
                del data[at : at + chance.randrange(1, 20)]
            case _:
                data[at:at] = data[at : at + chance.randrange(1, 40)]
        if not data:
            break
    split, by_pydicom = read_both_ways(bytes(data), syntax)
    assert split == by_pydicom
