"""What the header index finds wrong with images, and what it repairs."""

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.dicom_elements import encode
from burnish.errors import Unreadable
from burnish.instance_header.header import (
    IndexedDataSet,
    Repair,
    index_data_set,
    index_file,
    repaired,
)
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE,
)
from factories import HANGING_PROTOCOL, encapsulated, instance
from material import RealStudies

PIXEL_DATA = 0x7FE00010
EXPLICIT, IMPLICIT = EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN


def index(data: bytes, syntax: str = EXPLICIT, head: int = 1 << 16) -> IndexedDataSet:
    return index_data_set(data[:head], len(data), syntax, lambda: io.BytesIO(data))


def fault(data: bytes, syntax: str = EXPLICIT) -> str:
    return index(data, syntax).header.pixel_fault


def ow(length: int) -> bytes:
    return encode(PIXEL_DATA, b"OW", bytes(length))


PADDING = encode(0xFFFCFFFC, b"OB", bytes(8))


@pytest.mark.parametrize(
    ("pixels", "syntax", "expected"),
    [
        (ow(64), EXPLICIT, ""),
        (ow(66), EXPLICIT, ""),
        (ow(64) + PADDING, EXPLICIT, ""),
        (encapsulated(b"frame!"), JPEG_BASELINE, ""),
        (encapsulated(b"frame!") + PADDING, JPEG_BASELINE, ""),
        (PADDING, EXPLICIT, "it has no Pixel Data (7FE0,0010)"),
        (ow(50), EXPLICIT, "its Pixel Data (7FE0,0010) has 50 of 64 bytes"),
        (ow(50) + PADDING, EXPLICIT, "its Pixel Data (7FE0,0010) has 50 of 64 bytes"),
        (ow(0), EXPLICIT, "its Pixel Data (7FE0,0010) has 0 of 64 bytes"),
        (encapsulated(b"frame!"), EXPLICIT, "is encapsulated, but its transfer syntax is native"),
        (ow(64), JPEG_BASELINE, "is native, but its transfer syntax is encapsulated"),
    ],
)
@pytest.mark.parametrize("head", [1 << 16, 300])
def test_pixel_data_that_are_not_as_announced_are_a_fault(
    pixels: bytes, syntax: str, expected: str, head: int
) -> None:
    sample = instance(pixels=pixels)
    outcome = index(sample.data_set, syntax, head).header.pixel_fault
    assert expected in outcome
    assert bool(expected) == bool(outcome)


def test_an_image_without_pixel_data_has_a_fault_and_another_instance_has_not() -> None:
    sample = instance()
    without = sample.data_set[: sample.data_set.index(struct.pack("<HH", 0x7FE0, 0x0010))]
    assert fault(without) == "it has no Pixel Data (7FE0,0010)"
    other = instance(sop_class_uid=HANGING_PROTOCOL)
    assert fault(other.data_set.replace(ow(64), b"")) == ""


@pytest.mark.parametrize("value", [None, b"", b"\0\0"])
def test_an_image_without_rows_has_a_fault(value: bytes | None) -> None:
    sample = instance()
    changed = b"" if value is None else encode(0x00280010, b"US", value)
    data = sample.data_set.replace(encode(0x00280010, b"US", b"\1\0"), changed)
    assert fault(data) == "Rows (0028,0010) missing or 0"


def test_no_real_image_has_a_fault(real_studies: RealStudies) -> None:
    for path in (*real_studies.patients, *real_studies.transfer_syntaxes.values()):
        assert index_file(path).header.pixel_fault == "", path.name


# --- repairs -------------------------------------------------------------------------------------


def in_implicit_vr(tail: bytes = b"") -> bytes:
    from pydicom import dcmread

    data_set = dcmread(io.BytesIO(instance().data_set), force=True)
    target = io.BytesIO()
    data_set.save_as(target, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return target.getvalue() + tail


@given(
    zeros=st.integers(1, 5000),
    syntax=st.sampled_from([EXPLICIT, IMPLICIT]),
    head=st.sampled_from([1 << 16, 350]),
)
@settings(max_examples=60, deadline=None)
def test_zeros_behind_a_data_set_are_no_part_of_it(zeros: int, syntax: str, head: int) -> None:
    data = instance().data_set if syntax == EXPLICIT else in_implicit_vr()
    whole = index(data, syntax)
    assert whole.repair is None
    padded = index(data + bytes(zeros), syntax, head)
    assert padded.header == whole.header
    assert padded.repair == Repair(padding=zeros)
    content = data + bytes(zeros)
    chunks = (content[start : start + 77] for start in range(0, len(content), 77))
    assert b"".join(repaired(chunks, len(content), padded.repair)) == data


@pytest.mark.parametrize("zeros", [0, 1, 6])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_an_odd_last_length_is_made_even(zeros: int, syntax: str) -> None:
    even = instance(size=64).data_set if syntax == EXPLICIT else in_implicit_vr()
    assert even.endswith(bytes(64))
    length = even.rindex(struct.pack("<L", 64))
    odd = even[:length] + struct.pack("<L", 63) + even[length + 4 : -1] + bytes(zeros)
    outcome = index(odd, syntax)
    assert outcome.repair == Repair(zeros, (length, struct.pack("<L", 64)))
    assert "63 of 64" in outcome.header.pixel_fault
    content = b"".join(repaired(iter([odd]), len(odd), outcome.repair))
    assert content == even[:-1] + b"\0"
    assert index(content, syntax).repair is None


@given(length=st.integers(0, 400).map(lambda half: 2 * half + 1), chunk=st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_any_odd_length_is_made_even_however_the_bytes_come(length: int, chunk: int) -> None:
    head = instance().data_set[: -64 - 12]
    odd = head + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, length) + b"\1" * length
    outcome = index(odd)
    chunks = (odd[start : start + chunk] for start in range(0, len(odd), chunk))
    even = b"".join(repaired(chunks, len(odd), outcome.repair))
    assert even == head + encode(PIXEL_DATA, b"OW", b"\1" * length)


def test_bytes_other_than_zero_behind_a_data_set_are_refused() -> None:
    with pytest.raises(Unreadable):
        index(instance().data_set + bytes(20) + b"\1\0")


@pytest.mark.parametrize("tag", [0x00020010, 0x00000002])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_data_set_with_group_0000_or_0002_is_refused(tag: int, syntax: str) -> None:
    value = b"1.2.840.10008.1.2.4.70"
    data = instance().data_set if syntax == EXPLICIT else in_implicit_vr()
    element = encode(tag, b"UI", value)
    if syntax == IMPLICIT:
        element = struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
    with pytest.raises(Unreadable, match="not of a data set"):
        index(element + data, syntax)


def test_a_padded_file_is_indexed_like_a_whole_one(tmp_path: Path) -> None:
    data = instance().data_set
    (tmp_path / "1").write_bytes(data)
    (tmp_path / "2").write_bytes(data + bytes(2048))
    whole, padded = index_file(tmp_path / "1"), index_file(tmp_path / "2")
    assert whole.header == padded.header
    assert whole.repair is None
    assert padded.repair == Repair(2048)
