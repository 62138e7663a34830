"""Craft: the file systems that Burnish writes (PS3.12).

A file system is one module that writes it, registered here, and one that reads it, registered in
`reader`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from burnish.image import (
    fat_writer,
    iso9660_writer,
    mime_writer,
    udf_bridge_writer,
    udf_writer,
    zip_writer,
)
from burnish.image.image_file import Progress
from burnish.image.image_layout import ImageLayout
from burnish.image.volume_size import Sizing
from burnish.media import FileSystem
from burnish.values import VolumeFile


class ImageWriter(Protocol):
    """Writes an image at `path`, durably, with the files in the order given; returns its size.

    `volume_identifier` is the File-set ID (PS3.12 F.1.1). `created`, with its time zone, is every
    date in the image, so that the same arguments give the same bytes. `progress` is called with the
    bytes written so far, and may raise to stop. An image that cannot be finished is removed.
    `layout` records what is written, so that reading back can compare every byte.

    Raises InvalidValue for a name that a File-set may not have, Conflict for two files of one name
    and for a source that is missing or has not the stated size, OutOfResources for a file that is
    too large or an image for which there is no room.
    """

    def __call__(
        self,
        path: Path,
        *,
        volume_identifier: str,
        files: Sequence[VolumeFile],
        created: datetime,
        progress: Progress | None = None,
        layout: ImageLayout | None = None,
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class Format:
    """How images of one file system are made.

    `suffix` is that of image files. `in_order` says that the bytes of which `progress` has been
    told no longer change.
    """

    suffix: str
    sizing: Sizing
    write: ImageWriter
    in_order: bool = True


FORMATS: dict[FileSystem, Format] = {
    FileSystem.ISO_9660_LEVEL_1: Format(".iso", iso9660_writer.SIZING, iso9660_writer.write_image),
    FileSystem.ISO_9660_UDF_BRIDGE: Format(
        ".iso", udf_bridge_writer.SIZING, udf_bridge_writer.write_image
    ),
    FileSystem.UDF_2_60: Format(".iso", udf_writer.SIZING, udf_writer.write_image),
    FileSystem.FAT: Format(".img", fat_writer.SIZING, fat_writer.write_image),
    FileSystem.FAT16: Format(".img", fat_writer.SIZING_16, fat_writer.write_fat16_image),
    FileSystem.ZIP: Format(".zip", zip_writer.SIZING, zip_writer.write_image, in_order=False),
    FileSystem.MIME: Format(".eml", mime_writer.SIZING, mime_writer.write_image, in_order=False),
}

#: The formats of volumes with pages, where they differ: names with capital letters also on Linux.
_WITH_PAGES = {
    FileSystem.ISO_9660_LEVEL_1: Format(
        ".iso", iso9660_writer.UNIX_SIZING, iso9660_writer.write_unix_image
    ),
}


def format_of(file_system: FileSystem, *, pages: bool) -> Format:
    """The format of a volume with pages for browsers, or without."""
    plain = FORMATS[file_system]
    return _WITH_PAGES.get(file_system, plain) if pages else plain
