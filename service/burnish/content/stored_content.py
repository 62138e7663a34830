"""Craft: the files for people of a planned volume, encoded for its row in the database.

Pages are in it as they were planned; pictures and packs lie in the cache and are named. If the
cache loses a rendition, the one that is made anew must have the same size; otherwise the volume
would not be what was planned.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.content.rendition import RenditionOptions
from burnish.content.volume_files import (
    Blob,
    ContentFile,
    LocalFile,
    Part,
    VolumeContent,
    rendition_path,
)


@dataclass(frozen=True, slots=True)
class StoredRendition:
    """A rendition that a volume needs: its key, the id of its instance, the bytes of its file."""

    key: str
    instance_id: int
    size: int


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The values of a `VolumeContent`, and the renditions with their options."""

    files: tuple[ContentFile, ...]
    readme: bytes | None
    pages: bool
    renditions: tuple[StoredRendition, ...] = ()
    options: RenditionOptions = field(default_factory=RenditionOptions)

    def in_folder(self, folder: Path) -> VolumeContent:
        """The content, with its renditions in the cache at `folder`."""
        return VolumeContent(folder, self.files, self.readme, self.pages)

    def missing(self, folder: Path) -> list[StoredRendition]:
        """The renditions that the cache does not have with the size that they had."""
        return [each for each in self.renditions if _size(folder, each.key) != each.size]


def _size(folder: Path, key: str) -> int | None:
    try:
        return rendition_path(folder, key).stat().st_size
    except FileNotFoundError:
        return None


def stored_renditions(
    files: Iterable[ContentFile], instance_ids: Mapping[str, int], folder: Path
) -> tuple[StoredRendition, ...]:
    """The renditions that some files need; `instance_ids` are those of their keys."""
    keys = {part.key for file in files for part in file.parts if isinstance(part, Blob)}
    return tuple(
        StoredRendition(key, instance_ids[key], _size(folder, key) or 0) for key in sorted(keys)
    )


def encode(content: StoredContent) -> bytes:
    """The bytes for the database."""
    keys = {each.key: number for number, each in enumerate(content.renditions)}
    options = content.options
    values = {
        "files": [
            [file.name, [_encoded(part, keys) for part in file.parts]] for file in content.files
        ],
        "readme": None if content.readme is None else content.readme.decode("latin-1"),
        "pages": content.pages,
        "renditions": [[each.key, each.instance_id, each.size] for each in content.renditions],
        "options": [options.quality, options.thumbnail, options.pixels, options.teaching],
    }
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return zlib.compress(text.encode("utf-8"), 6)


def _encoded(part: Part, keys: dict[str, int]) -> object:
    if isinstance(part, Blob):
        return [keys[part.key], part.offset, part.size]
    if isinstance(part, LocalFile):
        return {"path": part.path, "size": part.size}
    return part.decode("latin-1")


def decode(data: bytes) -> StoredContent:
    """Decode the result of `encode`."""
    values = json.loads(zlib.decompress(data))
    renditions = tuple(StoredRendition(*each) for each in values["renditions"])
    files = tuple(
        ContentFile(name, tuple(_decoded(parts, renditions))) for name, parts in values["files"]
    )
    readme = values["readme"]
    return StoredContent(
        files,
        None if readme is None else readme.encode("latin-1"),
        values["pages"],
        renditions,
        RenditionOptions(*values["options"]),
    )


def _decoded(parts: Sequence[Any], renditions: Sequence[StoredRendition]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, str):
            yield part.encode("latin-1")
        elif isinstance(part, dict):
            yield LocalFile(part["path"], part["size"])
        else:
            number, offset, size = part
            yield Blob(renditions[number].key, offset, size)
