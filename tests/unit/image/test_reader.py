"""Volumes of all kinds, and images made to mislead the reader."""

import errno
import hashlib
import os
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import Unreadable
from burnish.image import file_extents, image_source, iso9660_writer
from burnish.image.reader import open_volume
from burnish.values import VolumeFile
from burnish.verify.compare import VolumeWithDigest

FILES = {
    "DICOMDIR": b"0123456789",
    "A\\B\\C": bytes(range(256)) * 10,
    "A\\D": b"",
    "README.TXT": b"x",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.iso"
    files = [VolumeFile(name, len(data), data) for name, data in FILES.items()]
    iso9660_writer.write_image(
        path, volume_identifier="ID", files=files, created=datetime(2024, 1, 1, tzinfo=UTC)
    )
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def test_an_image_and_a_directory_read_alike(image: Path, directory: Path) -> None:
    for path in (image, directory):
        with open_volume(path) as volume:
            assert dict(volume.files()) == {name: len(data) for name, data in FILES.items()}
            for name, data in FILES.items():
                assert volume.read(name) == data
                assert volume.read(name, 3, 4) == data[3:7]
                assert volume.read(name, 5) == data[5:]
                assert volume.read(name, len(data) + 5) == b""
                assert b"".join(volume.chunks(name)) == data


@pytest.mark.parametrize(("several", "first"), [(1, 5000), (0, 0)])
def test_the_last_session_is_the_one_that_the_drive_reports(
    image: Path, monkeypatch: pytest.MonkeyPatch, several: int, first: int
) -> None:
    """By CDROMMULTISESSION of Linux, here in place of a drive."""

    def answer(_descriptor: int, request: int, argument: bytes) -> bytes:
        assert request == 0x5310
        assert len(argument) == 8
        assert argument[5] == 1
        return struct.pack("iBBxx", 5000, several, 1)

    with image.open("rb") as disc:
        assert image_source.last_session(disc.fileno()) == 0
        monkeypatch.setattr(image_source.stat, "S_ISBLK", lambda _: True)
        monkeypatch.setattr(image_source.fcntl, "ioctl", answer)
        assert image_source.last_session(disc.fileno()) == first
        monkeypatch.undo()
        monkeypatch.setattr(image_source.stat, "S_ISBLK", lambda _: True)
        assert image_source.last_session(disc.fileno()) == 0


@pytest.mark.parametrize("length", [10, 10_000])
def test_reading_stops_at_the_end_of_the_file(image: Path, directory: Path, length: int) -> None:
    for path in (image, directory):
        with open_volume(path) as volume:
            assert volume.read("DICOMDIR", 8, length) == b"89"


def test_a_file_that_does_not_exist_is_unreadable(image: Path, directory: Path) -> None:
    for path in (image, directory):
        with open_volume(path) as volume, pytest.raises(Unreadable, match="no file X"):
            volume.read("X")
        with open_volume(path) as volume, pytest.raises(Unreadable, match="no file X"):
            list(volume.chunks("X"))


def test_symbolic_links_are_not_followed(directory: Path) -> None:
    (directory / "LINK").symlink_to("/etc")
    (directory / "FILE").symlink_to("DICOMDIR")
    (directory / "A" / "UP").symlink_to("..")
    with open_volume(directory) as volume:
        assert dict(volume.files()) == {name: len(data) for name, data in FILES.items()}


def test_images_of_other_writers_are_read(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("other") / "image.iso"
    for command in (
        ["genisoimage", "-quiet", "-V", "OTHER", "-J", "-r", "-o", str(path), str(directory)],
        ["xorriso", "-as", "mkisofs", "-quiet", "-V", "OTHER", "-o", str(path), str(directory)],
    ):
        subprocess.run(command, check=True, capture_output=True)
        with open_volume(path) as volume:
            assert volume.volume_identifier == "OTHER"
            contents = {name: volume.read(name) for name in volume.files()}
        assert contents == FILES


def test_a_path_that_does_not_exist_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="opened"), open_volume(tmp_path / "none"):
        pass


@pytest.mark.parametrize("size", [0, 100, 40_000, 100_000])
def test_a_file_that_is_no_image_is_unreadable(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(size))
    with (
        pytest.raises(Unreadable, match="neither ISO 9660, UDF, FAT, ZIP nor MIME"),
        open_volume(tmp_path / "file"),
    ):
        pass


@pytest.mark.parametrize(
    ("offset", "magic", "name"),
    [
        (54, b"FAT12   ", "FAT12"),
        (3, b"EXFAT   ", "exFAT"),
        (3, b"NTFS    ", "NTFS"),
        (0x438, b"\x53\xef", "ext2, ext3 or ext4"),
        (1024, b"H+\0\4", "HFS"),
        (32, b"NXSB", "APFS"),
    ],
)
@pytest.mark.parametrize("table", ["none", "MBR", "GPT"])
def test_a_file_system_that_is_not_read_is_named(
    tmp_path: Path, table: str, offset: int, magic: bytes, name: str
) -> None:
    data = bytearray(200_000)
    start = 0 if table == "none" else 64 * 512
    data[start + offset : start + offset + len(magic)] = magic
    if table != "none":
        data[510:512] = b"\x55\xaa"
        data[450] = 7
        data[454:458] = (64 if table == "MBR" else 1).to_bytes(4, "little")
    if table == "GPT":
        data[512:520] = b"EFI PART"
        data[1056:1064] = (64).to_bytes(8, "little")
    (tmp_path / "image").write_bytes(data)
    with (
        pytest.raises(Unreadable, match=f"but the file system {name}"),
        open_volume(tmp_path / "image"),
    ):
        pass


def test_the_file_systems_of_other_programs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1 << 20))
    subprocess.run(["mke2fs", "-q", "-F", path], check=True, capture_output=True)
    with pytest.raises(Unreadable, match="but the file system ext2"), open_volume(path):
        pass


