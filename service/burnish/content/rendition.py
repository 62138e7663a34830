"""Craft: makes what people look at of one instance, once: its rendition, a file of the cache.

A rendition is one file: the blobs (pictures, thumbnails, slices, documents) in the order in which
they were made, then a JSON object that describes them, then the length of that and a mark. It
depends on the bytes of the instance, on the options and on `VERSION` alone, which its key names: so
copies, retries and other volumes use it again.

An image is decoded frame by frame, and frames of very many pixels in a smaller size, so that memory
is bounded.
"""

import json
import os
import secrets
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from burnish.codec_process import panics_as_errors
from burnish.content import documents, instance_reader, large_frames
from burnish.content.documents.body import DocumentWriter, read_body
from burnish.content.model import (
    ContentKind,
    DocumentFile,
    InstanceDescription,
    Picture,
    Rendition,
)
from burnish.content.texts import decode_texts
from burnish.content.viewer_data import InstanceRecorder, PackedPixels
from burnish.content.volume_files import Blob, rendition_path
from burnish.errors import Unreadable
from burnish.file_slice import Slice

if TYPE_CHECKING:
    from pydicom import Dataset

#: To be increased whenever the same instance would give another rendition.
VERSION = 10
_END = struct.Struct("<I8s")
_MARK = b"BURNCONT"
#: An instance of fewer bytes is read whole; of a larger one, frame by frame.
_READ_WHOLE = 32 << 20
#: JPEG and JPEG-LS, whose decoders fill the rest of a truncated frame with anything.
_ENDING_WITH_EOI = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
_EOI = b"\xff\xd9"
#: Bytes in which the end of a frame is looked for: some have padding behind it.
_TAIL = 4096
#: Rows of an image whose colours are converted at once.
_ROWS_OF_COLOUR = 256
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
    """The renditions that are made of each instance.

    `quality` is that of JPEG pictures, `thumbnail` the width and height of small ones in pixels.
    `pixels` says what the viewer gets of the true values: "lossless", "near" or "none". With
    `teaching`, ultrasound images are black outside their regions, where names stand, and overlays
    are left out.
    """

    quality: int = 85
    thumbnail: int = 160
    pixels: str = "none"
    teaching: bool = False

    def key(self, digest: str) -> str:
        """The key of the rendition of the instance with this digest of its data set."""
        hexadecimal = digest.rpartition(":")[2]
        audience = "teaching" if self.teaching else ""
        return f"{hexadecimal}-{VERSION}q{self.quality}t{self.thumbnail}{self.pixels}{audience}"


class _NoPixels(ValueError):
    """An image without Pixel Data."""


class BlobWriter:
    """Collects the blobs of a rendition while it is made."""

    def __init__(self, key: str, file: BinaryIO) -> None:
        self._key = key
        self._file = file
        self._offset = 0

    def add(self, data: bytes) -> Blob:
        """The blob of these bytes."""
        return self.add_pieces([data])

    def add_pieces(self, pieces: Iterable[bytes]) -> Blob:
        """The blob of bytes that come in pieces."""
        start = self._offset
        for piece in pieces:
            self._file.write(piece)
            self._offset += len(piece)
        return Blob(self._key, start, self._offset - start)


def make_rendition(source: Slice, folder: Path, key: str, options: RenditionOptions) -> None:
    """Makes the rendition of an instance, unless the cache has it already.

    Nothing is wrong with an instance that cannot be shown: its rendition says why.
    """
    if rendition_path(folder, key).exists():
        return
    with _new_rendition(folder, key) as file, source.open() as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        description = _make(opened, source.size, BlobWriter(key, file), options)
        _write_end(file, description)


def write_faulty(folder: Path, key: str) -> None:
    """Writes the rendition of an instance on which a decoder crashes or does not end."""
    with _new_rendition(folder, key) as file:
        _write_end(file, {**_nothing(), "fault": "damaged"})


@contextmanager
def _new_rendition(folder: Path, key: str) -> Iterator[BinaryIO]:
    """A file to write to, which becomes the rendition if nothing is raised."""
    target = rendition_path(folder, key)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # after a power failure it is used as it is found
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _write_end(file: BinaryIO, description: dict[str, Any]) -> None:
    encoded = json.dumps(description, ensure_ascii=False, separators=(",", ":")).encode()
    file.write(encoded + _END.pack(len(encoded), _MARK))


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
            Picture(frame, width, height, blob(jpeg), blob(thumbnail), aspect)
            for frame, width, height, jpeg, thumbnail, aspect in values["pictures"]
        ),
        read_body(values["body"], key),
        tuple(
            DocumentFile(extension, blob(content), web)
            for extension, content, web in values["documents"]
        ),
        values["fault"],
        values["viewer"],
        tuple(blob(place) for place in values["viewer_blobs"]),
        values["thumbnail"],
    )


