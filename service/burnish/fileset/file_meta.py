"""Craft: File Meta Information of the files Burnish writes (PS3.10 7.1)."""

from functools import lru_cache

from burnish.elements import encode as element
from burnish.vocabulary import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

#: The preamble is not used, so it is zeros (PS3.10 7.1, 7.5).
_START = bytes(128) + b"DICM"


def encode(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    source_ae_title: str = "",
) -> bytes:
    """Preamble, prefix and group 2: all that precedes the data set in a DICOM File (PS3.10 7.1)."""
    behind = _behind(transfer_syntax_uid, source_ae_title)
    start = _before(sop_class_uid, len(sop_instance_uid), len(behind))
    return start + element(0x00020003, b"UI", sop_instance_uid.encode("ascii")) + behind


@lru_cache(maxsize=1024)
def _before(sop_class_uid: str, length_of_uid: int, length_behind: int) -> bytes:
    """All before the SOP Instance UID, of which it needs to know the length."""
    version = element(0x00020001, b"OB", b"\0\1")
    version += element(0x00020002, b"UI", sop_class_uid.encode("ascii"))
    length = len(version) + len(element(0x00020003, b"UI", bytes(length_of_uid))) + length_behind
    return _START + element(0x00020000, b"UL", length.to_bytes(4, "little")) + version


@lru_cache(maxsize=256)
def _behind(transfer_syntax_uid: str, source_ae_title: str) -> bytes:
    elements = [
        element(0x00020010, b"UI", transfer_syntax_uid.encode("ascii")),
        element(0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        element(0x00020013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    if source_ae_title:
        elements.append(element(0x00020016, b"AE", source_ae_title.encode("ascii")))
    return b"".join(elements)
