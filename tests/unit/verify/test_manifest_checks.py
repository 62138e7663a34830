"""An image is compared with the manifest beside it."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from burnish.image import iso9660_writer
from burnish.image.reader import open_volume
from burnish.values import VolumeFile
from burnish.verify import FaultCode
from burnish.verify.manifest_checks import compare_with_manifest, find_manifest
from digesting import digest_of

FILES = {"DICOMDIR": b"d" * 700, "DICOM\\I1": bytes(range(256)) * 20, "README.TXT": b"read me"}
HEAD = 300


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "VOLUME01.iso"
    iso9660_writer.write_image(
        path,
        volume_identifier="TEST",
        files=[VolumeFile(name, len(data), data) for name, data in FILES.items()],
        created=datetime.now(UTC),
    )
    data = path.read_bytes()
    files = {name: {"size": len(text), "digest": digest_of(text)} for name, text in FILES.items()}
    instance = FILES["DICOM\\I1"]
    files["DICOM\\I1"] |= {
        "digest": digest_of(instance[HEAD:]),
        "offset": HEAD,
        "head": digest_of(instance[:HEAD]),
    }
    manifest = {
        "image": path.name,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "files": files,
    }
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


def faults(image: Path) -> list[tuple[str, str]]:
    manifest = find_manifest(image)
    assert manifest is not None
    with open_volume(image) as volume:
        return [
            (fault.code, fault.where) for fault in compare_with_manifest(image, volume, manifest)
        ]


def test_an_image_that_is_what_its_manifest_says_has_no_fault(image: Path) -> None:
    assert faults(image) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_changed_byte_is_named_by_its_file(image: Path, name: str, place: str) -> None:
    data = bytearray(image.read_bytes())
    start = data.index(FILES[name])
    last = len(FILES[name]) - 1
    data[start + {"first": 0, "middle": last // 2, "last": last}[place]] ^= 1
    image.write_bytes(data)
    assert faults(image) == [
        (FaultCode.VOLUME_DIFFERS, "volume"),
        (FaultCode.FILE_CHANGED, name),
    ]


def test_another_size_is_a_fault(image: Path) -> None:
    image.write_bytes(image.read_bytes() + bytes(2048))
    assert {code for code, _ in faults(image)} == {FaultCode.VOLUME_DIFFERS}


def test_the_manifest_is_found_from_the_folder_of_the_image(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    assert find_manifest(Path(image.name)) is not None
    assert find_manifest(Path()) is None
    assert find_manifest(Path("/")) is None


def test_a_manifest_of_another_image_is_not_used(image: Path) -> None:
    assert find_manifest(image.rename(image.with_name("OTHER.iso"))) is None
    image.with_suffix(".json").rename(image.with_name("OTHER.json"))
    assert find_manifest(image.with_name("OTHER.iso")) is None


def test_a_file_of_many_pieces_that_has_not_changed_is_not_named(tmp_path: Path) -> None:
    """Only the first bytes of a file are its head, however many pieces it is read in."""
    content = bytes(range(256)) * 10_000
    path = tmp_path / "VOLUME01.iso"
    iso9660_writer.write_image(
        path,
        volume_identifier="TEST",
        files=[VolumeFile("I1", len(content), content)],
        created=datetime.now(UTC),
    )
    stated = {
        "digest": digest_of(content[HEAD:]),
        "offset": HEAD,
        "head": digest_of(content[:HEAD]),
    }
    manifest = {"image": path.name, "sha256": "0" * 64, "files": {"I1": stated}}
    path.with_suffix(".json").write_text(json.dumps(manifest))
    assert faults(path) == [(FaultCode.VOLUME_DIFFERS, "volume")]
