"""Damage to images, secure volumes and manifests is found and named by `burnish disc verify`."""

import hashlib
import json
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom.fileset import FileSet

import material
from burnish.application_profiles import PROFILES
from burnish.hashing import digest_of
from burnish.image.formats import FORMATS
from burnish.media import MEDIA, FileSystem
from burnish.offline import disc_build
from burnish.offline.disc_build import BuildOptions
from burnish.secure_files.protection import load_protection
from burnish.settings import SecuritySettings
from burnish.values import VolumeFile
from unit.cli import file_set_folder
from unit.cli.conftest import Done, Run

ISO, BRIDGE, UDF = (
    FileSystem.ISO_9660_LEVEL_1,
    FileSystem.ISO_9660_UDF_BRIDGE,
    FileSystem.UDF_2_60,
)
FAT, ZIP, MIME = FileSystem.FAT, FileSystem.ZIP, FileSystem.MIME
SECTOR = 2048
PASSWORD = "correct horse battery"


class Damage(NamedTuple):
    """A change to the bytes of an image, and the texts of the line about it."""

    file_system: FileSystem
    change: Callable[[bytearray], object]
    texts: tuple[str, ...]


def put(offset: int, data: bytes) -> Callable[[bytearray], None]:
    def change(image: bytearray) -> None:
        start = offset if offset >= 0 else len(image) + offset
        image[start : start + len(data)] = data

    return change


def swap(old: bytes, new: bytes, *, last: bool = False) -> Callable[[bytearray], None]:
    def change(image: bytearray) -> None:
        start = image.rfind(old) if last else image.find(old)
        assert start >= 0, old
        image[start : start + len(old)] = new

    return change


def cut(length: int) -> Callable[[bytearray], None]:
    def change(image: bytearray) -> None:
        del image[length:]

    return change


def iso_record(image: bytearray, name: bytes) -> int:
    """Where the directory record of a file begins in ISO 9660."""
    for match in re.finditer(rb"[\x02-\x10]" + name + rb"(\.?;1)?", bytes(image)):
        start = match.start() - 32
        if image[start] == 33 + image[match.start()] + (image[match.start()] + 1) % 2:
            return start
    raise AssertionError(name)


def root_directory(image: bytearray) -> None:
    sector = int.from_bytes(image[16 * SECTOR + 158 : 16 * SECTOR + 162], "little")
    put(sector * SECTOR, b"\1" * 200)(image)


def in_iso_record(offset: int, number: int) -> Callable[[bytearray], None]:
    """Sets a number of the record of DICOM\\CT, which has both byte orders."""

    def change(image: bytearray) -> None:
        start = iso_record(image, b"CT") + offset
        image[start : start + 8] = struct.pack("<I", number) + struct.pack(">I", number)

    return change


def rename_in_iso(image: bytearray) -> None:
    start = iso_record(image, b"CT") + 33
    image[start : start + 2] = b"CX"


def fat_start(image: bytearray) -> int:
    return int.from_bytes(image[454:458], "little") * 512


def fat_table(image: bytearray, number: int) -> int:
    start = fat_start(image)
    reserved, sectors = struct.unpack_from("<H", image, start + 14)[0], 0
    sectors = struct.unpack_from("<H", image, start + 22)[0]
    return start + 512 * (reserved + number * sectors)


def differing_tables(image: bytearray) -> None:
    image[fat_table(image, 1) + 8] ^= 1


def endless_chain(image: bytearray) -> None:
    for number in (0, 1):
        start = fat_table(image, number) + 2 * 2
        table = struct.unpack_from("<40H", image, start)
        place = next(at for at, entry in enumerate(table) if entry == at + 3)
        struct.pack_into("<H", image, start + 2 * place, place + 2)


def fat_size(image: bytearray) -> None:
    """The size of DICOM\\CT in its directory entry."""
    start = image.find(b"CT         ") + 28
    struct.pack_into("<I", image, start, 1 << 28)


