"""Files whose bytes are generated while they are written, on every file system."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from burnish.errors import Conflict
from burnish.image.formats import FORMATS
from burnish.media import FileSystem
from burnish.values import VolumeFile

CREATED = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
PIECES = [b"first", b"", b"x" * 3_000_000, b"last"]
SIZE = sum(map(len, PIECES))


def image(path: Path, file_system: FileSystem, file: VolumeFile) -> bytes:
    files = [VolumeFile("DICOMDIR", 3, b"dir"), file]
    FORMATS[file_system].write(path, volume_identifier="MADE", files=files, created=CREATED)
    return path.read_bytes()


@pytest.mark.parametrize("file_system", list(FORMATS))
def test_a_generated_file_gives_the_same_image_as_its_bytes(
    file_system: FileSystem, tmp_path: Path
) -> None:
    generated = VolumeFile("DICOM\\A", SIZE, lambda: iter(PIECES))
    in_memory = VolumeFile("DICOM\\A", SIZE, b"".join(PIECES))
    expected = image(tmp_path / "in_memory", file_system, in_memory)
    assert image(tmp_path / "generated", file_system, generated) == expected


@pytest.mark.parametrize("file_system", list(FORMATS))
@pytest.mark.parametrize("off", [-1, 1])
def test_a_generated_file_of_another_size_is_rejected(
    file_system: FileSystem, off: int, tmp_path: Path
) -> None:
    def pieces() -> Iterator[bytes]:
        yield from PIECES

    with pytest.raises(Conflict):
        image(tmp_path / "generated", file_system, VolumeFile("DICOM\\A", SIZE + off, pieces))
    assert not (tmp_path / "generated").exists()
