"""Craft: what a label can say of a volume, as the fields that templates name."""

import re
from dataclasses import dataclass, field

from burnish.label import bidi
from burnish.values import Patient, Study


@dataclass(frozen=True, slots=True)
class LabelContent:
    """What there is to say; `patients` is empty where nothing of the instances may be said.

    `created` is a date as DICOM has it. Nothing is said of the volume's number where there is no
    `volume_count`.
    """

    file_set_id: str = ""
    volume_number: int = 1
    volume_count: int = 1
    created: str = ""
    media_application_profile: str = ""
    medium: str = ""
    instances: int = 0
    institution: str = ""
    label_text: str = ""
    barcode_value: str = ""
    barcode_symbology: str = ""
    patients: tuple[Patient, ...] = field(default=())


def fields(content: LabelContent) -> dict[str, str]:
    """The fields of the whole label; those of one patient are there if there is one only."""
    studies = [study for patient in content.patients for study in patient.studies]
    found = {
        **dict.fromkeys([*_patient(Patient()), *_study(Study())], ""),
        "file_set_id": content.file_set_id,
        "volume_number": str(content.volume_number) if content.volume_count else "",
        "volume_count": str(content.volume_count or ""),
        "created": date(content.created),
        "media_application_profile": content.media_application_profile,
        "medium": content.medium,
        "instances": str(content.instances or ""),
        "institution": bidi.printable(content.institution),
        "label_text": content.label_text,
        "barcode_value": bidi.printable(content.barcode_value),
        "patients": str(len(content.patients) or ""),
        "studies": str(len(studies) or ""),
        "modalities": _modalities(studies),
        "study_dates": _dates(studies),
    }
    if len(content.patients) == 1:
        found |= _patient(content.patients[0])
    if len(studies) == 1:
        found |= _study(studies[0])
    return found


def each(content: LabelContent, what: str) -> list[dict[str, str]]:
    """The fields of each patient, or of each study with those of its patient."""
    if what == "patient":
        return [_patient(patient) for patient in content.patients]
    return [
        {**_patient(patient), **_study(study)}
        for patient in content.patients
        for study in sorted(patient.studies, key=lambda study: study.study_date, reverse=True)
    ]


def _patient(patient: Patient) -> dict[str, str]:
    alphabetic, ideographic, phonetic = [*patient.patient_name.split("=", 2), "", ""][:3]
    others = [_together(ideographic), _together(phonetic)]
    name = _listed(alphabetic)
    if not name:
        name = next((other for other in others if other), "")
        others = ["" if other == name else other for other in others]
    return {
        "patient_name": name,
        "ideographic_name": others[0],
        "phonetic_name": others[1],
        "patient_id": bidi.printable(patient.patient_id),
        "birth_date": date(patient.birth_date),
        "sex": bidi.printable(patient.sex),
        "study_dates": _dates(patient.studies),
        "modalities": _modalities(patient.studies),
    }


def _study(study: Study) -> dict[str, str]:
    return {
        "study_date": date(study.study_date),
        "study_description": bidi.printable(study.study_description),
        "modalities": _modalities([study]),
        "accession_number": bidi.printable(study.accession_number),
    }


def _components(group: str) -> list[str]:
    """Family name, given name, middle name, prefix, suffix (PS3.5 6.2.1)."""
    return [bidi.printable(part) for part in [*group.split("^", 4), "", "", "", ""][:5]]


def _listed(group: str) -> str:
    """Family name first, as in a list: `Adams, John Robert Quincy, Rev., B.A. M.Div.`"""
    family, given, middle, prefix, suffix = _components(group)
    parts = [family, f"{given} {middle}".strip(), prefix, suffix]
    return ", ".join(part for part in parts if part)


def _together(group: str) -> str:
    """As ideographic and phonetic names are written: without a sign between their parts."""
    family, given, middle, prefix, suffix = _components(group)
    return " ".join(part for part in (prefix, family, given, middle, suffix) if part)


def date(value: str) -> str:
    """A date as ISO 8601 has it; what is no date of DICOM stays as it is."""
    found = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", value.strip())
    return "-".join(found.groups()) if found else bidi.printable(value)


def _dates(studies: "list[Study] | tuple[Study, ...]") -> str:
    """The first and the last date."""
    known = sorted({date(study.study_date) for study in studies} - {""})
    return known[0] if len(known) == 1 else f"{known[0]} – {known[-1]}" if known else ""  # noqa: RUF001


def _modalities(studies: "list[Study] | tuple[Study, ...]") -> str:
    return " ".join(sorted({modality for study in studies for modality in study.modalities}))


#: Every field there is: a template that names another is wrong.
FIELDS = frozenset(fields(LabelContent()))
