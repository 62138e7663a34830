"""Craft: the DICOMDIR of a File-set to which files are added (PS3.10 8.6, PS3.3 F.3).

What the earlier DICOMDIR says stays as it is, byte for byte but for the offsets; the records of
what is added stand behind those of the patient, study and series that they belong to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from burnish.character_sets import decode
from burnish.dicom_elements import Element, items, scan
from burnish.dicomdir import encoder
from burnish.dicomdir.records import PATIENT_ID, SPECIFIC_CHARACTER_SET
from burnish.directory_records import group_patients
from burnish.errors import Conflict, Unreadable
from burnish.file_meta import locate
from burnish.values import DirectoryEntry

_FILE_SET_ID, _FILE_SET_UID, _SEQUENCE = 0x00041130, 0x00020003, 0x00041220
_NEXT, _LOWER, _TYPE, _FILE_ID = 0x00041400, 0x00041420, 0x00041430, 0x00041500
_SOP_INSTANCE, _REFERENCED_RECORD = 0x00041511, 0x00041504
_PATIENT_NAME = 0x00100010
#: What tells the records of a type apart (PS3.3 F.5.1 to F.5.3).
_IDENTITIES = {"PATIENT": PATIENT_ID, "STUDY": 0x0020000D, "SERIES": 0x0020000E}
#: Patient, study, series, instance.
_LEVELS = 4


@dataclass(slots=True)
class _Record:
    """A directory record from its type on, and those below it."""

    type: str
    identity: str
    patient_name: str
    file_id: str
    sop_instance_uid: str
    body: bytes
    below: list["_Record"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EarlierDirectory:
    """The DICOMDIR that is continued."""

    file_set_id: str
    file_set_uid: str
    #: What else names the File-set: (0004,1130) and what stands with it, encoded.
    identity: bytes
    records: list[_Record]

    @property
    def patient_ids(self) -> frozenset[str]:
        """The Patient ID (0010,0020) of every PATIENT record."""
        return frozenset(record.identity for record in self.records if record.type == "PATIENT")

    def names(self, patient_id: str) -> list[str]:
        """Patient's Name (0010,0010) in the records of a Patient ID."""
        return [one.patient_name for one in self.records if one.identity == patient_id]


def read(data: bytes) -> EarlierDirectory:
    """The DICOMDIR in these bytes, of which `verify.examine` has found no fault.

    Raises Conflict for records of a kind that could not be kept, Unreadable for damage.
    """
    offset, _ = locate(data)
    uids = [one for one in scan(data, 132, offset, explicit=True) if one.tag == _FILE_SET_UID]
    found = {one.tag: one for one in scan(data, offset, len(data), explicit=True)}
    if not uids or _SEQUENCE not in found:
        raise Unreadable("the DICOMDIR has no File-set UID or no records")
    raw = {}
    sequence = found[_SEQUENCE]
    end = sequence.value + sequence.length
    for begin, stop in items(data, sequence.value, end, explicit=True):
        raw[begin - 8] = {one.tag: one for one in scan(data, begin, stop, explicit=True)}
    own = [one for tag, one in found.items() if tag < 0x00041200]
    return EarlierDirectory(
        _text(data, found, _FILE_SET_ID),
        data[uids[0].value : uids[0].end].decode("latin-1").strip("\0 "),
        b"".join(data[one.start : one.end] for one in own),
        list(_records(data, raw, _number(data, found, 0x00041200), 1)),
    )


def continued(earlier: EarlierDirectory, entries: Sequence[DirectoryEntry]) -> bytes:
    """The DICOMDIR of all that `earlier` names and of `entries`, which are in directory order.

    Raises Conflict as `dicomdir.encode` does for all of them together.
    """
    more = encoder.encode(
        entries, file_set_id=earlier.file_set_id, file_set_uid=earlier.file_set_uid
    )
    added = read(more).records
    _check(earlier.records, added)
    records = _merged(earlier.records, added)
    levels, bodies = [], []
    ordered = [(record, 0) for record in reversed(records)]
    while ordered:
        record, level = ordered.pop()
        levels.append(level)
        bodies.append(record.body)
        ordered += [(below, level + 1) for below in reversed(record.below)]
    return encoder.join(earlier.file_set_uid, earlier.identity, levels, bodies)


def _records(
    data: bytes, raw: dict[int, dict[int, Element]], offset: int, level: int
) -> Iterator[_Record]:
    """The records of one Directory Entity from the one at `offset` on, with all below."""
    while offset:
        found = raw.pop(offset, None)
        if found is None:
            raise Unreadable("its offsets do not lead from record to record")
        if level > _LEVELS or _REFERENCED_RECORD in found:
            raise Conflict("its DICOMDIR has records of a kind that cannot be kept")
        own = [one for one in found.values() if one.tag >= _TYPE]
        kind = _text(data, found, _TYPE)
        lower = _number(data, found, _LOWER)
        yield _Record(
            kind,
            _text(data, found, _IDENTITIES.get(kind, 0)),
            _text(data, found, _PATIENT_NAME),
            _text(data, found, _FILE_ID),
            _text(data, found, _SOP_INSTANCE),
            b"".join(data[one.start : one.end] for one in own),
            list(_records(data, raw, lower, level + 1)),
        )
        offset = _number(data, found, _NEXT)


def _walk(records: Sequence[_Record], above: str = "") -> Iterator[tuple[_Record, str]]:
    """Every record with the identity of what it stands below."""
    for record in records:
        yield record, above
        yield from _walk(record.below, record.identity)


def _check(earlier: Sequence[_Record], added: Sequence[_Record]) -> None:
    """Raises Conflict where a study, series or instance, or a File ID, would be in two places."""
    known, places = set(), {}
    for record, above in _walk(earlier):
        known |= {record.file_id, record.sop_instance_uid} - {""}
        if record.type in _IDENTITIES:
            places[record.type, record.identity] = above
    for record, above in _walk(added):
        if known & {record.file_id, record.sop_instance_uid}:
            raise Conflict("an instance or a File ID is in the File-set already")
        if places.get((record.type, record.identity), above) != above:
            raise Conflict(f"its {record.type} is in the File-set, elsewhere: {record.identity}")


def _merged(earlier: Sequence[_Record], added: Sequence[_Record]) -> list[_Record]:
    """Records of one entity with those that are added to it, each entity once."""
    merged = list(earlier)
    entities = {one.identity: one for one in earlier if one.type in _IDENTITIES}
    for record in added:
        same = entities.get(record.identity) if record.type in _IDENTITIES else None
        if same is None:
            merged.append(record)
            continue
        persons = {(one.identity, "", one.patient_name) for one in (same, record)}
        if record.type == "PATIENT" and any(group_patients(sorted(persons))):
            raise Conflict("a Patient ID of the File-set would stand for two persons")
        same.below = _merged(same.below, record.below)
    return merged


def _text(data: bytes, found: dict[int, Element], tag: int) -> str:
    if tag not in found:
        return ""
    used = found.get(SPECIFIC_CHARACTER_SET)
    character_set = data[used.value : used.value + used.length] if used else b""
    element = found[tag]
    return decode(data[element.value : element.value + element.length], character_set)


def _number(data: bytes, found: dict[int, Element], tag: int) -> int:
    element = found.get(tag)
    return int.from_bytes(data[element.value : element.value + 4], "little") if element else 0
