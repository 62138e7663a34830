"""Craft: compares the keys of directory records with the files that they lead to (PS3.3 F.5)."""

from collections.abc import Mapping
from itertools import zip_longest

from burnish import character_sets
from burnish.dicomdir.key_values import fit
from burnish.dicomdir.reader import IDENTITY_KEYS, SPECIFIC_CHARACTER_SET
from burnish.directory_records import KEYS, Key, spoken_names
from burnish.verify.faults import FaultCode, Faults, attribute
from burnish.verify.record_checks import Record

_PATIENT_NAME = 0x00100010
#: The keys that say whose files these are; a difference is a fault. That of other keys is a note.
_IDENTIFYING = frozenset({*IDENTITY_KEYS.values(), _PATIENT_NAME})
#: The keys that are compared: those with values, not those with sequences.
COMPARED_KEYS = {
    record_type: tuple(key for key in keys if key.vr != b"SQ") for record_type, keys in KEYS.items()
}
#: The tags of a file that are compared with its records.
COMPARED_TAGS = frozenset(
    {key.tag for keys in COMPARED_KEYS.values() for key in keys} | {SPECIFIC_CHARACTER_SET}
)
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

    def check(self, name: str, record: Record, values: Mapping[int, bytes]) -> None:
        """Compares the `values` of a file with its record and with those above it."""
        current: Record | None = record
        for _ in range(_LEVELS):
            if current is None:
                return
            for key in COMPARED_KEYS.get(current.type, ()):
                is_missing = key.tag not in current.tags | current.empty_tags
                if not is_missing and not _agree(key, current, values):
                    self._add(name, current, key, values)
            current = current.parent

    def _add(self, name: str, record: Record, key: Key, values: Mapping[int, bytes]) -> None:
        in_record = _text(record.keys.get(key.tag, b""), record.keys)
        in_file = _text(values[key.tag], values)
        message = (
            f"its {attribute(key.tag)} is {_shown(in_record)}; "
            f"that of the file {name} is {_shown(in_file)}"
        )
        if key.tag in _IDENTIFYING:
            self._faults.add(FaultCode.KEY_DIFFERS, str(record), message)
        elif (record.offset, key.tag) not in self._noted:
            self._noted.add((record.offset, key.tag))
            self._notes.add(FaultCode.KEY_DIFFERS, str(record), message)


def _agree(key: Key, record: Record, values: Mapping[int, bytes]) -> bool:
    """Whether the key of a record is that of a file, as far as that can be told.

    A file without the value proves nothing: writers have to put something in its place.
    """
    in_file = values.get(key.tag, b"").strip(b"\0 ")
    in_record = record.keys.get(key.tag, b"").strip(b"\0 ")
    if not in_file or in_file == in_record:
        return True
    file_set = values.get(SPECIFIC_CHARACTER_SET, b"")
    if fit(key.tag, key.vr, values[key.tag], file_set).strip(b"\0 ") in (in_record, b""):
        return True
    if key.vr == b"IS":
        return _number(in_file) == _number(in_record)
    if key.vr == b"TM":
        return _time(in_file) == _time(in_record)
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


def _time(value: bytes) -> bytes:
    return value.replace(b":", b"").partition(b".")[0].ljust(6, b"0")


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _text(value: bytes, elements: Mapping[int, bytes]) -> str:
    return character_sets.decode(value, elements.get(SPECIFIC_CHARACTER_SET, b""))


def _shown(text: str) -> str:
    if not text:
        return "empty"
    return repr(text[:_LONGEST_SHOWN])
