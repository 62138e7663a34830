"""Craft: chooses how the image of a volume is made, by the file system of its medium (PS3.12)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from burnish.image import fat, iso9660, iso9660_layout, mime_writer, udf_bd, udf_bridge, zip_writer
from burnish.image.image_file import Progress
from burnish.image.volume_size import Sizing
from burnish.media import FileSystem
from burnish.values import VolumeFile


class Writer(Protocol):
    """Writes an image, as `write` does for one file system."""

    def __call__(
        self,
        path: Path,
        *,
        volume_identifier: str,
        files: Sequence[VolumeFile],
        created: datetime,
        progress: Progress | None = None,
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class Format:
    """How images of one file system are made: the suffix of their files, sizes, and the bytes.

    `in_order` says that what is written up to what `progress` is told no longer changes.
    """

    suffix: str
    sizing: Sizing
    write: Writer
    in_order: bool = True


FORMATS: dict[FileSystem, Format] = {
    FileSystem.ISO_9660_LEVEL_1: Format(".iso", iso9660_layout.SIZING, iso9660.write),
    FileSystem.ISO_9660_UDF_BRIDGE: Format(".iso", udf_bridge.SIZING, udf_bridge.write),
    FileSystem.UDF_2_60: Format(".iso", udf_bd.SIZING, udf_bd.write),
    FileSystem.FAT: Format(".img", fat.SIZING, fat.write),
    FileSystem.FAT16: Format(".img", fat.SIZING_16, fat.write_16),
    FileSystem.ZIP: Format(".zip", zip_writer.SIZING, zip_writer.write, in_order=False),
    FileSystem.MIME: Format(".eml", mime_writer.SIZING, mime_writer.write, in_order=False),
}
