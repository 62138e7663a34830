"""ISO 9660 images, as isoinfo, xorriso, 7-Zip and Burnish read them."""

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.errors import Conflict, InvalidValue, OutOfResources
from burnish.file_slice import Slice
from burnish.image import directory_tree, iso9660_writer, volume_size
from burnish.image.reader import open_volume
from burnish.values import VolumeFile

CREATED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def _without_files_as_directories(tree: dict[str, int]) -> dict[str, int]:
    parents = {name[: at.start()] for name in tree for at in re.finditer(r"\\", name)}
    return {name: size for name, size in tree.items() if name not in parents}


_component = st.text("ABYZ019_", min_size=1, max_size=8)
_tree = st.dictionaries(
    st.lists(_component, min_size=1, max_size=8).map("\\".join),
    st.integers(0, 5000),
    min_size=1,
    max_size=150,
).map(_without_files_as_directories)


def _content(name: str, size: int) -> bytes:
    seed = hashlib.sha256(name.encode()).digest()
    return (seed * (size // 32 + 1))[:size]


def _files(tree: dict[str, int]) -> list[VolumeFile]:
    return [VolumeFile(name, size, _content(name, size)) for name, size in tree.items()]


def _write(path: Path, files: Sequence[VolumeFile], created: datetime = CREATED) -> int:
    return iso9660_writer.write_image(
        path, volume_identifier="VOLUME_1", files=files, created=created
    )


def _run(*arguments: object) -> str:
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_tree)
def test_predicted_size_and_read_back(tree: dict[str, int]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "image.iso"
        size = _write(path, _files(tree))
        assert (
            size
            == volume_size.image_size(iso9660_writer.SIZING, tree.items())
            == path.stat().st_size
        )
        with open_volume(path) as volume:
            assert volume.volume_identifier == "VOLUME_1"
            assert dict(volume.files()) == tree
            in_order_of_place = [name for name in volume.files() if tree[name]]
            assert in_order_of_place == [name for name in tree if tree[name]]
            for name, length in tree.items():
                assert volume.read(name) == _content(name, length)
                assert b"".join(volume.chunks(name)) == _content(name, length)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_tree)
def test_7_zip_and_xorriso_read_the_same_files(tree: dict[str, int]) -> None:
    with TemporaryDirectory() as directory:
        image = Path(directory) / "image.iso"
        by_7zip, by_xorriso = Path(directory) / "7z", Path(directory) / "xorriso"
        _write(image, _files(tree))
        _run("7z", "x", f"-o{by_7zip}", "-y", image)
        _run("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", by_xorriso)
        for name, size in tree.items():
            for root in (by_7zip, by_xorriso):
                assert (root / name.replace("\\", "/")).read_bytes() == _content(name, size)


def test_isoinfo_finds_files_in_the_order_given(tmp_path: Path) -> None:
    tree = {"DICOMDIR": 5000, "README.TXT": 10, "B\\FILE0002": 2048, "A\\FILE0001": 4097}
    _write(tmp_path / "image.iso", _files(tree))
    listing = _run("isoinfo", "-l", "-i", tmp_path / "image.iso")
    extents = {
        name: (int(extent), int(size))
        for size, extent, name in re.findall(
            r"(\d+) [A-Z]\w\w +\d+ \d+ \[ *(\d+) 00\] +(\S+;1)", listing
        )
    }
    first = iso9660_writer.FIXED_SECTORS + iso9660_writer.structure_sectors(
        directory_tree.build_tree(tree)
    )
    assert extents == {
        "DICOMDIR.;1": (first, 5000),
        "README.TXT;1": (first + 3, 10),
        "FILE0002.;1": (first + 4, 2048),
        "FILE0001.;1": (first + 5, 4097),
    }


def test_the_descriptor_has_no_other_names_besides(tmp_path: Path) -> None:
    _write(tmp_path / "image.iso", _files({"DICOMDIR": 1}))
    listing = _run("isoinfo", "-d", "-i", tmp_path / "image.iso")
    assert "System id: \n" in listing
    assert "Volume id: VOLUME_1\n" in listing
    assert "Application id: BURNISH_0_1\n" in listing
    assert "Joliet" not in listing.replace("NO Joliet present", "")
    assert "Rock Ridge" not in listing.replace("NO Rock Ridge present", "")
    assert "No errors found" in _run("isovfy", "-i", tmp_path / "image.iso")


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    files = _files({"DICOMDIR": 4000, "A\\B": 10, "A\\C\\D": 0})
    created = datetime(2020, 2, 29, 23, 59, 58, tzinfo=timezone(-timedelta(hours=3, minutes=30)))
    _write(tmp_path / "1", files, created)
    _write(tmp_path / "2", files, created)
    image = (tmp_path / "1").read_bytes()
    assert image == (tmp_path / "2").read_bytes()
    pvd = image[16 * 2048 : 17 * 2048]
    stamp = b"2020022923595800" + bytes([256 - 14])
    empty = b"0" * 16 + b"\0"
    assert pvd[813:881] == stamp + stamp + empty + stamp
    today = bytes([datetime.now(UTC).year - 1900])
    assert image.count(bytes([120, 2, 29, 23, 59, 58, 256 - 14])) == 1 + 3 * 2 + 5
    assert today not in pvd[156:190]


def test_a_date_without_a_time_zone_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="zone"):
        _write(tmp_path / "image", _files({"A": 1}), CREATED.replace(tzinfo=None))


