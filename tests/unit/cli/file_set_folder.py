"""A File-set in a folder, with an instance of each encoding, to be damaged by tests."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.uid import UID

import material
from burnish import file_meta
from burnish.dicom_elements import encode, scan
from burnish.dicomdir import encoder
from burnish.explicit_little_endian import layout
from burnish.instance_header.data_set_walk import DataSetWalk
from burnish.instance_header.header import index_file
from burnish.values import DirectoryEntry
from made_entries import EVERY_KEY

#: The files of the pydicom wheel, by the names that they have in the folder.
SOURCES = {
    "CT": "CT_small.dcm",
    "MRI": "MR_small_implicit.dcm",
    "BIG": "MR_small_bigendian.dcm",
    "DEFLATED": "image_dfl.dcm",
    "JPEG": "SC_rgb_jpeg_dcmtk.dcm",
    "LOSSLESS": "SC_rgb_jpeg_gdcm.dcm",
    "JPEGLS": "MR_small_jpeg_ls_lossless.dcm",
    "J2K": "MR_small_jp2klossless.dcm",
    "RLE": "SC_rgb_rle_2frame.dcm",
    "PLAN": "rtplan.dcm",
    "SR": "test-SR.dcm",
}
PATIENT_NAME, PATIENT_ID = "Doe^Jane", "P-77"
STUDY_UID = "1.2.826.0.1.3680043.9.1"
FILE_SET_UID = "1.2.826.0.1.3680043.9.2"


def make(root: Path, real_studies: material.RealStudies) -> Path:
    """The File-set at `root`: one patient, one study, a series for each file."""
    folder = root / "DICOM"
    folder.mkdir(parents=True)
    entries = []
    for number, (name, source) in enumerate(sorted(SOURCES.items()), start=1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data_set = pydicom.dcmread(real_studies.file(source))
            data_set.PatientName, data_set.PatientID = PATIENT_NAME, PATIENT_ID
            data_set.PatientSex, data_set.PatientBirthDate = "F", "19700101"
            data_set.StudyInstanceUID, data_set.StudyID = STUDY_UID, "S1"
            data_set.StudyDate, data_set.StudyTime = "20240102", "101500"
            data_set.StudyDescription, data_set.AccessionNumber = "Knee", "A1"
            data_set.SeriesInstanceUID, data_set.SeriesNumber = f"{STUDY_UID}.{number}", number
            data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = UID(
                f"{STUDY_UID}.{number}.1"
            )
            data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
            data_set.save_as(folder / name)
        file = index_file(folder / name)
        entries.append(DirectoryEntry(f"DICOM\\{name}", file.header, file.transfer_syntax_uid))
    dicomdir = encoder.encode(
        entries, keys=EVERY_KEY, file_set_id="TEST", file_set_uid=FILE_SET_UID
    )
    (root / "DICOMDIR").write_bytes(dicomdir)
    (root / "README.TXT").write_text("read me")
    return root


def replace(path: Path, old: bytes, new: bytes, *, count: int = 1) -> None:
    """Replaces bytes of a file that must be there."""
    data = path.read_bytes()
    assert old in data, f"{path} does not have {old!r}"
    path.write_bytes(data.replace(old, new, count))


def split(path: Path) -> tuple[bytes, bytes]:
    """What precedes the data set of a file, and the data set."""
    data = path.read_bytes()
    offset, _ = file_meta.locate(data)
    return data[:offset], data[offset:]


def value(path: Path, tag: int) -> bytes:
    """The value of an element at top level, in Explicit VR Little Endian."""
    _, data_set = split(path)
    for element in scan(data_set, 0, len(data_set), explicit=True):
        if element.tag == tag:
            return data_set[element.value : element.value + element.length]
    raise AssertionError(f"no {tag:08X} in {path}")


def set_element(path: Path, tag: int, element: bytes) -> None:
    """Puts the bytes `element` where the element with this tag is, or belongs (explicit VR)."""
    before, data_set = split(path)
    place = len(data_set)
    end = place
    for existing in scan(data_set, 0, len(data_set), explicit=True):
        if existing.tag >= tag:
            place = existing.start
            end = existing.end if existing.tag == tag else existing.start
            break
    path.write_bytes(before + data_set[:place] + element + data_set[end:])


def set_number(path: Path, tag: int, number: int) -> None:
    """Sets a US value."""
    set_element(path, tag, encode(tag, b"US", number.to_bytes(2, "little")))


def fragments(path: Path) -> list[bytes]:
    """The fragments of the Pixel Data, without the Basic Offset Table."""
    data = path.read_bytes()
    offset, syntax = file_meta.locate(data)
    walk = DataSetWalk(
        lambda start, length: data[start : start + length],
        offset,
        len(data),
        layout(syntax),
        _ignore,
    )
    walk.run({})
    return [data[start : start + length] for start, length in walk.fragments]


def _ignore(_kind: str, _message: str) -> None:
    """Damaged elements are on purpose."""


def set_frames(path: Path, *frames: bytes, table: bytes = b"") -> None:
    """Replaces the Pixel Data by one with these fragments and this Basic Offset Table."""
    items = b"".join(
        b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in (table, *frames)
    )
    head = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    set_element(path, 0x7FE00010, head + items + b"\xfe\xff\xdd\xe0\0\0\0\0")


def change_fragment(path: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    """Changes one fragment; the others stay."""
    changed = [
        change(fragment) if position == number else fragment
        for position, fragment in enumerate(fragments(path))
    ]
    set_frames(path, *changed)
