"""Offline: what the label of an existing volume says, read from its DICOMDIR."""

from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from burnish.errors import Conflict, Unreadable
from burnish.image.reader import open_volume
from burnish.label import LabelContent, Patient, Study
from burnish.secure_files import open_secure
from burnish.values import ReadableVolume
from burnish.verify import FaultCode, examine_volume
from burnish.verify.file_details import file_details
from burnish.wording import quantity

#: Faults by which a label could name somebody else than the files do.
_WRONG_RECORDS = {
    FaultCode.KEY_DIFFERS,
    FaultCode.REFERENCED_SOP_CLASS_WRONG,
    FaultCode.REFERENCED_SOP_INSTANCE_WRONG,
}


def label_content(path: Path) -> LabelContent:
    """Patients, studies, institution and File-set ID of a volume; raises Unreadable.

    Birth date, sex and institution are those of the files where the DICOMDIR has none. The
    institution is left empty if the series name several. Raises Conflict if the DICOMDIR and the
    files of the volume disagree.
    """
    with open_volume(path) as volume:
        _check_records(path, volume)
        dicomdir = volume.read("DICOMDIR") if "DICOMDIR" in volume.files() else b""
        volume_identifier = volume.volume_identifier
        has_pages = any(name.upper().startswith("IHE_PDI\\") for name in volume.files())
        try:
            directory = pydicom.dcmread(BytesIO(dicomdir))
            records = directory.get("DirectoryRecordSequence", [])
            patients, institutions = _patients_and_institutions(records, volume)
        except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
            raise Unreadable(
                f"{path} has no readable DICOMDIR",
                hint="For secure media, or without a volume, give the content of the label by hand,"
                " with the options of `burnish disc label`.",
            ) from error
    return LabelContent(
        file_set_id=str(directory.get("FileSetID", "") or volume_identifier),
        institution=institutions.pop() if len(institutions) == 1 else "",
        patients=patients,
        content_type="DICOM AND WEB" if has_pages else "DICOM ONLY",
    )


def _check_records(path: Path, volume: ReadableVolume) -> None:
    """Raises Conflict if the DICOMDIR does not say whose files these are."""
    report = examine_volume(open_secure(volume, {}))
    wrong = sum(fault.code in _WRONG_RECORDS for fault in report.faults)
    if wrong:
        raise Conflict(
            f"the DICOMDIR of {path} and its files disagree in {quantity(wrong, 'place')}",
            hint=f"`burnish disc verify {path}` lists them. No label is made of such a volume.",
        )


def _patients_and_institutions(
    records: Iterable[Dataset], volume: ReadableVolume
) -> tuple[tuple[Patient, ...], set[str]]:
    """Patients with their studies in the order of the DICOMDIR, and the institutions of series.

    One file of each series is read for what the DICOMDIR lacks.
    """
    patients: list[Patient] = []
    institutions: set[str] = set()
    is_first_of_series = False
    for record in records:
        record_type = record.get("DirectoryRecordType", "")
        if record_type == "PATIENT":
            patients.append(
                Patient(
                    _text(record, "PatientName"),
                    _text(record, "PatientID"),
                    _text(record, "PatientBirthDate"),
                    _text(record, "PatientSex"),
                )
            )
        elif record_type == "STUDY" and patients:
            study = Study(_text(record, "StudyDate"), _text(record, "StudyDescription"))
            patients[-1] = replace(patients[-1], studies=(*patients[-1].studies, study))
        elif record_type == "SERIES" and patients and patients[-1].studies:
            *earlier_studies, study = patients[-1].studies
            modalities = {*study.modalities, _text(record, "Modality")} - {""}
            study = replace(study, modalities=tuple(sorted(modalities)))
            patients[-1] = replace(patients[-1], studies=(*earlier_studies, study))
            institutions.add(_text(record, "InstitutionName"))
            is_first_of_series = True
        elif is_first_of_series and "ReferencedFileID" in record:
            is_first_of_series = False
            details = file_details(volume, _file_id(record))
            institutions.add(details.get("InstitutionName", ""))
            patients[-1] = replace(
                patients[-1],
                birth_date=patients[-1].birth_date or details.get("PatientBirthDate", ""),
                sex=patients[-1].sex or details.get("PatientSex", ""),
            )
    return tuple(patients), institutions - {""}


def _file_id(record: Dataset) -> str:
    components = record.ReferencedFileID
    return components if isinstance(components, str) else "\\".join(components)


def _text(record: Dataset, keyword: str) -> str:
    return str(record.get(keyword, "") or "").strip()
