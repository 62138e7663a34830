"""Craft: writes File-sets as ZIP files (PS3.12 V; PKWARE APPNOTE).

Files are stored, not compressed, in the order given, with no entries for directories. Where
anything in the file would not fit 32 bits, every entry is one of ZIP64, so that the size is a sum.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from burnish.errors import InvalidValue
from burnish.image import image_file, volume_size
from burnish.image.image_file import Progress
from burnish.image.volume_size import Run, Sums
from burnish.values import VolumeFile

_LOCAL, _CENTRAL = struct.Struct("<IHHHHHIIIHH"), struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END_64, _LOCATOR_64 = struct.Struct("<IQHHIIQQQQ"), struct.Struct("<IIQI")
#: The extra field of ZIP64: both sizes, in the central directory also where the entry begins.
_EXTRA_LOCAL, _EXTRA_CENTRAL = struct.Struct("<HHQQ"), struct.Struct("<HHQQQ")
_FULL, _FULL_SHORT = 0xFFFFFFFF, 0xFFFF
_VERSION, _VERSION_64 = 20, 45
_UNIX = 3 << 8
_ATTRIBUTES = 0o100644 << 16


class _Sizing:
    """Sizes in bytes."""

    largest_file = 1 << 40

    def content(self, path_length: int, size: int) -> int:
        return _LOCAL.size + _CENTRAL.size + 2 * path_length + size

    def structure(self, runs: Sequence[Run]) -> int:  # noqa: ARG002
        return 0

    def size(self, sums: Sums) -> int:
        size = sums.content + _END.size
        if not is_large(sums.files, size):
            return size
        extra = _EXTRA_LOCAL.size + _EXTRA_CENTRAL.size
        return size + sums.files * extra + _END_64.size + _LOCATOR_64.size


def is_large(files: int, size: int) -> bool:
    """Whether an archive needs ZIP64, by what its size would be without."""
    return size >= _FULL or files >= _FULL_SHORT


SIZING = _Sizing()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One file in the archive."""

    name: bytes
    size: int
    crc: int
    at: int


def write(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
) -> int:
    """Writes the archive at `path`, as `iso9660.write` does; the File-set ID is not in it."""
    _, size = volume_size.planned(SIZING, volume_identifier, files)
    content = sum(SIZING.content(len(file.file_id), file.size) for file in files)
    large = is_large(len(files), _END.size + content)
    shape = _Shape(large, dos_date(created))
    entries = []
    at = 0
    with image_file.new_file(path, size) as archive:
        for file in files:
            name = file.file_id.replace("\\", "/").encode()
            start = at + shape.local_length(name)
            crc, end = 0, start
            for piece in image_file.pieces(file):
                archive.place(memoryview(piece), end)
                crc, end = zlib.crc32(piece, crc), end + len(piece)
                if progress:
                    progress(end)
            image_file.check_size(file, end - start)
            entry = _Entry(name, file.size, crc, at)
            archive.place(memoryview(shape.local(entry)), at)
            entries.append(entry)
            at = end
        archive.place(memoryview(shape.directory(entries, at)), at)
        archive.settle()
    if progress:
        progress(size)
    return size


def dos_date(created: datetime) -> tuple[int, int]:
    """Time and date as MS-DOS has them, without a time zone, by two seconds, from 1980."""
    if created.utcoffset() is None:
        raise InvalidValue("the date of an image needs its time zone")
    year = min(max(created.year, 1980), 2107) - 1980
    date = year << 9 | created.month << 5 | created.day
    return created.hour << 11 | created.minute << 5 | created.second // 2, date


@dataclass(frozen=True, slots=True)
class _Shape:
    """How entries are written: with ZIP64 where `large`, and all of one date."""

    large: bool
    date: tuple[int, int]

    @property
    def _version(self) -> int:
        return _VERSION_64 if self.large else _VERSION

    def local_length(self, name: bytes) -> int:
        return _LOCAL.size + len(name) + (_EXTRA_LOCAL.size if self.large else 0)

    def local(self, entry: _Entry) -> bytes:
        """A local file header (APPNOTE 4.3.7)."""
        extra, size = b"", entry.size
        if self.large:
            extra, size = _EXTRA_LOCAL.pack(1, 16, size, size), _FULL
        header = _LOCAL.pack(
            *(0x04034B50, self._version, 0, 0, *self.date, entry.crc),
            *(size, size, len(entry.name), len(extra)),
        )
        return header + entry.name + extra

    def directory(self, entries: Sequence[_Entry], at: int) -> bytes:
        """The central directory and its end (APPNOTE 4.3.12 to 4.3.16), which begin at `at`."""
        directory = b"".join(map(self._central, entries))
        length, count = len(directory), len(entries)
        if not self.large:
            return directory + _END.pack(0x06054B50, 0, 0, count, count, length, at, 0)
        version = _VERSION_64
        return (
            directory
            + _END_64.pack(
                *(0x06064B50, _END_64.size - 12, _UNIX | version, version),
                *(0, 0, count, count, length, at),
            )
            + _LOCATOR_64.pack(0x07064B50, 0, at + length, 1)
            + _END.pack(0x06054B50, 0, 0, _FULL_SHORT, _FULL_SHORT, _FULL, _FULL, 0)
        )

    def _central(self, entry: _Entry) -> bytes:
        extra, size, at = b"", entry.size, entry.at
        if self.large:
            extra, size, at = _EXTRA_CENTRAL.pack(1, 24, size, size, at), _FULL, _FULL
        header = _CENTRAL.pack(
            *(0x02014B50, _UNIX | self._version, self._version, 0, 0, *self.date, entry.crc),
            *(size, size, len(entry.name), len(extra), 0, 0, 0, _ATTRIBUTES, at),
        )
        return header + entry.name + extra
