"""Surface: the real studies that the demo sends: those in the pydicom package."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom.data
from pydicom import dcmread
from pydicom.dataset import FileDataset

_PACKAGE = Path(pydicom.data.__file__).parent
_FILES = _PACKAGE / "test_files"
_TREE = _FILES / "dicomdirtests"
_PATIENTS = (("77654033",), ("98892001", "98892003"), ("TINY_ALPHA/PT000000",))
#: Many modalities, transfer syntaxes and character sets.
_COLLECTION = (
    "693_J2KI CT_small J2K_pixelrep_mismatch JPEG-lossy MR_small_RLE SC_rgb_jpeg_dcmtk"
    " SC_rgb_jpeg_gdcm SC_ybr_full_422_uncompressed examples_jpeg2k examples_overlay"
    " examples_palette examples_rgb_color examples_ybr_color image_dfl liver_1frame reportsi"
    " rtdose rtplan test-SR waveform_ecg"
)
_CHARACTER_SETS = (
    "chrArab chrFren chrGerm chrGreek chrH31 chrHbrw chrI2 chrKoreanMulti chrRuss chrX1"
)


@dataclass(frozen=True, slots=True)
class Group:
    """Instances that are sent, and asked for, together."""

    title: str
    instances: tuple[FileDataset, ...]

    @property
    def modalities(self) -> str:
        found = {str(one.get("Modality", "")) for one in self.instances}
        return ", ".join(sorted(found - {""}))


def groups() -> list[Group]:
    """Three patients, then a collection of many patients that is too large for one small volume."""
    patients = [
        Group(f"patient {number}", _read(path for name in names for path in _tree(name)))
        for number, names in enumerate(_PATIENTS, start=1)
    ]
    collection = [_FILES / f"{name}.dcm" for name in _COLLECTION.split()]
    collection += [_PACKAGE / "charset_files" / f"{name}.dcm" for name in _CHARACTER_SETS.split()]
    return [*patients, Group("collection", _read(collection))]


def patients(instances: Sequence[FileDataset]) -> int:
    """How many patients there are, told apart by ID and name."""
    return len(
        {(str(one.get("PatientID", "")), str(one.get("PatientName", ""))) for one in instances}
    )


def _tree(name: str) -> list[Path]:
    return sorted(path for path in (_TREE / name).rglob("*") if path.is_file())


def _read(paths: Iterable[Path]) -> tuple[FileDataset, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real files are seldom perfect
        return tuple(dcmread(path) for path in paths)
