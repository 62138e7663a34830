"""Craft: what a volume shows, in order: patients, studies, series, pictures and documents.

The grouping is that of the DICOMDIR, which the File IDs tell: pages and viewer follow it. The names
of files in `IHE_PDI` and `VIEWER` are given here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from burnish.content import viewer_data
from burnish.content.model import ContentKind, InstanceDescription, Picture, Rendition

#: Why a picture is not shown although there is one; see `faults` of the catalogues.
WITHHELD = "withheld"


class VolumeEntry(NamedTuple):
    """One instance of a volume: its File ID, and what was made of it."""

    file_id: str
    rendition: Rendition


class ShownPicture(NamedTuple):
    """A picture of a series: its number there, from 1, and the names of its files.

    `key` is that of its rendition. `on_pages` says whether the pages show it; the viewer shows all.
    """

    number: int
    key: str
    instance: InstanceDescription
    picture: Picture
    on_pages: bool
    is_key: bool

    @property
    def name(self) -> str:
        return f"I{self.number:07d}.JPG"

    @property
    def thumbnail_name(self) -> str:
        return f"T{self.number:07d}.JPG"


class ShownDocument(NamedTuple):
    """A document of a series: its number there, from 1, and what was made of it."""

    number: int
    rendition: Rendition

    @property
    def name(self) -> str:
        return f"D{self.number:07d}.HTM"

    def file_name(self, position: int) -> str:
        """The name of one of its files, without its extension."""
        return f"D{self.number:05d}{position:02d}"

    @property
    def thumbnail_name(self) -> str:
        """The name of its small picture in the folder of the series; "" if it has none."""
        position = self.rendition.thumbnail
        return "" if position is None else f"{self.file_name(position)}.JPG"


@dataclass(frozen=True, slots=True)
class SeriesOutline:
    """One series of a volume. `number` counts the series of the volume, from 1."""

    number: int
    first: InstanceDescription
    renditions: tuple[Rendition, ...]
    pictures: tuple[ShownPicture, ...] = ()
    documents: tuple[ShownDocument, ...] = ()
    faulty: tuple[Rendition, ...] = ()
    others: tuple[Rendition, ...] = ()

    @property
    def folder(self) -> str:
        return f"S{self.number:07d}"

    @property
    def shown(self) -> list[ShownPicture]:
        """The pictures that the pages show."""
        return [picture for picture in self.pictures if picture.on_pages]

    @property
    def thumbnail_name(self) -> str:
        """The small picture that stands for the series, in its folder; "" if it has none.

        It is the one in its middle, or that of its first document that has one.
        """
        shown = self.shown
        if shown:
            return shown[len(shown) // 2].thumbnail_name
        names = (document.thumbnail_name for document in self.documents)
        return next((name for name in names if name), "")


@dataclass(frozen=True, slots=True)
class StudyOutline:
    """One study of a volume; `first` is the description of its first instance."""

    first: InstanceDescription
    series: tuple[SeriesOutline, ...]

    @property
    def modalities(self) -> list[str]:
        return list(dict.fromkeys(series.first.modality for series in self.series))


@dataclass(frozen=True, slots=True)
class PatientOutline:
    """One patient of a volume."""

    first: InstanceDescription
    studies: tuple[StudyOutline, ...]


@dataclass(frozen=True, slots=True)
class VolumeOutline:
    """The patients and studies that one volume of a set shows."""

    patients: tuple[PatientOutline, ...]
    in_root: tuple[Rendition, ...] = ()

    def studies(self) -> Iterator[tuple[PatientOutline, StudyOutline]]:
        for patient in self.patients:
            for study in patient.studies:
                yield patient, study

    def series(self) -> Iterator[SeriesOutline]:
        for _, study in self.studies():
            yield from study.series

    def institutions(self) -> list[str]:
        """Every institution that an instance names, once."""
        names = (study.first.institution for _, study in self.studies())
        return list(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True, slots=True)
class ChosenPictures:
    """The pictures of a whole set that pages show, by key of the rendition and frame.

    `key_images` are the SOP Instance UIDs of the images that a Key Object Selection names.
    """

    pictures: frozenset[tuple[str, int]]
    key_images: frozenset[str]


def choose_pictures(series: Iterable[Sequence[Rendition]], most_pictures: int) -> ChosenPictures:
    """At most about `most_pictures` of each series of a set: every nth, and all key images."""
    series = [list(renditions) for renditions in series]
    key_images = frozenset(
        uid
        for renditions in series
        for rendition in renditions
        for uid in rendition.instance.key_references
    )
    chosen: set[tuple[str, int]] = set()
    for renditions in series:
        pictures = [
            (rendition, picture.frame)
            for rendition in in_display_order(renditions)
            for picture in rendition.pictures
        ]
        step = max(1, -(-len(pictures) // max(1, most_pictures)))
        for position, (rendition, frame) in enumerate(pictures):
            # of a clip, each nth frame is enough, although all its frames are one instance
            is_key = frame == 1 and rendition.instance.sop_instance_uid in key_images
            if position % step == 0 or is_key:
                chosen.add((rendition.key, frame))
    return ChosenPictures(frozenset(chosen), key_images)


def in_display_order(renditions: Sequence[Rendition]) -> list[Rendition]:
    """The instances of a series as pages and viewer show them."""
    order = viewer_data.display_order([rendition.viewer for rendition in renditions])
    return [renditions[index] for index in order]


@dataclass(slots=True)
class _Numbering:
    chosen: ChosenPictures
    series: int = 0


def outline_volume(entries: Sequence[VolumeEntry], chosen: ChosenPictures) -> VolumeOutline:
    """The outline of a volume with these instances, which are in directory order."""
    numbering = _Numbering(chosen)
    patients = []
    in_root: list[Rendition] = []
    for patient, members in groupby(entries, key=lambda entry: _directory(entry, 2)):
        of_patient = list(members)
        if not patient:
            in_root += [entry.rendition for entry in of_patient]
            continue
        studies = tuple(
            _outline_study(list(of_study), numbering)
            for _, of_study in groupby(of_patient, key=lambda entry: _directory(entry, 3))
        )
        patients.append(PatientOutline(of_patient[0].rendition.instance, studies))
    return VolumeOutline(tuple(patients), tuple(in_root))


def _directory(entry: VolumeEntry, levels: int) -> str:
    r"""The first directories of a File ID; "" for a file in the root, as `DICOM\RO000001`."""
    components = entry.file_id.split("\\")
    return "\\".join(components[:levels]) if len(components) > levels else ""


def _outline_study(entries: Sequence[VolumeEntry], numbering: _Numbering) -> StudyOutline:
    series = tuple(
        _outline_series(tuple(of_series), numbering)
        for _, of_series in groupby(entries, key=lambda entry: _directory(entry, 4))
    )
    return StudyOutline(entries[0].rendition.instance, series)


def _outline_series(entries: tuple[VolumeEntry, ...], numbering: _Numbering) -> SeriesOutline:
    numbering.series += 1
    renditions = in_display_order([entry.rendition for entry in entries])
    documents = [each for each in renditions if each.instance.kind is ContentKind.DOCUMENT]
    others = [
        rendition
        for rendition in renditions
        if rendition.instance.kind is ContentKind.OTHER and not rendition.fault
    ]
    faulty = [
        rendition
        for rendition in renditions
        if rendition.fault and rendition.instance.kind is not ContentKind.DOCUMENT
    ]
    return SeriesOutline(
        numbering.series,
        renditions[0].instance,
        tuple(renditions),
        tuple(_shown_pictures(renditions, numbering)),
        tuple(ShownDocument(number, each) for number, each in enumerate(documents, start=1)),
        tuple(faulty),
        tuple(others),
    )


def _shown_pictures(
    renditions: Iterable[Rendition], numbering: _Numbering
) -> Iterator[ShownPicture]:
    chosen = numbering.chosen
    all_pictures = [
        (rendition.key, rendition.instance, picture)
        for rendition in renditions
        for picture in rendition.pictures
    ]
    for number, (key, instance, picture) in enumerate(all_pictures, start=1):
        is_key = instance.sop_instance_uid in chosen.key_images
        on_pages = (key, picture.frame) in chosen.pictures
        yield ShownPicture(number, key, instance, picture, on_pages, is_key)


def without_identity(rendition: Rendition) -> Rendition:
    """A rendition for teaching: no names, dates or free text, no documents, no doubtful picture."""
    instance = rendition.instance
    anonymous = InstanceDescription(
        kind=instance.kind,
        sop_class_uid=instance.sop_class_uid,
        modality=instance.modality,
        series_number=instance.series_number,
        instance_number=instance.instance_number,
        body_part=instance.body_part,
        laterality=instance.laterality,
        rows=instance.rows,
        columns=instance.columns,
        frames=instance.frames,
        frame_rate=instance.frame_rate,
        position=instance.position,
        lossy=instance.lossy,
        may_show=instance.may_show,
    )
    shown = instance.may_show and instance.kind is ContentKind.IMAGE
    return replace(
        rendition,
        instance=anonymous,
        pictures=rendition.pictures if shown else (),
        body=(),
        documents=(),
        fault=rendition.fault or ("" if shown else WITHHELD),
        viewer={},
        viewer_blobs=(),
        thumbnail=None,
    )
