"""Whether two files hold equal data: their encoding does not count, any value does."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from burnish.dicom_elements import encode
from burnish.file_slice import Slice
from burnish.instance_header.equality import are_equal_as_data
from factories import CT


def data_set(*, undefined_length: bool = False) -> Dataset:
    result = Dataset()
    result.SOPClassUID = CT
    result.SOPInstanceUID = "1.2.3"
    result.SpecificCharacterSet = "ISO_IR 192"
    result.PatientName = "Mü^A"
    item = Dataset()
    item.CodeValue = "1"
    item.CodeMeaning = "Übung"
    item.is_undefined_length_sequence_item = undefined_length
    result.ProcedureCodeSequence = Sequence([item, Dataset()])
    result["ProcedureCodeSequence"].is_undefined_length = undefined_length
    result.Rows = 2
    result.ImagePositionPatient = [1, 2.5, -3]
    return result


def write(path: Path, content: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    content = copy.deepcopy(content)
    content.ensure_file_meta()
    content.file_meta.TransferSyntaxUID = syntax
    content.file_meta.MediaStorageSOPClassUID = content.SOPClassUID
    content.file_meta.MediaStorageSOPInstanceUID = content.SOPInstanceUID
    content.save_as(path, enforce_file_format=True)
    return path


def equal(first: Path, second: Path) -> bool:
    return are_equal_as_data(Slice.of_file(first), Slice.of_file(second))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_another_transfer_syntax_makes_no_difference(tmp_path: Path, syntax: str) -> None:
    first = write(tmp_path / "1", data_set())
    assert equal(first, write(tmp_path / "2", data_set(), syntax))


def test_undefined_lengths_group_lengths_and_padding_make_no_difference(tmp_path: Path) -> None:
    first = write(tmp_path / "1", data_set())
    second = write(tmp_path / "2", data_set(undefined_length=True))
    assert first.read_bytes() != second.read_bytes()
    assert equal(first, second)
    padded = first.read_bytes() + encode(0xFFFCFFFC, b"OB", bytes(10))
    (tmp_path / "3").write_bytes(padded)
    assert equal(first, tmp_path / "3")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: setattr(content, "PatientName", "Mü^B"),
        lambda content: setattr(content, "Rows", 3),
        lambda content: delattr(content, "Rows"),
        lambda content: setattr(content, "Columns", 3),
        lambda content: setattr(content.ProcedureCodeSequence[0], "CodeValue", "2"),
        lambda content: content.ProcedureCodeSequence.pop(),
        lambda content: setattr(content, "PixelData", b"12"),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_any_other_value_makes_a_difference(
    tmp_path: Path, change: Callable[[Dataset], object], syntax: str
) -> None:
    other = data_set()
    change(other)
    if "PixelData" in other:
        other["PixelData"].VR = "OW"
        other.BitsAllocated = 16
    first = write(tmp_path / "1", data_set())
    assert not equal(first, write(tmp_path / "2", other, syntax))


def test_a_file_that_cannot_be_read_is_different(tmp_path: Path) -> None:
    first = write(tmp_path / "1", data_set())
    (tmp_path / "2").write_bytes(b"no DICOM file")
    assert not equal(first, tmp_path / "2")
    gone = Slice(str(tmp_path / "3"), 0, 100)
    assert not are_equal_as_data(Slice.of_file(first), gone)
    assert not are_equal_as_data(gone, Slice.of_file(first))
