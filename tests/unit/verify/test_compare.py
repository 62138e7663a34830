"""A written volume is compared with what was to be written on it."""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from burnish.dicom_elements import encode
from burnish.image import iso9660_writer
from burnish.image.reader import open_volume
from burnish.values import ExpectedInstance, VolumeFile, VolumeReport
from burnish.verify import FaultCode, compare_volume
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from digesting import digest_of
from made_volume import (
    FILE_SET_UID,
    SECONDARY_CAPTURE,
    MemoryVolume,
    SampleVolume,
    file_meta,
    instance,
)

WRITTEN = SampleVolume()


def _compare(
    volume: MemoryVolume,
    dicomdir: bytes | None = None,
    expected: Sequence[ExpectedInstance] = (),
) -> VolumeReport:
    return compare_volume(
        volume,
        file_set_id="TEST",
        file_set_uid=FILE_SET_UID,
        expected=expected or WRITTEN.expected(),
        dicomdir=digest_of(dicomdir or WRITTEN.dicomdir()),
    )


def test_a_volume_with_all_that_was_written_has_no_fault() -> None:
    volume = WRITTEN.volume()
    volume.contents["README.TXT"] = b"read me"
    report = _compare(volume)
    assert report.faults == ()
    assert report.instances == 4
    assert report.files == 6
    assert report.bytes_read == sum(map(len, volume.contents.values())) - len(b"read me")
    assert report.file_set_uid == FILE_SET_UID
    assert report.sha256 == ""


def _replace(name: str, change: Callable[[bytes], bytes]) -> Callable[[MemoryVolume], None]:
    def apply(volume: MemoryVolume) -> None:
        volume.contents[name] = change(volume.contents[name])

    return apply


