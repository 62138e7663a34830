"""Craft: writes ISO 9660 Level 1 volume images (PS3.12 F.1, ECMA-119)."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from burnish.errors import InvalidValue
from burnish.image import image_file, iso9660_layout, volume_size
from burnish.image.directory_tree import Directory
from burnish.image.image_file import Progress
from burnish.media import SECTOR
from burnish.values import VolumeFile
from burnish.vocabulary import IMPLEMENTATION_VERSION_NAME

_FIRST_DESCRIPTOR = 16
_ROOT, _PARENT = b"\0", b"\1"
_DIRECTORY = 2
#: The numbers in both byte orders are there twice, the second time as bytes (ECMA-119 9.1).
_RECORD = struct.Struct("<BBL4sL4s7sBBB4sB")
_NO_DATE = b"0" * 16 + b"\0"


class Extent(NamedTuple):
    """Where a file or directory lies: its first sector, its length in bytes, its date if it has one
    of its own (ECMA-119 9.1.5)."""

    sector: int
    size: int
    date: bytes = b""


def write(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
) -> int:
    """Writes the image at `path`, durably, with the files in the order given; returns its size.

    `volume_identifier` is the File-set ID (PS3.12 F.1.1); `created`, with its time zone, is
    every date in the image, so that the same arguments give the same bytes. `progress` is told
    the bytes written so far, and may raise to stop. What cannot be finished is removed.

    Raises InvalidValue for a name that Level 1 does not have, Conflict for a source that is not
    of the size stated, OutOfResources for a file or an image for which there is no room.
    """
    directories, size = volume_size.planned(iso9660_layout.SIZING, volume_identifier, files)
    tables_at = iso9660_layout.FIXED_SECTORS
    first = tables_at + iso9660_layout.structure_sectors(directories)
    extents = place_files(files, first)
    tables = Tables(directories, extents, tables_at, created)
    descriptor = primary_descriptor(volume_identifier, tables, size // SECTOR, created)
    structure = [
        (_FIRST_DESCRIPTOR * SECTOR, descriptor + TERMINATOR),
        (tables_at * SECTOR, tables.encode()),
    ]
    placed = [(extents[file.file_id].sector * SECTOR, file) for file in files]
    return image_file.write(path, size, structure, placed, progress)


def place_files(files: Iterable[VolumeFile], first: int) -> dict[str, Extent]:
    """Where each file lies, one after the other from the sector `first`; 0 for one of no bytes."""
    extents = {}
    for file in files:
        extents[file.file_id] = Extent(first if file.size else 0, file.size)
        first += iso9660_layout.file_sectors(file.size)
    return extents


class Tables:
    """The path tables and directories, which lie one after the other from a sector."""

    def __init__(
        self,
        directories: Sequence[Directory],
        files: Mapping[str, Extent],
        first: int,
        created: datetime,
    ) -> None:
        self._directories = directories
        self._files = files
        self._date = recording_date(created)
        self.length = iso9660_layout.PATH_TABLE_ROOT + sum(
            iso9660_layout.path_table_record(len(directory.name)) for directory in directories[1:]
        )
        sectors = iso9660_layout.path_table_sectors(self.length)
        self.little, self.big = first, first + sectors // 2
        at = first + sectors
        self._extents = {}
        for directory in directories:
            length = iso9660_layout.children_sectors(directory)
            self._extents[directory.path] = Extent(at, length * SECTOR)
            at += length

    def encode(self) -> bytes:
        """All of them."""
        table = iso9660_layout.path_table_sectors(self.length) // 2 * SECTOR
        parts = [self._path_table(order).ljust(table, b"\0") for order in "<>"]
        parts += map(self._directory, self._directories)
        return b"".join(parts)

    def root_record(self) -> bytes:
        """The root directory as the volume descriptor has it."""
        return _record(_ROOT, self._extents[""], self._date, _DIRECTORY)

    def _path_table(self, order: str) -> bytes:
        """ECMA-119 9.4; directories are numbered in the order they come."""
        numbers = {directory.path: n for n, directory in enumerate(self._directories, start=1)}
        records = []
        for directory in self._directories:
            name = directory.name.encode() or _ROOT
            parent = numbers[directory.path.rpartition("\\")[0]]
            sector = self._extents[directory.path].sector
            records.append(
                struct.pack(f"{order}BBIH", len(name), 0, sector, parent)
                + name
                + b"\0" * (len(name) % 2)
            )
        return b"".join(records)

    def _directory(self, directory: Directory) -> bytes:
        """ECMA-119 6.8.1: records in order of identifier, none over the end of a sector."""
        parent = directory.path.rpartition("\\")[0]
        records = [
            _record(_ROOT, self._extents[directory.path], self._date, _DIRECTORY),
            _record(_PARENT, self._extents[parent], self._date, _DIRECTORY),
        ]
        children = [
            (child.name, self._extents[child.path], _DIRECTORY) for child in directory.directories
        ] + [
            (iso9660_layout.file_identifier(name), self._files[directory.path_of(name)], 0)
            for name in directory.files
        ]
        records += [
            _record(identifier.encode(), extent, extent.date or self._date, flags)
            for identifier, extent, flags in sorted(children)
        ]
        out = bytearray()
        for record in records:
            if len(out) % SECTOR + len(record) > SECTOR:
                out += bytes(-len(out) % SECTOR)
            out += record
        return bytes(out) + bytes(-len(out) % SECTOR)


def _record(identifier: bytes, extent: Extent, date: bytes, flags: int) -> bytes:
    """A Directory Record (ECMA-119 9.1)."""
    sector, size, _ = extent
    length = iso9660_layout.directory_record(len(identifier))
    fixed = _RECORD.pack(
        *(length, 0, sector, sector.to_bytes(4, "big"), size, size.to_bytes(4, "big")),
        *(date, flags, 0, 0, _ONE, len(identifier)),
    )
    return (fixed + identifier).ljust(length, b"\0")


def _both(value: int) -> bytes:
    """A number in both byte orders (ECMA-119 7.3.3)."""
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both_short(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


#: The Volume Sequence Number.
_ONE = _both_short(1)


def primary_descriptor(
    volume_identifier: str, tables: Tables, sectors: int, created: datetime
) -> bytes:
    """The Primary Volume Descriptor (ECMA-119 8.4) with a blank System Identifier."""
    stamp = created.strftime("%Y%m%d%H%M%S").rjust(14, "0").encode() + b"00"
    stamp += recording_date(created)[6:]
    parts = (
        b"\1CD001\1\0",
        b" " * 32,
        volume_identifier.encode().ljust(32),
        bytes(8),
        _both(sectors),
        bytes(32),
        _both_short(1) + _both_short(1) + _both_short(SECTOR),
        _both(tables.length),
        struct.pack("<II", tables.little, 0) + struct.pack(">II", tables.big, 0),
        tables.root_record(),
        b" " * (3 * 128),
        IMPLEMENTATION_VERSION_NAME.encode().ljust(128),
        b" " * (3 * 37),
        stamp + stamp + _NO_DATE + stamp,
        b"\1\0",
        b" " * 512,
    )
    return b"".join(parts).ljust(SECTOR, b"\0")


TERMINATOR = b"\xffCD001\1".ljust(SECTOR, b"\0")


def recording_date(created: datetime) -> bytes:
    """A date in a Directory Record (ECMA-119 9.1.5)."""
    offset = created.utcoffset()
    if offset is None:
        raise InvalidValue("the date of an image needs its time zone")
    year, month, day, hour, minute, second = created.timetuple()[:6]
    quarters = offset // timedelta(minutes=15)
    return struct.pack("6Bb", year - 1900, month, day, hour, minute, second, quarters)
