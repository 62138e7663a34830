"""Surface: the studies that the demo sends: real files that come with the pydicom package."""

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
#: Files of many modalities and transfer syntaxes.
_COLLECTION = (
    "693_J2KI CT_small J2K_pixelrep_mismatch JPEG-lossy MR_small_RLE SC_rgb_jpeg_dcmtk"
    " SC_rgb_jpeg_gdcm SC_ybr_full_422_uncompressed examples_jpeg2k examples_overlay"
    " examples_palette examples_rgb_color examples_ybr_color image_dfl liver_1frame reportsi"
    " rtdose rtplan test-SR waveform_ecg"
)
#: Files with many character sets.
_CHARACTER_SETS = (
    "chrArab chrFren chrGerm chrGreek chrH31 chrHbrw chrI2 chrKoreanMulti chrRuss chrX1"
)


@dataclass(frozen=True, slots=True)
class StudyGroup:
    """Instances that are sent together and go into one request."""

    title: str
    instances: tuple[FileDataset, ...]

    @property
    def modalities(self) -> str:
        modalities = {str(instance.get("Modality", "")) for instance in self.instances}
        return ", ".join(sorted(modalities - {""}))


def study_groups() -> list[StudyGroup]:
    """Three patients, and a collection of many patients that needs more than one small volume."""
    groups = []
    for number, names in enumerate(_PATIENTS, start=1):
        paths = [path for name in names for path in _files_below(name)]
        groups.append(StudyGroup(f"patient {number}", _read(paths)))
    collection = [_FILES / f"{name}.dcm" for name in _COLLECTION.split()]
    collection += [_PACKAGE / "charset_files" / f"{name}.dcm" for name in _CHARACTER_SETS.split()]
    groups.append(StudyGroup("collection", _read(collection)))
    return groups


def count_patients(instances: Sequence[FileDataset]) -> int:
    """The number of different patients, by Patient ID and name."""
    patients = set()
    for instance in instances:
        patients.add((str(instance.get("PatientID", "")), str(instance.get("PatientName", ""))))
    return len(patients)


def _files_below(name: str) -> list[Path]:
    return sorted(path for path in (_TREE / name).rglob("*") if path.is_file())


def _read(paths: Iterable[Path]) -> tuple[FileDataset, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns about deviations of real files
        return tuple(dcmread(path) for path in paths)
