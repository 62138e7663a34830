"""Craft: checks each directory record by itself (PS3.3 F.3.2.2, F.5)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from burnish import dicom_elements
from burnish.application_profiles import icon
from burnish.application_profiles.icon import IconAttributes
from burnish.dicomdir.reader import (
    IDENTITY_KEYS,
    LOWER_LEVEL_OFFSET,
    MRDR,
    MRDR_OFFSET,
    NEXT_RECORD_OFFSET,
    RECORD_IN_USE_FLAG,
    RECORD_TYPE,
    REFERENCED_FILE_ID,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_TRANSFER_SYNTAX_UID,
    SPECIFIC_CHARACTER_SET,
    Elements,
    StoredRecord,
)
from burnish.directory_records import KEYS, RETIRED_TYPES, Key, all_keys
from burnish.explicit_little_endian import dictionary_vr
from burnish.site_records import PRIVATE_RECORD, is_private
from burnish.verify.faults import FaultCode, Faults, attribute

#: The attributes of every directory record, whatever its type (PS3.3 Table F.3-3).
_REQUIRED = (NEXT_RECORD_OFFSET, RECORD_IN_USE_FLAG, LOWER_LEVEL_OFFSET, RECORD_TYPE)
#: The keys of Type 1 and 2 of each record type (PS3.3 F.5).
_REQUIRED_KEYS = {
    record_type: [key for key in keys if key.type in ("1", "2")]
    for record_type, keys in KEYS.items()
}
#: The keys whose values are kept, to be compared with those of files.
_KEPT_KEYS = {
    record_type: (SPECIFIC_CHARACTER_SET, *(key.tag for key in all_keys(record_type)))
    for record_type in KEYS
}
#: The same of a type that is not known; its other elements are further keys.
_KEPT_OF_UNKNOWN_TYPE = (SPECIFIC_CHARACTER_SET,)
#: Those alone that are compared while a written volume is read back.
_KEPT_IDENTIFYING_KEYS = {
    record_type: (SPECIFIC_CHARACTER_SET, *(key.tag for key in KEYS[record_type]))
    for record_type in IDENTITY_KEYS
}
#: The attributes of a record that references a file: Type 1C (PS3.3 Table F.3-3).
_REFERENCE = (
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_TRANSFER_SYNTAX_UID,
)
#: The VRs whose characters depend on the Specific Character Set (PS3.5 6.1.2.3).
_CODED_VRS = frozenset({b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"})
_IN_USE = 0xFFFF
_DIRECTORY_GROUP = 0x0004
#: Elements below this one reserve blocks of private elements (PS3.5 7.8.1).
_FIRST_PRIVATE_ELEMENT = 0x1000
_PRIVATE_RECORD_UID = 0x00041432
_ICON_IMAGE_SEQUENCE = 0x00880200
#: More levels than any kind of record needs.
_MOST_LEVELS = 32
#: The most characters of a Directory Record Type (PS3.5 6.2, CS).
_LONGEST_TYPE = 16


@dataclass(slots=True)
class Record:
    """One directory record; offsets count from the first byte of the file (PS3.3 F.3.2.2).

    `identity` is the value of the key that no other record of its type has. `tags` are the
    elements with a value, `empty_tags` those without. `keys` are the encoded values of the keys of
    its type, also of those that profiles add, and its Specific Character Set. `structure` sets
    `parent` and `reached`, and takes the reference to the file from another record where
    `mrdr_offset` is that of one. `further_keys` are those that no table of the standard has; `keys`
    has their values too, and their private creators. `private_record_uid` tells what kind of
    PRIVATE record it is (PS3.3 F.6.1).
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
    keys: Mapping[int, bytes] = field(default_factory=dict)
    further_keys: tuple[Key, ...] = ()
    icon: IconAttributes | None = None
    in_use: bool = True
    mrdr_offset: int = 0
    private_record_uid: str = ""
    parent: "Record | None" = None
    reached: bool = False

    def __str__(self) -> str:
        return f"record {self.number} ({self.type})"


