"""Craft: what the viewer has to know of one instance, read from its data set as JSON values.

`viewer_data` documents the keys. Values that are absent or cannot be read are left out, so that a
poor data set still gives a picture; the viewer then says what it cannot do (measure, for example).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from burnish.content import instance_reader
from burnish.content.frame_display import LookupTable

Description = dict[str, Any]

_PET = "1.2.840.10008.5.1.4.1.1.128"
#: Seconds from an injection to its PET scan, at most.
_LONGEST_WAIT = 24 * 3600

#: Physical units of an ultrasound region (PS3.3 C.8.5.5.1.15) that the viewer measures in.
_CENTIMETRES = 3
#: Groups of overlay planes (PS3.5 7.6).
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)

#: Technical values for the corners of an image: key of the text, keyword, unit.
_DETAILS = (
    ("kvp", "KVP", "kV"),
    ("tube_current", "XRayTubeCurrent", "mA"),
    ("exposure", "Exposure", "mAs"),
    ("repetition_time", "RepetitionTime", "ms"),
    ("echo_time", "EchoTime", "ms"),
    ("inversion_time", "InversionTime", "ms"),
    ("flip_angle", "FlipAngle", "°"),
    ("field_strength", "MagneticFieldStrength", "T"),
)


def image(data_set: Any, extras: list[Any]) -> Description:
    """The description of an image; adds its tables and overlay planes to the extra blocks."""
    described: Description = {"kind": "image"}
    described["rows"], described["columns"] = int(data_set.Rows), int(data_set.Columns)
    frames = max(1, _integer(data_set.get("NumberOfFrames")) or 1)
    described["frames"] = frames
    described["photometric"] = _photometric_interpretation(data_set)
    _put(described, "bits", _integer(data_set.get("BitsStored")))
    _put(described, "signed", _integer(data_set.get("PixelRepresentation")))
    described |= rescale(data_set)
    described |= windows(data_set)
    described |= _plane(data_set)
    described |= _spacing(data_set)
    described |= _sides(data_set)
    _put(
        described, "date", str(data_set.get("AcquisitionDate") or data_set.get("ContentDate") or "")
    )
    _put(
        described, "time", str(data_set.get("AcquisitionTime") or data_set.get("ContentTime") or "")
    )
    _put(described, "rate", _frame_rate(data_set) if frames > 1 else None)
    _put(described, "masks", masks(data_set))
    if has_unread_masks(data_set):
        described["unread_masks"] = 1
    if str(data_set.get("RecommendedViewingMode") or "") == "SUB":
        described["subtracted"] = 1
    _put(described, "regions", _ultrasound_regions(data_set))
    _put(described, "lossy", _lossy_ratio(data_set))
    _put(described, "details", _details(data_set))
    _put(described, "group", _stack_key(data_set))
    if "ICCProfile" in data_set:
        described["icc"] = 1
    _add_tables(described, data_set, extras)
    _put(described, "overlays", _overlays(data_set, extras))
    per_frame = _functional_groups(data_set, described, frames)
    if any(per_frame):
        described["per_frame"] = per_frame
    return described


def _photometric_interpretation(data_set: Any) -> str:
    """How decoded frames are to be read: YBR arrives as RGB."""
    interpretation = str(data_set.get("PhotometricInterpretation", "MONOCHROME2")).strip()
    if interpretation == "PALETTE COLOR":
        return "PALETTE"
    if (_integer(data_set.get("SamplesPerPixel")) or 1) > 1:
        return "RGB"
    inverse = str(data_set.get("PresentationLUTShape") or "") == "INVERSE"
    return "MONOCHROME1" if interpretation == "MONOCHROME1" or inverse else "MONOCHROME2"


def rescale(data_set: Any) -> Description:
    """Slope, intercept and unit of the values, as far as the data set has them (PS3.3 C.11.1)."""
    values: Description = {}
    slope = _number(data_set.get("RescaleSlope"))
    intercept = _number(data_set.get("RescaleIntercept"))
    if slope is not None and slope != 0:
        values["slope"] = slope
    if intercept is not None:
        values["intercept"] = intercept
    unit = str(data_set.get("RescaleType") or "")
    if str(data_set.get("SOPClassUID", "")) == _PET:
        unit = str(data_set.get("Units") or "")
        _put(values, "suv", _uptake_factor(data_set))
    elif str(data_set.get("Modality", "")) == "CT" and "intercept" in values:
        unit = unit or "HU"
    scaling = _number(data_set.get("DoseGridScaling"))
    if scaling:
        values["slope"], unit = scaling, str(data_set.get("DoseUnits") or "")
        unit = {"GY": "Gy"}.get(unit, unit)
    _put(values, "unit", "" if unit == "US" else unit)
    return values


def _uptake_factor(data_set: Any) -> float | None:
    """What turns the values of a PET image into Standardized Uptake Values by body weight.

    Values in Bq/ml are divided by the dose for each gram, decayed to the time for which they are
    corrected (PS3.3 C.8.9.1.1.2, C.8.9.2). None where the image does not say all of that.
    """
    units = str(data_set.get("Units") or "")
    if units == "GML":
        return 1.0
    corrections = texts(data_set.get("CorrectedImage"))
    radiopharmaceuticals = data_set.get("RadiopharmaceuticalInformationSequence") or []
    if (
        units != "BQML"
        or not {"ATTN", "DECY"} <= set(corrections)
        or len(radiopharmaceuticals) != 1
    ):
        return None
    (drug,) = radiopharmaceuticals
    weight = _number(data_set.get("PatientWeight"))
    dose = _number(drug.get("RadionuclideTotalDose"))
    half_life = _number(drug.get("RadionuclideHalfLife"))
    if not weight or not dose or not half_life or min(weight, dose, half_life) <= 0:
        return None
    reference = str(data_set.get("DecayCorrection") or "")
    seconds: float | None = None
    if reference == "ADMIN":
        seconds = 0
    elif reference == "START":
        seconds = _seconds_since_injection(data_set, drug)
    if seconds is None:
        return None
    return float(f"{weight * 1000 / (dose * 0.5 ** (seconds / half_life)):.6g}")


def _seconds_since_injection(data_set: Any, drug: Any) -> float | None:
    """From the injection to the start of the scan; None where that is not known, or not likely."""
    start = f"{data_set.get('SeriesDate') or ''}{data_set.get('SeriesTime') or ''}"
    acquisition = f"{data_set.get('AcquisitionDate') or ''}{data_set.get('AcquisitionTime') or ''}"
    injection = str(drug.get("RadiopharmaceuticalStartDateTime") or "")
    if not injection:
        injection = f"{start[:8]}{drug.get('RadiopharmaceuticalStartTime') or ''}"
    moments = [_moment(text) for text in (injection, start, acquisition)]
    injected, started, acquired = moments
    if injected is None or started is None:
        return None
    if acquired is not None and acquired < started:
        return None  # the series was made anew, and its time is not that of the scan
    seconds = (started - injected).total_seconds()
    return seconds if 0 <= seconds <= _LONGEST_WAIT else None


def _moment(text: str) -> datetime | None:
    """The time of a date and time (DT) without its zone; None for one that is not complete."""
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        return None


def windows(data_set: Any) -> Description:
    """The windows of a VOI LUT module, and their function (PS3.3 C.11.2)."""
    centres = numbers(data_set.get("WindowCenter"))
    widths = numbers(data_set.get("WindowWidth"))
    names = texts(data_set.get("WindowCenterWidthExplanation"))
    pairs = []
    function = str(data_set.get("VOILUTFunction") or "LINEAR")
    for index, (centre, width) in enumerate(zip(centres, widths, strict=False)):
        if width >= 1 or (width > 0 and function != "LINEAR"):
            pairs.append([centre, width, names[index] if index < len(names) else ""])
    description: Description = {"windows": pairs} if pairs else {}
    if function in {"LINEAR_EXACT", "SIGMOID"}:
        description["function"] = function
    return description


def _plane(data_set: Any) -> Description:
    """Position and orientation in the patient (PS3.3 C.7.6.2)."""
    plane: Description = {}
    position = numbers(data_set.get("ImagePositionPatient"))
    orientation = numbers(data_set.get("ImageOrientationPatient"))
    if not orientation and data_set.get("DetectorInformationSequence"):
        detector = data_set.DetectorInformationSequence[0]
        position = numbers(detector.get("ImagePositionPatient"))
        orientation = numbers(detector.get("ImageOrientationPatient"))
    if len(orientation) == 6 and _is_orthogonal(orientation):
        plane["orientation"] = [round(number, 6) for number in orientation]
        if len(position) == 3:
            plane["position"] = [round(number, 4) for number in position]
    _put(plane, "frame_of_reference", str(data_set.get("FrameOfReferenceUID") or ""))
    _put(plane, "thickness", _number(data_set.get("SliceThickness")))
    _put(plane, "between", _number(data_set.get("SpacingBetweenSlices")))
    _put(plane, "location", _number(data_set.get("SliceLocation")))
    return plane


def _is_orthogonal(orientation: Sequence[float]) -> bool:
    row, column = orientation[:3], orientation[3:]
    lengths = [math.hypot(*vector) for vector in (row, column)]
    product = sum(x * y for x, y in zip(row, column, strict=True))
    return all(abs(length - 1) < 0.01 for length in lengths) and abs(product) < 0.01


def _spacing(data_set: Any) -> Description:
    """Distance of rows and of columns in mm, and where it holds.

    `patient`: in the patient. `detector`: at the detector, so that what lies nearer to the tube is
    smaller than measured (PS3.3 10.7). `nominal`: of a scanned film or a screen.
    """
    sources = (
        ("PixelSpacing", "patient"),
        ("ImagerPixelSpacing", "detector"),
        ("NominalScannedPixelSpacing", "nominal"),
    )
    for keyword, kind in sources:
        spacing = numbers(data_set.get(keyword))
        if len(spacing) == 2 and min(spacing) > 0:
            # Equal values: Pixel Spacing is not calibrated (PS3.3 10.7.1.1).
            uncalibrated = spacing == numbers(data_set.get("ImagerPixelSpacing"))
            return {"spacing": spacing, "spacing_kind": "detector" if uncalibrated else kind}
    aspect = numbers(data_set.get("PixelAspectRatio"))
    if len(aspect) == 2 and min(aspect) > 0 and aspect[0] != aspect[1]:
        return {"aspect": aspect}
    return {}


def _sides(data_set: Any) -> Description:
    sides: Description = {}
    directions = texts(data_set.get("PatientOrientation"))
    if len(directions) == 2 and all(directions):
        sides["directions"] = directions
    laterality = data_set.get("ImageLaterality") or data_set.get("Laterality")
    if not laterality and data_set.get("FrameLaterality"):
        laterality = data_set.FrameLaterality
    _put(sides, "laterality", str(laterality or ""))
    view = str(data_set.get("ViewPosition") or "")
    codes = data_set.get("ViewCodeSequence")
    if not view and codes:
        view = str(codes[0].get("CodeMeaning") or "")
    _put(sides, "view", view)
    return sides


def _frame_rate(data_set: Any) -> float | None:
    """Frames a second at which the frames are to be shown."""
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        rate = _number(data_set.get(keyword))
        if rate:
            return rate
    duration = _number(data_set.get("FrameTime"))
    if not duration:
        durations = numbers(data_set.get("FrameTimeVector"))[1:]
        duration = sum(durations) / len(durations) if durations else None
    return round(1000 / duration, 2) if duration and duration > 0 else None


def _ultrasound_regions(data_set: Any) -> list[list[float]]:
    """Regions in which distances can be measured: edges, then mm for each column and row."""
    regions = []
    for item in data_set.get("SequenceOfUltrasoundRegions") or []:
        units = (item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection"))
        edges = [
            _number(item.get(f"RegionLocation{edge}"))
            for edge in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        ]
        deltas = [_number(item.get(f"PhysicalDelta{axis}")) for axis in "XY"]
        if units == (_CENTIMETRES, _CENTIMETRES) and all(
            value is not None for value in (*edges, *deltas)
        ):
            scale = [abs(delta or 0) * 10 for delta in deltas]
            if all(scale):
                regions.append([*(edge or 0 for edge in edges), *scale])
    return regions


def _lossy_ratio(data_set: Any) -> float | None:
    """The ratio of a lossy compression, 0 where it is not known; None without one."""
    if str(data_set.get("LossyImageCompression") or "") != "01":
        return None
    ratios = numbers(data_set.get("LossyImageCompressionRatio"))
    return round(math.prod(ratios), 1) if ratios else 0


def _details(data_set: Any) -> list[list[str]]:
    details = []
    for key, keyword, unit in _DETAILS:
        number = _number(data_set.get(keyword))
        if number is not None:
            details.append([key, f"{number:.6g} {unit}".replace(" °", "°")])
    agent = str(data_set.get("ContrastBolusAgent") or "")
    if agent:
        details.append(["contrast_agent", agent])
    return details


def _stack_key(data_set: Any) -> str:
    """The values that separate images of a series at the same place: echo, phase, b-value ..."""
    image_type = texts(data_set.get("ImageType"))
    parts = (
        data_set.get("AcquisitionNumber"),
        data_set.get("TemporalPositionIdentifier"),
        data_set.get("EchoNumbers"),
        data_set.get("DiffusionBValue"),
        data_set.get("TriggerTime"),
        "\\".join(image_type[2:]),
    )
    return "/".join("" if part is None else str(part) for part in parts).strip("/")


def _add_tables(image: Description, data_set: Any, extras: list[Any]) -> None:
    """Modality LUT, VOI LUTs and palette as extra blocks (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5)."""
    import numpy as np

    signed = bool(_integer(data_set.get("PixelRepresentation")))
    for item in (data_set.get("ModalityLUTSequence") or [])[:1]:
        entries = table(item.get("LUTDescriptor"), item.get("LUTData"), signed=signed)
        if entries:
            first, _, values = entries
            image["modality_lut"] = [_add(extras, values), first]
            unit = str(item.get("ModalityLUTType") or "")
            _put(image, "unit", "" if unit == "US" else unit)
    voi_luts = []
    for item in data_set.get("VOILUTSequence") or []:
        # The values that come in are signed if those of the Modality LUT or rescale can be.
        entries = table(item.get("LUTDescriptor"), item.get("LUTData"), signed=True)
        if entries:
            first, bits, values = entries
            name = str(item.get("LUTExplanation") or "")
            voi_luts.append([_add(extras, values), first, bits, name])
    _put(image, "voi_luts", voi_luts)
    if image["photometric"] == "PALETTE":
        palette = _palette(data_set)
        if palette:
            colours = np.stack([lookup_table.entries for lookup_table in palette])
            image["palette"] = [_add(extras, colours.astype(np.uint16)), palette[0].first]


def _palette(data_set: Any) -> tuple[LookupTable, ...]:
    """The three tables of a palette in 8 bits; none if they cannot be read."""
    try:
        return instance_reader.frame_display(data_set, 0).palette or ()
    except instance_reader.VALUE_ERRORS:
        return ()


def table(descriptor: Any, data: Any, *, signed: bool) -> tuple[int, int, Any] | None:
    """First value mapped, bits of an entry, and the entries as an array of one row."""
    import numpy as np

    described = [int(number) for number in numbers(descriptor)]
    if len(described) != 3 or data is None:
        return None
    count, first, bits = described[0] & 0xFFFF or 0x10000, described[1], described[2]
    if signed and first > 0x7FFF:
        first -= 0x10000
    elif not signed and first < 0:
        first += 0x10000
    if isinstance(data, bytes):
        width = "<u2" if len(data) >= 2 * count else "u1"
        values = np.frombuffer(data[: len(data) // 2 * 2], width)
    else:
        values = np.asarray(data, np.int64) & 0xFFFF
        if values.size * 2 == count:  # two entries of 8 bits in each word
            values = np.stack((values & 0xFF, values >> 8), axis=1).ravel()
    if values.size < count:
        return None
    return first, bits, values[:count].astype(np.uint16).reshape(1, -1)


def masks(data_set: Any) -> list[list[Any]]:
    """The subtractions of a Mask Module (PS3.3 C.7.6.10, C.11.13), as the viewer makes them.

    Each has its operation (AVG_SUB, TID), the first and last frame of each range that it is for,
    the frames of the mask, the number of contrast frames to average, the shift of the mask in rows
    and columns, and the offset of TID. No ranges mean all frames. The list is empty where there is
    an operation that is not known: frames would be shown with a mask that is not theirs.
    """
    subtractions = []
    for item in data_set.get("MaskSubtractionSequence") or []:
        operation = str(item.get("MaskOperation") or "")
        if operation == "NONE":
            continue
        frames = [int(number) for number in numbers(item.get("MaskFrameNumbers"))]
        if operation not in {"AVG_SUB", "TID"} or (operation == "AVG_SUB" and not frames):
            return []
        ends = [int(number) for number in numbers(item.get("ApplicableFrameRange"))]
        shift = numbers(item.get("MaskSubPixelShift"))
        offset = _integer(item.get("TIDOffset"))
        subtractions.append(
            [
                operation,
                [list(pair) for pair in zip(ends[::2], ends[1::2], strict=False)],
                frames if operation == "AVG_SUB" else [],
                max(1, _integer(item.get("ContrastFrameAveraging")) or 1),
                shift if len(shift) == 2 else [0, 0],
                1 if offset is None else offset,
            ]
        )
    return subtractions


def has_unread_masks(data_set: Any) -> bool:
    """Whether a Mask Module asks for a subtraction that the viewer does not make."""
    items = data_set.get("MaskSubtractionSequence") or []
    return any(item.get("MaskOperation") != "NONE" for item in items) and not masks(data_set)


def _overlays(data_set: Any, extras: list[Any]) -> list[list[Any]]:
    """Overlay planes: extra block, row and column of the origin, label, first frame, frames."""
    import numpy as np

    overlays = []
    for group in _OVERLAY_GROUPS:
        rows, columns = (_integer(_value(data_set, group, element)) for element in (0x10, 0x11))
        data = _value(data_set, group, 0x3000)
        if not rows or not columns or not isinstance(data, bytes):
            continue
        frames = _integer(_value(data_set, group, 0x15)) or 1
        first = _integer(_value(data_set, group, 0x51)) or 1
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        if bits.size < rows * columns * frames:
            continue
        origin = [int(number) for number in numbers(_value(data_set, group, 0x50))] or [1, 1]
        label = str(_value(data_set, group, 0x1500) or _value(data_set, group, 0x22) or "")
        planes = bits[: rows * columns * frames].reshape(rows * frames, columns)
        index = _add(extras, planes)
        overlays.append([index, rows, columns, origin[0] - 1, origin[-1] - 1, label, first, frames])
    return overlays


def _functional_groups(data_set: Any, image: Description, frames: int) -> list[Description]:
    """The values that differ by frame; shared ones go into the image (PS3.3 C.7.6.16)."""
    for item in (data_set.get("SharedFunctionalGroupsSequence") or [])[:1]:
        image |= _functional_group(item)
    groups = data_set.get("PerFrameFunctionalGroupsSequence") or []
    per_frame = [_functional_group(item) for item in groups[:frames]]
    if not per_frame:
        per_frame = _frames_of_vectors(data_set, frames)
    return per_frame


def _functional_group(item: Any) -> Description:
    frame: Description = {}
    readers: tuple[tuple[str, Callable[[Any], Description]], ...] = (
        ("PlanePositionSequence", _position),
        ("PlaneOrientationSequence", _plane),
        ("PixelMeasuresSequence", lambda macro: _spacing(macro) | _plane(macro)),
        ("FrameVOILUTSequence", windows),
        ("PixelValueTransformationSequence", rescale),
        ("FrameAnatomySequence", _sides),
        ("FrameContentSequence", _frame_content),
        ("SegmentIdentificationSequence", _segment_number),
    )
    for keyword, read in readers:
        for macro in (item.get(keyword) or [])[:1]:
            frame |= read(macro)
    return frame


def _position(macro: Any) -> Description:
    position = numbers(macro.get("ImagePositionPatient"))
    return {"position": [round(number, 4) for number in position]} if len(position) == 3 else {}


def _frame_content(macro: Any) -> Description:
    content: Description = {}
    stack = str(macro.get("StackID") or "")
    temporal = macro.get("TemporalPositionIndex")
    _put(content, "group", "/".join(str(part) for part in (stack, temporal) if part))
    return content


def _segment_number(macro: Any) -> Description:
    number = _integer(macro.get("ReferencedSegmentNumber"))
    return {"segment": number} if number else {}


def _frames_of_vectors(data_set: Any, frames: int) -> list[Description]:
    """Frames of an RT Dose: their positions follow from Grid Frame Offset Vector."""
    offsets = numbers(data_set.get("GridFrameOffsetVector"))
    position = numbers(data_set.get("ImagePositionPatient"))
    orientation = numbers(data_set.get("ImageOrientationPatient"))
    if len(offsets) != frames or len(position) != 3 or len(orientation) != 6 or frames < 2:
        return []
    normal = _cross(orientation[:3], orientation[3:])
    if offsets[0] != 0:  # absolute positions along the axis (PS3.3 C.8.8.3.2)
        offsets = [offset - offsets[0] for offset in offsets]
    return [
        {
            "position": [
                round(start + offset * direction, 4)
                for start, direction in zip(position, normal, strict=True)
            ]
        }
        for offset in offsets
    ]


def _cross(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [
        first[1] * second[2] - first[2] * second[1],
        first[2] * second[0] - first[0] * second[2],
        first[0] * second[1] - first[1] * second[0],
    ]


def _add(extras: list[Any], values: Any) -> int:
    extras.append(values)
    return len(extras) - 1


def _put(description: Description, key: str, value: Any) -> None:
    """Adds a value that is not empty."""
    if value is not None and value not in ("", []):
        description[key] = value


def _value(data_set: Any, group: int, element: int) -> Any:
    return data_set[group, element].value if (group, element) in data_set else None


def texts(value: Any) -> list[str]:
    """The texts of a value with one or several."""
    if value is None or value == "":
        return []
    values: Iterable[Any] = [value] if isinstance(value, str) else value
    return [str(text) for text in values]


def numbers(value: Any) -> list[float]:
    """The numbers of a value; none if one of them is not a finite number."""
    if value is None or value == "":
        return []
    values = (
        value if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) else [value]
    )
    parsed = [_number(number) for number in values]
    return [number for number in parsed if number is not None] if None not in parsed else []


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number == int(number) else number


def _integer(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
