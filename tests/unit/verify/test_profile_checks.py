"""Volumes are checked against a profile: each kind of fault, and its message."""

import struct

import pytest

from burnish.application_profiles import PROFILES
from burnish.dicom_elements import encode, encode_item
from burnish.media import FileSystem
from burnish.verify import FaultCode, examine_volume
from made_volume import MemoryVolume, SampleVolume
from unit.transcode.test_icons import item

IMAGE = (0, 0, 0, 0)


class VolumeOnStick(MemoryVolume):
    """A volume that knows its file system: FAT16, as on a USB stick."""

    file_system = FileSystem.FAT16


def messages_by_code(
    sample: SampleVolume, profile: str, size: int | None = None
) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {}
    for fault in examine_volume(sample.volume(), PROFILES[profile], size=size).faults:
        messages.setdefault(fault.code, []).append(f"{fault.where}: {fault.message}")
    return messages


def test_a_sop_class_that_the_profile_does_not_permit_is_a_fault() -> None:
    faults = messages_by_code(SampleVolume(), "STD-US-ID-SF-CDR")
    assert set(faults) == {FaultCode.SOP_CLASS_NOT_IN_PROFILE}
    assert len(faults[FaultCode.SOP_CLASS_NOT_IN_PROFILE]) == 4
    assert "1.2.840.10008.5.1.4.1.1.7" in faults[FaultCode.SOP_CLASS_NOT_IN_PROFILE][0]


def test_a_private_sop_class_is_in_no_standard_profile() -> None:
    """PS3.4 I.4; without a profile it is not a fault."""
    standard, private = b"1.2.840.10008.5.1.4.1.1.7", b"1.3.840.10008.5.1.4.1.1.7"
    contents = SampleVolume().volume().contents
    volume = MemoryVolume(
        {name: bytes(data).replace(standard, private) for name, data in contents.items()}
    )
    assert examine_volume(volume).good
    codes = [fault.code for fault in examine_volume(volume, PROFILES["STD-GEN-CD"]).faults]
    assert codes == [FaultCode.SOP_CLASS_NOT_IN_PROFILE] * 4


def test_an_attribute_beyond_the_limits_of_the_profile_is_a_fault() -> None:
    sample = SampleVolume()
    interpretation = encode(0x00280004, b"CS", b"MONOCHROME2")
    sample.files["DICOM\\I0"] = sample.files["DICOM\\I0"].replace(interpretation, b"")
    faults = messages_by_code(sample, "STD-CTMR-CD")
    first, *_ = faults[FaultCode.ATTRIBUTE_NOT_IN_PROFILE]
    assert first.startswith("DICOM\\I0: STD-CTMR-CD requires Photometric Interpretation")
    assert "no Photometric Interpretation" in first
    assert FaultCode.TRANSFER_SYNTAX_NOT_IN_PROFILE not in faults


def test_keys_of_type_2_may_be_empty_but_not_missing() -> None:
    sample = SampleVolume()
    assert any(
        "(0010,0030)" in fault
        for fault in messages_by_code(sample, "STD-XABC-CD")[FaultCode.PROFILE_KEY_MISSING]
    )
    for tag, vr in ((0x00100030, b"DA"), (0x00100040, b"CS")):
        sample.at(0).set(tag, vr, b"")
        sample.at(1).set(tag, vr, b"")
    faults = messages_by_code(sample, "STD-XABC-CD")[FaultCode.PROFILE_KEY_MISSING]
    assert not any("PATIENT" in fault for fault in faults)
    assert any("SERIES" in fault for fault in faults)


def test_the_profile_requires_icons_and_their_size() -> None:
    sample = SampleVolume()
    assert len(messages_by_code(sample, "STD-XABC-CD")[FaultCode.ICON_MISSING]) == 4
    sample.at(*IMAGE).set(0x00880200, b"SQ", encode_item(item(128)))
    faults = messages_by_code(sample, "STD-XABC-CD")
    assert len(faults[FaultCode.ICON_MISSING]) == 3
    assert FaultCode.ICON_INVALID not in faults
    assert FaultCode.ICON_INVALID in messages_by_code(sample, "STD-CTMR-CD")  # which has 64 x 64
    assert examine_volume(sample.volume()).good


@pytest.mark.parametrize(
    "wrong",
    [
        encode_item(item(64, kind=b"RGB")),
        encode_item(item(64)) * 2,
        encode_item(encode(0x00280010, b"US", struct.pack("<H", 64))),
    ],
)
def test_a_wrong_icon_is_a_fault_without_a_profile(wrong: bytes) -> None:
    sample = SampleVolume()
    sample.at(*IMAGE).set(0x00880200, b"SQ", wrong)
    assert [fault.code for fault in examine_volume(sample.volume()).faults] == [
        FaultCode.ICON_INVALID
    ]


def test_a_volume_larger_than_the_medium_is_a_fault() -> None:
    faults = messages_by_code(SampleVolume(), "STD-GEN-CD", size=800_000_000)
    assert set(faults) == {FaultCode.VOLUME_TOO_LARGE}
    assert "CD" in faults[FaultCode.VOLUME_TOO_LARGE][0]
    assert not messages_by_code(SampleVolume(), "STD-GEN-CD", size=700_000_000)


def test_a_file_system_that_the_profile_does_not_permit_is_a_fault() -> None:
    volume = VolumeOnStick(SampleVolume().volume().contents)
    codes = {fault.code for fault in examine_volume(volume, PROFILES["STD-GEN-CD"]).faults}
    assert codes == {FaultCode.FILE_SYSTEM_NOT_IN_PROFILE}
    codes = {fault.code for fault in examine_volume(volume, PROFILES["STD-GEN-USB-J2K"]).faults}
    assert FaultCode.FILE_SYSTEM_NOT_IN_PROFILE not in codes


def test_a_profile_may_require_secure_dicom_files() -> None:
    assert set(messages_by_code(SampleVolume(), "STD-GEN-SEC-CD")) == {FaultCode.FILE_NOT_SECURE}


def test_the_profile_for_mail_does_not_require_a_dicomdir() -> None:
    contents = dict(SampleVolume().volume().contents)
    del contents["DICOMDIR"]
    assert examine_volume(MemoryVolume(contents), PROFILES["STD-GEN-MIME"]).good
    assert not examine_volume(MemoryVolume(contents), PROFILES["STD-GEN-ZIP-MAIL"]).good
