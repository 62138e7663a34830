"""Craft: DICOM files converted to Explicit VR Little Endian, and writing of converted files."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from burnish import file_meta
from burnish.dicom_elements import (
    PIXEL_DATA,
    UNDEFINED_LENGTH,
    Buffer,
    Element,
    Window,
    encode,
    encode_item,
    header,
    items,
    scan,
)
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Converter, layout
from burnish.file_meta import locate
from burnish.file_slice import Slice
from burnish.hashing import digest_text, new_hasher
from burnish.instance_header.header import HEAD
from burnish.instance_header.inflated import Inflated
from burnish.transcode.frames import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    ENCAPSULATED,
    NUMBER_OF_FRAMES,
    PHOTOMETRIC_INTERPRETATION,
    PIXEL_REPRESENTATION,
    PLANAR_CONFIGURATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    AttributesMissing,
    ImagePixel,
    NotTranscodable,
    ValuesMissing,
    decode,
    pack_bits,
)
from burnish.transcode.transfer_syntaxes import decodable
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
)

_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080016, 0x00080018
_ICON_IMAGE_SEQUENCE = 0x00880200
PIXEL_GROUP = 0x7FE00000
_ENCAPSULATED_WITHIN = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
_PIECE = 1 << 20
#: Ultrasound Image and Ultrasound Multi-frame Image Storage, with their retired forms.
_ULTRASOUND = frozenset(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("3", "3.1", "6", "6.1"))
#: Inflating stops at this many bytes: no element is longer, so no data set needs to be.
_LONGEST_DATA_SET = 1 << 32


@dataclass(frozen=True, slots=True)
class TranscodedFile:
    """A file that was written: its size, where its data set begins, and that one's SHA-256.

    The derived UID and record keys are those of a file that is another SOP Instance than its
    source; else they are empty.
    """

    size: int
    data_set_offset: int
    digest: str
    derived_sop_instance_uid: str = ""
    derived_record_keys: bytes = b""


def to_explicit_vr_little_endian(
    source: Slice, target: Path, *, source_ae_title: str = ""
) -> TranscodedFile:
    """Write `source` to `target` in Explicit VR Little Endian, durably.

    Only attributes that decoding changes are changed: Photometric Interpretation and Planar
    Configuration. Raises NotTranscodable where Pixel Data cannot be decoded, and
    Unreadable where the data set cannot be parsed; then there is no `target`.
    """
    with source.open() as file:
        offset, transfer_syntax_uid = locate(file.read(HEAD))
        with source.open() as fragments:
            pieces = in_explicit_vr_little_endian(file, fragments, offset, transfer_syntax_uid)
            with removed_on_failure(target):
                return write(target, pieces, EXPLICIT_VR_LITTLE_ENDIAN, source_ae_title)


@contextmanager
def removed_on_failure(target: Path) -> Iterator[None]:
    """Remove `target` where the block that writes it fails."""
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def in_explicit_vr_little_endian(
    file: BinaryIO, fragments: BinaryIO, offset: int, transfer_syntax_uid: str
) -> Iterator[bytes]:
    """The data set of `file`, which begins at `offset`, in Explicit VR Little Endian.

    `fragments` is the same file, opened again: frames are read while the rest is copied.
    """
    if not decodable(transfer_syntax_uid):
        raise NotTranscodable(
            f"transfer syntax {transfer_syntax_uid} cannot be decoded", attributes=()
        )
    size = file.seek(0, os.SEEK_END) - offset
    window = Window(file, offset, size)
    if transfer_syntax_uid in ENCAPSULATED:
        return _decoded(fragments, offset, window, transfer_syntax_uid)
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return _inflated(file, offset, size)
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return copied(window, 0, size)
    return _converted(Converter(window, 0, size, layout(transfer_syntax_uid)))


def write(
    target: Path, pieces: Iterator[bytes], transfer_syntax_uid: str, source_ae_title: str
) -> TranscodedFile:
    """Write a data set to `target` durably, with new File Meta Information.

    Raises Unreadable where the data set has no SOP Class UID or no SOP Instance UID.
    """
    # File Meta Information has both UIDs, which are at the beginning of the data set
    beginning = b""
    while len(beginning) < HEAD and (piece := next(pieces, b"")):
        beginning += piece
    uids = {
        element.tag: beginning[element.value : element.value + element.length]
        for element in _first_elements(beginning)
        if element.tag in (_SOP_CLASS_UID, _SOP_INSTANCE_UID)
    }
    sop_class, sop_instance = (
        uids.get(tag, b"").rstrip(b"\0 ").decode("latin-1")
        for tag in (_SOP_CLASS_UID, _SOP_INSTANCE_UID)
    )
    if not (sop_class.isascii() and sop_instance.isascii() and sop_class and sop_instance):
        raise Unreadable("the data set has no SOP Class UID or no SOP Instance UID")
    meta = file_meta.encode(sop_class, sop_instance, transfer_syntax_uid, source_ae_title)
    hasher = new_hasher()
    size = len(meta)
    with target.open("wb") as out:
        out.write(meta)
        for piece in chain((beginning,), pieces):
            hasher.update(piece)
            out.write(piece)
            size += len(piece)
        out.flush()
        os.fsync(out.fileno())
    return TranscodedFile(size, len(meta), digest_text(hasher))


def _first_elements(beginning: bytes) -> Iterator[Element]:
    return scan(beginning, 0, len(beginning), explicit=True, stop=_SOP_INSTANCE_UID + 1)


def copied(window: Buffer, start: int, end: int) -> Iterator[bytes]:
    """The bytes of `window` from `start` to `end`, in pieces."""
    for position in range(start, end, _PIECE):
        yield bytes(window[position : min(position + _PIECE, end)])


def _converted(converter: Converter) -> Iterator[bytes]:
    yield from converter.convert(stop=PIXEL_DATA)
    if converter.big_endian and converter.numbers.get(BITS_ALLOCATED, 0) > 16:
        _refuse_ambiguous_byte_order(converter)
    yield from converter.convert()


def _refuse_ambiguous_byte_order(converter: Converter) -> None:
    """Refuse Pixel Data of more than 16 bits in Big Endian, unless their VR says how to swap.

    PS3.5 7.3 swaps OW by 16-bit words, but many implementations swap whole pixels. Nothing in the
    file tells which was done, and an RT Dose read the wrong way would still look like a dose.
    Float Pixel Data, of VR OF or OD, are not affected.
    """
    if converter.position < converter.end:
        tag, vr, *_ = converter.header()
        if tag == PIXEL_DATA and vr in (b"OW", b"OB"):
            raise NotTranscodable(
                "the byte order of Pixel Data of more than 16 bits in Big Endian is ambiguous",
                attributes=(BITS_ALLOCATED, PIXEL_DATA),
            )


def _inflated(file: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    file.seek(offset)
    inflated = Inflated(file, size)
    while piece := inflated.read(_PIECE):
        yield piece
        if inflated.position > _LONGEST_DATA_SET:
            raise NotTranscodable("the deflated data set is too large")


def _decoded(
    fragments: BinaryIO, offset: int, window: Window, transfer_syntax_uid: str
) -> Iterator[bytes]:
    """The data set with its Pixel Data in native format."""
    before = list(scan(window, 0, window.size, explicit=True, stop=PIXEL_GROUP))
    position = before[-1].end if before else 0
    try:
        behind = list(_pixel_group(window, position))
    except Unreadable as error:
        raise NotTranscodable("the Pixel Data is damaged") from error
    pixels = next((element for element in behind if element.tag == PIXEL_DATA), None)
    if pixels is None:
        # without encapsulated Pixel Data, the data set already is in Explicit VR Little Endian
        for element in (*before, *behind):
            yield from _with_native_items(window, element, transfer_syntax_uid)
        return
    if not pixels.undefined:
        raise NotTranscodable("the Pixel Data is not encapsulated, as its transfer syntax says")
    image = image_pixel(window, before)
    with_frames = decode(fragments, offset + pixels.value, transfer_syntax_uid, image)
    if _sop_class_uid(window, before) in _ULTRASOUND:
        with_frames = _colour_by_plane(with_frames)
    first, decoded = next(with_frames, (b"", image))
    yield from before_pixels(window, before, decoded, transfer_syntax_uid=transfer_syntax_uid)
    yield from _pixel_data(first, with_frames, decoded)
    for element in behind:
        if element.start > pixels.start:
            yield from _with_native_items(window, element, transfer_syntax_uid)


def _sop_class_uid(window: Window, elements: list[Element]) -> str:
    for element in elements:
        if element.tag == _SOP_CLASS_UID:
            value = bytes(window[element.value : element.value + element.length])
            return value.rstrip(b"\0 ").decode("latin-1")
    return ""


def _colour_by_plane(
    frames: Iterator[tuple[bytes, ImagePixel]],
) -> Iterator[tuple[bytes, ImagePixel]]:
    """Frames of an ultrasound image: in YBR_FULL they are by plane (PS3.3 C.8.5.6.1)."""
    for frame, image in frames:
        is_by_pixel = image.samples_per_pixel == 3 and image.planar_configuration == 0
        if is_by_pixel and image.photometric_interpretation == "YBR_FULL":
            planes = b"".join(_every_third_sample(frame, start, image) for start in range(3))
            yield planes, replace(image, planar_configuration=1)
        else:
            yield frame, image


def _every_third_sample(frame: bytes, start: int, image: ImagePixel) -> bytes:
    if image.bits_allocated == 8:
        return frame[start::3]
    import numpy as np

    return np.frombuffer(frame, f"<u{image.bits_allocated // 8}")[start::3].tobytes()


def _pixel_group(window: Window, position: int) -> Iterator[Element]:
    """Pixel Data and what follows; fragments are scanned only where more elements follow them."""
    while position < window.size:
        tag, vr, value, length = header(window, position, window.size, explicit=True)
        if tag == PIXEL_DATA and length == UNDEFINED_LENGTH:
            tail = window[window.size - 8 : window.size]
            if tail == b"\xfe\xff\xdd\xe0\0\0\0\0":
                yield Element(tag, vr, position, value, window.size - 8 - value, True)
                return
        element = next(scan(window, position, window.size, explicit=True))
        yield element
        position = element.end


def before_pixels(
    window: Buffer,
    elements: list[Element],
    image: ImagePixel,
    changes: Mapping[int, bytes] | None = None,
    *,
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN,
) -> Iterator[bytes]:
    """All `elements` before the Pixel Data, changed to describe the image as `image` does.

    `changes` are encoded elements to be put in, by tag; b"" removes the element. Pixel Data in
    items of sequences, such as icons, get native if they are in `transfer_syntax_uid`.
    """
    changed = dict(changes or {})
    if image.samples_per_pixel > 1:
        planar = image.planar_configuration.to_bytes(2, "little")
        changed[PLANAR_CONFIGURATION] = encode(PLANAR_CONFIGURATION, b"US", planar)
    photometric = image.photometric_interpretation.encode("ascii")
    changed[PHOTOMETRIC_INTERPRETATION] = encode(PHOTOMETRIC_INTERPRETATION, b"CS", photometric)
    for element in elements:
        replaced = False
        for tag in sorted(tag for tag in changed if tag <= element.tag):
            replaced = replaced or tag == element.tag
            if piece := changed.pop(tag):
                yield piece
        if replaced:
            continue
        # group lengths are retired and may be wrong now (PS3.5 7.2)
        if element.tag & 0xFFFF:
            yield from _with_native_items(window, element, transfer_syntax_uid)
    yield from (changed[tag] for tag in sorted(changed) if changed[tag])


def _with_native_items(
    window: Buffer, element: Element, transfer_syntax_uid: str
) -> Iterator[bytes]:
    """An element whose items have no encapsulated Pixel Data (PS3.5 A.4 permits it in icons).

    An icon that cannot be decoded is left out; it is not the image. Raises NotTranscodable for any
    other Pixel Data in items that cannot be decoded.
    """
    content = bytes(window[element.start : element.end]) if element.vr == b"SQ" else b""
    if _ENCAPSULATED_WITHIN not in content:
        yield from copied(window, element.start, element.end)
        return
    value = element.value - element.start
    try:
        native = _native_items(content, value, value + element.length, transfer_syntax_uid)
    except (NotTranscodable, Unreadable) as error:
        if element.tag != _ICON_IMAGE_SEQUENCE:
            message = "Pixel Data within a sequence cannot be decoded"
            raise NotTranscodable(message, attributes=(element.tag,)) from error
        return
    yield encode(element.tag, b"SQ", native)


def _native_items(buffer: bytes, start: int, end: int, transfer_syntax_uid: str) -> bytes:
    """The items of a sequence, with native Pixel Data."""
    return b"".join(
        encode_item(_native_item(buffer[item_start:item_end], transfer_syntax_uid))
        for item_start, item_end in items(buffer, start, end, explicit=True)
    )


def _native_item(item: bytes, transfer_syntax_uid: str) -> bytes:
    elements = list(scan(item, 0, len(item), explicit=True))
    before = [element for element in elements if element.tag < PIXEL_DATA]
    pixels = next((element for element in elements if element.tag == PIXEL_DATA), None)
    pieces: list[bytes] = []
    if pixels is None or not pixels.undefined:
        for element in elements:
            pieces += _with_native_items(item, element, transfer_syntax_uid)
        return b"".join(pieces)
    image = image_pixel(item, before)
    frames = decode(io.BytesIO(item), pixels.value, transfer_syntax_uid, image)
    first, decoded = next(frames)
    pieces += before_pixels(item, before, decoded, transfer_syntax_uid=transfer_syntax_uid)
    pieces += _pixel_data(first, frames, decoded)
    for element in elements:
        if element.tag > PIXEL_DATA:
            pieces += _with_native_items(item, element, transfer_syntax_uid)
    return b"".join(pieces)


def _pixel_data(
    first: bytes, others: Iterator[tuple[bytes, ImagePixel]], image: ImagePixel
) -> Iterator[bytes]:
    length = image.length
    if image.photometric_interpretation == "YBR_FULL_422":
        length = length * 2 // 3
    vr = b"OW" if image.bits_allocated > 8 else b"OB"
    padded = length + (length & 1)
    yield encode(PIXEL_DATA, vr, b"")[:8] + padded.to_bytes(4, "little")
    written = 0
    frames = chain((first,), _of_one_kind(others, image))
    for frame in pack_bits(frames) if image.bits_allocated == 1 else frames:
        written += len(frame)
        yield frame
    if written != length:
        raise NotTranscodable("the frames are not as long as Rows and Columns say")
    if written & 1:
        yield b"\0"


def _of_one_kind(frames: Iterator[tuple[bytes, ImagePixel]], image: ImagePixel) -> Iterator[bytes]:
    for frame, description in frames:
        if description != image:
            raise NotTranscodable("the frames differ in their colour space")
        yield frame


def image_pixel(window: Buffer, elements: list[Element]) -> ImagePixel:
    """The Image Pixel attributes of a data set.

    Raises AttributesMissing or ValuesMissing where the size of a frame is unknown.
    """
    values = {
        element.tag: bytes(window[element.value : element.value + element.length])
        for element in elements
        if element.tag >> 16 == 0x0028 and element.length <= 64
    }
    needed = (ROWS, COLUMNS, BITS_ALLOCATED)
    if missing := [tag for tag in needed if tag not in values]:
        raise AttributesMissing("Image Pixel attributes are missing", attributes=missing)
    if empty := [tag for tag in needed if not values[tag]]:
        raise ValuesMissing("Image Pixel attributes are empty", attributes=empty)

    def short(tag: int, default: int = 0) -> int:
        value = values.get(tag, b"")
        return int.from_bytes(value, "little") if len(value) == 2 else default

    frames = values.get(NUMBER_OF_FRAMES, b"").strip(b" \0") or b"1"
    return ImagePixel(
        rows=short(ROWS),
        columns=short(COLUMNS),
        samples_per_pixel=short(SAMPLES_PER_PIXEL, 1),
        bits_allocated=short(BITS_ALLOCATED),
        bits_stored=short(BITS_STORED, short(BITS_ALLOCATED)),
        pixel_representation=short(PIXEL_REPRESENTATION),
        photometric_interpretation=values.get(PHOTOMETRIC_INTERPRETATION, b"MONOCHROME2")
        .strip(b" \0")
        .decode("latin-1"),
        planar_configuration=short(PLANAR_CONFIGURATION),
        number_of_frames=int(frames) if frames.isdigit() and len(frames) <= 12 else 0,
    )
