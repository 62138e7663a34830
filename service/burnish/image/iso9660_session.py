"""Craft: one more session for a disc that has ISO 9660 Level 1 (PS3.12 F.1, ECMA-119).

A session begins with its own descriptors, path tables and directories, which describe all of the
disc: files of earlier sessions where they lie, its own behind the directories. Every address
counts from the beginning of the disc.

Media without sessions can be made longer instead: then libburn overwrites the first 32 sectors with
those of the new session. So what lies there of earlier files is repeated in it, and a session has
room for that.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

from burnish.errors import Conflict, Unreadable
from burnish.image import (
    directory_tree,
    image_file,
    iso9660,
    iso9660_layout,
    iso9660_reader,
    udf_reader,
)
from burnish.image.file_extents import Source
from burnish.image.image_file import Progress
from burnish.image.iso9660 import Extent
from burnish.media import SECTOR
from burnish.values import VolumeFile

#: The descriptors of another view of the same files: Joliet and what else there may be.
_PRIMARY, _TERMINATOR = 1, 255
_DESCRIPTORS = 16
#: The sectors of a session before its path tables; those behind the descriptors are repeated.
_HEAD = 32
_REPEATED = 18
#: Bytes of the root's record of itself; more of them are Rock Ridge or another System Use.
_ROOT_RECORD = 34


def earlier(path: Path, session: int) -> dict[str, Extent]:
    """Where every file of a disc lies, and its date, by name.

    The session that begins at the sector `session` says so, which is to be the last.
    Raises Conflict for what a further session could not keep, Unreadable for what is no volume.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        source = Source(descriptor, session=session)
        if not iso9660_reader.is_one(source) or udf_reader.is_one(source):
            raise Conflict("its file system is not ISO 9660 alone, to which files can be added")
        _check_descriptors(source)
        found = iso9660_reader.find(source)
    finally:
        os.close(descriptor)
    extents = {}
    for name, sections in found.sections.items():
        if len(sections) != 1 or sections[0][0] % SECTOR:
            raise Conflict(f"{name} does not lie in one piece, as a file of Level 1 does")
        [(start, length)] = sections
        extents[name] = Extent(start // SECTOR, length, found.dates[name])
    return extents


def head(path: Path) -> bytes:
    """What a session has to repeat on a medium without sessions."""
    with path.open("rb") as disc:
        disc.seek(_REPEATED * SECTOR)
        return disc.read((_HEAD - _REPEATED) * SECTOR)


def _check_descriptors(source: Source) -> None:
    """Raises Conflict unless the files have one name each: that of ISO 9660."""
    for found in islice(iso9660_reader.descriptors(source), _DESCRIPTORS):
        if found[0] == _TERMINATOR:
            return
        if found[0] != _PRIMARY:
            raise Conflict("its files have other names besides (Joliet, or a boot record)")
        root = int.from_bytes(found[158:162], "little") * SECTOR
        if source.has(root, 1) and source.read(root, 1)[0] != _ROOT_RECORD:
            raise Conflict("its files have other names besides (Rock Ridge)")
    raise Unreadable("its volume descriptors have no end")


def size(kept: Mapping[str, Extent], files: Sequence[VolumeFile]) -> int:
    """The bytes of the session that `write` makes."""
    directories = directory_tree.grow([*kept, *(file.file_id for file in files)])
    sectors = _HEAD + iso9660_layout.structure_sectors(directories)
    return SECTOR * (sectors + sum(iso9660_layout.file_sectors(file.size) for file in files))


def write(
    path: Path,
    *,
    volume_identifier: str,
    kept: Mapping[str, Extent],
    files: Sequence[VolumeFile],
    first: int,
    created: datetime,
    repeated: bytes = b"",
    progress: Progress | None = None,
) -> int:
    """Writes the session that is to begin at the sector `first`; returns its size in bytes.

    `kept` are files of earlier sessions, `repeated` is what `head` gave, where it is needed. Its
    Volume Space Size is that of the session, as other writers have it: where a disc has no
    sessions, libburn adds to it what lies before. Raises as `iso9660.write` does.
    """
    known = [VolumeFile(name, extent.size, b"") for name, extent in kept.items()]
    directory_tree.check(volume_identifier, [*known, *files], iso9660_layout.LARGEST_FILE)
    directories = directory_tree.grow([*kept, *(file.file_id for file in files)])
    tables_at = first + _HEAD
    own = iso9660.place_files(files, tables_at + iso9660_layout.structure_sectors(directories))
    total = size(kept, files)
    tables = iso9660.Tables(directories, {**kept, **own}, tables_at, created)
    descriptor = iso9660.primary_descriptor(volume_identifier, tables, total // SECTOR, created)
    structure = [
        (_DESCRIPTORS * SECTOR, descriptor + iso9660.TERMINATOR),
        (_REPEATED * SECTOR, repeated),
        (_HEAD * SECTOR, tables.encode()),
    ]
    placed = [
        ((own[file.file_id].sector - first) * SECTOR if file.size else 0, file) for file in files
    ]
    return image_file.write(path, total, structure, placed, progress)
