"""Data sets of other encodings in Explicit VR Little Endian, compared with pydicom."""

import io

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

import made_entries
import material
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Converter, dictionary_vr, layout, swap
from burnish.vocabulary import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

OTHERS = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)


def converted(data: bytes, transfer_syntax_uid: str) -> Dataset:
    pieces = Converter(data, 0, len(data), layout(transfer_syntax_uid)).convert()
    return with_lengths(pydicom.dcmread(io.BytesIO(b"".join(pieces)), force=True))


def with_lengths(dataset: Dataset) -> Dataset:
    """The data set with all its sequences of defined length."""
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = False
            for item in element.value:
                item.is_undefined_length_sequence_item = False
    return dataset


@pytest.mark.parametrize("syntax", OTHERS)
@pytest.mark.parametrize(
    "name", ["rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm", "nested_priv_SQ.dcm"]
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
def test_the_converted_data_set_is_the_same(
    real_studies: material.RealStudies, name: str, syntax: str
) -> None:
    source = with_lengths(material.read(real_studies.file(name)))
    data = made_entries.encoded(source, syntax)
    again = made_entries.encoded(converted(data, syntax), syntax)
    waveforms = name == "waveform_ecg.dcm" and syntax == EXPLICIT_VR_BIG_ENDIAN
    # pydicom writes OW as it is, so only there the bytes differ: they were swapped.
    assert (again == data) != waveforms
    assert len(again) == len(data)


def test_numbers_are_swapped() -> None:
    dataset = Dataset()
    dataset.add_new(0x00280010, "US", 0x1234)
    dataset.add_new(0x00280009, "AT", 0x00181063)
    dataset.add_new(0x00289001, "UL", 0x12345678)
    dataset.add_new(0x00089459, "FL", 1.5)
    dataset.add_new(0x00189087, "FD", 2.5)
    data = made_entries.encoded(dataset, EXPLICIT_VR_BIG_ENDIAN)
    assert converted(data, EXPLICIT_VR_BIG_ENDIAN) == dataset


def test_words_are_swapped_and_bytes_are_not() -> None:
    data = b"\x7f\xe0\x00\x10OW\0\0\0\0\0\4\1\2\3\4"
    pieces = Converter(data, 0, len(data), layout(EXPLICIT_VR_BIG_ENDIAN)).convert()
    assert b"".join(pieces) == b"\xe0\x7f\x10\0OW\0\0\4\0\0\0\2\1\4\3"
    data = data.replace(b"OW", b"OB")
    pieces = Converter(data, 0, len(data), layout(EXPLICIT_VR_BIG_ENDIAN)).convert()
    assert b"".join(pieces) == b"\xe0\x7f\x10\0OB\0\0\4\0\0\0\1\2\3\4"


@pytest.mark.parametrize("representation", [0, 1])
def test_the_vr_follows_pixel_representation(representation: int) -> None:
    dataset = Dataset()
    dataset.add_new(0x00280103, "US", representation)
    dataset.add_new(0x00280106, "SS" if representation else "US", 5)
    data = made_entries.encoded(dataset, IMPLICIT_VR_LITTLE_ENDIAN)
    result = converted(data, IMPLICIT_VR_LITTLE_ENDIAN)
    assert ("SS" if representation else "US") == result["SmallestImagePixelValue"].VR


def test_private_elements_have_vr_un_except_private_creators() -> None:
    assert dictionary_vr(0x00090010) == b"LO"
    assert dictionary_vr(0x00091001) == b"UN"
    assert dictionary_vr(0x00100010) == b"PN"


@pytest.mark.parametrize("syntax", OTHERS)
@given(st.binary(max_size=300))
def test_any_bytes_are_converted_or_unreadable(syntax: str, data: bytes) -> None:
    try:
        for _ in Converter(data, 0, len(data), layout(syntax)).convert():
            pass
    except Unreadable:
        pass


@given(st.lists(st.integers(0, 255)), st.sampled_from([1, 2, 4, 8]))
def test_swapping_twice_restores_the_value(values: list[int], width: int) -> None:
    value = bytes(values[: len(values) // width * width])
    assert swap(swap(value, width), width) == value


def test_nesting_is_limited() -> None:
    data = (b"\x08\0\x40\x11\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff") * 10_000
    with pytest.raises(Unreadable, match="deeply"):
        list(Converter(data, 0, len(data), layout(IMPLICIT_VR_LITTLE_ENDIAN)).convert())
