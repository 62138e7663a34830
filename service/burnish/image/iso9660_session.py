"""Craft: writes one more session for a disc that has ISO 9660 Level 1 (PS3.12 F.1, ECMA-119).

A session begins with its own descriptors, path tables and directories, which describe the whole
disc: the files of earlier sessions where they lie, and its own files, which follow the directories.
Every address counts from the beginning of the disc.

Media without sessions can be extended instead: libburn then overwrites the first 32 sectors of the
medium with those of the new session. Bytes of earlier files that lie there are therefore repeated
in the session, which has room for them behind its descriptors.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

from burnish.errors import Conflict, Unreadable
from burnish.image import (
    directory_tree,
    image_file,
    iso9660_reader,
    iso9660_writer,
    udf_reader,
    volume_size,
)
from burnish.image.file_extents import Extent, lay_out_files
from burnish.image.image_file import Progress
from burnish.image.image_source import Source
from burnish.media import SECTOR
from burnish.values import VolumeFile

_FIRST_DESCRIPTOR = 16
_MAXIMUM_DESCRIPTORS = 16
#: Sectors of a session before its path tables, and the first of them behind its descriptors.
_HEAD, _BEHIND_DESCRIPTORS = 32, 18
#: Bytes of a root directory's record of itself; a longer one has Rock Ridge or another System Use.
_ROOT_RECORD = 34
#: The Application Identifier in a volume descriptor (8.4.20), and how that of Burnish begins.
_APPLICATION = slice(574, 702)
_OWN_APPLICATION = b"BURNISH"


def read_extents(path: Path, session: int) -> dict[str, Extent]:
    """Where every file of a disc lies, and its date, by name.

    `session` is the first sector of the last session, which describes the whole disc. Raises
    Conflict for a disc to which files cannot be added without a loss, Unreadable for one without a
    volume.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        source = Source(descriptor, session=session)
        if not iso9660_reader.recognizes(source) or udf_reader.recognizes(source):
            raise Conflict("its file system is not ISO 9660 alone: no files can be added to it")
        _check_descriptors(source)
        table = iso9660_reader.read_file_table(source)
    finally:
        os.close(descriptor)
    extents = {}
    for name, sections in table.sections.items():
        if len(sections) != 1 or sections[0][0] % SECTOR:
            raise Conflict(f"{name} does not lie in one piece, as a file of ISO 9660 Level 1 does")
        [(start, length)] = sections
        extents[name] = Extent(start // SECTOR, length, table.dates[name])
    return extents


def read_head(path: Path) -> bytes:
    """The bytes that a session has to repeat on a medium without sessions."""
    with path.open("rb") as disc:
        disc.seek(_BEHIND_DESCRIPTORS * SECTOR)
        return disc.read((_HEAD - _BEHIND_DESCRIPTORS) * SECTOR)


def _check_descriptors(source: Source) -> None:
    """Raises Conflict if files have other names besides those of ISO 9660, which would be lost."""
    for descriptor in islice(iso9660_reader.descriptors(source), _MAXIMUM_DESCRIPTORS):
        if descriptor[0] == iso9660_reader.TERMINATOR:
            return
        if descriptor[0] != iso9660_reader.PRIMARY:
            raise Conflict("its files have other names besides (Joliet, or a boot record)")
        root = int.from_bytes(descriptor[158:162], "little") * SECTOR
        is_plain = not source.has(root, 1) or source.read(root, 1)[0] == _ROOT_RECORD
        # the names that Burnish writes in Rock Ridge are the same ones, and are written again
        if not is_plain and not descriptor[_APPLICATION].startswith(_OWN_APPLICATION):
            raise Conflict("its files have other names besides (Rock Ridge)")
    raise Unreadable("its volume descriptors have no terminator")


def _has_pages(names: Iterable[str]) -> bool:
    """Whether a disc has pages, whose links need names with capital letters on Linux too."""
    return "INDEX.HTM" in names


def session_size(earlier: Mapping[str, Extent], files: Sequence[VolumeFile]) -> int:
    """The bytes of the session that `write_session` writes."""
    names = [*earlier, *(file.file_id for file in files)]
    directories = directory_tree.build_tree(names)
    unix_names = _has_pages(names)
    structure = _HEAD + iso9660_writer.structure_sectors(directories, unix_names=unix_names)
    return SECTOR * (structure + sum(volume_size.sectors(file.size) for file in files))


def write_session(
    path: Path,
    *,
    volume_identifier: str,
    earlier: Mapping[str, Extent],
    files: Sequence[VolumeFile],
    first: int,
    created: datetime,
    repeated: bytes = b"",
    progress: Progress | None = None,
) -> int:
    """Writes the session that is to begin at the sector `first`; returns its size in bytes.

    `earlier` are the files of earlier sessions. `repeated` is what `read_head` returned, if the
    medium has no sessions. The Volume Space Size is that of the session, as other writers have it;
    on a medium without sessions libburn adds the sectors before it. Raises as
    `formats.ImageWriter` does.
    """
    earlier_files = [VolumeFile(name, extent.size, b"") for name, extent in earlier.items()]
    directory_tree.check_volume(
        volume_identifier, [*earlier_files, *files], iso9660_writer.LARGEST_FILE
    )
    names = [*earlier, *(file.file_id for file in files)]
    directories = directory_tree.build_tree(names)
    tables_sector = first + _HEAD
    unix_names = _has_pages(names)
    structure_sectors = iso9660_writer.structure_sectors(directories, unix_names=unix_names)
    first_file = tables_sector + structure_sectors
    extents = lay_out_files(files, first_file)
    size = session_size(earlier, files)
    tables = iso9660_writer.Tables(
        directories, {**earlier, **extents}, tables_sector, created, unix_names=unix_names
    )
    descriptor = iso9660_writer.primary_descriptor(
        volume_identifier, tables, size // SECTOR, created
    )
    structure = [
        (_FIRST_DESCRIPTOR * SECTOR, descriptor + iso9660_writer.TERMINATOR),
        (_BEHIND_DESCRIPTORS * SECTOR, repeated),
        (_HEAD * SECTOR, tables.encode()),
    ]
    placed_files = [
        ((extents[file.file_id].sector - first) * SECTOR if file.size else 0, file)
        for file in files
    ]
    return image_file.write_layout(path, size, structure, placed_files, progress)
