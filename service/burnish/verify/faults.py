"""Craft: names what can be wrong with a volume, and gathers what is."""

from collections import Counter
from enum import StrEnum, auto

from burnish.values import Fault

#: Of one code so many faults are told one by one, of the others only the number.
MAXIMUM_OF_A_CODE = 50


class FaultCode(StrEnum):
    """The stable codes of faults; the message of each fault says what it means."""

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name

    DICOMDIR_ABSENT = auto()
    DICOMDIR_MISPLACED = auto()
    DICOMDIR_UNREADABLE = auto()
    DICOMDIR_SOP_CLASS = auto()
    DICOMDIR_TRANSFER_SYNTAX = auto()
    DICOMDIR_EMPTY = auto()
    DICOMDIR_DIFFERS = auto()
    FILE_SET_ID_INVALID = auto()
    FILE_SET_ID_WRONG = auto()
    FILE_SET_UID_WRONG = auto()
    VOLUME_IDENTIFIER_WRONG = auto()
    FILE_SYSTEM_CONTRADICTORY = auto()
    CONSISTENCY_FLAG = auto()
    FIRST_RECORD_OFFSET_WRONG = auto()
    LAST_RECORD_OFFSET_WRONG = auto()
    RECORD_OFFSET_WRONG = auto()
    RECORD_LOOP = auto()
    RECORD_ORPHANED = auto()
    RECORD_CHILDLESS = auto()
    RECORD_IN_USE_FLAG = auto()
    RECORD_TYPE_UNKNOWN = auto()
    RECORD_TYPE_WRONG = auto()
    RECORD_MISPLACED = auto()
    RECORD_WITHOUT_FILE = auto()
    KEY_MISSING = auto()
    KEY_EMPTY = auto()
    PROFILE_KEY_MISSING = auto()
    CHARACTER_SET_MISSING = auto()
    DUPLICATE_PATIENT_ID = auto()
    DUPLICATE_STUDY = auto()
    DUPLICATE_SERIES = auto()
    DUPLICATE_INSTANCE = auto()
    DUPLICATE_FILE_REFERENCE = auto()
    FILE_ID_CHARACTERS = auto()
    FILE_ID_COMPONENT_LENGTH = auto()
    FILE_ID_COMPONENTS = auto()
    REFERENCED_SOP_CLASS_WRONG = auto()
    REFERENCED_SOP_INSTANCE_WRONG = auto()
    REFERENCED_TRANSFER_SYNTAX_WRONG = auto()
    FILE_MISSING = auto()
    FILE_NAME_INVALID = auto()
    FILE_UNREFERENCED = auto()
    FILE_UNEXPECTED = auto()
    FILE_NOT_DICOM = auto()
    FILE_UNREADABLE = auto()
    FILE_TRUNCATED = auto()
    FILE_SIZE_WRONG = auto()
    FILE_CHANGED = auto()
    FILE_SECURE = auto()
    FILE_NOT_SECURE = auto()
    SECURE_FILE_UNSOUND = auto()
    FILE_META_INCOMPLETE = auto()
    FILE_META_WRONG = auto()
    DATA_SET_DIFFERS = auto()
    SOP_CLASS_NOT_IN_PROFILE = auto()
    ATTRIBUTE_NOT_IN_PROFILE = auto()
    TRANSFER_SYNTAX_NOT_IN_PROFILE = auto()
    ICON_MISSING = auto()
    ICON_INVALID = auto()
    FILE_SYSTEM_NOT_IN_PROFILE = auto()
    VOLUME_TOO_LARGE = auto()


class Faults:
    """What was found wrong, in order, bounded however much that is."""

    def __init__(self) -> None:
        self._found: list[Fault] = []
        self._counts: Counter[FaultCode] = Counter()
        self.count = 0

    def add(self, code: FaultCode, where: str, message: str) -> None:
        self.count += 1
        self._counts[code] += 1
        if self._counts[code] <= MAXIMUM_OF_A_CODE:
            self._found.append(Fault(code, where[:200], message))

    def all(self) -> tuple[Fault, ...]:
        more = [
            Fault(code, "", f"and {count - MAXIMUM_OF_A_CODE} more of this kind")
            for code, count in self._counts.items()
            if count > MAXIMUM_OF_A_CODE
        ]
        return (*self._found, *more)
