"""Craft: checks that a directory record has the keys of its type (PS3.3 F.5)."""

from functools import lru_cache

from burnish import dicom_elements
from burnish.dicom_elements import Element
from burnish.directory_records import KEYS
from burnish.verify.faults import FaultCode, Faults

_CHARACTER_SET = 0x00080005
_FILE_ID, _PRIVATE_RECORD_UID = 0x00041500, 0x00041432
#: PS3.3 Table F.3-3: Type 1C, required where a file is referenced.
_REFERENCE = (0x00041510, 0x00041511, 0x00041512)
_CODED_VRS = frozenset({b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"})


@lru_cache(maxsize=256)
def _required(record: str) -> tuple[tuple[int, bool, bool, bool], ...]:
    """Tag of each Type 1 or 2 key; whether it needs a value, is text, has coded characters."""
    return tuple(
        (key.tag, key.type == "1", key.vr in dicom_elements.TEXT_VRS, key.vr in _CODED_VRS)
        for key in KEYS.get(record, ())
        if key.type in ("1", "2")
    )


def check_keys(
    data: bytes, found: dict[int, Element], record: str, where: str, faults: Faults
) -> None:
    """The faults of one record whose elements are `found`."""
    if record not in KEYS and record != "PRIVATE":
        faults.add(
            FaultCode.RECORD_TYPE_UNKNOWN,
            where,
            "its Directory Record Type (0004,1430) is not one of PS3.3 F.4",
        )
    coded = False
    for tag, needs_value, is_text, has_characters in _required(record):
        element = found.get(tag)
        if element is None:
            faults.add(FaultCode.KEY_MISSING, where, f"it lacks {dicom_elements.describe(tag)}")
            continue
        value = data[element.value : element.value + element.length]
        if needs_value and not (value.strip(b"\0 ") if is_text else value):
            faults.add(FaultCode.KEY_EMPTY, where, f"{dicom_elements.describe(tag)} has no value")
        coded = coded or (has_characters and not value.isascii())
    if coded and _CHARACTER_SET not in found:
        faults.add(
            FaultCode.CHARACTER_SET_MISSING,
            where,
            "it has text beyond ASCII, yet no Specific Character Set (0008,0005)",
        )
    if record == "PRIVATE" and _PRIVATE_RECORD_UID not in found:
        described = dicom_elements.describe(_PRIVATE_RECORD_UID)
        faults.add(FaultCode.KEY_MISSING, where, f"it lacks {described}")
    if _FILE_ID in found:
        for tag in _REFERENCE:
            if tag not in found or not found[tag].length:
                faults.add(
                    FaultCode.KEY_EMPTY if tag in found else FaultCode.KEY_MISSING,
                    where,
                    f"it references a file, yet not its {dicom_elements.describe(tag)}",
                )
