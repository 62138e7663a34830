"""Craft: what a SOP Instance says of itself, read once from its data set."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from burnish.dicom_elements import uid
from burnish.dicomdir.keys import RecordKeys
from burnish.directory_records import record_type
from burnish.errors import Unreadable
from burnish.file_meta import locate
from burnish.instance_header.scan import find
from burnish.values import InstanceHeader

#: The first bytes of a data set, of which most have all that is indexed.
HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A DICOM file on disk: its header, and from where on it is the data set."""

    header: InstanceHeader
    transfer_syntax_uid: str
    data_set_offset: int


def index(
    head: bytes | memoryview,
    size: int,
    transfer_syntax_uid: str,
    reopen: Callable[[], BinaryIO],
    kind: str = "",
) -> InstanceHeader:
    """The header of a data set of `size` bytes that begins with `head`.

    `reopen` gives a file positioned at the data set's first byte, for what `head` does not
    have. It is read faster where others of its `kind`, any string but "", had the same elements.
    Raises Unreadable where the data set cannot be parsed or is not all there.
    """
    found = find(bytes(head), size, transfer_syntax_uid, reopen, kind)
    values = found.values
    sop_class_uid = uid(values, 0x00080016)
    record = record_type(sop_class_uid)
    keys = RecordKeys(found, record)
    entities = keys.entities()
    own, missing = keys.record() if record else (b"", ())
    return InstanceHeader(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=uid(values, 0x00080018),
        study_instance_uid=entities.study_instance_uid,
        series_instance_uid=entities.series_instance_uid,
        patient_id=entities.patient_id,
        issuer_of_patient_id=entities.issuer_of_patient_id,
        patient_name=entities.patient_name,
        study_date=entities.study_date,
        study_time=entities.study_time,
        modality=entities.modality,
        series_number=entities.series_number,
        instance_number=keys.number(0x00200013),
        directory_record_type=record,
        entity_keys=entities.keys,
        record_keys=own,
        missing_keys=missing,
        limited_attributes=keys.limited(),
    )


def index_file(path: Path) -> IndexedFile:
    """The header of any DICOM file, also of one without File Meta Information or preamble.

    Raises Unreadable for what is not a DICOM file, or a DICOMDIR.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(HEAD)
        offset, transfer_syntax_uid = locate(start)
        if offset >= size:
            raise Unreadable("the file has no data set")
        file.seek(offset)
        head = file.read(HEAD)
    reopen = partial(_open, path, offset)
    indexed = index(head, size - offset, transfer_syntax_uid, reopen)
    if not (indexed.sop_class_uid or indexed.sop_instance_uid or indexed.study_instance_uid):
        raise Unreadable("the file holds no SOP Instance")
    return IndexedFile(indexed, transfer_syntax_uid, offset)


def _open(path: Path, offset: int) -> BinaryIO:
    file = path.open("rb")
    file.seek(offset)
    return file
