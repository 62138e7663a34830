"""Craft: writes volume images that are ISO 9660 and UDF 1.02 at once, for DVDs (PS3.12 P.2.1).

Both file systems have the same files in the same extents. ISO 9660 is at Level 1, as on a CD. The
partition of UDF begins behind the first anchor and reaches up to the second, the last sector.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from burnish.image import image_file, iso9660_writer, udf_structures, volume_size
from burnish.image.file_extents import lay_out_files
from burnish.image.image_file import Progress
from burnish.image.image_layout import ImageLayout
from burnish.image.udf_structures import ANCHOR, EntryBlocks, Partition, Totals, UdfEncoder
from burnish.image.volume_size import NameRun, Sums
from burnish.media import SECTOR
from burnish.values import VolumeFile

_REVISION = 0x0102
_PARTITION = ANCHOR + 1
#: The File Set Descriptor and the Terminating Descriptor before the first directory.
_BEFORE_DIRECTORIES = 2
#: Sectors of an ECC block of a DVD, the unit in which drives write (ECMA-267 18).
_ECC_BLOCK = 16


class BridgeSizing:
    """The unit is a sector."""

    largest_file = iso9660_writer.LARGEST_FILE

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return 1 + volume_size.sectors(size)

    def structure(self, runs: Sequence[NameRun]) -> int:
        names = udf_structures.names_sectors((run.count, len(run.name)) for run in runs)
        return iso9660_writer.run_sectors(runs) + 1 + names

    def size(self, sums: Sums) -> int:
        path_table = iso9660_writer.PATH_TABLE_ROOT + 8 * sums.directories + sums.names
        sectors = (
            _PARTITION
            + _BEFORE_DIRECTORIES
            + iso9660_writer.path_table_sectors(path_table)
            + sums.structure
            + sums.content
            + 1
        )
        return -(-sectors // _ECC_BLOCK) * _ECC_BLOCK * SECTOR


SIZING = BridgeSizing()


def write_image(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    layout: ImageLayout | None = None,
) -> int:
    """Writes an image of both file systems (see `formats.ImageWriter`)."""
    directories, size = volume_size.plan_volume(SIZING, volume_identifier, files)
    encoder = UdfEncoder(_REVISION, volume_identifier, created)
    entry_blocks = EntryBlocks(directories, files, _BEFORE_DIRECTORIES)

    last_sector = size // SECTOR - 1
    tables_sector = _PARTITION + entry_blocks.end
    first_file = tables_sector + iso9660_writer.structure_sectors(directories)
    extents = lay_out_files(files, first_file)
    tables = iso9660_writer.Tables(directories, extents, tables_sector, created)

    def addresses_of(file: VolumeFile) -> list[bytes]:
        first = extents[file.file_id].sector - _PARTITION
        return [
            udf_structures.short_address(length, block)
            for length, block in udf_structures.extents(file.size, first)
        ]

    totals = Totals(len(files), len(directories), entry_blocks.next_unique_id)
    root = udf_structures.long_address(SECTOR, entry_blocks.blocks[""])
    descriptors = (
        iso9660_writer.primary_descriptor(volume_identifier, tables, last_sector + 1, created)
        + iso9660_writer.TERMINATOR
        + udf_structures.RECOGNITION_UDF_1
    )
    sectors = [
        (16, descriptors),
        *udf_structures.volume_sequences(encoder, _partition(last_sector), totals),
        (ANCHOR, udf_structures.anchor(encoder, ANCHOR)),
        (_PARTITION, udf_structures.file_set_sequence(encoder, root)),
        (
            _PARTITION + _BEFORE_DIRECTORIES,
            udf_structures.encode_entries(encoder, entry_blocks, 0, addresses_of),
        ),
        (tables_sector, tables.encode()),
        (last_sector, udf_structures.anchor(encoder, last_sector)),
    ]
    structure = [(sector * SECTOR, data) for sector, data in sectors]
    placed_files = [(extents[file.file_id].sector * SECTOR, file) for file in files]
    return image_file.write_layout(path, size, structure, placed_files, progress, layout)


def _partition(last_sector: int) -> Partition:
    """Everything between the two anchors."""
    sectors = last_sector - _PARTITION
    return Partition(
        first=_PARTITION,
        sectors=sectors,
        maps=(udf_structures.PHYSICAL_MAP,),
        sizes=(sectors,),
        file_set=udf_structures.long_address(SECTOR, 0),
    )
