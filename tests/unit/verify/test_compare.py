"""Reading back: nothing but what was written is good."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from burnish.image import iso9660_writer
from burnish.image.reader import open_volume
from burnish.values import VolumeFile, VolumeReport
from burnish.verify import FaultCode, compare_volume
from digesting import digest_of
from made_volume import FILE_SET_UID, Made, MemoryVolume, instance

MADE = Made()


def _compare(volume: MemoryVolume, dicomdir: bytes | None = None) -> VolumeReport:
    return compare_volume(
        volume,
        file_set_id="TEST",
        file_set_uid=FILE_SET_UID,
        expected=MADE.expected(),
        dicomdir=digest_of(dicomdir or MADE.dicomdir()),
    )


def test_what_was_written_is_there() -> None:
    volume = MADE.volume()
    volume.contents["README.TXT"] = b"read me"
    report = _compare(volume)
    assert report.faults == ()
    assert (report.instances, report.files) == (4, 6)
    assert report.bytes_read == sum(map(len, volume.contents.values())) - len(b"read me")
    assert report.file_set_uid == FILE_SET_UID
    assert report.sha256 == ""


def _replace(name: str, change: Callable[[bytes], bytes]) -> Callable[[MemoryVolume], None]:
    def apply(volume: MemoryVolume) -> None:
        volume.contents[name] = change(volume.contents[name])

    return apply


def _flip(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        flipped = bytearray(data)
        flipped[at] ^= 1
        return bytes(flipped)

    return change


DAMAGE: dict[str, tuple[Callable[[MemoryVolume], object], set[FaultCode]]] = {
    "pixel": (_replace("DICOM\\I1", _flip(-1)), {FaultCode.DATA_SET_DIFFERS}),
    "uid in the meta": (
        _replace("DICOM\\I1", lambda data: data.replace(b"1.2.9.1", b"1.2.9.2", 1)),
        {FaultCode.FILE_META_WRONG, FaultCode.REFERENCED_SOP_INSTANCE_WRONG},
    ),
    "prefix": (_replace("DICOM\\I1", _flip(130)), {FaultCode.FILE_NOT_DICOM}),
    "short": (_replace("DICOM\\I1", lambda data: data[:-2]), {FaultCode.FILE_SIZE_WRONG}),
    "long": (_replace("DICOM\\I1", lambda data: data + b"\0"), {FaultCode.FILE_SIZE_WRONG}),
    "gone": (lambda volume: volume.contents.pop("DICOM\\I1"), {FaultCode.FILE_MISSING}),
    "one more": (
        lambda volume: volume.contents.update({"DICOM\\I9": instance("1.2.9.9")}),
        {FaultCode.FILE_UNEXPECTED},
    ),
    "label": (
        lambda volume: setattr(volume, "volume_identifier", "OTHER"),
        {FaultCode.VOLUME_IDENTIFIER_WRONG},
    ),
    "no dicomdir": (
        lambda volume: volume.contents.pop("DICOMDIR"),
        {FaultCode.DICOMDIR_ABSENT, FaultCode.FILE_UNREFERENCED},
    ),
    "no sense in the dicomdir": (
        _replace("DICOMDIR", lambda data: data[:100]),
        {
            FaultCode.DICOMDIR_DIFFERS,
            FaultCode.DICOMDIR_UNREADABLE,
            FaultCode.FILE_UNREFERENCED,
            FaultCode.VOLUME_IDENTIFIER_WRONG,
        },
    ),
    "name in the dicomdir": (
        _replace("DICOMDIR", lambda data: data.replace(b"Doe^J", b"Doe^K")),
        {FaultCode.DICOMDIR_DIFFERS},
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(damage: str) -> None:
    change, codes = DAMAGE[damage]
    volume = MADE.volume()
    change(volume)
    report = _compare(volume)
    assert {fault.code for fault in report.faults} == codes
    assert not report.good


def test_another_file_set() -> None:
    report = compare_volume(
        MADE.volume(),
        file_set_id="OTHER",
        file_set_uid="1.2.3.5",
        expected=MADE.expected(),
        dicomdir=None,
    )
    assert {fault.code for fault in report.faults} == {
        FaultCode.VOLUME_IDENTIFIER_WRONG,
        FaultCode.FILE_SET_ID_WRONG,
        FaultCode.FILE_SET_UID_WRONG,
    }


def test_structure_is_examined_too() -> None:
    made = Made()
    made.header[0x00041212] = (b"US", b"\xff\xff")
    report = _compare(made.volume(), made.dicomdir())
    assert [fault.code for fault in report.faults] == [FaultCode.CONSISTENCY_FLAG]


def test_a_record_for_what_should_not_be_there() -> None:
    made = Made()
    made.at(0, 0, 0, 0).set(0x00041500, b"CS", "DICOM\\I8")
    report = _compare(made.volume(), made.dicomdir())
    assert {fault.code for fault in report.faults} == {
        FaultCode.FILE_UNEXPECTED,
        FaultCode.FILE_UNREFERENCED,
    }


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.iso"
    contents = {"DICOMDIR": MADE.dicomdir(), **MADE.files, "README.TXT": b"x" * 5000}
    files = [VolumeFile(name, len(data), data) for name, data in contents.items()]
    iso9660_writer.write_image(
        path, volume_identifier="TEST", files=files, created=datetime.now(UTC)
    )
    return path


def test_an_image_is_hashed_as_it_is_read(image: Path) -> None:
    with open_volume(image, fresh=True, digest=True) as volume:
        report = _compare(volume)
    assert report.good
    assert report.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()


def test_an_image_that_was_cut(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:-8192])
    with open_volume(image, digest=True) as volume:
        report = _compare(volume)
    assert FaultCode.FILE_UNREADABLE in {fault.code for fault in report.faults}


def test_every_byte_of_a_data_set_counts() -> None:
    expected = MADE.expected()[0]
    for at in range(expected.data_set_offset, expected.size):
        volume = MADE.volume()
        _replace("DICOM\\I0", _flip(at))(volume)
        assert [fault.code for fault in _compare(volume).faults] == [FaultCode.DATA_SET_DIFFERS]
