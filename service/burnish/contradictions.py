"""Craft: where instances contradict each other about the patient or the study they belong to.

A merged patient or a corrected study leaves such instances behind, if a PACS has sent some before
and some after the correction. Nobody but a person can tell which of them are right: planning tells
of the contradiction, and keeps apart what one File-set cannot hold.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from burnish.dicom_elements import scan
from burnish.directory_records import group_by_study
from burnish.values import InstanceHeader
from burnish.wording import quantity

_BIRTH_DATE, _SEX = 0x00100030, 0x00100040


class Subject(Enum):
    """The field of the header that contradicting instances share. DETAILS: birth date or sex."""

    STUDY = "study_instance_uid"
    SERIES = "series_instance_uid"
    PATIENT_ID = "patient_id"
    DETAILS = ""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One contradiction between instances, in words without patient data.

    `apart`: one File-set cannot hold all of them (PS3.3 F.5.1 to F.5.3), so they need `file_sets`
    File-sets at least. `value` is what the instances share: a UID or a Patient ID.
    """

    text: str
    subject: Subject
    value: str = ""
    file_sets: int = 1

    @property
    def apart(self) -> bool:
        return self.file_sets > 1

    @property
    def remark(self) -> str:
        """The text for README.TXT and for the history of a request."""
        sentence = self.text[0].upper() + self.text[1:]
        if self.apart:
            sentence += ". One medium cannot hold them together, so they are on separate media"
        return f"{sentence}. Check which is right."

    def concerns(self, header: InstanceHeader) -> bool:
        """Whether an instance is among those that one File-set cannot hold together."""
        return self.apart and getattr(header, self.subject.value) == self.value


@dataclass(frozen=True, slots=True)
class _Group:
    """Instances that agree on everything, by the header of one of them, and their patient."""

    header: InstanceHeader
    patient: Hashable


def find_contradictions(headers: Iterable[InstanceHeader]) -> list[Contradiction]:
    """The contradictions between instances, those that one File-set cannot hold first."""
    groups = _groups(headers)
    if len(groups) < 2:
        return []
    return [
        *_studies_of_several_patients(groups),
        *_series_of_several_studies(groups),
        *_patient_ids_of_several_patients(groups),
        *_patients_with_several(groups, _BIRTH_DATE, "birth dates"),
        *_patients_with_several(groups, _SEX, "values of Patient's Sex"),
    ]


def part_with_details(keys: bytes) -> slice:
    """The part of the keys of an instance that tells the birth date and the sex of its patient.

    It begins with the element before these two and ends with the one behind them, since either can
    be missing. Keys are in the order of their tags, so instances whose keys have the same bytes
    there agree on both. Without an element behind, the part goes beyond the end: then only keys
    that are the same are sure to agree.
    """
    start = 0
    for element in scan(keys, 0, len(keys), explicit=True):
        if element.tag < _BIRTH_DATE:
            start = element.start
        elif element.tag > _SEX:
            return slice(start, element.value + element.length)
    return slice(0, len(keys) + 1)


def count_patients(headers: Iterable[InstanceHeader]) -> int:
    """The number of patients; those that have a study in common are counted as one."""
    linked: list[set[Hashable]] = []
    for group in _groups(headers):
        members: set[Hashable] = {group.patient, group.header.study_instance_uid}
        apart = []
        for others in linked:
            if others & members:
                members |= others
            else:
                apart.append(others)
        linked = [*apart, members]
    return len(linked)


def _groups(headers: Iterable[InstanceHeader]) -> list[_Group]:
    """One group for each distinct combination of patient, study and series of the instances."""
    distinct = {
        (
            header.patient_id,
            header.issuer_of_patient_id,
            header.patient_name,
            header.study_instance_uid,
            header.series_instance_uid,
            header.entity_keys,
        ): header
        for header in headers
        if header.study_instance_uid
    }
    patients = group_by_study(key[:4] for key in distinct)
    return [
        _Group(header, patient) for header, patient in zip(distinct.values(), patients, strict=True)
    ]


def _studies_of_several_patients(groups: Sequence[_Group]) -> list[Contradiction]:
    contradictions = []
    for uid, members in _by(groups, "study_instance_uid").items():
        patients = {group.patient for group in members}
        if len(patients) < 2:
            continue
        ids = {group.header.patient_id for group in members}
        if len(ids) == 1:
            under = f"to {quantity(len(patients), 'patient')} with one Patient ID"
        elif "" in ids:
            under = f"to {quantity(len(ids) - 1, 'Patient ID')}, and to instances without one"
        else:
            under = f"to {quantity(len(ids), 'Patient ID')}"
        text = f"Study Instance UID {uid} belongs {under}"
        contradictions.append(Contradiction(text, Subject.STUDY, uid, len(patients)))
    return contradictions


def _series_of_several_studies(groups: Sequence[_Group]) -> list[Contradiction]:
    contradictions = []
    for uid, members in _by(groups, "series_instance_uid").items():
        studies = {group.header.study_instance_uid for group in members}
        if len(studies) > 1:
            text = f"Series Instance UID {uid} belongs to {len(studies)} studies"
            contradictions.append(Contradiction(text, Subject.SERIES, uid, len(studies)))
    return contradictions


def _patient_ids_of_several_patients(groups: Sequence[_Group]) -> list[Contradiction]:
    contradictions = []
    for patient_id, members in _by(groups, "patient_id").items():
        patients = {group.patient for group in members}
        if patient_id and len(patients) > 1:
            text = f"one Patient ID belongs to {quantity(len(patients), 'patient')}"
            contradictions.append(
                Contradiction(text, Subject.PATIENT_ID, patient_id, len(patients))
            )
    return contradictions


def _patients_with_several(groups: Sequence[_Group], tag: int, name: str) -> list[Contradiction]:
    values: dict[Hashable, set[bytes]] = {}
    for group in groups:
        value = _key_value(group.header.entity_keys, tag)
        if value:
            values.setdefault(group.patient, set()).add(value)
    return [
        Contradiction(
            f"one patient, with one Patient ID and name, has {len(of_patient)} {name}",
            Subject.DETAILS,
        )
        for of_patient in values.values()
        if len(of_patient) > 1
    ]


def _by(groups: Iterable[_Group], field: str) -> Mapping[str, list[_Group]]:
    members: dict[str, list[_Group]] = {}
    for group in groups:
        members.setdefault(getattr(group.header, field), []).append(group)
    return members


def _key_value(keys: bytes, tag: int) -> bytes:
    for element in scan(keys, 0, len(keys), explicit=True):
        if element.tag == tag:
            return keys[element.value : element.value + element.length].strip(b" \0")
    return b""
