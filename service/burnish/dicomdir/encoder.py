"""Craft: encodes the DICOMDIR of a File-set in one pass over its entries (PS3.3 F, PS3.10 8.6).

Entries are in directory order: those of a patient, of a study, of a series follow one another.
`size` tells in advance how long the result of `encode` is; `record_lengths` tells what one
instance adds to it.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from burnish import file_meta
from burnish.dicom_elements import MAXIMUM_LENGTH
from burnish.dicom_elements import encode as element
from burnish.dicomdir.keys import PATIENT_ID
from burnish.dicomdir.profile_keys import RecordKeys
from burnish.dicomdir.reader import (
    CONSISTENCY_FLAG,
    DIRECTORY_RECORD_SEQUENCE,
    FILE_SET_ID,
    FIRST_RECORD_OFFSET,
    LAST_RECORD_OFFSET,
)
from burnish.dicomdir.records import (
    ENTITY_TYPES,
    EntityRecord,
    encode_instance_record,
    entity_lengths,
    keys_length,
    parse_keys,
    reference_length,
    surrogate_patient_id,
)
from burnish.directory_records import ROOT_TYPES, group_patients
from burnish.errors import Conflict, InvalidUID, InvalidValue, MissingValue
from burnish.identifiers import is_file_id, is_file_set_id, is_tolerable_uid, is_uid
from burnish.values import DirectoryEntry, InstanceHeader
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, MEDIA_STORAGE_DIRECTORY_STORAGE

_DESCRIPTOR_FILE_ID = 0x00041141
#: File IDs as `file_ids.assign` gives them: those in series and those in the root are of one
#: length each.
_FILE_ID_IN_SERIES = r"DICOM\PA000001\ST000001\SE000001\IM000001"
_FILE_ID_IN_ROOT = r"DICOM\RO000001"

#: How each record begins: its item, the offset of the next record, in use, that of the lower level.
_RECORD_START = struct.Struct("<4sL8sL10s8sL")
_ITEM_HEADER = 8
_ITEM = b"\xfe\xff\x00\xe0"
_NEXT = b"\x04\x00\x00\x14UL\x04\x00"
_IN_USE = b"\x04\x00\x10\x14US\x02\x00\xff\xff"
_LOWER = b"\x04\x00\x20\x14UL\x04\x00"
#: The level of the record of an instance below a PATIENT, a STUDY and a SERIES record.
_INSTANCE_LEVEL = len(ENTITY_TYPES)
#: The level of a record that belongs to no entity: a Multi-Referenced File Directory Record.
APART = -1


class RecordLengths(NamedTuple):
    """The bytes that the records of one instance take: its own, and those it may share."""

    patient: int
    study: int
    series: int
    instance: int


def encode(
    entries: Sequence[DirectoryEntry],
    *,
    keys: RecordKeys,
    file_set_id: str,
    file_set_uid: str,
    descriptor_file_id: str = "",
) -> bytes:
    """The complete DICOMDIR file; patients, studies and series have these `keys`.

    Raises Conflict where the entries do not form one directory: a Patient ID, Study or Series
    Instance UID appears in two places or stands for two persons, an instance or a File ID appears
    twice, or a SOP Class has no record type. Raises InvalidUID, InvalidValue, MissingValue.
    """
    walk = _Walk(entries, keys)
    bodies = [
        record.encode() if isinstance(record, EntityRecord) else encode_instance_record(*record)
        for record in walk.records
    ]
    identification = encode_identification(file_set_id, descriptor_file_id)
    return join(file_set_uid, identification, walk.levels, bodies)


def size(
    entries: Sequence[DirectoryEntry],
    *,
    keys: RecordKeys,
    file_set_id: str,
    file_set_uid: str,
    descriptor_file_id: str = "",
) -> int:
    """The exact length of the result of `encode`; raises the same errors."""
    instances = sum(
        _RECORD_START.size
        + reference_length(
            header.directory_record_type,
            len(file_id),
            header.sop_class_uid,
            len(header.sop_instance_uid),
            transfer_syntax_uid,
        )
        + keys_length(header)
        for file_id, header, transfer_syntax_uid in entries
    )
    base = base_length(file_set_id, file_set_uid, descriptor_file_id)
    return _checked_length(base + records_length(entries, keys, instances))


def records_length(entries: Sequence[DirectoryEntry], keys: RecordKeys, instances: int) -> int:
    """The length of all records if those of the instances take `instances` bytes.

    Raises as `encode` does. Of consecutive entries with equal `InstanceHeader.shared`, the first
    is sufficient.
    """
    records = _Walk(entries, keys).records
    entities = [record for record in records if isinstance(record, EntityRecord)]
    return _checked_length(
        instances + sum(_RECORD_START.size + len(entity.encode()) for entity in entities)
    )


def check_instances(uids: Sequence[str]) -> None:
    """Raises what `encode` raises for these SOP Instance UIDs."""
    for uid in uids:
        if not is_tolerable_uid(uid):
            raise InvalidUID(f"SOP Instance UID {uid!r} is not a UID")
    if len(set(uids)) < len(uids):
        raise Conflict("a SOP Instance appears twice")


def base_length(file_set_id: str, file_set_uid: str, descriptor_file_id: str = "") -> int:
    """The length of a DICOMDIR without any record."""
    identification = encode_identification(file_set_id, descriptor_file_id)
    return len(_front(file_set_uid, identification, first=0, last=0, length=0))


def record_lengths(
    header: InstanceHeader, transfer_syntax_uid: str, keys: RecordKeys
) -> RecordLengths:
    """The bytes of each record of an instance with a File ID that `file_ids.assign` gives.

    Their sum over a File-set is its `size` if the instances of an entity agree on its keys; a
    later instance may add a key to the record of an entity that the first one lacks.
    """
    patient, study, series, reference = _lengths_without_keys(
        header.directory_record_type,
        header.sop_class_uid,
        header.entity_keys,
        transfer_syntax_uid,
        len(header.sop_instance_uid),
        keys,
    )
    return RecordLengths(patient, study, series, reference + keys_length(header))


#: Planning asks for every instance, and those of a series have the same: anew for each instance
#: it takes 67 µs instead of 2, more than all else that planning does for an instance.
@lru_cache(maxsize=1024)
def _lengths_without_keys(  # noqa: PLR0917
    record_type: str,
    sop_class: str,
    entity_keys: bytes,
    transfer_syntax: str,
    sop_instance: int,
    keys: RecordKeys,
) -> RecordLengths:
    """`record_lengths` of an instance whose own record has no keys."""
    start = _RECORD_START.size
    in_root = record_type in ROOT_TYPES
    file_id = len(_FILE_ID_IN_ROOT if in_root else _FILE_ID_IN_SERIES)
    instance = start + reference_length(
        record_type, file_id, sop_class, sop_instance, transfer_syntax
    )
    if in_root:
        return RecordLengths(0, 0, 0, instance)
    patient, study, series = entity_lengths(entity_keys, keys)
    return RecordLengths(start + patient, start + study, start + series, instance)


class _InstanceRecord(NamedTuple):
    entry: DirectoryEntry
    ordinal: int


class _Walk:
    """One pass over the entries that finds all records and checks the order of the entries.

    `records` has each record before those below it, `levels` their levels from 0.
    """

    def __init__(self, entries: Sequence[DirectoryEntry], keys: RecordKeys) -> None:
        self._keys = keys
        self.levels: list[int] = []
        self.records: list[EntityRecord | _InstanceRecord] = []
        #: The entities that the current entry belongs to, with what identifies each.
        self._entities: list[EntityRecord] = []
        self._identities = ["", "", ""]
        self._ordinals = [0, 0, 0]
        self._seen: tuple[set[str], set[str], set[str]] = (set(), set(), set())
        #: Patient ID, issuer and name of the instances of the current patient.
        self._persons: set[tuple[str, str, str]] = set()
        self._patient_ids = {entry.header.patient_id for entry in entries}
        self._run(entries)
        self._check_persons()
        check_instances([entry.header.sop_instance_uid for entry in entries])
        if len({entry.file_id for entry in entries}) < len(entries):
            raise Conflict("a File ID appears twice")

    def _run(self, entries: Sequence[DirectoryEntry]) -> None:
        described: tuple[object, ...] = ()
        series = ""
        ordinal = 0
        for entry in entries:
            header = entry.header
            _check(entry)
            if header.directory_record_type in ROOT_TYPES:
                self.levels.append(0)
                self.records.append(_InstanceRecord(entry, 1))
                continue
            description = (
                header.series_instance_uid,
                header.study_instance_uid,
                header.patient_id,
                header.issuer_of_patient_id,
                header.patient_name,
                header.entity_keys,
            )
            if description != described:
                if header.series_instance_uid != series:
                    series, ordinal = header.series_instance_uid, 0
                self._enter(header)
                described = description
            ordinal += 1
            self.levels.append(_INSTANCE_LEVEL)
            self.records.append(_InstanceRecord(entry, ordinal))

    def _enter(self, header: InstanceHeader) -> None:
        """Begins the entities that are new with this instance, and adds its keys to all three."""
        character_set, values = parse_keys(header.entity_keys)
        patient_id = header.patient_id if PATIENT_ID in values else ""
        surrogate = b""
        if not patient_id:
            patient_id = surrogate_patient_id(
                header.issuer_of_patient_id, header.study_instance_uid, self._patient_ids
            )
            surrogate = patient_id.encode("ascii")
        identities = (patient_id, header.study_instance_uid, header.series_instance_uid)
        for level, record_type in enumerate(ENTITY_TYPES):
            identity = identities[level]
            if level < len(self._entities) and identity == self._identities[level]:
                continue
            if identity in self._seen[level]:
                # A Patient ID tells who the patient is; UIDs do not.
                described = identity if level else "its Patient ID"
                raise Conflict(f"a {record_type} appears in two places: {described}")
            self._seen[level].add(identity)
            self._begin(level, identity)
        if surrogate:
            self._entities[0].surrogate = surrogate
        self._persons.add((patient_id, header.issuer_of_patient_id, header.patient_name))
        for entity in self._entities:
            entity.add(character_set, values)

    def _begin(self, level: int, identity: str) -> None:
        if level == 0:
            self._check_persons()
        self._ordinals[level] += 1
        self._ordinals[level + 1 :] = [0] * (2 - level)
        entity = EntityRecord(ENTITY_TYPES[level], self._ordinals[level], self._keys)
        self._entities[level:] = [entity]
        self._identities[level] = identity
        self.levels.append(level)
        self.records.append(entity)

    def _check_persons(self) -> None:
        """Raises Conflict unless all instances of the PATIENT record that ends here are of one."""
        if any(group_patients(sorted(self._persons))):
            raise Conflict("one Patient ID stands for two persons")
        self._persons.clear()


def _check(entry: DirectoryEntry) -> None:
    header = entry.header
    if not header.directory_record_type:
        raise Conflict(f"SOP Class {header.sop_class_uid} has no directory record type")
    if not is_file_id(entry.file_id):
        raise InvalidValue(f"{entry.file_id!r} is not a File ID")
    if header.directory_record_type not in ROOT_TYPES and not (
        header.study_instance_uid and header.series_instance_uid
    ):
        raise MissingValue(f"{header.sop_instance_uid} has no Study or Series Instance UID")


def join(
    file_set_uid: str, identification: bytes, levels: Sequence[int], bodies: Sequence[bytes]
) -> bytes:
    """The complete DICOMDIR file of records, each before those below it, with levels from 0.

    `identification` is the result of `encode_identification`; `bodies` are the records from
    Directory Record Type (0004,1430) on. No offset of an entity leads to a record of level `APART`.
    """
    start = len(_front(file_set_uid, identification, first=0, last=0, length=0))
    starts, last, end = _record_starts(levels, bodies, start)
    first = start if bodies else 0
    parts = [_front(file_set_uid, identification, first=first, last=last, length=end - start)]
    for record_start, body in zip(starts, bodies, strict=True):
        parts += (record_start, body)
    return b"".join(parts)


def record_offsets(file_set_uid: str, identification: bytes, bodies: Sequence[bytes]) -> list[int]:
    """The offset of each record in what `join` returns."""
    start = len(_front(file_set_uid, identification, first=0, last=0, length=0))
    sizes = [_RECORD_START.size + len(body) for body in bodies]
    return list(accumulate(sizes[:-1], initial=start)) if bodies else []


def encode_identification(file_set_id: str, descriptor_file_id: str = "") -> bytes:
    """The elements that identify a File-set (PS3.3 F.3.2.1)."""
    if not is_file_set_id(file_set_id):
        raise InvalidValue(f"{file_set_id!r} is not a File-set ID")
    elements = element(FILE_SET_ID, b"CS", file_set_id.encode("ascii"))
    if descriptor_file_id:
        if not is_file_id(descriptor_file_id):
            raise InvalidValue(f"{descriptor_file_id!r} is not a File ID")
        elements += element(_DESCRIPTOR_FILE_ID, b"CS", descriptor_file_id.encode("ascii"))
    return elements


def _front(
    file_set_uid: str, identification: bytes, *, first: int, last: int, length: int
) -> bytes:
    """All that precedes the first record (PS3.3 F.3.2.1, F.3.2.2)."""
    if not is_uid(file_set_uid):
        raise InvalidUID(f"{file_set_uid!r} is not a UID")
    meta = file_meta.encode(
        MEDIA_STORAGE_DIRECTORY_STORAGE, file_set_uid, EXPLICIT_VR_LITTLE_ENDIAN
    )
    tag = DIRECTORY_RECORD_SEQUENCE
    return (
        meta
        + identification
        + element(FIRST_RECORD_OFFSET, b"UL", first.to_bytes(4, "little"))
        + element(LAST_RECORD_OFFSET, b"UL", last.to_bytes(4, "little"))
        + element(CONSISTENCY_FLAG, b"US", b"\0\0")
        + struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, length)
    )


def _record_starts(
    levels: Sequence[int], bodies: Sequence[bytes], start: int
) -> tuple[list[bytes], int, int]:
    """How each record begins, the offset of the last record in the root, and the end of all."""
    next_offsets, lower_offsets = [0] * len(bodies), [0] * len(bodies)
    #: The index of the latest record at each level of the current branch.
    latest: list[int] = []
    last = 0
    position = start
    for index, (level, body) in enumerate(zip(levels, bodies, strict=True)):
        if 0 <= level < len(latest):
            next_offsets[latest[level]] = position
        elif level > 0:
            lower_offsets[latest[level - 1]] = position
        if level == 0:
            last = position
        if level != APART:
            latest[level:] = [index]
        position += _RECORD_START.size + len(body)
    _checked_length(position)
    after_item = _RECORD_START.size - _ITEM_HEADER
    starts = [
        _RECORD_START.pack(
            _ITEM, after_item + len(body), _NEXT, next_offset, _IN_USE, _LOWER, lower_offset
        )
        for body, next_offset, lower_offset in zip(bodies, next_offsets, lower_offsets, strict=True)
    ]
    return starts, last, position


def _checked_length(length: int) -> int:
    if length > MAXIMUM_LENGTH:
        raise Conflict("the DICOMDIR would be longer than its 32-bit offsets can address")
    return length
