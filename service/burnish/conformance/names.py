"""Surface: names of the standard: of UIDs (PS3.6 A), attributes (PS3.6 6), and values in words."""

from collections.abc import Sequence
from datetime import timedelta

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_description, dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.uid import UID

from burnish.registered_uids import NEW_SOP_CLASSES


def uid_name(uid: str) -> str:
    """The name of a UID, marked if it is retired; "private" for one that is not registered."""
    if uid in NEW_SOP_CLASSES:
        return NEW_SOP_CLASSES[uid]
    entry = UID_dictionary.get(uid)
    if entry is None:
        return "private" if not uid.startswith("1.2.840.10008.") else uid
    name = UID(uid).name.removesuffix(" UID").removesuffix(" SOP Class")
    return f"{name} (Retired)" if entry[3] and "(Retired)" not in name else name


def syntax_names(uids: Sequence[str]) -> str:
    """The names of transfer syntaxes, each with its UID."""
    return "; ".join(f"{uid_name(uid)} {uid}" for uid in uids)


def numeric_order(uid: str) -> list[int]:
    """Sorts UIDs by their components."""
    return [int(part) for part in uid.split(".")]


def tag_of(keyword: str) -> int:
    """The tag of a keyword; raises KeyError if the dictionary does not have it."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return int(tag)


def attribute_name(tag: int) -> str:
    """The name of an attribute."""
    return dictionary_description(tag)


def tag_text(tag: int) -> str:
    """A tag as the standard writes it: (0008,0005)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def vr_of(tag: int) -> str:
    """VR and VM of an attribute."""
    return f"{dictionary_VR(tag)} {dictionary_VM(tag)}"


def duration(value: timedelta) -> str:
    """A duration in words: 30 seconds, 10 minutes, 14 days."""
    seconds = value.total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds:g} seconds"
