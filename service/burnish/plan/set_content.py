"""Stage: the files for people on the volumes of a set, in planning: shares, and exact files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from burnish.content import instance_list, volume_content
from burnish.content.content_terms import ContentTerms
from burnish.content.model import Rendition
from burnish.content.outline import ChosenPictures, VolumeEntry, choose_pictures
from burnish.content.volume_files import ContentFile
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import Series
from burnish.values import NO_SHARE, ContentShare, DirectoryEntry


class PlacedCandidate(Protocol):
    """An instance with its File ID."""

    @property
    def file_id(self) -> str: ...

    @property
    def candidate(self) -> Candidate: ...


@dataclass(frozen=True)
class SetContent:
    """The content of a set for people. `renditions` are those of its instances by id."""

    terms: ContentTerms
    renditions: Mapping[int, Rendition] = field(default_factory=dict)
    chosen: ChosenPictures = field(default_factory=lambda: choose_pictures([], 1))
    studies: int = 0

    @classmethod
    def of_series(
        cls, terms: ContentTerms, renditions: Mapping[int, Rendition], series: Sequence[Series]
    ) -> "SetContent":
        """The content of a set with these series; which pictures pages show is decided here."""
        shown = {
            instance_id: volume_content.for_audience(rendition, terms)
            for instance_id, rendition in renditions.items()
        }
        chosen = choose_pictures(
            (
                [shown[candidate.instance_id] for candidate in one_series.candidates]
                for one_series in series
                if terms.pages
            ),
            terms.most_pictures,
        )
        studies = {(one_series.patient, one_series.study) for one_series in series}
        return cls(terms, shown, chosen, len(studies))

    @property
    def rendition_keys(self) -> dict[str, int]:
        """The id of the instance of each rendition, by its key."""
        return {rendition.key: number for number, rendition in self.renditions.items()}

    def share(self, candidate: Candidate) -> ContentShare:
        """The content that an instance brings along on its volume."""
        if self.terms.manifest:
            entry = DirectoryEntry("0" * 64, candidate.header, candidate.transfer_syntax_uid)
            return ContentShare(text=instance_list.row_length(entry))
        if not self.terms.pages:
            return NO_SHARE
        rendition = self.renditions[candidate.instance_id]
        return volume_content.content_share(rendition, self.chosen, self.terms)

    def with_shares(self, series: Sequence[Series]) -> list[Series]:
        """The series with the share of each of their instances."""
        return [
            replace(
                one_series,
                candidates=tuple(
                    candidate._replace(content=self.share(candidate))
                    for candidate in one_series.candidates
                ),
            )
            for one_series in series
        ]

    def fixed_files(self) -> list[tuple[str, int]]:
        """The files that every volume has, by name and size, besides README.TXT."""
        files = volume_content.fixed_files(self.terms, self.studies)
        if self.terms.manifest:
            files += [(file.name, file.size) for file in instance_list.instance_list([])]
        return files

    def files(self, volumes: Sequence[Sequence[PlacedCandidate]]) -> list[tuple[ContentFile, ...]]:
        """The files on each volume of the set, besides README.TXT."""
        if self.terms.manifest:
            return [
                (*instance_list.instance_list(_directory_entries(volume)), *self._applications())
                for volume in volumes
            ]
        if not self.terms.pages:
            return [tuple(self._applications()) for _ in volumes]
        entries = [
            [
                VolumeEntry(file.file_id, self.renditions[file.candidate.instance_id])
                for file in volume
            ]
            for volume in volumes
        ]
        return volume_content.content_of_set(entries, self.chosen, self.terms)

    def _applications(self) -> list[ContentFile]:
        return list(volume_content.application_files(self.terms))


def _directory_entries(volume: Sequence[PlacedCandidate]) -> list[DirectoryEntry]:
    return [
        DirectoryEntry(file.file_id, file.candidate.header, file.candidate.transfer_syntax_uid)
        for file in volume
    ]
