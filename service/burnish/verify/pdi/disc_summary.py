"""Craft: what a volume holds, by its DICOMDIR: patients, studies, and how many instances."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from burnish import character_sets
from burnish.dicomdir.reader import SPECIFIC_CHARACTER_SET
from burnish.verify.record_checks import Record

_PATIENT_NAME, _PATIENT_ID, _BIRTH_DATE = 0x00100010, 0x00100020, 0x00100030
_STUDY_DATE, _STUDY_DESCRIPTION, _MODALITY = 0x00080020, 0x00081030, 0x00080060
#: The most characters of a value that are shown.
_LONGEST_TEXT = 120


@dataclass(slots=True)
class StudyOnDisc:
    """A study by its record."""

    date: str = ""
    description: str = ""
    modalities: list[str] = field(default_factory=list)
    instances: int = 0


@dataclass(slots=True)
class PatientOnDisc:
    """A patient by its record."""

    name: str = ""
    id: str = ""
    birth_date: str = ""
    studies: list[StudyOnDisc] = field(default_factory=list)


def summarize(
    records: list[Record], birth_date_in_file: Callable[[str], str]
) -> list[PatientOnDisc]:
    """The patients and studies of records whose parents are known, in the order of records.

    `birth_date_in_file` is asked with the File ID of the first file of a patient whose record has
    no birth date: it depends on the profile whether it has.
    """
    patients: dict[int, PatientOnDisc] = {}
    studies: dict[int, StudyOnDisc] = {}
    for record in records:
        if record.type == "PATIENT":
            patients[record.offset] = PatientOnDisc(
                _name(text(record.keys, _PATIENT_NAME)),
                text(record.keys, _PATIENT_ID),
                _date(text(record.keys, _BIRTH_DATE)),
            )
        elif record.type == "STUDY":
            studies[record.offset] = StudyOnDisc(
                _date(text(record.keys, _STUDY_DATE)), text(record.keys, _STUDY_DESCRIPTION)
            )
    for record in records:
        ancestors = list(_ancestors(record))
        study = next((studies[each.offset] for each in ancestors if each.type == "STUDY"), None)
        if study is None:
            continue
        if record.type == "SERIES":
            modality = text(record.keys, _MODALITY)
            if modality and modality not in study.modalities:
                study.modalities.append(modality)
        study.instances += bool(record.file_id)
    for record in records:
        parent = record.parent
        if record.type == "STUDY" and parent is not None and parent.offset in patients:
            patients[parent.offset].studies.append(studies[record.offset])
    for offset, patient in patients.items():
        if not patient.birth_date:
            patient.birth_date = _date(birth_date_in_file(_first_file(records, offset)))
    return list(patients.values())


def _first_file(records: list[Record], patient_offset: int) -> str:
    """The File ID of the first file of a patient, "" if there is none."""
    for record in records:
        if record.file_id and any(each.offset == patient_offset for each in _ancestors(record)):
            return record.file_id
    return ""


def text(keys: Mapping[int, bytes], tag: int) -> str:
    """The text of a key, "" if there is none."""
    decoded = character_sets.decode(keys.get(tag, b""), keys.get(SPECIFIC_CHARACTER_SET, b""))
    return "".join(filter(str.isprintable, decoded)).strip()[:_LONGEST_TEXT]


def _ancestors(record: Record) -> Iterator[Record]:
    """The records above a record; records can be wrong, so at most ten."""
    parent = record.parent
    for _ in range(10):
        if parent is None:
            return
        yield parent
        parent = parent.parent


def _name(value: str) -> str:
    """Family name, then the others, of the first component group (PS3.5 6.2.1)."""
    family, *others = value.split("=", maxsplit=1)[0].split("^")
    return ", ".join(filter(None, (family.strip(), " ".join(filter(None, others)).strip())))


def _date(value: str) -> str:
    if len(value) == 8 and value.isdigit():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value
