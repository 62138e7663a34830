"""Stage: the exact size of a volume, kept up to date while series are added to it."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from burnish.image.volume_size import NameRun, Sizing, Sums, directory_sums
from burnish.plan.grouping import Series

#: A directory on a volume: below DICOM, by the keys of its patient, study and series.
_Path = tuple[Hashable, ...]
_DICOM: _Path = ()
#: The names of directories, by the depth of their parent, and of files (see `file_ids.assign`).
_DIRECTORIES = ("PA000001", "ST000001", "SE000001")
_FILE, _ROOT_FILE = "IM000001", "RO000001"
_FILE_PATH = len("\\".join(("DICOM", *_DIRECTORIES, _FILE)))
_ROOT_FILE_PATH = len("\\".join(("DICOM", _ROOT_FILE)))


@dataclass(frozen=True, slots=True)
class Fixed:
    """What every volume of a request has: its capacity in bytes, the arithmetic of its file
    system, the bytes of a DICOMDIR without patients, and its other files in the root by name and
    size. Where the volume is secure, `sealed` tells the bytes of a Secure DICOM File from those
    of what is in it."""

    capacity: int
    sizing: Sizing
    directory_length: int
    root_files: tuple[tuple[str, int], ...] = ()
    sealed: Callable[[int], int] | None = None


@dataclass(slots=True)
class Growth:
    """What adding some series would add; directories by path, and how many children they get."""

    directories: dict[_Path, int] = field(default_factory=dict)
    files: dict[_Path, int] = field(default_factory=dict)
    owners: dict[Hashable, Hashable] = field(default_factory=dict)
    content: int = 0
    bytes: int = 0
    largest: int = 0
    directory_length: int = 0


@dataclass(slots=True)
class Footprint:
    """One volume being filled. Sums only, so that a look costs what is added, not what is there."""

    fixed: Fixed
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

    def growth(self, series: Iterable[Series]) -> Growth | None:
        """What adding `series` would add; None where a File-set may not hold them together."""
        growth = Growth()
        for one in series:
            for claim, owner in one.claims:
                if self.owners.get(claim, growth.owners.setdefault(claim, owner)) != owner:
                    return None
                if growth.owners[claim] != owner:
                    return None
            self._grow(growth, one)
        return growth

    def _grow(self, growth: Growth, series: Series) -> None:
        parent, length = _DICOM, _ROOT_FILE_PATH
        if series.patient is not None:
            length = _FILE_PATH
            lengths = {
                (c.patient_length, c.study_length, c.series_length) for c in series.candidates
            }
            for depth, key in enumerate((series.patient, series.study, series.series)):
                path = (*parent, key)
                if path not in self.directories and path not in growth.directories:
                    growth.directories[parent] = growth.directories.get(parent, 0) + 1
                    growth.directories[path] = 0
                    growth.directory_length += max(length[depth] for length in lengths)
                parent = path
        content = self.fixed.sizing.content
        growth.files[parent] = growth.files.get(parent, 0) + len(series.candidates)
        sizes = [c.size for c in series.candidates]
        growth.content += sum([content(length, size) for size in sizes])
        growth.bytes += sum(sizes)
        growth.largest = max(growth.largest, *sizes)
        growth.directory_length += sum([c.record_length for c in series.candidates])

    def fits(self, growth: Growth) -> bool:
        if growth.largest > self.fixed.sizing.largest_file:
            return False
        return self.size(growth) <= self.fixed.capacity

    def size(self, growth: Growth | None = None) -> int:
        """Bytes of the volume's image, DICOMDIR and structure included, with `growth` added."""
        sizing = self.fixed.sizing
        directory_length = self.fixed.directory_length + self.directory_length
        sums = self.sums
        if growth is not None:
            directory_length += growth.directory_length
            sums += self._added(growth)
        if self.fixed.sealed:
            directory_length = self.fixed.sealed(directory_length)
        return sizing.size(sums + Sums(content=sizing.content(len("DICOMDIR"), directory_length)))

    def _added(self, growth: Growth) -> Sums:
        added = structure = 0
        for path in growth.directories | growth.files:
            directories, files = self.directories.get(path), self.files.get(path, 0)
            if directories is None:
                added += 1
            else:
                structure -= self._structure(path, directories, files)
            structure += self._structure(
                path,
                (directories or 0) + growth.directories.get(path, 0),
                files + growth.files.get(path, 0),
            )
        one = directory_sums(_DIRECTORIES[0])
        return Sums(
            files=sum(growth.files.values()),
            directories=added * one.directories,
            names=added * one.names,
            structure=structure,
            content=growth.content,
        )

    def _structure(self, path: _Path, directories: int, files: int) -> int:
        """What a directory takes by the numbers of its children."""
        runs = []
        if directories:
            runs.append(NameRun(directories, _DIRECTORIES[len(path)], directory=True))
        if files:
            runs.append(NameRun(files, _FILE if path else _ROOT_FILE))
        return self.fixed.sizing.structure(runs)

    def add(self, growth: Growth) -> None:
        """Adds what `growth` says, which must be of this volume as it is now."""
        self.sums += self._added(growth)
        for children, more in (
            (self.directories, growth.directories),
            (self.files, growth.files),
        ):
            for path, number in more.items():
                children[path] = children.get(path, 0) + number
        self.owners.update(growth.owners)
        self.bytes += growth.bytes
        self.directory_length += growth.directory_length