def _flip(position: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        flipped = bytearray(data)
        flipped[position] ^= 1
        return bytes(flipped)

    return change


DAMAGE: dict[str, tuple[Callable[[MemoryVolume], object], set[FaultCode]]] = {
    "pixel": (_replace("DICOM\\I1", _flip(-1)), {FaultCode.DATA_SET_DIFFERS}),
    "UID in the File Meta Information": (
        _replace("DICOM\\I1", lambda data: data.replace(b"1.2.9.1", b"1.2.9.2", 1)),
        {FaultCode.FILE_META_WRONG, FaultCode.REFERENCED_SOP_INSTANCE_WRONG},
    ),
    "prefix": (_replace("DICOM\\I1", _flip(130)), {FaultCode.FILE_NOT_DICOM}),
    "file short": (_replace("DICOM\\I1", lambda data: data[:-2]), {FaultCode.FILE_SIZE_WRONG}),
    "file long": (_replace("DICOM\\I1", lambda data: data + b"\0"), {FaultCode.FILE_SIZE_WRONG}),
    "file gone": (lambda volume: volume.contents.pop("DICOM\\I1"), {FaultCode.FILE_MISSING}),
    "one DICOM file more": (
        lambda volume: volume.contents.update({"DICOM\\I9": instance("1.2.9.9")}),
        {FaultCode.FILE_UNEXPECTED},
    ),
    "Volume Identifier": (
        lambda volume: setattr(volume, "volume_identifier", "OTHER"),
        {FaultCode.VOLUME_IDENTIFIER_WRONG},
    ),
    "no DICOMDIR": (
        lambda volume: volume.contents.pop("DICOMDIR"),
        {FaultCode.DICOMDIR_ABSENT, FaultCode.FILE_UNREFERENCED},
    ),
    "DICOMDIR cut": (
        _replace("DICOMDIR", lambda data: data[:100]),
        {
            FaultCode.DICOMDIR_DIFFERS,
            FaultCode.DICOMDIR_UNREADABLE,
            FaultCode.FILE_UNREFERENCED,
            FaultCode.VOLUME_IDENTIFIER_WRONG,
        },
    ),
    "name in the DICOMDIR": (
        _replace("DICOMDIR", lambda data: data.replace(b"Doe^J", b"Doe^K")),
        {FaultCode.DICOMDIR_DIFFERS, FaultCode.KEY_DIFFERS},
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_kind_of_damage_has_its_faults(damage: str) -> None:
    change, codes = DAMAGE[damage]
    volume = WRITTEN.volume()
    change(volume)
    report = _compare(volume)
    assert {fault.code for fault in report.faults} == codes
    assert not report.good


@pytest.mark.parametrize("place", ["UDF", "FAT", "volume", "DICOM\\I1"])
def test_what_the_file_system_says_in_two_ways_is_a_fault(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UDF against ISO 9660, one file allocation table against the other."""
    volume = WRITTEN.volume()
    monkeypatch.setattr(volume, "disagreements", lambda: {place: "its two tables differ"})
    (fault,) = _compare(volume).faults
    assert fault.code == FaultCode.FILE_SYSTEM_CONTRADICTORY
    assert fault.where == place
    assert fault.message == "its two tables differ"


def _changed_meta(old: bytes, new: bytes) -> VolumeReport:
    """The report on a file whose File Meta Information has other bytes of the same length."""
    volume = WRITTEN.volume()
    _replace("DICOM\\I1", lambda data: data.replace(old, new, 1))(volume)
    return _compare(volume)


def test_a_file_without_an_element_of_file_meta_information_has_a_fault() -> None:
    (fault,) = _changed_meta(b"\2\0\x12\0UI", b"\2\0\x14\0UI").faults
    assert fault.code == FaultCode.FILE_META_INCOMPLETE
    assert fault.where == "DICOM\\I1"
    assert "Implementation Class UID (0002,0012)" in fault.message


def test_a_wrong_length_of_file_meta_information_is_a_fault() -> None:
    head = b"\2\0\0\0UL\4\0"
    length = WRITTEN.files["DICOM\\I1"].split(head)[1][:4]
    (fault,) = _changed_meta(head + length, head + b"\1\0\0\0").faults
    assert fault.code == FaultCode.FILE_META_WRONG
    assert fault.where == "DICOM\\I1"
    assert "(0002,0000)" in fault.message


def test_a_data_set_that_begins_elsewhere_is_a_fault() -> None:
    volume = WRITTEN.volume()
    expected = [
        original._replace(data_set_offset=original.data_set_offset - 2)
        for original in WRITTEN.expected()
    ]
    report = compare_volume(
        volume,
        file_set_id="TEST",
        file_set_uid=FILE_SET_UID,
        expected=expected,
        dicomdir=digest_of(WRITTEN.dicomdir()),
    )
    codes = [fault.code for fault in report.faults if fault.where == "DICOM\\I1"]
    assert codes == [FaultCode.DATA_SET_DIFFERS, FaultCode.FILE_UNREADABLE]


def test_file_meta_information_that_ends_before_the_data_set_is_a_fault() -> None:
    """Its last element and its length are both two bytes short, so they agree with each other."""
    file = WRITTEN.files["DICOM\\I1"]
    last = b"\2\0\x12\0UI"
    before, after = file.split(last)
    length = int.from_bytes(after[:2], "little")
    group_length = b"\2\0\0\0UL\4\0"
    start, rest = before.split(group_length)
    shorter = int.from_bytes(rest[:4], "little") - 2
    changed = start + group_length + shorter.to_bytes(4, "little") + rest[4:]
    changed += last + (length - 2).to_bytes(2, "little") + after[2:]
    volume = WRITTEN.volume()
    _replace("DICOM\\I1", lambda _: changed)(volume)
    (fault,) = _compare(volume).faults
    assert fault.code == FaultCode.FILE_META_WRONG
    assert fault.where == "DICOM\\I1"
    assert "its data set begins at byte" in fault.message


def test_a_volume_of_another_file_set_has_faults() -> None:
    report = compare_volume(
        WRITTEN.volume(),
        file_set_id="OTHER",
        file_set_uid="1.2.3.5",
        expected=WRITTEN.expected(),
        dicomdir=None,
    )
    assert {fault.code for fault in report.faults} == {
        FaultCode.VOLUME_IDENTIFIER_WRONG,
        FaultCode.FILE_SET_ID_WRONG,
        FaultCode.FILE_SET_UID_WRONG,
    }


def test_the_structure_of_the_dicomdir_is_checked() -> None:
    sample = SampleVolume()
    sample.header[0x00041212] = (b"US", b"\xff\xff")
    report = _compare(sample.volume(), sample.dicomdir())
    assert [fault.code for fault in report.faults] == [FaultCode.CONSISTENCY_FLAG]


def _other_patient(
    number: int, transfer_syntax: str
) -> tuple[SampleVolume, list[ExpectedInstance]]:
    """A volume with a DICOMDIR as it was to be written, in which patient `number` is another."""
    sample = SampleVolume()
    sample.at(number).set(0x00100010, b"PN", "Roe^J")
    if transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN:
        elements = (
            (0x00080018, b"1.2.9.3\0"),
            (0x00091010, bytes(20_000)),
            (0x00100010, b"Doe^J "),
        )
        data_set = b"".join(
            struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
            for tag, value in elements
        )
        sample.files["DICOM\\I3"] = (
            file_meta(SECONDARY_CAPTURE, "1.2.9.3", transfer_syntax) + data_set
        )
        sample.at(1, 0, 0, 0).set(0x00041512, b"UI", transfer_syntax)
    expected = []
    for original in sample.expected():
        data = sample.files[original.file_id]
        syntax = EXPLICIT_VR_LITTLE_ENDIAN if original.file_id[-1] != "3" else transfer_syntax
        offset = len(file_meta(SECONDARY_CAPTURE, "1.2.9.0", syntax))
        expected.append(
            original._replace(
                transfer_syntax_uid=syntax,
                data_set_offset=offset,
                digest=digest_of(data[offset:]),
            )
        )
    return sample, expected


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])
def test_files_of_another_patient_than_their_records_say_are_a_fault(transfer_syntax: str) -> None:
    sample, expected = _other_patient(1, transfer_syntax)
    report = compare_volume(
        sample.volume(),
        file_set_id="TEST",
        file_set_uid=FILE_SET_UID,
        expected=expected,
        dicomdir=digest_of(sample.dicomdir()),
    )
    (fault,) = report.faults
    assert fault.code == FaultCode.KEY_DIFFERS
    assert "DICOM\\I3" in fault.message
    assert "'Roe^J'" in fault.message
    assert "'Doe^J'" in fault.message


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0x00100010, b"Roe^J"),
        (0x00100020, b"UNKNOWN-3"),
        (0x0020000D, b"1.2.7.3"),
        (0x0020000E, b"1.2.8.4"),
    ],
)
@pytest.mark.parametrize("chunk", [100, 1 << 20])
def test_one_key_of_another_patient_study_or_series_is_a_fault(
    tag: int, value: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All other keys of the file are those of its records, also if they are read in one chunk."""

    def chunks(volume: MemoryVolume, name: str) -> Iterator[memoryview]:
        view = memoryview(volume.contents[name])
        for start in range(0, len(view), chunk):
            yield view[start : start + chunk]

    monkeypatch.setattr(MemoryVolume, "chunks", chunks)
    of_records = {
        0x00100010: (b"PN", b"Doe^J"),
        0x00100020: (b"LO", b"UNKNOWN-2"),
        0x0020000D: (b"UI", b"1.2.7.2"),
        0x0020000E: (b"UI", b"1.2.8.3"),
    }
    for changed in (False, True):
        keys = dict(of_records)
        if changed:
            keys[tag] = (keys[tag][0], value)
        name, patient_id, study, series = (encode(key, *pair) for key, pair in keys.items())
        sample = SampleVolume()
        original_name = encode(0x00100010, b"PN", b"Doe^J")
        before, after = sample.files["DICOM\\I3"].split(original_name)
        start_of_image = after.index(encode(0x00280002, b"US", b"\1\0"))
        data = before + name + patient_id + after[:start_of_image] + study + series
        sample.files["DICOM\\I3"] = data + after[start_of_image:]
        report = _compare(sample.volume(), sample.dicomdir(), sample.expected())
        faults = [(fault.code, fault.where) for fault in report.faults]
        if changed:
            assert [code for code, _ in faults] == [FaultCode.KEY_DIFFERS]
            assert f"({tag >> 16:04X},{tag & 0xFFFF:04X})" in report.faults[0].message
        else:
            assert faults == []


def test_a_record_that_references_an_unexpected_file_is_a_fault() -> None:
    sample = SampleVolume()
    sample.at(0, 0, 0, 0).set(0x00041500, b"CS", "DICOM\\I8")
    report = _compare(sample.volume(), sample.dicomdir())
    assert {fault.code for fault in report.faults} == {
        FaultCode.FILE_UNEXPECTED,
        FaultCode.FILE_UNREFERENCED,
    }


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.iso"
    contents = {"DICOMDIR": WRITTEN.dicomdir(), **WRITTEN.files, "README.TXT": b"x" * 5000}
    files = [VolumeFile(name, len(data), data) for name, data in contents.items()]
    iso9660_writer.write_image(
        path, volume_identifier="TEST", files=files, created=datetime.now(UTC)
    )
    return path


def test_the_sha256_of_an_image_is_computed_while_it_is_read(image: Path) -> None:
    with open_volume(image, fresh=True, digest=True) as volume:
        report = _compare(volume)
    assert report.good
    assert report.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()


def test_a_truncated_image_has_unreadable_files(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:-8192])
    with open_volume(image, digest=True) as volume:
        report = _compare(volume)
    assert FaultCode.FILE_UNREADABLE in {fault.code for fault in report.faults}


def test_a_change_of_any_byte_of_a_data_set_is_a_fault() -> None:
    expected = WRITTEN.expected()[0]
    for position in range(expected.data_set_offset, expected.size):
        volume = WRITTEN.volume()
        _replace("DICOM\\I0", _flip(position))(volume)
        assert [fault.code for fault in _compare(volume).faults] == [FaultCode.DATA_SET_DIFFERS]
