"""Craft: INDEX.HTM, the first page of a volume: what is on it, for people."""

from collections.abc import Sequence
from typing import NamedTuple

from burnish import __version__
from burnish.content import terms_record
from burnish.content.content_terms import ContentTerms
from burnish.content.outline import PatientOutline, SeriesOutline, StudyOutline, VolumeOutline
from burnish.content.pages.xhtml import foreign, lines, page, paragraph, text
from burnish.vocabulary import IncludeNonDICOMObjects


class VolumeInSet(NamedTuple):
    """One volume of a set: its number, from 1, and what it shows."""

    number: int
    outline: VolumeOutline


def front_page(volume: VolumeInSet, others: Sequence[VolumeInSet], terms: ContentTerms) -> bytes:
    """INDEX.HTM of a volume; `others` are the other volumes of the set."""
    texts = terms.texts
    title = texts.text(_title_key(terms))
    parts = [
        _letterhead(volume.outline, terms, volume.number, len(others) + 1),
        f"<h1>{text(title)}</h1>\n",
        _ways(terms),
        _for_patients(terms, volume.outline),
        _manifest(volume.outline, terms),
        _other_volumes(others, terms),
        _foot(terms),
    ]
    # instances can be added to a volume that is not one of several
    record = "" if others else terms_record.encode_terms(terms)
    return page(title, "".join(parts), "IHE_PDI/STYLE.CSS", texts, record)


def _title_key(terms: ContentTerms) -> str:
    if terms.audience is IncludeNonDICOMObjects.FOR_PATIENT:
        return "front.title_patient"
    return "front.title_teaching" if terms.teaching else "front.title"


def _letterhead(outline: VolumeOutline, terms: ContentTerms, number: int, count: int) -> str:
    """Who made the volume, and which one of the set it is."""
    logo = ""
    if terms.shown_site.logo:
        alt = text(terms.site.institution)
        logo = f'<p class="logo"><img src="IHE_PDI/LOGO.JPG" alt="{alt}" /></p>\n'
    institution = "" if terms.teaching else institutions(outline, terms)
    texts = terms.texts
    made_by = texts.text("front.made_by", institution=institution) if institution else ""
    volume = texts.text("pages.volume", number=number, count=count) if count > 1 else ""
    return logo + paragraph(made_by, "from") + paragraph(volume, "from")


def institutions(outline: VolumeOutline, terms: ContentTerms) -> str:
    """The institution of the settings, or else those that the instances name, unless many."""
    return terms.site.institution_or(outline.institutions())


def _ways(terms: ContentTerms) -> str:
    """The links to viewer and pages."""
    texts = terms.texts
    ways = []
    if terms.viewer:
        ways.append(("VIEWER/VIEWER.HTM", "viewer", "button first"))
    ways.append(("IHE_PDI/INDEX.HTM", "pages", "button" if ways else "button first"))
    rows = "".join(
        f'<li><a class="{style}" href="{path}">{text(texts.text("front." + key))}</a>'
        f'<div class="note">{text(texts.text(f"front.{key}_note"))}</div></li>\n'
        for path, key, style in ways
    )
    return f'<ul class="buttons">\n{rows}</ul>\n'


def _for_patients(terms: ContentTerms, outline: VolumeOutline) -> str:
    """The notes for patients, in plain words."""
    if terms.audience is not IncludeNonDICOMObjects.FOR_PATIENT:
        return ""
    texts = terms.texts
    contact = " ".join(terms.site.contact.split()) or institutions(outline, terms)
    whom = texts.text("patient.whom", contact=contact)
    if not contact:
        whom = texts.text("patient.whom_without")
    sections = [
        (texts.text("patient.what_title"), texts.text("patient.what")),
        (texts.text("patient.how_title"), texts.text("patient.how")),
        (texts.text("patient.limits_title"), texts.text("patient.limits")),
        (texts.text("patient.whom_title"), whom),
    ]
    rows = "".join(f"<h2>{text(title)}</h2>\n{paragraph(answer)}" for title, answer in sections)
    return f'<div class="box">\n{rows}</div>\n'


def _manifest(outline: VolumeOutline, terms: ContentTerms) -> str:
    """The contents of the volume: patients, studies and numbers."""
    texts = terms.texts
    rows = _patients(outline, terms) or paragraph(texts.text("front.no_content"))
    not_shown = len(outline.in_root) + sum(
        len(series.others) + len(series.faulty) for series in outline.series()
    )
    notes = [texts.text("front.importable")]
    if not_shown:
        notes.append(texts.text("front.not_shown", number=not_shown))
    return (
        f"<h2>{text(texts.text('front.content'))}</h2>\n"
        + rows
        + "".join(paragraph(note, "note") for note in notes)
    )


