"""Images have every byte of their layout, in however many pieces they are written."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

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
