"""Stage: the exact size of a volume, kept up to date while series are added to it (pure)."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from burnish.image.volume_size import NameRun, Sizing, Sums, directory_sums
from burnish.plan.grouping import Series

#: A directory on a volume: below DICOM, by the keys of its patient, study and series.
_Path = tuple[Hashable, ...]
_DICOM: _Path = ()
#: Names as `file_ids.assign` gives them: directories by the depth of their parent, and files.
_DIRECTORIES = ("PA000001", "ST000001", "SE000001")
_FILE, _ROOT_FILE = "IM000001", "RO000001"
_FILE_PATH_LENGTH = len("\\".join(("DICOM", *_DIRECTORIES, _FILE)))
_ROOT_FILE_PATH_LENGTH = len("\\".join(("DICOM", _ROOT_FILE)))


@dataclass(frozen=True, slots=True)
class FixedPart:
    """What every volume of a request has.

    `capacity` is that of the medium in bytes, `sizing` the arithmetic of its file system.
    `directory_length` are the bytes of a DICOMDIR without patients; `root_files` the other files
    in the root directory, by name and size. On a secure volume, `sealed_size` gives the bytes of a
    Secure DICOM File from those of its content.
    """

    capacity: int
    sizing: Sizing
    directory_length: int
    root_files: tuple[tuple[str, int], ...] = ()
    sealed_size: Callable[[int], int] | None = None


@dataclass(slots=True)
class Addition:
    """What some series would add to a volume.

    `directories` and `files` are the numbers of children that each directory gets.
    """

    directories: dict[_Path, int] = field(default_factory=dict)
    files: dict[_Path, int] = field(default_factory=dict)
    owners: dict[Hashable, Hashable] = field(default_factory=dict)
    content: int = 0
    bytes: int = 0
    largest_file: int = 0
    directory_length: int = 0


@dataclass(slots=True)
class VolumeEstimate:
    """The size of one volume while it is being filled.

    It keeps sums only, so that the work for an addition depends on the addition and not on what
    the volume has already.
    """

    fixed: FixedPart
    directories: dict[_Path, int] = field(default_factory=lambda: {_DICOM: 0})
    files: dict[_Path, int] = field(default_factory=dict)
    owners: dict[Hashable, Hashable] = field(default_factory=dict)
    bytes: int = 0
    directory_length: int = 0
    sums: Sums = field(init=False)

    def __post_init__(self) -> None:
        sizing = self.fixed.sizing
        root = [NameRun(1, "DICOM", directory=True), NameRun(1, "DICOMDIR")]
        root += (NameRun(1, name) for name, _ in self.fixed.root_files)
        self.sums = directory_sums("DICOM") + Sums(
            files=1 + len(self.fixed.root_files),
            structure=sizing.structure(root) + self._structure(_DICOM, 0, 0),
            content=sum(sizing.content(len(name), size) for name, size in self.fixed.root_files),
        )

    def addition(self, series: Iterable[Series]) -> Addition | None:
        """What `series` would add; None where a File-set may not hold them together."""
        addition = Addition()
        for one_series in series:
            for claim, owner in one_series.claims:
                known_owner = addition.owners.setdefault(claim, owner)
                if known_owner != owner or self.owners.get(claim, owner) != owner:
                    return None
            self._include(one_series, addition)
        return addition

    def _include(self, series: Series, addition: Addition) -> None:
        parent, path_length = _DICOM, _ROOT_FILE_PATH_LENGTH
        if series.patient is not None:
            path_length = _FILE_PATH_LENGTH
            record_lengths = {
                (candidate.patient_length, candidate.study_length, candidate.series_length)
                for candidate in series.candidates
            }
            for depth, key in enumerate((series.patient, series.study, series.series)):
                path = (*parent, key)
                if path not in self.directories and path not in addition.directories:
                    addition.directories[parent] = addition.directories.get(parent, 0) + 1
                    addition.directories[path] = 0
                    addition.directory_length += max(lengths[depth] for lengths in record_lengths)
                parent = path
        content = self.fixed.sizing.content
        sizes = [candidate.size for candidate in series.candidates]
        addition.files[parent] = addition.files.get(parent, 0) + len(sizes)
        addition.content += sum([content(path_length, size) for size in sizes])
        addition.bytes += sum(sizes)
        addition.largest_file = max(addition.largest_file, *sizes)
        addition.directory_length += sum(
            [candidate.record_length for candidate in series.candidates]
        )

    def fits(self, addition: Addition) -> bool:
        """Whether the volume still fits on the medium with the addition."""
        if addition.largest_file > self.fixed.sizing.largest_file:
            return False
        return self.size(addition) <= self.fixed.capacity

    def size(self, addition: Addition | None = None) -> int:
        """Bytes of the volume's image, with its DICOMDIR and structure, and with the addition."""
        sizing = self.fixed.sizing
        directory_length = self.fixed.directory_length + self.directory_length
        sums = self.sums
        if addition is not None:
            directory_length += addition.directory_length
            sums += self._added_sums(addition)
        if self.fixed.sealed_size:
            directory_length = self.fixed.sealed_size(directory_length)
        return sizing.size(sums + Sums(content=sizing.content(len("DICOMDIR"), directory_length)))

    def _added_sums(self, addition: Addition) -> Sums:
        new_directories = structure = 0
        for path in addition.directories | addition.files:
            directories, files = self.directories.get(path), self.files.get(path, 0)
            if directories is None:
                new_directories += 1
                directories = 0
            else:
                structure -= self._structure(path, directories, files)
            structure += self._structure(
                path,
                directories + addition.directories.get(path, 0),
                files + addition.files.get(path, 0),
            )
        one_directory = directory_sums(_DIRECTORIES[0])
        return Sums(
            files=sum(addition.files.values()),
            directories=new_directories * one_directory.directories,
            names=new_directories * one_directory.names,
            structure=structure,
            content=addition.content,
        )

    def _structure(self, path: _Path, directories: int, files: int) -> int:
        """The bytes of a directory that holds this many directories and files."""
        runs = []
        if directories:
            runs.append(NameRun(directories, _DIRECTORIES[len(path)], directory=True))
        if files:
            runs.append(NameRun(files, _FILE if path else _ROOT_FILE))
        return self.fixed.sizing.structure(runs)

    def add(self, addition: Addition) -> None:
        """Add what `addition` says, which must have been made for the volume as it is now."""
        self.sums += self._added_sums(addition)
        for path, count in addition.directories.items():
            self.directories[path] = self.directories.get(path, 0) + count
        for path, count in addition.files.items():
            self.files[path] = self.files.get(path, 0) + count
        self.owners.update(addition.owners)
        self.bytes += addition.bytes
        self.directory_length += addition.directory_length
