"""Craft: adds files to the DICOMDIR of an existing File-set (PS3.10 8.6, PS3.3 F.3).

The earlier records are kept byte for byte, apart from their offsets. The records of added
instances follow those of the patient, study and series to which they belong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from burnish import file_meta
from burnish.dicom_elements import scan
from burnish.dicomdir import encoder
from burnish.dicomdir.profile_keys import RecordKeys
from burnish.dicomdir.reader import (
    DIRECTORY_RECORD_SEQUENCE,
    FILE_SET_ID,
    FIRST_RECORD_OFFSET,
    IDENTITY_KEYS,
    LOWER_LEVEL_OFFSET,
    MRDR,
    MRDR_OFFSET,
    NEXT_RECORD_OFFSET,
    RECORD_TYPE,
    REFERENCED_FILE_ID,
    REFERENCED_SOP_INSTANCE_UID,
    DicomdirReader,
    Elements,
)
from burnish.directory_records import group_patients
from burnish.errors import Conflict, Unreadable
from burnish.values import DirectoryEntry

_FILE_META_START = 132
_FILE_SET_UID = 0x00020003
_DIRECTORY_GROUP = 0x00040000
_PATIENT_NAME = 0x00100010
#: More levels than any kind of record needs: patient, study, series, instance, and private ones.
_MAXIMUM_LEVELS = 32


@dataclass(slots=True)
class RecordNode:
    """A directory record and the records below it.

    `body` is the encoded record from Directory Record Type (0004,1430) on. A record that leads to
    its file by a Multi-Referenced File Directory Record has the offset of that one as
    `mrdr_offset`, and its file and instance.
    """

    type: str
    identity: str
    patient_name: str
    file_id: str
    sop_instance_uid: str
    body: bytes
    mrdr_offset: int = 0
    below: list["RecordNode"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EarlierDirectory:
    """The DICOMDIR to which instances are added, with the records of its root.

    `multi_referenced` are its Multi-Referenced File Directory Records by their offsets.
    """

    file_set_id: str
    file_set_uid: str
    #: The encoded elements that identify the File-set: (0004,1130) to (0004,1142).
    identification: bytes
    records: list[RecordNode]
    multi_referenced: dict[int, RecordNode] = field(default_factory=dict)

    @property
    def patient_ids(self) -> frozenset[str]:
        """The Patient ID (0010,0020) of every PATIENT record."""
        return frozenset(record.identity for record in self.records if record.type == "PATIENT")

    def names(self, patient_id: str) -> list[str]:
        """Patient's Name (0010,0010) in the records of a Patient ID."""
        return [record.patient_name for record in self.records if record.identity == patient_id]

    def all_records(self) -> Iterator[RecordNode]:
        """Every record, each before those below it."""
        return (record for record, _ in _walk(self.records))


def read_earlier(data: bytes) -> EarlierDirectory:
    """The DICOMDIR in these bytes, in which `verify.examine` found no fault.

    Raises Conflict for records on too many levels, Unreadable for damage.
    """
    offset, _ = file_meta.locate(data)
    meta = Elements(data, {e.tag: e for e in scan(data, _FILE_META_START, offset, explicit=True)})
    reader = DicomdirReader(data, offset)
    if _FILE_SET_UID not in meta or DIRECTORY_RECORD_SEQUENCE not in reader.elements:
        raise Unreadable("the DICOMDIR has no File-set UID or no records")
    stored = {record.offset: record.elements for record in reader.records()}
    first = reader.elements.number(FIRST_RECORD_OFFSET)
    multi_referenced = {
        offset: _node(elements, {})
        for offset, elements in stored.items()
        if elements.code(RECORD_TYPE) == MRDR
    }
    for offset in multi_referenced:
        del stored[offset]
    return EarlierDirectory(
        file_set_id=reader.elements.text(FILE_SET_ID),
        file_set_uid=meta.code(_FILE_SET_UID),
        identification=reader.elements.encoded(_DIRECTORY_GROUP, FIRST_RECORD_OFFSET),
        records=list(_records(stored, multi_referenced, first, level=1)),
        multi_referenced=multi_referenced,
    )


def append_entries(
    earlier: EarlierDirectory, entries: Sequence[DirectoryEntry], keys: RecordKeys
) -> bytes:
    """The DICOMDIR of all that `earlier` names and of `entries`, which are in directory order.

    New records have these `keys`.
    Raises Conflict as `encoder.encode` does for all of them together.
    """
    alone = encoder.encode(
        entries,
        keys=keys,
        file_set_id=earlier.file_set_id,
        file_set_uid=earlier.file_set_uid,
    )
    added = read_earlier(alone).records
    _check_no_conflict(earlier.records, added)
    levels, records = [], []
    pending = [(record, 0) for record in reversed(_merged(earlier.records, added))]
    while pending:
        record, level = pending.pop()
        levels.append(level)
        records.append(record)
        pending += [(below, level + 1) for below in reversed(record.below)]
    levels += [encoder.APART] * len(earlier.multi_referenced)
    records += earlier.multi_referenced.values()
    bodies = [record.body for record in records]
    if earlier.multi_referenced:
        offsets = encoder.record_offsets(earlier.file_set_uid, earlier.identification, bodies)
        by_record = dict(zip(map(id, records), offsets, strict=True))
        new_offsets = {
            offset: by_record[id(record)] for offset, record in earlier.multi_referenced.items()
        }
        bodies = [_with_mrdr_offset(record, new_offsets) for record in records]
    return encoder.join(earlier.file_set_uid, earlier.identification, levels, bodies)


