"""Craft: compares the keys of directory records with the files that they lead to (PS3.3 F.5)."""

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest

from burnish import character_sets, site_records
from burnish.dicom_elements import TEXT_VRS
from burnish.dicomdir.key_values import fit
from burnish.dicomdir.keys import concept_modifiers
from burnish.dicomdir.reader import IDENTITY_KEYS, SPECIFIC_CHARACTER_SET
from burnish.dicomdir.records import STAND_IN_PATIENT_ID
from burnish.directory_records import KEYS, Key, all_keys, spoken_names
from burnish.errors import Unreadable
from burnish.instance_header.data_set_walk import DataSetWalk
from burnish.instance_header.instance_faults import KEPT
from burnish.verify.faults import FaultCode, Faults, attribute
from burnish.verify.record_checks import Record
from burnish.verify.sequence_comparison import difference

_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
_OF_PATIENT = frozenset({_PATIENT_NAME, _PATIENT_ID})
#: The keys that say whose files these are; a difference is a fault. That of other keys is a note.
_IDENTIFYING = frozenset({*IDENTITY_KEYS.values(), _PATIENT_NAME})
#: The same by record type, with their VRs.
IDENTIFYING_KEYS = {
    record_type: tuple((key.tag, key.vr) for key in KEYS[record_type] if key.tag in _IDENTIFYING)
    for record_type in IDENTITY_KEYS
}
#: The keys that are compared: those of PS3.3 F.5, and those that profiles add (PS3.11).
COMPARED_KEYS = {record_type: all_keys(record_type) for record_type in KEYS}
#: Bytes of the longest value that is compared.
LONGEST_KEY = 1 << 12
_CONTENT_SEQUENCE = 0x0040A730
_NUMBERS = frozenset({b"US", b"UL"})
#: The VRs whose values are characters.
_CHARACTERS = TEXT_VRS | {b"UI"}
#: The tags of a file that are compared with its records.
COMPARED_TAGS = frozenset(
    {key.tag for keys in COMPARED_KEYS.values() for key in keys} | {SPECIFIC_CHARACTER_SET}
)
#: The compared tags whose characters depend on the character set (PS3.5 6.1.2.3).
_TEXT_TAGS = frozenset(
    key.tag
    for keys in COMPARED_KEYS.values()
    for key in keys
    if key.vr in (b"LO", b"LT", b"PN", b"SH", b"ST")
)


def further_tags(records: Iterable[Record]) -> set[int]:
    """The tags of files that are compared with the further keys of their records.

    A private key may have another block of its creator in each file.
    """
    tags: set[int] = set()
    keys = {key for record in records for key in record.further_keys}
    for key in keys:
        tags |= site_records.tags_in_instances(key.tag)
    return tags


#: PATIENT, STUDY, SERIES and the instance; the records of a damaged DICOMDIR may lie deeper.
_LEVELS = 4
#: The most characters of a value in a message.
_LONGEST_SHOWN = 64


