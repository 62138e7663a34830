"""What the header index finds wrong with images, and what it repairs."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.dicom_elements import encode, encode_item, scan
from burnish.errors import Unreadable
from burnish.instance_header import instance_faults
from burnish.instance_header.header import (
    IndexedDataSet,
    Repair,
    index_data_set,
    index_file,
    repaired,
)
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
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
    return index(data, syntax).header.fault


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
        (ow(50), EXPLICIT, "Pixel Data (7FE0,0010) has 50 bytes, where 64 are required"),
        (
            ow(50) + PADDING,
            EXPLICIT,
            "Pixel Data (7FE0,0010) has 50 bytes, where 64 are required",
        ),
        (ow(0), EXPLICIT, "Pixel Data (7FE0,0010) has 0 bytes, where 64 are required"),
        (
            encapsulated(b"frame!"),
            EXPLICIT,
            "encapsulated, where its transfer syntax requires native",
        ),
        (ow(64), JPEG_BASELINE, "is native, where its transfer syntax requires encapsulated"),
    ],
)
@pytest.mark.parametrize("head", [1 << 16, 300])
def test_pixel_data_that_are_not_as_announced_are_a_fault(
    pixels: bytes, syntax: str, expected: str, head: int
) -> None:
    sample = instance(pixels=pixels)
    outcome = instance_faults.known(index(sample.data_set, syntax, head).header.fault)
    assert expected in outcome
    assert bool(expected) == bool(outcome)


def test_an_image_without_pixel_data_has_a_fault_and_another_instance_has_not() -> None:
    sample = instance()
    without = sample.data_set[: sample.data_set.index(struct.pack("<HH", 0x7FE0, 0x0010))]
    assert fault(without) == "it has no Pixel Data (7FE0,0010)"
    other = instance(sop_class_uid=HANGING_PROTOCOL)
    assert fault(other.data_set.replace(ow(64), b"")) == ""


@pytest.mark.parametrize(
    ("value", "state"), [(None, "missing or empty"), (b"", "missing or empty"), (b"\0\0", "0")]
)
def test_an_image_without_rows_has_a_fault(value: bytes | None, state: str) -> None:
    sample = instance()
    changed = b"" if value is None else encode(0x00280010, b"US", value)
    data = sample.data_set.replace(encode(0x00280010, b"US", b"\1\0"), changed)
    assert fault(data) == f"its Rows (0028,0010) is {state}, where Pixel Data requires a value"


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (0x00280002, "Samples per Pixel (0028,0002)"),
        (0x00280004, "Photometric Interpretation (0028,0004)"),
        (0x00280100, "Bits Allocated (0028,0100)"),
        (0x00280101, "Bits Stored (0028,0101)"),
        (0x00280102, "High Bit (0028,0102)"),
    ],
)
def test_an_image_without_a_required_attribute_has_a_fault(tag: int, name: str) -> None:
    data = instance().data_set
    [element] = [e for e in scan(data, 0, len(data), explicit=True) if e.tag == tag]
    without = data[: element.start] + data[element.end :]
    assert fault(without) == f"its {name} is missing or empty, where Pixel Data requires a value"


def test_more_bits_stored_than_allocated_are_a_fault() -> None:
    data = instance().data_set.replace(
        encode(0x00280101, b"US", b"\x08\0"), encode(0x00280101, b"US", b"\x0c\0")
    )
    assert fault(data) == (
        "its Bits Stored (0028,0101) is 12, more than its Bits Allocated (0028,0100) of 8"
    )


# --- elements ------------------------------------------------------------------------------------

TWICE = "its data set has Study ID (0020,0010) twice"
ORDER = "its Study ID (0020,0010) comes behind an element of a higher tag (kept as it is)"
LENGTH = "its Study ID (0020,0010) has 3 bytes, where lengths are even (kept as it is)"


def with_elements(data: bytes, behind: int, *added: bytes, explicit: bool = True) -> bytes:
    """A data set with more elements behind the one with the tag `behind`."""
    [element] = [e for e in scan(data, 0, len(data), explicit=explicit) if e.tag == behind]
    return data[: element.end] + b"".join(added) + data[element.end :]


@pytest.mark.parametrize(
    ("behind", "length", "expected"),
    [
        (0x00200010, 2, TWICE),
        (0x00200011, 2, ORDER),
        (PIXEL_DATA, 2, ORDER),
        (0x0020000E, 3, LENGTH),
    ],
)
@pytest.mark.parametrize("head", [1 << 16, 600, 400, 100])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_elements_that_break_the_rules_are_a_fault(
    syntax: str, head: int, behind: int, length: int, expected: str
) -> None:
    explicit = syntax == EXPLICIT
    data = instance(size=700).data_set if explicit else in_implicit_vr()
    added = struct.pack("<HH", 0x0020, 0x0010)
    added += struct.pack("<2sH", b"SH", length) if explicit else struct.pack("<L", length)
    added += bytes(length)
    if expected == LENGTH:  # Study ID is already there, so it is replaced
        [element] = [e for e in scan(data, 0, len(data), explicit=explicit) if e.tag == 0x00200010]
        data = data[: element.start] + data[element.end :]
    outcome = index(with_elements(data, behind, added, explicit=explicit), syntax, head)
    known = instance_faults.known(outcome.header.fault)
    assert known == expected
    assert instance_faults.prevents_media(known) == (expected == TWICE)
    assert outcome.repair is None or expected == LENGTH


def test_disorder_behind_zeros_or_in_a_repaired_length_is_no_fault() -> None:
    odd = instance(size=64).data_set[:-1]
    length = odd.rindex(struct.pack("<L", 64))
    odd = odd[:length] + struct.pack("<L", 63) + odd[length + 4 :]
    assert "lengths are even" not in fault(odd)
    assert fault(instance().data_set + bytes(20)) == ""


def test_elements_out_of_order_within_items_are_no_concern_of_the_top_level() -> None:
    item = encode_item(encode(0x00080100, b"SH", b"A") + encode(0x00080102, b"SH", b"B"))
    data = with_elements(instance().data_set, 0x00080060, encode(0x00081032, b"SQ", item * 2))
    assert fault(data) == instance_faults.UNEXAMINED


# --- Big Endian, deflated ------------------------------------------------------------------------


def in_syntax(syntax: str, *, pixels: bool = True) -> bytes:
    from pydicom import dcmread, dcmwrite

    data_set = dcmread(io.BytesIO(instance().data_set), force=True)
    if not pixels:
        del data_set.PixelData
    target = io.BytesIO()
    if syntax == EXPLICIT_VR_BIG_ENDIAN:
        dcmwrite(target, data_set, implicit_vr=False, little_endian=False, force_encoding=True)
        return target.getvalue()
    data_set.save_as(target, implicit_vr=False, little_endian=True, enforce_file_format=False)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(target.getvalue()) + deflater.flush()
    return deflated + bytes(len(deflated) % 2)


@pytest.mark.parametrize("zeros", [2, 512, 2048])
@pytest.mark.parametrize("syntax", [EXPLICIT_VR_BIG_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN])
@pytest.mark.parametrize("pixels", [True, False])
def test_zeros_behind_a_data_set_in_any_transfer_syntax_are_removed(
    syntax: str, zeros: int, pixels: bool
) -> None:
    data = in_syntax(syntax, pixels=pixels)
    whole = index(data, syntax)
    assert whole.repair is None
    padded = index(data + bytes(zeros), syntax)
    assert padded.header == whole.header
    assert padded.repair == Repair(padding=zeros)


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (b"  " * 32, r"64 bytes behind Pixel Data \(7FE0,0010\) are not an element"),
        (b"\r\n", r"2 bytes behind Pixel Data \(7FE0,0010\) are not an element"),
        (bytes(70_000), "more than 65536 zero bytes follow the data set"),
    ],
)
def test_bytes_behind_the_data_set_that_are_no_element_are_named_by_their_place(
    behind: bytes, expected: str
) -> None:
    with pytest.raises(Unreadable, match=expected):
        index(instance().data_set + behind, EXPLICIT_VR_LITTLE_ENDIAN)


def test_zeros_inside_of_what_is_deflated_are_refused() -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(instance().data_set + bytes(64)) + deflater.flush()
    with pytest.raises(Unreadable, match="zeros follow"):
        index(deflated, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_BIG_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN])
def test_elements_of_files_are_refused_in_any_transfer_syntax(syntax: str) -> None:
    data = in_syntax(EXPLICIT_VR_BIG_ENDIAN)
    data = b"\0\2\0\x10UI\0\4" + b"1.2\0" + data
    if syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        stale = b"\2\0\x10\0UI\4\0" + b"1.2\0" + instance().data_set
        data = deflater.compress(stale) + deflater.flush()
    with pytest.raises(Unreadable, match="0002,0010"):
        index(data, syntax)


def test_no_real_image_has_a_fault(real_studies: RealStudies) -> None:
    for path in (*real_studies.patients, *real_studies.transfer_syntaxes.values()):
        assert instance_faults.known(index_file(path).header.fault) == "", path.name


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
    assert "63 bytes, where 64" in outcome.header.fault
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
