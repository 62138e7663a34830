"""Ground: the format of a segment, a file to which received instances are appended.

A segment begins with a header: magic, version, and the name of the segment. Records follow, each at
a multiple of 8. A record is a fixed header; the row of the instance, which is opaque here (see
`burnish.db.instance_records`); and the payload, the instance as a DICOM File (PS3.10 7.1). An
instance that has a file of its own has a record without payload.

All numbers are little-endian. The checksum of the fixed header covers the row as well, so a record
header that is whole can be told from anything else. The digest is the BLAKE3 digest of the data
set; together with the checksum of the File Meta Information it shows whether a payload is whole. A
payload can only be torn behind the last position that was made durable, where the rest of a segment
is zeros: records there were never acknowledged.

An instance that was released leaves the fixed part of its record header, so that the records behind
it are found. Row and payload are zeros, or a hole.
"""

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from burnish.errors import Unreadable
from burnish.hashing import new_hasher

#: The names of segments end with this.
SUFFIX = ".seg"
#: Until it has its header and its owner, a segment has this instead.
UNFINISHED = ".new"
#: Where the first record of a segment is.
HEADER_SIZE = 64
#: A record without payload: the instance has a file of its own.
OWN_FILE = 1
#: A record of an instance that was released: its row and its payload are zeros.
_RELEASED = 2

_VERSION = 1
_MAGIC = b"BURNSEG\n"
_RECORD_MAGIC = b"\xb5IN\n"
#: Records begin at multiples of this.
ALIGNMENT = 8
_HEADER = struct.Struct("<8sHH52s")
#: Magic, version, flags, length of the row, offset of the data set, length of the payload, checksum
#: of the File Meta Information, digest of the data set. The checksum of all this and the row
#: follows.
_FIXED = struct.Struct("<4sHHIIQI32s")
_CHECKSUM = struct.Struct("<I")
_FIXED_SIZE = _FIXED.size + _CHECKSUM.size
#: Bytes that are read at a time while the records of a segment are walked: a header and its row.
_READ_AHEAD = 4096
#: Bytes that are read at a time in search of a record; a record header begins in one such block.
_SEARCHED = 1 << 20
#: The longest row; a longer one is damage.
_LONGEST_ROW = 1 << 26
_PREFIX_OFFSET, _PREFIX = 128, b"DICM"
_PADDING = tuple(bytes(length) for length in range(ALIGNMENT))
_NAME = re.compile(r"\d{14}-[0-9a-f]{16}")


class SegmentRecord(NamedTuple):
    """The header of one record; `offset` is where it begins, `end` where the next one does."""

    offset: int
    payload: int
    size: int
    data_set_offset: int
    row: bytes
    digest: bytes
    has_own_file: bool
    end: int
    #: The bytes of the header, with the row.
    header: bytes
    file_meta_checksum: int
    #: Whether the instance was released: then there is no row.
    was_released: bool


