"""Craft: writes FAT16 and FAT32 images for sticks and cards (PS3.12 R, S, T, U).

One partition begins at the first MiB. Of FAT, the number of clusters alone says whether it is
FAT16 or FAT32; a volume of few files is given free clusters until it is a FAT16. Files and
directories lie in one piece each, clusters at multiples of 4096 bytes of the image.
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
from burnish.image import image_file, volume_size, zip_writer
from burnish.image.directory_tree import Directory
from burnish.image.image_file import Progress
from burnish.image.volume_size import Run, Sums
from burnish.values import VolumeFile

_SECTOR = 512
_PARTITION = 2048
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
#: Room for so many entries in the root directory of a FAT16.
_ROOT_ENTRIES = 512
#: Clusters of a FAT16 and of a FAT32, sixteen off the bounds, where other programs err.
_LEAST_16, _MOST_16 = 4085 + 16, 65524 - 16
_LEAST_32, _MOST_32 = 65525 + 16, 0x0FFFFFF5 - 16
_TABLES = 2
_FIRST_CLUSTER = 2
_DIRECTORY, _ARCHIVE, _LABEL = 0x10, 0x20, 0x08
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where things lie in a partition, in sectors, by its clusters in use."""

    wide: bool
    cluster_sectors: int
    clusters: int

    @property
    def table_sectors(self) -> int:
        width = 4 if self.wide else 2
        return -(-(self.clusters + _FIRST_CLUSTER) * width // _SECTOR)

    @property
    def reserved(self) -> int:
        """At least 32 (FAT32) or 1 (FAT16), and so many that clusters lie at multiples of 8."""
        least = 32 if self.wide else 1
        return least + -(least + _TABLES * self.table_sectors) % 8

    @property
    def root_sectors(self) -> int:
        """Sectors of the root directory where it is none of the clusters."""
        return 0 if self.wide else _ROOT_ENTRIES * _ENTRY.size // _SECTOR

    @property
    def first_cluster(self) -> int:
        return self.reserved + _TABLES * self.table_sectors + self.root_sectors

    @property
    def sectors(self) -> int:
        return self.first_cluster + self.clusters * self.cluster_sectors


@dataclass(frozen=True, slots=True)
class FatSizing:
    """Sizes in clusters of `cluster` bytes. `widest` says whether a volume may become FAT32."""

    cluster: int
    widest: bool
    largest_file: int = 0xFFFFFFFF

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return -(-size // self.cluster)

    def structure(self, runs: Sequence[Run]) -> int:
        """With entries for itself and its parent; the root, with one for its label, needs no more.

        On a FAT16 the root lies elsewhere: what is counted for it here stays free.
        """
        return -(-(2 + sum(run.count for run in runs)) * _ENTRY.size // self.cluster)

    def size(self, sums: Sums) -> int:
        return (_PARTITION + self.geometry(sums.structure + sums.content).sectors) * _SECTOR

    def geometry(self, used: int) -> Geometry:
        """The volume that holds so many clusters in use."""
        wide = self.widest and used > _MOST_16
        least = _LEAST_32 if wide else _LEAST_16
        return Geometry(wide, self.cluster // _SECTOR, max(used, least))


#: Clusters of 4 KiB waste least on small files; those of 32 KiB bring a FAT16 to 2 GiB.
SIZING = FatSizing(4096, widest=True)
SIZING_16 = FatSizing(32768, widest=False)


class _Chain(NamedTuple):
    """Clusters that a file or directory lies in, one after the other."""

    first: int
    length: int


@dataclass(frozen=True, slots=True)
class _Volume:
    """Everything of a volume but the files' bytes."""

    sizing: FatSizing
    geometry: Geometry
    label: bytes
    date: tuple[int, int]
    directories: Sequence[Directory]
    chains: Mapping[str, _Chain]
    sizes: Mapping[str, int]

    def structure(self) -> Iterator[tuple[int, bytes]]:
        """Where each part lies in the image, in bytes, and the part."""
        start = _PARTITION * _SECTOR
        boot = self._boot_sector()
        yield 0, self._partition_table()
        yield start, boot
        if self.geometry.wide:
            information = self._information_sector()
            yield start + _SECTOR, information
            yield start + 6 * _SECTOR, boot + information
        for number in range(_TABLES):
            at = start + (self.geometry.reserved + number * self.geometry.table_sectors) * _SECTOR
            for piece in self._table():
                yield at, piece
                at += len(piece)
        for directory in self.directories:
            yield self._place(directory), self._entries(directory)

    def byte(self, cluster: int) -> int:
        """Where a cluster begins in the image."""
        first = (_PARTITION + self.geometry.first_cluster) * _SECTOR
        return first + (cluster - _FIRST_CLUSTER) * self.sizing.cluster

    def _place(self, directory: Directory) -> int:
        if directory.path or self.geometry.wide:
            return self.byte(self.chains[directory.path].first)
        return self.byte(_FIRST_CLUSTER) - self.geometry.root_sectors * _SECTOR

    @property
    def _serial_number(self) -> int:
        return crc32(self.label + struct.pack("<HH", *self.date))

    def _partition_table(self) -> bytes:
        """A Master Boot Record with one partition, which is not to be booted from."""
        kind = 0x0C if self.geometry.wide else 0x0E
        far = b"\xfe\xff\xff"
        entry = bytes(1) + far + bytes((kind,)) + far
        entry += struct.pack("<II", _PARTITION, self.geometry.sectors)
        record = bytes(440) + struct.pack("<IH", self._serial_number, 0) + entry
        return record.ljust(510, b"\0") + b"\x55\xaa"

    def _boot_sector(self) -> bytes:
        shape = self.geometry
        short = shape.sectors if shape.sectors < 1 << 16 and not shape.wide else 0
        sector = b"\xeb\x58\x90MSWIN4.1" if shape.wide else b"\xeb\x3c\x90MSWIN4.1"
        sector += struct.pack(
            "<HBHBHHBHHHII",
            *(_SECTOR, shape.cluster_sectors, shape.reserved, _TABLES),
            *(0 if shape.wide else _ROOT_ENTRIES, short, 0xF8),
            *(0 if shape.wide else shape.table_sectors, 63, 255),
            *(_PARTITION, 0 if short else shape.sectors),
        )
        if shape.wide:
            root = self.chains[""].first
            sector += struct.pack("<IHHIHH12x", shape.table_sectors, 0, 0, root, 1, 6)
        sector += struct.pack("<BBBI", 0x80, 0, 0x29, self._serial_number)
        sector += self.label + (b"FAT32   " if shape.wide else b"FAT16   ")
        return sector.ljust(510, b"\0") + b"\x55\xaa"

    def _information_sector(self) -> bytes:
        used = sum(chain.length for chain in self.chains.values())
        information = b"RRaA" + bytes(480) + b"rrAa"
        information += struct.pack("<II", self.geometry.clusters - used, _FIRST_CLUSTER + used)
        return information.ljust(510, b"\0") + b"\x55\xaa"

    def _table(self) -> Iterator[bytes]:
        """The file allocation table as far as clusters are in use."""
        kind, end = ("<u4", 0x0FFFFFFF) if self.geometry.wide else ("<u2", 0xFFFF)
        gathered = [np.array([end - 7, end], kind).tobytes()]
        weight = 0
        for chain in self.chains.values():
            if not chain.length:
                continue
            following = np.arange(chain.first + 1, chain.first + chain.length + 1).astype(kind)
            following[-1] = end
            gathered.append(following.tobytes())
            weight += len(gathered[-1])
            if weight >= _PIECE:
                yield b"".join(gathered)
                gathered, weight = [], 0
        yield b"".join(gathered)

    def _entries(self, directory: Directory) -> bytes:
        entry = partial(_entry, date=self.date)
        parent = directory.path.rpartition("\\")[0]
        if directory.path:
            above = self.chains[parent].first if parent else 0
            entries = [
                entry(b".".ljust(11), _DIRECTORY, self.chains[directory.path].first),
                entry(b"..".ljust(11), _DIRECTORY, above),
            ]
        else:
            entries = [entry(self.label, _LABEL, 0)]
        for child in directory.directories:
            entries.append(entry(_name(child.name), _DIRECTORY, self.chains[child.path].first))
        for name in directory.files:
            path = directory.path_of(name)
            first = self.chains[path].first
            entries.append(entry(_name(name), _ARCHIVE, first, size=self.sizes[path]))
        return b"".join(entries)


def _name(name: str) -> bytes:
    stem, _, extension = name.partition(".")
    return (stem.ljust(8) + extension.ljust(3)).encode("ascii")


def _entry(
    name: bytes, attributes: int, cluster: int, *, date: tuple[int, int], size: int = 0
) -> bytes:
    time, day = date
    return _ENTRY.pack(
        *(name, attributes, 0, 0, time, day, day),
        *(cluster >> 16, time, day, cluster & 0xFFFF, size),
    )


def write(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    arithmetic: FatSizing = SIZING,
) -> int:
    """Writes the image at `path`, as `iso9660.write` does.

    The volume label is the File-set ID as far as its 11 characters reach.
    """
    directories, size = volume_size.planned(arithmetic, volume_identifier, files)
    sizes = {file.file_id: file.size for file in files}
    used = sum(arithmetic.content(0, length) for length in sizes.values())
    lengths = {
        directory.path: _directory_clusters(arithmetic, directory) for directory in directories
    }
    geometry = arithmetic.geometry(used + sum(lengths.values()))
    children = len(directories[0].directories) + len(directories[0].files)
    most = _MOST_32 if arithmetic.widest else _MOST_16
    if geometry.clusters > most or (not geometry.wide and children >= _ROOT_ENTRIES):
        raise OutOfResources("a FAT has no room for so much")
    if not geometry.wide:
        del lengths[""]
    chains = {}
    at = _FIRST_CLUSTER
    for name, count in [
        *lengths.items(),
        *((file.file_id, arithmetic.content(0, file.size)) for file in files),
    ]:
        chains[name] = _Chain(at if count else 0, count)
        at += count
    label = (volume_identifier[:11] or "NO NAME").ljust(11).encode("ascii")
    date = zip_writer.dos_date(created)
    volume = _Volume(arithmetic, geometry, label, date, directories, chains, sizes)
    placed = [(volume.byte(chains[file.file_id].first), file) for file in files]
    return image_file.write(path, size, volume.structure(), placed, progress)


def _directory_clusters(arithmetic: FatSizing, directory: Directory) -> int:
    return arithmetic.structure([Run(len(directory.directories) + len(directory.files), "")])


write_16 = partial(write, arithmetic=SIZING_16)