def _with_mrdr_offset(record: RecordNode, new_offsets: Mapping[int, int]) -> bytes:
    """The body of a record, with the new offset of the record that leads to its file."""
    if not record.mrdr_offset:
        return record.body
    body = record.body
    for element in scan(body, 0, len(body), explicit=True):
        if element.tag == MRDR_OFFSET:
            offset = new_offsets[record.mrdr_offset].to_bytes(4, "little")
            return body[: element.value] + offset + body[element.value + element.length :]
    return body


def _records(
    stored: dict[int, Elements],
    multi_referenced: Mapping[int, RecordNode],
    offset: int,
    level: int,
) -> Iterator[RecordNode]:
    """The records of one Directory Entity from the one at `offset` on, with all below them.

    Each record is taken out of `stored`, so that offsets that form a loop raise Unreadable.
    """
    while offset:
        elements = stored.pop(offset, None)
        if elements is None:
            raise Unreadable("its offsets do not lead from record to record")
        if level > _MAXIMUM_LEVELS:
            raise Conflict(f"its DICOMDIR has records on more than {_MAXIMUM_LEVELS} levels")
        node = _node(elements, multi_referenced)
        lower = elements.number(LOWER_LEVEL_OFFSET)
        node.below = list(_records(stored, multi_referenced, lower, level + 1))
        yield node
        offset = elements.number(NEXT_RECORD_OFFSET)


def _node(elements: Elements, multi_referenced: Mapping[int, RecordNode]) -> RecordNode:
    """A record without those below it; raises Unreadable if it leads to no file that there is."""
    record_type = elements.text(RECORD_TYPE)
    node = RecordNode(
        type=record_type,
        identity=elements.text(IDENTITY_KEYS.get(record_type, 0)),
        patient_name=elements.text(_PATIENT_NAME),
        file_id=elements.text(REFERENCED_FILE_ID),
        sop_instance_uid=elements.text(REFERENCED_SOP_INSTANCE_UID),
        body=elements.encoded(RECORD_TYPE),
    )
    if not node.file_id and (offset := elements.number(MRDR_OFFSET)):
        target = multi_referenced.get(offset)
        if target is None:
            raise Unreadable("its offsets do not lead from record to record")
        node.mrdr_offset, node.file_id = offset, target.file_id
        node.sop_instance_uid = node.sop_instance_uid or target.sop_instance_uid
    return node


def _walk(
    records: Sequence[RecordNode], parent_identity: str = ""
) -> Iterator[tuple[RecordNode, str]]:
    """Every record with the identity of the record above it."""
    for record in records:
        yield record, parent_identity
        yield from _walk(record.below, record.identity)


#: What added files and a disc contradict each other in, by the type of the record.
_CONTRADICTIONS = {
    "PATIENT": "a patient of the files is elsewhere on the disc",
    "STUDY": "Study Instance UID {} of the files belongs to another Patient ID on the disc",
    "SERIES": "Series Instance UID {} of the files belongs to another study on the disc",
}
_HINT = "check which is right; what is on the disc cannot be changed, so make another disc"


def _check_no_conflict(earlier: Sequence[RecordNode], added: Sequence[RecordNode]) -> None:
    """Raises Conflict where a study, series, instance or File ID would be in two places."""
    known, parents = set(), {}
    for record, parent_identity in _walk(earlier):
        known |= {record.file_id, record.sop_instance_uid} - {""}
        if record.type in IDENTITY_KEYS:
            parents[record.type, record.identity] = parent_identity
    for record, parent_identity in _walk(added):
        if known & {record.file_id, record.sop_instance_uid}:
            raise Conflict("an instance or a File ID is on the disc already")
        if parents.get((record.type, record.identity), parent_identity) != parent_identity:
            raise Conflict(_CONTRADICTIONS[record.type].format(record.identity), hint=_HINT)


def _merged(earlier: Sequence[RecordNode], added: Sequence[RecordNode]) -> list[RecordNode]:
    """The records of one Directory Entity with those that are added, each entity once."""
    merged = list(earlier)
    entities = {record.identity: record for record in earlier if record.type in IDENTITY_KEYS}
    for record in added:
        same = entities.get(record.identity) if record.type in IDENTITY_KEYS else None
        if same is None:
            merged.append(record)
            continue
        if record.type == "PATIENT":
            persons = {(each.identity, "", each.patient_name) for each in (same, record)}
            if any(group_patients(sorted(persons))):
                raise Conflict(
                    "the disc has one Patient ID of the files for another patient", hint=_HINT
                )
        same.below = _merged(same.below, record.below)
    return merged
