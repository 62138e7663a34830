"""The data sets of files are checked: their elements, and the length of their pixel data."""

import struct

import pytest

from burnish.dicom_elements import encode, encode_item
from burnish.instance_header import data_set_walk
from burnish.values import VolumeReport
from burnish.verify import FaultCode, examine_volume
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, JPEG_2000
from factories import encapsulated
from made_codestreams import jpeg_2000
from made_volume import SECONDARY_CAPTURE, SampleVolume, file_meta

NAME = "DICOM\\I0"
ELEMENTS = {
    0x00080016: encode(0x00080016, b"UI", SECONDARY_CAPTURE.encode()),
    0x00080018: encode(0x00080018, b"UI", b"1.2.9.0"),
    0x00100010: encode(0x00100010, b"PN", b"Doe^J"),
    0x00280002: encode(0x00280002, b"US", b"\1\0"),
    0x00280004: encode(0x00280004, b"CS", b"MONOCHROME2"),
    0x00280010: encode(0x00280010, b"US", b"\4\0"),
    0x00280011: encode(0x00280011, b"US", b"\4\0"),
    0x00280100: encode(0x00280100, b"US", b"\x10\0"),
    0x00280101: encode(0x00280101, b"US", b"\x0c\0"),
    0x00280102: encode(0x00280102, b"US", b"\x0b\0"),
    0x00280103: encode(0x00280103, b"US", b"\0\0"),
    0x7FE00010: encode(0x7FE00010, b"OW", bytes(32)),
}
WHOLE = b"".join(ELEMENTS.values())
BEFORE_PIXELS = b"".join(list(ELEMENTS.values())[:-1])
FRAMES = encode(0x00280008, b"IS", b"2")


def examined(data_set: bytes, transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN) -> VolumeReport:
    sample = SampleVolume()
    sample.files[NAME] = file_meta(SECONDARY_CAPTURE, "1.2.9.0", transfer_syntax) + data_set
    sample.at(0, 0, 0, 0).set(0x00041512, b"UI", transfer_syntax)
    return examine_volume(sample.volume())


def pixels(length: int) -> bytes:
    """Pixel Data of a length that may be odd."""
    return struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, length) + bytes(length)


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


IMPLICIT = (
    implicit(0x00080016, SECONDARY_CAPTURE.encode() + b"\0")
    + implicit(0x00080018, b"1.2.9.0\0")
    + implicit(0x00100010, b"Doe^J\0")
    + implicit(0x00280002, b"\1\0")
    + implicit(0x00280004, b"MONOCHROME2 ")
    + implicit(0x00280010, b"\x20\0")
    + implicit(0x00280011, b"\1\0")
    + implicit(0x00280100, b"\x08\0")
    + implicit(0x00280101, b"\x08\0")
    + implicit(0x00280102, b"\x07\0")
    + implicit(0x00280103, b"\0\0")
    + implicit(0x7FE00010, bytes(32))
)

MALFORMED, PIXELS = FaultCode.DATA_SET_MALFORMED, FaultCode.PIXEL_DATA_WRONG
DAMAGE = {
    "group 0002 in front": (
        encode(0x00020010, b"UI", EXPLICIT_VR_LITTLE_ENDIAN.encode()) + WHOLE,
        FaultCode.FILE_META_WRONG,
        "(0002,0000)",
    ),
    "group 0002 behind": (WHOLE + encode(0x00020010, b"UI", b"1.2"), MALFORMED, "(0002,0010)"),
    "element twice": (BEFORE_PIXELS + ELEMENTS[0x00280103] + pixels(32), MALFORMED, "twice"),
    "short pixels": (BEFORE_PIXELS + pixels(30), PIXELS, "30 bytes, where 32"),
    "frames missing": (FRAMES.join((BEFORE_PIXELS, b"")) + pixels(32), PIXELS, "where 64"),
    "encapsulated": (BEFORE_PIXELS + encapsulated(bytes(32)), PIXELS, "encapsulated"),
}