def _make(
    source: BinaryIO, size: int, blobs: BlobWriter, options: RenditionOptions
) -> dict[str, Any]:
    """The description of a rendition whose blobs have been written."""
    from pydicom import dcmread

    values = _nothing()
    try:
        is_large = size > _READ_WHOLE
        data_set = dcmread(source, force=True, stop_before_pixels=is_large)
        decode_texts(data_set)
        description = instance_reader.describe(data_set)
        if documents.is_document(data_set):
            description = replace(description, kind=ContentKind.DOCUMENT, frames=0)
        if options.teaching and instance_reader.teaching_regions(data_set):
            description = replace(description, may_show=True)
        values["instance"] = description.to_json()
        if description.kind is ContentKind.DOCUMENT:
            _add_document(values, data_set, source, blobs, options)
        if large_frames.is_large(data_set):
            # their true values would be more than a browser holds
            options = replace(options, pixels=PackedPixels.NONE)
        _add_pictures(values, data_set, source, blobs, options, is_large=is_large)
    except CODEC_ERRORS as error:
        values["fault"] = _reason(error)
    return values


def _nothing() -> dict[str, Any]:
    """The description of a rendition without anything."""
    return {
        "instance": InstanceDescription(ContentKind.OTHER).to_json(),
        "pictures": [],
        "body": [],
        "documents": [],
        "thumbnail": None,
        "fault": "",
        "viewer": {},
        "viewer_blobs": [],
    }


def _add_document(
    values: dict[str, Any],
    data_set: "Dataset",
    source: BinaryIO,
    blobs: BlobWriter,
    options: RenditionOptions,
) -> None:
    """Adds the body and the files of a document, or why there are none."""
    writer = DocumentWriter(blobs.add_pieces, options.quality, options.thumbnail)
    try:
        documents.write_document(data_set, source, writer)
        writer.end()
    except CODEC_ERRORS as error:
        values["fault"] = _reason(error)
        writer.discard()
    values["body"] = writer.body
    values["documents"] = writer.files
    values["thumbnail"] = writer.thumbnail


def _add_pictures(
    values: dict[str, Any],
    data_set: "Dataset",
    source: BinaryIO,
    blobs: BlobWriter,
    options: RenditionOptions,
    *,
    is_large: bool,
) -> None:
    """Adds the pictures of an image, and what the viewer needs of any instance.

    `is_large`: `data_set` has no pixels, and these are read from `source`.
    """
    recorder = InstanceRecorder(data_set, PackedPixels(options.pixels))
    lines: list[Blob] = []
    is_complete = True
    try:
        if values["instance"]["kind"] == ContentKind.IMAGE:
            if not is_large and not instance_reader.has_pixels(data_set):
                raise _NoPixels("an image has no pixels")
            if large_frames.is_large(data_set):
                frames = _small_pictures(source, data_set, recorder, blobs, options)
            else:
                pixels = source if is_large else data_set
                frames = _pictures(pixels, data_set, recorder, blobs, options)
            for picture, line in frames:
                frame, width, height, jpeg, thumbnail, aspect = picture
                values["pictures"].append((frame, width, height, jpeg[1:], thumbnail[1:], aspect))
                if line.size:
                    lines.append(line)
    except CODEC_ERRORS as error:
        values["fault"] = _reason(error)
        is_complete = False
    extras = [blobs.add(line) for line in recorder.extra_lines()]
    record = recorder.to_json()
    if not is_complete or len(lines) != record.get("frames", 0):
        # the viewer has true values of all frames, or of none
        record.pop("frames", None)
        lines = []
    values["viewer"] = record
    values["viewer_blobs"] = [blob[1:] for blob in (*lines, *extras)]


