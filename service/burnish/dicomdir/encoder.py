"""Craft: the DICOMDIR of a File-set, encoded in one pass over its entries (PS3.3 F, PS3.10 8.6).

Entries come in directory order: those of a patient, of a study, of a series stand together.
`size` tells beforehand what `encode` will take, `record_lengths` what one instance adds to it.
"""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from burnish import file_meta
from burnish.dicom_elements import MAXIMUM_LENGTH
from burnish.dicom_elements import encode as element
from burnish.dicomdir.records import (
    PATIENT_ID,
    Entity,
    encode_leaf,
    entity_lengths,
    keys_length,
    length_around,
    read,
    surrogate_patient_id,
)
from burnish.directory_records import ROOT_TYPES, group_patients
from burnish.errors import Conflict, InvalidUID, InvalidValue, MissingValue
from burnish.identifiers import is_file_id, is_file_set_id, is_tolerable_uid
from burnish.values import DirectoryEntry, InstanceHeader
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, MEDIA_STORAGE_DIRECTORY_STORAGE

#: The File IDs that `file_ids.assign` gives: all of a kind are equally long.
_FILE_ID_IN_SERIES = r"DICOM\PA000001\ST000001\SE000001\IM000001"
_FILE_ID_IN_ROOT = r"DICOM\RO000001"

#: How each record begins: its item, the offset of the next record, in use, that of the lower level.
_RECORD_START = struct.Struct("<4sL8sL10s8sL")
_ITEM_HEADER = 8
_ITEM = b"\xfe\xff\x00\xe0"
_NEXT = b"\x04\x00\x00\x14UL\x04\x00"
_IN_USE = b"\x04\x00\x10\x14US\x02\x00\xff\xff"
_LOWER = b"\x04\x00\x20\x14UL\x04\x00"

T = TypeVar("T")


class RecordLengths(NamedTuple):
    """The bytes that the records of one instance take: its own, and those it may share."""

    patient: int
    study: int
    series: int
    instance: int


def encode(
    entries: Sequence[DirectoryEntry],
    *,
    file_set_id: str,
    file_set_uid: str,
    descriptor_file_id: str = "",
) -> bytes:
    """The whole DICOMDIR file.

    Raises Conflict where the entries do not make one directory: a Patient ID, Study or Series
    Instance UID that appears in two places or stands for two persons, an instance or a File
    ID that appears twice, a SOP Class without record type.
    """
    walk = _Walk(encode_leaf)
    walk.run(entries)
    bodies = [
        walk.encode(content) if isinstance(content, Entity) else content
        for content in walk.contents
    ]
    identity = encode_identity(file_set_id, descriptor_file_id)
    return join(file_set_uid, identity, walk.levels, bodies)


def size(
    entries: Sequence[DirectoryEntry],
    *,
    file_set_id: str,
    file_set_uid: str,
    descriptor_file_id: str = "",
) -> int:
    """The exact length of what `encode` gives, or the same error."""
    base = base_length(file_set_id, file_set_uid, descriptor_file_id)
    entities = records_length(entries, leaves=0)
    leaves = sum(
        _RECORD_START.size
        + length_around(
            *(header.directory_record_type, header.sop_class_uid, syntax),
            *(len(file_id), len(header.sop_instance_uid)),
        )
        + keys_length(header)
        for file_id, header, syntax in entries
    )
    return _within_limits(base + entities + leaves)


def records_length(entries: Sequence[DirectoryEntry], leaves: int) -> int:
    """The length of all records, where those of instances take `leaves` bytes.

    Raises as `encode` does. Of entries that follow one another and have the same but for what is
    an instance's own, one will do.
    """
    walk = _Walk(lambda *_: None)
    walk.run(entries)
    entities = [one for one in walk.contents if one is not None]
    return _within_limits(
        leaves + sum(_RECORD_START.size + len(walk.encode(entity)) for entity in entities)
    )


def check_instances(uids: Sequence[str]) -> None:
    """Raises what `encode` does of their SOP Instance UIDs."""
    if wrong := [uid for uid in uids if not is_tolerable_uid(uid)]:
        raise InvalidUID(f"SOP Instance UID {wrong[0]!r} is not a UID")
    if len(set(uids)) < len(uids):
        raise Conflict("a SOP Instance appears twice")


def base_length(file_set_id: str, file_set_uid: str, descriptor_file_id: str = "") -> int:
    """The length of a DICOMDIR without any record."""
    identity = encode_identity(file_set_id, descriptor_file_id)
    return len(_front(file_set_uid, identity, first=0, last=0, length=0))


