"""Encoding, scanning and rejecting Data Elements."""

import io
import struct

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

import made_entries
import material
from burnish import dicom_elements
from burnish.dicom_elements import Element, NeedMore, Window, encode, encode_item, items, scan
from burnish.errors import Unreadable

DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
ITEM_DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
SEQUENCE = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)


def test_text_is_padded_with_a_space_and_other_values_with_nul() -> None:
    assert encode(0x00100020, b"LO", b"ABC") == b"\x10\x00\x20\x00LO\x04\x00ABC "
    assert encode(0x00080018, b"UI", b"1.2") == b"\x08\x00\x18\x00UI\x04\x001.2\0"
    assert encode(0x7FE00010, b"OB", b"\1") == b"\xe0\x7f\x10\x00OB\0\0\x02\0\0\0\1\0"


def test_a_value_too_long_for_a_short_vr_is_rejected() -> None:
    with pytest.raises(Unreadable):
        encode(0x00100020, b"LO", bytes(1 << 16))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(dicom_elements.SHORT_VRS | dicom_elements.LONG_VRS)), st.binary()
        ),
        max_size=9,
    )
)
def test_scanning_finds_what_was_encoded(values: list[tuple[bytes, bytes]]) -> None:
    data = b"".join(encode(0x00090000 + n, vr, value) for n, (vr, value) in enumerate(values))
    elements = list(scan(data, 0, len(data), explicit=True))
    assert [element.vr for element in elements] == [vr for vr, _ in values]
    for element, (_, value) in zip(elements, values, strict=True):
        assert data[element.value : element.value + len(value)] == value
    assert (elements[-1].end if elements else 0) == len(data)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_scanned_or_unreadable(data: bytes, explicit: bool) -> None:
    try:
        for element in scan(data, 0, len(data), explicit=explicit):
            assert element.end <= len(data)
    except Unreadable:
        pass


@pytest.mark.parametrize("inner_explicit", [True, False])
def test_elements_of_undefined_length_are_skipped(inner_explicit: bool) -> None:
    inner = (
        encode(0x00081150, b"UI", b"1.2")
        if inner_explicit
        else struct.pack("<HHL", 8, 0x1150, 4) + b"1.2\0"
    )
    vr = b"SQ" if inner_explicit else b"UN"
    content = ITEM + inner + ITEM_DELIMITER
    data = SEQUENCE.replace(b"SQ", vr) + content + DELIMITER + encode(0x00100020, b"LO", b"X")
    first, second = scan(data, 0, len(data), explicit=True)
    assert first == Element(0x00081140, vr, 0, 12, len(content), True)
    assert first.end == second.start
    ((start, end),) = items(data, 12, 12 + len(content), explicit=inner_explicit)
    assert data[start:end] == inner


def test_items_of_defined_length_are_found() -> None:
    first, second = encode(0x00081150, b"UI", b"1.2"), encode(0x00081150, b"UI", b"1.3")
    value = encode_item(first) + encode_item(second)
    assert [value[a:b] for a, b in items(value, 0, len(value), explicit=True)] == [first, second]


def test_nesting_is_limited() -> None:
    data = (SEQUENCE + ITEM) * 100_000
    with pytest.raises(Unreadable, match="deeply"):
        list(scan(data, 0, len(data), explicit=True))


@pytest.mark.parametrize(
    "data",
    [
        encode(0x00100020, b"LO", b"ABCD")[:-1],
        b"\x08\x00\x18",
        SEQUENCE + ITEM,
        SEQUENCE + ITEM + ITEM_DELIMITER,
    ],
)
def test_a_truncated_element_needs_more(data: bytes) -> None:
    with pytest.raises(NeedMore):
        list(scan(data, 0, len(data), explicit=True))


@pytest.mark.parametrize(
    "data", [b"\x08\x00\x18\x00??\x04\x001.2\0", SEQUENCE + ITEM + DELIMITER, ITEM + DELIMITER]
)
def test_invalid_elements_are_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        list(scan(data, 0, len(data), explicit=True))


def test_scanning_stops_before_elements_in_another_encoding() -> None:
    data = encode(0x00020010, b"UI", b"1.2.840.10008.1.2") + struct.pack("<HHL", 8, 0x16, 0)
    assert len(list(scan(data, 0, len(data), explicit=True, stop=0x00030000))) == 1


def test_a_window_returns_the_bytes_of_the_file() -> None:
    data = bytes(range(256)) * 40
    window = Window(io.BytesIO(b"xx" + data), 2, len(data), 64)
    for start, stop in ((0, 8), (5, 300), (10_000, 10_240), (10_230, 99_999), (3, 4), (9, 9)):
        assert window[start:stop] == data[start:stop]


def test_elements_of_real_files_agree_with_pydicom(
    real_studies: material.RealStudies,
) -> None:
    for path in (*real_studies.patients, *real_studies.charsets):
        dataset = pydicom.dcmread(path)
        data = made_entries.encoded(dataset)
        tags = [element.tag for element in scan(data, 0, len(data), explicit=True)]
        assert tags == [element.tag for element in dataset if element.tag.element]
