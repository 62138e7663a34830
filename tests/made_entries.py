"""Directory entries of real files and of invented instances."""

import io
from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from burnish.dicomdir import file_ids
from burnish.dicomdir.profile_keys import record_keys
from burnish.directory_records import ROOT_TYPES, record_type
from burnish.errors import BurnishError
from burnish.instance_header.header import index, index_file
from burnish.values import DirectoryEntry, InstanceHeader
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

#: What a DICOMDIR has without a profile: the keys of every profile.
EVERY_KEY = record_keys("")


def encoded(dataset: Dataset, transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """A data set without File Meta Information."""
    syntax = UID(transfer_syntax_uid)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax.is_implicit_VR
    buffer.is_little_endian = syntax.is_little_endian
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def indexed(
    dataset: Dataset, transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN, head: int = 1 << 16
) -> InstanceHeader:
    data = encoded(dataset, transfer_syntax_uid)
    return index(data[:head], len(data), transfer_syntax_uid, lambda: io.BytesIO(data))


def headers(paths: Iterable[Path]) -> list[InstanceHeader]:
    """Headers of instances that can be on one medium: each SOP Instance once, with sound UIDs."""
    headers_by_uid: dict[str, InstanceHeader] = {}
    for path in paths:
        try:
            header = index_file(path).header
        except BurnishError:
            continue
        usable = header.series_instance_uid and header.study_instance_uid
        if usable or header.directory_record_type in ROOT_TYPES:
            headers_by_uid.setdefault(header.sop_instance_uid, header)
    return list(headers_by_uid.values())


def place(header: InstanceHeader) -> tuple[str | None, str | None, str | None]:
    if header.directory_record_type in ROOT_TYPES:
        return None, None, None
    patient = header.patient_id or f"\0{header.issuer_of_patient_id}{header.study_instance_uid}"
    return patient, header.study_instance_uid, header.series_instance_uid


def entries(instance_headers: Iterable[InstanceHeader]) -> list[DirectoryEntry]:
    """Entries in directory order."""
    ordered = sorted(
        instance_headers,
        key=lambda header: (*(name or "" for name in place(header)), header.sop_instance_uid),
    )
    names = file_ids.assign(place(header) for header in ordered)
    return [
        DirectoryEntry(name, header, EXPLICIT_VR_LITTLE_ENDIAN)
        for name, header in zip(names, ordered, strict=True)
    ]


#: One SOP Class of each record type, below 1.2.840.10008.5.1.4.1.1.
TAILS = [
    "2",
    "9.1.1",
    "9.100.1",
    "11.1",
    "66",
    "66.1",
    "66.2",
    "66.5",
    "66.6",
    "67",
    "68.1",
    "77.1.5.3",
    "78.1",
    "88.11",
    "88.59",
    "90.1",
    "91.1",
    "104.1",
    "4.2",
    "201.1",
    "481.2",
    "481.3",
    "481.5",
    "481.4",
    "481.10",
]


def instance(sop_class: str, **attributes: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = "1.2.3"
    dataset.StudyInstanceUID = "1.2"
    dataset.SeriesInstanceUID = "1.2.1"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def empty(record: str) -> InstanceHeader:
    """The header of an instance of a record type that has no attributes but its UIDs."""
    candidates = [f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in TAILS] + [
        f"1.2.840.10008.5.1.4.{tail}" for tail in ("34.7", "38.1", "39.1", "43.1", "44.1", "45.1")
    ]
    uid = next(uid for uid in candidates if record_type(uid) == record)
    return indexed(instance(uid))
