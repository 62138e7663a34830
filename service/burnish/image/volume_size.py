"""Craft: the size of a volume image, known before a byte of it is written.

What the files and directories of a volume take adds up. A packer therefore keeps the sums of a
volume while it adds files, and the arithmetic of each file system turns sums into bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from burnish.image import directory_tree
from burnish.image.directory_tree import Directory
from burnish.media import SECTOR
from burnish.values import VolumeFile


@dataclass(frozen=True, slots=True)
class NameRun:
    """`count` names of one length in one directory; `name` is one of them."""

    count: int
    name: str
    directory: bool = False


@dataclass(frozen=True, slots=True)
class Sums:
    """The files and directories of a volume, added up.

    `names` is the total length of the names of all directories, each rounded up to an even number.
    `structure` is what directories take and `content` what files take, in units of the file
    system. The root directory counts in `structure` only.
    """

    files: int = 0
    directories: int = 0
    names: int = 0
    structure: int = 0
    content: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.files + other.files,
            self.directories + other.directories,
            self.names + other.names,
            self.structure + other.structure,
            self.content + other.content,
        )


class Sizing(Protocol):
    """The arithmetic of one file system. Each file system has its own unit."""

    @property
    def largest_file(self) -> int:
        """The size in bytes of the largest file that the file system can hold."""
        ...

    def content(self, path_length: int, size: int) -> int:
        """Units that a file of `size` bytes takes whose path has `path_length` characters."""
        ...

    def structure(self, runs: Sequence[NameRun]) -> int:
        """Units that a directory takes which holds these names."""
        ...

    def size(self, sums: Sums) -> int:
        """Bytes of the image."""
        ...


def sectors(size: int) -> int:
    """Sectors of an optical medium that `size` bytes take."""
    return -(-size // SECTOR)


def directory_sums(name: str) -> Sums:
    """The size that a directory adds by its name alone."""
    return Sums(directories=1, names=len(name) + len(name) % 2)


def plan_volume(
    sizing: Sizing, volume_identifier: str, files: Sequence[VolumeFile]
) -> tuple[list[Directory], int]:
    """The directories of a volume with these files, and the bytes of its image.

    Raises as `directory_tree.check_volume` does.
    """
    directory_tree.check_volume(volume_identifier, files, sizing.largest_file)
    sizes = {file.file_id: file.size for file in files}
    directories = directory_tree.build_tree(sizes)
    return directories, sizing.size(_tree_sums(sizing, directories, sizes))


def volume_sums(sizing: Sizing, files: Iterable[tuple[str, int]]) -> Sums:
    """The total size of these files, given as File ID and size, and of their directories."""
    sizes = dict(files)
    return _tree_sums(sizing, directory_tree.build_tree(sizes), sizes)


def image_size(sizing: Sizing, files: Iterable[tuple[str, int]]) -> int:
    """Bytes of the image that holds these files, given as File ID and size."""
    return sizing.size(volume_sums(sizing, files))


def filled_image_size(sizing: Sizing, empty: Sums, files: Iterable[tuple[str, int]]) -> int:
    """Bytes of the image once these files, which `empty` counts with no bytes, have their sizes."""
    added = sum(
        sizing.content(len(file_id), size) - sizing.content(len(file_id), 0)
        for file_id, size in files
    )
    return sizing.size(empty + Sums(content=added))


def _tree_sums(sizing: Sizing, directories: Sequence[Directory], sizes: Mapping[str, int]) -> Sums:
    names = structure = 0
    for directory in directories:
        names += directory_sums(directory.name).names
        runs = [NameRun(1, child.name, directory=True) for child in directory.directories]
        runs += [NameRun(1, name) for name in directory.files]
        structure += sizing.structure(runs)
    content = sum(sizing.content(len(file_id), size) for file_id, size in sizes.items())
    return Sums(len(sizes), len(directories) - 1, names, structure, content)