def _patients(outline: VolumeOutline, terms: ContentTerms) -> str:
    parts = []
    for number, patient in enumerate(outline.patients, start=1):
        parts.append(f"<h3>{patient_heading(patient, number, terms)}</h3>\n<ul>\n")
        parts += [f"<li>{_study_line(study, terms)}</li>\n" for study in patient.studies]
        parts.append("</ul>\n")
    return "".join(parts)


def patient_heading(patient: PatientOutline, number: int, terms: ContentTerms) -> str:
    """The name of a patient, or the number of a case for teaching."""
    if terms.teaching:
        return text(terms.texts.text("pages.case", number=number))
    name = terms.texts.name(patient.first.patient_name)
    unknown = text(terms.texts.text("pages.unknown_patient"))
    identifier = foreign(patient.first.patient_id)
    return foreign(name) or (f"{unknown} ({identifier})" if identifier else unknown)


def _study_line(study: StudyOutline, terms: ContentTerms) -> str:
    parts = [study_heading(study, terms)]
    parts += [text(count) for count in counts(study.series, terms)]
    return ", ".join(part for part in parts if part)


def study_heading(study: StudyOutline, terms: ContentTerms) -> str:
    """Date and description of a study, or else its modalities."""
    modalities = ", ".join(modality_name(modality, terms) for modality in study.modalities)
    date = text(terms.texts.date(study.first.study_date))
    description = foreign(study.first.study_description) or text(modalities)
    return ": ".join(part for part in (date, description) if part)


def modality_name(modality: str, terms: ContentTerms) -> str:
    """A modality in words, where there are words for it."""
    return terms.texts.texts.get(f"modality.{modality}", modality)


def counts(series: Sequence[SeriesOutline], terms: ContentTerms) -> list[str]:
    """How many images, documents and other objects there are."""
    images = sum(len(each.pictures) for each in series)
    documents = sum(len(each.documents) for each in series)
    others = sum(len(each.others) + len(each.faulty) for each in series)
    numbers = (("images", images), ("documents", documents), ("other_objects", others))
    return [terms.texts.text(f"pages.{key}", number=number) for key, number in numbers if number]


def _other_volumes(others: Sequence[VolumeInSet], terms: ContentTerms) -> str:
    """The contents of the other volumes of the set."""
    if not others:
        return ""
    texts = terms.texts
    parts = [f"<h2>{text(texts.text('pages.other_volumes'))}</h2>\n"]
    for volume in others:
        title = texts.text("pages.other_volume", number=volume.number)
        parts.append(f'<div class="box">\n<h3>{text(title)}</h3>\n<ul>\n')
        for patient, study in volume.outline.studies():
            name = "" if terms.teaching else foreign(texts.name(patient.first.patient_name))
            line = ", ".join(part for part in (name, _study_line(study, terms)) if part)
            parts.append(f"<li>{line}</li>\n")
        if not volume.outline.patients:
            parts.append(f"<li>{text(texts.text('front.no_content'))}</li>\n")
        parts.append("</ul>\n</div>\n")
    return "".join(parts)


def _foot(terms: ContentTerms) -> str:
    texts = terms.texts
    notes = [f"<p>{text(texts.text('pages.reference'))}</p>\n"]
    if terms.teaching:
        statement = f"{texts.text('readme.teaching')} {texts.text('readme.teaching_files')}"
        notes.append(f'<p class="warn">{text(statement)}</p>\n')
    if terms.site.disclaimer:
        notes.append(f"<p>{lines(terms.site.disclaimer)}</p>\n")
    if terms.application_folders:
        folders = ", ".join(terms.application_folders)
        note = texts.text("front.applications", folder=folders)
        notes.append(f"<p>{text(note)}</p>\n")
    if terms.shown_site.contact:
        contact = texts.text("front.contact", contact=terms.site.contact)
        notes.append(f"<p>{lines(contact)}</p>\n")
    readme = text(texts.text("front.readme"))
    notes.append(f'<p><a href="README.TXT">{readme}</a></p>\n')
    notes.append(f"<p>{text(texts.text('readme.product', version=__version__))}</p>\n")
    return f'<div class="foot">\n{"".join(notes)}</div>\n'
