"""Craft: writes ISO 9660 Level 1 volume images (PS3.12 F.1, ECMA-119).

pycdlib makes the descriptors, the path tables and the directories from placeholders that have
the files' sizes; they are small and are taken in memory. The kernel then moves the files' bytes
to their extents, so that these never pass through Python.
"""

import contextlib
import errno
import io
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import pycdlib

from burnish.artifacts import VolumeFile
from burnish.errors import Conflict, InvalidValue, OutOfResources
from burnish.image import layout
from burnish.media import SECTOR
from burnish.vocabulary import IMPLEMENTATION_VERSION_NAME

#: One less than PS3.10 8.2 and ECMA-119 6.8.2.1 have: pycdlib counts a file as a level.
MAXIMUM_COMPONENTS = 7

_STRETCH = 8 << 20
_PVD = 16 * SECTOR
_ROOT_RECORD = _PVD + 156
_CREATION_DATE, _EXPIRATION_DATE, _DATE_LENGTH = _PVD + 813, _PVD + 847, 17
_UNSUPPORTED = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Writes the image at `path`, durably, with the files in the order given; returns its size.

    `volume_identifier` is the File-set ID (PS3.12 F.1.1); `created`, with its time zone, is
    every date in the image, so that the same arguments give the same bytes. `progress` is told
    the bytes written so far, and may raise to stop. What cannot be finished is removed.

    Raises InvalidValue for a name that Level 1 does not have, Conflict for a source that is not
    of the size stated, OutOfResources for a file or an image for which there is no room.
    """
    _check(volume_identifier, files)
    size = layout.size((file.file_id, file.size) for file in files)
    descriptors = _descriptors(volume_identifier, files)
    _settle(descriptors, _extents(files, len(descriptors) // SECTOR), created)
    with _new_file(path, size) as image:
        _place(image, memoryview(descriptors), 0)
        at = reported = len(descriptors)
        for file in files:
            for written in _fill(image, file, at):
                if progress and at + written - reported >= _STRETCH:
                    reported = at + written
                    progress(reported)
            at += layout.file_sectors(file.size) * SECTOR
        if at != size or os.fstat(image).st_size != size:
            raise Conflict(f"the image came out at {at} bytes where {size} were to be written")
        os.fsync(image)
    if progress:
        progress(size)
    return size


def _check(volume_identifier: str, files: Sequence[VolumeFile]) -> None:
    if len(volume_identifier) > 16 or not set(volume_identifier) <= set(_D_CHARACTERS):
        raise InvalidValue(f"{volume_identifier!r} is no File-set ID (PS3.10 8.1)")
    names, directories = set(), set()
    for file in files:
        layout.check_file_id(file.file_id, dicom=False)
        if file.file_id.count("\\") >= MAXIMUM_COMPONENTS:
            raise InvalidValue(f"{file.file_id} has more than {MAXIMUM_COMPONENTS} components")
        if file.size > layout.LARGEST_FILE:
            raise OutOfResources(
                f"{file.file_id} of {file.size} bytes is larger than a file of ISO 9660 Level 1"
            )
        if file.file_id in names:
            raise Conflict(f"File ID {file.file_id} comes twice")
        names.add(file.file_id)
        directories.add(file.file_id.rpartition("\\")[0])
    for name in names & _with_parents(directories):
        raise Conflict(f"{name} is both a file and a directory")


_D_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


def _with_parents(directories: set[str]) -> set[str]:
    found = set()
    for directory in directories:
        while directory and directory not in found:
            found.add(directory)
            directory = directory.rpartition("\\")[0]  # noqa: PLW2901
    return found


class _Placeholder(io.RawIOBase):
    """Stands for any file's content: as many zeros as are asked for, never in memory."""

    def __init__(self) -> None:
        self._zeros = memoryview(mmap.mmap(-1, _STRETCH, prot=mmap.PROT_READ))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: ARG002
        return 0

    def read(self, length: int = -1) -> memoryview:
        return self._zeros[:length]


class _Beginning:
    """A file of which only the first `limit` bytes are kept."""

    def __init__(self, limit: int) -> None:
        self.kept = bytearray(limit)
        self._at = self._end = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: bytes | memoryview) -> int:
        if self._at < len(self.kept):
            self.kept[self._at : self._at + len(data)] = data
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)


def _descriptors(volume_identifier: str, files: Sequence[VolumeFile]) -> bytearray:
    """The image up to its first file, as pycdlib makes it."""
    limit = layout.descriptor_sectors(file.file_id for file in files) * SECTOR
    volume = pycdlib.PyCdlib()
    volume.new(
        interchange_level=1,
        sys_ident="",
        vol_ident=volume_identifier,
        vol_set_ident="",
        app_ident_str=IMPLEMENTATION_VERSION_NAME,
    )
    directories = _with_parents({file.file_id.rpartition("\\")[0] for file in files})
    for directory in sorted(directories):
        volume.add_directory("/" + directory.replace("\\", "/"))
    placeholder = cast(BinaryIO, _Placeholder())
    # pycdlib inserts into sorted lists: in order of name each goes to the end
    for file in sorted(files, key=lambda file: layout.file_identifier(file.file_id)):
        name = layout.file_identifier(file.file_id.replace("\\", "/"))
        volume.add_fp(placeholder, file.size, "/" + name)
    beginning = _Beginning(limit)
    volume.write_fp(cast(BinaryIO, beginning), blocksize=_STRETCH)
    volume.close()
    if len(beginning.kept) != limit:
        raise Conflict("the descriptors are larger than the layout of the image has them")
    return beginning.kept


