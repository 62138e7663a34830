"""Stage: lays one volume out: a File ID for each instance, and the volume's size to the byte."""

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, repeat
from typing import NamedTuple

from burnish.content import readme_txt
from burnish.content.readme_txt import NO_DETAILS, ReadmeDetails
from burnish.dicomdir import encoder, file_ids
from burnish.identifiers import MAXIMUM_UID_LENGTH
from burnish.image import formats as image
from burnish.image import volume_size
from burnish.image.volume_size import Sums
from burnish.media import SECTOR, FileSystem
from burnish.plan import packing
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import Series
from burnish.plan.size_estimate import Fixed
from burnish.values import DirectoryEntry

#: A File-set ID has 16 characters at most (PS3.10 8.1); ours have as many.
_FILE_SET_ID = "0" * 16
_FILE_SET_UID = "1." + "1" * (MAXIMUM_UID_LENGTH - 2)


class PlannedFile(NamedTuple):
    """One instance with its File ID."""

    file_id: str
    candidate: Candidate


@dataclass(frozen=True)
class Volume:
    """One volume's instances in directory order, the file system of its medium, `sealed` as in
    Fixed, and what its README gives in full."""

    files: tuple[PlannedFile, ...]
    file_system: FileSystem
    sealed: Callable[[int], int] | None = None
    readme_details: ReadmeDetails = NO_DETAILS

    def size(self, file_set_id: str, file_set_uid: str) -> int:
        """The bytes of the volume's image."""
        directory = encoder.base_length(file_set_id, file_set_uid) + self._records_length
        secure = self.sealed is not None
        readme = readme_txt.build_readme(
            file_set_id, len(self.files), secure=secure, details=self._details
        )
        if self.sealed:
            directory = self.sealed(directory)
        return volume_size.filled_image_size(
            image.FORMATS[self.file_system].sizing,
            self._sums,
            [("DICOMDIR", directory), (readme_txt.NAME, len(readme))],
        )

    @cached_property
    def _sums(self) -> Sums:
        """Those of all files, DICOMDIR and README having no bytes yet."""
        return volume_size.volume_sums(
            image.FORMATS[self.file_system].sizing,
            [
                *(("DICOMDIR", 0), (readme_txt.NAME, 0)),
                *((file.file_id, file.candidate.size) for file in self.files),
            ],
        )

    @cached_property
    def _records_length(self) -> int:
        candidates = [file.candidate for file in self.files]
        encoder.check_instances([one.header.sop_instance_uid for one in candidates])
        return encoder.records_length(
            [
                DirectoryEntry(file_id, one.header, one.transfer_syntax_uid)
                for file_id, one in self._different
            ],
            instances=sum([one.record_length for one in candidates]),
        )

    @cached_property
    def _different(self) -> list[PlannedFile]:
        """The first of all those that follow one another and have the same but for their own."""
        alike = groupby(self.files, key=lambda file: file.candidate.header.shared)
        return [next(files) for _, files in alike]

    @cached_property
    def _details(self) -> str:
        return self.readme_details.text(one.header for _, one in self._different)

    def largest_size(self) -> int:
        """Its bytes with the longest File-set ID and UID there can be."""
        return self.size(_FILE_SET_ID, _FILE_SET_UID)


def fixed_part(
    capacity: int,
    file_system: FileSystem,
    sealed: Callable[[int], int] | None = None,
    details: str = "",
) -> Fixed:
    """What every volume has, at its longest."""
    secure = sealed is not None
    readme = readme_txt.build_readme(_FILE_SET_ID, 999_999, secure=secure, details=details)
    return Fixed(
        capacity,
        image.FORMATS[file_system].sizing,
        encoder.base_length(_FILE_SET_ID, _FILE_SET_UID),
        ((readme_txt.NAME, len(readme)),),
        sealed,
    )


def numbered_file_set_id(file_set_id: str, number: int, count: int) -> str:
    """The File-set ID of a volume: of several, each gets its number (PS3.4 S.3.2.1.1.1)."""
    suffix = f"_{number}" if count > 1 else ""
    return file_set_id[: 16 - len(suffix)] + suffix


def name_files(series: Sequence[Series], taken: Collection[str] = ()) -> tuple[PlannedFile, ...]:
    """The instances in directory order, each with a File ID that is not among those `taken`."""
    places = (place for one in series for place in repeat(_place(one), len(one.candidates)))
    candidates = (candidate for one in series for candidate in one.candidates)
    return tuple(map(PlannedFile, file_ids.assign(places, taken), candidates))


def _place(one: Series) -> tuple[Hashable, Hashable, Hashable]:
    if one.patient is None:
        return None, None, None
    return one.patient, (one.patient, one.study), (one.patient, one.study, one.series)


def lay_out(
    series: Sequence[Series],
    file_system: FileSystem,
    sealed: Callable[[int], int] | None = None,
    readme_details: ReadmeDetails = NO_DETAILS,
) -> Volume:
    """Gives every instance of a volume its File ID, in directory order."""
    return Volume(
        name_files(series),
        file_system,
        sealed,
        readme_details,
    )


def divide(
    series: Sequence[Series],
    capacity: int,
    file_system: FileSystem,
    sealed: Callable[[int], int] | None = None,
    readme_details: ReadmeDetails = NO_DETAILS,
) -> tuple[list[Volume], list[Candidate]]:
    """The volumes that hold all of `series`, or none, and the instances too large for any.

    Where the volumes are secure, `sealed` tells the bytes of a file from those of what is in it;
    the sizes of the instances are already those of their files.

    Each volume is packed as if its README said what that of all of them together would. Packing
    adds up what each instance brings along; a patient's, study's or series' record can
    come out a few bytes longer where its instances have different keys. What then is larger
    than its medium is packed again with a sector to spare.
    """
    of_all = readme_details.text(one.header for part in series for one in part.candidates)
    fixed = fixed_part(capacity, file_system, sealed, of_all)
    while True:
        try:
            packed = packing.pack(series, fixed)
        except ValueError:
            return [], packing.oversized(series, fixed)
        volumes = [lay_out(one, file_system, sealed, readme_details) for one in packed]
        if all(volume.largest_size() <= capacity for volume in volumes):
            return volumes, []
        fixed = replace(fixed, capacity=fixed.capacity - SECTOR)
