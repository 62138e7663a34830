"""Craft: tells how large an ISO 9660 Level 1 image comes out, before a byte of it is written.

The size of an image is a sum, so a packer can keep it up to date while it adds files:

    FIXED_SECTORS
    + path_table_sectors(PATH_TABLE_ROOT + sum of path_table_record(length) over directories)
    + directory_sectors(identifiers of its children), for the root and for every directory
    + file_sectors(size), for every file

Where all children of a directory have names of one length, `uniform_directory_sectors` gives
the same number as `directory_sectors` at once. No padding follows the last file.
"""

import re
from collections.abc import Iterable
from itertools import accumulate

from burnish.errors import InvalidValue
from burnish.media import SECTOR

#: System area, Primary Volume Descriptor, Set Terminator (ECMA-119 6.2.1, 6.7.1), and the
#: sector of zeros that pycdlib leaves, as genisoimage does, for a version descriptor.
FIXED_SECTORS = 16 + 1 + 1 + 1

#: Bytes that the root directory takes in a path table (ECMA-119 9.4).
PATH_TABLE_ROOT = 10

#: The largest file of one File Section, in bytes: what lies in 32 bits (ECMA-119 9.1.4) in whole
#: sectors, since pycdlib starts another section beyond it, which Level 1 forbids (10.1).
LARGEST_FILE = 0xFFFFF800

#: PS3.10 8.2: at most eight components; PS3.12 F.1.1 counts the root among eight levels.
MAXIMUM_COMPONENTS = 8

_COMPONENT = re.compile(r"[A-Z0-9_]{1,8}")
_NAME = re.compile(r"[A-Z0-9_]{1,8}(\.[A-Z0-9_]{1,3})?")
_SELF_AND_PARENT = 34 + 34


def check_file_id(file_id: str, *, dicom: bool = True) -> None:
    """Raises InvalidValue unless `file_id` is a File ID (PS3.10 8.2, 8.5).

    With `dicom` false, the last component may also have an extension as README.TXT has
    (ECMA-119 10.1).
    """
    *directories, name = file_id.split("\\")
    if len(directories) >= MAXIMUM_COMPONENTS:
        raise InvalidValue(f"File ID {file_id!r} has more than {MAXIMUM_COMPONENTS} components")
    pattern = _COMPONENT if dicom else _NAME
    if not all(map(_COMPONENT.fullmatch, directories)) or not pattern.fullmatch(name):
        raise InvalidValue(
            f"File ID {file_id!r} has a component that is not 1 to 8 of A-Z, 0-9 and underscore"
        )


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


def uniform_directory_sectors(children: int, identifier_length: int) -> int:
    """What `directory_sectors` gives for so many children with identifiers of one length."""
    record = directory_record(identifier_length)
    first = (SECTOR - _SELF_AND_PARENT) // record
    return 1 + -(-max(0, children - first) // (SECTOR // record))


def path_table_record(identifier_length: int) -> int:
    """Bytes of a Path Table Record, which has an even length (ECMA-119 9.4)."""
    return 8 + identifier_length + identifier_length % 2


def path_table_sectors(length: int) -> int:
    """Sectors of both path tables, Type L and Type M, of `length` bytes each.

    pycdlib gives each of them sectors by twos.
    """
    return 4 * -(-length // (2 * SECTOR))


def descriptor_sectors(file_ids: Iterable[str]) -> int:
    """Sectors of everything before the first file: descriptors, path tables, directories."""
    children: dict[str, set[str]] = {"": set()}
    for file_id in file_ids:
        parent, _, name = file_id.rpartition("\\")
        if parent not in children:
            _add_directory(children, parent)
        children[parent].add(file_identifier(name))
    directories = (name.rpartition("\\")[2] for name in children if name)
    path_table = PATH_TABLE_ROOT + sum(path_table_record(len(name)) for name in directories)
    return (
        FIXED_SECTORS
        + path_table_sectors(path_table)
        + sum(directory_sectors(map(len, sorted(names))) for names in children.values())
    )


def _add_directory(children: dict[str, set[str]], path: str) -> None:
    parent = ""
    for directory in accumulate(path.split("\\"), "{}\\{}".format):
        children.setdefault(directory, set())
        children[parent].add(directory.rpartition("\\")[2])
        parent = directory


def size(files: Iterable[tuple[str, int]]) -> int:
    """Bytes of the image that holds these files, given as File ID and size."""
    sizes = dict(files)
    return SECTOR * (descriptor_sectors(sizes) + sum(map(file_sectors, sizes.values())))
