"""Craft: the content of directory records, with what their keys lack made up (PS3.3 F.5).

The profiles foresee that a File-set Creator supplies keys that an instance lacks (PS3.11
D.3.3.1, H.3.3.1). What is made up stands in the records alone, is the same every time, and is
equally long for every ordinal, so that lengths can be added up before anything is encoded.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from burnish.character_sets import is_plain
from burnish.dicom_elements import encode, encode_item, scan
from burnish.directory_records import Key, all_keys
from burnish.errors import InvalidUID, InvalidValue
from burnish.identifiers import is_tolerable_uid
from burnish.values import DirectoryEntry, InstanceHeader

SPECIFIC_CHARACTER_SET = 0x00080005
STUDY_DATE, STUDY_TIME = 0x00080020, 0x00080030
MODALITY = 0x00080060
PATIENT_ID = 0x00100020
STUDY_ID = 0x00200010
SERIES_NUMBER = 0x00200011
INSTANCE_NUMBER = 0x00200013
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

#: Dates that stand in for a missing Study Date, and their times.
_OTHER_DATES = ((0x00080021, 0x00080031), (0x00080022, 0x00080032), (0x00080023, 0x00080033))
_BINARY_VRS = frozenset((b"US", b"UL", b"SQ"))

_UNKNOWN_CODE = encode_item(
    encode(0x00080100, b"SH", b"UNKNOWN")
    + encode(0x00080102, b"SH", b"99BURNISH")
    + encode(0x00080104, b"LO", b"Unknown")
)
_UNKNOWN_DEFINITION = encode_item(
    encode(0x00080060, b"CS", b"OT")
    + encode(0x00081032, b"SQ", _UNKNOWN_CODE)
    + encode(0x0040100A, b"SQ", _UNKNOWN_CODE)
)
#: What stands in for a missing Type 1 key: where only some values are allowed, the least claim.
_INVENTED_BY_TAG = {
    0x00080008: b"DERIVED\\SECONDARY",
    MODALITY: b"OT",
    0x00080403: b"STUDY",
    0x00080426: b"PARTIAL",
    0x0040A491: b"PARTIAL",
    0x0040A493: b"UNVERIFIED",
    0x00420012: b"application/octet-stream",
    0x00720006: b"SITE",
    0x0072000C: _UNKNOWN_DEFINITION,
}
_INVENTED_BY_VR = {
    b"DA": b"19000101",
    b"TM": b"000000",
    b"DT": b"19000101000000",
    b"IS": b"0",
    b"US": b"\0\0",
    b"UL": b"\0\0\0\0",
    b"SQ": _UNKNOWN_CODE,
}


def number(ordinal: int) -> bytes:
    """An ordinal as a number of fixed width."""
    if ordinal > 999_999:
        raise InvalidValue("more than 999999 of a kind in one entity")
    return b"%06d" % ordinal


def surrogate_patient_id(issuer: str, study_instance_uid: str, taken: Iterable[str]) -> str:
    """A Patient ID for who has none: one for each study, and not one of those that are taken."""
    attempt = 0
    while True:
        seed = f"{issuer}\0{study_instance_uid}\0{attempt}"
        surrogate = "UNKNOWN-" + hashlib.sha256(seed.encode()).hexdigest()[:16].upper()
        if surrogate not in taken:
            return surrogate
        attempt += 1


@lru_cache(maxsize=64)
def _keys(record: str) -> tuple[Key, ...]:
    return all_keys(record)


@lru_cache(maxsize=64)
def _tags(record: str) -> frozenset[int]:
    """The tags an entity's values are kept under."""
    others = (tag for pair in _OTHER_DATES for tag in pair) if record == "STUDY" else ()
    return frozenset((*(key.tag for key in _keys(record)), *others))


@lru_cache(maxsize=1024)
def read(entity_keys: bytes) -> tuple[bytes, Mapping[int, bytes]]:
    """Specific Character Set and the values by tag of a blob of keys, without padding."""
    values = {
        element.tag: entity_keys[element.value : element.value + element.length].rstrip(b" \0")
        for element in scan(entity_keys, 0, len(entity_keys), explicit=True)
    }
    return values.pop(SPECIFIC_CHARACTER_SET, b""), values


