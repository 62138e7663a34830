"""Craft: makes what people look at of one instance, once: its rendition, a file of the cache.

A rendition is one file: the blobs (pictures, thumbnails, slices, documents) in the order in which
they were made, then a JSON object that describes them, then the length of that and a mark. It
depends on the bytes of the instance, on the options and on `VERSION` alone, which its key names: so
copies, retries and other volumes use it again.

An image is decoded frame by frame, so that memory depends on the size of a frame only.
"""

import json
import os
import secrets
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from burnish.content import instance_reader
from burnish.content.model import (
    ContentKind,
    DocumentFile,
    InstanceDescription,
    Picture,
    Rendition,
)
from burnish.content.volume_files import Blob, rendition_path
from burnish.errors import Unreadable

if TYPE_CHECKING:
    from pydicom import Dataset

#: To be increased whenever the same instance would give another rendition.
VERSION = 1
_END = struct.Struct("<I8s")
_MARK = b"BURNCONT"
#: An instance of fewer bytes is read whole; of a larger one, frame by frame.
_READ_WHOLE = 32 << 20
#: What pydicom and the codecs raise for damaged or unusual data.
CODEC_ERRORS = (
    *instance_reader.VALUE_ERRORS,
    BufferError,
    EOFError,
    MemoryError,
    OSError,
    RuntimeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class RenditionOptions:
    """What is made of each instance.

    `quality` is that of JPEG pictures, `thumbnail` the width and height of small ones in pixels.
    `pixels` says what the viewer gets of the true values: "lossless", "near" or "none".
    """

    quality: int = 85
    thumbnail: int = 160
    pixels: str = "none"

    def key(self, digest: str) -> str:
        """The key of the rendition of the instance with this digest of its data set."""
        hexadecimal = digest.rpartition(":")[2]
        return f"{hexadecimal}-{VERSION}q{self.quality}t{self.thumbnail}{self.pixels[0]}"


class BlobWriter:
    """Collects the blobs of a rendition while it is made."""

    def __init__(self, key: str, file: BinaryIO) -> None:
        self._key = key
        self._file = file
        self._offset = 0

    def add(self, data: bytes) -> Blob:
        """The blob of these bytes."""
        blob = Blob(self._key, self._offset, len(data))
        self._file.write(data)
        self._offset += len(data)
        return blob


def make_rendition(source: BinaryIO, size: int, folder: Path, key: str, pixels: str) -> None:
    """Makes the rendition of an instance of `size` bytes, unless the cache has it already.

    Nothing is wrong with an instance that cannot be shown: its rendition says why.
    """
    target = rendition_path(folder, key)
    if target.exists():
        return
    options = options_of(key, pixels)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blobs = BlobWriter(key, file)
            description = _make(source, size, blobs, options)
            encoded = json.dumps(description, ensure_ascii=False, separators=(",", ":")).encode()
            file.write(encoded + _END.pack(len(encoded), _MARK))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def options_of(key: str, pixels: str) -> RenditionOptions:
    """The options that a key names."""
    quality, _, thumbnail = key.rpartition("-")[2].partition("q")[2].partition("t")
    return RenditionOptions(int(quality), int(thumbnail[:-1]), pixels)


def read_rendition(folder: Path, key: str) -> Rendition:
    """The rendition with this key; raises Unreadable if the cache has none, or a damaged one."""
    try:
        with rendition_path(folder, key).open("rb") as file:
            end = file.seek(-_END.size, os.SEEK_END)
            length, mark = _END.unpack(file.read(_END.size))
            if mark != _MARK or length > end:
                raise Unreadable("a rendition is damaged")
            file.seek(end - length)
            values = json.loads(file.read(length))
    except (OSError, ValueError, struct.error) as error:
        raise Unreadable(f"a rendition cannot be read: {error}") from error

    def blob(place: list[int]) -> Blob:
        return Blob(key, place[0], place[1])

    return Rendition(
        key,
        InstanceDescription.from_json(values["instance"]),
        tuple(
            Picture(frame, width, height, blob(jpeg), blob(thumbnail))
            for frame, width, height, jpeg, thumbnail in values["pictures"]
        ),
        blob(values["body"]) if values["body"] else None,
        tuple(
            DocumentFile(extension, blob(content), web)
            for extension, content, web in values["documents"]
        ),
        values["fault"],
        values["viewer"],
        tuple(blob(place) for place in values["viewer_blobs"]),
    )


def _make(
    source: BinaryIO, size: int, blobs: BlobWriter, options: RenditionOptions
) -> dict[str, Any]:
    """The description of a rendition whose blobs have been written."""
    from pydicom import dcmread

    fault = ""
    pictures: list[Picture] = []
    instance = InstanceDescription(ContentKind.OTHER)
    try:
        is_large = size > _READ_WHOLE
        data_set = dcmread(source, force=True, stop_before_pixels=is_large)
        instance = instance_reader.describe(data_set)
        if instance.kind is ContentKind.IMAGE:
            for picture in _pictures(source if is_large else data_set, data_set, blobs, options):
                pictures.append(picture)
    except CODEC_ERRORS as error:
        fault = _reason(error)
    return {
        "instance": instance.to_json(),
        "pictures": [
            (frame, width, height, jpeg[1:], thumbnail[1:])
            for frame, width, height, jpeg, thumbnail in pictures
        ],
        "body": None,
        "documents": [],
        "fault": fault,
        "viewer": None,
        "viewer_blobs": [],
    }


def _pictures(
    source: "BinaryIO | Dataset",
    data_set: "Dataset",
    blobs: BlobWriter,
    options: RenditionOptions,
) -> Iterator[Picture]:
    """The frames of an image as pictures, one after another."""
    from burnish.content import render

    overlays = instance_reader.overlays(data_set)
    in_cells = any(overlay.bit is not None for overlay in overlays)
    aspect = instance_reader.pixel_aspect(data_set)
    stored = int(data_set.get("BitsStored") or 16)
    for number, decoded in enumerate(_frames(source, keep_unused_bits=in_cells)):
        cells = decoded & ((1 << stored) - 1) if in_cells else decoded
        display = instance_reader.frame_display(data_set, number)
        picture = render.render_frame(cells, display)
        if overlays:
            picture = render.draw_overlays(picture, overlays, number, decoded)
        height, width = picture.shape[:2]
        yield Picture(
            number + 1,
            width,
            height,
            blobs.add(render.to_jpeg(picture, options.quality)),
            blobs.add(render.to_thumbnail(picture, options.thumbnail, aspect)),
        )


def _frames(source: "BinaryIO | Dataset", *, keep_unused_bits: bool) -> Iterator[Any]:
    from pydicom.pixels.utils import iter_pixels

    if not hasattr(source, "file_meta"):
        source.seek(0)
    yield from iter_pixels(source, correct_unused_bits=not keep_unused_bits)


def _reason(error: BaseException) -> str:
    """Why an instance cannot be shown, for people; without any value of the instance."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, NotImplementedError):
        return "unsupported"
    return "damaged"
