"""Craft: encodes directory records, and supplies the keys that instances lack (PS3.3 F.5).

The profiles expect a File-set Creator to supply such keys (PS3.11 D.3.3.1, H.3.3.1). Supplied
values appear in the records alone, are the same every time, and have the same length for every
ordinal, so that lengths can be added up before anything is encoded.
"""

import hashlib
from collections.abc import Container, Mapping
from functools import lru_cache

from burnish import site_records
from burnish.character_sets import is_plain
from burnish.dicom_elements import encode, encode_item, scan
from burnish.dicomdir.keys import (
    MODALITY,
    PATIENT_ID,
    SERIES_NUMBER,
    SPECIFIC_CHARACTER_SET,
    STUDY_DATE,
    STUDY_TIME,
    SUBSTITUTE_DATES,
)
from burnish.dicomdir.profile_keys import RecordKeys, in_order
from burnish.dicomdir.reader import (
    RECORD_TYPE,
    REFERENCED_FILE_ID,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_TRANSFER_SYNTAX_UID,
)
from burnish.directory_records import KEYS, Key, all_keys
from burnish.errors import InvalidUID, InvalidValue
from burnish.identifiers import is_tolerable_uid
from burnish.site_records import PRIVATE_RECORD
from burnish.values import DirectoryEntry, InstanceHeader

#: The types of the records above that of an instance, by level from 0.
ENTITY_TYPES = ("PATIENT", "STUDY", "SERIES")

