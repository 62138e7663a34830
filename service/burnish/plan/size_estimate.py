"""Stage: the exact size of a volume, kept up to date while series are added to it (pure)."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from burnish.image.volume_size import NameRun, Sizing, Sums, directory_sums, volume_sums
from burnish.plan.grouping import Series
from burnish.values import NO_SHARE

#: A directory on a volume: below DICOM, by the keys of its patient, study and series. Directories
#: with files for people have a mark before the key of their series.
_Path = tuple[Hashable, ...]
_DICOM: _Path = ()
_PAGES: _Path = ("IHE_PDI",)
_CONTENT_DIRECTORY, _CONTENT_FILE = "S0000001", "I0000001.JPG"
_CONTENT_PATH_LENGTH = len("IHE_PDI\\S0000001\\I0000001.JPG")
#: Names as `file_ids.assign` gives them: directories by the depth of their parent, and files.
_DIRECTORIES = ("PA000001", "ST000001", "SE000001")
_FILE, _ROOT_FILE = "IM000001", "RO000001"
_FILE_PATH_LENGTH = len("\\".join(("DICOM", *_DIRECTORIES, _FILE)))
_ROOT_FILE_PATH_LENGTH = len("\\".join(("DICOM", _ROOT_FILE)))


@dataclass(frozen=True, slots=True)
class FixedPart:
    """The content that every volume of a request has.

    `capacity` is that of the medium in bytes, `sizing` the arithmetic of its file system.
    `directory_length` are the bytes of a DICOMDIR without patients; `files` the other files that
    every volume has, by name and size; `text_of_series` the bytes of the pages of each series. On a
    secure volume, `sealed_size` gives the bytes of a Secure DICOM File from those of its content.
    """

    capacity: int
    sizing: Sizing
    directory_length: int
    files: tuple[tuple[str, int], ...] = ()
    sealed_size: Callable[[int], int] | None = None
    text_of_series: int = 0


@dataclass(slots=True)
class Addition:
    """The sizes that some series would add to a volume.

    `directories` and `files` are the numbers of children that each directory gets.
    `shared_content` are bytes in files that several instances share: pages, data and packs.
    """

    directories: dict[_Path, int] = field(default_factory=dict)
    files: dict[_Path, int] = field(default_factory=dict)
    owners: dict[Hashable, Hashable] = field(default_factory=dict)
    content: int = 0
    bytes: int = 0
    largest_file: int = 0
    directory_length: int = 0
    shared_content: int = 0


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
    shared_content: int = 0
    sums: Sums = field(init=False)

    def __post_init__(self) -> None:
        """Counts the directories DICOM and IHE_PDI as well, which get more children later."""
        sizing = self.fixed.sizing
        files = self.fixed.files
        self.sums = volume_sums(sizing, [("DICOMDIR", 0), *files])
        names = {name.partition("\\")[0]: "\\" in name for name, _ in files}
        root = [NameRun(1, name, directory=folder) for name, folder in names.items()]
        root.append(NameRun(1, "DICOMDIR"))
        with_dicom = [*root, NameRun(1, "DICOM", directory=True)]
        self.sums += directory_sums("DICOM") + Sums(
            structure=sizing.structure(with_dicom)
            - sizing.structure(root)
            + self._structure(_DICOM, 0, 0),
            content=-sizing.content(len("DICOMDIR"), 0),
        )
        pages = sum(name.count("\\") == 1 and name.startswith("IHE_PDI") for name, _ in files)
        if pages:
            self.directories[_PAGES] = 0
            self.files[_PAGES] = pages

    def addition(self, series: Iterable[Series]) -> Addition | None:
        """The sizes that `series` would add; None where a File-set may not hold them together."""
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
        self._include_content(series, addition)

    def _include_content(self, series: Series, addition: Addition) -> None:
        """Counts the files for people that the instances bring along."""
        shares = [candidate.content for candidate in series.candidates]
        if all(share is NO_SHARE for share in shares):
            return
        content = self.fixed.sizing.content
        sizes = [size for share in shares for size in share.sizes]
        addition.shared_content += sum([share.text + share.packed for share in shares])
        addition.content += sum([content(_CONTENT_PATH_LENGTH, size) for size in sizes])
        addition.bytes += sum(sizes) + sum([share.text + share.packed for share in shares])
        if _PAGES not in self.directories:
            return
        path = (*_PAGES, series.patient, series.study, series.series)
        if path not in self.directories and path not in addition.directories:
            addition.directories[_PAGES] = addition.directories.get(_PAGES, 0) + 1
            addition.directories[path] = 0
            addition.shared_content += self.fixed.text_of_series
        addition.files[path] = addition.files.get(path, 0) + len(sizes)

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
        shared_content = self.shared_content
        if addition is not None:
            directory_length += addition.directory_length
            shared_content += addition.shared_content
            sums += self._added_sums(addition)
        if self.fixed.sealed_size:
            directory_length = self.fixed.sealed_size(directory_length)
        content = sizing.content(len("DICOMDIR"), directory_length)
        if shared_content:
            content += sizing.content(_CONTENT_PATH_LENGTH, shared_content)
        return sizing.size(sums + Sums(content=content))

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
        directory, file = _CONTENT_DIRECTORY, _CONTENT_FILE
        if path[:1] != _PAGES:
            directory, file = _DIRECTORIES[min(len(path), 2)], _FILE if path else _ROOT_FILE
        if directories:
            runs.append(NameRun(directories, directory, directory=True))
        if files:
            runs.append(NameRun(files, file))
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
        self.shared_content += addition.shared_content
