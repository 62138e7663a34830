"""Images have every byte of their layout, in however many pieces they are written."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import OutOfResources
from burnish.file_slice import Slice
from burnish.image import image_file
from burnish.values import VolumeFile

_ALIGNMENT = 2048
_STRUCTURE = b"structure" * 1000
#: Sizes on both sides of those at which files are gathered, and of the pieces that are read.
_SIZES = (0, 1, 2048, 10_500, 65_535, 65_536, 1 << 20, (1 << 20) + 1)


@given(st.lists(st.sampled_from(_SIZES), max_size=12))
def test_an_image_has_every_byte_of_its_layout(sizes: list[int]) -> None:
    _write_and_compare(sizes)


def test_many_small_files_are_written_while_progress_is_reported() -> None:
    _write_and_compare([10_500] * 1000)


def test_blocks_are_allocated_ahead_of_what_is_written_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_file, "_ALLOCATED_AHEAD", 100_000)
    steps = []
    allocate = os.posix_fallocate

    def noting(descriptor: int, start: int, length: int) -> None:
        steps.append((start, length))
        allocate(descriptor, start, length)

    monkeypatch.setattr(os, "posix_fallocate", noting)
    image = tmp_path / "image"
    size = 1_000_000
    files = [(number * 100_000, VolumeFile("F", 90_000, bytes(90_000))) for number in range(9)]
    image_file.write_layout(image, size, [(size - 100, bytes(100))], files)
    assert len(steps) > 3
    position = 0
    for start, length in steps:
        assert start == position
        position += length
    assert position == size
    assert image.stat().st_blocks * 512 >= size


def test_an_image_whose_disk_fills_up_meanwhile_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_file, "_ALLOCATED_AHEAD", 100_000)
    allocate = os.posix_fallocate

    def failing(descriptor: int, start: int, length: int) -> None:
        if start:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(descriptor, start, length)

    monkeypatch.setattr(os, "posix_fallocate", failing)
    files = [(0, VolumeFile("F", 500_000, bytes(500_000)))]
    image = tmp_path / "image"
    with pytest.raises(OutOfResources, match="no room for an image of 1000000 bytes"):
        image_file.write_layout(image, 1_000_000, [], files)
    assert not image.exists()


def _write_and_compare(sizes: list[int]) -> None:
    with TemporaryDirectory() as directory:
        expected = bytearray(_STRUCTURE.ljust(20 * _ALIGNMENT, b"\0"))
        files = []
        for number, size in enumerate(sizes):
            content = bytes([number % 255 + 1]) * size
            source = Path(directory, str(number))
            source.write_bytes(content)
            start = len(expected) if size else 0  # as a file system places an empty file
            files.append((start, VolumeFile(f"F{number}", size, Slice.of_file(source))))
            expected += content + bytes(-size % _ALIGNMENT)
        image = Path(directory, "image")

        def compare_start(written: int) -> None:
            assert image.read_bytes()[:written] == expected[:written]

        image_file.write_layout(image, len(expected), [(0, _STRUCTURE)], files, compare_start)
        assert image.read_bytes() == expected
