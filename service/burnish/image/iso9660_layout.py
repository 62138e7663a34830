"""Craft: the arithmetic of ISO 9660 Level 1 images (ECMA-119).

An image takes, in sectors:

    FIXED_SECTORS
    + path_table_sectors(PATH_TABLE_ROOT + sum of path_table_record(length) over directories)
    + directory_sectors(identifiers of its children), for the root and for every directory
    + file_sectors(size), for every file

No padding follows the last file.
"""

from collections.abc import Iterable, Sequence

from burnish.image.directory_tree import Directory
from burnish.image.volume_size import Run, Sums
from burnish.media import SECTOR

#: System area, Primary Volume Descriptor, Set Terminator (ECMA-119 6.2.1, 6.7.1), and a
#: sector of zeros, where other writers say which version of them it was.
FIXED_SECTORS = 16 + 1 + 1 + 1

#: Bytes that the root directory takes in a path table (ECMA-119 9.4).
PATH_TABLE_ROOT = 10

#: The largest file of one File Section, in bytes: what lies in 32 bits (ECMA-119 9.1.4) in whole
#: sectors. Level 1 has files of one File Section only (10.1).
LARGEST_FILE = 0xFFFFF800

_SELF_AND_PARENT = 34 + 34


def file_identifier(name: str) -> str:
    """The File Identifier of a file in its Directory Record (ECMA-119 7.5.1)."""
    return f"{name};1" if "." in name else f"{name}.;1"


def file_sectors(size: int) -> int:
    """Sectors that a file of `size` bytes takes."""
    return -(-size // SECTOR)


def directory_record(identifier_length: int) -> int:
    """Bytes of a Directory Record, which has an even length (ECMA-119 9.1)."""
    return 33 + identifier_length + (identifier_length + 1) % 2


def directory_sectors(identifier_lengths: Iterable[int]) -> int:
    """Sectors of a directory, by the lengths of its children's identifiers in order of name.

    No Directory Record goes over the end of a sector (ECMA-119 6.8.1.1), hence the order. The
    identifier of a file NAME is `NAME.;1`, that of a directory is its name.
    """
    sectors, used = 1, _SELF_AND_PARENT
    for record in map(directory_record, identifier_lengths):
        if used + record > SECTOR:
            sectors, used = sectors + 1, 0
        used += record
    return sectors


def run_sectors(runs: Sequence[Run]) -> int:
    """What `directory_sectors` gives for the identifiers of `runs`."""
    if all(run.count == 1 for run in runs):
        return directory_sectors(map(len, sorted(map(_identifier, runs))))
    sectors, used = 1, _SELF_AND_PARENT
    for run in sorted(runs, key=_identifier):
        record = directory_record(len(_identifier(run)))
        left = run.count - min(run.count, (SECTOR - used) // record)
        used += (run.count - left) * record
        if left:
            more = -(-left // (SECTOR // record))
            sectors += more
            used = (left - (more - 1) * (SECTOR // record)) * record
    return sectors


def children_sectors(directory: Directory) -> int:
    """Sectors of one directory."""
    names = [child.name for child in directory.directories]
    return directory_sectors(map(len, sorted([*names, *map(file_identifier, directory.files)])))


def structure_sectors(directories: Sequence[Directory]) -> int:
    """Sectors of the path tables and of all directories, of which the first is the root."""
    length = PATH_TABLE_ROOT + sum(path_table_record(len(one.name)) for one in directories[1:])
    return path_table_sectors(length) + sum(map(children_sectors, directories))


def _identifier(run: Run) -> str:
    return run.name if run.directory else file_identifier(run.name)


def path_table_record(identifier_length: int) -> int:
    """Bytes of a Path Table Record, which has an even length (ECMA-119 9.4)."""
    return 8 + identifier_length + identifier_length % 2


def path_table_sectors(length: int) -> int:
    """Sectors of both path tables, Type L and Type M, of `length` bytes each.

    Each has sectors by twos, as other writers give them.
    """
    return 4 * -(-length // (2 * SECTOR))


class _Sizing:
    """Sizes in sectors."""

    largest_file = LARGEST_FILE

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return file_sectors(size)

    def structure(self, runs: Sequence[Run]) -> int:
        return run_sectors(runs)

    def size(self, sums: Sums) -> int:
        path_table = path_table_sectors(PATH_TABLE_ROOT + 8 * sums.directories + sums.names)
        return SECTOR * (FIXED_SECTORS + path_table + sums.structure + sums.content)


SIZING = _Sizing()
