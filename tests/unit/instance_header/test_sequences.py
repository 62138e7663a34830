"""What is wrong within sequences is found before media are made, as verification finds it."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.dicom_elements import LONG_VRS, UNDEFINED_LENGTH
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Layout, layout
from burnish.file_slice import Slice
from burnish.instance_header import instance_faults
from burnish.instance_header.examination import examine
from burnish.instance_header.header import index_file
from burnish.instance_header.inflated import InflatedBytes
from burnish.values import VolumeReport
from burnish.verify import examine_volume
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
)
from factories import encapsulated
from made_codestreams import jpeg_2000
from made_volume import SECONDARY_CAPTURE, SampleVolume, file_meta

NAME = "DICOM\\I0"
UID = "1.2.9.0"
REFERENCED_IMAGES, PURPOSES = 0x00081140, 0x0040A170
PRIVATE_SEQUENCE = 0x00091010
PATH = "its Referenced Image Sequence (0008,1140)"
SYNTAXES = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
)


class Encoder:
    """Encodes elements, items and delimiters in one transfer syntax, also wrong ones."""

    def __init__(self, encoding: Layout) -> None:
        self._explicit = encoding.explicit
        self._order = ">" if encoding.big_endian else "<"

    def element(self, tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
        """An element; `length` is what its header says instead of the length of its value."""
        if vr == b"US" and self._order == ">":
            value = value[::-1]
        count = len(value) if length is None else length
        head = struct.pack(f"{self._order}HH", tag >> 16, tag & 0xFFFF)
        if not self._explicit:
            head += struct.pack(f"{self._order}L", count)
        elif vr in LONG_VRS:
            head += vr + bytes(2) + struct.pack(f"{self._order}L", count)
        else:
            head += vr + struct.pack(f"{self._order}H", count)
        return head + value

    def item(self, content: bytes, *, length: int | None = None, undefined: bool = False) -> bytes:
        if undefined:
            return self._tag(0xE000, UNDEFINED_LENGTH) + content + self._tag(0xE00D, 0)
        return self._tag(0xE000, len(content) if length is None else length) + content

    def sequence(
        self, tag: int, content: bytes, *, undefined: bool = False, vr: bytes = b"SQ"
    ) -> bytes:
        if undefined:
            delimiter = self._tag(0xE0DD, 0)
            return self.element(tag, vr, content + delimiter, length=UNDEFINED_LENGTH)
        return self.element(tag, vr, content)

    def delimiter(self, number: int, length: int = 0) -> bytes:
        return self._tag(number, length)

    def _tag(self, number: int, length: int) -> bytes:
        return struct.pack(f"{self._order}HHL", 0xFFFE, number, length)


def encoder(syntax: str) -> Encoder:
    return Encoder(layout(syntax))


def data_set(syntax: str, *sequences: bytes) -> bytes:
    """A small image, with elements between its UIDs and its patient."""
    encode = encoder(syntax).element
    elements = [
        encode(0x00080016, b"UI", SECONDARY_CAPTURE.encode() + b"\0"),
        encode(0x00080018, b"UI", UID.encode() + b"\0"),
        *sequences,
        encode(0x00100010, b"PN", b"Doe^J\0"),
        encode(0x00280002, b"US", b"\1\0"),
        encode(0x00280004, b"CS", b"MONOCHROME2 "),
        encode(0x00280010, b"US", b"\4\0"),
        encode(0x00280011, b"US", b"\4\0"),
        encode(0x00280100, b"US", b"\x10\0"),
        encode(0x00280101, b"US", b"\x0c\0"),
        encode(0x00280102, b"US", b"\x0b\0"),
        encode(0x00280103, b"US", b"\0\0"),
    ]
    if syntax == JPEG_2000:
        elements.append(encapsulated(jpeg_2000(4, 4, 12)))
    else:
        elements.append(encode(0x7FE00010, b"OW", bytes(32)))
    data = b"".join(elements)
    if syntax != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return data
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    return deflated + bytes(len(deflated) % 2)


class Verdicts(NamedTuple):
    """What reception says, None if it takes the instance; then examination, and verification."""

    refusal: str | None
    fault: str
    report: VolumeReport


def judged(folder: Path, syntax: str, *sequences: bytes) -> Verdicts:
    data = file_meta(SECONDARY_CAPTURE, UID, syntax) + data_set(syntax, *sequences)
    sample = SampleVolume()
    sample.files[NAME] = data
    sample.at(0, 0, 0, 0).set(0x00041512, b"UI", syntax)
    report = examine_volume(sample.volume())
    path = folder / "instance.dcm"
    path.write_bytes(data)
    try:
        index_file(path)
    except Unreadable as error:
        return Verdicts(str(error), "", report)
    return Verdicts(None, examine(Slice.of_file(path)), report)


def assert_agreement(verdicts: Verdicts) -> None:
    """What goes on media without a word has no fault there, and the words are the same."""
    if verdicts.refusal is not None:
        return
    faults = [fault.message for fault in verdicts.report.faults]
    prevented = instance_faults.prevents_media(verdicts.fault)
    assert prevented == bool(faults), (verdicts.fault, faults)
    for text in faults:
        assert text in verdicts.fault
    for note in verdicts.report.notes:
        if note.message.endswith(instance_faults.KEPT):
            assert instance_faults.KEPT in verdicts.fault


# --- kinds of damage -----------------------------------------------------------------------------


def reference(syntax: str) -> bytes:
    encode = encoder(syntax).element
    return encode(0x00081150, b"UI", b"1.2\0") + encode(0x00081155, b"UI", b"1.2.3\0")


def damage(kind: str, syntax: str) -> tuple[bytes, str]:
    """The Referenced Image Sequence with damage of a kind, and how the damage is named."""
    writer = encoder(syntax)
    content = reference(syntax)
    size = len(content)
    item, purposes = writer.item, f"{PATH}, item 1, Purpose of Reference Code Sequence (0040,A170)"
    frames = writer.element(0x00081160, b"IS", b"1 ", length=22)
    too_long = "Referenced Frame Number (0008,1160) should have 22 bytes, of which 2 are there"
    open_item = writer.sequence(PURPOSES, writer.item(b"", length=UNDEFINED_LENGTH))
    deep = item(content, length=size + 2)
    for _ in range(5):
        deep = item(writer.sequence(PURPOSES, deep))
    too_deep = b""
    for _ in range(70):
        too_deep = item(writer.sequence(PURPOSES, too_deep))
    items, text = {
        "item cut off": (
            item(content)[:-6],
            f"{PATH}: item 1 should have {size} bytes, of which {size - 6} are there",
        ),
        "item longer than its sequence": (
            item(content) + item(content, length=size + 40),
            f"{PATH}: item 2 should have {size + 40} bytes, of which {size} are there",
        ),
        "element longer than its item": (
            item(content + frames),
            f"{PATH}, item 1: {too_long}",
        ),
        "element longer than its item, undefined lengths": (
            item(content, undefined=True) + item(frames),
            f"{PATH}, item 2: {too_long}",
        ),
        "no item": (
            content,
            f"{PATH}: Referenced SOP Class UID (0008,1150) is where an item should begin",
        ),
        "rubbish behind the items": (
            item(content) + b"abcdef",
            f"{PATH}: its last 6 bytes are no element",
        ),
        "delimiter of the sequence within an item": (
            item(content + writer.delimiter(0xE0DD)),
            f"{PATH}, item 1: Sequence Delimitation Item (FFFE,E0DD) is where it must not be",
        ),
        "delimiter of an item missing": (
            item(content + open_item),
            f"{purposes}, item 1: its delimiter is missing",
        ),
        "deep": (
            deep,
            f"{purposes}, item 1, ..., item 1, Purpose of Reference Code Sequence (0040,A170),"
            " item 1, Purpose of Reference Code Sequence (0040,A170):"
            f" item 1 should have {size + 2} bytes, of which {size} are there",
        ),
        "too deep": (too_deep, "sequences are nested more than 64 deep"),
    }[kind]
    undefined = kind.endswith("undefined lengths")
    return writer.sequence(REFERENCED_IMAGES, items, undefined=undefined), text


KINDS = (
    "item cut off",
    "item longer than its sequence",
    "element longer than its item",
    "element longer than its item, undefined lengths",
    "no item",
    "rubbish behind the items",
    "delimiter of the sequence within an item",
    "delimiter of an item missing",
    "deep",
    "too deep",
)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_within_a_sequence_is_named_with_its_path(
    tmp_path: Path, kind: str, syntax: str
) -> None:
    element, text = damage(kind, syntax)
    verdicts = judged(tmp_path, syntax, element)
    if syntax == EXPLICIT_VR_BIG_ENDIAN:
        # it is converted when it is received, and refused there
        assert verdicts.refusal
        return
    assert verdicts.refusal is None
    assert instance_faults.prevents_media(verdicts.fault)
    assert text in verdicts.fault
    assert_agreement(verdicts)


@pytest.mark.parametrize("vr", [b"OB", b"OW", b"UT", b"UC"])
@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000])
@pytest.mark.parametrize("nested", [False, True])
def test_an_undefined_length_that_its_vr_does_not_permit_is_damage(
    tmp_path: Path, syntax: str, vr: bytes, nested: bool
) -> None:
    """Other readers do not read on behind it."""
    writer = encoder(syntax)
    element = writer.sequence(0x00091140, writer.item(b"abcd"), undefined=True, vr=vr)
    if nested:
        element = writer.sequence(REFERENCED_IMAGES, writer.item(element, undefined=True))
    verdicts = judged(tmp_path, syntax, element)
    if verdicts.refusal is None:
        name = vr.decode()
        assert f"(0009,1140) has undefined length, which VR {name} does not" in verdicts.fault
    assert_agreement(verdicts)


@pytest.mark.parametrize("vr", [b"XX", b"\0\0", b"s1"])
def test_an_element_without_a_known_vr_is_damage(tmp_path: Path, vr: bytes) -> None:
    writer = encoder(EXPLICIT_VR_LITTLE_ENDIAN)
    element = writer.element(0x00080100, vr, b"abcd")
    sequence = writer.sequence(REFERENCED_IMAGES, writer.item(element))
    verdicts = judged(tmp_path, EXPLICIT_VR_LITTLE_ENDIAN, sequence)
    assert f"{PATH}, item 1: Code Value (0008,0100) has no Value Rep" in verdicts.fault
    assert_agreement(verdicts)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_readers_pass_over_within_a_sequence_is_told_and_kept(
    tmp_path: Path, syntax: str
) -> None:
    writer = encoder(syntax)
    twice = writer.element(0x00081155, b"UI", b"1.2.3\0")
    items = (
        writer.item(reference(syntax) + twice),
        writer.item(reference(syntax), undefined=True)[:-4] + b"\4\0\0\0",
        writer.item(writer.element(0x00020010, b"UI", b"1.2\0")),
        writer.item(writer.element(0x00080100, b"SH", b"abc")),
    )
    for item in items:
        verdicts = judged(tmp_path, syntax, writer.sequence(REFERENCED_IMAGES, item))
        if verdicts.refusal is None:
            assert instance_faults.is_kept(verdicts.fault)
            assert PATH in verdicts.fault
        assert_agreement(verdicts)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_without_damage_have_no_fault(
    tmp_path: Path, syntax: str, undefined: bool
) -> None:
    writer = encoder(syntax)
    empty = writer.sequence(PURPOSES, b"", undefined=undefined)
    item = writer.item(reference(syntax) + empty, undefined=undefined)
    pixels = writer.element(0x00280010, b"US", b"\4\0") + writer.element(
        0x7FE00010, b"OW", bytes(8)
    )
    icon = writer.sequence(0x00080200, writer.item(pixels), undefined=undefined)
    sequence = writer.sequence(REFERENCED_IMAGES, item * 3, undefined=undefined)
    verdicts = judged(tmp_path, syntax, icon + sequence)
    assert verdicts.refusal is None
    assert verdicts.fault == ""
    assert verdicts.report.good


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000])
def test_items_of_a_private_sequence_in_vr_un_are_in_implicit_vr(
    tmp_path: Path, syntax: str
) -> None:
    writer, implicit = encoder(syntax), encoder(IMPLICIT_VR_LITTLE_ENDIAN)
    creator = writer.element(0x00090010, b"LO", b"ACME")
    item = implicit.item(implicit.element(0x00080100, b"SH", b"abcd"), undefined=True)
    verdicts = judged(
        tmp_path, syntax, creator, writer.sequence(PRIVATE_SEQUENCE, item, undefined=True, vr=b"UN")
    )
    assert verdicts.fault == ""
    assert verdicts.report.good
    broken = implicit.item(implicit.element(0x00080100, b"SH", b"abcd", length=90))
    broken = writer.sequence(PRIVATE_SEQUENCE, broken, undefined=True, vr=b"UN")
    verdicts = judged(tmp_path, syntax, creator, broken)
    assert "its (0009,1010), item 1: Code Value (0008,0100) should have 90 bytes" in verdicts.fault
    assert_agreement(verdicts)


# --- anything ------------------------------------------------------------------------------------


@st.composite
def items_of_sequences(draw: st.DrawFn, writer: Encoder, depth: int = 3) -> bytes:
    """The items of one sequence, with elements and sequences in them."""
    items = []
    for _ in range(draw(st.integers(0, 3))):
        content = writer.element(0x00080100, b"SH", draw(st.sampled_from((b"", b"ab", b"abcdef"))))
        if depth and draw(st.booleans()):
            inner = draw(items_of_sequences(writer, depth - 1))
            content += writer.sequence(PURPOSES, inner, undefined=draw(st.booleans()))
        if draw(st.booleans()):
            content += writer.element(0x0040A171, b"UI", b"1.2\0")
        items.append(writer.item(content, undefined=draw(st.booleans())))
    return b"".join(items)


@st.composite
def damaged_sequences(draw: st.DrawFn) -> tuple[str, bytes]:
    """A transfer syntax, and a sequence of which some bytes were changed, taken out or added."""
    syntax = draw(st.sampled_from(SYNTAXES))
    writer = encoder(syntax)
    items = bytearray(draw(items_of_sequences(writer)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(items)))
        count = draw(st.sampled_from((0, 1, 2, 8)))
        items[at : at + count] = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    (
                        writer.delimiter(0xE0DD),
                        writer.delimiter(0xE00D),
                        writer.item(b""),
                        b"\xff" * 4,
                    )
                ),
            )
        )
    return syntax, writer.sequence(REFERENCED_IMAGES, bytes(items), undefined=draw(st.booleans()))


@given(damaged_sequences())
@example((EXPLICIT_VR_LITTLE_ENDIAN, Encoder(Layout(True, False)).sequence(0x00081140, b"a" * 9)))
def test_service_and_verification_judge_each_sequence_alike(
    tmp_path_factory: pytest.TempPathFactory, damaged: tuple[str, bytes]
) -> None:
    syntax, sequence = damaged
    assert_agreement(judged(tmp_path_factory.getbasetemp(), syntax, sequence))


@given(st.binary(max_size=1 << 18), st.lists(st.integers(0, 1 << 18), max_size=8))
def test_inflated_bytes_are_read_at_any_offset(data: bytes, offsets: Sequence[int]) -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    inflated = InflatedBytes(io.BytesIO(b"head" + deflated), 4, len(deflated))
    assert inflated.size == len(data)
    for offset in offsets:
        if offset <= len(data):
            assert inflated.read(offset, 99) == data[offset : offset + 99]
