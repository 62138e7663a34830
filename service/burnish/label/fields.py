"""Craft: what a label can say about a volume, as the fields that templates name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.label import bidi
from burnish.values import Patient, Study


@dataclass(frozen=True, slots=True)
class LabelContent:
    """Everything that a label may say.

    `patients` is empty if nothing from the instances may be printed. `created` is a DICOM date
    (DA). `logo` is a JPEG picture in colour. `content_type` is what IHE wants on labels: DICOM ONLY
    or DICOM AND WEB. With a `volume_count` of 0, neither the volume's number nor the count is
    printed.
    """

    file_set_id: str = ""
    volume_number: int = 1
    volume_count: int = 1
    created: str = ""
    media_application_profile: str = ""
    medium: str = ""
    content_type: str = ""
    instances: int = 0
    institution: str = ""
    contact: str = ""
    disclaimer: str = ""
    logo: bytes = b""
    label_text: str = ""
    barcode_value: str = ""
    barcode_symbology: str = ""
    patients: tuple[Patient, ...] = ()


def label_fields(content: LabelContent) -> dict[str, str]:
    """The fields of the whole label.

    Fields of a patient or a study are empty unless there is exactly one patient or one study.
    """
    studies = [study for patient in content.patients for study in patient.studies]
    fields = dict.fromkeys([*_patient_fields(Patient()), *_study_fields(Study())], "")
    fields |= {
        "file_set_id": content.file_set_id,
        "volume_number": str(content.volume_number) if content.volume_count else "",
        "volume_count": str(content.volume_count or ""),
        "created": iso_date(content.created),
        "media_application_profile": content.media_application_profile,
        "medium": content.medium,
        "content_type": content.content_type,
        "instances": str(content.instances or ""),
        "institution": bidi.printable(content.institution),
        "contact": content.contact.strip(),
        "disclaimer": content.disclaimer.strip(),
        "label_text": content.label_text,
        "barcode_value": bidi.printable(content.barcode_value),
        "patients": str(len(content.patients) or ""),
        "studies": str(len(studies) or ""),
        "modalities": _modalities(studies),
        "study_dates": _date_range(studies),
    }
    if len(content.patients) == 1:
        fields |= _patient_fields(content.patients[0])
    if len(studies) == 1:
        fields |= _study_fields(studies[0])
    return fields


def patient_fields(content: LabelContent) -> list[dict[str, str]]:
    """The fields of each patient."""
    return [_patient_fields(patient) for patient in content.patients]


def study_fields(content: LabelContent) -> list[dict[str, str]]:
    """The fields of each study and its patient; the newest study of each patient comes first."""
    fields = []
    for patient in content.patients:
        for study in sorted(patient.studies, key=lambda study: study.study_date, reverse=True):
            fields.append({**_patient_fields(patient), **_study_fields(study)})
    return fields


def _patient_fields(patient: Patient) -> dict[str, str]:
    alphabetic, ideographic, phonetic = [*patient.patient_name.split("=", 2), "", ""][:3]
    name = _alphabetic_name(alphabetic)
    ideographic_name = _ideographic_name(ideographic)
    phonetic_name = _ideographic_name(phonetic)
    if not name:
        # The first name that exists is the main one, and is not printed a second time.
        name = ideographic_name or phonetic_name
        ideographic_name = ""
        phonetic_name = "" if phonetic_name == name else phonetic_name
    return {
        "patient_name": name,
        "ideographic_name": ideographic_name,
        "phonetic_name": phonetic_name,
        "patient_id": bidi.printable(patient.patient_id),
        "birth_date": iso_date(patient.birth_date),
        "sex": bidi.printable(patient.sex),
        "study_dates": _date_range(patient.studies),
        "modalities": _modalities(patient.studies),
    }


def _study_fields(study: Study) -> dict[str, str]:
    return {
        "study_date": iso_date(study.study_date),
        "study_description": bidi.printable(study.study_description),
        "modalities": _modalities([study]),
        "accession_number": bidi.printable(study.accession_number),
    }


def _name_components(group: str) -> list[str]:
    """Family name, given name, middle name, prefix and suffix (PS3.5 6.2.1)."""
    return [bidi.printable(part) for part in [*group.split("^", 4), "", "", "", ""][:5]]


def _alphabetic_name(group: str) -> str:
    """Family name first, as in a list: `Adams, John Robert Quincy, Rev., B.A. M.Div.`"""
    family, given, middle, prefix, suffix = _name_components(group)
    parts = [family, f"{given} {middle}".strip(), prefix, suffix]
    return ", ".join(part for part in parts if part)


def _ideographic_name(group: str) -> str:
    """Ideographic and phonetic names are written without punctuation between their parts."""
    family, given, middle, prefix, suffix = _name_components(group)
    return " ".join(part for part in (prefix, family, given, middle, suffix) if part)


def iso_date(value: str) -> str:
    """A DICOM date as YYYY-MM-DD; text that is not a date is returned as it is."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", value.strip())
    return "-".join(match.groups()) if match else bidi.printable(value)


def _date_range(studies: Sequence[Study]) -> str:
    """The first and the last date of the studies."""
    dates = sorted({iso_date(study.study_date) for study in studies} - {""})
    if len(dates) > 1:
        return f"{dates[0]} – {dates[-1]}"  # noqa: RUF001
    return dates[0] if dates else ""


def _modalities(studies: Sequence[Study]) -> str:
    return " ".join(sorted({modality for study in studies for modality in study.modalities}))


#: Every field that a template may name.
FIELDS = frozenset(label_fields(LabelContent()))
