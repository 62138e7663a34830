"""Stage: volumes laid out: a File ID for each instance, and each volume's size to the byte (pure).

How many bytes a volume takes is estimated in `size_estimate` while it is packed.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby, repeat
from typing import NamedTuple

from burnish.content import readme_txt
from burnish.content.content_terms import ContentTerms
from burnish.content.readme_txt import NO_DETAILS, ReadmeDetails
from burnish.content.volume_content import TEXT_OF_SERIES
from burnish.content.volume_files import ContentFile
from burnish.dicomdir import encoder, file_ids
from burnish.dicomdir.profile_keys import record_keys
from burnish.identifiers import MAXIMUM_UID_LENGTH
from burnish.image import volume_size
from burnish.image.formats import format_of
from burnish.image.volume_size import Sizing, Sums
from burnish.media import SECTOR, FileSystem
from burnish.plan import packing
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import Series
from burnish.plan.set_content import SetContent
from burnish.plan.size_estimate import FixedPart
from burnish.values import DirectoryEntry, InstanceHeader

#: The most characters of a File-set ID (PS3.10 8.1).
_MAXIMUM_FILE_SET_ID_LENGTH = 16
_LONGEST_FILE_SET_ID = "0" * _MAXIMUM_FILE_SET_ID_LENGTH
_LONGEST_FILE_SET_UID = "1." + "1" * (MAXIMUM_UID_LENGTH - 2)
#: More bytes than any medium has.
_UNLIMITED = 1 << 60
#: More instances than any volume has: what README.TXT then says is as long as it gets.
_MOST_INSTANCES = 999_999


class PlannedFile(NamedTuple):
    """One instance with its File ID."""

    file_id: str
    candidate: Candidate


@dataclass(frozen=True)
class PlannedVolume:
    """The instances of one volume in directory order, and the file system of its medium.

    `sealed_size` is as in FixedPart; README.TXT has `readme_details`, whose profiles decide on the
    keys of the DICOMDIR. `content_files` are for
    people; what they hold was asked for in `content`, which is None where nothing was asked for.
    `rendition_keys` has the ids of the instances of the renditions that they are made of.
    """

    files: tuple[PlannedFile, ...]
    file_system: FileSystem
    sealed_size: Callable[[int], int] | None = None
    readme_details: ReadmeDetails = NO_DETAILS
    content: ContentTerms | None = None
    content_files: tuple[ContentFile, ...] = ()
    rendition_keys: Mapping[str, int] = field(default_factory=dict)

    def readme(self, file_set_id: str, number: int = 1, count: int = 1) -> bytes | None:
        """README.TXT of volume `number` of `count`; None where it is to have no such file.

        Its length does not depend on the numbers.
        """
        if self.content and not self.content.readme:
            return None
        return readme_txt.build_readme(
            file_set_id,
            len(self.files),
            volume=(number, count),
            profiles=self.readme_details.profiles,
            secure=self.sealed_size is not None,
            details=self._readme_text,
            remarks=self.readme_details.remarks,
            content=self.content,
            institutions=self._institutions,
        )

    def size(self, file_set_id: str, file_set_uid: str) -> int:
        """The bytes of the volume's image."""
        directory = encoder.base_length(file_set_id, file_set_uid) + self._records_length
        if self.sealed_size:
            directory = self.sealed_size(directory)
        filled = [("DICOMDIR", directory)]
        readme = self.readme(file_set_id)
        if readme is not None:
            filled.append((readme_txt.NAME, len(readme)))
        return volume_size.filled_image_size(self._sizing, self._sums, filled)

    def largest_size(self) -> int:
        """The bytes of the image with the longest File-set ID and UID."""
        return self.size(_LONGEST_FILE_SET_ID, _LONGEST_FILE_SET_UID)

    # These do not depend on the names of the File-set, and `size` is asked for with several.

    @cached_property
    def _sums(self) -> Sums:
        """The sums of all files; DICOMDIR and README count with no bytes yet."""
        files = [("DICOMDIR", 0)]
        if self.readme("") is not None:
            files.append((readme_txt.NAME, 0))
        files += ((file.name, file.size) for file in self.content_files)
        files += ((file.file_id, file.candidate.size) for file in self.files)
        return volume_size.volume_sums(self._sizing, files)

    @property
    def _sizing(self) -> Sizing:
        pages = self.content is not None and self.content.pages
        return format_of(self.file_system, pages=pages).sizing

    @cached_property
    def _records_length(self) -> int:
        candidates = [file.candidate for file in self.files]
        encoder.check_instances([candidate.header.sop_instance_uid for candidate in candidates])
        return encoder.records_length(
            [
                DirectoryEntry(file_id, candidate.header, candidate.transfer_syntax_uid)
                for file_id, candidate in self._firsts
            ],
            record_keys(self.readme_details.profiles),
            instances=sum([candidate.record_length for candidate in candidates]),
        )

    @cached_property
    def _readme_text(self) -> str:
        headers = [candidate.header for _, candidate in self._firsts]
        return self.readme_details.text(headers, self.content)

    @cached_property
    def _institutions(self) -> tuple[str, ...]:
        return readme_txt.institutions_of(candidate.header for _, candidate in self._firsts)

    @cached_property
    def _firsts(self) -> list[PlannedFile]:
        """The first file of each run whose headers differ only in what each instance has alone."""
        runs = groupby(self.files, key=lambda file: file.candidate.header.shared)
        return [next(files) for _, files in runs]


