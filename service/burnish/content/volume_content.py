"""Craft: all files for people on the volumes of a set: pages, pictures, viewer, programs.

What a volume holds depends on its instances, on the other volumes of the set, and on the terms
alone, so that its size is known before it is written. `content_share` says how much of that an
instance brings along, for packing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from burnish.content import pixel_packs, viewer, viewer_data
from burnish.content.content_terms import ContentTerms
from burnish.content.languages import LANGUAGES, catalogue
from burnish.content.model import ContentKind, Rendition
from burnish.content.outline import (
    ChosenPictures,
    PatientOutline,
    SeriesOutline,
    ShownDocument,
    StudyOutline,
    VolumeEntry,
    outline_volume,
    without_identity,
)
from burnish.content.pages import album, front, xhtml
from burnish.content.pages.album import FOLDER, document_file_name
from burnish.content.pages.front import VolumeInSet
from burnish.content.viewer import ViewerTexts
from burnish.content.viewer_data import (
    ViewedDocument,
    ViewedInstance,
    ViewedPatient,
    ViewedSeries,
    ViewedStudy,
    ViewedVolume,
)
from burnish.content.volume_files import Blob, ContentFile, LocalFile, Part
from burnish.values import ContentShare

VIEWER = "VIEWER"
#: Bytes that an instance, a picture on pages and a document bring along in pages and in DATA.JS.
_TEXT_OF_INSTANCE, _TEXT_OF_PICTURE, _TEXT_OF_DOCUMENT = 250, 1300, 3500
#: Bytes of a text, date, name or link in the body of a document.
_TEXT_OF_BODY_PART = 60
#: Bytes of the first page and of the data of a viewer without any study, and for each study.
_TEXT_OF_FRONT, _TEXT_OF_STUDY = 12_000, 600
#: Bytes that a series brings along in pages, in DATA.JS and in directories.
TEXT_OF_SERIES = 16_000


def content_share(
    rendition: Rendition, chosen: ChosenPictures, terms: ContentTerms
) -> ContentShare:
    """The size that an instance brings along, at most as a rule."""
    sizes = []
    text = _TEXT_OF_INSTANCE
    for picture in rendition.pictures:
        on_pages = (rendition.key, picture.frame) in chosen.pictures
        if on_pages or terms.viewer:
            sizes.append(picture.jpeg.size)
        if on_pages:
            sizes.append(picture.thumbnail.size)
            text += _TEXT_OF_PICTURE
    if rendition.instance.kind is ContentKind.DOCUMENT:
        text += _TEXT_OF_DOCUMENT
    for part in rendition.body:
        text += part.size if isinstance(part, Blob) else _TEXT_OF_BODY_PART
    sizes += [document.content.size for document in rendition.documents]
    packed = 0
    if terms.viewer:
        text += len(json.dumps(rendition.viewer)) + 16 * len(rendition.pictures)
        packed = sum(blob.size for blob in rendition.viewer_blobs)
    return ContentShare(tuple(sizes), text, packed)


def fixed_files(terms: ContentTerms, studies: int) -> list[tuple[str, int]]:
    """The files that every volume of a set with so many studies has, and their sizes at least."""
    files = [(name, path.stat().st_size) for name, path in terms.applications.items()]
    if not terms.pages:
        return files
    files += [
        ("INDEX.HTM", _TEXT_OF_FRONT + _TEXT_OF_STUDY * studies),
        (f"{FOLDER}\\INDEX.HTM", _TEXT_OF_FRONT),
        (f"{FOLDER}\\STYLE.CSS", len(xhtml.style_sheet())),
    ]
    if terms.shown_site.logo:
        files.append((f"{FOLDER}\\LOGO.JPG", len(terms.site.logo)))
    if terms.viewer:
        files.append((f"{VIEWER}\\DATA.JS", _TEXT_OF_FRONT))
        files += [(file.name, file.size) for file in viewer_program()]
    return files


def for_audience(rendition: Rendition, terms: ContentTerms) -> Rendition:
    """The values of an instance that are shown: of teaching files none that name the patient."""
    return without_identity(rendition) if terms.teaching else rendition


def content_of_set(
    volumes: Sequence[Sequence[VolumeEntry]], chosen: ChosenPictures, terms: ContentTerms
) -> list[tuple[ContentFile, ...]]:
    """The files for people on each volume of a set, in the order in which they lie there.

    What belongs to one series lies together, so that a slow drive need not seek.
    """
    outlines = [
        VolumeInSet(number, outline_volume(entries, chosen))
        for number, entries in enumerate(volumes, start=1)
    ]
    return [tuple(_files(volume, outlines, terms)) for volume in outlines]


def _files(
    volume: VolumeInSet, outlines: Sequence[VolumeInSet], terms: ContentTerms
) -> Iterator[ContentFile]:
    others = [other for other in outlines if other is not volume]
    yield ContentFile("INDEX.HTM", (front.front_page(volume, others, terms),))
    yield ContentFile(f"{FOLDER}\\STYLE.CSS", (xhtml.style_sheet(),))
    if terms.shown_site.logo:
        yield ContentFile(f"{FOLDER}\\LOGO.JPG", (terms.site.logo,))
    if terms.viewer:
        yield from _viewer_files(volume, outlines, terms)
    of_series: dict[str, list[ContentFile]] = {}
    for file in album.album_pages(volume.outline, terms):
        folder = file.name.split("\\")[1]
        of_series.setdefault(folder, []).append(file)
    yield from of_series.pop("INDEX.HTM")
    for series in volume.outline.series():
        yield from of_series[series.folder]
        yield from _pictures(series, terms)
        yield from _document_files(series)
        if terms.viewer:
            yield from _packs(series)
    yield from application_files(terms)


def application_files(terms: ContentTerms) -> Iterator[ContentFile]:
    """The programs for viewing that the site has chosen, as they are."""
    for name, path in terms.applications.items():
        yield ContentFile(name, (LocalFile(str(path), path.stat().st_size),))


def _pictures(series: SeriesOutline, terms: ContentTerms) -> Iterator[ContentFile]:
    folder = f"{FOLDER}\\{series.folder}"
    for shown in series.shown:
        yield ContentFile(f"{folder}\\{shown.thumbnail_name}", (shown.picture.thumbnail,))
    for shown in series.pictures:
        if shown.on_pages or terms.viewer:
            yield ContentFile(f"{folder}\\{shown.name}", (shown.picture.jpeg,))


def _document_files(series: SeriesOutline) -> Iterator[ContentFile]:
    for document in series.documents:
        for position, file in enumerate(document.rendition.documents):
            name = document_file_name(series, document, position)
            yield ContentFile(name, (file.content,))


# --- the viewer ----------------------------------------------------------------------------------


def _lines(series: SeriesOutline) -> list[Blob]:
    """The lines of all packs of a series, in order."""
    return [line for rendition in series.renditions for line in rendition.viewer_blobs]


def _packs(series: SeriesOutline) -> Iterator[ContentFile]:
    lines = _lines(series)
    start = 0
    for number, count in enumerate(viewer_data.pack_contents([line.size for line in lines]), 1):
        name = viewer_data.pack_name(series.number, number).replace("/", "\\")
        prefix = pixel_packs.pack_prefix(series.number, number)
        parts: list[Part] = [prefix, *lines[start : start + count], pixel_packs.pack_suffix()]
        yield ContentFile(name, tuple(parts))
        start += count


def _viewer_files(
    volume: VolumeInSet, outlines: Sequence[VolumeInSet], terms: ContentTerms
) -> Iterator[ContentFile]:
    """The program and its data."""
    yield from viewer_program()
    elsewhere = _instances_elsewhere(volume, outlines)
    site = terms.site
    data = ViewedVolume(
        tuple(_viewed_patient(patient, elsewhere) for patient in volume.outline.patients),
        terms.language,
        volume.number,
        len(outlines),
        {
            "institution": site.institution,
            "contact": site.contact,
            "disclaimer": site.disclaimer,
        },
    )
    yield ContentFile(f"{VIEWER}\\DATA.JS", (viewer_data.build_data(data),))


@cache
def viewer_program() -> tuple[ContentFile, ...]:
    """The files of the viewer that do not depend on the instances."""
    texts = {}
    for code in LANGUAGES:
        language = catalogue(code)
        texts[code] = ViewerTexts(
            language.native_name, language.direction, language.viewer, language.forms
        )
    files = viewer.program_files(texts)
    return tuple(ContentFile(name.replace("/", "\\"), (data,)) for name, data in files.items())


def _series_key(series: SeriesOutline) -> str:
    return series.first.series_instance_uid


def _instances_elsewhere(volume: VolumeInSet, outlines: Sequence[VolumeInSet]) -> Mapping[str, int]:
    """The instances that each series has on other volumes."""
    numbers: dict[str, int] = {}
    for other in outlines:
        if other is volume:
            continue
        for series in other.outline.series():
            key = _series_key(series)
            numbers[key] = numbers.get(key, 0) + len(series.renditions)
    return numbers


def _viewed_patient(patient: PatientOutline, elsewhere: Mapping[str, int]) -> ViewedPatient:
    first = patient.first
    return ViewedPatient(
        tuple(_viewed_study(study, elsewhere) for study in patient.studies),
        first.patient_name,
        first.patient_id,
        first.birth_date,
        first.sex,
    )


def _viewed_study(study: StudyOutline, elsewhere: Mapping[str, int]) -> ViewedStudy:
    first = study.first
    return ViewedStudy(
        tuple(_viewed_series(series, elsewhere) for series in study.series),
        first.study_date,
        first.study_time,
        first.study_description,
        first.accession_number,
        first.institution,
        first.referring_physician,
    )


def _viewed_series(series: SeriesOutline, elsewhere: Mapping[str, int]) -> ViewedSeries:
    first = series.first
    thumbnail = series.thumbnail_name and f"{FOLDER}/{series.folder}/{series.thumbnail_name}"
    return ViewedSeries(
        series.number,
        tuple(_viewed_instances(series)),
        tuple(_viewed_document(series, document) for document in series.documents),
        viewer_data.pack_contents([line.size for line in _lines(series)]),
        first.series_number,
        first.modality,
        first.series_description,
        first.body_part,
        first.laterality,
        thumbnail,
        elsewhere.get(_series_key(series), 0),
    )


def _viewed_instances(series: SeriesOutline) -> Iterator[ViewedInstance]:
    paths = {
        (shown.key, shown.picture.frame): f"{FOLDER}/{series.folder}/{shown.name}"
        for shown in series.pictures
    }
    for rendition in series.renditions:
        frames = max(1, rendition.instance.frames) if rendition.pictures else 0
        pictures = tuple(paths.get((rendition.key, frame), "") for frame in range(1, frames + 1))
        yield ViewedInstance(rendition.viewer, pictures, rendition.fault)


def _viewed_document(series: SeriesOutline, document: ShownDocument) -> ViewedDocument:
    rendition = document.rendition
    instance = rendition.instance
    path = f"{FOLDER}/{series.folder}/{document.name}"
    for position, file in enumerate(rendition.documents):
        if file.extension == "MP4":
            path = document_file_name(series, document, position).replace("\\", "/")
    return ViewedDocument(
        instance.title or instance.series_description or instance.modality,
        instance.modality,
        path,
        thumbnail=document.thumbnail_name and f"{FOLDER}/{series.folder}/{document.thumbnail_name}",
    )
