"""Craft: writes UDF 2.60 volume images for Blu-ray discs (PS3.12 X.2.1).

The partition holds, in this order; each starts at an ECC block:

1. the entry of the metadata mirror file,
2. its content: File Set Descriptor, directories, entries of files,
3. the files,
4. the same content again, as the metadata file,

and in its last sector the entry of the metadata file. One damaged spot is therefore unlikely to hit
both copies (UDF 2.2.13). 7-Zip and others end the volume after the last of the files and the
metadata file. So the metadata file comes last and the mirror first. There is neither a virtual
allocation table nor a sparing table.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from burnish.image import image_file, udf_structures, volume_size
from burnish.image.file_extents import lay_out_files
from burnish.image.image_file import Progress
from burnish.image.image_layout import ImageLayout
from burnish.image.udf_structures import (
    ANCHOR,
    METADATA,
    METADATA_MIRROR,
    EntryBlocks,
    Partition,
    Totals,
    UdfEncoder,
)
from burnish.image.volume_size import NameRun, Sums
from burnish.media import SECTOR
from burnish.values import VolumeFile

_REVISION = 0x0260
#: Sectors of an ECC block of a Blu-ray disc, the unit in which drives write.
_ECC_BLOCK = 32
_PARTITION = 9 * _ECC_BLOCK
#: The File Set Descriptor and the Terminating Descriptor before the first directory.
_BEFORE_DIRECTORIES = 2
#: Numbers of the partitions: the one on the disc, and the one that the metadata file forms.
_PHYSICAL, _METADATA = 0, 1
#: Bytes of an Extended File Entry before its allocation descriptors (4/14.17), and of a long_ad.
_ENTRY_HEADER, _LONG_ADDRESS = 216, 16
_NO_BITMAP = 0xFFFFFFFF


def _to_ecc_blocks(sectors: int) -> int:
    """`sectors` rounded up to whole ECC blocks."""
    return -(-sectors // _ECC_BLOCK) * _ECC_BLOCK


class UdfSizing:
    """The unit is a sector. The metadata holds the structure and a sector for each file."""

    #: As many extents as fit in one file entry.
    largest_file = (SECTOR - _ENTRY_HEADER) // _LONG_ADDRESS * udf_structures.LARGEST_EXTENT

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return volume_size.sectors(size)

    def structure(self, runs: Sequence[NameRun]) -> int:
        return 1 + udf_structures.names_sectors((run.count, len(run.name)) for run in runs)

    def size(self, sums: Sums) -> int:
        metadata = _to_ecc_blocks(_BEFORE_DIRECTORIES + sums.structure + sums.files)
        files = _to_ecc_blocks(sums.content)
        return SECTOR * (_PARTITION + 2 * _ECC_BLOCK + 2 * metadata + files)


SIZING = UdfSizing()


def write_image(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    layout: ImageLayout | None = None,
) -> int:
    """Writes a UDF 2.60 image (see `formats.ImageWriter`)."""
    directories, size = volume_size.plan_volume(SIZING, volume_identifier, files)
    encoder = UdfEncoder(_REVISION, volume_identifier, created)
    entry_blocks = EntryBlocks(directories, files, _BEFORE_DIRECTORIES)
    metadata_sectors = _to_ecc_blocks(entry_blocks.end)
    # Sectors of the image are counted from its beginning, blocks from that of the partition.
    last_sector = size // SECTOR - 1
    mirror_entry_block = 0
    mirror_block = _ECC_BLOCK
    extents = lay_out_files(files, mirror_block + metadata_sectors)
    metadata_entry_block = last_sector - 1 - _PARTITION
    metadata_block = metadata_entry_block - (_ECC_BLOCK - 2) - metadata_sectors

    def addresses_of(file: VolumeFile) -> list[bytes]:
        first = extents[file.file_id].sector
        return [
            udf_structures.long_address(length, block, _PHYSICAL)
            for length, block in udf_structures.extents(file.size, first)
        ]

    metadata = _metadata(encoder, entry_blocks, addresses_of)
    metadata_map = _metadata_map(encoder, metadata_entry_block, mirror_entry_block)
    partition = Partition(
        first=_PARTITION,
        sectors=last_sector - _PARTITION,
        maps=(udf_structures.PHYSICAL_MAP, metadata_map),
        sizes=(last_sector - _PARTITION, metadata_sectors),
        file_set=udf_structures.long_address(SECTOR, 0, _METADATA),
    )
    totals = Totals(len(files), len(directories), entry_blocks.next_unique_id)
    sectors = [
        (16, udf_structures.RECOGNITION_UDF_2),
        *udf_structures.volume_sequences(encoder, partition, totals),
        (ANCHOR, udf_structures.anchor(encoder, ANCHOR)),
        *_metadata_file(encoder, METADATA_MIRROR, mirror_entry_block, mirror_block, metadata),
        *_metadata_file(encoder, METADATA, metadata_entry_block, metadata_block, metadata),
        (last_sector, udf_structures.anchor(encoder, last_sector)),
    ]
    structure = [(sector * SECTOR, data) for sector, data in sectors]
    placed_files = [((_PARTITION + extents[file.file_id].sector) * SECTOR, file) for file in files]
    return image_file.write_layout(path, size, structure, placed_files, progress, layout)


def _metadata(
    encoder: UdfEncoder,
    entry_blocks: EntryBlocks,
    addresses_of: Callable[[VolumeFile], Sequence[bytes]],
) -> bytes:
    """The content of the metadata file."""
    root = udf_structures.long_address(SECTOR, entry_blocks.blocks[""], _METADATA)
    file_set = udf_structures.file_set_sequence(encoder, root)
    return file_set + udf_structures.encode_entries(encoder, entry_blocks, _METADATA, addresses_of)


def _metadata_map(encoder: UdfEncoder, metadata_entry_block: int, mirror_entry_block: int) -> bytes:
    """The map of the partition that the metadata file forms (UDF 2.2.10)."""
    is_duplicated = 1
    return (
        struct.pack("<BBH", 2, 64, 0)
        + encoder.udf_entity("*UDF Metadata Partition")
        + struct.pack("<HH", 1, 0)
        + struct.pack("<III", metadata_entry_block, mirror_entry_block, _NO_BITMAP)
        + struct.pack("<IHB", _ECC_BLOCK, _ECC_BLOCK, is_duplicated)
        + bytes(5)
    )


def _metadata_file(
    encoder: UdfEncoder, file_type: int, entry_block: int, first_block: int, content: bytes
) -> list[tuple[int, bytes]]:
    """The entry and the content of the metadata file or of its mirror (UDF 2.2.13.1).

    Each comes with its sector.
    """
    size = _to_ecc_blocks(volume_size.sectors(len(content))) * SECTOR
    entry = udf_structures.file_entry(
        encoder,
        entry_block,
        file_type,
        size=size,
        addresses=[
            udf_structures.short_address(length, block)
            for length, block in udf_structures.extents(size, first_block)
        ],
        unique_id=0,
        links=0,
    )
    return [(_PARTITION + entry_block, entry), (_PARTITION + first_block, content)]
