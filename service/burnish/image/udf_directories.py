"""Craft: encodes the directory tree of a UDF volume (ECMA-167 4/8.6)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from burnish.image import udf
from burnish.image.directory_tree import Directory
from burnish.image.udf import Udf
from burnish.media import SECTOR
from burnish.values import VolumeFile

#: The allocation descriptors of a file's content.
Addresses = Callable[[VolumeFile], Iterable[bytes]]

#: Unique IDs below are kept for systems that number otherwise (UDF 3.2.1.1).
_FIRST_UNIQUE = 16


@dataclass(slots=True)
class Numbering:
    """Where each directory and file has its entry, in blocks of the partition with the entries.

    Directories come first, each entry with its directory's names behind it, then files.
    """

    directories: Sequence[Directory]
    files: Sequence[VolumeFile]
    first: int
    blocks: dict[str, int] = field(default_factory=dict)
    uniques: dict[str, int] = field(default_factory=dict)
    end: int = 0

    def __post_init__(self) -> None:
        at = self.first
        for directory in self.directories:
            self.blocks[directory.path] = at
            at += 1 + directory_sectors(directory)
        for file in self.files:
            self.blocks[file.file_id] = at
            at += 1
        self.end = at
        self.uniques = {
            path: number for number, path in enumerate(list(self.blocks)[1:], start=_FIRST_UNIQUE)
        }
        self.uniques[""] = 0

    @property
    def next_unique(self) -> int:
        return _FIRST_UNIQUE + len(self.uniques) - 1


def directory_sectors(directory: Directory) -> int:
    """Sectors of the names in one directory."""
    names = [child.name for child in directory.directories] + directory.files
    return udf.directory_sectors((1, len(name)) for name in names)


def encode(
    common: Udf,
    numbering: Numbering,
    partition: int,
    addresses: Addresses,
) -> bytes:
    """All entries and names, from the first directory's to the last file's.

    They lie in the partition of this number, with the content of directories.
    """
    out = []
    for directory in numbering.directories:
        block = numbering.blocks[directory.path]
        names = _names(common, numbering, partition, directory)
        entry = udf.file_entry(
            common,
            block,
            udf.DIRECTORY,
            size=len(names),
            addresses=[udf.short_address(len(names), block + 1)],
            unique=numbering.uniques[directory.path],
            links=1 + len(directory.directories),
        )
        out += [entry.ljust(SECTOR, b"\0"), names, bytes(-len(names) % SECTOR)]
    for file in numbering.files:
        entry = udf.file_entry(
            common,
            numbering.blocks[file.file_id],
            udf.REGULAR,
            size=file.size,
            addresses=list(addresses(file)),
            unique=numbering.uniques[file.file_id],
        )
        out.append(entry.ljust(SECTOR, b"\0"))
    return b"".join(out)


def _names(common: Udf, numbering: Numbering, partition: int, directory: Directory) -> bytes:
    """The content of a directory (4/8.6): its parent, then directories and files by name."""
    start = numbering.blocks[directory.path] + 1
    out = bytearray()

    def add(name: str, path: str, *, is_directory: bool) -> None:
        unique = numbering.uniques[path] if common.revision >= 0x0200 else 0
        icb = udf.long_address(SECTOR, numbering.blocks[path], partition, unique)
        location = start + len(out) // SECTOR
        out.extend(udf.file_identifier(common, location, name, icb, directory=is_directory))

    add("", directory.path.rpartition("\\")[0], is_directory=True)
    for child in directory.directories:
        add(child.name, child.path, is_directory=True)
    for name in directory.files:
        add(name, directory.path_of(name), is_directory=False)
    return bytes(out)
