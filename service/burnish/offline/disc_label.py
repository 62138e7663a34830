"""Offline: what the label of an existing volume says, read from its DICOMDIR."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from burnish import character_sets
from burnish.dicomdir.reader import SPECIFIC_CHARACTER_SET
from burnish.errors import Conflict, Unreadable, WrongKey
from burnish.image.reader import open_volume
from burnish.label import LabelContent, Patient, Study
from burnish.secure_files import Keyring, open_secure
from burnish.values import ReadableVolume, SecureVolume
from burnish.verify import FaultCode, examine_volume
from burnish.verify.dicomdir_checks import CheckedDicomdir, check_dicomdir
from burnish.verify.examine import LARGEST_DICOMDIR
from burnish.verify.faults import Faults
from burnish.verify.file_details import file_details
from burnish.verify.record_checks import Record, records_above
from burnish.verify.structure import check_structure
from burnish.wording import quantity

_DICOMDIR = "DICOMDIR"
_STUDY_DATE, _MODALITY, _INSTITUTION_NAME = 0x00080020, 0x00080060, 0x00080080
_STUDY_DESCRIPTION = 0x00081030
_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
_BIRTH_DATE, _SEX = 0x00100030, 0x00100040
#: Faults by which a label could name somebody else than the files do.
_WRONG_RECORDS = {
    FaultCode.KEY_DIFFERS,
    FaultCode.REFERENCED_SOP_CLASS_WRONG,
    FaultCode.REFERENCED_SOP_INSTANCE_WRONG,
}
#: Opens no secure media.
_NO_KEYS = Keyring()


def label_content(path: Path, keyring: Keyring = _NO_KEYS) -> LabelContent:
    """Patients, studies, institution and File-set ID of a volume; raises Unreadable.

    The `keyring` opens secure media; raises WrongKey for those that it does not open.

    Directory records of kinds that are not known are passed over (PS3.2 7.2). Birth date, sex and
    institution are those of the files where the DICOMDIR has none. The institution is left empty if
    the series name several. Raises Conflict if the DICOMDIR and the files of the volume disagree.
    """
    with open_volume(path) as opened:
        volume = open_secure(opened, keyring)
        if isinstance(volume, SecureVolume) and not volume.opened:
            raise WrongKey(
                f"the files of {path} are Secure DICOM Files",
                hint="--key or --password-file opens them. Or give the content of the label by"
                " hand, with the options of `burnish disc label`.",
            )
        _check_records(path, volume)
        dicomdir = _read_dicomdir(volume)
        volume_identifier = volume.volume_identifier
        has_pages = any(name.upper().startswith("IHE_PDI\\") for name in volume.files())
        if not dicomdir.complete:
            raise Unreadable(
                f"{path} has no readable DICOMDIR",
                hint="Give the content of the label by hand, with the options of"
                " `burnish disc label`.",
            )
        records = [record for record in dicomdir.records if record.reached and record.in_use]
        details = _details_of_series(records, volume)
    institutions = {
        _text(record, _INSTITUTION_NAME) for record in records if record.type == "SERIES"
    }
    institutions |= {values.get("InstitutionName", "") for _, values in details}
    institutions -= {""}
    return LabelContent(
        file_set_id=dicomdir.file_set_id or volume_identifier,
        institution=institutions.pop() if len(institutions) == 1 else "",
        patients=_patients(records, details),
        content_type="DICOM AND WEB" if has_pages else "DICOM ONLY",
    )


def _read_dicomdir(volume: ReadableVolume) -> CheckedDicomdir:
    """The DICOMDIR, with what its offsets lead to; it is not complete if it cannot be read."""
    name = next((name for name in volume.files() if name.upper() == _DICOMDIR), None)
    if name is None or volume.files()[name] > LARGEST_DICOMDIR:
        return CheckedDicomdir()
    dicomdir = check_dicomdir(volume.read(name), Faults())
    check_structure(dicomdir, "", Faults())
    return dicomdir


def _check_records(path: Path, volume: ReadableVolume) -> None:
    """Raises Conflict if the DICOMDIR does not say whose files these are."""
    report = examine_volume(volume)
    wrong = sum(fault.code in _WRONG_RECORDS for fault in report.faults)
    if wrong:
        raise Conflict(
            f"the DICOMDIR of {path} and its files disagree in {quantity(wrong, 'place')}",
            hint=f"`burnish disc verify {path}` lists them. No label is made of such a volume.",
        )


def _details_of_series(
    records: Iterable[Record], volume: ReadableVolume
) -> list[tuple[Record, dict[str, str]]]:
    """The patient in one file of each series, with the record of that file."""
    first_of_series: dict[int, Record] = {}
    for record in records:
        if record.file_id and record.parent and record.parent.type == "SERIES":
            first_of_series.setdefault(record.parent.offset, record)
    return [(record, file_details(volume, record.file_id)) for record in first_of_series.values()]


def _patients(
    records: Iterable[Record], details: Iterable[tuple[Record, dict[str, str]]]
) -> tuple[Patient, ...]:
    """Patients with their studies in the order of the DICOMDIR, and `details` of their files."""
    patients: dict[int, Patient] = {}
    studies: dict[int, tuple[int, Study]] = {}
    modalities: dict[int, set[str]] = {}
    for record in records:
        if record.type == "PATIENT":
            patients[record.offset] = Patient(
                _text(record, _PATIENT_NAME),
                _text(record, _PATIENT_ID),
                _text(record, _BIRTH_DATE),
                _text(record, _SEX),
            )
        elif record.type == "STUDY" and record.parent:
            study = Study(_text(record, _STUDY_DATE), _text(record, _STUDY_DESCRIPTION))
            studies[record.offset] = record.parent.offset, study
        elif record.type == "SERIES" and record.parent:
            modalities.setdefault(record.parent.offset, set()).add(_text(record, _MODALITY))
    for offset, (patient_offset, study) in studies.items():
        patient = patients.get(patient_offset)
        if patient is None:
            continue
        of_study = tuple(sorted(modalities.get(offset, set()) - {""}))
        described = replace(study, modalities=of_study)
        patients[patient_offset] = replace(patient, studies=(*patient.studies, described))
    for record, values in details:
        for above in records_above(record):
            if above.type == "PATIENT":
                patient = patients[above.offset]
                patients[above.offset] = replace(
                    patient,
                    birth_date=patient.birth_date or values.get("PatientBirthDate", ""),
                    sex=patient.sex or values.get("PatientSex", ""),
                )
    return tuple(patients.values())


def _text(record: Record, tag: int) -> str:
    character_set = record.keys.get(SPECIFIC_CHARACTER_SET, b"")
    return character_sets.decode(record.keys.get(tag, b""), character_set)