def test_a_whole_data_set_has_no_fault_and_no_note() -> None:
    report = examined(WHOLE)
    assert report.faults == ()
    assert report.notes == ()
    report = examined(BEFORE_PIXELS + encapsulated(jpeg_2000(4, 4, 12)), JPEG_2000)
    assert report.faults == ()
    assert report.notes == ()
    report = examined(IMPLICIT, IMPLICIT_VR_LITTLE_ENDIAN)
    assert report.faults == ()
    assert report.notes == ()


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_named(damage: str) -> None:
    data_set, code, text = DAMAGE[damage]
    matching = [fault for fault in examined(data_set).faults if fault.code == code]
    assert [fault.where for fault in matching] == [NAME]
    assert text in matching[0].message


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (encode(0x00020010, b"UI", b"1.2"), "(0002,0010), which belongs outside"),
        (encode(0x00080100, b"SH", b"A") * 2, "Code Value (0008,0100) twice"),
    ],
)
def test_an_element_within_a_sequence_that_should_not_be_there_is_noted(
    element: bytes, text: str
) -> None:
    """Instances come onto media with it: readers show the image all the same."""
    sequence = encode(0x00081140, b"SQ", encode_item(element))
    elements = list(ELEMENTS.values())
    report = examined(b"".join([*elements[:2], sequence, *elements[2:]]))
    assert report.faults == ()
    (note,) = report.notes
    assert text in note.message
    assert "in its Referenced Image Sequence (0008,1140)" in note.message


@pytest.mark.parametrize("length", [8, 64, 2048])
def test_zeros_behind_a_data_set_are_a_fault(length: int) -> None:
    in_implicit = examined(IMPLICIT + bytes(length), IMPLICIT_VR_LITTLE_ENDIAN)
    assert {fault.code for fault in in_implicit.faults} == {MALFORMED}
    assert not examined(WHOLE + bytes(length)).good


def test_native_pixels_under_an_encapsulated_syntax_are_a_fault() -> None:
    (fault,) = examined(WHOLE, JPEG_2000).faults
    assert fault.code == PIXELS
    assert fault.where == NAME
    assert "native" in fault.message


def test_an_image_without_pixel_data_is_noted() -> None:
    """It is no fault of the volume: some archives keep headers alone."""
    report = examined(BEFORE_PIXELS)
    assert report.good
    (note,) = report.notes
    assert "Pixel Data (7FE0,0010)" in note.message


@pytest.mark.parametrize(
    "tag", [tag for tag in ELEMENTS if tag >> 16 == 0x0028 and tag != 0x00280103]
)
@pytest.mark.parametrize("value", [None, b"", b"\0\0"])
def test_each_attribute_that_describes_pixels_is_required(tag: int, value: bytes | None) -> None:
    is_text = tag == 0x00280004
    element = b"" if value is None else encode(tag, b"CS" if is_text else b"US", value)
    messages = [fault.message for fault in examined(WHOLE.replace(ELEMENTS[tag], element)).faults]
    if tag == 0x00280102 and value:
        assert [text for text in messages if "requires a value" in text] == []  # it may be 0
    else:
        name = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        assert any(name in message and "requires a value" in message for message in messages)


def test_more_bits_stored_than_allocated_are_a_fault() -> None:
    data_set = WHOLE.replace(ELEMENTS[0x00280101], encode(0x00280101, b"US", b"\x11\0"))
    (fault,) = examined(data_set).faults
    assert "Bits Stored (0028,0101) is 17" in fault.message
    assert "Bits Allocated (0028,0100) of 16" in fault.message


def test_the_number_of_fragments_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_set_walk, "_MAXIMUM_FRAGMENTS", 3)
    frames = [jpeg_2000(4, 4, 12)] * 4
    (fault,) = examined(BEFORE_PIXELS + encapsulated(*frames), JPEG_2000).faults
    assert fault.code == FaultCode.FILE_UNREADABLE
    assert "too many fragments" in fault.message


@pytest.mark.parametrize("undefined_length", [True, False])
def test_a_compressed_icon_is_not_taken_for_frames_of_the_image(undefined_length: bool) -> None:
    def described(side: int) -> bytes:
        elements = dict(list(ELEMENTS.items())[3:-1])
        for tag in (0x00280010, 0x00280011):
            elements[tag] = encode(tag, b"US", struct.pack("<H", side))
        for tag, value in ((0x00280100, b"\x08\0"), (0x00280101, b"\x08\0"), (0x00280102, b"\7\0")):
            elements[tag] = encode(tag, b"US", value)
        return b"".join(elements.values())

    def image(side: int) -> bytes:
        return described(side) + encapsulated(jpeg_2000(side, side))

    icon = image(8)
    length = 0xFFFFFFFF if undefined_length else len(icon)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, length) + icon
    if undefined_length:
        item += bytes.fromhex("fe ff 0d e0 00 00 00 00")
    sequence = encode(0x00880200, b"SQ", item)
    data_set = b"".join(list(ELEMENTS.values())[:3]) + described(4) + sequence
    data_set += encapsulated(jpeg_2000(4, 4))
    report = examined(data_set, JPEG_2000)
    assert not report.faults
    assert not report.notes


def test_video_is_named_as_not_examined() -> None:
    report = examined(BEFORE_PIXELS + encapsulated(bytes(100)), "1.2.840.10008.1.2.4.102")
    assert report.good
    assert report.not_examined == ("the video stream of 1 file",)
