"""A truncated image has a fault, whatever its length."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from burnish.errors import DamagedVolume, Unreadable
from burnish.image.formats import FORMATS
from burnish.image.reader import open_volume
from burnish.media import FileSystem
from burnish.values import VolumeFile
from burnish.verify import examine_volume
from made_volume import SampleVolume
from unit.cli.conftest import Run

#: Bytes cut off. A message without its last line break is complete (RFC 2046 5.1.1).
CUT_OFF = [1, 100, 511, 512, 2047, 2048, 4096, 10_000]
#: Bytes left before or within the first descriptor of a file system.
LEFT = [0, 1, 3, 100, 446, 510, 511, 32_769, 32_774, 34_815]
FRACTIONS = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]


def written(file_system: FileSystem, path: Path) -> int:
    sample = SampleVolume()
    contents = {"DICOMDIR": sample.dicomdir(), **sample.files, "README.TXT": b"read me"}
    files = [VolumeFile(name, len(data), data) for name, data in contents.items()]
    FORMATS[file_system].write(
        path, volume_identifier="TEST", files=files, created=datetime.now(UTC)
    )
    with open_volume(path) as volume:
        assert examine_volume(volume).faults == ()
    return path.stat().st_size


def verdict(path: Path) -> str:
    try:
        with open_volume(path) as volume:
            return "no fault" if examine_volume(volume).good else "fault"
    except DamagedVolume:
        return "fault"
    except Unreadable as error:
        return str(error)


@pytest.mark.parametrize(
    "file_system",
    [name for name in FORMATS if name is not FileSystem.FAT16],
    ids=lambda file_system: file_system.name,
)
def test_an_image_cut_anywhere_has_a_fault(file_system: FileSystem, tmp_path: Path) -> None:
    path = tmp_path / f"image{FORMATS[file_system].suffix}"
    size = written(file_system, path)
    lengths = {size - count for count in CUT_OFF} | {int(size * part) for part in FRACTIONS}
    lengths |= {length for length in LEFT if length < size}
    if file_system is FileSystem.MIME:
        lengths.discard(size - 1)
    verdicts = {}
    for length in sorted((length for length in lengths if length >= 0), reverse=True):
        with path.open("r+b") as image:
            image.truncate(length)
        verdicts[length] = verdict(path)
    assert set(verdicts.values()) == {"fault"}, {size - n: text for n, text in verdicts.items()}


def test_the_command_reports_it_as_a_fault_of_the_volume(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "image.iso"
    size = written(FileSystem.ISO_9660_LEVEL_1, path)
    for length in (size - 1, 40_000, 33_000, 20_000, 0):
        with path.open("r+b") as image:
            image.truncate(length)
        done = run("disc", "verify", path, "--json")
        assert done.code == 22
        assert done.json["faults"]
    assert done.json["faults"][0]["code"] == "VOLUME_UNREADABLE"
    assert "examined:" not in run("disc", "verify", path).out


def test_a_truncated_image_with_a_manifest_is_never_taken_for_another_file(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"the beginning of an isohybrid")
    assert run("disc", "verify", path).code == 3
    assert run("disc", "verify", path.rename(path.with_suffix(".iso"))).code == 22
    path = path.with_suffix(".iso").rename(path)
    path.with_suffix(".json").write_text('{"image": "image", "size": 100000}')
    done = run("disc", "verify", path)
    assert done.code == 22
    assert "VOLUME_UNREADABLE" in done.out


@pytest.mark.parametrize("length", [2, 500, 32_770])
def test_the_beginning_of_a_volume_is_known_without_its_name(length: int, tmp_path: Path) -> None:
    file_system = {2: FileSystem.ZIP, 500: FileSystem.FAT}.get(length, FileSystem.ISO_9660_LEVEL_1)
    path = tmp_path / "copy"
    written(file_system, path)
    with path.open("r+b") as image:
        image.truncate(length)
    assert verdict(path) == "fault"


def test_another_file_is_no_volume_whatever_its_length(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes. " * 10)
    done = run("disc", "verify", path)
    assert done.code == 3
    assert "there is no volume" in done.err
