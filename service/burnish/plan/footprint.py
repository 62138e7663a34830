"""Stage: the exact size of a volume, kept up to date while series are added to it."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from burnish.image import layout
from burnish.media import SECTOR
from burnish.plan.grouping import Series

#: Characters of a directory's name below DICOM, and of a file's identifier there (`IM000001.;1`).
_DIRECTORY, _FILE = 8, 11
_DICOM: tuple[Hashable, ...] = ()


@dataclass(frozen=True, slots=True)
class Fixed:
    """What every volume of a request has: its capacity in bytes, the bytes of a DICOMDIR without
    patients, and its other files in the root by identifier (`README.TXT;1`) and size."""

    capacity: int
    directory_length: int
    root_files: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Growth:
    """What adding some series would add; directories by path, and how many children they get."""

    children: dict[tuple[Hashable, ...], int]
    owners: dict[Hashable, Hashable]
    file_sectors: int
    directory_length: int


@dataclass(slots=True)
class Footprint:
    """One volume being filled. Sums only, so that a look costs what is added, not what is there."""

    fixed: Fixed
    children: dict[tuple[Hashable, ...], int] = field(default_factory=lambda: {_DICOM: 0})
    owners: dict[Hashable, Hashable] = field(default_factory=dict)
    file_sectors: int = 0
    directory_length: int = 0
    directory_sectors: int = 1

    def growth(self, series: Iterable[Series]) -> Growth | None:
        """What adding `series` would add; None where a File-set may not hold them together."""
        growth = Growth({}, {}, 0, 0)
        for one in series:
            for claim, owner in one.claims:
                if self.owners.get(claim, growth.owners.setdefault(claim, owner)) != owner:
                    return None
                if growth.owners[claim] != owner:
                    return None
            self._grow(growth, one)
        return growth

    def _grow(self, growth: Growth, series: Series) -> None:
        parent = _DICOM
        if series.patient is not None:
            lengths = [
                (c.patient_length, c.study_length, c.series_length) for c in series.candidates
            ]
            for depth, key in enumerate((series.patient, series.study, series.series)):
                path = (*parent, key)
                if path not in self.children and path not in growth.children:
                    growth.children[parent] = growth.children.get(parent, 0) + 1
                    growth.children[path] = 0
                    growth.directory_length += max(length[depth] for length in lengths)
                parent = path
        growth.children[parent] = growth.children.get(parent, 0) + len(series.candidates)
        growth.file_sectors += sum(layout.file_sectors(c.size) for c in series.candidates)
        growth.directory_length += sum(c.record_length for c in series.candidates)

    def fits(self, growth: Growth) -> bool:
        return self.size(growth) <= self.fixed.capacity

    def size(self, growth: Growth | None = None) -> int:
        """Bytes of the volume's image, DICOMDIR and descriptors included, with `growth` added."""
        growth = growth or Growth({}, {}, 0, 0)
        directories = len(self.children) + sum(p not in self.children for p in growth.children)
        path_table = (
            layout.PATH_TABLE_ROOT
            + layout.path_table_record(len("DICOM"))
            + (directories - 1) * layout.path_table_record(_DIRECTORY)
        )
        root = sorted(["DICOM", "DICOMDIR.;1", *(name for name, _ in self.fixed.root_files)])
        sectors = (
            layout.FIXED_SECTORS
            + layout.path_table_sectors(path_table)
            + layout.directory_sectors(map(len, root))
            + self.directory_sectors
            + self._more_directory_sectors(growth)
            + layout.file_sectors(
                self.fixed.directory_length + self.directory_length + growth.directory_length
            )
            + sum(layout.file_sectors(size) for _, size in self.fixed.root_files)
        )
        return SECTOR * (sectors + self.file_sectors + growth.file_sectors)

    def _more_directory_sectors(self, growth: Growth) -> int:
        more = 0
        for path, added in growth.children.items():
            here = self.children.get(path)
            length = _FILE if len(path) == 3 else _DIRECTORY
            if here is not None:
                more -= layout.uniform_directory_sectors(here, length)
            more += layout.uniform_directory_sectors((here or 0) + added, length)
        return more

    def add(self, growth: Growth) -> None:
        """Adds what `growth` says, which must be of this volume as it is now."""
        self.directory_sectors += self._more_directory_sectors(growth)
        for path, added in growth.children.items():
            self.children[path] = self.children.get(path, 0) + added
        self.owners.update(growth.owners)
        self.file_sectors += growth.file_sectors
        self.directory_length += growth.directory_length
