"""Craft: reads a DICOMDIR into its directory records (PS3.3 F.3, PS3.10 8.6)."""

from dataclasses import dataclass, field

from burnish import dicom_elements
from burnish.dicom_elements import Element
from burnish.errors import Unreadable
from burnish.identifiers import is_uid
from burnish.verify import file_meta_checks
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.record_checks import Record, RecordReader
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
)

_FILE_SET_ID, _FIRST, _LAST = 0x00041130, 0x00041200, 0x00041202
_CONSISTENCY, _SEQUENCE = 0x00041212, 0x00041220
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
        _read_data_set(data, meta.data_set_offset, explicit, directory, faults)
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


def _read_data_set(
    data: bytes, start: int, explicit: bool, directory: Directory, faults: Faults
) -> None:
    span = dicom_elements.scan(data, start, len(data), explicit=explicit)
    found = {element.tag: element for element in span}
    for tag in (_FILE_SET_ID, _FIRST, _LAST, _CONSISTENCY, _SEQUENCE):
        if tag not in found:
            described = dicom_elements.describe(tag)
            faults.add(FaultCode.KEY_MISSING, "DICOMDIR", f"it lacks {described}")
    directory.file_set_id = _text(data, found, _FILE_SET_ID)
    directory.first = _number(data, found, _FIRST)
    directory.last = _number(data, found, _LAST)
    if _number(data, found, _CONSISTENCY):
        faults.add(
            FaultCode.CONSISTENCY_FLAG,
            "DICOMDIR",
            "File-set Consistency Flag (0004,1212) is not 0000H: it calls itself inconsistent",
        )
    if _SEQUENCE not in found:
        return
    sequence = found[_SEQUENCE]
    end = sequence.value + sequence.length
    reader = RecordReader(data, faults, explicit=explicit)
    for begin, stop in dicom_elements.items(data, sequence.value, end, explicit=explicit):
        directory.records.append(reader.read(begin, stop, len(directory.records) + 1))


def _value(data: bytes, element: Element) -> bytes:
    return data[element.value : element.value + element.length]


def _text(data: bytes, found: dict[int, Element], tag: int) -> str:
    element = found.get(tag)
    return _value(data, element).decode("latin-1").strip("\0 ") if element else ""


def _number(data: bytes, found: dict[int, Element], tag: int) -> int:
    element = found.get(tag)
    return int.from_bytes(_value(data, element)[:4], "little") if element else 0
