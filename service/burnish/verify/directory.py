"""Craft: reads a DICOMDIR into its directory records (PS3.3 F.3, PS3.10 8.6)."""

from dataclasses import dataclass, field

from burnish import elements
from burnish.application_profiles import icon
from burnish.application_profiles.icon import Icon
from burnish.elements import Element
from burnish.errors import Unreadable
from burnish.verify import file_meta
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.keys import check_keys
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
    is_uid,
)

_FILE_SET_ID, _FIRST, _LAST = 0x00041130, 0x00041200, 0x00041202
_CONSISTENCY, _SEQUENCE = 0x00041212, 0x00041220
_NEXT, _IN_USE, _LOWER, _TYPE = 0x00041400, 0x00041410, 0x00041420, 0x00041430
_FILE_ID, _SOP_CLASS, _SOP_INSTANCE = 0x00041500, 0x00041510, 0x00041511
_TRANSFER_SYNTAX = 0x00041512
_ICON = 0x00880200
_IDENTITIES = {"PATIENT": 0x00100020, "STUDY": 0x0020000D, "SERIES": 0x0020000E}
_WORDS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(slots=True)
class Record:
    """One directory record; offsets count from the first byte of the file (PS3.3 F.3.2.2).

    `identity` is what no other record of its type may have; `tags` are the elements it has
    with a value, `empty_tags` those without. `parent` and `reached` are found by walking the tree.
    """

    number: int
    offset: int
    next: int
    lower: int
    type: str
    file_id: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    identity: bytes
    tags: frozenset[int]
    empty_tags: frozenset[int] = frozenset()
    icon: Icon | None = None
    parent: "Record | None" = None
    reached: bool = False

    def __str__(self) -> str:
        return f"record {self.number} ({self.type})"


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
        if not file_meta.is_dicom(data):
            raise Unreadable("it has no DICOM prefix")
        meta = file_meta.parse(data)
        file_meta.check(meta, "DICOMDIR", faults)
        directory.file_set_uid = meta.sop_instance_uid
        explicit = _encoding(data, meta, faults)
        _read_data_set(data, meta.data_set_offset, explicit, directory, faults)
        directory.whole = True
    except Unreadable as error:
        faults.add(FaultCode.DICOMDIR_UNREADABLE, "DICOMDIR", f"it cannot be read: {error}")
    return directory


def _encoding(data: bytes, meta: file_meta.FileMeta, faults: Faults) -> bool:
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
    span = elements.scan(data, start, len(data), explicit=explicit)
    found = {element.tag: element for element in span}
    for tag in (_FILE_SET_ID, _FIRST, _LAST, _CONSISTENCY, _SEQUENCE):
        if tag not in found:
            described = elements.describe(tag)
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
    tags: dict[frozenset[int], frozenset[int]] = {}
    end = sequence.value + sequence.length
    for begin, stop in elements.items(data, sequence.value, end, explicit=explicit):
        number = len(directory.records) + 1
        span = elements.scan(data, begin, stop, explicit=explicit)
        values = {element.tag: element for element in span}
        record = _record(data, begin - 8, values, number)
        record.tags = tags.setdefault(record.tags, record.tags)
        record.empty_tags = tags.setdefault(record.empty_tags, record.empty_tags)
        if _ICON in values:
            record.icon = _icon(data, values[_ICON], explicit)
        directory.records.append(record)
        _check_record(data, record, values, faults)


def _record(data: bytes, offset: int, found: dict[int, Element], number: int) -> Record:
    kind = _text(data, found, _TYPE)[:16]
    identity = found.get(_IDENTITIES.get(kind, 0))
    return Record(
        number=number,
        offset=offset,
        next=_number(data, found, _NEXT),
        lower=_number(data, found, _LOWER),
        type=kind,
        file_id=_text(data, found, _FILE_ID),
        sop_class_uid=_text(data, found, _SOP_CLASS),
        sop_instance_uid=_text(data, found, _SOP_INSTANCE),
        transfer_syntax_uid=_text(data, found, _TRANSFER_SYNTAX),
        identity=_value(data, identity).strip(b"\0 ") if identity else b"",
        tags=frozenset(tag for tag, element in found.items() if element.length),
        empty_tags=frozenset(tag for tag, element in found.items() if not element.length),
    )


def _icon(data: bytes, element: Element, explicit: bool) -> Icon:
    """The icon of a record: the one item of its sequence (PS3.3 F.7)."""
    end = element.value + element.length
    found = list(elements.items(data, element.value, end, explicit=explicit))
    if len(found) != 1:
        return Icon(0, 0, 0, "", False)
    [(begin, stop)] = found
    return icon.read(data[begin:stop], explicit=explicit)


def _check_record(data: bytes, record: Record, found: dict[int, Element], faults: Faults) -> None:
    for tag in (_NEXT, _IN_USE, _LOWER, _TYPE):
        if tag not in found:
            faults.add(FaultCode.KEY_MISSING, str(record), f"it lacks {elements.describe(tag)}")
    if _IN_USE in found and _number(data, found, _IN_USE) != 0xFFFF:
        faults.add(
            FaultCode.RECORD_IN_USE_FLAG,
            str(record),
            "Record In-use Flag (0004,1410) is not FFFFH: readers pass it over",
        )
    if record.icon and not record.icon.sound:
        message = "its Icon Image Sequence (0088,0200) does not hold one icon of PS3.3 F.7"
        faults.add(FaultCode.ICON_INVALID, str(record), message)
    check_keys(data, found, record.type, str(record), faults)


def _value(data: bytes, element: Element) -> bytes:
    return data[element.value : element.value + element.length]


def _text(data: bytes, found: dict[int, Element], tag: int) -> str:
    element = found.get(tag)
    return _value(data, element).decode("latin-1").strip("\0 ") if element else ""


def _number(data: bytes, found: dict[int, Element], tag: int) -> int:
    element = found.get(tag)
    return int.from_bytes(_value(data, element)[:4], "little") if element else 0
