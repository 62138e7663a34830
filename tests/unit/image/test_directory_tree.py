"""The names that may be on a volume, and the directories they make."""

import pytest

from burnish.errors import InvalidValue
from burnish.identifiers import is_file_id
from burnish.image import directory_tree


@pytest.mark.parametrize(
    "file_id",
    ["DICOMDIR", "A", "A\\B\\C\\D\\E\\F\\G\\H", "DICOM\\S0000001\\I_000001", "12345678"],
)
def test_file_ids_are_accepted(file_id: str) -> None:
    assert is_file_id(file_id)


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
def test_other_texts_are_no_file_ids(file_id: str) -> None:
    assert not is_file_id(file_id)


@pytest.mark.parametrize("name", ["README.TXT", "IHE_PDI\\INDEX.HTM", "A.B"])
def test_a_file_name_may_have_an_extension(name: str) -> None:
    directory_tree.check_file_name(name)


@pytest.mark.parametrize("name", ["README.TEXT", "A.B\\C", ".TXT", "A.", "A.B.C", "a.txt"])
def test_wrong_file_names_are_rejected(name: str) -> None:
    with pytest.raises(InvalidValue):
        directory_tree.check_file_name(name)


def test_a_directory_comes_before_its_children() -> None:
    grown = directory_tree.build_tree(["Z\\Y\\X", "B", "A\\B", "Z\\A\\A", "A\\A"])
    assert [directory.path for directory in grown] == ["", "A", "Z", "Z\\A", "Z\\Y"]
    root, first = grown[:2]
    assert [child.name for child in root.directories] == ["A", "Z"]
    assert root.files == ["B"]
    assert [first.path_of(name) for name in first.files] == ["A\\A", "A\\B"]
