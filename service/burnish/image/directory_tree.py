"""Craft: the directories of a volume, from the File IDs of its files (PS3.10 8.2)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from burnish.errors import Conflict, InvalidValue, OutOfResources
from burnish.identifiers import MAXIMUM_FILE_ID_COMPONENTS, is_file_name, is_file_set_id
from burnish.values import VolumeFile


@dataclass(slots=True)
class Directory:
    """A directory: its path with backslashes ("" for the root), and what it holds."""

    path: str
    directories: list["Directory"] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.rpartition("\\")[2]

    @property
    def parent(self) -> str:
        """The path of the directory above; "" for the root itself."""
        return self.path.rpartition("\\")[0]

    def path_of(self, file: str) -> str:
        """The File ID of a file in this directory."""
        return f"{self.path}\\{file}" if self.path else file


def check_file_name(name: str) -> None:
    """Raises InvalidValue unless a file on a volume may have this name (PS3.10 8.2, 8.5)."""
    if is_file_name(name):
        return
    if name.count("\\") >= MAXIMUM_FILE_ID_COMPONENTS:
        raise InvalidValue(
            f"File ID {name!r} has more than {MAXIMUM_FILE_ID_COMPONENTS} components"
        )
    raise InvalidValue(
        f"File ID {name!r} has a component that is not 1 to 8 of A-Z, 0-9 and underscore"
    )


def check_volume(volume_identifier: str, files: Sequence[VolumeFile], largest_file: int) -> None:
    """Checks the names and sizes of a volume that is to be written.

    Raises InvalidValue for a name that no File-set may have (PS3.10 8.1, 8.2), Conflict for a name
    that comes twice or is both a file and a directory, and OutOfResources for a file of more than
    `largest_file` bytes.
    """
    if not is_file_set_id(volume_identifier):
        raise InvalidValue(
            f"{volume_identifier!r} is not a File-set ID: up to 16 of A-Z, 0-9 and underscore"
        )
    names: set[str] = set()
    directories: set[str] = set()
    for file_id, size, *_ in files:
        check_file_name(file_id)
        if size > largest_file:
            raise OutOfResources(
                f"{file_id} has {size} bytes; a file on this medium can have {largest_file} bytes"
            )
        if file_id in names:
            raise Conflict(f"two files have the File ID {file_id}")
        names.add(file_id)
        directories.add(file_id.rpartition("\\")[0])
    for directory in directories:
        for path in _with_parents(directory):
            if path in names:
                raise Conflict(f"{path} is both a file and a directory")


def build_tree(file_ids: Iterable[str]) -> list[Directory]:
    """Every directory that holds these files: the root first, each parent before its children.

    The names in a directory are sorted.
    """
    by_path = {"": Directory("")}
    for file_id in file_ids:
        parent, _, name = file_id.rpartition("\\")
        if parent not in by_path:
            for path in reversed(list(_with_parents(parent))):
                if path not in by_path:
                    directory = by_path[path] = Directory(path)
                    by_path[directory.parent].directories.append(directory)
        by_path[parent].files.append(name)
    for directory in by_path.values():
        directory.directories.sort(key=lambda child: child.path)
        directory.files.sort()
    ordered = [by_path[""]]
    for directory in ordered:  # the list grows while it is read, level by level
        ordered.extend(directory.directories)
    return ordered


def _with_parents(path: str) -> Iterator[str]:
    """`path` and the directories above it, the nearest first, without the root."""
    while path:
        yield path
        path = path.rpartition("\\")[0]