def test_files_are_copied_from_their_sources(tmp_path: Path) -> None:
    files, contents = [], {}
    for number, size in enumerate((0, 1, 2048, 70_001, 20_000_001)):
        name = f"DICOM\\{number:08d}"
        contents[name] = os.urandom(size)
        source = tmp_path / str(number)
        source.write_bytes(contents[name])
        files.append(VolumeFile(name, size, Slice.of_file(source)))
    reports: list[int] = []
    size = iso9660_writer.write_image(
        tmp_path / "image",
        volume_identifier="",
        files=files,
        created=CREATED,
        progress=reports.append,
    )
    assert reports == sorted(reports)
    assert reports[-1] == size
    assert len(reports) > 2
    with open_volume(tmp_path / "image", fresh=True) as volume:
        for name, content in contents.items():
            assert volume.read(name) == content
    out = tmp_path / "7z"
    _run("7z", "x", f"-o{out}", "-y", tmp_path / "image")
    for name, content in contents.items():
        assert (out / name.replace("\\", "/")).read_bytes() == content


def test_a_lack_of_room_shows_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = os.statvfs(tmp_path)
    few = os.statvfs_result((*room[:4], (64 << 20) // room.f_frsize, *room[5:]))
    monkeypatch.setattr(os, "fstatvfs", lambda _: few)
    with pytest.raises(OutOfResources, match="no room"):
        _write(tmp_path / "image", [VolumeFile("A", 100 << 20, b"")])
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize("stated", [99, 101])
def test_a_source_of_another_size_is_rejected(tmp_path: Path, stated: int) -> None:
    (tmp_path / "source").write_bytes(bytes(100))
    for source in (Slice.of_file(tmp_path / "source"), bytes(100)):
        with pytest.raises(Conflict, match="A has 100 bytes"):
            _write(tmp_path / "image", [VolumeFile("A", stated, source)])
        assert not (tmp_path / "image").exists()


def test_a_source_that_shrinks_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(bytes(100))
    source = Slice.of_file(tmp_path / "source")
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    with pytest.raises(Conflict, match="A has 0 bytes"):
        _write(tmp_path / "image", [VolumeFile("A", 100, source)])


def test_a_source_that_does_not_exist_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="source of A no longer exists"):
        _write(tmp_path / "image", [VolumeFile("A", 100, Slice(str(tmp_path / "source"), 0, 100))])


@pytest.mark.parametrize(
    "name", ["a", "A.TXTT", "A\\B.C\\D", "123456789", "1\\2\\3\\4\\5\\6\\7\\8\\9"]
)
def test_names_that_level_1_does_not_permit_are_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValue):
        _write(tmp_path / "image", [VolumeFile(name, 0, b"")])
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize("identifier", ["lower", "A B", "A" * 17, "A-B"])
def test_a_volume_identifier_that_is_no_file_set_id_is_rejected(
    tmp_path: Path, identifier: str
) -> None:
    with pytest.raises(InvalidValue, match="File-set ID"):
        iso9660_writer.write_image(
            tmp_path / "i", volume_identifier=identifier, files=[], created=CREATED
        )


@pytest.mark.parametrize("names", [["A", "A"], ["A", "A\\B"], ["A\\B\\C", "A"]])
def test_names_that_collide_are_rejected(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(Conflict):
        _write(tmp_path / "image", [VolumeFile(name, 1, b"1") for name in names])


def test_a_file_that_is_too_large_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(OutOfResources):
        _write(tmp_path / "image", [VolumeFile("A", 1 << 32, b"")])


def test_a_disk_that_becomes_full_stops_the_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OutOfResources, match="no room"):
        _write(tmp_path / "image", [VolumeFile("A", 1, b"1")])
    assert not (tmp_path / "image").exists()


def test_progress_may_stop_the_writing(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iso9660_writer.write_image(
            tmp_path / "image",
            volume_identifier="V",
            files=_files({"A": 20 << 20}),
            created=CREATED,
            progress=stop,
        )
    assert not (tmp_path / "image").exists()


def test_a_directory_may_have_many_files(tmp_path: Path) -> None:
    tree = {f"D\\{number:08d}": 1 for number in reversed(range(3000))}
    size = _write(tmp_path / "image", _files(tree))
    assert size == volume_size.image_size(iso9660_writer.SIZING, tree.items())
    with open_volume(tmp_path / "image") as volume:
        assert list(volume.files()) == list(tree)
