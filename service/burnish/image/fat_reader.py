"""Craft: finds the files of a FAT16 or FAT32 volume, in the first partition or without any."""

import struct
from collections.abc import Iterator

import numpy as np

from burnish.errors import Unreadable
from burnish.image.file_extents import LARGEST_DIRECTORY, Found, Section, Source, check_bounds
from burnish.media import FileSystem

_SIGNATURE = b"\x55\xaa"
_PARTITION_KINDS = {0x04, 0x06, 0x0B, 0x0C, 0x0E}
_BOOT = struct.Struct("<11xHBHBHH1xH8xII")
_LEAST_16, _LEAST_32 = 4085, 65525
_LARGEST_TABLE = 512 << 20
_ENTRY = struct.Struct("<11sB8xH4xHI")
_END, _FREE = 0, 0xE5
#: A long name has the attribute of a label too.
_LABEL, _DIRECTORY = 0x08, 0x10


def is_one(source: Source) -> bool:
    """Whether it begins with a boot sector of FAT, or with a partition table that has FAT first."""
    return _volume_start(source) is not None


def find(source: Source) -> Found:
    """All files of the volume by their short names; raises Unreadable where it is damaged.

    A volume label has eleven characters at most, so that it is no File-set ID: the Volume
    Identifier is empty.
    """
    start = _volume_start(source)
    if start is None:
        raise Unreadable("there is no FAT")
    volume = _Volume(source, start)
    kind = FileSystem.FAT if volume.wide else FileSystem.FAT16
    return Found(kind, "", volume.walk(), volume.disagreements)


def _volume_start(source: Source) -> int | None:
    """Where the FAT begins, in bytes."""
    if not source.has(0, 512):
        return None
    first = source.read(0, 512)
    if first[510:] != _SIGNATURE:
        return None
    if _is_boot_sector(first):
        return 0
    start = int.from_bytes(first[454:458], "little") * 512
    if first[450] not in _PARTITION_KINDS or not source.has(start, 512):
        return None
    boot = source.read(start, 512)
    return start if boot[510:] == _SIGNATURE and _is_boot_sector(boot) else None


def _is_boot_sector(sector: bytes) -> bool:
    size, cluster, reserved, tables, *_ = _BOOT.unpack_from(sector)
    return (
        sector[0] in (0xEB, 0xE9)
        and size in (512, 1024, 2048, 4096)
        and cluster in (1, 2, 4, 8, 16, 32, 64, 128)
        and reserved > 0
        and tables in (1, 2)
    )


class _Volume:
    def __init__(self, source: Source, start: int) -> None:
        self._source = source
        self.disagreements: dict[str, str] = {}
        boot = source.read(start, 512)
        size, per_cluster, reserved, tables, roots, short, table, long, table_32 = (
            _BOOT.unpack_from(boot)
        )
        table = (table or table_32) * size
        self._cluster = per_cluster * size
        self._root = (start + reserved * size + tables * table, roots * 32)
        self._first = sum(self._root) + -(roots * 32) % size
        self._clusters = (start + (short or long) * size - self._first) // self._cluster
        if self._clusters < _LEAST_16:
            raise Unreadable("it is FAT12, or no FAT at all")
        self.wide = self._clusters >= _LEAST_32
        self._root_cluster = int.from_bytes(boot[44:48], "little") if self.wide else 0
        if not source.has(self._first, self._clusters * self._cluster):
            self.disagreements["FAT"] = "it is said to be larger than the image"
        self._read_tables(start + reserved * size, table, tables)

    def _read_tables(self, at: int, length: int, count: int) -> None:
        width = 4 if self.wide else 2
        used = (self._clusters + 2) * width
        if used > min(length, _LARGEST_TABLE) or not self._source.has(at, count * length):
            raise Unreadable("its file allocation table has no room for its clusters")
        data = self._source.read(at, used)
        if count > 1 and self._source.read(at + length, used) != data:
            self.disagreements["FAT"] = "its two file allocation tables differ"
        self._next = np.frombuffer(data, f"<u{width}")
        if self.wide:
            self._next = self._next & 0x0FFFFFFF
        following = np.arange(1, len(self._next) + 1)
        #: The clusters after which a file does not go on with the cluster that follows.
        self._breaks = np.flatnonzero(self._next != following)

    def _runs(self, cluster: int, path: str) -> Iterator[tuple[int, int]]:
        """The clusters of a chain: first of each run, and how many."""
        left = self._clusters
        while 2 <= cluster < self._clusters + 2 and left > 0:
            place = int(np.searchsorted(self._breaks, cluster))
            last = int(self._breaks[place]) if place < len(self._breaks) else self._clusters + 1
            yield cluster, last + 1 - cluster
            left -= last + 1 - cluster
            cluster = int(self._next[last])
        if cluster < (0x0FFFFFF8 if self.wide else 0xFFF8):
            raise Unreadable(f"{path} has a chain of clusters that leads nowhere")

    def _sections(self, cluster: int, path: str, size: int | None = None) -> list[Section]:
        """Where a chain lies, as far as a file of `size` bytes goes."""
        if size == 0:
            return []
        found = []
        for first, count in self._runs(cluster, path):
            length = count * self._cluster
            if size is not None:
                length = min(length, size)
                size -= length
            if length:
                found.append((self._first + (first - 2) * self._cluster, length))
        if size:
            raise Unreadable(f"{path} is longer than its chain of clusters")
        return found

    def walk(self) -> dict[str, list[Section]]:
        found: dict[str, list[Section]] = {}
        root = self._sections(self._root_cluster, "root") if self.wide else [self._root]
        directories = [("", root, 1)]
        seen = set()
        entries = 0
        while directories:
            path, sections, level = directories.pop()
            for name, attributes, cluster, size in self._entries(path, sections):
                entries += 1
                check_bounds(entries, level)
                if not attributes & _DIRECTORY:
                    found[path + name] = self._sections(cluster, path + name, size)
                    continue
                if cluster in seen:
                    raise Unreadable(f"directory {path}{name} is reached twice")
                seen.add(cluster)
                child = self._sections(cluster, path + name)
                directories.append((f"{path}{name}\\", child, level + 1))
        return found

    def _entries(self, path: str, sections: list[Section]) -> Iterator[tuple[str, int, int, int]]:
        """Name, attributes, first cluster and size of every child of a directory."""
        if sum(length for _, length in sections) > LARGEST_DIRECTORY:
            raise Unreadable(f"directory {path or 'root'} is larger than any can be")
        for start, length in sections:
            if not self._source.has(start, length):
                raise Unreadable(f"directory {path or 'root'} goes beyond the end of the volume")
        data = b"".join(self._source.read(start, length) for start, length in sections)
        for at in range(0, len(data), 32):
            name, attributes, high, low, size = _ENTRY.unpack_from(data, at)
            if name[0] == _END:
                break
            if name[0] == _FREE or attributes & _LABEL or name.startswith(b"."):
                continue
            stem, extension = (part.decode("latin-1").rstrip() for part in (name[:8], name[8:]))
            cluster = (high if self.wide else 0) << 16 | low
            yield f"{stem}.{extension}" if extension else stem, attributes, cluster, size
