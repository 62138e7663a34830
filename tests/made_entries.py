"""Directory entries made of real files, and of instances made up for a test."""

import io
from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from burnish.artifacts import DirectoryEntry, InstanceHeader
from burnish.directory_records import ROOT_TYPES
from burnish.errors import BurnishError
from burnish.fileset import file_ids
from burnish.fileset.header import index, index_file
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN


def encoded(dataset: Dataset, transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """A data set without File Meta Information."""
    buffer = io.BytesIO()
    syntax = UID(transfer_syntax_uid)
    dataset.save_as(
        buffer,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=False,
    )
    return buffer.getvalue()


def indexed(
    dataset: Dataset, transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN, head: int = 1 << 16
) -> InstanceHeader:
    data = encoded(dataset, transfer_syntax_uid)
    return index(data[:head], len(data), transfer_syntax_uid, lambda: io.BytesIO(data))


def headers(paths: Iterable[Path]) -> list[InstanceHeader]:
    """Headers of what can go on one medium: each SOP Instance once, no damaged identity."""
    found: dict[str, InstanceHeader] = {}
    for path in paths:
        try:
            header = index_file(path).header
        except BurnishError:
            continue
        usable = header.series_instance_uid and header.study_instance_uid
        if usable or header.directory_record_type in ROOT_TYPES:
            found.setdefault(header.sop_instance_uid, header)
    return list(found.values())


def place(header: InstanceHeader) -> tuple[str | None, str | None, str | None]:
    if header.directory_record_type in ROOT_TYPES:
        return None, None, None
    patient = header.patient_id or f"\0{header.issuer_of_patient_id}{header.study_instance_uid}"
    return patient, header.study_instance_uid, header.series_instance_uid


def entries(found: Iterable[InstanceHeader]) -> list[DirectoryEntry]:
    """Entries in directory order."""
    ordered = sorted(found, key=lambda h: (*(name or "" for name in place(h)), h.sop_instance_uid))
    names = file_ids.assign(place(header) for header in ordered)
    return [
        DirectoryEntry(name, header, EXPLICIT_VR_LITTLE_ENDIAN)
        for name, header in zip(names, ordered, strict=True)
    ]
