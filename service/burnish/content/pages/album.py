"""Craft: the pages in IHE_PDI: examinations, series, large pictures and documents.

A series has pages with small pictures, `INDEX.HTM`, `G0000002.HTM` …; each picture leads to a page
with large ones, `L0000001.HTM` …, so that no page loads more than a few from a slow medium.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from burnish.content.content_terms import ContentTerms
from burnish.content.model import InstanceDescription, Rendition
from burnish.content.outline import (
    SeriesOutline,
    ShownDocument,
    ShownPicture,
    StudyOutline,
    VolumeOutline,
)
from burnish.content.pages.document_body import (
    LARGE_ON_A_PAGE,
    PlacesOnPages,
    body_parts,
    large_page_name,
    page_references,
)
from burnish.content.pages.front import counts, modality_name, patient_heading, study_heading
from burnish.content.pages.xhtml import foreign, page, paragraph, text
from burnish.content.volume_files import ContentFile

FOLDER = "IHE_PDI"
#: Small pictures on one page.
_SMALL_ON_A_PAGE = 120
#: Where the body of a document stands in its page.
_BODY = "\0"
#: Pixels of the screen that a large picture is wide at least.
_LEAST_WIDTH = 512


def album_pages(outline: VolumeOutline, terms: ContentTerms) -> Iterator[ContentFile]:
    """Every page in IHE_PDI."""
    yield _file("INDEX.HTM", _overview(outline, terms))
    references = page_references(outline)
    for number, patient in enumerate(outline.patients, start=1):
        heading = patient_heading(patient, number, terms)
        for study in patient.studies:
            for series in study.series:
                head = _series_head(heading, study, series, terms)
                yield from _series_pages(series, head, terms)
                for document in series.documents:
                    yield _document_page(study, series, document, references, terms)


def _file(name: str, content: bytes) -> ContentFile:
    return ContentFile(f"{FOLDER}\\{name}", (content,))


# --- all examinations ----------------------------------------------------------------------------


def _overview(outline: VolumeOutline, terms: ContentTerms) -> bytes:
    texts = terms.texts
    title = texts.text("pages.all_series")
    parts = [
        f'<p class="way"><a href="../INDEX.HTM">{text(texts.text("pages.start"))}</a></p>\n',
        f"<h1>{text(title)}</h1>\n",
    ]
    for number, patient in enumerate(outline.patients, start=1):
        parts.append(f"<h2>{patient_heading(patient, number, terms)}</h2>\n")
        first = patient.first
        sex = texts.texts.get(f"sex.{first.sex}", "")
        parts.append(
            _facts(
                [
                    ("birth_date", "date", texts.date(first.birth_date)),
                    ("sex", "sex", sex),
                    ("patient_id", "id", first.patient_id),
                ],
                terms,
            )
        )
        for study in patient.studies:
            parts.append(f"<h3>{study_heading(study, terms)}</h3>\n")
            parts.append(_study_facts(study, terms))
            cards = "".join(_series_card(series, terms) for series in study.series)
            parts.append(f'<ul class="cards">\n{cards}</ul>\n')
    if not outline.patients:
        parts.append(paragraph(texts.text("front.no_content")))
    parts.append(_foot(terms))
    return page(title, "".join(parts), "STYLE.CSS", texts)


def _study_facts(study: StudyOutline, terms: ContentTerms) -> str:
    first = study.first
    return _facts(
        [
            ("institution", "name", first.institution),
            ("referring_physician", "name", terms.texts.name(first.referring_physician)),
            ("accession_number", "number", first.accession_number),
        ],
        terms,
    )


def _facts(facts: Sequence[tuple[str, str, str]], terms: ContentTerms) -> str:
    """Facts that are known, each given as the key of its text, the name of its value, the value."""
    known = "".join(
        f'<span class="f">{_with_foreign(terms, key, name, value)}</span> '
        for key, name, value in facts
        if value
    )
    return f'<p class="facts">{known}</p>\n' if known else ""


def _with_foreign(terms: ContentTerms, key: str, name: str, value: str) -> str:
    """A text with a value that was written in any language."""
    before, _, after = terms.texts.text(f"pages.{key}").partition("{" + name + "}")
    return text(before) + foreign(value) + text(after)


def _series_card(series: SeriesOutline, terms: ContentTerms) -> str:
    """One series with a small picture of it, as a link to its pages."""
    picture = ""
    if series.thumbnail_name:
        picture = (
            f'<span class="p"><img src="{series.folder}/{series.thumbnail_name}" alt="" /></span>'
        )
    details = " · ".join(counts([series], terms))
    return (
        f'<li><a href="{series.folder}/INDEX.HTM">{picture}'
        f'<span class="i">{text(modality_name(series.first.modality, terms))}</span>'
        f'<span class="n">{_series_name(series, terms)}</span>'
        f'<span class="m">{text(details)}</span></a></li>\n'
    )


def _series_name(series: SeriesOutline, terms: ContentTerms) -> str:
    """Number and description of a series, or else the part of the body."""
    first = series.first
    name = terms.texts.text("pages.series_without_number")
    if first.series_number is not None:
        name = terms.texts.text("pages.series", number=first.series_number)
    description = first.series_description or first.body_part
    return text(name) + (f": {foreign(description)}" if description else "")


# --- one series ----------------------------------------------------------------------------------


class _SeriesHead(NamedTuple):
    """What each page of a series begins with, and its title."""

    title: str
    xhtml: str


def _series_pages(
    series: SeriesOutline, head: _SeriesHead, terms: ContentTerms
) -> Iterator[ContentFile]:
    """The pages of a series without those of its documents."""
    shown = series.shown
    albums = _in_groups(shown, _SMALL_ON_A_PAGE) or [[]]
    for number, pictures in enumerate(albums, start=1):
        content = _series_page(series, head, pictures, (number, len(albums)), terms)
        yield _file(f"{series.folder}\\{_small_page(number)}", content)
    groups = _in_groups(shown, LARGE_ON_A_PAGE)
    for number, pictures in enumerate(groups, start=1):
        content = _large_page(head, pictures, (number, len(groups)), terms)
        yield _file(f"{series.folder}\\{large_page_name(number)}", content)


def _in_groups(pictures: Sequence[ShownPicture], size: int) -> list[Sequence[ShownPicture]]:
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]


def _small_page(number: int) -> str:
    return "INDEX.HTM" if number == 1 else f"G{number:07d}.HTM"


def _series_head(
    heading: str, study: StudyOutline, series: SeriesOutline, terms: ContentTerms
) -> _SeriesHead:
    """What a series is, and whose; `heading` is that of the patient."""
    modality = text(modality_name(series.first.modality, terms))
    about = study_heading(study, terms)
    # the heading of a study without a description has its modalities
    is_named = modality in about.split(": ")
    return _SeriesHead(
        _title(study, series, terms),
        f"<h1>{_series_name(series, terms)}</h1>\n"
        f'<p class="facts"><strong>{heading}</strong></p>\n'
        f"{_identity(series.first, terms)}"
        f'<p class="facts">{about}{"" if is_named else f" · {modality}"}</p>\n',
    )


def _title(study: StudyOutline, series: SeriesOutline, terms: ContentTerms) -> str:
    """The title of the pages of a series."""
    first = series.first
    date = terms.texts.date(study.first.study_date)
    description = first.series_description or modality_name(first.modality, terms)
    return " · ".join(part for part in (description, date) if part) or first.modality


def _series_page(
    series: SeriesOutline,
    head: _SeriesHead,
    pictures: Sequence[ShownPicture],
    position: tuple[int, int],
    terms: ContentTerms,
) -> bytes:
    texts = terms.texts
    back = f'<a href="../INDEX.HTM">{text(texts.text("pages.all_series"))}</a>'
    parts = [f'<p class="way">{back}</p>\n', head.xhtml]
    if position[0] == 1:
        parts.append(_documents(series, terms))
        parts.append(_without_pictures(series, terms))
    if pictures:
        parts.append(_pictures(series, pictures, terms))
    parts.append(_page_links(position, _small_page, terms))
    parts.append(_foot(terms))
    return page(head.title, "".join(parts), "../STYLE.CSS", texts)


def _documents(series: SeriesOutline, terms: ContentTerms) -> str:
    if not series.documents:
        return ""
    rows = "".join(
        f'<li><a href="{document.name}">{_small_picture(document)}'
        f"{document_name(document.rendition, terms)}</a></li>\n"
        for document in series.documents
    )
    return f'<div class="box">\n<ul>\n{rows}</ul>\n</div>\n'


def _small_picture(document: ShownDocument) -> str:
    """The small picture of a document, if it has one."""
    name = document.thumbnail_name
    return f'<span class="p"><img src="{name}" alt="" /></span>' if name else ""


def document_name(rendition: Rendition, terms: ContentTerms) -> str:
    """The name of a document, with its date."""
    instance = rendition.instance
    title = foreign(instance.title) or text(modality_name(instance.modality, terms))
    date = text(terms.texts.date(instance.content_date))
    return f"{title}, {date}" if date else title


def _without_pictures(series: SeriesOutline, terms: ContentTerms) -> str:
    """The instances of a series that have no picture, and why."""
    texts = terms.texts
    reasons = [f"fault_{rendition.fault}" for rendition in series.faulty]
    reasons += ["object_only_dicom" for _ in series.others]
    numbers = {reason: reasons.count(reason) for reason in reasons}
    return "".join(
        paragraph(f"{texts.text('pages.' + reason)} ({number})", "warn")
        for reason, number in numbers.items()
    )


def _pictures(series: SeriesOutline, pictures: Sequence[ShownPicture], terms: ContentTerms) -> str:
    """Small pictures, each a link to its large one."""
    texts = terms.texts
    total = len(series.pictures)
    note = texts.text("pages.images", number=total)
    if len(series.shown) < total:
        note = texts.text("pages.every_nth", shown=len(series.shown), number=total)
    positions = {picture.number: place for place, picture in enumerate(series.shown)}
    cells = []
    for picture in pictures:
        large = large_page_name(positions[picture.number] // LARGE_ON_A_PAGE + 1)
        name = _picture_name(picture, terms)
        key = f" ({texts.text('pages.key_image')})" if picture.is_key else ""
        style = ' class="k"' if picture.is_key else ""
        cells.append(
            f'<li{style}><a href="{large}#i{picture.number}">'
            f'<span class="p"><img src="{picture.thumbnail_name}" alt="{text(name)}" /></span>'
            f"{picture.number}{text(key)}</a></li>\n"
        )
    return f'{paragraph(note, "note")}<ul class="grid">\n{"".join(cells)}</ul>\n'


def _picture_name(picture: ShownPicture, terms: ContentTerms) -> str:
    number = picture.instance.instance_number
    number = picture.number if number is None else number
    if picture.instance.frames > 1:
        return terms.texts.text("pages.image_frame", number=number, frame=picture.picture.frame)
    return terms.texts.text("pages.image", number=number)


def _large_page(
    head: _SeriesHead,
    pictures: Sequence[ShownPicture],
    position: tuple[int, int],
    terms: ContentTerms,
) -> bytes:
    texts = terms.texts
    back = f'<a href="INDEX.HTM">{text(texts.text("pages.back_to_series"))}</a>'
    parts = [f'<p class="way">{back}</p>\n', head.xhtml]
    parts.append(_page_links(position, large_page_name, terms))
    for picture in pictures:
        name = text(_picture_name(picture, terms))
        notes = paragraph(texts.text("pages.lossy"), "note") if picture.instance.lossy else ""
        rows, columns = picture.instance.rows, picture.instance.columns
        if picture.picture.width < columns:
            notes += paragraph(texts.text("pages.reduced", rows=rows, columns=columns), "note")
        parts.append(
            f'<div class="large" id="i{picture.number}">\n<h2>{name}</h2>\n'
            f'<p><a href="{picture.name}"><img src="{picture.name}" alt="{name}"{_size(picture)} />'
            f"</a></p>\n{notes}</div>\n"
        )
    parts.append(_page_links(position, large_page_name, terms))
    parts.append(_foot(terms))
    return page(head.title, "".join(parts), "../STYLE.CSS", texts)


def _size(picture: ShownPicture) -> str:
    """The size at which a picture is shown: a small one larger; its pixels may not be square."""
    shown = picture.picture
    scale = max(1.0, _LEAST_WIDTH / shown.width)
    width, height = round(shown.width * scale), round(shown.height * shown.aspect * scale)
    return f' width="{width}" height="{max(1, height)}"'


def _page_links(position: tuple[int, int], name: Callable[[int], str], terms: ContentTerms) -> str:
    """Links to the page before and the page after; "" where there is one page only."""
    number, count = position
    if count == 1:
        return ""
    texts = terms.texts
    parts = []
    if number > 1:
        label = text(texts.text("pages.previous"))
        parts.append(f'<a rel="prev" href="{name(number - 1)}">{label}</a>')
    parts.append(text(texts.text("pages.page", number=number, count=count)))
    if number < count:
        label = text(texts.text("pages.next"))
        parts.append(f'<a rel="next" href="{name(number + 1)}">{label}</a>')
    return f'<p class="way">{" · ".join(parts)}</p>\n'


def _foot(terms: ContentTerms) -> str:
    return f'<div class="foot">{paragraph(terms.texts.text("pages.reference"))}</div>\n'


# --- documents -----------------------------------------------------------------------------------


def _document_page(
    study: StudyOutline,
    series: SeriesOutline,
    document: ShownDocument,
    references: PlacesOnPages,
    terms: ContentTerms,
) -> ContentFile:
    """The page of a document: its body, and links to its files."""
    texts = terms.texts
    rendition = document.rendition
    shown = {part[1] for part in rendition.body if part[0] == "path"} | {rendition.thumbnail}
    links = [
        f'<li><a href="{_path_from_series(document_file_name(series, document, position))}">'
        f"{text(texts.text('pages.open_file', name=file.extension))}</a></li>\n"
        for position, file in enumerate(rendition.documents)
        if position not in shown
    ]
    body = _BODY if rendition.body else ""
    if not rendition.body:
        reason = f"document.fault_{rendition.fault}"
        if reason in texts.texts:
            body = paragraph(texts.text(reason), "warn")
        body += paragraph(texts.text("pages.document_only_dicom"))
    back = f'<a href="INDEX.HTM">{text(texts.text("pages.back_to_series"))}</a>'
    content = (
        f'<p class="way">{back}</p>\n<h1>{document_name(rendition, terms)}</h1>\n'
        f"{_patient_facts(rendition.instance, terms)}"
        f'<p class="facts">{study_heading(study, terms)}</p>\n'
        + (f"<ul>\n{''.join(links)}</ul>\n" if links else "")
        + f'<div class="document">\n{body}</div>\n{_foot(terms)}'
    )
    title = rendition.instance.title or modality_name(rendition.instance.modality, terms)
    before, _, after = page(title or "-", content, "../STYLE.CSS", texts).partition(_BODY.encode())

    def path(position: int) -> str:
        return _path_from_series(document_file_name(series, document, position))

    parts = (before, *body_parts(rendition.body, references, path, terms), after)
    return ContentFile(f"{FOLDER}\\{series.folder}\\{document.name}", parts)


def _patient_facts(instance: InstanceDescription, terms: ContentTerms) -> str:
    """Whose document it is."""
    name = foreign(terms.texts.name(instance.patient_name))
    head = f'<p class="facts"><strong>{name}</strong></p>\n' if name else ""
    return head + _identity(instance, terms)


def _identity(instance: InstanceDescription, terms: ContentTerms) -> str:
    """What tells patients of the same name apart."""
    return _facts(
        [
            ("birth_date", "date", terms.texts.date(instance.birth_date)),
            ("patient_id", "id", instance.patient_id),
        ],
        terms,
    )


def document_file_name(series: SeriesOutline, document: ShownDocument, position: int) -> str:
    """The name on the volume of a file of a document.

    Pages and pictures lie in IHE_PDI, everything else in VIEWER.
    """
    file = document.rendition.documents[position]
    folder = FOLDER if file.web else "VIEWER"
    return f"{folder}\\{series.folder}\\{document.file_name(position)}.{file.extension}"


def _path_from_series(name: str) -> str:
    return "../../" + name.replace("\\", "/")
