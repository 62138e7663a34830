"""Craft: files of a volume that are not DICOM files: what they consist of, and their bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.file_slice import Slice
from burnish.values import VolumeFile

_PIECE = 1 << 20


class Blob(NamedTuple):
    """Bytes within a rendition of the cache: its key, the first byte, and their number."""

    key: str
    offset: int
    size: int


class LocalFile(NamedTuple):
    """A file of this machine that goes on volumes as it is, and its size."""

    path: str
    size: int


Part = bytes | Blob | LocalFile


class ContentFile(NamedTuple):
    """A file of a volume: its name with backslashes, and the parts that make its bytes."""

    name: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        return sum(len(part) if isinstance(part, bytes) else part.size for part in self.parts)


@dataclass(frozen=True, slots=True)
class VolumeContent:
    """The files of a volume that are not DICOM files.

    `readme` is README.TXT, None for none; the blobs of `files` lie in the cache at `folder`. A
    volume with `pages` needs names that browsers find on every system.
    """

    folder: Path
    files: tuple[ContentFile, ...] = ()
    readme: bytes | None = None
    pages: bool = False

    def volume_files(self) -> list[VolumeFile]:
        """The files as they are handed to an image writer, in the order in which they shall lie."""
        files = []
        if self.readme is not None:
            files.append(VolumeFile("README.TXT", len(self.readme), self.readme))
        files += [to_volume_file(file, self.folder) for file in self.files]
        return files


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
            if isinstance(part, LocalFile):
                yield from Slice(part.path, 0, part.size).pieces()
                continue
            data = read_blob(folder, part) if isinstance(part, Blob) else part
            for start in range(0, len(data), _PIECE):
                yield data[start : start + _PIECE]

    return VolumeFile(file.name, file.size, pieces)
