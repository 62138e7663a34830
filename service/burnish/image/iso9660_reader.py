"""Craft: finds the files of an ISO 9660 image (ECMA-119)."""

import struct
from collections.abc import Iterator

from burnish.errors import Unreadable
from burnish.image.file_extents import LARGEST_DIRECTORY, Found, Section, Source, check_bounds
from burnish.media import FileSystem

_SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_DESCRIPTORS = 64
_PRIMARY, _TERMINATOR = 1, 255
_DIRECTORY, _ASSOCIATED, _CONTINUED = 2, 4, 128
_RECORD = struct.Struct("<BBI4xI4x7sBBB")


def is_one(source: Source) -> bool:
    """Whether its session begins as a volume of ISO 9660 does."""
    at = (source.session + _FIRST_DESCRIPTOR) * _SECTOR
    return source.has(at, _SECTOR) and source.read(at + 1, 5) == b"CD001"


def find(source: Source) -> Found:
    """All files of the primary directory tree; raises Unreadable where there is none."""
    primary = _primary_volume_descriptor(source)
    volume_identifier = primary[40:72].decode("latin-1").rstrip(" \0")
    block = int.from_bytes(primary[128:130], "little")
    if block not in (512, 1024, 2048):
        raise Unreadable(f"logical blocks of {block} bytes are not ISO 9660")
    tree = _Tree(source, block)
    sections = tree.sections(primary[156:190])
    return Found(FileSystem.ISO_9660_LEVEL_1, volume_identifier, sections, dates=tree.dates)


def descriptors(source: Source) -> Iterator[bytes]:
    """The sectors where the volume descriptors of a session lie, as far as there are any."""
    first = source.session + _FIRST_DESCRIPTOR
    for sector in range(first, first + _DESCRIPTORS):
        if not source.has(sector * _SECTOR, _SECTOR):
            return
        yield source.read(sector * _SECTOR, _SECTOR)


def _primary_volume_descriptor(source: Source) -> bytes:
    """ECMA-119 8.4."""
    for found in descriptors(source):
        if found[1:6] != b"CD001" or found[0] == _TERMINATOR:
            break
        if found[0] == _PRIMARY:
            return found
    raise Unreadable("there is no ISO 9660 Primary Volume Descriptor")


class _Tree:
    """The directories of a volume with logical blocks of so many bytes."""

    def __init__(self, source: Source, block: int) -> None:
        self._source, self._block = source, block
        self.dates: dict[str, bytes] = {}

    def sections(self, root: bytes) -> dict[str, list[Section]]:
        """The File Sections of every file by name (ECMA-119 6.8, 9.1)."""
        sections: dict[str, list[Section]] = {}
        _, attributes, extent, size, *_ = _RECORD.unpack_from(root)
        seen = {extent}
        directories = [("", extent + attributes, size, 1)]
        entries = 0
        while directories:
            parent, start, length, level = directories.pop()
            continued: str | None = None
            for flags, extent, size, date, identifier in self._records(parent, start, length):
                entries += 1
                check_bounds(entries, level)
                if flags & _DIRECTORY:
                    if extent in seen:
                        raise Unreadable(f"directory {parent}{identifier} is reached twice")
                    seen.add(extent)
                    directories.append((f"{parent}{identifier}\\", extent, size, level + 1))
                    continue
                name = parent + identifier
                self.dates.setdefault(name, date)
                section = (extent * self._block, size)
                if name == continued:
                    sections[name].append(section)
                else:
                    # of several versions the highest comes first (ECMA-119 9.3)
                    sections.setdefault(name, [section])
                continued = name if flags & _CONTINUED else None
        return sections

    def _records(
        self, parent: str, extent: int, size: int
    ) -> Iterator[tuple[int, int, int, bytes, str]]:
        """Flags, extent, length, date and name of every child of a directory."""
        start = extent * self._block
        if size > LARGEST_DIRECTORY or not self._source.has(start, size):
            raise Unreadable(f"directory {parent or 'root'} goes beyond the end of the volume")
        data = self._source.read(start, size)
        at = 0
        while at < len(data):
            length = data[at]
            if not length:
                at += _SECTOR - at % _SECTOR
                continue
            if length < 34 or at + length > len(data) or 33 + data[at + 32] > length:
                raise Unreadable(f"directory {parent or 'root'} has a record of no sense")
            _, attributes, extent, size, date, flags, unit, gap = _RECORD.unpack_from(data, at)
            identifier = data[at + 33 : at + 33 + data[at + 32]]
            at += length
            if flags & _ASSOCIATED or identifier in (b"\0", b"\1"):
                continue
            if unit or gap:
                raise Unreadable(f"{parent}{_name(identifier, flags)} is interleaved")
            yield flags, extent + attributes, size, date, _name(identifier, flags)


def _name(identifier: bytes, flags: int) -> str:
    """A name without the version and the separators that ISO 9660 adds (ECMA-119 7.5.1)."""
    name = identifier.decode("latin-1")
    if flags & _DIRECTORY:
        return name
    return name.partition(";")[0].removesuffix(".")
