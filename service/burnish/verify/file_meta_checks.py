"""Craft: reads the File Meta Information of a DICOM file on a volume (PS3.10 7.1)."""

from typing import NamedTuple

from burnish import dicom_elements
from burnish.dicom_elements import NeedMore
from burnish.values import Volume
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
_UIDS = (_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX)
#: A value longer than this is no UID, and not kept.
_LONGEST_UID = 64
_STEPS = (1 << 10, 1 << 16, 1 << 20)


class FileMeta(NamedTuple):
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
    return _parse(data)[0]


class Parser:
    """Parses the File Meta Information of many files: those of a kind differ in a UID alone."""

    def __init__(self) -> None:
        self._length, self._before, self._behind = -1, b"", b""
        self._meta = FileMeta("", "", "", 0)

    def parse(self, data: bytes) -> FileMeta:
        """As `parse`: what is alike but for the value of its SOP Instance UID is found alike."""
        before, behind = self._before, self._behind
        if len(data) == self._length and data.startswith(before) and data.endswith(behind):
            uid = data[len(before) : len(data) - len(behind)]
            return self._meta._replace(sop_instance_uid=_uid(uid))
        meta, start, end = _parse(data)
        if 0 < end - start <= _LONGEST_UID:
            self._length, self._before, self._behind = len(data), data[:start], data[end:]
            self._meta = meta
        return meta


def _parse(data: bytes) -> tuple[FileMeta, int, int]:
    """With where the value of the SOP Instance UID starts and ends."""
    values: dict[int, tuple[int, int]] = {}
    at = PREAMBLE
    while data[at : at + 2] == b"\2\0":
        tag, _, start, length = dicom_elements.header(data, at, len(data), explicit=True)
        at = start + length
        if at > len(data):
            raise NeedMore("the File Meta Information is truncated")
        values[tag] = start, at
    if at >= len(data):
        raise NeedMore("the file ends with its File Meta Information")
    sop_class, sop_instance, transfer_syntax = (values.get(tag, (0, 0)) for tag in _UIDS)
    meta = FileMeta(
        sop_class_uid=_uid(data[slice(*sop_class)]),
        sop_instance_uid=_uid(data[slice(*sop_instance)]),
        transfer_syntax_uid=_uid(data[slice(*transfer_syntax)]),
        data_set_offset=at,
        missing=tuple(tag for tag in _REQUIRED if tag not in values),
    )
    return meta, *sop_instance


def _uid(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("latin-1") if len(value) <= _LONGEST_UID else "?"


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
            f"its File Meta Information lacks {dicom_elements.describe(tag)}",
        )
