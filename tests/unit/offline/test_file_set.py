"""A File-set is found where its DICOMDIR lies: at the root, or in a folder."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.offline.file_set import OpenedFileSet, open_file_set
from burnish.secure_files import Keyring
from made_volume import SampleVolume, instance

SAMPLE = SampleVolume().volume().contents


def as_zip(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("\\", "/"), content)
    return path


def as_directory(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = tmp_path / "volume" / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "volume"


def below(folder: str, files: dict[str, bytes] | None = None) -> dict[str, bytes]:
    return {folder + name: content for name, content in (files or SAMPLE).items()}


def names_of(file_set: OpenedFileSet) -> tuple[set[str], set[str]]:
    """The names of listed and of missing instances."""
    return set(file_set.listed), {instance.file_id for instance in file_set.missing}


@pytest.mark.parametrize("written", [as_zip, as_directory])
@pytest.mark.parametrize("folder", ["study\\", "an export\\of today\\CD\\"])
@pytest.mark.parametrize("lower", [False, True])
def test_a_dicomdir_in_a_folder_lists_what_lies_below_it(
    written: Callable[[Path, dict[str, bytes]], Path], folder: str, lower: bool, tmp_path: Path
) -> None:
    files = {name.lower() if lower else name: content for name, content in SAMPLE.items()}
    lost = "dicom\\i1" if lower else "DICOM\\I1"
    del files[lost]
    extra = folder + ("dicom\\extra" if lower else "DICOM\\EXTRA")
    path = written(tmp_path, {**below(folder, files), extra: instance("1.2.3.4")})
    with open_file_set(path, Keyring()) as file_set:
        listed, missing = names_of(file_set)
        assert missing == {folder + "DICOM\\I1"}
        assert len(listed) == 3
        assert all(name.startswith(folder) for name in listed)
        assert file_set.has_dicomdir
        assert extra in file_set.unlisted
        assert file_set.tells_of(extra)
        assert {entry.patient_id for entry in file_set.listed.values()} != {None}


def test_each_of_several_discs_in_a_zip_file_has_its_own_dicomdir(tmp_path: Path) -> None:
    second = dict(SAMPLE)
    del second["DICOM\\I0"]
    files = {**below("first\\"), **below("second\\", second), "loose": instance("1.2.3.4")}
    with open_file_set(as_zip(tmp_path, files), Keyring()) as file_set:
        listed, missing = names_of(file_set)
        assert missing == {"second\\DICOM\\I0"}
        assert len(listed) == 7
        assert file_set.sound_folders == ["first\\", "second\\"]
        assert not file_set.tells_of("loose")


def test_a_damaged_dicomdir_of_several_tells_nothing_of_its_folder(tmp_path: Path) -> None:
    second = {**SAMPLE, "DICOMDIR": SAMPLE["DICOMDIR"][:700]}
    files = {**below("first\\"), **below("second\\", second)}
    with open_file_set(as_zip(tmp_path, files), Keyring()) as file_set:
        assert file_set.damage.startswith("the DICOMDIR in second is damaged")
        assert file_set.tells_of("first\\DICOM\\I0")
        assert not file_set.tells_of("second\\DICOM\\I0")


def test_a_dicomdir_below_another_one_does_not_count(tmp_path: Path) -> None:
    files = {**SAMPLE, **below("BACKUP\\")}
    with open_file_set(as_zip(tmp_path, files), Keyring()) as file_set:
        listed, missing = names_of(file_set)
        assert len(listed) == 4
        assert missing == set()
        assert "BACKUP\\DICOM\\I0" in file_set.unlisted
        assert "BACKUP\\DICOMDIR" not in set(file_set.names())
