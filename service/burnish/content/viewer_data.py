"""Craft: DATA.JS, which tells the viewer of a disc what is on the disc.

How it is made:

1. For each instance, once: `InstanceRecorder(data_set, pixels)` gives the lines of blocks that go
   into packs (`pixel_packs`): first `frame_line(frame)` for every decoded frame (in order, colours
   as red, green and blue), then `extra_lines()`. `to_json()` is what must be kept with them.
2. For each volume: `ViewedInstance` values in the order of `display_order`, in series, studies and
   patients; `pack_contents` divides the lines of a series into packs; `build_data` is DATA.JS.

DATA.JS is `BURNISH_DISC({...});` in ASCII. Its value, with names as in DICOM values (dates DA,
times TM, names PN); keys without a value are left out:

    language, site {institution, contact, disclaimer}, volume {number, volumes},
    patients [{name, id, birth_date, sex,
      studies [{date, time, description, accession_number, institution, referring_physician,
        series [{folder, number, modality, description, body_part, laterality, thumbnail,
          elsewhere     instances of the series on other volumes of the set
          packs         [number of blocks in each pack]
          common        values that all instances of the series have
          instances     [see below]
          documents     [{title, kind, path, note, thumbnail}]}]}]}]

Paths are relative to the root of the volume, with `/`. The packs of a series with the folder N are
`VIEWER/S000000N/P0000001.HTM` and so on. An instance is what `viewer_description` reads:

    kind            image, presentation, structures or keys
    problem         why its pixels cannot be shown, as the key of a text
    block, extras   number of its first block in the series, and of its extra blocks
    pixels          1 if each frame has a block; these are before the extra blocks
    pictures        [a picture of each frame: n for IHE_PDI/S000000N/I000000n.JPG, or a path, or 0]
    rows, columns, frames, bits, signed, number, date, time, location, details, lossy (ratio or 0)
    photometric     MONOCHROME1, MONOCHROME2, RGB, or PALETTE (numbers that a palette makes colours)
    slope, intercept, unit, modality_lut [extra, first value], suv (what values of PET times it are)
    windows [[centre, width, name]], function (LINEAR_EXACT, SIGMOID)
    voi_luts [[extra, first value, bits, name]], default_window [centre, width]
    palette         [extra with three tables of 8 bits in its rows, first value]
    spacing [rows, columns] in mm, spacing_kind (patient, detector, nominal), or aspect
    regions         [[x0, y0, x1, y1, mm for each column, mm for each row]] of ultrasound
    position, orientation, frame (number of the frame of reference), thickness, between, group
    directions, laterality, view, rate (frames a second)
    masks           subtractions: see `viewer_description.masks`; subtracted: 1 if to be shown so;
                    unread_masks: 1 if it has others
    overlays        [[extra, rows, columns, first row, first column, label, first frame, frames]]
    per_frame       [values that differ from those above, for each frame]
    segments        {number: {label, colour}} of a segmentation, `segment` in per_frame
    references      [[series, instance] on this volume, numbered from 0 in order, or 0]
    missing         the number of references that lead to no instance on this volume
    title, extra    of presentation states, structure sets and key objects: see `viewer_objects`

UIDs and file names of the sender are not part of it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from burnish.content import (
    documents,
    instance_reader,
    pixel_packs,
    viewer_description,
    viewer_objects,
)
from burnish.content.viewer_description import Description

#: Values of the auto window leave out this share of the pixels at each end, in percent.
_CLIPPED = 0.5
#: Every so many pixels in both directions count for that.
_STEP = 4
#: Descriptions of an instance that refer to others by UID.
_REFERENCES = "references"


_SEGMENTATION = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
_RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_PRESENTATION_STATES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2, 3, 4, 8)
)
_KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


class PackedPixels(StrEnum):
    """Which pixel values a disc has for the viewer beside pictures."""

    LOSSLESS = "lossless"
    #: Grey values of wide range differ by at most 2; colours only as pictures.
    NEAR = "near"
    NONE = "none"


class InstanceRecorder:
    """Makes what the viewer needs of one instance; see the module for the order of calls."""

    def __init__(self, data_set: Any, pixels: PackedPixels) -> None:
        self._pixels = pixels
        self._description, self._extras = _describe(data_set)
        self._padding = instance_reader.padding(data_set)
        self._frames = 0
        self._skipped = False

    @property
    def has_pictures(self) -> bool:
        return self._description.get("kind") == "image"

    def extra_lines(self) -> Iterator[bytes]:
        """The lines of tables, overlays, outlines and graphics."""
        import numpy as np

        for extra in self._extras:
            if isinstance(extra, np.ndarray):
                yield pixel_packs.pack_line(pixel_packs.encode_values(extra))
            else:
                yield pixel_packs.pack_line(pixel_packs.encode_json(extra))

    def frame_line(self, frame: Any) -> bytes:
        """The line of one decoded frame, a NumPy array; b"" if only its picture is shown."""
        import numpy as np

        self._frames += 1
        description = self._description
        colour = frame.ndim == 3
        if colour:
            description["photometric"] = "RGB"
            frame = frame[..., :3]
        elif "windows" not in description and self._frames == description.get("frames", 1) // 2 + 1:
            self._set_default_window(frame)
        keeps = self._pixels == PackedPixels.LOSSLESS or (
            self._pixels == PackedPixels.NEAR and not colour
        )
        if not keeps or self._skipped:
            self._skipped = True
            return b""
        if colour:
            if frame.dtype != np.uint8:
                bits = int(description.get("bits", 16))
                frame = (frame >> max(0, bits - 8)).astype(np.uint8)
            return pixel_packs.pack_line(pixel_packs.encode_colour(frame))
        near = self._pixels == PackedPixels.NEAR and description.get("photometric") != "PALETTE"
        return pixel_packs.pack_line(pixel_packs.encode_values(frame, near=near))

    def _set_default_window(self, frame: Any) -> None:
        """The window of an image that has none, as in its picture (`render`).

        8 bits pass unchanged; of other images, padding and the extreme values are left out.
        """
        import numpy as np

        description = self._description
        slope, intercept = description.get("slope", 1), description.get("intercept", 0)
        is_plain = "modality_lut" not in description and (slope, intercept) == (1, 0)
        if frame.dtype == np.uint8 and is_plain:
            low, high = 0.0, float((1 << description.get("bits", 8)) - 1)
        else:
            sample = frame[::_STEP, ::_STEP].ravel()
            if self._padding:
                inside = sample[(sample < self._padding[0]) | (sample > self._padding[1])]
                sample = inside if inside.size else sample
            if "modality_lut" in description:
                extra, first = description["modality_lut"]
                table = self._extras[extra][0]
                sample = table[np.clip(sample.astype(np.int64) - first, 0, table.size - 1)]
            sample = sample * float(slope) + float(intercept)
            sample = sample[np.isfinite(sample)]
            if not sample.size:
                sample = np.array([0.0, 1.0])
            low, high = np.percentile(sample, (_CLIPPED, 100 - _CLIPPED))
            if low == high:
                low, high = sample.min(), sample.max()
        low, high = float(low), float(high)
        description["function"] = "LINEAR_EXACT"
        width = max(high - low, 1e-6)
        description["default_window"] = [_rounded((low + high) / 2), _rounded(width)]

    def to_json(self) -> dict[str, Any]:
        """The data to keep beside the lines, after the last of them was made.

        Its "frames" are the lines of frames to keep: those of all frames, or none.
        """
        kept: dict[str, Any] = {"description": self._description, "extras": len(self._extras)}
        if self._frames == self._description.get("frames") and not self._skipped:
            kept["frames"] = self._frames
        return kept


def _describe(data_set: Any) -> tuple[Description, list[Any]]:
    """The description of an instance, and the values of its extra blocks.

    An extra block is an array of two dimensions (tables, overlay planes) or a JSON value (outlines,
    graphics); the description refers to it by its index.
    """
    extras: list[Any] = []
    sop_class = str(data_set.get("SOPClassUID", ""))
    description: Description = {"uid": str(data_set.get("SOPInstanceUID", ""))}
    number = viewer_description.numbers(data_set.get("InstanceNumber"))
    if number:
        description["number"] = number[0]
    if sop_class == _RT_STRUCTURE_SET:
        description |= viewer_objects.structure_set(data_set, extras)
    elif sop_class in _PRESENTATION_STATES:
        description |= viewer_objects.presentation_state(data_set, extras)
    elif sop_class == _KEY_OBJECT_SELECTION:
        description |= viewer_objects.key_objects(data_set)
    elif "Rows" in data_set and "Columns" in data_set and not documents.is_document(data_set):
        description |= viewer_description.image(data_set, extras)
        if sop_class in _SEGMENTATION:
            description |= viewer_objects.segments(data_set)
    return description, extras


@dataclass(frozen=True, slots=True)
class ViewedInstance:
    """An instance of a volume.

    `record` is what `InstanceRecorder.to_json` gave; `pictures` are the paths on the volume of its
    frames' pictures, "" where a frame has none; `problem` is the key of a text.
    """

    record: Mapping[str, Any]
    pictures: tuple[str, ...] = ()
    problem: str = ""

    @property
    def description(self) -> Description:
        description: Description = self.record.get("description", {})
        return description


@dataclass(frozen=True, slots=True)
class ViewedDocument:
    """A document that the viewer opens in a frame: a page, SVG, PDF or video.

    `kind` is the text on its tile, e.g. SR, ECG or PDF, unless it has a thumbnail; `note` says what
    is missing.
    """

    title: str
    kind: str
    path: str
    note: str = ""
    thumbnail: str = ""


@dataclass(frozen=True, slots=True)
class ViewedSeries:
    """A series of a volume. `folder` numbers its folders; `elsewhere` counts its other instances.

    `pack_contents` is the result of `pack_contents` for the lines of all its instances.
    """

    folder: int
    instances: tuple[ViewedInstance, ...] = ()
    documents: tuple[ViewedDocument, ...] = ()
    pack_contents: tuple[int, ...] = ()
    number: int | None = None
    modality: str = ""
    description: str = ""
    body_part: str = ""
    laterality: str = ""
    thumbnail: str = ""
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class ViewedStudy:
    series: tuple[ViewedSeries, ...]
    date: str = ""
    time: str = ""
    description: str = ""
    accession_number: str = ""
    institution: str = ""
    referring_physician: str = ""


@dataclass(frozen=True, slots=True)
class ViewedPatient:
    studies: tuple[ViewedStudy, ...]
    name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True, slots=True)
class ViewedVolume:
    """A whole volume. `site` may have `institution`, `contact` and `disclaimer`."""

    patients: tuple[ViewedPatient, ...]
    language: str = "en"
    number: int = 1
    volumes: int = 1
    site: Mapping[str, str] = field(default_factory=dict)


def pack_contents(line_lengths: Sequence[int]) -> tuple[int, ...]:
    """The number of lines in each pack of a series; the lines of its instances one after another.

    Lines of 0 bytes must be left out. Pack n (from 1) is `pixel_packs.pack_prefix(folder, n)`, its
    lines and `pixel_packs.pack_suffix()`, in the file of `pack_name`.
    """
    return pixel_packs.divide_into_packs(line_lengths)


def pack_name(folder: int, pack: int) -> str:
    """The path of a pack on the volume; packs are numbered from 1."""
    return f"VIEWER/S{folder:07d}/P{pack:07d}.HTM"


def display_order(records: Sequence[Mapping[str, Any]]) -> list[int]:
    """The order in which the instances of a series are shown, as indexes of their records.

    By place, if slices are parallel and no two of a stack lie at the same place; in the direction
    in which the Instance Numbers grow. Otherwise by Instance Number.
    """
    descriptions = [record.get("description", {}) for record in records]
    indexes = range(len(descriptions))
    by_number = sorted(indexes, key=lambda index: (descriptions[index].get("number") or 0, index))
    places = [_place(description) for description in descriptions]
    if len(places) < 2 or any(place is None for place in places):
        return by_number
    known = [place for place in places if place is not None]
    if len({place[0] for place in known}) > 1:
        return by_number
    stacks: dict[str, list[int]] = {}
    for index in by_number:
        stacks.setdefault(descriptions[index].get("group", ""), []).append(index)
    if any(len({known[index][1] for index in stack}) < len(stack) for stack in stacks.values()):
        return by_number
    ordered: list[int] = []
    for stack in stacks.values():
        first, last = known[stack[0]][1], known[stack[-1]][1]
        ordered += sorted(stack, key=lambda index: known[index][1], reverse=first > last)
    return ordered


def _place(description: Description) -> tuple[tuple[float, ...], float] | None:
    """The orientation of a slice, and its place along its normal in mm."""
    position, orientation = description.get("position"), description.get("orientation")
    if not position or not orientation or description.get("frames", 1) > 1:
        return None
    row, column = orientation[:3], orientation[3:]
    normal = (
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    )
    place = sum(x * y for x, y in zip(normal, position, strict=True))
    return tuple(round(number, 2) for number in orientation), round(place, 3)


def build_data(volume: ViewedVolume) -> bytes:
    """DATA.JS of a volume."""
    series = [
        item for patient in volume.patients for study in patient.studies for item in study.series
    ]
    places = {
        str(instance.description.get("uid", "")): [series_index, instance_index]
        for series_index, item in enumerate(series)
        for instance_index, instance in enumerate(item.instances)
    }
    frames: dict[str, int] = {}
    values = iter([_series_value(item, places, frames) for item in series])
    disc = _filled(
        language=volume.language,
        site={key: text for key, text in volume.site.items() if text},
        volume={"number": volume.number, "volumes": volume.volumes},
        patients=[_patient_value(patient, values) for patient in volume.patients],
    )
    text = json.dumps(disc, separators=(",", ":"), ensure_ascii=True)
    return f"BURNISH_DISC({text});\n".encode("ascii")


def _patient_value(patient: ViewedPatient, series: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return _filled(
        name=patient.name,
        id=patient.patient_id,
        birth_date=patient.birth_date,
        sex=patient.sex,
        studies=[
            _filled(
                date=study.date,
                time=study.time,
                description=study.description,
                accession_number=study.accession_number,
                institution=study.institution,
                referring_physician=study.referring_physician,
                series=[next(series) for _ in study.series],
            )
            for study in patient.studies
        ],
    )


def _series_value(
    series: ViewedSeries, places: Mapping[str, list[int]], frames: dict[str, int]
) -> dict[str, Any]:
    instances = []
    block = 0
    for instance in series.instances:
        value = _instance_value(instance, series.folder, places, frames)
        blocks = value.get("extras", 0) + instance.record.get("frames", 0)
        if blocks:
            value["block"] = block
            block += blocks
        instances.append(value)
    common = _common_values(instances)
    for value in instances:
        for key in common:
            del value[key]
    return _filled(
        folder=series.folder,
        number=series.number,
        modality=series.modality,
        description=series.description,
        body_part=series.body_part,
        laterality=series.laterality,
        thumbnail=series.thumbnail,
        elsewhere=series.elsewhere,
        packs=list(series.pack_contents),
        common=common,
        instances=instances,
        documents=[
            _filled(
                title=item.title,
                kind=item.kind,
                path=item.path,
                note=item.note,
                thumbnail=item.thumbnail,
            )
            for item in series.documents
        ],
    )


def _instance_value(
    instance: ViewedInstance,
    folder: int,
    places: Mapping[str, list[int]],
    frames: dict[str, int],
) -> dict[str, Any]:
    value: dict[str, Any] = dict(instance.description)
    value.pop("uid", None)
    frame_of_reference = value.pop("frame_of_reference", "")
    if frame_of_reference:
        value["frame"] = frames.setdefault(frame_of_reference, len(frames) + 1)
    if _REFERENCES in value:
        value[_REFERENCES] = [places.get(uid, 0) for uid in value[_REFERENCES]]
        missing = value[_REFERENCES].count(0)
        if missing:
            value["missing"] = missing
    if instance.record.get("extras"):
        value["extras"] = instance.record["extras"]
    if instance.record.get("frames"):
        value["pixels"] = 1
    if any(instance.pictures):
        value["pictures"] = [_picture_value(path, folder) for path in instance.pictures]
    if instance.problem:
        value["problem"] = instance.problem
    return value


def _picture_value(path: str, folder: int) -> int | str:
    """The number of a picture in the folder of its series; a path of another form as it is."""
    if not path:
        return 0
    head, tail = f"IHE_PDI/S{folder:07d}/I", ".JPG"
    digits = path[len(head) : -len(tail)]
    if path.startswith(head) and path.endswith(tail) and len(digits) == 7 and digits.isdigit():
        return int(digits)
    return path


def _common_values(instances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The values that all of several instances have."""
    if len(instances) < 2:
        return {}
    first, *others = instances
    return {
        key: value
        for key, value in first.items()
        if key != "block" and all(key in other and other[key] == value for other in others)
    }


def _rounded(number: float) -> float:
    return float(f"{number:.8g}")


def _filled(**values: Any) -> dict[str, Any]:
    """The values that are not empty."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {}, 0)}
