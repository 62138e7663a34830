"""Surface: the answer to an N-GET that asks only how far a request is (PS3.4 S.3.2.4)."""

import struct
from collections.abc import Collection, Iterator

from burnish.request.brief_status import BriefStatus
from burnish.vocabulary import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

_CHARACTER_SET = 0x00080005
_COPIES, _STATUS, _STATUS_INFO = 0x20000010, 0x21000020, 0x21000030
_PIECES, _PRIORITY = 0x2200000B, 0x22000020
#: The attributes that such an N-GET names: Specific Character Set, Number of Copies, Execution
#: Status and its Info, Total Number of Pieces of Media Created, Request Priority.
TAGS = frozenset({_CHARACTER_SET, _COPIES, _STATUS, _STATUS_INFO, _PIECES, _PRIORITY})


def encode(status: BriefStatus, tags: Collection[int], transfer_syntax_uid: str) -> bytes:
    """What `tags` ask for and is there, and the character set with it, as a data set's bytes."""
    order = ">" if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else "<"
    parts = []
    for tag, vr, value in _elements(status, order):
        if tag not in tags and tag != _CHARACTER_SET:
            continue
        padded = value + b" " * (len(value) % 2)
        group, number = tag >> 16, tag & 0xFFFF
        if transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN:
            parts.append(struct.pack("<HHL", group, number, len(padded)) + padded)
        else:
            parts.append(struct.pack(order + "HH2sH", group, number, vr, len(padded)) + padded)
    return b"".join(parts)


def _elements(status: BriefStatus, order: str) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, VR and value of what is there, in the order of the tags."""
    if status.specific_character_set:
        yield _CHARACTER_SET, b"CS", status.specific_character_set.encode()
    if status.is_initiated:
        yield _COPIES, b"IS", str(status.number_of_copies).encode()
    yield _STATUS, b"CS", status.execution_status.encode()
    yield _STATUS_INFO, b"CS", status.execution_status_info.encode()
    yield _PIECES, b"US", struct.pack(order + "H", status.pieces_created)
    if status.is_initiated:
        yield _PRIORITY, b"CS", status.request_priority.encode()
