"""Ground: gives back the room that a released instance takes in a segment."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from burnish.file_slice import PREAMBLE, PREFIX, Slice
from burnish.spool import segment

_FALLOCATE = ctypes.CDLL(None, use_errno=True).fallocate
_FALLOCATE.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
#: The modes of fallocate(2) that make a hole in a file and keep its size.
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
#: The errors of a file system that cannot make holes.
_NO_HOLES = (errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor of a segment, for `release`; raises FileNotFoundError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def release(descriptor: int, instance: Slice) -> None:
    """Mark an instance in an open segment as released, and give back its room.

    The mark in the payload comes first: a reader that finds no mark has read no hole. Of the record
    header, the fixed part stays: the row, which has patient data, goes with the payload.
    """
    os.pwrite(descriptor, bytes(len(PREFIX)), instance.offset + PREAMBLE)
    start = mark_record(descriptor, instance.offset)
    punch_hole(descriptor, start, instance.offset + instance.size - start)


def mark_record(descriptor: int, payload: int) -> int:
    """Mark the record with this payload as one of a released instance.

    Returns where the bytes begin that it does not need any more.
    """
    record = segment.record_of(descriptor, payload)
    if record is None:
        return payload
    header = segment.released_header(record)
    os.pwrite(descriptor, header, record.offset)
    return record.offset + len(header)


def punch_hole(descriptor: int, offset: int, length: int) -> bool:
    """Make a range of a file a hole, which reads as zeros. False if the file system cannot."""
    while _FALLOCATE(descriptor, _KEEP_SIZE | _PUNCH_HOLE, offset, length) != 0:
        error = ctypes.get_errno()
        if error in _NO_HOLES:
            return False
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))
    return True