class KeyChecks:
    """Compares files with their records; identifying keys are `faults`, the others `notes`."""

    def __init__(self, faults: Faults, notes: Faults) -> None:
        self._faults, self._notes = faults, notes
        #: Offset of the record and tag of the differences that were noted.
        self._noted: set[tuple[int, int]] = set()
        #: Offset of the record and tag of the further keys that a file has as well.
        self._compared: set[tuple[int, int]] = set()

    def uncompared(self, record: Record) -> int:
        """The number of further keys of a record that no file which was checked has."""
        return sum((record.offset, key.tag) not in self._compared for key in record.further_keys)

    def check_texts(self, name: str, values: Mapping[int, bytes]) -> None:
        """Notes that texts of a file or of a record, `name`, are not in their character set."""
        character_set = values.get(SPECIFIC_CHARACTER_SET, b"")
        if terms := character_sets.unknown_terms(character_set):
            message = f"{attribute(SPECIFIC_CHARACTER_SET)} has {', '.join(terms)}"
            message = f"its {message}, which is not known{KEPT}"
            self._notes.add(FaultCode.CHARACTER_SET_UNKNOWN, name, message)
            return
        for tag, value in values.items():
            if tag in _TEXT_TAGS and not character_sets.is_decodable(value, character_set):
                message = f"its {attribute(tag)} is not in its character set{KEPT}"
                self._notes.add(FaultCode.TEXT_UNDECODABLE, name, message)
                return

    def check(self, name: str, record: Record, walk: DataSetWalk) -> None:
        """Compares the values of a file with its record and with those above it."""
        values = walk.values
        current: Record | None = record
        for _ in range(_LEVELS):
            if current is None:
                return
            in_record = current.keys
            for key in COMPARED_KEYS.get(current.type, ()):
                tag = key.tag
                value = values.get(tag)
                # Most values are equal byte for byte. A file without the value proves nothing:
                # writers have to put something in its place.
                if value == in_record.get(tag):
                    continue
                if not value:
                    if tag in _OF_PATIENT:
                        self._note_absence(name, current, key)
                    continue
                if key.vr == b"SQ":
                    self._check_sequence(name, current, key, walk)
                elif _has(current, tag) and not _agree(key, current, values):
                    self._add(name, current, key, values)
            if current.further_keys:
                self._check_further_keys(name, current, walk)
            current = current.parent

    def _check_further_keys(self, name: str, record: Record, walk: DataSetWalk) -> None:
        """Compares the keys that a site or another writer has added."""
        values = walk.values
        for key in record.further_keys:
            tag: int | None = key.tag
            if site_records.is_private(key.tag):
                creator = record.keys.get(site_records.creator_tag(key.tag), b"")
                creator_name = creator.strip(b" \0").decode("latin-1")
                tag = None
                if creator_name:
                    tag = site_records.block_in_instance(values, key.tag, creator_name)
            value = values.get(tag, b"") if tag is not None else b""
            if tag is None or not value:
                continue
            self._compared.add((record.offset, key.tag))
            if value == record.keys[key.tag]:
                continue
            if key.vr == b"SQ":
                self._check_sequence(name, record, key, walk, tag)
                continue
            character_set = values.get(SPECIFIC_CHARACTER_SET, b"")
            in_file = {SPECIFIC_CHARACTER_SET: character_set, key.tag: value}
            if not _agree(key, record, in_file):
                self._add(name, record, key, in_file)

    def _note_absence(self, name: str, record: Record, key: Key) -> None:
        """Notes that a record says whose file it is, where the file does not.

        Unless the value says by itself that it stands in for a missing one.
        """
        in_record = record.keys.get(key.tag, b"").strip(b"\0 ")
        if not in_record or in_record.startswith(STAND_IN_PATIENT_ID.encode()):
            return
        if (record.offset, key.tag) not in self._noted:
            self._noted.add((record.offset, key.tag))
            shown = _shown(key, in_record, record.keys)
            message = f"its {attribute(key.tag)} is {shown}; the file {name} has none"
            self._notes.add(FaultCode.KEY_DIFFERS, str(record), message)

    def _check_sequence(
        self, name: str, record: Record, key: Key, walk: DataSetWalk, tag_in_file: int = 0
    ) -> None:
        """Compares the items of a sequence; that of a record may be absent.

        `tag_in_file` is its tag in the file if that is another.
        """
        in_record = record.keys.get(key.tag, b"")
        if not in_record or (record.offset, key.tag) in self._noted:
            return
        try:
            in_file = walk.explicit_items(tag_in_file or key.tag)
            if key.tag == _CONTENT_SEQUENCE:
                in_file = concept_modifiers(in_file)
        except Unreadable:
            return  # which is reported as a fault of the data set
        if not in_file and key.tag != _CONTENT_SEQUENCE:
            return
        character_set = walk.values.get(SPECIFIC_CHARACTER_SET, b"")
        record_set = record.keys.get(SPECIFIC_CHARACTER_SET, b"")
        if text := difference(in_record, in_file, record_set, character_set):
            self._noted.add((record.offset, key.tag))
            message = f"its {attribute(key.tag)} is not that of the file {name}: {text}"
            self._notes.add(FaultCode.KEY_DIFFERS, str(record), message)

    def _add(self, name: str, record: Record, key: Key, values: Mapping[int, bytes]) -> None:
        in_record = _shown(key, record.keys.get(key.tag, b""), record.keys)
        in_file = _shown(key, values[key.tag], values)
        message = f"its {attribute(key.tag)} is {in_record}; that of the file {name} is {in_file}"
        if key.tag in _IDENTIFYING:
            self._faults.add(FaultCode.KEY_DIFFERS, str(record), message)
        elif (record.offset, key.tag) not in self._noted:
            self._noted.add((record.offset, key.tag))
            self._notes.add(FaultCode.KEY_DIFFERS, str(record), message)


