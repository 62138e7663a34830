"""The predicted size of an image, and the names that may be in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import InvalidValue
from burnish.image import layout


@pytest.mark.parametrize(
    "file_id",
    ["DICOMDIR", "A", "A\\B\\C\\D\\E\\F\\G\\H", "DICOM\\S0000001\\I_000001", "12345678"],
)
def test_file_ids(file_id: str) -> None:
    layout.check_file_id(file_id)


@pytest.mark.parametrize(
    "file_id",
    [
        "",
        "\\A",
        "A\\",
        "A\\\\B",
        "a",
        "NAME.TXT",
        "A-B",
        "A B",
        "123456789",
        "A\\B\\C\\D\\E\\F\\G\\H\\I",
        "A/B",
        "A\n",
        "Ä",
        "..",
    ],
)
def test_no_file_ids(file_id: str) -> None:
    with pytest.raises(InvalidValue):
        layout.check_file_id(file_id)


@pytest.mark.parametrize("name", ["README.TXT", "IHE_PDI\\INDEX.HTM", "A.B"])
def test_names_of_other_files(name: str) -> None:
    layout.check_file_id(name, dicom=False)


@pytest.mark.parametrize("name", ["README.TEXT", "A.B\\C", ".TXT", "A.", "A.B.C", "a.txt"])
def test_no_names_of_other_files(name: str) -> None:
    with pytest.raises(InvalidValue):
        layout.check_file_id(name, dicom=False)


@pytest.mark.parametrize(
    ("name", "identifier"), [("DICOMDIR", "DICOMDIR.;1"), ("A.TXT", "A.TXT;1")]
)
def test_file_identifier(name: str, identifier: str) -> None:
    assert layout.file_identifier(name) == identifier


@given(st.integers(0, 400), st.integers(1, 14))
def test_the_closed_form_is_the_sum(children: int, length: int) -> None:
    counted = layout.directory_sectors([length] * children)
    assert layout.uniform_directory_sectors(children, length) == counted


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
        + layout.uniform_directory_sectors(300, len("00000000.;1"))
        + sum(layout.file_sectors(size) for _, size in files)
    )
    assert layout.size(files) == sectors * 2048
