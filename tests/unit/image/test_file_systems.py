"""Images of every file system: what holds for all, and what other programs read from each."""

import ctypes
import email
import email.message
import email.policy
import hashlib
import os
import re
import subprocess
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.errors import Conflict, InvalidValue, OutOfResources, Unreadable
from burnish.file_slice import Slice
from burnish.image import fat_writer, udf_structures, zip_reader, zip_writer
from burnish.image.formats import FORMATS
from burnish.image.reader import open_volume
from burnish.image.volume_size import image_size
from burnish.media import WRITTEN_FILE_SYSTEMS, FileSystem
from burnish.values import VolumeFile
from burnish.verify import examine_volume
from syncs import recorded_syncs

CREATED = datetime(2024, 5, 6, 7, 8, 10, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
SAME_FAULTS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

each_file_system = pytest.mark.parametrize(
    "file_system", list(FORMATS), ids=lambda file_system: file_system.name
)
# an image of FAT16 has at least 134 MB, too many to be written often
each_quick_file_system = pytest.mark.parametrize(
    "file_system",
    [name for name in FORMATS if name is not FileSystem.FAT16],
    ids=lambda file_system: file_system.name,
)
NAMED = {"ISO_9660_UDF_BRIDGE", "UDF_2_60", "ISO_9660_LEVEL_1"}

_component = st.text("ABYZ019_", min_size=1, max_size=8)
_name = st.builds(str.__add__, _component, st.sampled_from(["", "", "", ".TXT", ".A"]))


def _possible(tree: dict[str, int]) -> dict[str, int]:
    parents = {name[: at.start()] for name in tree for at in re.finditer(r"\\", name)}
    return {name: size for name, size in tree.items() if name not in parents}


trees = st.dictionaries(
    st.builds(
        lambda parents, name: "\\".join([*parents, name]),
        st.lists(_component, max_size=7),
        _name,
    ),
    st.integers(0, 9000),
    min_size=1,
    max_size=120,
).map(_possible)


def content(name: str, length: int) -> bytes:
    seed = hashlib.sha256(name.encode()).digest()
    return (seed * (length // 32 + 1))[:length]


def files_of(tree: dict[str, int]) -> list[VolumeFile]:
    return [VolumeFile(name, length, content(name, length)) for name, length in tree.items()]


def write(file_system: FileSystem, path: Path, files: Iterable[VolumeFile]) -> int:
    return FORMATS[file_system].write(
        path, volume_identifier="VOLUME_1", files=list(files), created=CREATED
    )


def run(*arguments: object, ok: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False)
    assert done.returncode in ok, done.stdout + done.stderr
    return done.stdout


def udfinfo(image: Path) -> dict[str, str]:
    """The facts on the volume that udfinfo prints before its list of blocks."""
    return dict(line.split("=", 1) for line in run("udfinfo", image).splitlines()[:26])


def check_tree(root: Path, tree: dict[str, int]) -> None:
    files = {
        path.relative_to(root).as_posix().replace("/", "\\"): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    assert files == {name: content(name, length) for name, length in tree.items()}


SMALL = {
    "DICOMDIR": 5000,
    "README.TXT": 10,
    "DICOM\\PA000001\\ST000001\\SE000001\\IM000001": 4097,
    "DICOM\\PA000001\\ST000001\\SE000001\\IM000002": 0,
    "DICOM\\PA000001\\ST000002\\SE000001\\IM000001": 70_000,
}


@each_quick_file_system
def test_an_image_is_durable_when_it_is_written(tmp_path: Path, file_system: FileSystem) -> None:
    with recorded_syncs() as syncs:
        write(file_system, tmp_path / "image", files_of(SMALL))
    assert tmp_path / "image" in syncs.paths()


@each_quick_file_system
@pytest.mark.parametrize("fresh", [True, False])
def test_a_fresh_image_is_read_from_the_medium(
    tmp_path: Path, file_system: FileSystem, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    write(file_system, tmp_path / "image", files_of(SMALL))
    dropped = dropped_from_cache(monkeypatch)
    with open_volume(tmp_path / "image", fresh=fresh) as volume:
        for name in volume.files():
            volume.read(name)
    assert dropped == ({tmp_path / "image"} if fresh else set())


@pytest.mark.parametrize("fresh", [True, False])
def test_each_file_of_a_fresh_folder_is_read_from_the_medium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    paths = {tmp_path / "DICOMDIR", tmp_path / "README.TXT"}
    for path in paths:
        path.write_bytes(b"content")
    dropped = dropped_from_cache(monkeypatch)
    with open_volume(tmp_path, fresh=fresh) as volume:
        for name in volume.files():
            volume.read(name)
    assert dropped == (paths if fresh else set())


def dropped_from_cache(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """The files of which the system is told to drop what it has cached, from now on."""
    dropped: set[Path] = set()

    def advise(descriptor: int, _start: int, _length: int, advice: int) -> None:
        if advice == os.POSIX_FADV_DONTNEED:
            dropped.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    return dropped


def test_every_written_file_system_has_a_format() -> None:
    assert set(FORMATS) == WRITTEN_FILE_SYSTEMS


@each_quick_file_system
@settings(max_examples=25, deadline=None, suppress_health_check=SAME_FAULTS)
@given(tree=trees)
def test_predicted_size_and_read_back(file_system: FileSystem, tree: dict[str, int]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "image"
        written = write(file_system, path, files_of(tree))
        predicted = image_size(FORMATS[file_system].sizing, tree.items())
        assert written == predicted == path.stat().st_size
        with open_volume(path, digest=True) as volume:
            assert volume.volume_identifier == ("VOLUME_1" if file_system.name in NAMED else "")
            assert volume.disagreements() == {}
            small_fat = file_system is FileSystem.FAT
            expected = FileSystem.FAT16 if small_fat else file_system
            assert volume.file_system is expected  # type: ignore[attr-defined]
            assert dict(volume.files()) == tree
            in_order_of_place = [name for name in volume.files() if tree[name]]
            assert in_order_of_place == [name for name in tree if tree[name]]
            for name, length in tree.items():
                assert volume.read(name) == content(name, length)
                assert volume.read(name, 5, 7) == content(name, length)[5:12]
                assert b"".join(volume.chunks(name)) == content(name, length)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert volume.sha256() == digest  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "file_system",
    [name for name in FORMATS if name not in {FileSystem.FAT16, FileSystem.MIME}],
    ids=lambda file_system: file_system.name,
)
@settings(max_examples=3, deadline=None, suppress_health_check=SAME_FAULTS)
@given(tree=trees)
def test_7_zip_reads_the_same_files(file_system: FileSystem, tree: dict[str, int]) -> None:
    # 7-Zip wants the content of a file, as every File-set has, at the end of what it takes for UDF
    tree = {**tree, "DICOMDIR": 3000}
    kinds = ["udf", "iso"] if file_system is FileSystem.ISO_9660_UDF_BRIDGE else [""]
    for kind in kinds:
        with TemporaryDirectory() as directory:
            image = Path(directory) / f"image{FORMATS[file_system].suffix}"
            write(file_system, image, files_of(tree))
            out = Path(directory) / "out"
            type_option = [f"-t{kind}"] if kind else []
            assert "Everything is Ok" in run("7z", "x", *type_option, f"-o{out}", "-y", image)
            check_tree(out, tree)


@each_file_system
def test_the_same_files_give_the_same_bytes(file_system: FileSystem, tmp_path: Path) -> None:
    files = []
    for name, length in {**SMALL, "LARGE": 9_000_001}.items():
        source = tmp_path / f"{len(files)}.source"
        source.write_bytes(content(name, length))
        files.append(VolumeFile(name, length, Slice.of_file(source)))
    reports: list[int] = []
    arguments = {"volume_identifier": "V", "files": files, "created": CREATED}
    write_image = FORMATS[file_system].write
    written = write_image(tmp_path / "1", **arguments, progress=reports.append)  # type: ignore[arg-type]
    assert reports == sorted(reports)
    assert reports[-1] == written
    write_image(tmp_path / "2", **arguments)  # type: ignore[arg-type]
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    with open_volume(tmp_path / "1") as volume:
        for file in files:
            assert b"".join(volume.chunks(file.file_id)) == content(file.file_id, file.size)


@each_file_system
def test_files_that_no_volume_can_hold_are_rejected(
    file_system: FileSystem, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    largest = FORMATS[file_system].sizing.largest_file
    for files, error in (
        ([VolumeFile("a", 1, b"1")], InvalidValue),
        ([VolumeFile("A", 1, b"1"), VolumeFile("A\\B", 1, b"1")], Conflict),
        ([VolumeFile("A", 1, b"1"), VolumeFile("A", 1, b"1")], Conflict),
        ([VolumeFile("A", 2, b"1")], Conflict),
        ([VolumeFile("A", 2, Slice(str(tmp_path / "gone"), 0, 2))], Conflict),
        ([VolumeFile("A", largest + 1, b"1")], OutOfResources),
    ):
        with pytest.raises(error):
            write(file_system, path, files)
        assert not path.exists()
    with pytest.raises(InvalidValue, match="zone"):
        FORMATS[file_system].write(
            path, volume_identifier="V", files=[], created=CREATED.replace(tzinfo=None)
        )


@each_quick_file_system
@settings(max_examples=60, deadline=None, suppress_health_check=SAME_FAULTS)
@given(data=st.data())
def test_a_damaged_image_is_unreadable_at_worst(
    file_system: FileSystem, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "image"
    if not path.exists():
        write(file_system, path, files_of(SMALL))
    pristine = path.read_bytes()
    used = _places(pristine)
    mutant = bytearray(pristine)
    for _ in range(data.draw(st.integers(1, 8))):
        mutant[used[data.draw(st.integers(0, len(used) - 1))]] = data.draw(st.integers(0, 255))
    fuzzed = tmp_path / "fuzzed"
    fuzzed.write_bytes(mutant[: data.draw(st.sampled_from([len(mutant), len(mutant) // 2]))])
    try:
        with open_volume(fuzzed) as volume:
            for name in volume.files():
                volume.read(name, 0, 100)
                for _ in volume.chunks(name):
                    pass
    except Unreadable:
        pass


def _places(image: bytes, _known: dict[bytes, list[int]] = {}) -> list[int]:  # noqa: B006
    """The bytes of an image that are not zero, without those of the largest file."""
    key = hashlib.sha256(image).digest()
    if key not in _known:
        at = image.find(content("DICOM\\PA000001\\ST000002\\SE000001\\IM000001", 70_000))
        end = at + 70_000
        _known[key] = [n for n, byte in enumerate(image) if byte and not at <= n < end]
    return _known[key]


# --- ISO 9660 and UDF 1.02 -----------------------------------------------------------------------


def test_a_bridge_is_a_valid_volume_of_iso9660_and_of_udf(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    written = write(FileSystem.ISO_9660_UDF_BRIDGE, image, files_of(SMALL))
    assert written % (16 * 2048) == 0
    assert "No errors found" in run("isovfy", "-i", image)
    facts = udfinfo(image)
    assert facts["udfrev"] == "1.02"
    assert facts["lvid"] == "VOLUME_1"
    assert facts["vid"] == "VOLUME_1"
    assert facts["integrity"] == "closed"
    assert facts["numfiles"] == str(len(SMALL))
    listing = run("isoinfo", "-d", "-i", image)
    assert "Volume id: VOLUME_1\n" in listing
    assert f"Volume size is: {written // 2048}\n" in listing


def test_everybody_may_read_write_and_delete(tmp_path: Path) -> None:
    """PS3.12 P.2.1.5."""
    image = tmp_path / "image.iso"
    write(FileSystem.ISO_9660_UDF_BRIDGE, image, files_of(SMALL))
    data = image.read_bytes()
    by_file_type = {4: set[int](), 5: set[int]()}
    for at in range(257 * 2048, len(data), 2048):
        if data[at : at + 2] == b"\x05\x01" and data[at + 16 : at + 20] == bytes(4):
            permissions = int.from_bytes(data[at + 44 : at + 48], "little")
            by_file_type[data[at + 27]].add(permissions)
    assert by_file_type == {4: {0b10111_10111_10111}, 5: {0b10110_10110_10110}}


def test_a_bridge_whose_file_systems_differ_has_disagreements(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    write(FileSystem.ISO_9660_UDF_BRIDGE, image, files_of(SMALL))
    data = bytearray(image.read_bytes())
    at = data.index(b"\x0bREADME.TXT;1"[1:]) - 33
    data[at + 2 : at + 6] = (300).to_bytes(4, "little")
    image.write_bytes(data)
    with open_volume(image) as volume:
        assert list(volume.disagreements()) == ["README.TXT"]
    data[256 * 2048] ^= 1
    data[len(data) - 2048] ^= 1
    image.write_bytes(data)
    with open_volume(image) as volume:
        assert list(volume.disagreements()) == ["UDF"]


@pytest.mark.parametrize("options", [["-udf"], ["-udf", "-J", "-r"]])
def test_bridges_of_other_writers_are_read(tmp_path: Path, options: list[str]) -> None:
    for name, length in SMALL.items():
        path = tmp_path / "in" / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(name, length))
    image = tmp_path / "image.iso"
    run("genisoimage", "-quiet", *options, "-V", "OTHER", "-o", image, tmp_path / "in")
    with open_volume(image) as volume:
        assert volume.disagreements() == {}
        assert {name: volume.read(name) for name in volume.files()} == {
            name: content(name, length) for name, length in SMALL.items()
        }


# --- UDF 2.60 ------------------------------------------------------------------------------------


def test_an_image_for_blu_ray_is_closed_udf_260(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    written = write(FileSystem.UDF_2_60, image, files_of(SMALL))
    assert written % (32 * 2048) == 0
    facts = udfinfo(image)
    assert facts["udfwriterev"] == "2.60"
    assert facts["integrity"] == "closed"
    assert facts["lvid"] == "VOLUME_1"
    assert facts["numfiles"] == str(len(SMALL))
    assert "Version = 2.60" in run("7z", "l", image)


class _UdfreadEntry(ctypes.Structure):
    """`struct udfread_dirent` of libudfread."""

    _fields_ = (("kind", ctypes.c_uint), ("name", ctypes.c_char_p))


def udfread(image: Path) -> dict[str, bytes]:
    """Every file on an image as libudfread finds it, which players of Blu-ray discs use."""
    library = ctypes.CDLL("libudfread.so.0")
    for function in ("udfread_init", "udfread_opendir", "udfread_opendir_at", "udfread_readdir"):
        getattr(library, function).restype = ctypes.c_void_p
    library.udfread_file_openat.restype = ctypes.c_void_p
    library.udfread_file_size.restype = ctypes.c_int64
    library.udfread_file_read.restype = ctypes.c_ssize_t
    disc = ctypes.c_void_p(library.udfread_init())
    assert library.udfread_open(disc, str(image).encode()) == 0
    contents: dict[str, bytes] = {}

    def walk(folder: ctypes.c_void_p, path: str) -> None:
        entry = _UdfreadEntry()
        while library.udfread_readdir(folder, ctypes.byref(entry)):
            name = entry.name.decode()
            if name in {".", ".."}:
                continue
            if entry.kind == 1:  # UDF_DT_DIR
                below = ctypes.c_void_p(library.udfread_opendir_at(folder, entry.name))
                walk(below, f"{path}{name}\\")
                continue
            file = ctypes.c_void_p(library.udfread_file_openat(folder, entry.name))
            size = library.udfread_file_size(file)
            buffer = ctypes.create_string_buffer(max(1, size))
            assert library.udfread_file_read(file, buffer, ctypes.c_size_t(size)) == size
            contents[path + name] = buffer.raw[:size]
            library.udfread_file_close(file)
        library.udfread_closedir(folder)

    walk(ctypes.c_void_p(library.udfread_opendir(disc, b"/")), "")
    library.udfread_close(disc)
    return contents


def test_libudfread_reads_the_same_files(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    tree = {**SMALL, "LARGE": 3_000_001, "DICOM\\DEEP\\A\\B\\C\\D\\E": 2049}
    write(FileSystem.UDF_2_60, image, files_of(tree))
    assert udfread(image) == {name: content(name, length) for name, length in tree.items()}


def test_a_file_of_several_extents_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udf_structures, "LARGEST_EXTENT", 64 * 2048)
    image = tmp_path / "image.iso"
    tree = {"DICOMDIR": 150 * 2048 + 5, "B": 128 * 2048, "C": 1}
    write(FileSystem.UDF_2_60, image, files_of(tree))
    with open_volume(image) as volume:
        for name, length in tree.items():
            assert volume.read(name) == content(name, length)
    run("7z", "x", f"-o{tmp_path / 'out'}", "-y", image)
    check_tree(tmp_path / "out", tree)


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_volume_is_read_by_either_copy_of_its_metadata(tmp_path: Path, which: str) -> None:
    image = tmp_path / "image.iso"
    write(FileSystem.UDF_2_60, image, files_of(SMALL))
    data = bytearray(image.read_bytes())
    entry = 288 * 2048 if which == "first" else len(data) - 2 * 2048
    data[entry : entry + 2048] = bytes(2048)
    image.write_bytes(data)
    with open_volume(image) as volume:
        assert list(volume.disagreements()) == ["UDF"]
        assert dict(volume.files()) == SMALL
        assert volume.read("DICOMDIR") == content("DICOMDIR", 5000)


# --- FAT -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizing", "length", "bits"),
    [
        (fat_writer.SIZING, 5000, 16),
        (fat_writer.FatSizing(512, may_be_fat32=True), 40_000_000, 32),
        (fat_writer.SIZING_16, 5000, 16),
    ],
)
def test_other_programs_read_a_fat(
    tmp_path: Path, sizing: fat_writer.FatSizing, length: int, bits: int
) -> None:
    image, partition, source = (tmp_path / name for name in ("image.img", "part", "source"))
    with source.open("wb") as sparse:
        sparse.truncate(length)
        sparse.seek(length - 5)
        sparse.write(b"12345")
    files = [*files_of(SMALL), VolumeFile("LARGE", length, Slice.of_file(source))]
    written = fat_writer.write_image(
        image, volume_identifier="V", files=files, created=CREATED, sizing=sizing
    )
    assert written == image_size(sizing, [(file.file_id, file.size) for file in files])
    with image.open("rb") as disk, partition.open("wb") as part:
        disk.seek(1 << 20)
        while piece := disk.read(1 << 20):
            part.seek(len(piece), 1) if not any(piece) else part.write(piece)
        part.truncate(written - (1 << 20))
    assert f"2 FATs, {bits} bit entries" in run("fsck.vfat", "-n", "-v", partition)
    (tmp_path / "out").mkdir()
    run("mcopy", "-s", "-i", partition, "::/", tmp_path / "out")
    (tmp_path / "out" / "LARGE").unlink()
    check_tree(tmp_path / "out", SMALL)
    with open_volume(image) as volume:
        assert volume.disagreements() == {}
        assert volume.read("LARGE", length - 5) == b"12345"
    with open_volume(partition) as volume:
        assert set(volume.files()) == {*SMALL, "LARGE"}


@pytest.mark.parametrize("count", [61, 62, 63, 125, 126, 127, 253, 254, 255])
def test_a_directory_of_a_fat_has_room_for_all_its_entries(tmp_path: Path, count: int) -> None:
    """Its own two entries included: one entry more than a cluster holds takes another cluster."""
    tree = {f"DICOM\\IM{number:06d}": 100 for number in range(count)}
    image = tmp_path / "image"
    written = fat_writer.write_image(
        image,
        volume_identifier="V",
        files=files_of(tree),
        created=CREATED,
        sizing=fat_writer.SIZING,
    )
    assert written == image_size(fat_writer.SIZING, list(tree.items()))
    with open_volume(image) as volume:
        assert dict(volume.files()) == tree
        assert all(volume.read(name) == content(name, 100) for name in tree)
    with image.open("rb") as disk, (tmp_path / "part").open("wb") as part:
        disk.seek(1 << 20)
        part.write(disk.read())
    run("fsck.vfat", "-n", tmp_path / "part")


def test_the_two_tables_of_a_fat_are_compared(tmp_path: Path) -> None:
    image = tmp_path / "image.img"
    write(FileSystem.FAT, image, files_of(SMALL))
    data = bytearray(image.read_bytes())
    first = (1 << 20) + int.from_bytes(data[(1 << 20) + 14 : (1 << 20) + 16], "little") * 512
    data[first + int.from_bytes(data[(1 << 20) + 22 : (1 << 20) + 24], "little") * 512 + 200] ^= 1
    image.write_bytes(data)
    with open_volume(image) as volume:
        assert list(volume.disagreements()) == ["FAT"]


@pytest.mark.parametrize("used", [0, 1, 4101, 65508, 65509, 65541, 65542, 10**6])
def test_the_number_of_clusters_decides_between_fat16_and_fat32(used: int) -> None:
    geometry = fat_writer.SIZING.geometry(used)
    assert geometry.clusters >= used
    assert geometry.is_fat32 == (geometry.clusters > 65524)
    assert geometry.clusters >= 4085
    assert geometry.first_cluster % 8 == 0
    assert geometry.table_sectors * 512 >= (geometry.clusters + 2) * (4 if geometry.is_fat32 else 2)


def test_files_for_which_a_fat16_has_no_room_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(OutOfResources, match="no room"):
        write(FileSystem.FAT16, tmp_path / "i", [VolumeFile("A", 65_509 * 32768, b"")])
    many = [VolumeFile(f"A{number}", 0, b"") for number in range(512)]
    with pytest.raises(OutOfResources, match="no room"):
        write(FileSystem.FAT, tmp_path / "i", many)


# --- ZIP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
def test_other_programs_read_a_zip_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(zip_writer, "needs_zip64", lambda *_: True)
    image = tmp_path / "image.zip"
    written = write(FileSystem.ZIP, image, files_of(SMALL))
    assert written == image_size(FORMATS[FileSystem.ZIP].sizing, SMALL.items())
    run("unzip", "-q", image, "-d", tmp_path / "out")
    check_tree(tmp_path / "out", SMALL)
    run("7z", "t", image)
    with open_volume(image) as volume:
        assert list(volume.files()) == list(SMALL)


def test_the_crc_of_a_file_in_a_zip_file_is_checked(tmp_path: Path) -> None:
    image = tmp_path / "image.zip"
    write(FileSystem.ZIP, image, files_of(SMALL))
    data = bytearray(image.read_bytes())
    data[100] ^= 1
    image.write_bytes(data)
    with open_volume(image) as volume, pytest.raises(Unreadable, match="CRC"):
        list(volume.chunks("DICOMDIR"))


@pytest.mark.parametrize("whole", [False, True])
def test_a_zip_file_compressed_by_deflate_is_read(tmp_path: Path, whole: bool) -> None:
    with zipfile.ZipFile(tmp_path / "i.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("DICOM")
        for name, length in SMALL.items():
            archive.writestr(name.replace("\\", "/"), content(name, length))
    with open_volume(tmp_path / "i.zip", digest=whole) as volume:
        assert dict(volume.files()) == SMALL
        for name, length in SMALL.items():
            assert volume.read(name, 5, 7) == content(name, length)[5:12]
            assert b"".join(volume.chunks(name)) == content(name, length)


def test_a_zip_file_compressed_in_another_way_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "i.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("DICOMDIR", b"a" * 1000)
    with pytest.raises(Unreadable, match="compressed"), open_volume(tmp_path / "i.zip"):
        pass


def test_a_compressed_file_that_would_fill_the_memory_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_reader, "_LARGEST_COMPRESSED", 999)
    with zipfile.ZipFile(tmp_path / "i.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("DICOMDIR", b"a" * 1000)
    with pytest.raises(Unreadable, match="more than 999 bytes"), open_volume(tmp_path / "i.zip"):
        pass


# --- MIME ----------------------------------------------------------------------------------------


def test_other_programs_read_a_message(tmp_path: Path) -> None:
    """PS3.12 K.1: by the parser of Python, and by munpack."""
    image = tmp_path / "message.eml"
    write(FileSystem.MIME, image, files_of(SMALL))
    data = image.read_bytes()
    assert max(map(len, data.split(b"\r\n"))) <= 76
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert message.get_content_type() == "multipart/mixed"
    assert message["Date"].datetime == CREATED
    parts = {}
    for part in message.iter_attachments():
        name = part.get_filename()
        identifier = part.get_param("id")
        *_, last = identifier.split("/")
        extension = "" if last in {"DICOMDIR", "README.TXT"} else ".dcm"
        assert name == part.get_param("name") == last + extension
        dicom = part.get_content_type() == "application/dicom"
        assert dicom == (last != "README.TXT")
        parts[identifier.replace("/", "\\")] = part.get_payload(decode=True)
    assert parts == {name: content(name, length) for name, length in SMALL.items()}
    assert not message.defects
    run("munpack", "-q", "-t", "-C", tmp_path, image)
    unpacked = sorted(path.read_bytes() for path in tmp_path.iterdir() if path != image)
    assert set(unpacked) >= set(parts.values())


def test_messages_of_other_programs_are_read(tmp_path: Path) -> None:
    """With text before, other line ends, and files as they are."""
    message = email.message.EmailMessage()
    message["Subject"] = "images"
    message.set_content("Here they are.")
    message.add_attachment(
        content("A", 5000), "application", "dicom", filename="A", params={"id": "DICOM/A"}
    )
    message.add_attachment(b"B" * 77, "application", "dicom", filename="B.dcm", cte="7bit")
    message.add_attachment(b"", "application", "dicom", filename="C.dcm")
    path = tmp_path / "message.eml"
    for policy in (email.policy.SMTP, email.policy.default):
        path.write_bytes(message.as_bytes(policy=policy))
        with open_volume(path) as volume:
            assert dict(volume.files()) == {"DICOM\\A": 5000, "B.dcm": 77, "C.dcm": 0}
            assert volume.read("DICOM\\A", 100, 300) == content("A", 5000)[100:400]
            assert volume.read("B.dcm") == b"B" * 77


def test_a_date_before_1980_becomes_1980() -> None:
    time, date = zip_writer.dos_date(datetime(1970, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert time == 4 << 11 | 5 << 5 | 3
    assert date == 2 << 5 | 3


def test_faults_of_a_file_on_fat_give_its_long_name(tmp_path: Path) -> None:
    """mtools writes the names; the File ID of the file is its alias."""
    image = tmp_path / "stick.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    run("mkfs.vfat", "-F", "16", "-s", "1", image)
    name = "Some very long file name, for more than two entries.html"
    (tmp_path / name).write_bytes(b"hi")
    (tmp_path / "ReadMe.txt").write_bytes(b"read me")
    run("mmd", "-i", image, "::Long Folder Name")
    run("mcopy", "-i", image, tmp_path / name, "::Long Folder Name/")
    run("mcopy", "-i", image, tmp_path / "ReadMe.txt", "::")
    with open_volume(image) as volume:
        assert volume.read("LONGFO~1\\SOMEVE~1.HTM") == b"hi"
        places = {fault.where: fault.message for fault in examine_volume(volume).faults}
    assert places.keys() == {"DICOMDIR", f"Long Folder Name\\{name}"}
    assert "ISO 9660" not in places[f"Long Folder Name\\{name}"]


def test_a_long_name_of_another_file_is_not_used(tmp_path: Path) -> None:
    image = tmp_path / "stick.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    run("mkfs.vfat", "-F", "16", "-s", "1", image)
    (tmp_path / "a long name").write_bytes(b"hi")
    run("mcopy", "-i", image, tmp_path / "a long name", "::")
    image.write_bytes(image.read_bytes().replace(b"ALONGN~1", b"OTHER   "))
    with open_volume(image) as volume:
        assert volume.read("OTHER") == b"hi"
        assert volume.long_names == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_last_anchor_of_a_padded_image_is_looked_for(is_lost: bool, tmp_path: Path) -> None:
    path = tmp_path / "padded.iso"
    files = [VolumeFile("README.TXT", 7, b"read me")]
    FORMATS[FileSystem.ISO_9660_UDF_BRIDGE].write(
        path, volume_identifier="TEST", files=files, created=datetime.now(UTC)
    )
    image = bytearray(path.read_bytes())
    if is_lost:
        image[-2048:] = bytes(2048)
    path.write_bytes(image + bytes(100 * 2048))
    with open_volume(path) as volume:
        disagreements = volume.disagreements()
    if is_lost:
        assert "1 of at least two anchors" in disagreements["UDF"]
    else:
        assert disagreements == {}