class Entity:
    """A PATIENT, STUDY or SERIES as the instances in it describe it."""

    def __init__(self, record: str, ordinal: int) -> None:
        self.record = record
        self._ordinal = ordinal
        self._values: dict[int, bytes] = {}
        self._character_set = b""

    def learn(self, entity_keys: bytes) -> None:
        """Take the keys that no earlier instance had; one without value is wanted all the same.

        One record has one character set: a text in another one is not taken.
        """
        character_set, values = read(entity_keys)
        for tag in _tags(self.record):
            value = values.get(tag)
            if value is None or self._values.get(tag):
                continue
            if not is_plain(value):
                if self._character_set not in (b"", character_set):
                    continue
                self._character_set = character_set
            self._values[tag] = value

    def encode(self, *, patient_id: bytes = b"") -> bytes:
        """The record from Directory Record Type on. `patient_id` is for who has none."""
        values = {**self._invented(patient_id), **self._values}
        elements = []
        special = False
        for tag, vr, kind in _keys(self.record):
            value = values.get(tag, b"")
            if value or kind == "2" or tag in self._values:
                elements.append(encode(tag, vr, value))
                special = special or not is_plain(value)
        if special:
            elements.insert(0, encode(SPECIFIC_CHARACTER_SET, b"CS", self._character_set))
        record_type = encode(0x00041430, b"CS", self.record.encode("ascii"))
        return record_type + b"".join(elements)

    def _invented(self, patient_id: bytes) -> dict[int, bytes]:
        if self.record == "PATIENT":
            return {PATIENT_ID: patient_id}
        if self.record == "SERIES":
            return {MODALITY: b"OT", SERIES_NUMBER: number(self._ordinal)}
        date, time = b"19000101", b"000000"
        for other_date, other_time in _OTHER_DATES:
            if other_date in self._values:
                date, time = self._values[other_date], self._values.get(other_time, time)
                break
        if STUDY_DATE in self._values:
            time = b"000000"
        return {STUDY_DATE: date, STUDY_TIME: time, STUDY_ID: number(self._ordinal)}


@lru_cache(maxsize=1024)
def _around(
    record_type: str, sop_class: str, transfer_syntax: str, file_id: int, sop_instance: int
) -> tuple[bytes, bytes, bytes]:
    """What stands before, between and behind a File ID and a SOP Instance UID of these lengths."""
    for value in (sop_class, transfer_syntax):
        if not is_tolerable_uid(value):
            raise InvalidUID(f"{value!r} is not a UID")
    file_id_element = encode(0x00041500, b"CS", b" " * file_id)
    sop_instance_element = encode(0x00041511, b"UI", bytes(sop_instance))
    return (
        encode(0x00041430, b"CS", record_type.encode("ascii")) + file_id_element[:8],
        file_id_element[8 + file_id :]
        + encode(0x00041510, b"UI", sop_class.encode("ascii"))
        + sop_instance_element[:8],
        sop_instance_element[8 + sop_instance :]
        + encode(0x00041512, b"UI", transfer_syntax.encode("ascii")),
    )


def encode_leaf(entry: DirectoryEntry, ordinal: int) -> bytes:
    """The record of an instance from Directory Record Type on (PS3.3 F.3.2.2, F.5)."""
    header, file_id = entry.header, entry.file_id
    sop_instance = header.sop_instance_uid
    before, between, behind = _around(
        header.directory_record_type,
        header.sop_class_uid,
        entry.transfer_syntax_uid,
        len(file_id),
        len(sop_instance),
    )
    keys = _complete(header, ordinal) if header.missing_keys else header.record_keys
    return b"".join(
        (before, file_id.encode("ascii"), between, sop_instance.encode("ascii"), behind, keys)
    )


@lru_cache(maxsize=1024)
def length_around(
    record_type: str, sop_class: str, transfer_syntax: str, file_id: int, sop_instance: int
) -> int:
    """The length of what `encode_leaf` gives without keys, for what it has and for two lengths."""
    around = _around(record_type, sop_class, transfer_syntax, file_id, sop_instance)
    return sum(map(len, around)) + file_id + sop_instance


def keys_length(header: InstanceHeader) -> int:
    """The length of the keys in what `encode_leaf` gives."""
    length = len(header.record_keys)
    if header.missing_keys:
        length += sum(len(_invented(tag, vr, 1)) for tag, vr, _ in _missing(header))
    return length


def entity_lengths(entity_keys: bytes) -> tuple[int, int, int]:
    """The lengths of the keys of a PATIENT, a STUDY and a SERIES record."""
    surrogate = surrogate_patient_id("", "", ()).encode("ascii")
    lengths = []
    for record in ("PATIENT", "STUDY", "SERIES"):
        entity = Entity(record, 1)
        entity.learn(entity_keys)
        lengths.append(len(entity.encode(patient_id=surrogate)))
    return lengths[0], lengths[1], lengths[2]


def _missing(header: InstanceHeader) -> list[Key]:
    return [key for key in _keys(header.directory_record_type) if key.tag in header.missing_keys]


def _complete(header: InstanceHeader, ordinal: int) -> bytes:
    """The keys of an instance's record with those it lacks, ascending."""
    keys = header.record_keys
    elements = {
        element.tag: keys[element.start : element.end]
        for element in scan(keys, 0, len(keys), explicit=True)
    }
    for tag, vr, _ in _missing(header):
        elements[tag] = _invented(tag, vr, ordinal)
    return b"".join(elements[tag] for tag in sorted(elements))


def _invented(tag: int, vr: bytes, ordinal: int) -> bytes:
    """An element in place of a missing Type 1 key."""
    if tag == INSTANCE_NUMBER:
        return encode(tag, vr, number(ordinal))
    return encode(tag, vr, _INVENTED_BY_TAG.get(tag, _INVENTED_BY_VR.get(vr, b"UNKNOWN")))