def record_lengths(header: InstanceHeader, transfer_syntax_uid: str) -> RecordLengths:
    """The bytes each record of an instance takes under the File IDs of `file_ids.assign`.

    Their sum over a File-set is its `size` where the instances of an entity agree on its keys;
    a later instance may add to an entity's record a key that the first one lacks.
    """
    patient, study, series, around = _lengths_around(
        header.directory_record_type,
        header.sop_class_uid,
        header.entity_keys,
        transfer_syntax_uid,
        len(header.sop_instance_uid),
    )
    return RecordLengths(patient, study, series, around + keys_length(header))


@lru_cache(maxsize=1024)
def _lengths_around(
    record_type: str, sop_class: str, entity_keys: bytes, transfer_syntax: str, sop_instance: int
) -> RecordLengths:
    """`record_lengths` of an instance without keys of its own."""
    in_root = record_type in ROOT_TYPES
    file_id = len(_FILE_ID_IN_ROOT if in_root else _FILE_ID_IN_SERIES)
    start = _RECORD_START.size
    own = start + length_around(record_type, sop_class, transfer_syntax, file_id, sop_instance)
    if in_root:
        return RecordLengths(0, 0, 0, own)
    patient, study, series = entity_lengths(entity_keys)
    return RecordLengths(start + patient, start + study, start + series, own)


class _Walk(Generic[T]):
    """One pass over the entries, that finds the records and what is wrong with their order."""

    def __init__(self, leaf: Callable[[DirectoryEntry, int], T]) -> None:
        self._leaf = leaf
        self.levels: list[int] = []
        self.contents: list[Entity | T] = []
        self._entities: list[Entity] = []
        self._names = ["", "", ""]
        self._ordinals = [0, 0, 0]
        self._seen: tuple[set[str], set[str], set[str]] = (set(), set(), set())
        self._persons: set[tuple[str, str, str]] = set()
        self._patient_ids: dict[Entity, bytes] = {}
        self._taken: set[str] = set()

    def run(self, entries: Sequence[DirectoryEntry]) -> None:
        """Visit all entries."""
        self._taken = {entry.header.patient_id for entry in entries}
        known: tuple[str, ...] = ()
        keys = b""
        ordinal = 0
        instances: set[str] = set()
        for entry in entries:
            header = entry.header
            _check(entry)
            instances.add(header.sop_instance_uid)
            if header.directory_record_type in ROOT_TYPES:
                self.levels.append(0)
                self.contents.append(self._leaf(entry, 1))
                continue
            place = (
                header.series_instance_uid,
                header.study_instance_uid,
                header.patient_id,
                header.issuer_of_patient_id,
                header.patient_name,
            )
            if place != known or header.entity_keys != keys:
                if place[:1] != known[:1]:
                    ordinal = 0
                self._enter(header)
                known, keys = place, header.entity_keys
            ordinal += 1
            self.levels.append(3)
            self.contents.append(self._leaf(entry, ordinal))
        self._check_persons()
        if len(instances) < len(entries):
            raise Conflict("a SOP Instance appears twice")
        if len({entry.file_id for entry in entries}) < len(entries):
            raise Conflict("a File ID appears twice")

    def encode(self, entity: Entity) -> bytes:
        """The content of an entity's record, when all of it has been seen."""
        return entity.encode(patient_id=self._patient_ids.get(entity, b""))

    def _enter(self, header: InstanceHeader) -> None:
        """Begin the entities that are new with this instance, and tell all of them of it."""
        patient_id = header.patient_id if PATIENT_ID in read(header.entity_keys)[1] else ""
        surrogate = b""
        if not patient_id:
            patient_id = surrogate_patient_id(
                header.issuer_of_patient_id, header.study_instance_uid, self._taken
            )
            surrogate = patient_id.encode("ascii")
        names = (patient_id, header.study_instance_uid, header.series_instance_uid)
        for level, record in enumerate(("PATIENT", "STUDY", "SERIES")):
            if level < len(self._entities) and names[level] == self._names[level]:
                continue
            if names[level] in self._seen[level]:
                raise Conflict(f"a {record} appears in two places: {_named(level, names)}")
            self._seen[level].add(names[level])
            self._begin(level, record, names[level])
        if surrogate:
            self._patient_ids[self._entities[0]] = surrogate
        self._persons.add((patient_id, header.issuer_of_patient_id, header.patient_name))
        for entity in self._entities:
            entity.learn(header.entity_keys)

    def _begin(self, level: int, record: str, name: str) -> None:
        self._ordinals[level] += 1
        self._ordinals[level + 1 :] = [0] * (2 - level)
        entity = Entity(record, self._ordinals[level])
        self._entities[level:] = [entity]
        self._names[level] = name
        self.levels.append(level)
        self.contents.append(entity)
        if level == 0:
            self._check_persons()

    def _check_persons(self) -> None:
        """Whether those of the PATIENT record that ends here are one; all of them must be known."""
        if any(group_patients(sorted(self._persons))):
            raise Conflict("one Patient ID stands for two persons")
        self._persons.clear()


