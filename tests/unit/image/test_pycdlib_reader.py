"""The second reader: volumes on which pycdlib and Burnish agree or disagree."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from burnish.image import iso9660_writer, udf_bridge_writer
from burnish.image.reader import open_volume
from burnish.values import VolumeFile

FILES = [
    VolumeFile("DICOMDIR", 3, b"abc"),
    VolumeFile("README.TXT", 0, b""),
    *(VolumeFile(f"DICOM\\PA000001\\IM{n:06d}", 5000 + n, bytes(5000 + n)) for n in range(90)),
]


@pytest.mark.parametrize("write", [iso9660_writer.write_image, udf_bridge_writer.write_image])
def test_both_readers_find_the_same_files(tmp_path: Path, write: object) -> None:
    image = tmp_path / "image.iso"
    write(image, volume_identifier="TEST", files=FILES, created=datetime.now(UTC))  # type: ignore[operator]
    with open_volume(image, twice=True) as volume:
        assert len(volume.files()) == len(FILES)
        assert volume.disagreements() == {}


def test_a_file_that_pycdlib_finds_elsewhere_is_a_disagreement(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    iso9660_writer.write_image(
        image, volume_identifier="TEST", files=FILES, created=datetime.now(UTC)
    )
    with open_volume(image, twice=True) as volume:
        sections = volume._table.sections  # type: ignore[attr-defined]
        start, length = sections["DICOMDIR"][0]
        sections["DICOMDIR"] = [(start + 2048, length)]
        assert list(volume.disagreements()) == ["DICOMDIR"]


def test_a_volume_that_pycdlib_cannot_read_has_no_disagreements(tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    iso9660_writer.write_image(
        image, volume_identifier="TEST", files=FILES, created=datetime.now(UTC)
    )
    data = bytearray(image.read_bytes())
    data[17 * 2048 + 1] = 0  # the Set Terminator
    image.write_bytes(data)
    with open_volume(image, twice=True) as volume:
        assert volume.disagreements() == {}
