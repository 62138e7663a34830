"""Instances as each Application Profile of a single modality permits them (PS3.11 A, B, C, E, K).

DCMTK compresses them, so that every transfer syntax of a profile has frames that can be decoded.
"""

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.limits import PHOTOMETRIC_INTERPRETATION, OneOf
from burnish.application_profiles.profile import Rule
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
    RLE_LOSSLESS,
)

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_ULTRASOUND = {_STORAGE + tail for tail in ("3", "3.1", "6", "6.1")}
_MULTI_FRAME = {_STORAGE + tail for tail in ("3", "3.1", "7.2", "7.3")}
_PRESENTATIONS = {_STORAGE + tail for tail in ("11.1", "131")}
_DOSE_REPORT = _STORAGE + "88.67"
_MODALITIES = {_STORAGE + "12.1": "XA", _STORAGE + "2": "CT", _STORAGE + "4": "MR"}
_ROWS = _COLUMNS = 16
#: The DCMTK program that compresses into a transfer syntax, with its options.
_COMPRESSORS = {
    JPEG_BASELINE: ("dcmcjpeg", "+eb"),
    JPEG_EXTENDED: ("dcmcjpeg", "+ee"),
    JPEG_LOSSLESS_SV1: ("dcmcjpeg", "+e1"),
    RLE_LOSSLESS: ("dcmcrle",),
}


def instances_of(profile: ApplicationProfile, folder: Path) -> list[Path]:
    """Files with an instance of each SOP Class of the profile in each of its transfer syntaxes."""
    paths = []
    for rule in profile.rules:
        for sop_class in sorted(rule.sop_classes):
            for colour in _colours(rule):
                for syntax in sorted(rule.transfer_syntaxes):
                    data = _encoded(sop_class, colour, syntax)
                    if data is not None:
                        path = folder / f"{len(paths):04d}.dcm"
                        path.write_bytes(data)
                        paths.append(_with_own_uid(path))
    return paths


def _colours(rule: Rule) -> Iterator[str]:
    """The values of Photometric Interpretation that a rule permits; MONOCHROME2 if it says none."""
    limits = [limit for limit in rule.limits if isinstance(limit, OneOf)]
    named = [limit for limit in limits if limit.tags == (PHOTOMETRIC_INTERPRETATION,)]
    if named:
        yield from (str(row[0]) for row in named[0].combinations)
    else:
        yield "MONOCHROME2"


def _with_own_uid(path: Path) -> Path:
    data_set = pydicom.dcmread(path)
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data_set.save_as(path)
    return path


@cache
def _encoded(sop_class: str, colour: str, syntax: str) -> bytes | None:
    """A file of this kind; None for what cannot be: documents are not compressed."""
    data_set = _data_set(sop_class, colour if syntax != JPEG_BASELINE else _decoded(colour))
    if "PixelData" not in data_set and syntax != EXPLICIT_VR_LITTLE_ENDIAN:
        return None
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        native, target = Path(folder, "native.dcm"), Path(folder, "target.dcm")
        data_set.save_as(native, enforce_file_format=True)
        if syntax == EXPLICIT_VR_LITTLE_ENDIAN:
            return native.read_bytes()
        subprocess.run([*_COMPRESSORS[syntax], native, target], check=True)
        return target.read_bytes()


def _decoded(colour: str) -> str:
    return "RGB" if colour == "YBR_FULL_422" else colour


def _data_set(sop_class: str, colour: str) -> FileDataset:
    """An instance with whatever any of the profiles requires of its SOP Class."""
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = sop_class, "1.2.3"
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = (
        "1.2.3.1",
        f"1.2.3.1.{sop_class[len(_STORAGE) :]}",
    )
    data_set.PatientName, data_set.PatientID, data_set.StudyID = "Doe^Jane", "P1", "1"
    data_set.StudyDate, data_set.StudyTime = "20260101", "120000"
    data_set.Modality = _MODALITIES.get(sop_class, "OT")
    data_set.SeriesNumber, data_set.InstanceNumber = 1, 1
    data_set.InstitutionName, data_set.ManufacturerModelName = "General Hospital", "Model"
    data_set.ContentDate, data_set.ContentTime = "20260101", "120000"
    if sop_class in _PRESENTATIONS:
        _describe_presentation(data_set)
    elif sop_class == _DOSE_REPORT:
        _describe_report(data_set)
    else:
        _draw(data_set, colour)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    return FileDataset("", data_set, file_meta=meta)


def _describe_presentation(data_set: Dataset) -> None:
    data_set.ContentLabel, data_set.ContentDescription = "SHOWN", "as it was shown"
    data_set.PresentationCreationDate, data_set.PresentationCreationTime = "20260101", "120000"
    data_set.ContentCreatorName = "Roe^Richard"
    data_set.HangingProtocolCreationDateTime = "20260101120000"


def _describe_report(data_set: Dataset) -> None:
    data_set.CompletionFlag, data_set.VerificationFlag = "COMPLETE", "UNVERIFIED"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113701", "DCM"
    code.CodeMeaning = "X-Ray Radiation Dose Report"
    data_set.ConceptNameCodeSequence = [code]


def _draw(data_set: Dataset, colour: str) -> None:
    """Pixels of 8 bits, and the attributes that describe them."""
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    data_set.DetectorID, data_set.DetectorManufacturerName = "D1", "Maker"
    data_set.DetectorManufacturerModelName = "Detector"
    data_set.Rows, data_set.Columns = _ROWS, _COLUMNS
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
    data_set.PixelRepresentation, data_set.PhotometricInterpretation = 0, colour
    samples = 1 if colour in ("MONOCHROME2", "PALETTE COLOR") else 3
    data_set.SamplesPerPixel = samples
    bytes_per_pixel = {"YBR_FULL_422": 2}.get(colour, samples)
    if samples == 3:
        data_set.PlanarConfiguration = 0
    if colour == "PALETTE COLOR":
        for name in ("Red", "Green", "Blue"):
            setattr(data_set, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
            ramp = b"".join(bytes((0, value)) for value in range(256))
            setattr(data_set, f"{name}PaletteColorLookupTableData", ramp)
    if data_set.SOPClassUID in _MULTI_FRAME:
        data_set.NumberOfFrames = 1
    if data_set.SOPClassUID in _ULTRASOUND:
        region = Dataset()
        region.PixelComponentOrganization = 0
        data_set.SequenceOfUltrasoundRegions = [region]
    size = _ROWS * _COLUMNS * bytes_per_pixel
    data_set.PixelData = bytes(number % 251 for number in range(size))
