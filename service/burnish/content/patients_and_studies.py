"""Craft: what the instances of a volume say of their patients and studies, for who reads it."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from burnish import character_sets
from burnish.dicom_elements import scan
from burnish.directory_records import group_by_study
from burnish.values import InstanceHeader, Patient, Study

_CHARACTER_SET = 0x00080005
_BIRTH_DATE, _SEX = 0x00100030, 0x00100040
_STUDY_DESCRIPTION, _ACCESSION_NUMBER, _INSTITUTION = 0x00081030, 0x00080050, 0x00080080
_KEYS = frozenset({_BIRTH_DATE, _SEX, _STUDY_DESCRIPTION, _ACCESSION_NUMBER, _INSTITUTION})


@dataclass(frozen=True, slots=True)
class Said:
    """The patients with their studies, and the institutions, in the order of the instances."""

    patients: tuple[Patient, ...] = ()
    institutions: tuple[str, ...] = ()


def said_of(headers: Iterable[InstanceHeader]) -> Said:
    """What headers say; those of a series are alike but for what is of one instance."""
    distinct = {
        (one.patient_name, one.patient_id, one.entity_keys, one.study_instance_uid): one
        for one in headers
        if one.entity_keys
    }
    ordered = list(distinct.values())
    persons = group_by_study(
        (one.patient_id, one.issuer_of_patient_id, one.patient_name, one.study_instance_uid)
        for one in ordered
    )
    patients: dict[Hashable, Patient] = {}
    studies: dict[tuple[Hashable, str], Study] = {}
    institutions: dict[str, None] = {}
    for person, one in zip(persons, ordered, strict=True):
        keys = _texts(one.entity_keys)
        institutions[keys.get(_INSTITUTION, "")] = None
        known = patients.get(person, Patient())
        patients[person] = Patient(
            max(known.patient_name, one.patient_name, key=len),
            known.patient_id or one.patient_id,
            known.birth_date or keys.get(_BIRTH_DATE, ""),
            known.sex or keys.get(_SEX, ""),
        )
        study = studies.get((person, one.study_instance_uid), Study())
        studies[person, one.study_instance_uid] = Study(
            study.study_date or one.study_date,
            study.study_description or keys.get(_STUDY_DESCRIPTION, ""),
            (*study.modalities, *({one.modality} - {*study.modalities, ""})),
            study.accession_number or keys.get(_ACCESSION_NUMBER, ""),
        )
    found = tuple(
        replace(patient, studies=tuple(s for (of, _), s in studies.items() if of == person))
        for person, patient in patients.items()
    )
    return Said(found, tuple(name for name in institutions if name))


def _texts(blob: bytes) -> dict[int, str]:
    """The keys that are said, from those of an instance's records."""
    elements = list(scan(blob, 0, len(blob), explicit=True))
    raw = {e.tag: bytes(blob[e.value : e.value + e.length]) for e in elements}
    character_set = raw.get(_CHARACTER_SET, b"")
    return {
        tag: character_sets.decode(value, character_set)
        for tag, value in raw.items()
        if tag in _KEYS
    }


def lines(said: Said) -> list[str]:
    """The same in full as lines of plain text; "" between patients."""
    found = [f"Institution:       {name}" for name in said.institutions]
    for patient in said.patients:
        found += [""] if found else []
        rows = (
            ("Patient:", _name(patient.patient_name)),
            ("Patient ID:", patient.patient_id),
            ("Birth date, sex:", " ".join(filter(None, (_date(patient.birth_date), patient.sex)))),
        )
        found += [f"{title:<19}{value}" for title, value in rows if value]
        for study in patient.studies:
            parts = (_date(study.study_date), " ".join(study.modalities), study.study_description)
            number = f"Accession Number {study.accession_number}" if study.accession_number else ""
            said_of_it = ", ".join(filter(None, (*parts, number)))
            found += [f"Study:             {said_of_it}"] if said_of_it else []
    return found


def _name(value: str) -> str:
    """A Patient's Name (PS3.5 6.2.1) in all its groups: `Yamada, Tarou = 山田 太郎`."""
    groups = [[part.strip() for part in group.split("^")] for group in value.split("=")]
    joined = (
        (", " if number == 0 else " ").join(filter(None, group))
        for number, group in enumerate(groups)
    )
    return " = ".join(filter(None, joined))


def _date(value: str) -> str:
    value = value.strip()
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdigit() else value
