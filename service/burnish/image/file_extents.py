"""Craft: where each file of a volume lies: laid out for writers, and found by readers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.image import volume_size
from burnish.image.image_source import Source
from burnish.media import FileSystem
from burnish.values import VolumeFile

#: The most files and directories that a volume may have.
MAXIMUM_ENTRIES = 1_000_000

#: The most directory levels. ECMA-119 6.8.2.1 permits eight; other writers make more.
MAXIMUM_LEVELS = 32

#: Bytes of the largest directory that is read.
LARGEST_DIRECTORY = 64 << 20

#: One piece of a file: where it begins in the image and its length, in bytes.
Section = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FileTable:
    """The files of a volume: its name, and the sections of every file by File ID.

    `file_system` is None for a file system that no medium of PS3.12 has here. `disagreements` maps
    a file name, or a part of the file system, to a sentence that tells in what two places of the
    volume contradict each other. `content` is what the sections lie in, where that is not the image
    itself. `dates` are those of files in ISO 9660, encoded as ECMA-119 9.1.5. `long_names` are
    the names in FAT of files whose File ID is only an alias.
    """

    file_system: FileSystem | None
    volume_identifier: str
    sections: Mapping[str, Sequence[Section]]
    disagreements: Mapping[str, str] = field(default_factory=dict)
    content: Source | None = None
    dates: Mapping[str, bytes] = field(default_factory=dict)
    long_names: Mapping[str, str] = field(default_factory=dict)


class Extent(NamedTuple):
    """Where a file or directory lies: its first sector and its length in bytes.

    `date` is its Recording Date and Time (ECMA-119 9.1.5), if it has one of its own.
    """

    sector: int
    size: int
    date: bytes = b""


def lay_out_files(files: Iterable[VolumeFile], first: int) -> dict[str, Extent]:
    """Return where each file lies, by File ID: one after the other from sector `first`.

    This is the order of ISO 9660 and UDF. An empty file has sector 0.
    """
    extents = {}
    for file in files:
        extents[file.file_id] = Extent(first if file.size else 0, file.size)
        first += volume_size.sectors(file.size)
    return extents


def check_bounds(entries: int, level: int) -> None:
    """Raises Unreadable for a volume that has more files or levels than any File-set can have."""
    if entries > MAXIMUM_ENTRIES:
        raise Unreadable(f"the volume has more than {MAXIMUM_ENTRIES} files")
    if level > MAXIMUM_LEVELS:
        raise Unreadable(f"the volume has more than {MAXIMUM_LEVELS} directory levels")
