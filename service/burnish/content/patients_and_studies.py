"""Craft: what the instances of a volume say of their patients and studies, for people to read."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from burnish import character_sets
from burnish.content.languages import Catalogue
from burnish.dicom_elements import scan
from burnish.directory_records import group_by_study
from burnish.values import InstanceHeader, Patient, Study

_SPECIFIC_CHARACTER_SET = 0x00080005
_BIRTH_DATE, _SEX = 0x00100030, 0x00100040
_STUDY_DESCRIPTION, _ACCESSION_NUMBER, _INSTITUTION = 0x00081030, 0x00080050, 0x00080080
_TEXTS = frozenset({_BIRTH_DATE, _SEX, _STUDY_DESCRIPTION, _ACCESSION_NUMBER, _INSTITUTION})


@dataclass(frozen=True, slots=True)
class PatientSummary:
    """The patients with their studies, and the institutions, in the order of the instances."""

    patients: tuple[Patient, ...] = ()
    institutions: tuple[str, ...] = ()


def summarize_patients(headers: Iterable[InstanceHeader]) -> PatientSummary:
    """The patients, studies and institutions in the headers of all instances of a volume."""
    # The instances of a series agree on all that is summarized: one of them is sufficient.
    distinct = {
        (
            header.patient_name,
            header.patient_id,
            header.entity_keys,
            header.study_instance_uid,
        ): header
        for header in headers
        if header.entity_keys
    }
    ordered = list(distinct.values())
    patient_keys = group_by_study(
        (
            header.patient_id,
            header.issuer_of_patient_id,
            header.patient_name,
            header.study_instance_uid,
        )
        for header in ordered
    )
    patients: dict[Hashable, Patient] = {}
    studies: dict[Hashable, dict[str, Study]] = {}
    institutions: dict[str, None] = {}
    for key, header in zip(patient_keys, ordered, strict=True):
        texts = _texts(header.entity_keys)
        institutions[texts.get(_INSTITUTION, "")] = None
        patients[key] = _merged_patient(patients.get(key, Patient()), header, texts)
        of_patient = studies.setdefault(key, {})
        study = of_patient.get(header.study_instance_uid, Study())
        of_patient[header.study_instance_uid] = _merged_study(study, header, texts)
    return PatientSummary(
        patients=tuple(
            replace(patient, studies=tuple(studies[key].values()))
            for key, patient in patients.items()
        ),
        institutions=tuple(name for name in institutions if name),
    )


def _merged_patient(patient: Patient, header: InstanceHeader, texts: dict[int, str]) -> Patient:
    return Patient(
        patient_name=max(patient.patient_name, header.patient_name, key=len),
        patient_id=patient.patient_id or header.patient_id,
        birth_date=patient.birth_date or texts.get(_BIRTH_DATE, ""),
        sex=patient.sex or texts.get(_SEX, ""),
    )


def _merged_study(study: Study, header: InstanceHeader, texts: dict[int, str]) -> Study:
    modalities = study.modalities
    if header.modality and header.modality not in modalities:
        modalities = (*modalities, header.modality)
    return Study(
        study_date=study.study_date or header.study_date,
        study_description=study.study_description or texts.get(_STUDY_DESCRIPTION, ""),
        modalities=modalities,
        accession_number=study.accession_number or texts.get(_ACCESSION_NUMBER, ""),
    )


def _texts(entity_keys: bytes) -> dict[int, str]:
    """The decoded values of the keys that a summary shows."""
    values = {
        element.tag: entity_keys[element.value : element.value + element.length]
        for element in scan(entity_keys, 0, len(entity_keys), explicit=True)
    }
    character_set = values.get(_SPECIFIC_CHARACTER_SET, b"")
    return {
        tag: character_sets.decode(value, character_set)
        for tag, value in values.items()
        if tag in _TEXTS
    }


def summary_lines(summary: PatientSummary, texts: Catalogue) -> list[str]:
    """The summary as lines of plain text, in full; an empty line separates patients."""
    lines = [_line(texts.text("readme.institution"), name) for name in summary.institutions]
    for patient in summary.patients:
        if lines:
            lines.append("")
        birth_date_and_sex = _joined(" ", _date(patient.birth_date), patient.sex)
        rows = [
            (texts.text("readme.patient"), _name(patient.patient_name)),
            (texts.text("readme.patient_id"), patient.patient_id),
            (texts.text("readme.birth_date"), birth_date_and_sex),
            *((texts.text("readme.study"), _study_text(study, texts)) for study in patient.studies),
        ]
        lines += [_line(title, text) for title, text in rows if text]
    return lines


def _line(title: str, text: str) -> str:
    return f"{title:<18} {text}"


def _study_text(study: Study, texts: Catalogue) -> str:
    accession = ""
    if study.accession_number:
        accession = texts.text("readme.accession_number", number=study.accession_number)
    return _joined(
        ", ",
        _date(study.study_date),
        " ".join(study.modalities),
        study.study_description,
        accession,
    )


def _name(value: str) -> str:
    """A Patient's Name (PS3.5 6.2.1) with all its groups: `Yamada, Tarou = 山田 太郎`."""
    groups = [[part.strip() for part in group.split("^")] for group in value.split("=")]
    alphabetic, *others = groups
    return _joined(" = ", _joined(", ", *alphabetic), *(_joined(" ", *group) for group in others))


def _date(value: str) -> str:
    """A date (PS3.5 6.2, DA) as `2024-01-31`; another value unchanged."""
    value = value.strip()
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdigit() else value


def _joined(separator: str, *parts: str) -> str:
    """The parts that are not empty, joined."""
    return separator.join(filter(None, parts))
