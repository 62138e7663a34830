"""Offline: pages and viewer of a disc to which instances are added, made anew for all it holds.

The earlier instances are read from the disc. Files that come out as they are on the disc already,
as the pictures of the earlier series, stay where they are and are not written again.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from burnish.content.content_terms import ContentTerms
from burnish.content.outline import VolumeEntry, choose_pictures
from burnish.content.pages.album import FOLDER
from burnish.content.rendition import read_rendition
from burnish.content.rendition_pool import RenditionPool, RenditionTask
from burnish.content.volume_content import VIEWER, content_of_set, for_audience
from burnish.content.volume_files import to_volume_file
from burnish.dicomdir.appending import EarlierDirectory, RecordNode
from burnish.file_slice import Slice
from burnish.hashing import digest_text, new_hasher
from burnish.image.file_extents import Extent
from burnish.values import Progress, VolumeFile

#: The files that pages and viewer consist of.
_OF_PAGES = re.compile(rf"INDEX\.HTM|{FOLDER}\\.*|{VIEWER}\\.*")


class InstanceOnDisc(NamedTuple):
    """An instance that the disc holds afterwards: its file, and the digest of its data set."""

    file_id: str
    source: Slice
    digest: str


def pages_of_disc(
    directory: EarlierDirectory,
    instances: Sequence[InstanceOnDisc],
    terms: ContentTerms,
    scratch: Path,
    progress: Progress,
) -> list[VolumeFile]:
    """Pages and viewer of a disc with this DICOMDIR; they are read from `scratch` when written."""
    pool = RenditionPool(scratch / "content")
    keys = {instance.file_id: terms.rendition.key(instance.digest) for instance in instances}
    tasks = [RenditionTask(keys[instance.file_id], instance.source) for instance in instances]
    try:
        pool.make(
            tasks, terms.rendition, lambda done: progress("making pictures", done, len(tasks))
        )
    finally:
        pool.close()
    entries = [
        VolumeEntry(place, for_audience(read_rendition(pool.folder, keys[record.file_id]), terms))
        for place, record in _places(directory.records)
    ]
    series: dict[str, list[VolumeEntry]] = {}
    for entry in entries:
        series.setdefault(entry.file_id.rpartition("\\")[0], []).append(entry)
    chosen = choose_pictures(
        ([entry.rendition for entry in of_series] for of_series in series.values()),
        terms.most_pictures,
    )
    [files] = content_of_set([entries], chosen, terms)
    return [to_volume_file(file, pool.folder) for file in files]


def _places(records: Sequence[RecordNode]) -> Iterator[tuple[str, RecordNode]]:
    """The records of instances in the order of the DICOMDIR, each with its place in it.

    The place is as a File ID, whose folders tell the patient, study and series. File IDs themselves
    do not: the instances of a later session have folders of their own.
    """

    def below(nodes: Sequence[RecordNode], folder: str) -> Iterator[tuple[str, RecordNode]]:
        for number, node in enumerate(nodes):
            place = f"{folder}\\{number:08d}"
            if node.file_id:
                yield place, node
            yield from below(node.below, place)

    return below(records, "DICOM")


def without_old_pages(
    extents: Mapping[str, Extent], pages: Sequence[VolumeFile]
) -> dict[str, Extent]:
    """The files of a disc without those of earlier pages that are not among the new `pages`."""
    names = {file.file_id for file in pages}
    return {
        name: extent
        for name, extent in extents.items()
        if name in names or not _OF_PAGES.fullmatch(name)
    }


def changed_files(
    files: Sequence[VolumeFile], sizes: Mapping[str, int], digests: Mapping[str, str]
) -> list[VolumeFile]:
    """The files that are not on the disc already; `sizes` and `digests` are of those on it."""
    return [
        file
        for file in files
        if sizes.get(file.file_id) != file.size or digests[file.file_id] != _digest(file.source)
    ]


def _digest(source: Slice | bytes | Callable[[], Iterator[bytes]]) -> str:
    hasher = new_hasher()
    if callable(source):
        for piece in source():
            hasher.update(piece)
    return digest_text(hasher)
