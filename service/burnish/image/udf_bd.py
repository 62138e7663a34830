"""Craft: writes UDF 2.60 volume images for Blu-ray discs (PS3.12 X.2.1).

The partition holds, each beginning with an ECC block of the disc: the entry of the metadata mirror
file, its content (File Set Descriptor, directories, entries of files), the files, the same content
as the metadata file, and at the very end its entry, so that damage hardly hits both (UDF 2.2.13).
The mirror is the one in front because programs such as 7-Zip take what follows the metadata file
and the files for no part of the volume. There is neither a virtual allocation table nor a sparing
table.
"""

import struct
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

_REVISION = 0x0260
#: Sectors of an ECC block of a Blu-ray disc, by which drives write.
_ECC_BLOCK = 32
_PARTITION = 9 * _ECC_BLOCK
#: The File Set Descriptor and the Terminating Descriptor before the first directory.
_BEFORE_DIRECTORIES = 2
#: Numbers of the partitions: that on the disc, and that which the metadata file makes.
_PHYSICAL, _METADATA = 0, 1
_NOWHERE = 0xFFFFFFFF


def _whole(sectors: int) -> int:
    """So many sectors in whole ECC blocks."""
    return -(-sectors // _ECC_BLOCK) * _ECC_BLOCK


class _Sizing:
    """Sizes in sectors: structure is in the metadata, and so is a sector for each file."""

    #: As many extents as lie in one file entry beside 216 bytes of its own.
    largest_file = (SECTOR - 216) // 16 * udf.LARGEST_EXTENT

    def content(self, path_length: int, size: int) -> int:  # noqa: ARG002
        return iso9660_layout.file_sectors(size)

    def structure(self, runs: Sequence[Run]) -> int:
        return 1 + udf.directory_sectors((run.count, len(run.name)) for run in runs)

    def size(self, sums: Sums) -> int:
        metadata = _whole(_BEFORE_DIRECTORIES + sums.structure + sums.files)
        return SECTOR * (_PARTITION + 2 * _ECC_BLOCK + 2 * metadata + _whole(sums.content))


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
    last = size // SECTOR - 1
    common = Udf(_REVISION, volume_identifier, created)
    numbering = Numbering(directories, files, _BEFORE_DIRECTORIES)
    census = Census(len(files), len(directories), numbering.next_unique)
    length = _whole(numbering.end)
    extents = iso9660.place_files(files, _ECC_BLOCK + length)

    def addresses(file: VolumeFile) -> list[bytes]:
        spans = udf.spanned(file.size, extents[file.file_id].sector)
        return [udf.long_address(*span, _PHYSICAL) for span in spans]

    metadata = _metadata(common, numbering, addresses)
    entry = last - 1 - _PARTITION
    main = entry - (_ECC_BLOCK - 2) - length
    partition = Partition(
        _PARTITION,
        last - _PARTITION,
        (udf_volume.PHYSICAL_MAP, _metadata_map(common, entry)),
        (last - _PARTITION, length),
        udf.long_address(SECTOR, 0, _METADATA),
    )
    entries = (
        (0, _metadata_entry(common, 0, udf.METADATA_MIRROR, length, _ECC_BLOCK)),
        (entry, _metadata_entry(common, entry, udf.METADATA, length, main)),
    )
    structure = [
        (16, udf.RECOGNITION_UDF_2),
        *udf_volume.sequences(common, partition, census),
        (ANCHOR, udf_volume.anchor(common, ANCHOR)),
        *((_PARTITION + block, encoded) for block, encoded in entries),
        (_PARTITION + _ECC_BLOCK, metadata),
        (_PARTITION + main, metadata),
        (last, udf_volume.anchor(common, last)),
    ]
    placed = [((_PARTITION + extents[file.file_id].sector) * SECTOR, file) for file in files]
    sectors = [(at * SECTOR, data) for at, data in structure]
    return image_file.write(path, size, sectors, placed, progress)


def _metadata(common: Udf, numbering: Numbering, addresses: udf_directories.Addresses) -> bytes:
    """All that is in the metadata partition."""
    root = udf.long_address(SECTOR, numbering.blocks[""], _METADATA)
    entries = udf_directories.encode(common, numbering, _METADATA, addresses)
    return udf.file_set_sequence(common, root) + entries


def _metadata_map(common: Udf, entry: int) -> bytes:
    """The partition map that makes a partition of the metadata file (UDF 2.2.10)."""
    duplicated = 1
    return (
        struct.pack("<BBH", 2, 64, 0)
        + common.udf_entity("*UDF Metadata Partition")
        + struct.pack("<HH", 1, 0)
        + struct.pack("<III", entry, 0, _NOWHERE)
        + struct.pack("<IHB", _ECC_BLOCK, _ECC_BLOCK, duplicated)
        + bytes(5)
    )


def _metadata_entry(common: Udf, block: int, file_type: int, length: int, first: int) -> bytes:
    """The entry of the metadata file or of its copy (UDF 2.2.13.1)."""
    extents = udf.spanned(length * SECTOR, first)
    return udf.file_entry(
        common,
        block,
        file_type,
        size=length * SECTOR,
        addresses=[udf.short_address(*extent) for extent in extents],
        unique=0,
        links=0,
    )
