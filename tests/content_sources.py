"""Instances that people look at: a CT series, radiographs, colour, clips, documents, damage."""

from pathlib import Path

import numpy as np

import made_entries
from burnish import file_meta
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN
from images import written

CT = "1.2.840.10008.5.1.4.1.1.2"
ULTRASOUND_CLIP = "1.2.840.10008.5.1.4.1.1.3.1"
BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
PATIENT = {"PatientName": "Müller^Änne^^Dr.", "PatientID": "P<1>", "PatientBirthDate": "19500102"}
STUDY = {
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "20240131",
    "StudyTime": "101500",
    "StudyDescription": 'Thorax & "Abdomen"',
    "InstitutionName": "St. Example",
}


def ct_slices(folder: Path, count: int, *, size: int = 64, study: str = "1.2.3") -> list[Path]:
    """A series of slices, each with another bright square on it."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, count + 1):
        cells = np.full((1, size, size, 1), 24, "<i2")
        cells[0, 8:24, 8 : 8 + number % 40, 0] = 1064
        path = written(
            folder / f"ct{number}",
            cells,
            12,
            **PATIENT | STUDY | {"StudyInstanceUID": study},
            SOPClassUID=CT,
            SOPInstanceUID=f"{study}.1.{number}",
            SeriesInstanceUID=f"{study}.1",
            Modality="CT",
            SeriesNumber=2,
            InstanceNumber=number,
            SeriesDescription="Lung <1 mm>",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            RescaleSlope=1,
            RescaleIntercept=-1024,
            RescaleType="HU",
            WindowCenter=40,
            WindowWidth=400,
            PixelSpacing=[1, 1],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, number],
            FrameOfReferenceUID="1.2.9",
            SpecificCharacterSet="ISO_IR 192",
        )
        paths.append(path)
    return paths


def clip(path: Path, frames: int = 5) -> Path:
    """An ultrasound clip in colour."""
    cells = np.zeros((frames, 32, 48, 3), np.uint8)
    cells[..., 0] = np.arange(frames).reshape(-1, 1, 1) * 40
    return written(
        path,
        cells,
        8,
        **PATIENT | STUDY,
        SOPClassUID=ULTRASOUND_CLIP,
        SOPInstanceUID="1.2.3.2.1",
        SeriesInstanceUID="1.2.3.2",
        Modality="US",
        SeriesNumber=3,
        InstanceNumber=1,
        FrameTime=40,
        SpecificCharacterSet="ISO_IR 192",
    )


def report(path: Path) -> Path:
    """A structured report with nothing but its title."""
    from pydicom import Dataset

    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator = "18748-4", "LN"
    title.CodeMeaning = "Diagnostic imaging report"
    data_set = made_entries.instance(BASIC_TEXT, **PATIENT)
    for keyword, value in STUDY.items():
        setattr(data_set, keyword, value)
    data_set.SOPInstanceUID, data_set.SeriesInstanceUID = "1.2.3.3.1", "1.2.3.3"
    data_set.Modality, data_set.SeriesNumber, data_set.InstanceNumber = "SR", 4, 1
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.ContentDate, data_set.ContentTime = "20240201", "090000"
    data_set.ConceptNameCodeSequence = [title]
    data_set.ValueType, data_set.ContinuityOfContent = "CONTAINER", "SEPARATE"
    data_set.CompletionFlag, data_set.VerificationFlag = "COMPLETE", "UNVERIFIED"
    text = Dataset()
    text.RelationshipType, text.ValueType, text.TextValue = "CONTAINS", "TEXT", "Nothing unusual."
    text.ConceptNameCodeSequence = [title]
    data_set.ContentSequence = [text]
    meta = file_meta.encode(BASIC_TEXT, data_set.SOPInstanceUID, EXPLICIT_VR_LITTLE_ENDIAN)
    path.write_bytes(meta + made_entries.encoded(data_set))
    return path


def study(folder: Path, slices: int = 5) -> Path:
    """A folder with a study of a CT series, a clip and a report."""
    ct_slices(folder, slices)
    clip(folder / "clip")
    report(folder / "report")
    return folder
