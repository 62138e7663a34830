"""Real DICOM files: those of the pydicom wheel, and a wider collection if it is present."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pydicom.data
from pydicom.dataset import FileDataset

_WHEEL = Path(pydicom.data.__file__).parent
_FILES = _WHEEL / "test_files"
_TREE = _FILES / "dicomdirtests"

_CHARSETS = (
    "chrArab chrFren chrGerm chrGreek chrH31 chrH32 chrHbrw chrI2"
    " chrKoreanMulti chrRuss chrX1 chrX2"
)
_OTHERS = (
    "693_J2KI CT_small GDCMJ2K_TextGBR J2K_pixelrep_mismatch JPEG-lossy JPEG2000 MR_small"
    " SC_rgb_dcmtk_+eb+cr SC_rgb_gdcm_KY SC_rgb_jpeg_dcmd SC_rgb_jpeg_dcmtk SC_rgb_jpeg_gdcm"
    " SC_rgb_jpeg_lossy_gdcm SC_rgb_small_odd SC_ybr_full_422_uncompressed examples_jpeg2k"
    " examples_overlay examples_palette examples_rgb_color examples_ybr_color image_dfl"
    " liver_1frame reportsi test-SR waveform_ecg"
)
_TRANSFER_SYNTAXES = {
    "1.2.840.10008.1.2": "SC_rgb_jpeg_dcmd",
    "1.2.840.10008.1.2.1": "CT_small",
    "1.2.840.10008.1.2.1.99": "image_dfl",
    "1.2.840.10008.1.2.2": "ExplVR_BigEnd",
    "1.2.840.10008.1.2.4.50": "SC_rgb_jpeg_dcmtk",
    "1.2.840.10008.1.2.4.51": "JPEG-lossy",
    "1.2.840.10008.1.2.4.70": "SC_rgb_jpeg_gdcm",
    "1.2.840.10008.1.2.4.80": "MR_small_jpeg_ls_lossless",
    "1.2.840.10008.1.2.4.90": "GDCMJ2K_TextGBR",
    "1.2.840.10008.1.2.4.91": "JPEG2000",
}


@dataclass(frozen=True, slots=True)
class RealStudies:
    """Files of the pydicom wheel. In each tuple every SOP Instance UID occurs once.

    `patients` are 3 patients' CR, CT and MR studies, 31 images (a File-set of PS3.10 without its
    DICOMDIR); `tiny` is one series of 50 images; `charsets` have a Specific Character Set each;
    `others` have many modalities and transfer syntaxes; `transfer_syntaxes` has one file for each
    Transfer Syntax UID except RLE Lossless, which the wheel has only under SOP Instance UIDs of
    its other files: `file("MR_small_RLE.dcm")`.
    """

    patients: tuple[Path, ...]
    tiny: tuple[Path, ...]
    charsets: tuple[Path, ...]
    others: tuple[Path, ...]
    transfer_syntaxes: dict[str, Path]

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file except those of `transfer_syntaxes`: no SOP Instance UID occurs twice."""
        return self.patients + self.tiny + self.charsets + self.others

    def file(self, name: str) -> Path:
        """One file of the wheel by its name, also an irregular one such as `MR_truncated.dcm`."""
        for folder in (_FILES, _TREE, _WHEEL / "charset_files", _WHEEL / "palettes"):
            if (folder / name).is_file():
                return folder / name
        raise FileNotFoundError(f"the pydicom wheel has no {name}")


def real_studies() -> RealStudies:
    """The files that are part of the pydicom wheel; none needs a download."""
    return RealStudies(
        patients=_files(*(_TREE / name for name in ("77654033", "98892001", "98892003"))),
        tiny=_files(_TREE / "TINY_ALPHA" / "PT000000"),
        charsets=tuple(_WHEEL / "charset_files" / f"{name}.dcm" for name in _CHARSETS.split()),
        others=tuple(_FILES / f"{name}.dcm" for name in _OTHERS.split()),
        transfer_syntaxes={uid: _FILES / f"{name}.dcm" for uid, name in _TRANSFER_SYNTAXES.items()},
    )


@dataclass(frozen=True, slots=True)
class WiderCollection:
    """A wider collection of real files beside the checkout; without one, empty and false."""

    root: Path

    def __bool__(self) -> bool:
        return self.root.is_dir()

    def files(self, *folders: str) -> tuple[Path, ...]:
        """The DICOM files in the named folders of the collection, in order."""
        return _files(*(self.root / folder for folder in folders)) if self else ()


def wider_collection() -> WiderCollection:
    return WiderCollection(Path(__file__).resolve().parents[2] / "shared" / "data")


def read(path: Path) -> FileDataset:
    """A file read by pydicom without warnings: real files are seldom perfect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True)


def _files(*folders: Path) -> tuple[Path, ...]:
    return tuple(
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix.lower() not in {".txt", ".csv", ".md", ".json"}
    )
