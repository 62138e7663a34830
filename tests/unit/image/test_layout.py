"""The predicted size of an ISO 9660 image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.image import layout, sizing
from burnish.image.sizing import Run


@pytest.mark.parametrize(
    ("name", "identifier"), [("DICOMDIR", "DICOMDIR.;1"), ("A.TXT", "A.TXT;1")]
)
def test_file_identifier(name: str, identifier: str) -> None:
    assert layout.file_identifier(name) == identifier


@given(
    st.lists(
        st.tuples(st.integers(2, 400), st.integers(1, 8), st.booleans()), min_size=1, max_size=3
    )
)
def test_the_closed_form_is_the_sum(made: list[tuple[int, int, bool]]) -> None:
    runs = [
        Run(count, chr(ord("A") + n) * length, directory)
        for n, (count, length, directory) in enumerate(made)
    ]
    lengths = [len(run.name) if run.directory else len(run.name) + 3 for run in runs]
    counted = layout.directory_sectors(
        [length for length, run in zip(lengths, runs, strict=True) for _ in range(run.count)]
    )
    assert layout.run_sectors(runs) == counted


@pytest.mark.parametrize(("size", "sectors"), [(0, 0), (1, 1), (2048, 1), (2049, 2)])
def test_file_sectors(size: int, sectors: int) -> None:
    assert layout.file_sectors(size) == sectors


def test_size_is_the_documented_sum() -> None:
    files = [("DICOMDIR", 3000)] + [(f"DICOM\\{i:08d}", 5000 + i) for i in range(300)]
    path_table = layout.PATH_TABLE_ROOT + layout.path_table_record(len("DICOM"))
    sectors = (
        layout.FIXED_SECTORS
        + layout.path_table_sectors(path_table)
        + layout.directory_sectors([len("DICOM"), len("DICOMDIR.;1")])
        + layout.directory_sectors([len("00000000.;1")] * 300)
        + sum(layout.file_sectors(size) for _, size in files)
    )
    assert sizing.of_volume(layout.SIZING, files) == sectors * 2048
