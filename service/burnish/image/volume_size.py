"""Craft: tells how large a volume comes out, before a byte of it is written.

What the files and directories of a volume take adds up, so a packer can keep the sums of a volume
up to date while it adds files; from the sums each file system tells the bytes of the image.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from burnish.image import directory_tree
from burnish.image.directory_tree import Directory
from burnish.values import VolumeFile


@dataclass(frozen=True, slots=True)
class Run:
    """So many names of one length in one directory: `name` is one of them."""

    count: int
    name: str
    directory: bool = False


@dataclass(frozen=True, slots=True)
class Sums:
    """What is on a volume, added up.

    `names` are the characters of the names of all directories, each made even; `structure` is
    what directories take, `content` what files take, in units of the file system. The root
    directory counts in `structure` only.
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
    """The arithmetic of one file system."""

    @property
    def largest_file(self) -> int:
        """Bytes of the largest file it can hold."""
        ...

    def content(self, path_length: int, size: int) -> int:
        """Units that a file of `size` bytes takes, whose path has so many characters."""
        ...

    def structure(self, runs: Sequence[Run]) -> int:
        """Units that a directory takes in which these names are."""
        ...

    def size(self, sums: Sums) -> int:
        """Bytes of the image."""
        ...


def directory_sums(name: str) -> Sums:
    """What a directory adds by its name alone."""
    return Sums(directories=1, names=len(name) + len(name) % 2)


def planned(
    sizing: Sizing, volume_identifier: str, files: Sequence[VolumeFile]
) -> tuple[list[Directory], int]:
    """The directories of a volume with these files, and the bytes of its image.

    Raises as `tree.check` does.
    """
    directory_tree.check(volume_identifier, files, sizing.largest_file)
    sizes = {file.file_id: file.size for file in files}
    directories = directory_tree.grow(sizes)
    return directories, sizing.size(_sums_of_tree(sizing, directories, sizes))


def sums(sizing: Sizing, files: Iterable[tuple[str, int]]) -> Sums:
    """What these files, given as File ID and size, and their directories add up to."""
    sizes = dict(files)
    return _sums_of_tree(sizing, directory_tree.grow(sizes), sizes)


def of_volume(sizing: Sizing, files: Iterable[tuple[str, int]]) -> int:
    """Bytes of the image that holds these files, given as File ID and size."""
    return sizing.size(sums(sizing, files))


def filled(sizing: Sizing, empty: Sums, files: Iterable[tuple[str, int]]) -> int:
    """Bytes of the image where these of its files, which had no bytes in `empty`, have so many."""
    more = sum(sizing.content(len(name), n) - sizing.content(len(name), 0) for name, n in files)
    return sizing.size(empty + Sums(content=more))


def _sums_of_tree(
    sizing: Sizing, directories: Sequence[Directory], sizes: Mapping[str, int]
) -> Sums:
    names = structure = 0
    for directory in directories:
        names += directory_sums(directory.name).names
        runs = [Run(1, child.name, directory=True) for child in directory.directories]
        structure += sizing.structure([*runs, *(Run(1, name) for name in directory.files)])
    content = sum(sizing.content(len(file_id), size) for file_id, size in sizes.items())
    return Sums(len(sizes), len(directories) - 1, names, structure, content)
