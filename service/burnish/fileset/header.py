"""Craft: what a SOP Instance says of itself, read once from its data set."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from burnish.artifacts import InstanceHeader
from burnish.directory_records import record_type
from burnish.elements import NeedMore, header
from burnish.errors import Unreadable
from burnish.fileset.header_scan import find, uid
from burnish.fileset.record_keys import RecordKeys
from burnish.vocabulary import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

#: The first bytes of a data set, of which most have all that is indexed.
HEAD = 1 << 16
_PREAMBLE = 128
_TRANSFER_SYNTAX_UID = 0x00020010


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


def locate(start: bytes) -> tuple[int, str]:
    """Where the data set of a file that begins with `start` begins, and its transfer syntax.

    Without File Meta Information, or without a transfer syntax in it, the first bytes of the
    data set tell (PS3.10 7.1, PS3.5 10).
    """
    if start[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        position = _PREAMBLE + 4
    elif start[:4] == b"DICM":
        position = 4
    else:
        position = 0
    offset = position
    transfer_syntax_uid = ""
    while start[offset : offset + 2] == b"\x02\x00":
        tag, _, value, length = header(start, offset, len(start), explicit=True)
        offset = value + length
        if offset > len(start):
            raise NeedMore("the File Meta Information is truncated")
        if tag == _TRANSFER_SYNTAX_UID:
            transfer_syntax_uid = start[value:offset].rstrip(b"\0 ").decode("latin-1")
    return offset, transfer_syntax_uid or _guess(start[offset : offset + 8])


def _guess(first: bytes) -> str:
    """The transfer syntax that the first element of a data set looks like."""
    explicit = first[4:6].isalpha() and first[4:6].isupper()
    if not explicit and not first[2:4] == b"\0\0" and first[1:2] != b"\0":
        raise Unreadable("the file is not a DICOM file")
    if not explicit:
        return IMPLICIT_VR_LITTLE_ENDIAN
    # The group is small: in little endian its second byte is zero, in big endian the first.
    return EXPLICIT_VR_BIG_ENDIAN if first[0] == 0 else EXPLICIT_VR_LITTLE_ENDIAN