def _named(level: int, names: tuple[str, str, str]) -> str:
    # A Patient ID says who it is; UIDs do not.
    return names[level] if level else "its Patient ID"


def _check(entry: DirectoryEntry) -> None:
    header = entry.header
    if not header.directory_record_type:
        raise Conflict(f"SOP Class {header.sop_class_uid} has no directory record type")
    if not is_tolerable_uid(header.sop_instance_uid):
        raise InvalidUID(f"SOP Instance UID {header.sop_instance_uid!r} is not a UID")
    if not is_file_id(entry.file_id):
        raise InvalidValue(f"{entry.file_id!r} is not a File ID")
    if header.directory_record_type not in ROOT_TYPES and not (
        header.study_instance_uid and header.series_instance_uid
    ):
        raise MissingValue(f"{header.sop_instance_uid} has no Study or Series Instance UID")


def _starts(
    levels: Sequence[int], bodies: Sequence[bytes], start: int
) -> tuple[list[bytes], int, int]:
    """How each record begins, where the last root record lies, and where the last record ends."""
    count = len(bodies)
    following, lower = [0] * count, [0] * count
    latest: list[int | None] = [None, None, None, None]
    last = 0
    position = start
    for index, (level, body) in enumerate(zip(levels, bodies, strict=True)):
        sibling = latest[level]
        if sibling is not None:
            following[sibling] = position
        elif level and (parent := latest[level - 1]) is not None:
            lower[parent] = position
        if level == 0:
            last = position
        latest[level:] = [index, None, None, None][: 4 - level]
        position += _RECORD_START.size + len(body)
    _within_limits(position)
    rest = _RECORD_START.size - _ITEM_HEADER
    pack = _RECORD_START.pack
    starts = [
        pack(_ITEM, rest + len(body), _NEXT, next_record, _IN_USE, _LOWER, lower_record)
        for body, next_record, lower_record in zip(bodies, following, lower, strict=True)
    ]
    return starts, last, position


def _within_limits(total: int) -> int:
    if total > MAXIMUM_LENGTH:
        raise Conflict("the DICOMDIR would be longer than its offsets reach")
    return total


def join(
    file_set_uid: str, identity: bytes, levels: Sequence[int], bodies: Sequence[bytes]
) -> bytes:
    """The whole DICOMDIR file, of records each before those below it, by their levels from 0.

    `identity` is what `encode_identity` gives, `bodies` are the records from Directory Record Type
    (0004,1430) on.
    """
    start = len(_front(file_set_uid, identity, first=0, last=0, length=0))
    starts, last, end = _starts(levels, bodies, start)
    first = start if bodies else 0
    parts = [_front(file_set_uid, identity, first=first, last=last, length=end - start)]
    for record_start, body in zip(starts, bodies, strict=True):
        parts += (record_start, body)
    return b"".join(parts)


def encode_identity(file_set_id: str, descriptor_file_id: str = "") -> bytes:
    """The elements that name a File-set (PS3.3 F.3.2.1)."""
    if not is_file_set_id(file_set_id):
        raise InvalidValue(f"{file_set_id!r} is not a File-set ID")
    elements = [element(0x00041130, b"CS", file_set_id.encode("ascii"))]
    if descriptor_file_id:
        if not is_file_id(descriptor_file_id):
            raise InvalidValue(f"{descriptor_file_id!r} is not a File ID")
        elements.append(element(0x00041141, b"CS", descriptor_file_id.encode("ascii")))
    return b"".join(elements)


def _front(file_set_uid: str, identity: bytes, *, first: int, last: int, length: int) -> bytes:
    """All that precedes the first record (PS3.3 F.3.2.1, F.3.2.2)."""
    if not is_tolerable_uid(file_set_uid):
        raise InvalidUID(f"{file_set_uid!r} is not a UID")
    elements = [
        identity,
        element(0x00041200, b"UL", first.to_bytes(4, "little")),
        element(0x00041202, b"UL", last.to_bytes(4, "little")),
        element(0x00041212, b"US", b"\0\0"),
        struct.pack("<HH2sHL", 0x0004, 0x1220, b"SQ", 0, length),
    ]
    meta = file_meta.encode(
        MEDIA_STORAGE_DIRECTORY_STORAGE, file_set_uid, EXPLICIT_VR_LITTLE_ENDIAN
    )
    return meta + b"".join(elements)