def in_base64(image: bytearray) -> None:
    start = image.find(b"\r\n\r\n", image.find(b"CT"))
    image[start + 40 : start + 44] = b"!!!!"


DAMAGE = {
    "ISO 9660: Volume Identifier": Damage(
        ISO, swap(b"TEST   ", b"TOAST  "), ("Volume Identifier", "File-set ID")
    ),
    "ISO 9660: place of a file": Damage(
        ISO, in_iso_record(2, 18), ("DICOM\\CT: ", "not a DICOM file")
    ),
    "ISO 9660: file behind the end": Damage(
        ISO, in_iso_record(2, 1 << 20), ("DICOM\\CT", "beyond the end")
    ),
    "ISO 9660: size of a file": Damage(ISO, in_iso_record(10, 2000), ("DICOM\\CT: ", "truncated")),
    "ISO 9660: name of a file": Damage(ISO, rename_in_iso, ("DICOM\\CT: ", "not on the volume")),
    "ISO 9660: no descriptor": Damage(
        ISO, put(16 * SECTOR, bytes(6)), ("VOLUME_UNREADABLE", "no volume")
    ),
    "ISO 9660: block size": Damage(
        ISO, put(16 * SECTOR + 128, b"\1\1\1\1"), ("VOLUME_UNREADABLE", "logical blocks")
    ),
    "ISO 9660: directory": Damage(
        ISO, root_directory, ("VOLUME_UNREADABLE", "directory root has a record of a wrong length")
    ),
    "ISO 9660: cut": Damage(ISO, cut(100_000), ("truncated", "100000 bytes")),
    "UDF: both anchors": Damage(
        BRIDGE,
        lambda image: (put(256 * SECTOR, b"\0")(image), put(-SECTOR, b"\0")(image)),
        ("UDF: ", "cannot be read"),
    ),
    "UDF: last anchor": Damage(BRIDGE, put(-SECTOR, b"\0"), ("UDF: ", "1 of at least two anchors")),
    "UDF: name that ISO 9660 does not have": Damage(
        BRIDGE, rename_in_iso, ("DICOM\\CT: ", "ISO 9660 directories do not have it")
    ),
    "UDF: place that is not that of ISO 9660": Damage(
        BRIDGE, in_iso_record(10, 2000), ("DICOM\\CT: ", "is not that in ISO 9660")
    ),
    "UDF: Volume Identifier": Damage(
        BRIDGE, swap(b"TEST   ", b"TOAST  "), ("volume: ", "UDF Logical Volume Identifier")
    ),
    "UDF 2.60: anchors": Damage(
        UDF,
        lambda image: [put(at, bytes(16))(image) for at in (256 * SECTOR, -SECTOR, -257 * SECTOR)],
        ("VOLUME_UNREADABLE", "Anchor"),
    ),
    "UDF 2.60: cut": Damage(UDF, cut(700_000), ("DICOM\\CT: ", "beyond the end of the volume")),
    "FAT: two tables": Damage(
        FAT, differing_tables, ("FAT: ", "two file allocation tables differ")
    ),
    "FAT: endless chain": Damage(FAT, endless_chain, ("without an end",)),
    "FAT: size of a file": Damage(FAT, fat_size, ("DICOM\\CT",)),
    "FAT: boot sector": Damage(
        FAT, lambda image: put(fat_start(image) + 11, b"\0\0")(image), ("VOLUME_UNREADABLE",)
    ),
    "FAT: cut": Damage(FAT, cut(8 << 20), ("FAT: ", "more sectors than the image has")),
    "ZIP: content of a file": Damage(ZIP, swap(b"Doe^Jane", b"Doe^Jame"), ("CRC",)),
    "ZIP: directory": Damage(ZIP, swap(b"PK\1\2", b"PK\0\0"), ("VOLUME_UNREADABLE",)),
    "ZIP: name of a file": Damage(
        ZIP, swap(b"DICOM/CT", b"DICOM/CX", last=True), ("DICOM\\CT: ", "not on the volume")
    ),
    "ZIP: cut": Damage(ZIP, cut(50_000), ("VOLUME_UNREADABLE", "ZIP file cannot be read")),
    "MIME: base64": Damage(MIME, in_base64, ("DICOM\\",)),
    "MIME: cut": Damage(MIME, cut(50_000), ("VOLUME_UNREADABLE", "final boundary")),
    "MIME: header": Damage(MIME, swap(b"multipart/", b"text/plain"), ("VOLUME_UNREADABLE",)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, real_studies: material.RealStudies) -> Path:
    return file_set_folder.make(tmp_path_factory.mktemp("file-set"), real_studies)


@pytest.fixture(scope="module")
def images(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[FileSystem, bytes]:
    """An image of each file system, with the files of the folder."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            file_id = "\\".join(path.relative_to(folder).parts)
            files.append(VolumeFile(file_id, len(data), data))
    target = tmp_path_factory.mktemp("images")
    images = {}
    for file_system in (ISO, BRIDGE, UDF, FAT, ZIP, MIME):
        path = target / file_system.name
        FORMATS[file_system].write(
            path, volume_identifier="TEST", files=files, created=datetime.now(UTC)
        )
        images[file_system] = path.read_bytes()
    return images


@pytest.mark.parametrize("file_system", [ISO, BRIDGE, UDF, FAT, ZIP, MIME], ids=lambda fs: fs.name)
def test_images_without_damage_have_no_fault(
    file_system: FileSystem, images: dict[FileSystem, bytes], run: Run, tmp_path: Path
) -> None:
    path = tmp_path / f"image{FORMATS[file_system].suffix}"
    path.write_bytes(images[file_system])
    done = run("disc", "verify", path, "--pixels", "--json")
    assert done.code == 0, done.out
    assert done.json["notes"] == []
    assert done.json["instances"] == len(file_set_folder.SOURCES)


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_an_image_is_found_and_named(
    name: str, images: dict[FileSystem, bytes], run: Run, tmp_path: Path
) -> None:
    file_system, change, texts = DAMAGE[name]
    image = bytearray(images[file_system])
    change(image)
    path = tmp_path / f"image{FORMATS[file_system].suffix}"
    path.write_bytes(image)
    done = run("disc", "verify", path)
    assert done.code == 22, done.out
    lines = [line for line in done.out.splitlines() if all(text in line for text in texts)]
    assert lines, done.out


# --- secure volumes ---


@pytest.fixture(scope="module")
def secure_image(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> bytes:
    """A secure CD with one instance of the folder."""
    target = tmp_path_factory.mktemp("secure")
    (target / "words").write_text(PASSWORD)
    options = BuildOptions(
        profile=PROFILES["STD-GEN-SEC-CD"],
        medium=MEDIA["CD"],
        capacity=None,
        file_set_id="SECURE",
        split=True,
        protection=load_protection(
            SecuritySettings(), recipients=(), password_file=str(target / "words")
        ),
    )
    result = disc_build.build([folder / "DICOM" / "CT"], target, options, _ignore_progress)
    (volume,) = result.built
    assert volume.report.good
    return volume.image.read_bytes()


def _ignore_progress(_step: str, _amount: int, _total: int) -> None:
    """Nobody watches."""


def verify_secure(run: Run, tmp_path: Path, image: bytes, *options: str) -> Done:
    (tmp_path / "words").write_text(PASSWORD)
    path = tmp_path / "secure.iso"
    path.write_bytes(image)
    return run("disc", "verify", path, *options)


@pytest.mark.parametrize("is_opened", [False, True])
def test_a_secure_volume_without_damage_has_no_fault(
    is_opened: bool, secure_image: bytes, run: Run, tmp_path: Path
) -> None:
    options = ("--password-file", str(tmp_path / "words")) if is_opened else ()
    assert verify_secure(run, tmp_path, secure_image, *options).code == 0


def test_a_changed_byte_of_a_secure_file_is_found_with_the_password(
    secure_image: bytes, run: Run, tmp_path: Path
) -> None:
    options = ("--password-file", str(tmp_path / "words"))
    for start in instance_extent(secure_image):
        image = bytearray(secure_image)
        image[start] ^= 1
        done = verify_secure(run, tmp_path, bytes(image), *options)
        assert done.code == 22, start
        assert "SECURE_FILE_UNSOUND  DICOM\\" in done.out or "FILE_NOT" in done.out


def instance_extent(image: bytes) -> list[int]:
    """Three places in the encrypted content of the instance."""
    start = iso_record(bytearray(image), b"IM000001")
    sector, size = struct.unpack_from("<I4xI", image, start + 2)
    return [sector * SECTOR + offset for offset in (size // 3, size // 2, size - 40)]


def test_an_open_file_on_a_secure_volume_is_a_fault(
    secure_image: bytes, folder: Path, run: Run, tmp_path: Path
) -> None:
    image = bytearray(secure_image)
    start = iso_record(image, b"IM000001")
    sector, size = struct.unpack_from("<I4xI", image, start + 2)
    content = (folder / "DICOM" / "MRI").read_bytes()[:size]
    image[sector * SECTOR : sector * SECTOR + len(content)] = content
    done = verify_secure(run, tmp_path, bytes(image))
    assert done.code == 22
    assert "FILE_NOT_SECURE  DICOM\\" in done.out


def test_a_wrong_password_is_no_fault_of_the_volume(
    secure_image: bytes, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "others").write_text("another password")
    options = ("--password-file", str(tmp_path / "others"))
    assert verify_secure(run, tmp_path, secure_image, *options).code == 13


# --- manifests ---


@pytest.fixture
def with_manifest(images: dict[FileSystem, bytes], folder: Path, tmp_path: Path) -> Path:
    """An image with the manifest that a folder device puts beside it."""
    path = tmp_path / "VOLUME01.iso"
    data = images[ISO]
    path.write_bytes(data)
    files = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            name = "\\".join(file.relative_to(folder).parts)
            files[name] = {"size": len(content), "digest": digest_of(content)}
    manifest = {
        "image": path.name,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "files": files,
    }
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


def test_an_image_that_is_what_its_manifest_says_has_no_fault(
    with_manifest: Path, run: Run
) -> None:
    done = run("disc", "verify", with_manifest)
    assert done.code == 0
    size = with_manifest.stat().st_size
    assert f"compared: all {size} bytes with the manifest" in done.out


MANIFEST_DAMAGE: dict[str, tuple[Callable[[bytearray], object], tuple[str, ...]]] = {
    "one pixel": (swap(b"\x08\0\x70\0LO", b"\x08\0\x71\0LO"), ("FILE_CHANGED", "DICOM\\")),
    "text": (swap(b"read me", b"read it"), ("FILE_CHANGED", "README.TXT")),
    "between files": (put(-1, b"x"), ("VOLUME_DIFFERS", "SHA-256")),
    "longer": (lambda image: image.extend(bytes(SECTOR)), ("VOLUME_DIFFERS", "manifest says")),
    "shorter": (lambda image: cut(len(image) - SECTOR)(image), ("VOLUME_DIFFERS", "manifest says")),
    "a file that is gone": (rename_in_iso, ("FILE_MISSING", "DICOM\\CT", "manifest")),
}


@pytest.mark.parametrize("name", MANIFEST_DAMAGE)
def test_damage_is_found_by_the_manifest(name: str, with_manifest: Path, run: Run) -> None:
    change, texts = MANIFEST_DAMAGE[name]
    image = bytearray(with_manifest.read_bytes())
    change(image)
    with_manifest.write_bytes(image)
    done = run("disc", "verify", with_manifest)
    assert done.code == 22
    lines = [line for line in done.out.splitlines() if all(text in line for text in texts)]
    assert lines, done.out


# --- other writers ---


def written_by_dcmmkdir(folder: Path) -> None:
    subprocess.run(
        ["dcmmkdir", "-Pgp", "+D", "DICOMDIR", "+F", "TESTSET", "--invent", "+r", "DICOM"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def written_by_pydicom(folder: Path) -> None:
    file_set = FileSet()
    for path in sorted((folder / "DICOM").iterdir()):
        file_set.add(path)
    file_set.ID = "TESTSET"
    shutil.rmtree(folder / "DICOM")
    file_set.write(folder)
    file_set._stage["t"].cleanup()  # its temporary directory


def written_by_gdcm(folder: Path) -> None:
    subprocess.run(
        ["gdcmgendir", "-r", "--descriptor", "TESTSET", "-i", folder, "-o", "DICOMDIR"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


class OtherWriter(NamedTuple):
    """How it writes a DICOMDIR, whether it can list reports, and the faults that it makes."""

    write: Callable[[Path], None]
    lists_reports: bool = False
    true_faults: tuple[str, ...] = ()


OTHER_WRITERS = {
    "dcmmkdir": OtherWriter(written_by_dcmmkdir, lists_reports=True),
    "pydicom": OtherWriter(written_by_pydicom),
    # it gives the offset of the last of all records, not that of the last root record
    "gdcmgendir": OtherWriter(written_by_gdcm, true_faults=("LAST_RECORD_OFFSET_WRONG",)),
}


@pytest.mark.parametrize("writer", OTHER_WRITERS)
@pytest.mark.parametrize("image", ["none", "ISO 9660", "ISO 9660 and UDF"])
def test_volumes_of_other_writers_have_only_true_faults(
    writer: str, image: str, real_studies: material.RealStudies, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "volume"
    (folder / "DICOM").mkdir(parents=True)
    other = OTHER_WRITERS[writer]
    sources = list(real_studies.patients)
    if other.lists_reports:
        sources += [real_studies.file("test-SR.dcm"), real_studies.file("reportsi.dcm")]
    for number, path in enumerate(sources):
        shutil.copy(path, folder / "DICOM" / f"I{number:04d}")
    other.write(folder)
    target = folder
    if image != "none":
        target = tmp_path / "image.iso"
        options = ["-udf", "-r", "-J"] if "UDF" in image else []
        subprocess.run(
            ["genisoimage", "-quiet", "-V", "TESTSET", *options, "-o", target, folder],
            check=True,
            capture_output=True,
        )
    done = run("disc", "verify", target, "--pixels", "--json")
    assert [fault["code"] for fault in done.json["faults"]] == list(other.true_faults)
    assert done.json["instances"] == len(sources)


#: What `burnish disc verify` says of File-sets of a wider collection, and why it is true.
COLLECTED_FAULTS = {
    # DICOMDIRs for other tests, which are neither DICOMDIR in the root nor have a name of a File ID
    "fileset-pcir": ["DICOMDIR_MISPLACED"] * 6 + ["FILE_NAME_INVALID"] * 6,
    # its File-set ID has a character that PS3.10 8.5 does not have
    "fileset-tiny-alpha": ["FILE_SET_ID_INVALID"],
}


@pytest.mark.parametrize("name", COLLECTED_FAULTS)
def test_collected_file_sets_have_only_true_faults(
    name: str, wider_collection: material.WiderCollection, run: Run
) -> None:
    if not wider_collection:
        return
    done = run("disc", "verify", wider_collection.root / name, "--pixels", "--json")
    assert sorted(fault["code"] for fault in done.json["faults"]) == COLLECTED_FAULTS[name]
    assert {note["code"] for note in done.json["notes"]} <= {"PIXEL_DATA_ABSENT"}
