"""File IDs in directory order."""

import itertools

import pytest

from burnish.dicomdir import file_ids
from burnish.errors import Conflict


def test_numbers_start_from_1_in_each_directory() -> None:
    paths = [("a", "b", "c"), ("a", "b", "c"), ("a", "b", "d"), ("a", "e", "f"), ("g", "b", "c")]
    assert list(file_ids.assign([*paths, (None, None, None)])) == [
        r"DICOM\PA000001\ST000001\SE000001\IM000001",
        r"DICOM\PA000001\ST000001\SE000001\IM000002",
        r"DICOM\PA000001\ST000001\SE000002\IM000001",
        r"DICOM\PA000001\ST000002\SE000001\IM000001",
        r"DICOM\PA000002\ST000001\SE000001\IM000001",
        r"DICOM\RO000001",
    ]


def test_more_files_than_six_digits_can_number_are_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert file_ids._MAXIMUM == 999_999
    monkeypatch.setattr(file_ids, "_MAXIMUM", 99)
    paths = itertools.repeat(("a", "b", "c"), 100)
    with pytest.raises(Conflict):
        for _ in file_ids.assign(paths):
            pass


def test_numbers_continue_after_those_taken() -> None:
    taken = [
        "DICOMDIR",
        r"DICOM\PA000007\ST000001\SE000001\IM000001",
        "DICOM\\RO000002",
        r"A\PA000009",
    ]
    assert list(file_ids.assign([("a", "b", "c"), (None, None, None)], taken)) == [
        r"DICOM\PA000008\ST000001\SE000001\IM000001",
        r"DICOM\RO000003",
    ]
