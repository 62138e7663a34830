"""Craft: Rock Ridge names in ISO 9660 directories (IEEE P1281 and P1282, RRIP 1.10).

Linux shows the names of ISO 9660 in small letters, so that links between pages would lead nowhere.
With Rock Ridge it shows them as they are written. The names are the same as in ISO 9660, with
capital letters: a reader that ignores System Use fields, as PS3.12 allows, sees the same volume.

Numbers in brackets are sections of P1281 (SUSP) or P1282 (RRIP).
"""

import struct

_DIRECTORY_MODE, _FILE_MODE = 0o040555, 0o100444
_IDENTIFIER = b"RRIP_1991A"
_DESCRIPTION = (
    b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
)
#: So short that the identification needs no continuation: libarchive reads none before its place.
_SOURCE = b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE."
_ATTRIBUTES_LENGTH = 36
_NAME_HEADER = 5


def _both_orders(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _identification() -> bytes:
    """The Extensions Reference (SUSP 5.5)."""
    lengths = bytes([len(_IDENTIFIER), len(_DESCRIPTION), len(_SOURCE), 1])
    body = lengths + _IDENTIFIER + _DESCRIPTION + _SOURCE
    return b"ER" + bytes([4 + len(body), 1]) + body


def _attributes(mode: int, links: int) -> bytes:
    """POSIX file attributes (RRIP 4.1.1): everybody may read, nobody may write."""
    head = b"PX" + bytes([_ATTRIBUTES_LENGTH, 1])
    return head + _both_orders(mode) + _both_orders(links) + _both_orders(0) + _both_orders(0)


def of_self(links: int, *, root: bool) -> bytes:
    """The System Use field of a directory's record of itself; it has always the same length.

    That of the root says that the extension is used (SUSP 5.3); others are padded (SUSP 5.2).
    """
    attributes = _attributes(_DIRECTORY_MODE, links)
    indicator, identification = b"SP\x07\x01\xbe\xef\x00", _identification()
    if root:
        return indicator + attributes + identification
    padding = len(indicator) + len(identification)
    return attributes + (b"PD" + bytes([padding, 1])).ljust(padding, b"\0")


def of_parent(links: int) -> bytes:
    """The System Use field of a directory's record of its parent."""
    return _attributes(_DIRECTORY_MODE, links)


def of_child(name: str, links: int, *, directory: bool) -> bytes:
    """The System Use field of a file or directory with its name (RRIP 4.1.4)."""
    mode = _DIRECTORY_MODE if directory else _FILE_MODE
    encoded = name.encode()
    head = b"NM" + bytes([_NAME_HEADER + len(encoded), 1, 0])
    return head + encoded + _attributes(mode, links)


def child_length(name_length: int) -> int:
    """Bytes of the System Use field of a child whose name has so many characters."""
    return _NAME_HEADER + name_length + _ATTRIBUTES_LENGTH


def self_and_parent_length() -> int:
    """Bytes of the System Use fields of the two records that a directory begins with."""
    length = len(of_self(2, root=False))
    return length + length % 2 + _ATTRIBUTES_LENGTH
