"""Data sets for the tests of the viewer: images with known values, places and sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, MR, US = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.6.1"
XA = "1.2.840.10008.5.1.4.1.1.12.1"
CR, MG, NM = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.20",
)
PET, SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION, STRUCTURES = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
PRESENTATION, KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.88.59"

STUDY, FRAME = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["frame"])


def instance(sop_class: str, modality: str, series: str, **values: Any) -> Dataset:
    """An instance of the patient of these tests; a series is named by its description."""
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.SOPClassUID = sop_class
    data_set.SOPInstanceUID = generate_uid()
    data_set.PatientName = "Doe^Jane"
    data_set.PatientID = "P1"
    data_set.PatientBirthDate = "19700203"
    data_set.PatientSex = "F"
    data_set.StudyInstanceUID = STUDY
    data_set.StudyDate = "20240131"
    data_set.StudyTime = "101500"
    data_set.StudyDescription = "Test study"
    data_set.InstitutionName = "Example Hospital"
    data_set.SeriesInstanceUID = generate_uid(entropy_srcs=[series])
    data_set.SeriesDescription = series
    data_set.Modality = modality
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def image(sop_class: str, modality: str, series: str, pixels: Any, **values: Any) -> Dataset:
    """An image of these values: rows and columns, with frames before and colours after them."""
    data_set = instance(sop_class, modality, series, **values)
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    planes = pixels.shape[:-1] if colour else pixels.shape
    data_set.Rows, data_set.Columns = planes[-2:]
    if len(planes) == 3:
        data_set.NumberOfFrames = planes[0]
    data_set.SamplesPerPixel = 3 if colour else 1
    if colour:
        data_set.PlanarConfiguration = 0
    if "PhotometricInterpretation" not in data_set:
        data_set.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    data_set.BitsAllocated = pixels.dtype.itemsize * 8
    if "BitsStored" not in data_set:
        data_set.BitsStored = data_set.BitsAllocated
    data_set.HighBit = data_set.BitsStored - 1
    data_set.PixelRepresentation = int(pixels.dtype.kind == "i")
    if "PixelData" not in data_set:
        data_set.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    return data_set


def placed(number: int, position: tuple[float, float, float], **values: Any) -> dict[str, Any]:
    """The attributes of a slice across the body at a position in mm."""
    return {
        "InstanceNumber": number,
        "FrameOfReferenceUID": FRAME,
        "ImagePositionPatient": list(position),
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        **values,
    }


def noise(*shape: int, low: int = 0, high: int = 4096, dtype: Any = np.uint16) -> Any:
    """Values without any order, the same in each run, the least and the largest among them."""
    values = np.random.default_rng(sum(shape)).integers(low, high, shape, dtype)
    values.flat[:2] = low, high - 1
    return values


def volume_values(slices: int = 40, size: int = 96) -> Any:
    """A volume of CT values: a gradient with a block of bone (rows 30 to 49, columns 20 to 69)."""
    k, j, i = np.mgrid[0:slices, 0:size, 0:size]
    values = (i * 3 + j * 2 + k * 5).astype(np.int16)
    values[10:30, 30:50, 20:70] = 2000
    return values


def ct_volume(series: str = "Volume", *, step: float = 1.0, spacing: float = 1.0) -> list[Dataset]:
    """A CT of 96 x 96 pixels in 40 slices, 1 mm in each direction; from the feet upwards."""
    values = volume_values()
    return [
        image(
            CT,
            "CT",
            series,
            (values[number] + 1024).astype(np.uint16),
            BitsStored=12,
            RescaleSlope="1",
            RescaleIntercept="-1024",
            WindowCenter="200",
            WindowWidth="800",
            PixelSpacing=[spacing, spacing],
            SliceThickness=str(step),
            SeriesNumber=1,
            **placed(number + 1, (-48.0, -48.0, number * step)),
        )
        for number in range(len(values))
    ]


def thick_slices() -> list[Dataset]:
    """Another series of the same body: 8 slices, 5 mm from each other, with larger pixels."""
    return [
        image(
            MR,
            "MR",
            "Thick slices",
            noise(48, 48, high=900),
            BitsStored=12,
            PixelSpacing=[2, 2],
            SeriesNumber=2,
            WindowCenter="450",
            WindowWidth="900",
            **placed(number + 1, (-48.0, -48.0, number * 5.0)),
        )
        for number in range(8)
    ]


def angiography(*masks: Dataset, **values: Any) -> Dataset:
    """A run of six frames: a background, and from the third frame on a vessel that fills."""
    frames = np.stack([noise(96, 96, low=1000, high=1400)] * 6)
    frames[1] += 4
    for number in range(2, 6):
        frames[number, 40:50, 10 : 20 + 10 * number] -= 300
    run = image(XA, "XA", "Run", frames, BitsStored=12, NumberOfFrames=6, **values)
    run.MaskSubtractionSequence = Sequence(masks)
    return run


def mask(operation: str, **values: Any) -> Dataset:
    """An item of a Mask Module."""
    item = Dataset()
    item.MaskOperation = operation
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def segmentation(of: Dataset) -> Dataset:
    """A segmentation with one segment over the rows and columns 40 to 59 of one slice."""
    mask = np.zeros((of.Rows, of.Columns), np.uint8)
    mask[40:60, 40:60] = 1
    packed = np.packbits(mask.ravel(), bitorder="little").tobytes()
    data_set = image(SEGMENTATION, "SEG", "Segments", mask, PixelData=packed, NumberOfFrames=1)
    data_set.BitsAllocated = data_set.BitsStored = 1
    data_set.HighBit = 0
    data_set.FrameOfReferenceUID = FRAME
    data_set.SegmentationType = "BINARY"
    segment = Dataset()
    segment.SegmentNumber = 1
    segment.SegmentLabel = "Lesion"
    data_set.SegmentSequence = Sequence([segment])
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = of.ImageOrientationPatient
    measures.PixelSpacing = of.PixelSpacing
    shared.PlaneOrientationSequence = Sequence([plane])
    shared.PixelMeasuresSequence = Sequence([measures])
    data_set.SharedFunctionalGroupsSequence = Sequence([shared])
    frame, position, identification = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = of.ImagePositionPatient
    identification.ReferencedSegmentNumber = 1
    frame.PlanePositionSequence = Sequence([position])
    frame.SegmentIdentificationSequence = Sequence([identification])
    data_set.PerFrameFunctionalGroupsSequence = Sequence([frame])
    return data_set


def structure_set(z: float) -> Dataset:
    """A structure set with a square outline from -28 to 12 mm at one height."""
    data_set = instance(STRUCTURES, "RTSTRUCT", "Structures", StructureSetLabel="Plan")
    structure, roi, contour = Dataset(), Dataset(), Dataset()
    structure.ROINumber = 1
    structure.ROIName = "Target"
    structure.ReferencedFrameOfReferenceUID = FRAME
    data_set.StructureSetROISequence = Sequence([structure])
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = 4
    corners = [(-28, -28), (12, -28), (12, 12), (-28, 12)]
    contour.ContourData = [value for x, y in corners for value in (x, y, z)]
    roi.ReferencedROINumber = 1
    roi.ROIDisplayColor = [255, 0, 0]
    roi.ContourSequence = Sequence([contour])
    data_set.ROIContourSequence = Sequence([roi])
    return data_set


def _reference(of: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = of.SOPClassUID
    reference.ReferencedSOPInstanceUID = of.SOPInstanceUID
    return reference


def presentation_state(of: Dataset) -> Dataset:
    """A presentation state of this image and of one that is elsewhere.

    It has another window, turns by 90°, and has a circle and a text. Its values are rescaled as
    those of the image.
    """
    data_set = instance(PRESENTATION, "PR", "Presentations", ContentDescription="Look here")
    series = Dataset()
    series.SeriesInstanceUID = of.SeriesInstanceUID
    elsewhere = Dataset()
    elsewhere.ReferencedSOPClassUID = CT
    elsewhere.ReferencedSOPInstanceUID = generate_uid()
    series.ReferencedImageSequence = Sequence([elsewhere, _reference(of)])
    data_set.ReferencedSeriesSequence = Sequence([series])
    window = Dataset()
    window.WindowCenter, window.WindowWidth = "100", "300"
    window.ReferencedImageSequence = Sequence([_reference(of)])
    data_set.SoftcopyVOILUTSequence = Sequence([window])
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        setattr(data_set, keyword, of.get(keyword))
    data_set.ImageRotation = 90
    data_set.ImageHorizontalFlip = "N"
    data_set.PresentationLUTShape = "IDENTITY"
    annotation, circle, text = Dataset(), Dataset(), Dataset()
    circle.GraphicAnnotationUnits = "PIXEL"
    circle.GraphicType = "CIRCLE"
    circle.GraphicData = [48, 48, 58, 48]
    circle.GraphicFilled = "N"
    text.UnformattedTextValue = "Lesion"
    text.AnchorPointAnnotationUnits = "PIXEL"
    text.AnchorPoint = [20, 20]
    annotation.GraphicLayer = "NOTES"
    annotation.GraphicObjectSequence = Sequence([circle])
    annotation.TextObjectSequence = Sequence([text])
    data_set.GraphicAnnotationSequence = Sequence([annotation])
    return data_set


def key_objects(*of: Dataset) -> Dataset:
    """A key object selection of these images, and of one that is elsewhere."""
    data_set = instance(KEY_OBJECTS, "KO", "Key objects")
    title = Dataset()
    title.CodeMeaning = "Of Interest"
    data_set.ConceptNameCodeSequence = Sequence([title])
    contents = []
    elsewhere = Dataset()
    elsewhere.ReferencedSOPClassUID = CT
    elsewhere.ReferencedSOPInstanceUID = generate_uid()
    for reference in [*map(_reference, of), elsewhere]:
        content = Dataset()
        content.ValueType = "IMAGE"
        content.ReferencedSOPSequence = Sequence([reference])
        contents.append(content)
    data_set.ContentSequence = Sequence(contents)
    return data_set