def _pictures(
    source: "BinaryIO | Dataset",
    data_set: "Dataset",
    recorder: InstanceRecorder,
    blobs: BlobWriter,
    options: RenditionOptions,
) -> Iterator[tuple[Picture, Blob]]:
    """The frames of an image as pictures, one after another, each with its line for the viewer."""
    from burnish.content import render

    regions = instance_reader.teaching_regions(data_set) if options.teaching else []
    overlays = instance_reader.overlays(data_set)
    in_cells = any(overlay.bit is not None for overlay in overlays)
    aspect = instance_reader.pixel_aspect(data_set)
    stored = int(data_set.get("BitsStored") or 16)
    frames = _frames(source, data_set, keep_unused_bits=in_cells)
    for number, decoded in enumerate(frames):
        cells = decoded & ((1 << stored) - 1) if in_cells else decoded
        line = blobs.add(recorder.frame_line(cells))
        display = instance_reader.frame_display(data_set, number)
        picture = render.render_frame(cells, display)
        if regions:
            picture = render.only_regions(picture, regions)
        elif overlays and not options.teaching:  # they may have names
            picture = render.draw_overlays(picture, overlays, number, decoded)
        yield _picture(number, picture, aspect, blobs, options), line


def _small_pictures(
    source: BinaryIO,
    data_set: "Dataset",
    recorder: InstanceRecorder,
    blobs: BlobWriter,
    options: RenditionOptions,
) -> Iterator[tuple[Picture, Blob]]:
    """The same of frames that are too large; the viewer draws their overlays."""
    from burnish.content import render

    if options.teaching and instance_reader.teaching_regions(data_set):
        raise MemoryError
    aspect = instance_reader.pixel_aspect(data_set)
    for number, cells in enumerate(large_frames.smaller_frames(source, data_set)):
        line = blobs.add(recorder.frame_line(cells))
        picture = render.render_frame(cells, instance_reader.frame_display(data_set, number))
        yield _picture(number, picture, aspect, blobs, options), line


def _picture(
    number: int, picture: Any, aspect: float, blobs: BlobWriter, options: RenditionOptions
) -> Picture:
    """The picture of a frame, counted from 0, as JPEG and thumbnail."""
    from burnish.content import render

    height, width = picture.shape[:2]
    return Picture(
        number + 1,
        width,
        height,
        blobs.add(render.to_jpeg(picture, options.quality)),
        blobs.add(render.to_thumbnail(picture, options.thumbnail, aspect)),
        round(aspect, 4),
    )


def _frames(
    source: "BinaryIO | Dataset", data_set: "Dataset", *, keep_unused_bits: bool
) -> Iterator[Any]:
    """The decoded frames, colours as red, green and blue."""
    from pydicom.pixels.utils import iter_pixels

    if data_set.get("BitsAllocated") == 1 and data_set.file_meta.TransferSyntaxUID.is_compressed:
        raise NotImplementedError("no decoder here reads single bits")
    _check_ends(source, data_set)
    if not hasattr(source, "file_meta"):
        source.seek(0)
    is_ybr = str(data_set.get("PhotometricInterpretation")) in ("YBR_FULL", "YBR_FULL_422")
    frames = iter_pixels(source, raw=True, correct_unused_bits=not keep_unused_bits)
    while True:
        with panics_as_errors():
            frame = next(frames, None)
        if frame is None:
            return
        if is_ybr and frame.ndim == 3:
            _convert_to_rgb(frame)
        yield frame


def _check_ends(source: "BinaryIO | Dataset", data_set: "Dataset") -> None:
    """Raises ValueError if a frame of JPEG or JPEG-LS has no end: what is missing is not known."""
    from pydicom import Dataset
    from pydicom.encaps import generate_frames

    if str(data_set.file_meta.get("TransferSyntaxUID")) not in _ENDING_WITH_EOI:
        return
    if isinstance(source, Dataset):
        pixels = source.PixelData
    else:
        pixels = large_frames.open_pixel_data(source)
    frames = int(data_set.get("NumberOfFrames") or 1)
    for encoded in generate_frames(pixels, number_of_frames=frames):
        if _EOI not in encoded[-_TAIL:]:
            raise ValueError("a frame is truncated")


def _convert_to_rgb(frame: Any) -> None:
    """YBR_FULL to RGB, some rows at a time: pydicom needs twelve bytes for each sample."""
    from pydicom.pixels.processing import convert_color_space

    for start in range(0, len(frame), _ROWS_OF_COLOUR):
        rows = frame[start : start + _ROWS_OF_COLOUR]
        rows[:] = convert_color_space(rows, "YBR_FULL", "RGB")


def _reason(error: BaseException) -> str:
    """Why an instance cannot be shown, for people; without any value of the instance."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, _NoPixels):
        return "empty"
    if isinstance(error, NotImplementedError):
        return "unsupported"
    return "damaged"
