"""Craft: writes FAT16 and FAT32 images for sticks and cards (PS3.12 R, S, T, U).

The image has one partition, which begins at the first MiB. Whether a FAT is FAT16 or FAT32 depends
on its number of clusters alone; a volume of few files gets free clusters until it is a FAT16. Every
file and directory lies in one piece, and clusters lie at multiples of 4096 bytes of the image.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from burnish.errors import OutOfResources
from burnish.image import image_file, volume_size
from burnish.image.directory_tree import Directory
from burnish.image.image_file import Progress
from burnish.image.image_layout import ImageLayout
from burnish.image.volume_size import NameRun, Sums
from burnish.image.zip_writer import dos_date
from burnish.values import VolumeFile

_SECTOR = 512
#: The first sector of the partition.
_PARTITION = 2048
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
#: Entries that the root directory of a FAT16 has room for.
_ROOT_ENTRIES = 512
#: Clusters of a FAT16 and of a FAT32, sixteen off the limits, where other programs err.
_LEAST_16, _MOST_16 = 4085 + 16, 65524 - 16
_LEAST_32, _MOST_32 = 65525 + 16, 0x0FFFFFF5 - 16
_TABLES = 2
_FIRST_CLUSTER = 2
_DIRECTORY, _ARCHIVE, _LABEL = 0x10, 0x20, 0x08
#: Bytes of the file allocation table that are handed over at once.
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the parts of a partition lie, in sectors."""

    is_fat32: bool
    cluster_sectors: int
    clusters: int

    @property
    def table_sectors(self) -> int:
        entry_size = 4 if self.is_fat32 else 2
        return -(-(self.clusters + _FIRST_CLUSTER) * entry_size // _SECTOR)

    @property
    def reserved(self) -> int:
        """Reserved sectors: at least 32 (FAT32) or 1 (FAT16), so that clusters are aligned."""
        least = 32 if self.is_fat32 else 1
        return least + -(least + _TABLES * self.table_sectors) % 8

    @property
    def root_sectors(self) -> int:
        """Sectors of the root directory of a FAT16; that of a FAT32 lies in clusters."""
        return 0 if self.is_fat32 else _ROOT_ENTRIES * _ENTRY.size // _SECTOR

    @property
    def first_cluster(self) -> int:
        return self.reserved + _TABLES * self.table_sectors + self.root_sectors

    @property
    def sectors(self) -> int:
        return self.first_cluster + self.clusters * self.cluster_sectors


@dataclass(frozen=True, slots=True)
class FatSizing:
    """The unit is a cluster of `cluster` bytes. `may_be_fat32` permits more than a FAT16 holds."""

    cluster: int
    may_be_fat32: bool
    largest_file: int = 0xFFFFFFFF

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return -(-size // self.cluster)

    def structure(self, runs: Sequence[NameRun]) -> int:
        """Counts an entry for the directory itself and one for its parent.

        The root has one for the volume label instead. On a FAT16 the root lies before the clusters,
        so what is counted for it here stays free.
        """
        entries = 2 + sum(run.count for run in runs)
        return -(-entries * _ENTRY.size // self.cluster)

    def size(self, sums: Sums) -> int:
        return (_PARTITION + self.geometry(sums.structure + sums.content).sectors) * _SECTOR

    def geometry(self, used_clusters: int) -> Geometry:
        """The smallest volume that holds this many clusters in use."""
        is_fat32 = self.may_be_fat32 and used_clusters > _MOST_16
        least = _LEAST_32 if is_fat32 else _LEAST_16
        return Geometry(is_fat32, self.cluster // _SECTOR, max(used_clusters, least))


#: Clusters of 4 KiB waste least on small files.
SIZING = FatSizing(4096, may_be_fat32=True)
#: Clusters of 32 KiB bring a FAT16 to 2 GiB.
SIZING_16 = FatSizing(32768, may_be_fat32=False)


class _Chain(NamedTuple):
    """The clusters of a file or directory, one after the other."""

    first: int
    length: int


@dataclass(frozen=True, slots=True)
class _FatStructure:
    """Everything of a volume except the content of its files."""

    sizing: FatSizing
    geometry: Geometry
    label: bytes
    date: tuple[int, int]
    directories: Sequence[Directory]
    chains: Mapping[str, _Chain]
    sizes: Mapping[str, int]

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """Every part and its first byte in the image."""
        partition_start = _PARTITION * _SECTOR
        boot = self._boot_sector()
        yield 0, self._partition_table()
        yield partition_start, boot
        if self.geometry.is_fat32:
            information = self._information_sector()
            yield partition_start + _SECTOR, information
            yield partition_start + 6 * _SECTOR, boot + information  # the backup
        for number in range(_TABLES):
            sector = self.geometry.reserved + number * self.geometry.table_sectors
            start = partition_start + sector * _SECTOR
            for piece in self._allocation_table():
                yield start, piece
                start += len(piece)
        for directory in self.directories:
            yield self._directory_start(directory), self._directory_entries(directory)

    def cluster_start(self, cluster: int) -> int:
        """The first byte of a cluster in the image."""
        first = (_PARTITION + self.geometry.first_cluster) * _SECTOR
        return first + (cluster - _FIRST_CLUSTER) * self.sizing.cluster

    def _directory_start(self, directory: Directory) -> int:
        if directory.path or self.geometry.is_fat32:
            return self.cluster_start(self.chains[directory.path].first)
        return self.cluster_start(_FIRST_CLUSTER) - self.geometry.root_sectors * _SECTOR

    @property
    def _serial_number(self) -> int:
        return crc32(self.label + struct.pack("<HH", *self.date))

    def _partition_table(self) -> bytes:
        """A Master Boot Record with one partition, from which no system boots."""
        partition_type = 0x0C if self.geometry.is_fat32 else 0x0E
        no_chs_address = b"\xfe\xff\xff"  # beyond what cylinder, head and sector can address
        entry = b"\0" + no_chs_address + bytes([partition_type]) + no_chs_address
        entry += struct.pack("<II", _PARTITION, self.geometry.sectors)
        record = bytes(440) + struct.pack("<IH", self._serial_number, 0) + entry
        return record.ljust(510, b"\0") + b"\x55\xaa"

    def _boot_sector(self) -> bytes:
        geometry = self.geometry
        is_fat32 = geometry.is_fat32
        fits_16_bits = geometry.sectors < 1 << 16 and not is_fat32
        sector = b"\xeb\x58\x90MSWIN4.1" if is_fat32 else b"\xeb\x3c\x90MSWIN4.1"
        sector += struct.pack(
            "<HBHBHHBHHHII",
            _SECTOR,
            geometry.cluster_sectors,
            geometry.reserved,
            _TABLES,
            0 if is_fat32 else _ROOT_ENTRIES,
            geometry.sectors if fits_16_bits else 0,
            0xF8,  # a fixed disk
            0 if is_fat32 else geometry.table_sectors,
            63,  # sectors of a track
            255,  # heads
            _PARTITION,
            0 if fits_16_bits else geometry.sectors,
        )
        if is_fat32:
            root = self.chains[""].first
            sector += struct.pack("<IHHIHH12x", geometry.table_sectors, 0, 0, root, 1, 6)
        sector += struct.pack("<BBBI", 0x80, 0, 0x29, self._serial_number)
        sector += self.label + (b"FAT32   " if is_fat32 else b"FAT16   ")
        return sector.ljust(510, b"\0") + b"\x55\xaa"

    def _information_sector(self) -> bytes:
        used = sum(chain.length for chain in self.chains.values())
        information = b"RRaA" + bytes(480) + b"rrAa"
        information += struct.pack("<II", self.geometry.clusters - used, _FIRST_CLUSTER + used)
        return information.ljust(510, b"\0") + b"\x55\xaa"

    def _allocation_table(self) -> Iterator[bytes]:
        """The file allocation table up to the last cluster in use."""
        if self.geometry.is_fat32:
            number_type, end_of_chain = "<u4", 0x0FFFFFFF
        else:
            number_type, end_of_chain = "<u2", 0xFFFF
        pieces = [np.array([end_of_chain - 7, end_of_chain], number_type).tobytes()]
        length = 0
        for chain in self.chains.values():
            if not chain.length:
                continue
            following = np.arange(chain.first + 1, chain.first + chain.length + 1)
            entries = following.astype(number_type)
            entries[-1] = end_of_chain
            pieces.append(entries.tobytes())
            length += len(pieces[-1])
            if length >= _PIECE:
                yield b"".join(pieces)
                pieces, length = [], 0
        yield b"".join(pieces)

    def _directory_entries(self, directory: Directory) -> bytes:
        if directory.path:
            parent = self.chains[directory.parent].first if directory.parent else 0
            entries = [
                self._entry(b".".ljust(11), _DIRECTORY, self.chains[directory.path].first),
                self._entry(b"..".ljust(11), _DIRECTORY, parent),
            ]
        else:
            entries = [self._entry(self.label, _LABEL, 0)]
        for child in directory.directories:
            first = self.chains[child.path].first
            entries.append(self._entry(_short_name(child.name), _DIRECTORY, first))
        for name in directory.files:
            path = directory.path_of(name)
            first = self.chains[path].first
            entries.append(self._entry(_short_name(name), _ARCHIVE, first, self.sizes[path]))
        return b"".join(entries)

    def _entry(self, name: bytes, attributes: int, cluster: int, size: int = 0) -> bytes:
        time, day = self.date
        return _ENTRY.pack(
            name,
            attributes,
            0,
            0,
            time,  # created
            day,
            day,  # last accessed
            cluster >> 16,
            time,  # last written
            day,
            cluster & 0xFFFF,
            size,
        )


def _short_name(name: str) -> bytes:
    """The eleven characters of a name in a directory entry."""
    stem, _, extension = name.partition(".")
    return (stem.ljust(8) + extension.ljust(3)).encode("ascii")


def write_image(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    layout: ImageLayout | None = None,
    sizing: FatSizing = SIZING,
) -> int:
    """Writes a FAT image (see `formats.ImageWriter`).

    The volume label is the first 11 characters of the File-set ID.
    """
    directories, size = volume_size.plan_volume(sizing, volume_identifier, files)
    sizes = {file.file_id: file.size for file in files}
    clusters = {directory.path: _directory_clusters(sizing, directory) for directory in directories}
    clusters |= {file.file_id: sizing.content(0, file.size) for file in files}
    geometry = sizing.geometry(sum(clusters.values()))
    root = directories[0]
    root_is_full = len(root.directories) + len(root.files) >= _ROOT_ENTRIES
    most_clusters = _MOST_32 if sizing.may_be_fat32 else _MOST_16
    if geometry.clusters > most_clusters or (root_is_full and not geometry.is_fat32):
        raise OutOfResources("a FAT file system has no room for so many files or bytes")
    if not geometry.is_fat32:
        del clusters[root.path]
    structure = _FatStructure(
        sizing,
        geometry,
        (volume_identifier[:11] or "NO NAME").ljust(11).encode("ascii"),
        dos_date(created),
        directories,
        _lay_out(clusters),
        sizes,
    )
    placed_files = [
        (structure.cluster_start(structure.chains[file.file_id].first), file) for file in files
    ]
    return image_file.write_layout(path, size, structure.parts(), placed_files, progress, layout)


def _lay_out(clusters: Mapping[str, int]) -> dict[str, _Chain]:
    """The clusters of each path, one path after the other; an empty file has none."""
    chains = {}
    next_cluster = _FIRST_CLUSTER
    for path, count in clusters.items():
        chains[path] = _Chain(next_cluster if count else 0, count)
        next_cluster += count
    return chains


def _directory_clusters(sizing: FatSizing, directory: Directory) -> int:
    return sizing.structure([NameRun(len(directory.directories) + len(directory.files), "")])


write_fat16_image = partial(write_image, sizing=SIZING_16)
