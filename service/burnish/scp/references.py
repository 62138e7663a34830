"""Surface: a Referenced SOP Sequence (0008,1199), read without a data set for each item.

A request names thousands of instances, and a general parser takes fifty times as long for an
item. Whatever is unusual here is left to that parser, which also knows what is wrong with it.
"""

import re
from collections.abc import Iterator

from burnish import dicom_elements
from burnish.errors import Unreadable
from burnish.request.operations import Reference
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

_SEQUENCE = 0x00081199
_VRS = dicom_elements.SHORT_VRS | dicom_elements.LONG_VRS


def _usual(ui: bytes, lo: bytes) -> re.Pattern[bytes]:
    """An item of SOP Class, SOP Instance and perhaps a profile: the length and value of each.

    `ui` and `lo` are what stands between a tag and the value, with the length as a group.
    """
    uid = ui + rb"([0-9.]{1,64}[\0 ]*)"
    profile = lo + rb"((?:[A-Z0-9_-][A-Z0-9_ -]{0,63})?)"
    return re.compile(
        rb"\x08\0\x50\x11"
        + uid
        + rb"\x08\0\x55\x11"
        + uid
        + rb"(?:\0\x22\x0c\0"
        + profile
        + rb")?",
        re.DOTALL,
    )


_ITEM = {
    EXPLICIT_VR_LITTLE_ENDIAN: (True, _usual(b"UI(..)", b"LO(..)")),
    IMPLICIT_VR_LITTLE_ENDIAN: (False, _usual(b"(....)", b"(....)")),
}


def taken_out(data: bytes, transfer_syntax_uid: str) -> tuple[tuple[Reference, ...], bytes] | None:
    """The references, and the data set without them; None where anything about it is unusual."""
    if transfer_syntax_uid not in _ITEM:
        return None
    explicit, item = _ITEM[transfer_syntax_uid]
    try:
        found = _sequence(data, explicit=explicit)
        if found is None:
            return None
        references = tuple(_references(data, found, item, explicit=explicit))
    except (Unreadable, _UnusualError):
        return None
    return (references, data[: found.start] + data[found.end :]) if references else None


class _UnusualError(Exception):
    """An item that is left to the general parser."""


def _sequence(data: bytes, *, explicit: bool) -> dicom_elements.Element | None:
    """The sequence of a data set about which parsers agree to its end; raises Unreadable."""
    found, last = None, -1
    for element in dicom_elements.scan(data, 0, len(data), explicit=explicit):
        sought = element.tag == _SEQUENCE and element.vr in (b"SQ", b"")
        if element.tag <= last or (element.undefined and not sought):
            return None
        if explicit and element.vr not in _VRS:
            return None
        last = element.tag
        found = element if sought else found
    return found


def _references(
    data: bytes, sequence: dicom_elements.Element, item: re.Pattern[bytes], *, explicit: bool
) -> Iterator[Reference]:
    """The items as they are; raises Unreadable, _UnusualError."""
    end = sequence.value + sequence.length
    number = int.from_bytes
    for start, behind in dicom_elements.items(data, sequence.value, end, explicit=explicit):
        match = item.fullmatch(data, start, behind)
        if match is None:
            raise _UnusualError
        size, sop_class, of_instance, instance, of_profile, profile = match.groups(b"")
        if (
            len(sop_class) != number(size, "little")
            or len(instance) != number(of_instance, "little")
            or len(profile) != number(of_profile, "little")
        ):
            raise _UnusualError
        yield Reference(
            sop_class.rstrip(b"\0 ").decode(),
            instance.rstrip(b"\0 ").decode(),
            profile.rstrip(b" ").decode(),
        )
