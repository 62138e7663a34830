"""Craft: checks a DICOMDIR and each of its directory records (PS3.3 F.3, PS3.10 8.6)."""

from dataclasses import dataclass, field

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
from burnish.verify.faults import FaultCode, Faults, attribute, shown
from burnish.verify.file_meta_checks import FileMeta, check_file_meta, is_dicom, parse_file_meta
from burnish.verify.record_checks import Record, RecordChecks
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
)

#: The attributes of the data set of every DICOMDIR (PS3.3 F.3.2.1, F.3.2.2).
_REQUIRED = (
    FILE_SET_ID,
    FIRST_RECORD_OFFSET,
    LAST_RECORD_OFFSET,
    CONSISTENCY_FLAG,
    DIRECTORY_RECORD_SEQUENCE,
)
_CAPITAL_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(slots=True)
class CheckedDicomdir:
    """The content of a DICOMDIR; `complete` if it could be read to its end."""

    file_set_id: str = ""
    file_set_uid: str = ""
    first_record_offset: int = 0
    last_record_offset: int = 0
    records: list[Record] = field(default_factory=list)
    complete: bool = False


def check_dicomdir(
    data: bytes, faults: Faults, unknown: Faults | None = None, *, keeps_all_keys: bool = True
) -> CheckedDicomdir:
    """Parses the bytes of a DICOMDIR, as far as that is possible, and adds its faults.

    Records of types that are not known are added to `unknown`, if it is given. How the records are
    connected is left to `structure`. Without `keeps_all_keys`, the records of instances have no
    `keys`.
    """
    dicomdir = CheckedDicomdir()
    try:
        if not is_dicom(data):
            raise Unreadable("the DICOM prefix is missing")
        meta = parse_file_meta(data)
        check_file_meta(meta, "DICOMDIR", faults)
        dicomdir.file_set_uid = meta.sop_instance_uid
        explicit = _check_encoding(data, meta, faults)
        reader = DicomdirReader(data, meta.data_set_offset, explicit=explicit)
        unknown = Faults() if unknown is None else unknown
        checks = RecordChecks(faults, unknown, explicit=explicit, keeps_all_keys=keeps_all_keys)
        _check_data_set(reader, dicomdir, checks, faults)
        dicomdir.complete = True
    except Unreadable as error:
        faults.add(FaultCode.DICOMDIR_UNREADABLE, "DICOMDIR", f"it cannot be read: {error}")
    return dicomdir


def _check_encoding(data: bytes, meta: FileMeta, faults: Faults) -> bool:
    """Whether the data set is in Explicit VR, as PS3.10 8.6 requires."""
    if meta.sop_class_uid != MEDIA_STORAGE_DIRECTORY_STORAGE:
        faults.add(
            FaultCode.DICOMDIR_SOP_CLASS,
            "DICOMDIR",
            f"its SOP Class is {shown(meta.sop_class_uid)}, where Media Storage Directory Storage "
            "is required",
        )
    if not is_uid(meta.sop_instance_uid):
        message = "its File-set UID, Media Storage SOP Instance UID (0002,0003), is not a UID"
        faults.add(FaultCode.FILE_SET_UID_WRONG, "DICOMDIR", message)
    first_vr = data[meta.data_set_offset + 4 : meta.data_set_offset + 6]
    explicit = set(first_vr) <= _CAPITAL_LETTERS
    if meta.transfer_syntax_uid != EXPLICIT_VR_LITTLE_ENDIAN or not explicit:
        faults.add(
            FaultCode.DICOMDIR_TRANSFER_SYNTAX,
            "DICOMDIR",
            "its Transfer Syntax is not Explicit VR Little Endian, as PS3.10 8.6 requires",
        )
    if meta.transfer_syntax_uid not in (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
        raise Unreadable(f"its Transfer Syntax is {shown(meta.transfer_syntax_uid)}")
    return explicit


def _check_data_set(
    reader: DicomdirReader, dicomdir: CheckedDicomdir, checks: RecordChecks, faults: Faults
) -> None:
    elements = reader.elements
    for tag in _REQUIRED:
        if tag not in elements:
            faults.add(FaultCode.KEY_MISSING, "DICOMDIR", f"it has no {attribute(tag)}")
    dicomdir.file_set_id = elements.code(FILE_SET_ID)
    dicomdir.first_record_offset = elements.number(FIRST_RECORD_OFFSET)
    dicomdir.last_record_offset = elements.number(LAST_RECORD_OFFSET)
    if elements.number(CONSISTENCY_FLAG):
        faults.add(
            FaultCode.CONSISTENCY_FLAG,
            "DICOMDIR",
            f"its {attribute(CONSISTENCY_FLAG)} is not 0000H: its writer found it inconsistent",
        )
    for number, stored in enumerate(reader.records(), start=1):
        dicomdir.records.append(checks.check(stored, number))