def test_a_floppy_disk_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "floppy.img"
    path.write_bytes(bytes(1440 << 10))
    subprocess.run(["mkfs.fat", path], check=True, capture_output=True)
    with pytest.raises(Unreadable, match="but the file system FAT12"), open_volume(path):
        pass


def _mutant(image: Path, tmp_path: Path, at: int, data: bytes) -> Path:
    content = bytearray(image.read_bytes())
    content[at : at + len(data)] = data
    path = tmp_path / "mutant.iso"
    path.write_bytes(content)
    return path


def _record(image: Path, identifier: bytes) -> int:
    return image.read_bytes().index(bytes([len(identifier)]) + identifier, 21 * 2048) - 32


def _both(number: int) -> bytes:
    return number.to_bytes(4, "little") + number.to_bytes(4, "big")


def test_a_directory_that_contains_itself_is_rejected(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    root = data[16 * 2048 + 158 : 16 * 2048 + 166]
    at = data.index(b"\1A", 23 * 2048) - 32
    path = _mutant(image, tmp_path, at + 2, root)
    with pytest.raises(Unreadable, match="reached twice"), open_volume(path):
        pass


@pytest.mark.parametrize("size", [1 << 20, 0xFFFFFFFF])
def test_a_directory_beyond_the_end_is_rejected(image: Path, tmp_path: Path, size: int) -> None:
    path = _mutant(image, tmp_path, 16 * 2048 + 166, _both(size))
    with pytest.raises(Unreadable, match="root goes beyond"), open_volume(path):
        pass


def test_a_file_beyond_the_end_is_listed_but_unreadable(image: Path, tmp_path: Path) -> None:
    path = _mutant(image, tmp_path, _record(image, b"DICOMDIR.;1") + 10, _both(0xFFFFFFFF))
    with open_volume(path) as volume:
        assert volume.files()["DICOMDIR"] == 0xFFFFFFFF
        with pytest.raises(Unreadable, match="beyond the end"):
            volume.read("DICOMDIR", 0, 4)
        with pytest.raises(Unreadable, match="beyond the end"):
            next(volume.chunks("DICOMDIR"))
        assert volume.read("README.TXT") == b"x"


def test_a_file_that_a_truncated_image_lacks_is_unreadable(image: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.iso"
    path.write_bytes(image.read_bytes()[:-2048])
    with open_volume(path) as volume, pytest.raises(Unreadable, match=r"README\.TXT goes beyond"):
        volume.read("README.TXT")


def test_interleaved_files_are_rejected(image: Path, tmp_path: Path) -> None:
    path = _mutant(image, tmp_path, _record(image, b"DICOMDIR.;1") + 26, b"\1\1")
    with pytest.raises(Unreadable, match="interleaved"), open_volume(path):
        pass


def test_a_volume_with_too_many_files_is_rejected(
    image: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_extents, "MAXIMUM_ENTRIES", 3)
    for path in (image, directory):
        with pytest.raises(Unreadable, match="more than 3 files"), open_volume(path):
            pass


def test_a_volume_with_too_many_levels_is_rejected(
    image: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_extents, "MAXIMUM_LEVELS", 2)
    for path in (image, directory):
        with pytest.raises(Unreadable, match="more than 2 directory levels"), open_volume(path):
            pass


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_image_is_unreadable_at_worst(image: Path, data: st.DataObject) -> None:
    content = bytearray(image.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(16 * 2048, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = image.with_name("fuzzed.iso")
    path.write_bytes(content)
    try:
        with open_volume(path) as volume:
            for name in volume.files():
                volume.read(name, 0, 100)
    except Unreadable:
        pass


# --- all of an image, read once in order ---------------------------------------------------------

MANY = {f"F{number}": bytes([number]) * (number * 700) for number in range(1, 40)}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.iso"
    files = [VolumeFile(name, len(data), data) for name, data in MANY.items()]
    iso9660_writer.write_image(
        path, volume_identifier="ID", files=files, created=datetime(2024, 1, 1, tzinfo=UTC)
    )
    return path


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(sorted(MANY)), max_size=8),
    st.sampled_from([2048, 5000, 70_000, 1 << 20]),
)
def test_files_may_be_read_in_any_order_and_at_the_same_time(
    many: Path, names: list[str], chunk: int
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        open_volume(many, digest=True) as volume,
    ):
        patch.setattr(image_source, "CHUNK", chunk)
        begun = [(name, iter(volume.chunks(name)), list[bytes]()) for name in names]
        for _ in range(2):
            for _, chunks, read in begun:
                read.append(bytes(next(chunks, b"")))
        for name, chunks, read in reversed(begun):
            assert b"".join([*read, *chunks]) == MANY[name]
        assert isinstance(volume, VolumeWithDigest)
        assert volume.sha256() == hashlib.sha256(many.read_bytes()).hexdigest()


def test_a_bad_sector_affects_only_the_file_that_lies_there(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = many.read_bytes().index(MANY["F20"][:2048])
    pread = os.pread

    def failing(descriptor: int, length: int, offset: int) -> bytes:
        if offset <= bad < offset + length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", failing)
    with open_volume(many, digest=True) as volume:
        for name, data in MANY.items():
            if name == "F20":
                with pytest.raises(Unreadable, match="cannot be read"):
                    list(volume.chunks(name))
            else:
                assert b"".join(volume.chunks(name)) == data
        assert isinstance(volume, VolumeWithDigest)
        with pytest.raises(Unreadable, match="cannot be read"):
            volume.sha256()