def fixed_part(  # noqa: PLR0917
    capacity: int,
    file_system: FileSystem,
    sealed_size: Callable[[int], int] | None = None,
    readme_details: ReadmeDetails = NO_DETAILS,
    content: SetContent | None = None,
    headers: Sequence[InstanceHeader] = (),
) -> FixedPart:
    """The content of every volume of a set with instances of these headers, at its longest."""
    terms = content.terms if content else None
    files = content.fixed_files() if content else []
    if terms is None or terms.readme:
        readme = readme_txt.build_readme(
            _LONGEST_FILE_SET_ID,
            _MOST_INSTANCES,
            profiles=readme_details.profiles,
            secure=sealed_size is not None,
            details=readme_details.text(headers, terms),
            remarks=readme_details.remarks,
            content=terms,
            institutions=readme_txt.institutions_of(headers),
        )
        files.append((readme_txt.NAME, len(readme)))
    return FixedPart(
        capacity,
        format_of(file_system, pages=terms is not None and terms.pages).sizing,
        encoder.base_length(_LONGEST_FILE_SET_ID, _LONGEST_FILE_SET_UID),
        tuple(files),
        sealed_size,
        TEXT_OF_SERIES if terms and terms.pages else 0,
    )


def numbered_file_set_id(file_set_id: str, number: int, count: int) -> str:
    """The File-set ID of volume `number` of `count`; several are numbered (PS3.4 S.3.2.1.1.1)."""
    suffix = f"_{number}" if count > 1 else ""
    return file_set_id[: _MAXIMUM_FILE_SET_ID_LENGTH - len(suffix)] + suffix


def assign_file_ids(
    series: Sequence[Series], used: Collection[str] = ()
) -> tuple[PlannedFile, ...]:
    """The instances in directory order, each with a File ID that is not among those `used`."""
    places = (
        place
        for one_series in series
        for place in repeat(_place(one_series), len(one_series.candidates))
    )
    candidates = (candidate for one_series in series for candidate in one_series.candidates)
    return tuple(map(PlannedFile, file_ids.assign(places, used), candidates))


def _place(series: Series) -> tuple[Hashable, Hashable, Hashable]:
    """The directories of patient, study and series that the instances are in."""
    if series.patient is None:
        return None, None, None
    return (
        series.patient,
        (series.patient, series.study),
        (series.patient, series.study, series.series),
    )


def lay_out_volumes(
    groups: Sequence[Sequence[Series]],
    file_system: FileSystem,
    sealed_size: Callable[[int], int] | None = None,
    readme_details: ReadmeDetails = NO_DETAILS,
    content: SetContent | None = None,
) -> list[PlannedVolume]:
    """The volumes of a set, each with all of the series of its group."""
    files = [assign_file_ids(series) for series in groups]
    if content is None:
        return [
            PlannedVolume(of_volume, file_system, sealed_size, readme_details)
            for of_volume in files
        ]
    return [
        PlannedVolume(
            of_volume,
            file_system,
            sealed_size,
            readme_details,
            content.terms,
            content_files,
            content.rendition_keys,
        )
        for of_volume, content_files in zip(files, content.files(files), strict=True)
    ]


def lay_out_volume(
    series: Sequence[Series],
    file_system: FileSystem,
    sealed_size: Callable[[int], int] | None = None,
    readme_details: ReadmeDetails = NO_DETAILS,
) -> PlannedVolume:
    """The only volume of a set, with all of these series and nothing for people but README.TXT."""
    return lay_out_volumes([series], file_system, sealed_size, readme_details)[0]


def divide_into_volumes(  # noqa: PLR0917
    series: Sequence[Series],
    capacity: int,
    file_system: FileSystem,
    sealed_size: Callable[[int], int] | None = None,
    readme_details: ReadmeDetails = NO_DETAILS,
    content: SetContent | None = None,
) -> tuple[list[PlannedVolume], list[Candidate]]:
    """The volumes that hold all of `series`; or none, and the instances too large for any.

    For secure volumes, the sizes of the candidates are those of their sealed files already.

    Each volume is packed as if its README.TXT had the text for all instances. Packing adds up the
    record lengths of each instance, but the record of a patient, study or series can become a few
    bytes longer where its instances have different keys. Where a volume is then larger than its
    medium, everything is packed again with so much less; so it is with pages, of which packing
    knows the most that each instance brings along.
    """
    if content:
        series = content.with_shares(series)
    headers = [candidate.header for one_series in series for candidate in one_series.candidates]
    fixed = fixed_part(capacity, file_system, sealed_size, readme_details, content, headers)
    lay_out = partial(
        lay_out_volumes,
        file_system=file_system,
        sealed_size=sealed_size,
        readme_details=readme_details,
        content=content,
    )
    if content and len(packing.pack_series(series, replace(fixed, capacity=_UNLIMITED))) == 1:
        whole = lay_out([series])
        if whole[0].largest_size() <= capacity:
            return whole, []
    while True:
        try:
            packed = packing.pack_series(series, fixed)
        except packing.TooLarge:
            return [], packing.oversized_instances(series, fixed)
        volumes = lay_out(packed)
        excess = max(volume.largest_size() for volume in volumes) - capacity
        if excess <= 0:
            return volumes, []
        fixed = replace(fixed, capacity=fixed.capacity - max(SECTOR, excess))


def fewest_volumes(series: Sequence[Series], file_system: FileSystem) -> int:
    """The volumes that are needed however large they are: some series may not share a File-set."""
    return len(packing.pack_series(series, fixed_part(_UNLIMITED, file_system)))
