"""Craft: reads and checks the File Meta Information of a DICOM file on a volume (PS3.10 7.1)."""

from typing import NamedTuple

from burnish import dicom_elements
from burnish.dicom_elements import NeedMore
from burnish.values import ReadableVolume
from burnish.verify.faults import FaultCode, Faults, attribute

#: Bytes of the preamble and the prefix "DICM".
PREAMBLE = 132
_GROUP_LENGTH = 0x00020000
_VERSION = 0x00020001
_SOP_CLASS_UID = 0x00020002
_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010
_IMPLEMENTATION_CLASS_UID = 0x00020012
#: The Type 1 elements (PS3.10 Table 7.1-1).
_REQUIRED = (
    _GROUP_LENGTH,
    _VERSION,
    _SOP_CLASS_UID,
    _SOP_INSTANCE_UID,
    _TRANSFER_SYNTAX_UID,
    _IMPLEMENTATION_CLASS_UID,
)
#: A longer value is not a UID and is not kept.
_LONGEST_UID = 64
#: Bytes of a file to read for its File Meta Information; the next number if it is longer.
_READ_SIZES = (1 << 10, 1 << 16, 1 << 20)


class FileMeta(NamedTuple):
    """The File Meta Information of a file, and the offset of its data set.

    `stated_end` is where it ends by its group length, 0 if it has none.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int
    missing: tuple[int, ...] = ()
    stated_end: int = 0


def is_dicom(start: bytes) -> bool:
    """Whether a file that starts with these bytes has the DICOM prefix (PS3.10 7.1)."""
    return start[128:PREAMBLE] == b"DICM"


def parse_file_meta(data: bytes, *, data_set_follows: bool = True) -> FileMeta:
    """Parses the start of a DICOM file; raises Unreadable, and NeedMore if `data` is too short.

    The File Meta Information ends with the first element of another group. If not even that
    `data_set_follows` in `data`, it ends with `data`.
    """
    meta, _ = _parse(data, data_set_follows=data_set_follows)
    return meta


class FileMetaParser:
    """Parses the File Meta Information of many files; each `data` ends where it ends.

    Most files of a volume differ only in their SOP Instance UID. What is known of one is reused for
    the next of the same length in which all other bytes are the same: 1 us instead of 5 us a file.
    """

    def __init__(self) -> None:
        #: By length: the bytes before and after the SOP Instance UID, and what was parsed.
        self._parsed: dict[int, tuple[bytes, bytes, FileMeta]] = {}

    def parse(self, data: bytes) -> FileMeta:
        """Parses the start of a DICOM file as `parse_file_meta` does."""
        if parsed := self._parsed.get(len(data)):
            before, after, meta = parsed
            if data.startswith(before) and data.endswith(after):
                uid = data[len(before) : len(data) - len(after)]
                return meta._replace(sop_instance_uid=_uid(uid))
        meta, (start, end) = _parse(data, data_set_follows=False)
        if start:
            self._parsed[len(data)] = data[:start], data[end:], meta
        return meta


def _parse(data: bytes, *, data_set_follows: bool) -> tuple[FileMeta, tuple[int, int]]:
    """The result of `parse_file_meta`, and where the SOP Instance UID lies: (0, 0) if it is absent.

    Raises as `parse_file_meta` does.
    """
    values: dict[int, bytes] = {}
    uid_range = (0, 0)
    offset = PREAMBLE
    stated_end = 0
    while data[offset : offset + 2] == b"\2\0":
        tag, _, start, length = dicom_elements.header(data, offset, len(data), explicit=True)
        offset = start + length
        if offset > len(data):
            raise NeedMore("the File Meta Information is truncated")
        values[tag] = data[start:offset]
        if tag == _GROUP_LENGTH:
            stated_end = offset + int.from_bytes(values[tag][:4], "little")
        elif tag == _SOP_INSTANCE_UID:
            uid_range = (start, offset)
    if data_set_follows and offset >= len(data):
        raise NeedMore("the file ends with its File Meta Information")
    meta = FileMeta(
        sop_class_uid=_uid(values.get(_SOP_CLASS_UID, b"")),
        sop_instance_uid=_uid(values.get(_SOP_INSTANCE_UID, b"")),
        transfer_syntax_uid=_uid(values.get(_TRANSFER_SYNTAX_UID, b"")),
        data_set_offset=offset,
        missing=tuple([tag for tag in _REQUIRED if tag not in values]),
        stated_end=stated_end,
    )
    return meta, uid_range


def _uid(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("latin-1") if len(value) <= _LONGEST_UID else "?"


def read_file_meta(
    volume: ReadableVolume, name: str, beginning: bytes | None = None
) -> FileMeta | None:
    """The File Meta Information of a file; None if it is not a DICOM file.

    `beginning` are the first bytes of the file, if they are known. Raises Unreadable as
    `parse_file_meta` does, and if the volume cannot be read.
    """
    start = volume.read(name, 0, _READ_SIZES[0]) if beginning is None else beginning
    if not is_dicom(start):
        return None
    for next_size in _READ_SIZES[1:]:
        try:
            return parse_file_meta(start)
        except NeedMore:
            if len(start) == volume.files()[name]:
                raise
        start = volume.read(name, 0, next_size)
    return parse_file_meta(start)


def check_file_meta(meta: FileMeta, name: str, faults: Faults) -> None:
    """Adds a fault for each Type 1 element that is missing, and for a wrong group length.

    Source: PS3.10 Table 7.1-1.
    """
    if meta.stated_end not in (0, meta.data_set_offset):
        message = (
            f"its {attribute(_GROUP_LENGTH)} says that the data set begins at byte "
            f"{meta.stated_end}, but elements of group 0002 end at byte {meta.data_set_offset}"
        )
        faults.add(FaultCode.FILE_META_WRONG, name, message)
    for tag in meta.missing:
        message = f"its File Meta Information has no {attribute(tag)}"
        faults.add(FaultCode.FILE_META_INCOMPLETE, name, message)
