"""Craft: writes volume images that are ISO 9660 and UDF 1.02 at once (PS3.12 P.2.1).

Both file systems have the same files in the same extents. ISO 9660 is at Level 1, as on a CD; of
UDF the partition begins behind the first anchor and reaches up to the second, the last sector.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from burnish.image import (
    image_file,
    iso9660,
    iso9660_layout,
    udf,
    udf_directories,
    udf_volume,
    volume_size,
)
from burnish.image.image_file import Progress
from burnish.image.udf import Udf
from burnish.image.udf_directories import Numbering
from burnish.image.udf_volume import ANCHOR, Census, Partition
from burnish.image.volume_size import Run, Sums
from burnish.media import SECTOR
from burnish.values import VolumeFile

_REVISION = 0x0102
_PARTITION = ANCHOR + 1
#: The File Set Descriptor and the Terminating Descriptor before the first directory.
_BEFORE_DIRECTORIES = 2
#: Sectors of an ECC block of a DVD, by which drives write (ECMA-267 18).
_ECC_BLOCK = 16


class _Sizing:
    """Sizes in sectors."""

    largest_file = iso9660_layout.LARGEST_FILE

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return 1 + iso9660_layout.file_sectors(size)

    def structure(self, runs: Sequence[Run]) -> int:
        names = udf.directory_sectors((run.count, len(run.name)) for run in runs)
        return iso9660_layout.run_sectors(runs) + 1 + names

    def size(self, sums: Sums) -> int:
        path_table = iso9660_layout.PATH_TABLE_ROOT + 8 * sums.directories + sums.names
        sectors = (
            _PARTITION
            + _BEFORE_DIRECTORIES
            + iso9660_layout.path_table_sectors(path_table)
            + sums.structure
            + sums.content
            + 1
        )
        return -(-sectors // _ECC_BLOCK) * _ECC_BLOCK * SECTOR


SIZING = _Sizing()


def write(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
) -> int:
    """Writes the image at `path`, as `iso9660.write` does."""
    directories, size = volume_size.planned(SIZING, volume_identifier, files)
    sectors = size // SECTOR
    common = Udf(_REVISION, volume_identifier, created)
    numbering = Numbering(directories, files, _BEFORE_DIRECTORIES)
    tables_at = _PARTITION + numbering.end
    extents = iso9660.place_files(files, tables_at + iso9660_layout.structure_sectors(directories))
    tables = iso9660.Tables(directories, extents, tables_at, created)
    root = udf.long_address(SECTOR, numbering.blocks[""])
    census = Census(len(files), len(directories), numbering.next_unique)

    def addresses(file: VolumeFile) -> list[bytes]:
        first = extents[file.file_id].sector - _PARTITION
        return [udf.short_address(*extent) for extent in udf.spanned(file.size, first)]

    structure = [
        (
            16,
            iso9660.primary_descriptor(volume_identifier, tables, sectors, created)
            + iso9660.TERMINATOR
            + udf.RECOGNITION_UDF_1,
        ),
        *udf_volume.sequences(common, _partition(sectors), census),
        (ANCHOR, udf_volume.anchor(common, ANCHOR)),
        (_PARTITION, udf.file_set_sequence(common, root)),
        (
            _PARTITION + _BEFORE_DIRECTORIES,
            udf_directories.encode(common, numbering, 0, addresses),
        ),
        (tables_at, tables.encode()),
        (sectors - 1, udf_volume.anchor(common, sectors - 1)),
    ]
    placed = [(extents[file.file_id].sector * SECTOR, file) for file in files]
    return image_file.write(
        path, size, [(at * SECTOR, data) for at, data in structure], placed, progress
    )


def _partition(sectors: int) -> Partition:
    """All between the two anchors of an image of so many sectors."""
    length = sectors - 1 - _PARTITION
    maps = (udf_volume.PHYSICAL_MAP,)
    return Partition(_PARTITION, length, maps, (length,), udf.long_address(SECTOR, 0))