def _has(record: Record, tag: int) -> bool:
    return tag in record.tags or tag in record.empty_tags


def _agree(key: Key, record: Record, values: Mapping[int, bytes]) -> bool:
    """Whether the key of a record is that of a file, as far as that can be told."""
    if key.vr not in _CHARACTERS or len(values[key.tag]) >= LONGEST_KEY:
        return key.vr in _CHARACTERS
    in_file = values[key.tag].strip(b"\0 ")
    in_record = record.keys.get(key.tag, b"").strip(b"\0 ")
    if not in_file or in_file == in_record:
        return True
    file_set = values.get(SPECIFIC_CHARACTER_SET, b"")
    if fit(key.tag, key.vr, values[key.tag], file_set).strip(b"\0 ") in (in_record, b""):
        return True
    if comparable := _COMPARABLE.get(key.vr):
        return comparable(in_file) == comparable(in_record)
    record_text, file_text = _text(in_record, record.keys), _text(in_file, values)
    if key.vr == b"PN":
        return _same_name(record_text, file_text)
    return _plain(record_text) == _plain(file_text)


def _same_name(one_name: str, other_name: str) -> bool:
    """Names agree in all component groups that both have, or in one other than the alphabetic."""
    pairs = list(zip_longest(spoken_names(one_name), spoken_names(other_name), fillvalue=""))
    in_both = [(first, second) for first, second in pairs if first and second]
    if any(first == second for first, second in pairs[1:] if first):
        return True
    return bool(in_both) and all(first == second for first, second in in_both)


def _number(value: bytes) -> int | bytes:
    try:
        return int(value)
    except ValueError:
        return value


def _decimals(value: bytes) -> list[float] | bytes:
    """Numbers to nine digits, as far as writers keep them."""
    try:
        return [float(f"{float(number):.8g}") for number in value.split(b"\\")]
    except ValueError:
        return value


def _time(value: bytes) -> bytes:
    return value.replace(b":", b"").partition(b".")[0].ljust(6, b"0")


#: What makes values of a VR comparable that are written in different ways.
_COMPARABLE: dict[bytes, Callable[[bytes], object]] = {
    b"IS": _number,
    b"DS": _decimals,
    b"TM": _time,
}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _text(value: bytes, elements: Mapping[int, bytes]) -> str:
    return character_sets.decode(value, elements.get(SPECIFIC_CHARACTER_SET, b""))


def _shown(key: Key, value: bytes, elements: Mapping[int, bytes]) -> str:
    if key.vr in _NUMBERS:
        return str(int.from_bytes(value, "little"))
    if key.vr not in _CHARACTERS:
        return value[: _LONGEST_SHOWN // 3].hex(" ").upper() or "empty"
    text = _text(value, elements)
    return repr(text[:_LONGEST_SHOWN]) if text else "empty"
