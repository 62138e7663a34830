"""Craft: presentation states, structure sets, segmentations and key objects for the viewer.

The description of each has `references`: SOP Instance UIDs of the images that it is about, which
`viewer_data` replaces by their places on the volume. What follows refers to them by index.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from burnish.content import viewer_description

Description = dict[str, Any]

#: Colours of structures that have none, in turn.
_COLOURS = ("#ff5d5d", "#5dd0ff", "#ffd34d", "#7be07b", "#d59bff", "#ff9d4d", "#4de0c8", "#ff7ad1")


class _References:
    """UIDs in the order of their first use."""

    def __init__(self) -> None:
        self.uids: list[str] = []
        self._indexes: dict[str, int] = {}

    def index(self, uid: str) -> int:
        if uid not in self._indexes:
            self._indexes[uid] = len(self.uids)
            self.uids.append(uid)
        return self._indexes[uid]


def key_objects(data_set: Any) -> Description:
    """A Key Object Selection: `title`, `text`, and the instances in their order."""
    references = [
        str(item.get("ReferencedSOPInstanceUID", ""))
        for content in data_set.get("ContentSequence") or []
        if content.get("ValueType") in {"IMAGE", "COMPOSITE", "WAVEFORM"}
        for item in content.get("ReferencedSOPSequence") or []
    ]
    texts = [
        str(content.get("TextValue") or "")
        for content in data_set.get("ContentSequence") or []
        if content.get("ValueType") == "TEXT"
    ]
    return _filled(
        kind="keys",
        title=_code_meaning(data_set, "ConceptNameCodeSequence"),
        text="\n".join(filter(None, texts)),
        references=references,
    )


def structure_set(data_set: Any, extras: list[Any]) -> Description:
    """An RT Structure Set: its extra block has the outlines of each structure in the patient.

    `[{name, colour, contours: [[closed, [x, y, z, x, y, z ...]]]}]` in mm.
    """
    colours: dict[int, str] = {}
    contours: dict[int, list[list[Any]]] = {}
    for item in data_set.get("ROIContourSequence") or []:
        number = int(item.get("ReferencedROINumber") or 0)
        rgb = viewer_description.numbers(item.get("ROIDisplayColor"))
        if len(rgb) == 3:
            colours[number] = "#" + "".join(f"{min(255, max(0, int(part))):02x}" for part in rgb)
        contours[number] = list(_contours(item))
    structures = []
    for index, item in enumerate(data_set.get("StructureSetROISequence") or []):
        number = int(item.get("ROINumber") or 0)
        structures.append(
            {
                "name": str(item.get("ROIName") or number),
                "colour": colours.get(number, _COLOURS[index % len(_COLOURS)]),
                "contours": contours.get(number, []),
            }
        )
    extras.append(structures)
    return _filled(
        kind="structures",
        title=str(data_set.get("StructureSetLabel") or data_set.get("SeriesDescription") or ""),
        frame_of_reference=_frame_of_reference(data_set),
        extra=[len(extras) - 1],
    )


def _frame_of_reference(data_set: Any) -> str:
    for item in data_set.get("ReferencedFrameOfReferenceSequence") or []:
        if item.get("FrameOfReferenceUID"):
            return str(item.FrameOfReferenceUID)
    for item in data_set.get("StructureSetROISequence") or []:
        if item.get("ReferencedFrameOfReferenceUID"):
            return str(item.ReferencedFrameOfReferenceUID)
    return ""


def _contours(roi: Any) -> Iterator[list[Any]]:
    for contour in roi.get("ContourSequence") or []:
        points = viewer_description.numbers(contour.get("ContourData"))
        if len(points) >= 3 and len(points) % 3 == 0:
            closed = str(contour.get("ContourGeometricType") or "").startswith("CLOSED")
            yield [int(closed), [round(coordinate, 2) for coordinate in points]]


def segments(data_set: Any) -> Description:
    """The segments of a segmentation, whose frames are shown over images of the same place."""
    described = {}
    for index, item in enumerate(data_set.get("SegmentSequence") or []):
        lab = viewer_description.numbers(item.get("RecommendedDisplayCIELabValue"))
        colour = _css_of_cielab(lab) if len(lab) == 3 else _COLOURS[index % len(_COLOURS)]
        number = int(item.get("SegmentNumber") or index + 1)
        described[str(number)] = {
            "label": str(item.get("SegmentLabel") or number),
            "colour": colour,
        }
    fractional = str(data_set.get("SegmentationType") or "") == "FRACTIONAL"
    maximum = int(data_set.get("MaximumFractionalValue") or 255) if fractional else 1
    return {"segments": described, "maximum": maximum}


def _css_of_cielab(encoded: list[float]) -> str:
    """A colour of PS3.3 C.10.7.1.1 (CIELab with the white of D50) as CSS."""
    lightness = encoded[0] * 100 / 65535
    a, b = (value * 255 / 65535 - 128 for value in encoded[1:])
    y = (lightness + 16) / 116
    x, z = y + a / 500, y - b / 200
    xyz = [
        white * (part**3 if part**3 > 0.008856 else (part - 16 / 116) / 7.787)
        for part, white in ((x, 0.9642), (y, 1.0), (z, 0.8249))
    ]
    # XYZ with the white D50 to linear sRGB (Bradford).
    matrix = (
        (3.1339, -1.6169, -0.4906),
        (-0.9788, 1.9161, 0.0335),
        (0.0719, -0.2290, 1.4052),
    )
    parts = []
    for row in matrix:
        linear = sum(factor * part for factor, part in zip(row, xyz, strict=True))
        linear = min(1.0, max(0.0, linear))
        gamma = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
        parts.append(f"{round(gamma * 255):02x}")
    return "#" + "".join(parts)


def presentation_state(data_set: Any, extras: list[Any]) -> Description:
    """A presentation state: its extra block tells what applies to which references.

    `{title, rotation, flip, inverse, windows: [[references, centre, width]], unsupported: [keys],
    slope, intercept, modality_lut: [extra, first], presentation_lut: [extra, bits],
    voi_luts: [[references, extra, first, bits]], areas: [[references, x0, y0, x1, y1]],
    masks: as `viewer_description.masks`, layers: [{name, order, colour}],
    graphics: [{references, layer, kind, units, points, filled}],
    texts: [{references, layer, text, units, anchor, box}], shutter: {...}}`. References are lists
    of `[reference, frames]` where no frames means all; an empty list means every reference. Points
    are in pixels, counted from 1 at the first pixel, or shares of the displayed area.
    """
    references = _References()
    for series in data_set.get("ReferencedSeriesSequence") or []:
        for item in series.get("ReferencedImageSequence") or []:
            references.index(str(item.get("ReferencedSOPInstanceUID", "")))
    state: Description = _filled(
        rotation=int(data_set.get("ImageRotation") or 0),
        flip=int(str(data_set.get("ImageHorizontalFlip") or "N") == "Y"),
        inverse=int(str(data_set.get("PresentationLUTShape") or "") == "INVERSE"),
    )
    state |= _tables(data_set, extras)
    state["windows"], state["voi_luts"] = _softcopy_windows(data_set, references, extras)
    state["areas"] = [
        [_references(item, references), *_area(item)]
        for item in data_set.get("DisplayedAreaSelectionSequence") or []
        if len(_area(item)) == 4
    ]
    state["layers"] = _layers(data_set)
    state["graphics"], state["texts"] = _annotations(data_set, references)
    shutter = _shutter(data_set)
    if shutter:
        state["shutter"] = shutter
    state["masks"] = viewer_description.masks(data_set)
    state["unsupported"] = _not_read(data_set, state)
    extras.append({key: value for key, value in state.items() if value not in ([], 0)})
    title = data_set.get("ContentDescription") or data_set.get("ContentLabel") or ""
    return _filled(
        kind="presentation",
        title=str(title),
        extra=[len(extras) - 1],
        references=references.uids,
    )


def _not_read(data_set: Any, state: Description) -> list[str]:
    """Keys of what the data set has and its state has not, since it cannot be read."""
    keywords = {
        "modality_lut": "ModalityLUTSequence",
        "presentation_lut": "PresentationLUTSequence",
    }
    keys = [
        key for key, keyword in keywords.items() if data_set.get(keyword) and not state.get(key)
    ]
    if viewer_description.has_unread_masks(data_set):
        keys.append("masks")
    return keys


def _tables(data_set: Any, extras: list[Any]) -> Description:
    """The Modality LUT and the Presentation LUT (PS3.3 C.11.1, C.11.6)."""
    tables: Description = viewer_description.rescale(data_set)
    for item in (data_set.get("ModalityLUTSequence") or [])[:1]:
        table = _table(item, signed=True)
        if table:
            first, _, values = table
            extras.append(values)
            tables["modality_lut"] = [len(extras) - 1, first]
    for item in (data_set.get("PresentationLUTSequence") or [])[:1]:
        table = _table(item, signed=False)
        if table:
            _, bits, values = table
            extras.append(values)
            tables["presentation_lut"] = [len(extras) - 1, bits]
    return tables


def _softcopy_windows(
    data_set: Any, references: _References, extras: list[Any]
) -> tuple[list[Any], list[Any]]:
    """Windows, and VOI LUTs where there is no window (PS3.3 C.11.8)."""
    windows: list[Any] = []
    voi_luts: list[Any] = []
    for item in data_set.get("SoftcopyVOILUTSequence") or []:
        refs = _references(item, references)
        pairs = viewer_description.windows(item).get("windows", [])
        windows += [[refs, *window[:2]] for window in pairs[:1]]
        for lut in (item.get("VOILUTSequence") or [])[:1]:
            table = _table(lut, signed=True)
            if table and not pairs:
                first, bits, values = table
                extras.append(values)
                voi_luts.append([refs, len(extras) - 1, first, bits])
    return windows, voi_luts


def _table(item: Any, *, signed: bool) -> tuple[int, int, Any] | None:
    """First value mapped, bits of an entry, and the entries of the lookup table of an item."""
    return viewer_description.table(item.get("LUTDescriptor"), item.get("LUTData"), signed=signed)


def _layers(data_set: Any) -> list[Description]:
    return [
        _filled(
            name=str(item.get("GraphicLayer") or ""),
            order=int(item.get("GraphicLayerOrder") or 0),
            colour=_layer_colour(item),
        )
        for item in data_set.get("GraphicLayerSequence") or []
    ]


def _annotations(data_set: Any, references: _References) -> tuple[list[Any], list[Any]]:
    """Graphics and texts (PS3.3 C.10.5)."""
    graphics: list[Any] = []
    texts: list[Any] = []
    for item in data_set.get("GraphicAnnotationSequence") or []:
        place = {
            "references": _references(item, references),
            "layer": str(item.get("GraphicLayer") or ""),
        }
        graphics += [place | graphic for graphic in _graphics(item)]
        texts += [place | text for text in _texts(item)]
    return graphics, texts


def _references(item: Any, references: _References) -> list[list[Any]]:
    return [
        [
            references.index(str(image.get("ReferencedSOPInstanceUID", ""))),
            [
                int(number)
                for number in viewer_description.numbers(image.get("ReferencedFrameNumber"))
            ],
        ]
        for image in item.get("ReferencedImageSequence") or []
    ]


def _area(item: Any) -> list[float]:
    corners = [
        *viewer_description.numbers(item.get("DisplayedAreaTopLeftHandCorner")),
        *viewer_description.numbers(item.get("DisplayedAreaBottomRightHandCorner")),
    ]
    return corners if len(corners) == 4 else []


def _layer_colour(item: Any) -> str:
    lab = viewer_description.numbers(item.get("GraphicLayerRecommendedDisplayCIELabValue"))
    if len(lab) == 3:
        return _css_of_cielab(lab)
    rgb = viewer_description.numbers(item.get("GraphicLayerRecommendedDisplayRGBValue"))
    if len(rgb) == 3:
        return "#" + "".join(f"{min(255, int(part) >> 8):02x}" for part in rgb)
    return ""


def _graphics(item: Any) -> Iterable[Description]:
    for graphic in item.get("GraphicObjectSequence") or []:
        points = viewer_description.numbers(graphic.get("GraphicData"))
        if len(points) >= 2:
            yield _filled(
                kind=str(graphic.get("GraphicType") or ""),
                units=str(graphic.get("GraphicAnnotationUnits") or "PIXEL"),
                points=points,
                filled=int(str(graphic.get("GraphicFilled") or "N") == "Y"),
            )


def _texts(item: Any) -> Iterable[Description]:
    for text in item.get("TextObjectSequence") or []:
        top_left = viewer_description.numbers(text.get("BoundingBoxTopLeftHandCorner"))
        bottom_right = viewer_description.numbers(text.get("BoundingBoxBottomRightHandCorner"))
        yield _filled(
            text=str(text.get("UnformattedTextValue") or ""),
            units=str(
                text.get("BoundingBoxAnnotationUnits")
                or text.get("AnchorPointAnnotationUnits")
                or "PIXEL"
            ),
            anchor=viewer_description.numbers(text.get("AnchorPoint")),
            box=[*top_left, *bottom_right],
        )


def _shutter(data_set: Any) -> Description:
    shapes = viewer_description.texts(data_set.get("ShutterShape"))
    shutter: Description = {}
    if "RECTANGULAR" in shapes:
        edges = [
            viewer_description.numbers(data_set.get(f"Shutter{edge}Edge"))
            for edge in ("LeftVertical", "UpperHorizontal", "RightVertical", "LowerHorizontal")
        ]
        if all(len(edge) == 1 for edge in edges):
            shutter["rectangle"] = [edge[0] for edge in edges]
    if "CIRCULAR" in shapes:
        centre = viewer_description.numbers(data_set.get("CenterOfCircularShutter"))
        radius = viewer_description.numbers(data_set.get("RadiusOfCircularShutter"))
        if len(centre) == 2 and len(radius) == 1:
            shutter["circle"] = [centre[1], centre[0], radius[0]]
    if "POLYGONAL" in shapes:
        vertices = viewer_description.numbers(data_set.get("VerticesOfThePolygonalShutter"))
        shutter["polygon"] = [
            coordinate
            for row, column in zip(vertices[::2], vertices[1::2], strict=False)
            for coordinate in (column, row)
        ]
    return shutter


def _code_meaning(data_set: Any, keyword: str) -> str:
    for item in data_set.get(keyword) or []:
        return str(item.get("CodeMeaning") or "")
    return ""


def _filled(**values: Any) -> Description:
    """The values that are not empty."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {}, 0)}
