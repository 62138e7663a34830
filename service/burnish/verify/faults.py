"""Craft: the codes of the faults that a volume can have, and the list of those found."""

from collections import Counter
from enum import StrEnum, auto

from burnish.dicom_elements import describe
from burnish.identifiers import is_tolerable_uid
from burnish.values import Fault

#: The most faults of one code that are listed; of the others only the number is reported.
MAXIMUM_OF_A_CODE = 50
#: The most characters of a damaged volume's text that say where a fault is.
_LONGEST_PLACE = 200


class FaultCode(StrEnum):
    """The stable codes of faults; each fault has a message in words as well."""

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
    KEY_DIFFERS = auto()
    PROFILE_KEY_MISSING = auto()
    CHARACTER_SET_MISSING = auto()
    CHARACTER_SET_UNKNOWN = auto()
    TEXT_UNDECODABLE = auto()
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
    DATA_SET_MALFORMED = auto()
    PIXEL_DATA_ABSENT = auto()
    PIXEL_DATA_WRONG = auto()
    SOP_CLASS_NOT_IN_PROFILE = auto()
    ATTRIBUTE_NOT_IN_PROFILE = auto()
    TRANSFER_SYNTAX_NOT_IN_PROFILE = auto()
    SOP_CLASS_UNKNOWN = auto()
    TRANSFER_SYNTAX_UNKNOWN = auto()
    ICON_MISSING = auto()
    ICON_INVALID = auto()
    FILE_SYSTEM_NOT_IN_PROFILE = auto()
    VOLUME_TOO_LARGE = auto()
    VOLUME_DIFFERS = auto()
    VOLUME_UNREADABLE = auto()


#: Faults that an image may have from its sender: they are in its data set.
IMAGE_DAMAGE = frozenset(
    {
        FaultCode.DATA_SET_MALFORMED,
        FaultCode.FILE_TRUNCATED,
        FaultCode.PIXEL_DATA_ABSENT,
        FaultCode.PIXEL_DATA_WRONG,
    }
)


class Faults:
    """The faults found so far, in order; bounded, however damaged the volume is."""

    def __init__(self) -> None:
        self._listed: list[Fault] = []
        self._counts: Counter[FaultCode] = Counter()

    def add(self, code: FaultCode, where: str, message: str) -> None:
        """Adds a fault; `where` names a file, a directory record or "volume"."""
        self._counts[code] += 1
        if self._counts[code] <= MAXIMUM_OF_A_CODE:
            self._listed.append(Fault(code, where[:_LONGEST_PLACE], message))

    def all(self) -> tuple[Fault, ...]:
        """The listed faults; then one for each code that has more, with their number."""
        more = [
            Fault(code, "", f"and {count - MAXIMUM_OF_A_CODE} more of this kind")
            for code, count in self._counts.items()
            if count > MAXIMUM_OF_A_CODE
        ]
        return (*self._listed, *more)


def attribute(tag: int) -> str:
    """The name and the tag of an attribute, as messages give them: Patient ID (0010,0020)."""
    from pydicom.datadict import dictionary_description

    try:
        return f"{dictionary_description(tag)} {describe(tag)}"
    except KeyError:
        return describe(tag)


def shown(uid: str) -> str:
    """A UID as messages give it; what is not a UID may be text of any kind and length."""
    if not uid:
        return "missing"
    return uid if is_tolerable_uid(uid) else "not a UID"
