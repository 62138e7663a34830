"""The predicted size of an ISO 9660 image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.image import iso9660_writer, volume_size
from burnish.image.volume_size import NameRun


@pytest.mark.parametrize(
    ("name", "identifier"), [("DICOMDIR", "DICOMDIR.;1"), ("A.TXT", "A.TXT;1")]
)
def test_file_identifier(name: str, identifier: str) -> None:
    assert iso9660_writer.file_identifier(name) == identifier


@given(
    st.lists(
        st.tuples(st.integers(2, 400), st.integers(1, 8), st.booleans()), min_size=1, max_size=3
    )
)
def test_runs_of_names_take_as_many_sectors_as_the_names(
    shapes: list[tuple[int, int, bool]],
) -> None:
    runs = [
        NameRun(count, chr(ord("A") + n) * length, directory)
        for n, (count, length, directory) in enumerate(shapes)
    ]
    lengths = [len(run.name) if run.directory else len(run.name) + 3 for run in runs]
    counted = iso9660_writer.directory_sectors(
        [length for length, run in zip(lengths, runs, strict=True) for _ in range(run.count)]
    )
    assert iso9660_writer.run_sectors(runs) == counted


@pytest.mark.parametrize(("size", "sectors"), [(0, 0), (1, 1), (2048, 1), (2049, 2)])
def test_file_sectors(size: int, sectors: int) -> None:
    assert volume_size.sectors(size) == sectors


def test_size_is_the_documented_sum() -> None:
    files = [("DICOMDIR", 3000)] + [(f"DICOM\\{i:08d}", 5000 + i) for i in range(300)]
    path_table = iso9660_writer.PATH_TABLE_ROOT + iso9660_writer.path_table_record(len("DICOM"))
    sectors = (
        iso9660_writer.FIXED_SECTORS
        + iso9660_writer.path_table_sectors(path_table)
        + iso9660_writer.directory_sectors([len("DICOM"), len("DICOMDIR.;1")])
        + iso9660_writer.directory_sectors([len("00000000.;1")] * 300)
        + sum(volume_size.sectors(size) for _, size in files)
    )
    assert volume_size.image_size(iso9660_writer.SIZING, files) == sectors * 2048
