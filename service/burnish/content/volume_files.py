"""Craft: files of a volume that are not DICOM files: what they consist of, and their bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.values import VolumeFile

_PIECE = 1 << 20


class Blob(NamedTuple):
    """Bytes within a rendition of the cache: its key, the first byte, and their number."""

    key: str
    offset: int
    size: int


class ContentFile(NamedTuple):
    """A file of a volume: its name with backslashes, and the parts that make its bytes."""

    name: str
    parts: tuple[bytes | Blob, ...]

    @property
    def size(self) -> int:
        return sum(part.size if isinstance(part, Blob) else len(part) for part in self.parts)


def rendition_path(folder: Path, key: str) -> Path:
    """The file of the rendition with this key in the cache at `folder`."""
    return folder / key[:2] / key


def read_blob(folder: Path, blob: Blob) -> bytes:
    """The bytes of a blob; raises Unreadable if the cache does not have all of them."""
    try:
        with rendition_path(folder, blob.key).open("rb") as file:
            file.seek(blob.offset)
            data = file.read(blob.size)
    except OSError as error:
        raise Unreadable(f"a rendition cannot be read: {error.strerror}") from error
    if len(data) != blob.size:
        raise Unreadable("a rendition is shorter than it was")
    return data


def to_volume_file(file: ContentFile, folder: Path) -> VolumeFile:
    """The file as it is handed to an image writer; its blobs lie in the cache at `folder`."""

    def pieces() -> Iterator[bytes]:
        for part in file.parts:
            data = read_blob(folder, part) if isinstance(part, Blob) else part
            for start in range(0, len(data), _PIECE):
                yield data[start : start + _PIECE]

    return VolumeFile(file.name, file.size, pieces)
