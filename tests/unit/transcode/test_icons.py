"""Icons: which are permitted in a record, and those made from images."""

import struct
from pathlib import Path

import numpy as np
import pytest

import material
from burnish.application_profiles import PROFILES
from burnish.application_profiles.icon import acceptable, read
from burnish.dicom_elements import encode, items, scan
from burnish.dicomdir.profile_keys import choose_icon, header_on_media, icon_rule, record_keys
from burnish.file_slice import Slice
from burnish.transcode import icons
from factories import header


def item(pixels: int = 64, **changed: bytes) -> bytes:
    def us(number: int) -> bytes:
        return struct.pack("<H", number)

    elements = {
        0x00280002: (b"US", us(1)),
        0x00280004: (b"CS", changed.get("kind", b"MONOCHROME2")),
        0x00280010: (b"US", us(pixels)),
        0x00280011: (b"US", us(pixels)),
        0x00280100: (b"US", changed.get("allocated", us(8))),
        0x00280101: (b"US", us(8)),
        0x00280102: (b"US", us(7)),
        0x00280103: (b"US", us(0)),
        0x7FE00010: (b"OW", changed.get("data", bytes(pixels * pixels))),
    }
    return b"".join(encode(tag, *element) for tag, element in elements.items())


def test_an_icon_has_one_plane_of_eight_bits() -> None:
    assert acceptable(item(), None)
    assert read(item()) == (64, 64, 8, "MONOCHROME2", True)
    for wrong in (
        item(kind=b"RGB"),
        item(allocated=b"\x10\0"),
        item(data=bytes(64)),
        item(pixels=300),
        item()[:-1],
        b"damaged",
        b"",
    ):
        assert not acceptable(wrong, None)


def test_a_profile_determines_the_size() -> None:
    rule = PROFILES["STD-XABC-CD"].icon
    assert not acceptable(item(64), rule)
    assert acceptable(item(128), rule)
    assert not acceptable(item(128, kind=b"PALETTE COLOR"), rule)


def test_the_icon_of_the_scu_is_preferred() -> None:
    supplied, computed = item(64), item(64, kind=b"MONOCHROME1")
    assert choose_icon("IMAGE", supplied, computed, None) == supplied
    assert choose_icon("IMAGE", b"damaged", computed, None) == computed
    assert choose_icon("IMAGE", None, b"", None) == b""
    assert choose_icon("SR DOCUMENT", supplied, computed, None) == b""


def test_the_header_on_media_has_the_icon_and_the_type_2_keys() -> None:
    plain = header()
    assert header_on_media(plain, "STD-GEN-DVD-JPEG") == plain
    icon = item(128)
    on_media = header_on_media(plain, "STD-XABC-CD", supplied_icon=icon)
    elements = {
        e.tag: e for e in scan(on_media.record_keys, 0, len(on_media.record_keys), explicit=True)
    }
    assert list(elements) == sorted(elements)
    assert elements[0x00500004].length == 0
    [(start, end)] = items(
        on_media.record_keys, elements[0x00880200].value, elements[0x00880200].end, explicit=True
    )
    assert on_media.record_keys[start:end] == icon
    patient_and_series = record_keys("STD-XABC-CD").by_record
    tags = {key.tag for name in ("PATIENT", "SERIES") for key in patient_and_series[name]}
    assert {0x00100030, 0x00100040, 0x00080080, 0x00080081, 0x00081050} <= tags
    assert icon_rule("STD-GEN-CD+STD-XABC-CD") is PROFILES["STD-XABC-CD"].icon


@pytest.mark.parametrize("pixels", [64, 128])
@pytest.mark.parametrize(
    "name",
    [
        *("CT_small.dcm", "examples_palette.dcm", "examples_rgb_color.dcm", "JPEG2000.dcm"),
        *("SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm", "liver_1frame.dcm"),
    ],
)
def test_icons_of_real_images(name: str, pixels: int, real_studies: material.RealStudies) -> None:
    icon = icons.make_icon(Slice.of_file(real_studies.file(name)), pixels)
    assert acceptable(icon, None)
    assert read(icon)[:2] == (pixels, pixels)
    shown = np.frombuffer(icon[-pixels * pixels :], np.uint8)
    assert shown.min() < 64
    assert shown.max() > 128


@pytest.mark.parametrize("name", ["test-SR.dcm", "MR_truncated.dcm", "waveform_ecg.dcm"])
def test_a_file_that_is_not_an_image_has_no_icon(
    name: str, real_studies: material.RealStudies
) -> None:
    assert icons.make_icon(Slice.of_file(real_studies.file(name)), 64) == b""


def test_a_missing_file_has_no_icon(tmp_path: Path) -> None:
    assert icons.make_icon(Slice(str(tmp_path / "gone"), 0, 1000), 64) == b""


@pytest.mark.parametrize("damage", ["inflating", "group length"])
def test_a_damaged_file_has_no_icon(
    tmp_path: Path, real_studies: material.RealStudies, damage: str
) -> None:
    name = "image_dfl.dcm" if damage == "inflating" else "CT_small.dcm"
    data = bytearray(real_studies.file(name).read_bytes())
    if damage == "inflating":
        data[400:420] = b"\xff" * 20
    else:
        data[138] = 6  # the length of (0002,0000)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    assert icons.make_icon(Slice.of_file(path), 64) == b""
