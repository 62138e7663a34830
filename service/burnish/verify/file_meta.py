"""Craft: reads the File Meta Information of a DICOM file on a volume (PS3.10 7.1)."""

from dataclasses import dataclass

from burnish import elements
from burnish.artifacts import Volume
from burnish.elements import NeedMore
from burnish.verify.faults import FaultCode, Faults

PREAMBLE = 132
_GROUP_LENGTH, _SOP_CLASS, _SOP_INSTANCE = 0x00020000, 0x00020002, 0x00020003
_TRANSFER_SYNTAX, _IMPLEMENTATION_CLASS = 0x00020010, 0x00020012
_REQUIRED = (
    _GROUP_LENGTH,
    0x00020001,
    _SOP_CLASS,
    _SOP_INSTANCE,
    _TRANSFER_SYNTAX,
    _IMPLEMENTATION_CLASS,
)
_STEPS = (1 << 10, 1 << 16, 1 << 20)


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the File Meta Information says, and where the data set begins."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int
    missing: tuple[int, ...] = ()


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so has the DICOM prefix (PS3.10 7.1)."""
    return head[128:PREAMBLE] == b"DICM"


def parse(data: bytes) -> FileMeta:
    """Raises Unreadable for what is no File Meta Information, NeedMore if it is cut off."""
    values: dict[int, bytes] = {}
    at = PREAMBLE
    while data[at : at + 2] == b"\2\0":
        tag, _, start, length = elements.header(data, at, len(data), explicit=True)
        at = start + length
        if at > len(data):
            raise NeedMore("the File Meta Information is truncated")
        values[tag] = data[start:at].rstrip(b"\0 ") if length <= 64 else b"?"
    if at >= len(data):
        raise NeedMore("the file ends with its File Meta Information")
    uids = {tag: values.get(tag, b"").decode("latin-1") for tag in _REQUIRED}
    return FileMeta(
        sop_class_uid=uids[_SOP_CLASS],
        sop_instance_uid=uids[_SOP_INSTANCE],
        transfer_syntax_uid=uids[_TRANSFER_SYNTAX],
        data_set_offset=at,
        missing=tuple(tag for tag in _REQUIRED if tag not in values),
    )


def read(volume: Volume, name: str) -> FileMeta | None:
    """The File Meta Information of a file; None if it is no DICOM file.

    Raises Unreadable as `parse` does, and where the volume cannot be read.
    """
    head = volume.read(name, 0, _STEPS[0])
    if not is_dicom(head):
        return None
    for step in _STEPS[1:]:
        try:
            return parse(head)
        except NeedMore:
            if len(head) == volume.files()[name]:
                raise
        head = volume.read(name, 0, step)
    return parse(head)


def check(meta: FileMeta, name: str, faults: Faults) -> None:
    """PS3.10 Table 7.1-1: Type 1 elements."""
    for tag in meta.missing:
        faults.add(
            FaultCode.FILE_META_INCOMPLETE,
            name,
            f"its File Meta Information lacks {elements.describe(tag)}",
        )
