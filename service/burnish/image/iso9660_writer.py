"""Craft: writes ISO 9660 Level 1 volume images (PS3.12 F.1, ECMA-119).

An image consists of, in sectors:

    FIXED_SECTORS
    + path_table_sectors(PATH_TABLE_ROOT + sum of path_table_record(length) over directories)
    + directory_sectors(identifiers of its children), for the root and for every directory
    + volume_size.sectors(size), for every file, in the order given

No padding follows the last file. Numbers in brackets are sections of ECMA-119.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from burnish.errors import InvalidValue
from burnish.image import image_file, rock_ridge, volume_size
from burnish.image.directory_tree import Directory
from burnish.image.file_extents import Extent, lay_out_files
from burnish.image.image_file import Progress
from burnish.image.image_layout import ImageLayout
from burnish.image.volume_size import NameRun, Sums
from burnish.media import SECTOR
from burnish.values import VolumeFile
from burnish.vocabulary import IMPLEMENTATION_VERSION_NAME

#: System area, Primary Volume Descriptor, Set Terminator (6.2.1, 6.7.1), and a sector of zeros,
#: where other writers state their version.
FIXED_SECTORS = 16 + 1 + 1 + 1

#: Bytes that the root directory takes in a path table (9.4).
PATH_TABLE_ROOT = 10

#: The largest file in bytes: Level 1 has files of one File Section only (10.1), whose length has 32
#: bits (9.1.4), here in whole sectors.
LARGEST_FILE = 0xFFFFF800

_FIRST_DESCRIPTOR = 16
_SELF, _PARENT = b"\0", b"\1"
_DIRECTORY_FLAG = 2
#: Bytes of the two records that every directory begins with: its own and its parent's.
_SELF_AND_PARENT = 34 + 34
#: The numbers in both byte orders are packed twice, the second time as bytes (9.1).
_RECORD = struct.Struct("<BBL4sL4s7sBBB4sB")
_NO_DATE = b"0" * 16 + b"\0"


# --- sizes ---------------------------------------------------------------------------------------


def file_identifier(name: str) -> str:
    """The File Identifier of a file in its Directory Record (7.5.1)."""
    return f"{name};1" if "." in name else f"{name}.;1"


def directory_record(identifier_length: int, system_use_length: int = 0) -> int:
    """Bytes of a Directory Record, whose length is even, as is the place of System Use (9.1)."""
    length = 33 + identifier_length + (identifier_length + 1) % 2
    return length + system_use_length + system_use_length % 2


def directory_sectors(identifier_lengths: Iterable[int]) -> int:
    """Sectors of a directory, by the lengths of its children's identifiers in order of name.

    The order matters because no Directory Record crosses the end of a sector (6.8.1.1). The
    identifier of a file NAME is `NAME.;1`; that of a directory is its name.
    """
    return _record_sectors(map(directory_record, identifier_lengths), _SELF_AND_PARENT)


def _record_sectors(record_lengths: Iterable[int], used: int) -> int:
    """Sectors of a directory, of whose first sector the record of itself and its parent `used`."""
    sectors = 1
    for record in record_lengths:
        if used + record > SECTOR:
            sectors += 1
            used = 0
        used += record
    return sectors


def run_sectors(runs: Sequence[NameRun], *, unix_names: bool = False) -> int:
    """The result of `directory_sectors` for the identifiers of `runs`; with Rock Ridge if so."""
    used = _first_records(unix_names=unix_names)
    ordered = sorted(runs, key=_identifier)
    if all(run.count == 1 for run in runs):
        return _record_sectors((_run_record(run, unix_names=unix_names) for run in ordered), used)
    sectors = 1
    for run in ordered:
        record = _run_record(run, unix_names=unix_names)
        fit = min(run.count, (SECTOR - used) // record)
        used += fit * record
        overflow = run.count - fit
        if overflow:
            per_sector = SECTOR // record
            more = -(-overflow // per_sector)
            sectors += more
            used = (overflow - (more - 1) * per_sector) * record
    return sectors


def _run_record(run: NameRun, *, unix_names: bool) -> int:
    """Bytes of the Directory Record of each of the names."""
    system_use_length = rock_ridge.child_length(len(run.name)) if unix_names else 0
    return directory_record(len(_identifier(run)), system_use_length)


def _first_records(*, unix_names: bool) -> int:
    """Bytes of the records that a directory begins with."""
    return _SELF_AND_PARENT + (rock_ridge.self_and_parent_length() if unix_names else 0)


def structure_sectors(directories: Sequence[Directory], *, unix_names: bool = False) -> int:
    """Sectors of the path tables and of all directories, of which the first is the root."""
    children = sum(_children_sectors(directory, unix_names=unix_names) for directory in directories)
    return path_table_sectors(_path_table_length(directories)) + children


def path_table_record(identifier_length: int) -> int:
    """Bytes of a Path Table Record, whose length is even (9.4)."""
    return 8 + identifier_length + identifier_length % 2


def path_table_sectors(length: int) -> int:
    """Sectors of both path tables, Type L and Type M, of `length` bytes each.

    Each takes an even number of sectors, as other writers have it.
    """
    return 4 * -(-length // (2 * SECTOR))


def _identifier(run: NameRun) -> str:
    return run.name if run.directory else file_identifier(run.name)


def _children_sectors(directory: Directory, *, unix_names: bool) -> int:
    runs = [NameRun(1, child.name, directory=True) for child in directory.directories]
    runs += [NameRun(1, name) for name in directory.files]
    return run_sectors(runs, unix_names=unix_names)


def _path_table_length(directories: Sequence[Directory]) -> int:
    """Bytes of one path table."""
    names = directories[1:]
    return PATH_TABLE_ROOT + sum(path_table_record(len(directory.name)) for directory in names)


class Iso9660Sizing:
    """The unit is a sector."""

    largest_file = LARGEST_FILE

    def __init__(self, *, unix_names: bool = False) -> None:
        self._unix_names = unix_names

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return volume_size.sectors(size)

    def structure(self, runs: Sequence[NameRun]) -> int:
        return run_sectors(runs, unix_names=self._unix_names)

    def size(self, sums: Sums) -> int:
        path_table = path_table_sectors(PATH_TABLE_ROOT + 8 * sums.directories + sums.names)
        return SECTOR * (FIXED_SECTORS + path_table + sums.structure + sums.content)


SIZING = Iso9660Sizing()
#: The same with Rock Ridge names.
UNIX_SIZING = Iso9660Sizing(unix_names=True)


# --- the image -----------------------------------------------------------------------------------


def write_image(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    layout: ImageLayout | None = None,
) -> int:
    """Writes an ISO 9660 image (see `formats.ImageWriter`)."""
    return _write(path, volume_identifier, files, created, progress, layout, unix_names=False)


def write_unix_image(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    layout: ImageLayout | None = None,
) -> int:
    """Writes an ISO 9660 image with Rock Ridge names (see `formats.ImageWriter`)."""
    return _write(path, volume_identifier, files, created, progress, layout, unix_names=True)


def _write(  # noqa: PLR0917
    path: Path,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None,
    layout: ImageLayout | None,
    *,
    unix_names: bool,
) -> int:
    sizing = UNIX_SIZING if unix_names else SIZING
    directories, size = volume_size.plan_volume(sizing, volume_identifier, files)
    structure_end = FIXED_SECTORS + structure_sectors(directories, unix_names=unix_names)
    extents = lay_out_files(files, structure_end)
    tables = Tables(directories, extents, FIXED_SECTORS, created, unix_names=unix_names)
    descriptor = primary_descriptor(volume_identifier, tables, size // SECTOR, created)
    structure = [
        (_FIRST_DESCRIPTOR * SECTOR, descriptor + TERMINATOR),
        (FIXED_SECTORS * SECTOR, tables.encode()),
    ]
    placed_files = [(extents[file.file_id].sector * SECTOR, file) for file in files]
    return image_file.write_layout(path, size, structure, placed_files, progress, layout)


class Tables:
    """The path tables and directories, which lie one after the other from sector `first`."""

    def __init__(
        self,
        directories: Sequence[Directory],
        files: Mapping[str, Extent],
        first: int,
        created: datetime,
        *,
        unix_names: bool = False,
    ) -> None:
        self._unix_names = unix_names
        self._directories = directories
        self._files = files
        self._date = recording_date(created)
        self.path_table_length = _path_table_length(directories)
        sectors = path_table_sectors(self.path_table_length)
        self.type_l = first
        self.type_m = first + sectors // 2
        next_sector = first + sectors
        #: The links of each directory: its name, its record of itself, and its directories.
        self._links = {directory.path: 2 + len(directory.directories) for directory in directories}
        self._extents = {}
        for directory in directories:
            length = _children_sectors(directory, unix_names=unix_names)
            self._extents[directory.path] = Extent(next_sector, length * SECTOR)
            next_sector += length

    def encode(self) -> bytes:
        """The bytes of both path tables and of all directories."""
        length = path_table_sectors(self.path_table_length) // 2 * SECTOR
        parts = [self._path_table(byte_order).ljust(length, b"\0") for byte_order in "<>"]
        parts += [self._directory(directory) for directory in self._directories]
        return b"".join(parts)

    def root_record(self) -> bytes:
        """The record of the root directory in the volume descriptor."""
        return _record(_SELF, self._extents[""], self._date, _DIRECTORY_FLAG)

    def _path_table(self, byte_order: str) -> bytes:
        """Directories are numbered in their order (9.4)."""
        numbers = {
            directory.path: number for number, directory in enumerate(self._directories, start=1)
        }
        fixed = struct.Struct(f"{byte_order}BBIH")
        records = []
        for directory in self._directories:
            name = directory.name.encode() or _SELF
            sector = self._extents[directory.path].sector
            record = fixed.pack(len(name), 0, sector, numbers[directory.parent]) + name
            records.append(record + bytes(len(name) % 2))
        return b"".join(records)

    def _directory(self, directory: Directory) -> bytes:
        """Records in order of identifier; none crosses the end of a sector (6.8.1)."""
        children = [
            (child.name, self._extents[child.path], _DIRECTORY_FLAG, self._of_directory(child))
            for child in directory.directories
        ]
        children += [
            (file_identifier(name), self._files[directory.path_of(name)], 0, self._of_file(name))
            for name in directory.files
        ]
        of_self = of_parent = b""
        if self._unix_names:
            links = self._links[directory.path]
            of_self = rock_ridge.of_self(links, root=not directory.path)
            of_parent = rock_ridge.of_parent(self._links[directory.parent])
        own, parent = self._extents[directory.path], self._extents[directory.parent]
        records = [
            _record(_SELF, own, self._date, _DIRECTORY_FLAG, of_self),
            _record(_PARENT, parent, self._date, _DIRECTORY_FLAG, of_parent),
        ]
        records += [
            _record(identifier.encode(), extent, extent.date or self._date, flags, system_use)
            for identifier, extent, flags, system_use in sorted(children)
        ]
        encoded = bytearray()
        for record in records:
            if len(encoded) % SECTOR + len(record) > SECTOR:
                encoded += bytes(-len(encoded) % SECTOR)
            encoded += record
        return bytes(encoded) + bytes(-len(encoded) % SECTOR)

    def _of_directory(self, child: Directory) -> bytes:
        """The System Use field of a directory in the one above it."""
        if not self._unix_names:
            return b""
        return rock_ridge.of_child(child.name, self._links[child.path], directory=True)

    def _of_file(self, name: str) -> bytes:
        return rock_ridge.of_child(name, 1, directory=False) if self._unix_names else b""


def _record(
    identifier: bytes, extent: Extent, date: bytes, flags: int, system_use: bytes = b""
) -> bytes:
    """A Directory Record (9.1)."""
    sector, size, _ = extent
    before_system_use = directory_record(len(identifier))
    length = directory_record(len(identifier), len(system_use))
    fixed = _RECORD.pack(
        length,
        0,  # length of an Extended Attribute Record
        sector,
        sector.to_bytes(4, "big"),
        size,
        size.to_bytes(4, "big"),
        date,
        flags,
        0,  # not interleaved: File Unit Size,
        0,  # and Interleave Gap Size
        _VOLUME_SEQUENCE_NUMBER,
        len(identifier),
    )
    return ((fixed + identifier).ljust(before_system_use, b"\0") + system_use).ljust(length, b"\0")


def _both_orders(value: int) -> bytes:
    """A 32-bit number in both byte orders (7.3.3)."""
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both_orders_16(value: int) -> bytes:
    """A 16-bit number in both byte orders (7.2.3)."""
    return struct.pack("<H", value) + struct.pack(">H", value)


_VOLUME_SEQUENCE_NUMBER = _both_orders_16(1)


def primary_descriptor(
    volume_identifier: str, tables: Tables, sectors: int, created: datetime
) -> bytes:
    """The Primary Volume Descriptor (8.4) with a blank System Identifier."""
    stamp = created.strftime("%Y%m%d%H%M%S").rjust(14, "0").encode() + b"00"
    stamp += recording_date(created)[6:]
    parts = (
        b"\1CD001\1\0",
        b" " * 32,  # System Identifier
        volume_identifier.encode().ljust(32),
        bytes(8),
        _both_orders(sectors),
        bytes(32),
        _both_orders_16(1),  # Volume Set Size
        _VOLUME_SEQUENCE_NUMBER,
        _both_orders_16(SECTOR),
        _both_orders(tables.path_table_length),
        struct.pack("<II", tables.type_l, 0),
        struct.pack(">II", tables.type_m, 0),
        tables.root_record(),
        b" " * (3 * 128),  # Volume Set, Publisher and Data Preparer Identifiers
        IMPLEMENTATION_VERSION_NAME.encode().ljust(128),
        b" " * (3 * 37),  # Copyright, Abstract and Bibliographic File Identifiers
        stamp,  # created
        stamp,  # modified
        _NO_DATE,  # expires
        stamp,  # effective
        b"\1\0",
        b" " * 512,
    )
    return b"".join(parts).ljust(SECTOR, b"\0")


TERMINATOR = b"\xffCD001\1".ljust(SECTOR, b"\0")


def recording_date(created: datetime) -> bytes:
    """A date in a Directory Record (9.1.5)."""
    offset = created.utcoffset()
    if offset is None:
        raise InvalidValue("the date of an image needs its time zone")
    year, month, day, hour, minute, second = created.timetuple()[:6]
    quarters = offset // timedelta(minutes=15)
    return struct.pack("6Bb", year - 1900, month, day, hour, minute, second, quarters)