def new_name() -> str:
    """A name that no other segment has, on any host; names sort by the time they were made."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}-{os.urandom(8).hex()}"


def is_name(text: str) -> bool:
    """Whether a text is the name of a segment."""
    return _NAME.fullmatch(text) is not None


def encode_header(name: str) -> bytes:
    """The first bytes of the segment `name`."""
    return _HEADER.pack(_MAGIC, _VERSION, HEADER_SIZE, name.encode("ascii"))


def check_header(descriptor: int, name: str) -> bool:
    """Whether an open file begins as the segment `name` does.

    Raises Unreadable if a later version of Burnish has written it.
    """
    start = os.pread(descriptor, HEADER_SIZE, 0).ljust(HEADER_SIZE, b"\0")
    magic, version, _, stored = _HEADER.unpack(start)
    if magic != _MAGIC:
        return False
    if version != _VERSION:
        raise Unreadable(f"segment {name} has the format {version}, which a later version has")
    return bool(stored.rstrip(b"\0") == name.encode("ascii"))


def encode_record_header(
    row: bytes, file_meta: bytes, data_set_size: int, digest: bytes, *, has_own_file: bool = False
) -> bytes:
    """The header of a record, with the row; the payload follows if there is one."""
    fixed = _FIXED.pack(
        _RECORD_MAGIC,
        _VERSION,
        OWN_FILE if has_own_file else 0,
        len(row),
        len(file_meta),
        len(file_meta) + data_set_size,
        crc32(file_meta),
        digest,
    )
    return fixed + _CHECKSUM.pack(crc32(row, crc32(fixed))) + row


def padding(position: int) -> bytes:
    """The padding from `position` to the next place where a record may begin."""
    return _PADDING[-position % ALIGNMENT]


def next_record(descriptor: int, offset: int) -> SegmentRecord | None:
    """The record at `offset`; None if there is none that has a whole header."""
    record = _read_record(descriptor, offset)
    if record is None and os.pread(descriptor, 4, offset) == _RECORD_MAGIC:
        # it may have been released while it was read
        record = _read_record(descriptor, offset)
    return record


def _read_record(descriptor: int, offset: int) -> SegmentRecord | None:
    start = os.pread(descriptor, _READ_AHEAD, offset)
    if start[:4] != _RECORD_MAGIC or len(start) < _FIXED_SIZE:
        return None
    fixed = _FIXED.unpack_from(start)
    _, version, flags, row_length, data_set_offset, payload_length, checksum, digest = fixed
    row_end = _FIXED_SIZE + row_length
    if version != _VERSION or row_length > _LONGEST_ROW:
        return None
    if row_end > len(start):
        start += os.pread(descriptor, row_end - len(start), offset + len(start))
    was_released = bool(flags & _RELEASED)
    row = b"" if was_released else start[_FIXED_SIZE:row_end]
    stored = _CHECKSUM.unpack_from(start, _FIXED.size)[0]
    if stored != crc32(row, crc32(start[: _FIXED.size])):
        return None
    if len(row) < row_length and not was_released:
        return None
    has_own_file = bool(flags & OWN_FILE)
    payload = offset + row_end
    end = payload if has_own_file else payload + payload_length
    return SegmentRecord(
        offset=offset,
        payload=payload,
        size=payload_length,
        data_set_offset=data_set_offset,
        row=row,
        digest=digest,
        has_own_file=has_own_file,
        end=end + -end % ALIGNMENT,
        header=start[:row_end],
        file_meta_checksum=checksum,
        was_released=was_released,
    )


def record_of(descriptor: int, payload: int) -> SegmentRecord | None:
    """The record whose payload begins at `payload`; None if its header is damaged."""
    for length in (_READ_AHEAD, _LONGEST_ROW):
        start = max(HEADER_SIZE, payload - length)
        before = os.pread(descriptor, payload - start, start)
        found_at = before.rfind(_RECORD_MAGIC)
        while found_at >= 0:
            if (start + found_at) % ALIGNMENT == 0:
                record = next_record(descriptor, start + found_at)
                if record is not None and record.payload == payload and not record.has_own_file:
                    return record
            found_at = before.rfind(_RECORD_MAGIC, 0, found_at)
    return None


def released_header(record: SegmentRecord) -> bytes:
    """The fixed part of the header of a record once its instance is released."""
    fields = list(_FIXED.unpack_from(record.header))
    fields[2] |= _RELEASED
    fixed = _FIXED.pack(*fields)
    return fixed + _CHECKSUM.pack(crc32(fixed))


def records(descriptor: int, start: int = HEADER_SIZE) -> Iterator[SegmentRecord]:
    """The records from `start` on, as far as their headers are whole.

    Their payloads may be torn, or released.
    """
    while record := next_record(descriptor, start):
        yield record
        start = record.end


def find_record(descriptor: int, start: int) -> SegmentRecord | None:
    """The first record at or behind `start`; None if there is none.

    Behind a damaged record header, the records that follow are found in this way.
    """
    record = next_record(descriptor, start)
    if record is not None:
        return record
    end = os.fstat(descriptor).st_size
    position = start + -start % ALIGNMENT
    while position < end:
        block = os.pread(descriptor, _SEARCHED, position)
        found_at = block.find(_RECORD_MAGIC)
        while found_at >= 0:
            if found_at % ALIGNMENT == 0:
                record = next_record(descriptor, position + found_at)
                if record is not None:
                    return record
            found_at = block.find(_RECORD_MAGIC, found_at + 1)
        position += _SEARCHED
    return None


def all_records(descriptor: int) -> Iterator[SegmentRecord]:
    """All records of a segment, also those behind a damaged record header."""
    start = HEADER_SIZE
    while record := find_record(descriptor, start):
        yield record
        start = record.end


def looks_sealed(descriptor: int) -> bool:
    """Whether the last record is whole and nothing follows it, as in a segment that was sealed.

    Other records are not looked at, so that this takes half the time of reading all records.
    """
    size = os.fstat(descriptor).st_size
    last = position = HEADER_SIZE
    while position < size:
        last = position
        start = os.pread(descriptor, _FIXED_SIZE, position)
        if len(start) < _FIXED_SIZE:
            return False
        magic, _, flags, row_length, _, payload_length, _, _ = _FIXED.unpack_from(start)
        if magic != _RECORD_MAGIC:
            return False
        position += _FIXED_SIZE + row_length
        if not flags & OWN_FILE:
            position += payload_length
        position += -position % ALIGNMENT
    record = next_record(descriptor, last)
    if record is None or position != size:
        return False
    return is_released(descriptor, record) or is_whole(descriptor, record)


def is_released(descriptor: int, record: SegmentRecord) -> bool:
    """Whether the payload of a record was released."""
    if record.has_own_file:
        return False
    if record.was_released:
        return True
    return os.pread(descriptor, len(_PREFIX), record.payload + _PREFIX_OFFSET) != _PREFIX


def is_whole(descriptor: int, record: SegmentRecord) -> bool:
    """Whether the payload of a record is what was received. All of it is read."""
    if record.has_own_file:
        return True
    payload = os.pread(descriptor, record.size, record.payload)
    if len(payload) < record.size:
        return False
    view = memoryview(payload)
    if crc32(view[: record.data_set_offset]) != record.file_meta_checksum:
        return False
    hasher = new_hasher()
    hasher.update(view[record.data_set_offset :])
    return hasher.digest() == record.digest


@contextmanager
def opened(folder: Path, name: str) -> Iterator[int]:
    """A descriptor from which the segment `name` is read; raises FileNotFoundError."""
    descriptor = os.open(path(folder, name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def lock(descriptor: int) -> bool:
    """Become the owner of an open segment, until it is closed; False if it has another owner."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def path(folder: Path, name: str) -> Path:
    """Where the segment `name` is."""
    return folder / f"{name}{SUFFIX}"


def unfinished_path(folder: Path, name: str) -> Path:
    """Where the segment `name` is until it has its header and its owner."""
    return folder / f"{name}{UNFINISHED}"


def remove_unfinished(folder: Path) -> None:
    """Remove segments of processes that have died before they could use them."""
    for unfinished in folder.glob(f"*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            descriptor = os.open(unfinished, os.O_RDWR | os.O_CLOEXEC)
            try:
                if lock(descriptor):
                    unfinished.unlink()
            finally:
                os.close(descriptor)


def names(folder: Path) -> list[str]:
    """The names of the segments in a folder, oldest first."""
    with os.scandir(folder) as files:
        stems = [file.name.removesuffix(SUFFIX) for file in files if file.name.endswith(SUFFIX)]
    return sorted(stem for stem in stems if is_name(stem))
