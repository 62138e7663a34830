"""Craft: writes File-sets as ZIP files (PS3.12 V; PKWARE APPNOTE).

Files are stored uncompressed in the order given, with no entries for directories. If any number in
the archive would not fit 32 bits, all entries are of ZIP64, so that the size is a sum.

Python's zipfile writes as fast, but gives ZIP64 fields in the central directory to those entries
alone that lie beyond 2 GiB: the size would depend on the order of files, which a packer does not
know yet.
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
from burnish.image.image_layout import ImageLayout
from burnish.image.volume_size import NameRun, Sums
from burnish.values import VolumeFile

_LOCAL_HEADER = struct.Struct("<IHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END_64 = struct.Struct("<IQHHIIQQQQ")
_END_64_LOCATOR = struct.Struct("<IIQI")
#: The extra fields of ZIP64: both sizes, in the central directory also where the entry begins.
_LOCAL_EXTRA, _CENTRAL_EXTRA = struct.Struct("<HHQQ"), struct.Struct("<HHQQQ")
_SEE_ZIP64, _SEE_ZIP64_SHORT = 0xFFFFFFFF, 0xFFFF
_VERSION, _VERSION_64 = 20, 45
_UNIX = 3 << 8
#: A regular file that everybody may read.
_ATTRIBUTES = 0o100644 << 16


class ZipSizing:
    """The unit is a byte."""

    largest_file = 1 << 40

    def content(self, path_length: int, size: int) -> int:
        return _LOCAL_HEADER.size + _CENTRAL_HEADER.size + 2 * path_length + size

    def structure(self, runs: Sequence[NameRun]) -> int:  # noqa: ARG002
        return 0

    def size(self, sums: Sums) -> int:
        size = sums.content + _END.size
        if not needs_zip64(sums.files, size):
            return size
        extras = _LOCAL_EXTRA.size + _CENTRAL_EXTRA.size
        return size + sums.files * extras + _END_64.size + _END_64_LOCATOR.size


def needs_zip64(files: int, size: int) -> bool:
    """Whether an archive that would have `size` bytes without ZIP64 needs ZIP64."""
    return size >= _SEE_ZIP64 or files >= _SEE_ZIP64_SHORT


SIZING = ZipSizing()


@dataclass(frozen=True, slots=True)
class _ArchivedFile:
    """A file in the archive, `start` being the first byte of its local header."""

    name: bytes
    size: int
    crc: int
    start: int


def write_image(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    layout: ImageLayout | None = None,
) -> int:
    """Writes a ZIP file (see `formats.ImageWriter`). The File-set ID is not in it."""
    _, size = volume_size.plan_volume(SIZING, volume_identifier, files)
    length = sum(SIZING.content(len(file.file_id), file.size) for file in files)
    headers = _Headers(needs_zip64(len(files), _END.size + length), dos_date(created))
    archived = []
    start = 0
    with image_file.new_image(path, size, layout) as archive:
        for file in files:
            name = file.file_id.replace("\\", "/").encode()
            content = end = start + headers.local_length(name)
            crc = 0
            for piece in image_file.content(file):
                archive.write_content(file, memoryview(piece), content, end - content)
                crc = zlib.crc32(piece, crc)
                end += len(piece)
                if progress:
                    progress(end)
            entry = _ArchivedFile(name, file.size, crc, start)
            archive.write_at(memoryview(headers.local(entry)), start)
            archived.append(entry)
            start = end
        archive.write_at(memoryview(headers.central_directory(archived, start)), start)
        archive.finish()
    if progress:
        progress(size)
    return size


def dos_date(created: datetime) -> tuple[int, int]:
    """Time and date of MS-DOS: no time zone, steps of two seconds, from 1980 on."""
    if created.utcoffset() is None:
        raise InvalidValue("the date of an image needs its time zone")
    year = min(max(created.year, 1980), 2107) - 1980
    date = year << 9 | created.month << 5 | created.day
    time = created.hour << 11 | created.minute << 5 | created.second // 2
    return time, date


@dataclass(frozen=True, slots=True)
class _Headers:
    """Encodes the headers of an archive, whose files all have one date."""

    zip64: bool
    date: tuple[int, int]

    @property
    def _version(self) -> int:
        return _VERSION_64 if self.zip64 else _VERSION

    def local_length(self, name: bytes) -> int:
        return _LOCAL_HEADER.size + len(name) + (_LOCAL_EXTRA.size if self.zip64 else 0)

    def local(self, entry: _ArchivedFile) -> bytes:
        """A local file header (APPNOTE 4.3.7)."""
        extra, size = b"", entry.size
        if self.zip64:
            extra = _LOCAL_EXTRA.pack(1, 16, size, size)
            size = _SEE_ZIP64
        time, date = self.date
        header = _LOCAL_HEADER.pack(
            0x04034B50,
            self._version,
            0,  # flags
            0,  # stored
            time,
            date,
            entry.crc,
            size,
            size,
            len(entry.name),
            len(extra),
        )
        return header + entry.name + extra

    def central_directory(self, entries: Sequence[_ArchivedFile], start: int) -> bytes:
        """The central directory and its end, from byte `start` on (APPNOTE 4.3.12 to 4.3.16)."""
        directory = b"".join(self._central(entry) for entry in entries)
        length, count = len(directory), len(entries)
        if not self.zip64:
            return directory + _END.pack(0x06054B50, 0, 0, count, count, length, start, 0)
        end_64 = _END_64.pack(
            0x06064B50,
            _END_64.size - 12,
            _UNIX | _VERSION_64,
            _VERSION_64,
            0,  # this disk
            0,  # the disk on which the directory begins
            count,
            count,
            length,
            start,
        )
        locator = _END_64_LOCATOR.pack(0x07064B50, 0, start + length, 1)
        end = _END.pack(
            0x06054B50, 0, 0, _SEE_ZIP64_SHORT, _SEE_ZIP64_SHORT, _SEE_ZIP64, _SEE_ZIP64, 0
        )
        return directory + end_64 + locator + end

    def _central(self, entry: _ArchivedFile) -> bytes:
        """A central directory header (APPNOTE 4.3.12)."""
        extra, size, start = b"", entry.size, entry.start
        if self.zip64:
            extra = _CENTRAL_EXTRA.pack(1, 24, size, size, start)
            size = start = _SEE_ZIP64
        time, date = self.date
        header = _CENTRAL_HEADER.pack(
            0x02014B50,
            _UNIX | self._version,
            self._version,
            0,  # flags
            0,  # stored
            time,
            date,
            entry.crc,
            size,
            size,
            len(entry.name),
            len(extra),
            0,  # no comment
            0,  # the disk
            0,  # internal attributes
            _ATTRIBUTES,
            start,
        )
        return header + entry.name + extra