def _extents(files: Sequence[VolumeFile], first: int) -> dict[str, tuple[int, int]]:
    """Where each file begins, in sectors, with its size."""
    extents = {}
    for file in files:
        extents[file.file_id] = (first if file.size else 0, file.size)
        first += layout.file_sectors(file.size)
    return extents


def _settle(image: bytearray, extents: dict[str, tuple[int, int]], created: datetime) -> None:
    """Gives each file its extent and every date its value.

    pycdlib has files in order of directories, and the hour of writing as date.
    """
    date = _recording_date(created)
    image[_ROOT_RECORD + 18 : _ROOT_RECORD + 25] = date
    stamp = created.strftime("%Y%m%d%H%M%S").rjust(14, "0").encode() + b"00" + date[6:]
    for at in range(_CREATION_DATE, _CREATION_DATE + 4 * _DATE_LENGTH, _DATE_LENGTH):
        if at != _EXPIRATION_DATE:
            image[at : at + _DATE_LENGTH] = stamp
    left = dict(extents)
    for at, file_id, length in _directory_records(image):
        image[at + 18 : at + 25] = date
        if file_id:
            extent, size = left.pop(file_id)
            if size != length:
                raise Conflict(f"{file_id} has {length} bytes in its directory, not {size}")
            struct.pack_into("<I", image, at + 2, extent)
            struct.pack_into(">I", image, at + 6, extent)
    if left:
        raise Conflict(f"{len(left)} files are in no directory of the image")


def _recording_date(created: datetime) -> bytes:
    """A date in a Directory Record (ECMA-119 9.1.5)."""
    offset = created.utcoffset()
    if offset is None:
        raise InvalidValue("the date of an image needs its time zone")
    year, month, day, hour, minute, second = created.timetuple()[:6]
    quarters = offset // timedelta(minutes=15)
    return struct.pack("6Bb", year - 1900, month, day, hour, minute, second, quarters)


def _directory_records(image: bytearray) -> Iterator[tuple[int, str, int]]:
    """Every Directory Record: where it is, the File ID or "" for a directory, and its length."""
    open_directories = [("", *struct.unpack_from("<I4xI", image, _ROOT_RECORD + 2))]
    while open_directories:
        parent, extent, size = open_directories.pop()
        at, end = extent * SECTOR, extent * SECTOR + size
        while at < end:
            if not image[at]:
                at += SECTOR - at % SECTOR
                continue
            child, length = struct.unpack_from("<I4xI", image, at + 2)
            identifier = image[at + 33 : at + 33 + image[at + 32]].decode("ascii")
            if not image[at + 25] & 2:
                yield at, parent + identifier.removesuffix(";1").removesuffix("."), length
            else:
                yield at, "", length
                if identifier not in "\0\1":
                    open_directories.append((f"{parent}{identifier}\\", child, length))
            at += image[at]


@contextlib.contextmanager
def _new_file(path: Path, size: int) -> Iterator[int]:
    """A file of `size` bytes open for writing, removed unless all goes well."""
    image = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        os.ftruncate(image, size)
        yield image
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise OutOfResources(f"no room for an image of {size} bytes") from error
        raise
    finally:
        os.close(image)


def _fill(image: int, file: VolumeFile, at: int) -> Iterator[int]:
    """Places one file at its extent; gives the bytes done after each stretch."""
    if isinstance(file.source, bytes):
        _check_size(file, len(file.source))
        _place(image, memoryview(file.source), at)
        yield file.size
        return
    try:
        source = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Conflict(f"the source of {file.file_id} is gone") from None
    try:
        _check_size(file, os.fstat(source).st_size)
        done = 0
        while done < file.size:
            moved = _move(source, done, image, at + done, min(_STRETCH, file.size - done))
            if not moved:
                _check_size(file, done)
            done += moved
            yield done
    finally:
        os.close(source)


def _check_size(file: VolumeFile, size: int) -> None:
    if size != file.size:
        raise Conflict(f"{file.file_id} has {size} bytes where {file.size} were to be written")


def _place(image: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(image, data[:_STRETCH], at)
        data, at = data[written:], at + written


def _move(source: int, offset: int, image: int, at: int, length: int) -> int:
    """Moves bytes from one file to another, in the kernel where it can; returns how many."""
    try:
        return os.copy_file_range(source, image, length, offset, at)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    try:
        os.lseek(image, at, os.SEEK_SET)
        return os.sendfile(image, source, offset, length)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    data = os.pread(source, length, offset)
    _place(image, memoryview(data), at)
    return len(data)