def records_above(record: Record) -> Iterator[Record]:
    """The records above a record, the nearest first; even where damaged ones form a loop."""
    parent = record.parent
    for _ in range(_MOST_LEVELS):
        if parent is None:
            return
        yield parent
        parent = parent.parent


def with_entities_first(records: Iterable[Record]) -> list[Record]:
    """The records, those last that others lead to for their file, since they have no keys."""
    return sorted(records, key=lambda record: record.type == MRDR)


def _is_creator(tag: int) -> bool:
    return is_private(tag) and tag & 0xFFFF < _FIRST_PRIVATE_ELEMENT


def _further_tags(record: Record) -> tuple[int, ...]:
    """The elements with a value that are neither of the directory nor keys of the standard."""
    known = {_ICON_IMAGE_SEQUENCE, SPECIFIC_CHARACTER_SET}
    known.update(_KEPT_KEYS.get(record.type, ()))
    return tuple(sorted(tag for tag in record.tags - known if tag >> 16 != _DIRECTORY_GROUP))


def _has_coded_text(record: Record) -> bool:
    """Whether a key that the writer has added has text beyond ASCII."""
    return any(
        key.vr in _CODED_VRS and not record.keys[key.tag].isascii() for key in record.further_keys
    )


class RecordChecks:
    """Checks the records of one DICOMDIR; their faults are added to `faults`.

    Records of types that are not known are added to `unknown`. Without `keeps_all_keys`, only
    PATIENT, STUDY and SERIES records have `keys`.
    """

    def __init__(
        self, faults: Faults, unknown: Faults, *, explicit: bool, keeps_all_keys: bool = True
    ) -> None:
        self._faults, self._unknown, self._explicit = faults, unknown, explicit
        self._keeps_all_keys = keeps_all_keys
        self._kept_keys = _KEPT_KEYS if keeps_all_keys else _KEPT_IDENTIFYING_KEYS
        #: Records share their sets of tags: a set takes 2 KB, and there may be 60,000 records.
        self._tag_sets: dict[frozenset[int], frozenset[int]] = {}
        #: The tags of further keys by type and tags of a record.
        self._further_tags: dict[tuple[str, frozenset[int]], tuple[int, ...]] = {}

    def check(self, stored: StoredRecord, number: int) -> Record:
        """Checks one record and returns it; `number` counts from 1."""
        elements = stored.elements
        by_tag = elements.by_tag
        record_type = elements.code(RECORD_TYPE)[:_LONGEST_TYPE]
        identity_key = IDENTITY_KEYS.get(record_type)
        identity = elements.value(identity_key) if identity_key else b""
        tags = frozenset([tag for tag, element in by_tag.items() if element.length])
        record = Record(
            number=number,
            offset=stored.offset,
            next=elements.number(NEXT_RECORD_OFFSET),
            lower=elements.number(LOWER_LEVEL_OFFSET),
            type=record_type,
            file_id=elements.code(REFERENCED_FILE_ID),
            sop_class_uid=elements.code(REFERENCED_SOP_CLASS_UID),
            sop_instance_uid=elements.code(REFERENCED_SOP_INSTANCE_UID),
            transfer_syntax_uid=elements.code(REFERENCED_TRANSFER_SYNTAX_UID),
            identity=identity.strip(b"\0 "),
            tags=self._tag_sets.setdefault(tags, tags),
            keys={
                tag: elements.value(tag)
                for tag in self._kept_keys.get(record_type, _KEPT_OF_UNKNOWN_TYPE)
                if tag in tags
            },
        )
        if MRDR_OFFSET in tags and not record.file_id:
            record.mrdr_offset = elements.number(MRDR_OFFSET)
        if len(tags) < len(by_tag):
            empty_tags = frozenset(by_tag) - tags
            record.empty_tags = self._tag_sets.setdefault(empty_tags, empty_tags)
        if self._keeps_all_keys:
            self._keep_further_keys(record, elements)
        self._check_required(record, elements)
        if _ICON_IMAGE_SEQUENCE in elements:
            self._check_icon(record, elements)
        self._check_type(record, elements)
        self._check_keys(record, elements)
        self._check_reference(record, elements)
        return record

    def _keep_further_keys(self, record: Record, elements: Elements) -> None:
        """Keeps the keys that a site or another writer has added, with their values."""
        shape = (record.type, record.tags)
        further_tags = self._further_tags.get(shape)
        if further_tags is None:
            further_tags = self._further_tags[shape] = _further_tags(record)
        if not further_tags:
            return
        keys = []
        for tag in further_tags:
            if not _is_creator(tag):
                keys.append(Key(tag, elements.by_tag[tag].vr or dictionary_vr(tag), "3"))
        record.further_keys = tuple(keys)
        record.keys = {**record.keys, **{tag: elements.value(tag) for tag in further_tags}}

    def _check_required(self, record: Record, elements: Elements) -> None:
        for tag in _REQUIRED:
            if tag not in elements:
                self._missing(record, tag)
        if RECORD_IN_USE_FLAG in elements and elements.number(RECORD_IN_USE_FLAG) != _IN_USE:
            record.in_use = False
            message = f"its {attribute(RECORD_IN_USE_FLAG)} is not FFFFH: readers skip it"
            self._faults.add(FaultCode.RECORD_IN_USE_FLAG, str(record), message)

    def _check_icon(self, record: Record, elements: Elements) -> None:
        """Its sequence has one item, which is an icon (PS3.3 F.7)."""
        data, sequence = elements.data, elements.by_tag[_ICON_IMAGE_SEQUENCE]
        end = sequence.value + sequence.length
        items = list(dicom_elements.items(data, sequence.value, end, explicit=self._explicit))
        record.icon = IconAttributes(0, 0, 0, "", False)
        if len(items) == 1:
            start, stop = items[0]
            record.icon = icon.read(data[start:stop], explicit=self._explicit)
        if not record.icon.sound:
            message = f"its {attribute(_ICON_IMAGE_SEQUENCE)} is not one icon as PS3.3 F.7 has it"
            self._faults.add(FaultCode.ICON_INVALID, str(record), message)

    def _check_type(self, record: Record, elements: Elements) -> None:
        if record.type == PRIVATE_RECORD:
            record.private_record_uid = elements.code(_PRIVATE_RECORD_UID)
            if _PRIVATE_RECORD_UID not in elements:
                self._missing(record, _PRIVATE_RECORD_UID)
        elif record.type not in KEYS:
            kind = "is retired" if record.type in RETIRED_TYPES else "is not one of PS3.3 F.4"
            message = (
                f"its {attribute(RECORD_TYPE)} {kind}: whether it has all its keys was not examined"
            )
            self._unknown.add(FaultCode.RECORD_TYPE_UNKNOWN, str(record), message)

    def _check_keys(self, record: Record, elements: Elements) -> None:
        """It has the keys of its type, and a Specific Character Set if one needs it."""
        is_coded = record.type not in KEYS and _has_coded_text(record)
        for key in _REQUIRED_KEYS.get(record.type, ()):
            if key.tag not in elements:
                self._missing(record, key.tag)
                continue
            value = elements.value(key.tag)
            if key.vr in dicom_elements.TEXT_VRS:
                value = value.strip(b"\0 ")
            if key.type == "1" and not value:
                message = f"its {attribute(key.tag)} has no value"
                self._faults.add(FaultCode.KEY_EMPTY, str(record), message)
            if key.vr in _CODED_VRS and not value.isascii():
                is_coded = True
        if is_coded and SPECIFIC_CHARACTER_SET not in elements:
            message = f"it has characters beyond ASCII but no {attribute(SPECIFIC_CHARACTER_SET)}"
            self._faults.add(FaultCode.CHARACTER_SET_MISSING, str(record), message)

    def _check_reference(self, record: Record, elements: Elements) -> None:
        if REFERENCED_FILE_ID not in elements:
            return
        for tag in _REFERENCE:
            if tag not in record.tags:
                code = FaultCode.KEY_EMPTY if tag in elements else FaultCode.KEY_MISSING
                message = f"it references a file but has no {attribute(tag)}"
                self._faults.add(code, str(record), message)

    def _missing(self, record: Record, tag: int) -> None:
        self._faults.add(FaultCode.KEY_MISSING, str(record), f"it has no {attribute(tag)}")
