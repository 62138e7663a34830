"""Craft: reads what people see of an instance from its data set; the only module that does.

Damaged or unusual values are read as far as they make sense; whatever does not is left out.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from burnish.content.frame_display import FrameDisplay, LookupTable, Overlay
from burnish.content.model import ContentKind, InstanceDescription

if TYPE_CHECKING:
    from pydicom import Dataset

#: What pydicom raises for values that are not what their VR says.
VALUE_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
#: Modalities whose original images show no text unless they say so (Burned In Annotation).
_WITHOUT_TEXT = frozenset({"CT", "MR", "PT", "NM"})
_ULTRASOUND = frozenset({"US", "IVUS"})
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_DOCUMENT_ATTRIBUTES = ("ContentSequence", "EncapsulatedDocument", "WaveformSequence")
_KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
#: The retired palettes of groups of frames and the first overlay of the 16 that there can be.
_FIRST_OVERLAY, _LAST_OVERLAY = 0x6000, 0x601E


def describe(data_set: "Dataset") -> InstanceDescription:
    """The description of an instance."""
    frames = _integer(data_set, "NumberOfFrames") or 1
    kind = _kind(data_set)
    return InstanceDescription(
        kind=kind,
        sop_class_uid=_text(data_set, "SOPClassUID"),
        sop_instance_uid=_text(data_set, "SOPInstanceUID"),
        modality=_text(data_set, "Modality"),
        title=_title(data_set),
        patient_name=_text(data_set, "PatientName"),
        patient_id=_text(data_set, "PatientID"),
        birth_date=_text(data_set, "PatientBirthDate"),
        sex=_text(data_set, "PatientSex"),
        study_date=_text(data_set, "StudyDate"),
        study_time=_text(data_set, "StudyTime"),
        study_description=_text(data_set, "StudyDescription"),
        accession_number=_text(data_set, "AccessionNumber"),
        institution=_text(data_set, "InstitutionName"),
        referring_physician=_text(data_set, "ReferringPhysicianName"),
        series_instance_uid=_text(data_set, "SeriesInstanceUID"),
        series_number=_integer(data_set, "SeriesNumber"),
        series_description=_text(data_set, "SeriesDescription") or _text(data_set, "ProtocolName"),
        series_date=_text(data_set, "SeriesDate"),
        series_time=_text(data_set, "SeriesTime"),
        body_part=_text(data_set, "BodyPartExamined"),
        laterality=_text(data_set, "ImageLaterality") or _text(data_set, "Laterality"),
        instance_number=_integer(data_set, "InstanceNumber"),
        content_date=_text(data_set, "ContentDate") or _text(data_set, "AcquisitionDate"),
        rows=_integer(data_set, "Rows") or 0,
        columns=_integer(data_set, "Columns") or 0,
        frames=max(1, frames) if kind is ContentKind.IMAGE else 0,
        frame_rate=_frame_rate(data_set),
        position=_position(data_set),
        lossy=_text(data_set, "LossyImageCompression") == "01",
        may_show=_may_show(data_set),
        key_references=tuple(_key_references(data_set)),
    )


def _kind(data_set: "Dataset") -> ContentKind:
    if any(name in data_set for name in _DOCUMENT_ATTRIBUTES):
        return ContentKind.DOCUMENT
    if "Rows" in data_set or has_pixels(data_set):
        return ContentKind.IMAGE
    return ContentKind.OTHER


def has_pixels(data_set: "Dataset") -> bool:
    """Whether a data set that was read whole has pixels of an image."""
    return any(name in data_set for name in _PIXELS)


def _title(data_set: "Dataset") -> str:
    """The title of a document, as it gives it itself."""
    title = _text(data_set, "DocumentTitle")
    if not title:
        codes = _items(data_set, "ConceptNameCodeSequence")
        title = _text(codes[0], "CodeMeaning") if codes else ""
    return title or _text(data_set, "ContentLabel") or _text(data_set, "StructureSetLabel")


def _may_show(data_set: "Dataset") -> bool:
    """Whether no text is in the pixels, as far as the image says (Burned In Annotation)."""
    burned_in = _text(data_set, "BurnedInAnnotation")
    if burned_in or _text(data_set, "RecognizableVisualFeatures") == "YES":
        return burned_in == "NO" and _text(data_set, "RecognizableVisualFeatures") != "YES"
    image_type = _text(data_set, "ImageType").split("\\")
    is_original = image_type[:1] == ["ORIGINAL"]
    return is_original and _text(data_set, "Modality") in _WITHOUT_TEXT


def teaching_regions(data_set: "Dataset") -> list[tuple[int, int, int, int]]:
    """The regions of an ultrasound image that may be shown for teaching: x0, y0, x1, y1, inclusive.

    Names stand beside the regions (PS3.3 C.8.5.5). None where the image says that it has text in
    its pixels, or may show a face.
    """
    is_marked = "YES" in (
        _text(data_set, "BurnedInAnnotation"),
        _text(data_set, "RecognizableVisualFeatures"),
    )
    if _text(data_set, "Modality") not in _ULTRASOUND or is_marked:
        return []
    regions = []
    for item in _items(data_set, "SequenceOfUltrasoundRegions"):
        edges = [
            _number(item, f"RegionLocation{edge}") for edge in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        ]
        x0, y0, x1, y1 = (-1 if edge is None else int(edge) for edge in edges)
        if 0 <= x0 <= x1 and 0 <= y0 <= y1:
            regions.append((x0, y0, x1, y1))
    return regions


def _key_references(data_set: "Dataset") -> Iterator[str]:
    """The images that a Key Object Selection names."""
    if _text(data_set, "SOPClassUID") != _KEY_OBJECT_SELECTION:
        return
    for study in _items(data_set, "CurrentRequestedProcedureEvidenceSequence"):
        for series in _items(study, "ReferencedSeriesSequence"):
            for reference in _items(series, "ReferencedSOPSequence"):
                yield _text(reference, "ReferencedSOPInstanceUID")


def _frame_rate(data_set: "Dataset") -> float | None:
    rate = _number(data_set, "RecommendedDisplayFrameRate") or _number(data_set, "CineRate")
    frame_time = _number(data_set, "FrameTime")
    if not rate and frame_time and frame_time > 0:
        rate = 1000 / frame_time
    return rate or None


def _position(data_set: "Dataset") -> float | None:
    """The distance of the plane of an image along its normal, in mm (PS3.3 C.7.6.2)."""
    orientation = _numbers(data_set, "ImageOrientationPatient")
    position = _numbers(data_set, "ImagePositionPatient")
    if len(orientation) != 6 or len(position) != 3:
        return None
    row, column = orientation[:3], orientation[3:]
    normal = (
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    )
    return round(sum(a * b for a, b in zip(normal, position, strict=True)), 4)


# --- display -------------------------------------------------------------------------------------


def pixel_aspect(data_set: "Dataset") -> float:
    """The height of a pixel, where its width is 1."""
    spacing: list[float] = []
    for source in _groups(data_set, 0, "PixelMeasuresSequence"):
        spacing = spacing or _numbers(source, "PixelSpacing")
    for name in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        spacing = spacing or _numbers(data_set, name)
    if len(spacing) == 2 and min(spacing) > 0 and max(spacing) < 100 * min(spacing):
        return spacing[0] / spacing[1]
    return 1.0


def frame_display(data_set: "Dataset", frame: int) -> FrameDisplay:
    """How a frame, counted from 0, is displayed."""
    slope, intercept = 1.0, 0.0
    for source in (data_set, *_groups(data_set, frame, "PixelValueTransformationSequence")):
        if "RescaleSlope" in source:
            slope = _number(source, "RescaleSlope") or 1.0
            intercept = _number(source, "RescaleIntercept") or 0.0
    if "DoseGridScaling" in data_set:
        slope = _number(data_set, "DoseGridScaling") or 1.0
    center, width, function = None, None, "LINEAR"
    for source in (data_set, *_groups(data_set, frame, "FrameVOILUTSequence")):
        centers, widths = _numbers(source, "WindowCenter"), _numbers(source, "WindowWidth")
        if centers and widths and widths[0] > 0:
            center, width = centers[0], widths[0]
            function = _text(source, "VOILUTFunction") or "LINEAR"
    if width is not None and width < 1 and function == "LINEAR":
        center, width = None, None  # PS3.3 C.11.2.1.2: shall be 1 or more
    photometric = _text(data_set, "PhotometricInterpretation")
    shape = _text(data_set, "PresentationLUTShape")
    modality_luts, voi_luts = (_tables(data_set, name) for name in ("Modality", "VOI"))
    return FrameDisplay(
        bits_stored=_integer(data_set, "BitsStored") or 8,
        slope=slope,
        intercept=intercept,
        modality_lut=modality_luts[0] if modality_luts else None,
        center=center,
        width=width,
        function=function,
        voi_lut=voi_luts[0] if voi_luts else None,
        inverse=photometric == "MONOCHROME1" or shape == "INVERSE",
        padding=padding(data_set),
        palette=_palette(data_set) if photometric == "PALETTE COLOR" else None,
    )


def _groups(data_set: "Dataset", frame: int, name: str) -> Iterator["Dataset"]:
    """The items of a functional group that hold for a frame: the shared one, then its own."""
    shared = _items(data_set, "SharedFunctionalGroupsSequence")
    own = _items(data_set, "PerFrameFunctionalGroupsSequence")
    for group in (*shared[:1], *own[frame : frame + 1]):
        yield from _items(group, name)[:1]


def _tables(data_set: "Dataset", kind: str) -> list[LookupTable]:
    """The tables of Modality LUT or VOI LUT Sequence."""
    import numpy as np

    tables = []
    for item in _items(data_set, f"{kind}LUTSequence"):
        descriptor = [int(number) for number in _numbers(item, "LUTDescriptor")]
        data = item.get("LUTData")
        if len(descriptor) != 3 or data is None:
            continue
        count, first, bits = descriptor[0] or 65536, descriptor[1], descriptor[2]
        if first > 0x7FFF and _integer(data_set, "PixelRepresentation") == 1 and kind == "Modality":
            first -= 0x10000
        if isinstance(data, bytes):
            entries = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1")
        else:
            entries = np.asarray(data, dtype=np.int64).ravel() & 0xFFFF
        if len(entries) and 0 < bits <= 16:
            bits = max(bits, int(entries.max()).bit_length())
            tables.append(LookupTable(first, entries[:count], bits))
    return tables


def _palette(data_set: "Dataset") -> tuple[LookupTable, LookupTable, LookupTable]:
    """The palette in 8 bits; segmented palettes are expanded. Raises what pydicom raises."""
    import numpy as np
    from pydicom.pixels.processing import apply_color_lut

    descriptor = _numbers(data_set, "RedPaletteColorLookupTableDescriptor")
    count, first = int(descriptor[0]) or 65536, int(descriptor[1])
    if first > 0x7FFF and _integer(data_set, "PixelRepresentation") == 1:
        first -= 0x10000
    colours = apply_color_lut(np.arange(first, first + count), data_set)
    if colours.dtype != np.uint8:
        colours = colours >> 8
    red, green, blue = (
        LookupTable(first, colours[:, channel].astype(np.uint8), 8) for channel in range(3)
    )
    return red, green, blue


def padding(data_set: "Dataset") -> tuple[int, int] | None:
    """The least and the largest stored value that are not of the image (PS3.3 C.7.5.1.1.2)."""
    value = _integer(data_set, "PixelPaddingValue")
    if value is None:
        return None
    limit = _integer(data_set, "PixelPaddingRangeLimit")
    other = value if limit is None else limit
    return min(value, other), max(value, other)


def overlays(data_set: "Dataset") -> list[Overlay]:
    """The overlay planes of an image (PS3.3 C.9.2)."""
    planes = []
    for group in range(_FIRST_OVERLAY, _LAST_OVERLAY + 2, 2):
        try:
            overlay = _overlay(data_set, group)
        except VALUE_ERRORS:
            continue
        if overlay is not None:
            planes.append(overlay)
    return planes


def _overlay(data_set: "Dataset", group: int) -> Overlay | None:
    import numpy as np

    def value(element: int) -> Any:
        data_element = data_set.get((group, element))
        return None if data_element is None else data_element.value

    rows, columns = value(0x0010), value(0x0011)
    if not rows or not columns:
        return None
    top, left = value(0x0050) or (1, 1)
    data = value(0x3000)
    if data is None:
        bit = value(0x0102)
        return None if not bit else Overlay(int(top) - 1, int(left) - 1, None, bit=int(bit))
    frames = int(value(0x0015) or 1)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    planes = bits[: frames * rows * columns].reshape(frames, rows, columns)
    first_frame = None if frames == 1 and value(0x0051) is None else int(value(0x0051) or 1) - 1
    return Overlay(int(top) - 1, int(left) - 1, planes, first_frame)


# --- values --------------------------------------------------------------------------------------


def _text(data_set: "Dataset", name: str) -> str:
    """The value of an attribute as text; several values with backslashes between them."""
    try:
        value = data_set.get(name)
    except VALUE_ERRORS:
        return ""
    if value is None:
        return ""
    if (
        not isinstance(value, str)
        and hasattr(value, "__iter__")
        and not hasattr(value, "ideographic")
    ):
        value = "\\".join(str(part) for part in value)
    return "".join(filter(str.isprintable, str(value))).strip()


def _numbers(data_set: "Dataset", name: str) -> list[float]:
    """The values of an attribute as numbers; [] where any is not a finite number."""
    try:
        value = data_set.get(name)
        if value is None or value == "":
            return []
        values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
        numbers = [float(number) for number in values]
    except VALUE_ERRORS:
        return []
    return numbers if all(abs(number) < 1e30 for number in numbers) else []


def _number(data_set: "Dataset", name: str) -> float | None:
    numbers = _numbers(data_set, name)
    return numbers[0] if numbers else None


def _integer(data_set: "Dataset", name: str) -> int | None:
    number = _number(data_set, name)
    return None if number is None else int(number)


def _items(data_set: "Dataset", name: str) -> list["Dataset"]:
    try:
        value = data_set.get(name)
        return list(value) if value is not None else []
    except VALUE_ERRORS:
        return []
