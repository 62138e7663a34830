"""Documents as instances: reports, key objects, waveforms, encapsulated files, a video."""

import struct
from pathlib import Path
from typing import Any

from pydicom import Dataset

import made_entries
from burnish import file_meta
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

COMPREHENSIVE_3D = "1.2.840.10008.5.1.4.1.1.88.34"
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
CT = "1.2.840.10008.5.1.4.1.1.2"
H264 = "1.2.840.10008.1.2.4.102"
MPEG2 = "1.2.840.10008.1.2.4.100"
#: The instance that references lead to, and one that is on no medium.
ON_MEDIUM, ELSEWHERE = "1.2.3.1.2", "1.2.3.99.1"


def data_set_of(**values: Any) -> Dataset:
    """A data set or an item of a sequence with these values."""
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return data_set_of(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def item(kind: str, name: str = "", relationship: str = "CONTAINS", **values: Any) -> Dataset:
    """A content item."""
    content = data_set_of(RelationshipType=relationship, ValueType=kind)
    if name:
        content.ConceptNameCodeSequence = [code(name.upper()[:16], "99TEST", name)]
    if kind == "CONTAINER":
        content.ContinuityOfContent = "SEPARATE"
    for keyword, value in values.items():
        setattr(content, keyword, value)
    return content


def reference(uid: str, sop_class: str = CT, **values: Any) -> Dataset:
    return data_set_of(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid, **values)


def write(
    path: Path, sop_class: str, number: int, transfer_syntax: str = "", **values: Any
) -> Path:
    """An instance of the study that `content_sources` makes."""
    data_set = made_entries.instance(sop_class, PatientName="Müller^Änne^^Dr.", PatientID="P<1>")
    defaults = {
        "StudyInstanceUID": "1.2.3",
        "StudyDate": "20240131",
        "StudyTime": "101500",
        "SOPInstanceUID": f"1.2.3.{number}.1",
        "SeriesInstanceUID": f"1.2.3.{number}",
        "SeriesNumber": number,
        "InstanceNumber": 1,
        "SpecificCharacterSet": "ISO_IR 192",
        "ContentDate": "20240201",
        "ContentTime": "090000",
    }
    for keyword, value in (defaults | values).items():
        setattr(data_set, keyword, value)
    syntax = transfer_syntax or EXPLICIT_VR_LITTLE_ENDIAN
    meta = file_meta.encode(sop_class, data_set.SOPInstanceUID, syntax)
    path.write_bytes(meta + made_entries.encoded(data_set, syntax))
    return path


def report(path: Path, number: int = 20) -> Path:
    """A report with every value type, with relationships of every kind."""
    millimetres = [code("mm", "UCUM", "millimeter")]
    image = item("IMAGE", "Source image", "SELECTED FROM")
    image.ReferencedSOPSequence = [reference(ON_MEDIUM, ReferencedFrameNumber=[3, 4])]
    diameter = item("NUM", "Diameter")
    diameter.MeasuredValueSequence = [
        data_set_of(NumericValue="23.5", MeasurementUnitsCodeSequence=millimetres)
    ]
    method = item("CODE", "Method", "HAS CONCEPT MOD")
    method.ConceptCodeSequence = [code("M1", "99TEST", "Caliper")]
    diameter.ContentSequence = [
        item(
            "SCOORD",
            "Outline",
            "INFERRED FROM",
            GraphicType="POLYLINE",
            GraphicData=[1.5, 2, 30, 40.25],
            ContentSequence=[image],
        ),
        method,
    ]
    unmeasured = item("NUM", "Volume")
    unmeasured.MeasuredValueSequence = []
    unmeasured.NumericValueQualifierCodeSequence = [code("114006", "DCM", "Measurement failure")]
    by_reference = data_set_of(
        RelationshipType="INFERRED FROM", ReferencedContentItemIdentifier=[1, 3, 1]
    )
    finding = item("TEXT", "Finding", TextValue="A node <5 mm> & more.\r\nSecond line.")
    finding.ObservationDateTime = "20240131111213"
    finding.ContentSequence = [
        by_reference,
        item("UIDREF", "Tracking UID", "HAS PROPERTIES", UID="1.2.3.4.5.6"),
    ]
    density = data_set_of(TableRowNumber=1, TableColumnNumber=1, SelectorAttributeVR="DS")
    density.SelectorDSValue = "7.25"
    grade = data_set_of(TableRowNumber=1, TableColumnNumber=2, SelectorAttributeVR="LO")
    grade.SelectorLOValue = "high"
    columns = []
    for position, name in ((1, "Density"), (2, "Grade")):
        meaning = [code(f"C{position}", "99TEST", name)]
        columns.append(data_set_of(TableColumnNumber=position, ConceptNameCodeSequence=meaning))
    table = item("TABLE", "Table of values")
    table.TabulatedValuesSequence = [
        data_set_of(TableColumnDefinitionSequence=columns, CellValuesSequence=[density, grade])
    ]
    waveform = reference(ELSEWHERE, "1.2.840.10008.5.1.4.1.1.9.1.1")
    waveform.ReferencedWaveformChannels = [1, 2]
    composite = reference(ELSEWHERE, "1.2.840.10008.5.1.4.1.1.104.1")
    times = item("TCOORD", "Beat", TemporalRangeType="POINT", ReferencedTimeOffsets=["1.25"])
    region = item("SCOORD3D", "Location", GraphicType="POINT", GraphicData=[-10, 20.5, 30])
    region.ReferencedFrameOfReferenceUID = "1.2.9"
    measurements = item("CONTAINER", "Measurements")
    measurements.ContentSequence = [diameter, unmeasured, region, table]
    return write(
        path,
        COMPREHENSIVE_3D,
        number,
        Modality="SR",
        ConceptNameCodeSequence=[code("18748-4", "LN", "Diagnostic imaging report")],
        ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE",
        CompletionFlag="PARTIAL",
        CompletionFlagDescription="Awaits the laboratory",
        VerificationFlag="UNVERIFIED",
        ContentSequence=[
            item("PNAME", "Observer", "HAS OBS CONTEXT", PersonName="Weber^Karl^^Prof."),
            item("DATE", "Date of birth", "HAS OBS CONTEXT", Date="19500102"),
            item(
                "CONTAINER", "Measurements", ContentSequence=[diameter, unmeasured, region, table]
            ),
            item("CONTAINER", "Findings", ContentSequence=[finding]),
            item("TIME", "Time of call", Time="113000"),
            item("DATETIME", "Reported", DateTime="20240131120000"),
            item("WAVEFORM", "Trace", ReferencedSOPSequence=[waveform]),
            item("COMPOSITE", "Original", ReferencedSOPSequence=[composite]),
            times,
        ],
    )


def key_objects(path: Path, number: int = 21) -> Path:
    """A selection of an image of the medium, with a remark."""
    series = data_set_of(SeriesInstanceUID="1.2.3.1", ReferencedSOPSequence=[reference(ON_MEDIUM)])
    study = data_set_of(StudyInstanceUID="1.2.3", ReferencedSeriesSequence=[series])
    image = item("IMAGE", ReferencedSOPSequence=[reference(ON_MEDIUM)])
    remark = item("TEXT", "Key Object Description", TextValue="Look at the left.")
    return write(
        path,
        KEY_OBJECTS,
        number,
        Modality="KO",
        ConceptNameCodeSequence=[code("113000", "DCM", "Of Interest")],
        ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE",
        CurrentRequestedProcedureEvidenceSequence=[study],
        ContentSequence=[remark, image],
    )


def encapsulated(path: Path, number: int, mime_type: str, content: bytes, title: str = "") -> Path:
    sop_class = "1.2.840.10008.5.1.4.1.1.104." + ("1" if mime_type.endswith("pdf") else "2")
    return write(
        path,
        sop_class,
        number,
        Modality="DOC",
        DocumentTitle=title,
        MIMETypeOfEncapsulatedDocument=mime_type,
        EncapsulatedDocument=content + bytes(len(content) % 2),
        EncapsulatedDocumentLength=len(content),
    )


def pressure(path: Path, number: int = 24, samples: int = 4000) -> Path:
    """An arterial pressure of 200 Hz with 0.5 mmHg for each step above 20 mmHg, and a gap."""
    values = [100 + (position % 200) for position in range(samples)]
    values[1000:1100] = [-32768] * 100
    channel = data_set_of(
        ChannelSourceSequence=[code("2:16132", "MDC", "Arterial pressure")],
        ChannelSensitivity="0.5",
        ChannelSensitivityUnitsSequence=[code("mm[Hg]", "UCUM", "millimeter of mercury")],
        ChannelSensitivityCorrectionFactor="1",
        ChannelBaseline="20",
        WaveformBitsStored=16,
        FilterHighFrequency="35",
    )
    group = data_set_of(
        WaveformOriginality="ORIGINAL",
        NumberOfWaveformChannels=1,
        NumberOfWaveformSamples=samples,
        SamplingFrequency="200",
        ChannelDefinitionSequence=[channel],
        WaveformBitsAllocated=16,
        WaveformSampleInterpretation="SS",
        WaveformPaddingValue=struct.pack("<h", -32768),
        WaveformData=struct.pack(f"<{samples}h", *values),
    )
    remark = data_set_of(UnformattedTextValue="Sinus rhythm", AnnotationGroupNumber=1)
    return write(
        path,
        "1.2.840.10008.5.1.4.1.1.9.2.1",
        number,
        Modality="HD",
        WaveformSequence=[group],
        WaveformAnnotationSequence=[remark],
    )


def video(path: Path, stream: bytes, number: int = 25, transfer_syntax: str = H264) -> Path:
    """An endoscopic video with this stream in two fragments."""
    half = len(stream) // 4 * 2
    items = [b"", stream[:half], stream[half:] + bytes(len(stream) % 2)]
    encoded = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data for data in items)
    values = {
        "Modality": "ES",
        "Rows": 480,
        "Columns": 640,
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_PARTIAL_420",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "NumberOfFrames": 50,
        "FrameTime": "40",
        "LossyImageCompression": "01",
    }
    write(path, "1.2.840.10008.5.1.4.1.1.77.1.1.1", number, transfer_syntax, **values)
    element = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(path.read_bytes() + element + encoded + end)
    return path
