"""Craft: checks a DICOMDIR and each of its directory records (PS3.3 F.3, PS3.10 8.6)."""

from dataclasses import dataclass, field

from burnish import dicom_elements
from burnish.dicomdir.reader import (
    CONSISTENCY_FLAG,
    DIRECTORY_RECORD_SEQUENCE,
    FILE_SET_ID,
    FIRST_RECORD_OFFSET,
    LAST_RECORD_OFFSET,
    DicomdirReader,
)
from burnish.errors import Unreadable
from burnish.identifiers import is_uid
from burnish.verify import file_meta_checks
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.record_checks import Record, RecordChecks
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
)

#: What the data set of every DICOMDIR has (PS3.3 F.3.2.1, F.3.2.2).
_REQUIRED = (
    FILE_SET_ID,
    FIRST_RECORD_OFFSET,
    LAST_RECORD_OFFSET,
    CONSISTENCY_FLAG,
    DIRECTORY_RECORD_SEQUENCE,
)
_WORDS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(slots=True)
class Directory:
    """What a DICOMDIR says. `whole` tells whether it could be read to its end."""

    file_set_id: str = ""
    file_set_uid: str = ""
    first: int = 0
    last: int = 0
    records: list[Record] = field(default_factory=list)
    whole: bool = False


def parse(data: bytes, faults: Faults) -> Directory:
    """The directory in the bytes of a DICOMDIR; whatever is wrong with it goes to `faults`."""
    directory = Directory()
    try:
        if not file_meta_checks.is_dicom(data):
            raise Unreadable("it has no DICOM prefix")
        meta = file_meta_checks.parse(data)
        file_meta_checks.check(meta, "DICOMDIR", faults)
        directory.file_set_uid = meta.sop_instance_uid
        explicit = _encoding(data, meta, faults)
        reader = DicomdirReader(data, meta.data_set_offset, explicit=explicit)
        _read_data_set(reader, directory, faults)
        directory.whole = True
    except Unreadable as error:
        faults.add(FaultCode.DICOMDIR_UNREADABLE, "DICOMDIR", f"it cannot be read: {error}")
    return directory


def _encoding(data: bytes, meta: file_meta_checks.FileMeta, faults: Faults) -> bool:
    """Whether the data set is in Explicit VR, as it must be (PS3.10 8.6)."""
    if meta.sop_class_uid != MEDIA_STORAGE_DIRECTORY_STORAGE:
        faults.add(
            FaultCode.DICOMDIR_SOP_CLASS,
            "DICOMDIR",
            "its SOP Class is not Media Storage Directory Storage",
        )
    if not is_uid(meta.sop_instance_uid):
        faults.add(FaultCode.FILE_SET_UID_WRONG, "DICOMDIR", "its File-set UID is no UID")
    start = meta.data_set_offset
    explicit = set(data[start + 4 : start + 6]) <= _WORDS
    if meta.transfer_syntax_uid != EXPLICIT_VR_LITTLE_ENDIAN or not explicit:
        faults.add(
            FaultCode.DICOMDIR_TRANSFER_SYNTAX,
            "DICOMDIR",
            "it is not in Explicit VR Little Endian, as every DICOMDIR must be",
        )
    if meta.transfer_syntax_uid not in (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
        raise Unreadable(f"its Transfer Syntax is {meta.transfer_syntax_uid or 'not named'}")
    return explicit


def _read_data_set(reader: DicomdirReader, directory: Directory, faults: Faults) -> None:
    elements = reader.elements
    for tag in _REQUIRED:
        if tag not in elements:
            described = dicom_elements.describe(tag)
            faults.add(FaultCode.KEY_MISSING, "DICOMDIR", f"it lacks {described}")
    directory.file_set_id = elements.code(FILE_SET_ID)
    directory.first = elements.number(FIRST_RECORD_OFFSET)
    directory.last = elements.number(LAST_RECORD_OFFSET)
    if elements.number(CONSISTENCY_FLAG):
        faults.add(
            FaultCode.CONSISTENCY_FLAG,
            "DICOMDIR",
            "File-set Consistency Flag (0004,1212) is not 0000H: it calls itself inconsistent",
        )
    checks = RecordChecks(faults, explicit=reader.explicit)
    for number, stored in enumerate(reader.records(), start=1):
        directory.records.append(checks.check(stored, number))
