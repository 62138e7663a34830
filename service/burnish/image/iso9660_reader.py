"""Craft: reads the file table of an ISO 9660 image (ECMA-119)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.image.file_extents import LARGEST_DIRECTORY, FileTable, Section, check_bounds
from burnish.image.image_source import Source
from burnish.media import SECTOR, FileSystem

#: Types of volume descriptors (8.1.1).
PRIMARY, TERMINATOR = 1, 255

_FIRST_DESCRIPTOR = 16
_MAXIMUM_DESCRIPTORS = 64
_DIRECTORY, _ASSOCIATED, _CONTINUED = 2, 4, 128
_RECORD = struct.Struct("<BBI4xI4x7sBBB")
_SHORTEST_RECORD = 34


def recognizes(source: Source) -> bool:
    start = (source.session + _FIRST_DESCRIPTOR) * SECTOR
    return source.has(start, SECTOR) and source.read(start + 1, 5) == b"CD001"


def read_file_table(source: Source) -> FileTable:
    """The files of the primary directory tree."""
    primary = _primary_volume_descriptor(source)
    volume_identifier = primary[40:72].decode("latin-1").rstrip(" \0")
    block_size = int.from_bytes(primary[128:130], "little")
    if block_size not in (512, 1024, 2048):
        raise Unreadable(f"logical blocks of {block_size} bytes are not ISO 9660")
    tree = _DirectoryTree(source, block_size)
    tree.read(primary[156:190])
    disagreements = {}
    stated = int.from_bytes(primary[80:84], "little") * block_size
    if stated > source.end and not source.session:
        message = f"it is truncated: it has {source.end} bytes, its descriptor states {stated}"
        disagreements["volume"] = message
    return FileTable(
        FileSystem.ISO_9660_LEVEL_1,
        volume_identifier,
        tree.sections,
        disagreements,
        dates=tree.dates,
    )


def descriptors(source: Source) -> Iterator[bytes]:
    """The sectors in which the volume descriptors of a session lie, as far as the image goes."""
    first = source.session + _FIRST_DESCRIPTOR
    for sector in range(first, first + _MAXIMUM_DESCRIPTORS):
        if not source.has(sector * SECTOR, SECTOR):
            return
        yield source.read(sector * SECTOR, SECTOR)


def _primary_volume_descriptor(source: Source) -> bytes:
    """ECMA-119 8.4."""
    for descriptor in descriptors(source):
        if descriptor[1:6] != b"CD001" or descriptor[0] == TERMINATOR:
            break
        if descriptor[0] == PRIMARY:
            return descriptor
    raise Unreadable("there is no ISO 9660 Primary Volume Descriptor")


class _Record(NamedTuple):
    """A Directory Record (9.1): `block` is the first one of the content."""

    name: str
    flags: int
    block: int
    size: int
    date: bytes


class _DirectoryTree:
    """The directories of a volume with logical blocks of `block_size` bytes."""

    def __init__(self, source: Source, block_size: int) -> None:
        self._source, self._block_size = source, block_size
        self.sections: dict[str, list[Section]] = {}
        self.dates: dict[str, bytes] = {}

    def read(self, root: bytes) -> None:
        """Fills in the File Sections and the date of every file (6.8, 9.1)."""
        _, attributes, extent, size, *_ = _RECORD.unpack_from(root)
        first = extent + attributes
        reached = {first}
        directories = [("", first, size, 1)]
        entries = 0
        while directories:
            parent, block, size, level = directories.pop()
            continued_file: str | None = None
            for record in self._records(parent, block, size):
                entries += 1
                check_bounds(entries, level)
                path = parent + record.name
                if record.flags & _DIRECTORY:
                    if record.block in reached:
                        raise Unreadable(f"directory {path} is reached twice")
                    reached.add(record.block)
                    directories.append((f"{path}\\", record.block, record.size, level + 1))
                    continue
                self.dates.setdefault(path, record.date)
                section = (record.block * self._block_size, record.size)
                if path == continued_file:
                    self.sections[path].append(section)
                else:
                    # of several versions the highest comes first (9.3)
                    self.sections.setdefault(path, [section])
                continued_file = path if record.flags & _CONTINUED else None

    def _records(self, parent: str, block: int, size: int) -> Iterator[_Record]:
        """The children of a directory."""
        directory = parent or "root"
        start = block * self._block_size
        if size > LARGEST_DIRECTORY or not self._source.has(start, size):
            raise Unreadable(f"directory {directory} goes beyond the end of the volume")
        data = self._source.read(start, size)
        offset = 0
        while offset < len(data):
            length = data[offset]
            if not length:  # no record crosses the end of a sector
                offset += SECTOR - offset % SECTOR
                continue
            if length < _SHORTEST_RECORD or offset + length > len(data):
                raise Unreadable(f"directory {directory} has a record of a wrong length")
            identifier_length = data[offset + 32]
            if 33 + identifier_length > length:
                raise Unreadable(f"directory {directory} has a record of a wrong length")
            _, attributes, extent, file_size, date, flags, unit_size, gap_size = (
                _RECORD.unpack_from(data, offset)
            )
            identifier = data[offset + 33 : offset + 33 + identifier_length]
            offset += length
            if flags & _ASSOCIATED or identifier in (b"\0", b"\1"):
                continue
            name = _name(identifier, flags)
            if unit_size or gap_size:
                raise Unreadable(f"{parent}{name} is interleaved, which is not supported")
            yield _Record(name, flags, extent + attributes, file_size, date)


def _name(identifier: bytes, flags: int) -> str:
    """A name without the version and the separators that ISO 9660 adds (7.5.1)."""
    name = identifier.decode("latin-1")
    if flags & _DIRECTORY:
        return name
    return name.partition(";")[0].removesuffix(".")