_STUDY_ID = 0x00200010
_INSTANCE_NUMBER = 0x00200013
_PRIVATE_RECORD_UID = 0x00041432
_LARGEST_ORDINAL = 999_999
#: How a Patient ID begins that stands in for a missing one.
STAND_IN_PATIENT_ID = "UNKNOWN-"
_UNKNOWN_DATE, _UNKNOWN_TIME = b"19000101", b"000000"

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
#: What is supplied for a missing Type 1 key: of the permitted values the one that claims least.
SUPPLIED_BY_TAG = {
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
SUPPLIED_BY_VR = {
    b"DA": _UNKNOWN_DATE,
    b"TM": _UNKNOWN_TIME,
    b"DT": _UNKNOWN_DATE + _UNKNOWN_TIME,
    b"IS": b"0",
    b"US": b"\0\0",
    b"UL": b"\0\0\0\0",
    b"SQ": _UNKNOWN_CODE,
}

_KEYS = {record: all_keys(record) for record in KEYS}
#: Dates and times from which those of a STUDY record may come.
_SUBSTITUTES = {tag for pair in SUBSTITUTE_DATES for tag in pair}


def surrogate_patient_id(issuer: str, study_instance_uid: str, taken: Container[str]) -> str:
    """A Patient ID for a patient without one: one for each study, and none of those `taken`."""
    attempt = 0
    while True:
        seed = f"{issuer}\0{study_instance_uid}\0{attempt}"
        surrogate = STAND_IN_PATIENT_ID + hashlib.sha256(seed.encode()).hexdigest()[:16].upper()
        if surrogate not in taken:
            return surrogate
        attempt += 1


def parse_keys(keys: bytes) -> tuple[bytes, dict[int, bytes]]:
    """Specific Character Set, and the values of encoded keys by tag without their padding."""
    values = {
        element.tag: keys[element.value : element.value + element.length].rstrip(b" \0")
        for element in scan(keys, 0, len(keys), explicit=True)
    }
    site_records.drop_other_creators(values)
    return values.pop(SPECIFIC_CHARACTER_SET, b""), values


class EntityRecord:
    """The record of a patient, study or series, made from what its instances say of it.

    `keys` are those of the File-set. `ordinal` counts from 1 among the entities below the same
    parent. `surrogate` is the Patient ID of a PATIENT record whose instances have none.
    """

    def __init__(self, record_type: str, ordinal: int, keys: RecordKeys) -> None:
        self.record_type = record_type
        self._keys = keys.by_record[record_type]
        #: The tags of the values that the record is made from.
        self._source_tags = {key.tag for key in self._keys}
        if record_type == "STUDY":
            self._source_tags |= _SUBSTITUTES
        self.surrogate = b""
        self._ordinal = ordinal
        self._values: dict[int, bytes] = {}
        self._character_set = b""

    def add(self, character_set: bytes, values: Mapping[int, bytes]) -> None:
        """Takes the keys of an instance that no earlier instance had with a value.

        A record has one character set: a text in another one is not taken.
        """
        for tag in self._source_tags:
            value = values.get(tag)
            if value is None or self._values.get(tag):
                continue
            if not is_plain(value):
                if self._character_set not in (b"", character_set):
                    continue
                self._character_set = character_set
            self._values[tag] = value

    def encode(self) -> bytes:
        """The record from Directory Record Type (0004,1430) on."""
        values = {**self._supplied(), **self._values}
        elements = {}
        has_special_text = False
        for tag, vr, key_type in self._keys:
            value = values.get(tag, b"")
            if value or key_type == "2" or tag in self._values:
                elements[tag] = encode(tag, vr, value)
                has_special_text = has_special_text or not is_plain(value)
        if has_special_text:
            elements[SPECIFIC_CHARACTER_SET] = encode(
                SPECIFIC_CHARACTER_SET, b"CS", self._character_set
            )
        keys = in_order(elements)
        return encode(RECORD_TYPE, b"CS", self.record_type.encode("ascii")) + keys

    def _supplied(self) -> dict[int, bytes]:
        if self.record_type == "PATIENT":
            return {PATIENT_ID: self.surrogate}
        if self.record_type == "SERIES":
            return {MODALITY: b"OT", SERIES_NUMBER: _fixed_width(self._ordinal)}
        date, time = _UNKNOWN_DATE, _UNKNOWN_TIME
        if STUDY_DATE not in self._values:
            for date_tag, time_tag in SUBSTITUTE_DATES:
                if date_tag in self._values:
                    date, time = self._values[date_tag], self._values.get(time_tag, time)
                    break
        return {STUDY_DATE: date, STUDY_TIME: time, _STUDY_ID: _fixed_width(self._ordinal)}


def encode_instance_record(entry: DirectoryEntry, ordinal: int) -> bytes:
    """The record of an instance from Directory Record Type (0004,1430) on (PS3.3 F.3.2.2, F.5).

    `ordinal` counts from 1 in the series. Raises InvalidUID.
    """
    header = entry.header
    reference = _encode_reference(
        header.directory_record_type,
        entry.file_id,
        header.sop_class_uid,
        header.sop_instance_uid,
        entry.transfer_syntax_uid,
    )
    if header.missing_keys:
        return reference + _with_missing_keys(header, ordinal)
    return reference + header.record_keys


def reference_length(
    record_type: str, file_id: int, sop_class_uid: str, sop_instance_uid: int, transfer_syntax: str
) -> int:
    """The length of what `encode_instance_record` returns, without its keys.

    `file_id` and `sop_instance_uid` are lengths.
    """
    return len(
        _encode_reference(
            record_type, "X" * file_id, sop_class_uid, "1" * sop_instance_uid, transfer_syntax
        )
    )


def keys_length(header: InstanceHeader) -> int:
    """The length of the keys in what `encode_instance_record` returns."""
    length = len(header.record_keys)
    if header.missing_keys:
        length += sum(len(_supplied_element(key, 1)) for key in _missing_keys(header))
    return length


def entity_lengths(entity_keys: bytes, keys: RecordKeys) -> tuple[int, int, int]:
    """The lengths of a PATIENT, a STUDY and a SERIES record of an instance with `entity_keys`."""
    character_set, values = parse_keys(entity_keys)
    lengths = []
    for record_type in ENTITY_TYPES:
        record = EntityRecord(record_type, 1, keys)
        record.surrogate = surrogate_patient_id("", "", ()).encode("ascii")
        record.add(character_set, values)
        lengths.append(len(record.encode()))
    return lengths[0], lengths[1], lengths[2]


def _encode_reference(
    record_type: str, file_id: str, sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str
) -> bytes:
    """Directory Record Type, and what references the file (PS3.3 Table F.3-3)."""
    private_record_uid = b""
    if record_type == PRIVATE_RECORD:
        private_record_uid = _uid_element(
            _PRIVATE_RECORD_UID, site_records.private_record_uid(sop_class_uid)
        )
    return (
        encode(RECORD_TYPE, b"CS", record_type.encode("ascii"))
        + private_record_uid
        + encode(REFERENCED_FILE_ID, b"CS", file_id.encode("ascii"))
        + _uid_element(REFERENCED_SOP_CLASS_UID, sop_class_uid)
        + encode(REFERENCED_SOP_INSTANCE_UID, b"UI", sop_instance_uid.encode("ascii"))
        + _uid_element(REFERENCED_TRANSFER_SYNTAX_UID, transfer_syntax)
    )


#: Thousands of records have one SOP Class and one transfer syntax: a DICOMDIR takes half as long
#: again if both are checked and encoded for each of them.
@lru_cache(maxsize=256)
def _uid_element(tag: int, uid: str) -> bytes:
    if not is_tolerable_uid(uid):
        raise InvalidUID(f"{uid!r} is not a UID")
    return encode(tag, b"UI", uid.encode("ascii"))


def _missing_keys(header: InstanceHeader) -> list[Key]:
    return [key for key in _KEYS[header.directory_record_type] if key.tag in header.missing_keys]


def _with_missing_keys(header: InstanceHeader, ordinal: int) -> bytes:
    """The keys of an instance's record and the Type 1 keys that it lacks, ascending."""
    keys = header.record_keys
    elements = {
        element.tag: keys[element.start : element.end]
        for element in scan(keys, 0, len(keys), explicit=True)
    }
    for key in _missing_keys(header):
        elements[key.tag] = _supplied_element(key, ordinal)
    return b"".join(elements[tag] for tag in sorted(elements))


def _supplied_element(key: Key, ordinal: int) -> bytes:
    """An element for a missing Type 1 key."""
    if key.tag == _INSTANCE_NUMBER:
        value = _fixed_width(ordinal)
    else:
        value = SUPPLIED_BY_TAG.get(key.tag) or SUPPLIED_BY_VR.get(key.vr, b"UNKNOWN")
    return encode(key.tag, key.vr, value)


def _fixed_width(ordinal: int) -> bytes:
    if ordinal > _LARGEST_ORDINAL:
        raise InvalidValue(f"more than {_LARGEST_ORDINAL} of a kind in one entity")
    return b"%06d" % ordinal
