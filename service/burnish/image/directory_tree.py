"""Craft: the directories of a volume, from the File IDs of its files (PS3.10 8.2)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from burnish.errors import Conflict, InvalidValue, OutOfResources
from burnish.identifiers import MAXIMUM_FILE_ID_COMPONENTS, is_file_id, is_file_name, is_file_set_id
from burnish.values import VolumeFile


@dataclass(slots=True)
class Directory:
    """One directory: its path with backslashes, "" for the root, and the names in it."""

    path: str
    directories: list["Directory"] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.rpartition("\\")[2]

    def path_of(self, file: str) -> str:
        """The File ID of a file in it."""
        return f"{self.path}\\{file}" if self.path else file


def check_file_id(file_id: str, *, dicom: bool = True) -> None:
    """Raises InvalidValue unless `file_id` is a File ID (PS3.10 8.2, 8.5).

    With `dicom` false, the last component may also have an extension as README.TXT has
    (ECMA-119 10.1).
    """
    if (is_file_id if dicom else is_file_name)(file_id):
        return
    if file_id.count("\\") >= MAXIMUM_FILE_ID_COMPONENTS:
        raise InvalidValue(
            f"File ID {file_id!r} has more than {MAXIMUM_FILE_ID_COMPONENTS} components"
        )
    raise InvalidValue(
        f"File ID {file_id!r} has a component that is not 1 to 8 of A-Z, 0-9 and underscore"
    )


def check(volume_identifier: str, files: Sequence[VolumeFile], largest: int) -> None:
    """Raises InvalidValue for names that no File-set has (PS3.10 8.1, 8.2), Conflict for a name
    that comes twice, OutOfResources for a file of more than `largest` bytes."""
    if not is_file_set_id(volume_identifier):
        raise InvalidValue(f"{volume_identifier!r} is no File-set ID (PS3.10 8.1)")
    names, directories = set(), set()
    for file_id, size, _ in files:
        check_file_id(file_id, dicom=False)
        if size > largest:
            raise OutOfResources(
                f"{file_id} of {size} bytes is larger than a file of its medium can be"
            )
        if file_id in names:
            raise Conflict(f"File ID {file_id} comes twice")
        names.add(file_id)
        directories.add(file_id.rpartition("\\")[0])
    for directory in directories:
        for name in (directory, *_parents(directory)):
            if name in names:
                raise Conflict(f"{name} is both a file and a directory")


def grow(file_ids: Iterable[str]) -> list[Directory]:
    """Every directory that the files lie in, the root first, each before those within it.

    What is in a directory is in order of name.
    """
    known = {"": Directory("")}
    for file_id in file_ids:
        parent, _, name = file_id.rpartition("\\")
        if parent not in known:
            for path in (*reversed(list(_parents(parent))), parent):
                if path not in known:
                    known[path] = Directory(path)
                    known[path.rpartition("\\")[0]].directories.append(known[path])
        known[parent].files.append(name)
    for directory in known.values():
        directory.directories.sort(key=lambda child: child.path)
        directory.files.sort()
    ordered = [known[""]]
    for directory in ordered:
        ordered.extend(directory.directories)
    return ordered


def _parents(path: str) -> Iterator[str]:
    """What a directory lies in, the nearest first, without the root."""
    while path := path.rpartition("\\")[0]:
        yield path
