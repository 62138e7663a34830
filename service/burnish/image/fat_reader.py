"""Craft: reads the file table of a FAT16 or FAT32 volume.

The volume is the first partition of the image, or the whole image.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from burnish.errors import Unreadable
from burnish.image.file_extents import LARGEST_DIRECTORY, FileTable, Section, check_bounds
from burnish.image.image_source import Source
from burnish.media import FileSystem

_SIGNATURE = b"\x55\xaa"
_FAT12 = b"FAT12   "
_PARTITION_TYPES = {0x04, 0x06, 0x0B, 0x0C, 0x0E}
_BOOT = struct.Struct("<11xHBHBHH1xH8xII")
#: A FAT with fewer clusters is FAT12, or FAT16.
_LEAST_16, _LEAST_32 = 4085, 65525
_LARGEST_TABLE = 512 << 20
_ENTRY = struct.Struct("<11sB8xH4xHI")
_NO_MORE_ENTRIES, _FREE = 0, 0xE5
#: A part of a long name has the attribute of a label too.
_LABEL, _DIRECTORY = 0x08, 0x10
_LONG_NAME_PART, _ATTRIBUTES = 0x0F, 0x3F
#: Flag of the part that comes first and has the end of the name.
_LAST_PART = 0x40


def recognizes(source: Source) -> bool:
    """It begins with a boot sector of FAT16 or FAT32, or its first partition does."""
    start = _volume_start(source)
    if start is None:
        return False
    # PS3.12 has no medium with FAT12; floppy disks had it.
    return not (source.has(start, 512) and source.read(start + 54, 8) == _FAT12)


def read_file_table(source: Source) -> FileTable:
    """All files by their short names.

    The Volume Identifier is empty: a volume label has eleven characters at most, and so cannot hold
    every File-set ID.
    """
    start = _volume_start(source)
    if start is None:
        raise Unreadable("there is no FAT file system")
    volume = _FatVolume(source, start)
    file_system = FileSystem.FAT if volume.is_fat32 else FileSystem.FAT16
    sections = volume.walk()
    return FileTable(file_system, "", sections, volume.disagreements, long_names=volume.long_names)


def _volume_start(source: Source) -> int | None:
    """The first byte of the FAT volume; None if there is none."""
    if not source.has(0, 512):
        return None
    first_sector = source.read(0, 512)
    if _is_boot_sector(first_sector):
        return 0
    start = int.from_bytes(first_sector[454:458], "little") * 512
    if not first_sector.endswith(_SIGNATURE) or first_sector[450] not in _PARTITION_TYPES:
        return None
    if source.has(start, 512) and not _is_boot_sector(source.read(start, 512)):
        return None
    return start  # which a truncated image may not have


def _is_boot_sector(sector: bytes) -> bool:
    sector_size, cluster_sectors, reserved, tables, *_ = _BOOT.unpack_from(sector)
    return (
        sector.endswith(_SIGNATURE)
        and sector[0] in (0xEB, 0xE9)
        and sector_size in (512, 1024, 2048, 4096)
        and cluster_sectors in (1, 2, 4, 8, 16, 32, 64, 128)
        and reserved > 0
        and tables in (1, 2)
    )


class _DirectoryEntry(NamedTuple):
    """A file or directory in a directory; `long_name` is its short name if it has no other."""

    name: str
    long_name: str
    attributes: int
    cluster: int
    size: int


class _FatVolume:
    def __init__(self, source: Source, start: int) -> None:
        self._source = source
        self.disagreements: dict[str, str] = {}
        #: By short path: the paths that consist of long names, where they are other ones.
        self.long_names: dict[str, str] = {}
        boot = source.read(start, 512)
        (
            sector_size,
            cluster_sectors,
            reserved,
            tables,
            root_entries,
            sectors_16,
            table_sectors_16,
            sectors_32,
            table_sectors_32,
        ) = _BOOT.unpack_from(boot)
        table_size = (table_sectors_16 or table_sectors_32) * sector_size
        root_size = root_entries * _ENTRY.size
        self._cluster_size = cluster_sectors * sector_size
        self._root = (start + reserved * sector_size + tables * table_size, root_size)
        self._first_cluster = sum(self._root) + -root_size % sector_size
        end = start + (sectors_16 or sectors_32) * sector_size
        self._clusters = (end - self._first_cluster) // self._cluster_size
        if self._clusters < _LEAST_16:
            raise Unreadable(
                f"its boot sector states {self._clusters} clusters, fewer than FAT16 or FAT32 has"
            )
        self.is_fat32 = self._clusters >= _LEAST_32
        self._root_cluster = int.from_bytes(boot[44:48], "little") if self.is_fat32 else 0
        if not source.has(self._first_cluster, self._clusters * self._cluster_size):
            self.disagreements["FAT"] = "its boot sector states more sectors than the image has"
        self._read_tables(start + reserved * sector_size, table_size, tables)

    def _read_tables(self, start: int, size: int, count: int) -> None:
        entry_size = 4 if self.is_fat32 else 2
        used = (self._clusters + 2) * entry_size
        if used > min(size, _LARGEST_TABLE) or not self._source.has(start, count * size):
            raise Unreadable("its file allocation table has no room for its clusters")
        table = self._source.read(start, used)
        if count > 1 and self._source.read(start + size, used) != table:
            self.disagreements["FAT"] = "its two file allocation tables differ"
        self._next_cluster = np.frombuffer(table, f"<u{entry_size}")
        if self.is_fat32:
            self._next_cluster = self._next_cluster & 0x0FFFFFFF
        neighbours = np.arange(1, len(self._next_cluster) + 1)
        #: The clusters after which a file does not continue in the neighbouring cluster.
        self._breaks = np.flatnonzero(self._next_cluster != neighbours)

    def _runs(self, cluster: int, path: str) -> Iterator[tuple[int, int]]:
        """The chain that begins at a cluster: first cluster and length of each run."""
        clusters_left = self._clusters
        while 2 <= cluster < self._clusters + 2 and clusters_left > 0:
            index = int(np.searchsorted(self._breaks, cluster))
            is_last_break = index == len(self._breaks)
            last = self._clusters + 1 if is_last_break else int(self._breaks[index])
            length = last + 1 - cluster
            yield cluster, length
            clusters_left -= length
            cluster = int(self._next_cluster[last])
        end_of_chain = 0x0FFFFFF8 if self.is_fat32 else 0xFFF8
        if cluster < end_of_chain:
            raise Unreadable(f"{path} has a chain of clusters without an end")

    def _sections(self, cluster: int, path: str, size: int | None = None) -> list[Section]:
        """Where a chain lies; with `size`, where the file of that size lies."""
        if size == 0:
            return []
        sections = []
        for first, count in self._runs(cluster, path):
            length = count * self._cluster_size
            if size is not None:
                length = min(length, size)
                size -= length
            if length:
                start = self._first_cluster + (first - 2) * self._cluster_size
                sections.append((start, length))
        if size:
            raise Unreadable(f"{path} is longer than its chain of clusters")
        return sections

    def walk(self) -> dict[str, list[Section]]:
        """The sections of every file by name."""
        sections: dict[str, list[Section]] = {}
        root = self._sections(self._root_cluster, "root") if self.is_fat32 else [self._root]
        directories = [("", "", root, 1)]
        reached = set()
        entries = 0
        while directories:
            parent, long_parent, parent_sections, level = directories.pop()
            for child in self._children(parent, parent_sections):
                entries += 1
                check_bounds(entries, level)
                path, long_path = parent + child.name, long_parent + child.long_name
                if not child.attributes & _DIRECTORY:
                    sections[path] = self._sections(child.cluster, path, child.size)
                    if long_path.upper() != path.upper():
                        self.long_names[path] = long_path
                    continue
                if child.cluster in reached:
                    raise Unreadable(f"directory {path} is reached twice")
                reached.add(child.cluster)
                child_sections = self._sections(child.cluster, path)
                directories.append((f"{path}\\", f"{long_path}\\", child_sections, level + 1))
        return sections

    def _children(self, path: str, sections: list[Section]) -> Iterator[_DirectoryEntry]:
        if sum(length for _, length in sections) > LARGEST_DIRECTORY:
            raise Unreadable(f"directory {path or 'root'} is too large")
        for start, length in sections:
            if not self._source.has(start, length):
                raise Unreadable(f"directory {path or 'root'} goes beyond the end of the volume")
        data = b"".join(self._source.read(start, length) for start, length in sections)
        parts: list[bytes] = []
        for offset in range(0, len(data), _ENTRY.size):
            name, attributes, cluster_high, cluster_low, size = _ENTRY.unpack_from(data, offset)
            if name[0] == _NO_MORE_ENTRIES:
                break
            if attributes & _ATTRIBUTES == _LONG_NAME_PART and name[0] != _FREE:
                if name[0] & _LAST_PART:
                    parts = []
                parts.append(data[offset : offset + _ENTRY.size])
                continue
            long_name = _join_long_name(parts, name)
            parts = []
            if name[0] == _FREE or attributes & _LABEL or name.startswith(b"."):
                continue
            cluster = cluster_low
            if self.is_fat32:
                cluster |= cluster_high << 16
            short_name = _decode_name(name)
            yield _DirectoryEntry(short_name, long_name or short_name, attributes, cluster, size)


def _decode_name(name: bytes) -> str:
    stem = name[:8].decode("latin-1").rstrip()
    extension = name[8:].decode("latin-1").rstrip()
    return f"{stem}.{extension}" if extension else stem


def _join_long_name(parts: list[bytes], short_name: bytes) -> str:
    """The long name in the entries before that of the short name; "" if they belong to another."""
    checksum = 0
    for byte in short_name:
        checksum = ((checksum >> 1) + ((checksum & 1) << 7) + byte) & 0xFF
    if any(part[13] != checksum for part in parts):
        return ""
    text = b"".join(part[1:11] + part[14:26] + part[28:32] for part in reversed(parts))
    name = text.decode("utf-16-le", "replace").partition("\0")[0]
    return "".join(letter if letter.isprintable() else "?" for letter in name)
