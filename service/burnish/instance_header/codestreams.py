"""Craft: whether encapsulated Pixel Data has its frames, by their headers and ends.

Nothing is decoded.

Source: PS3.5 A.4 (fragments and offset tables), PS3.5 G.5 (RLE), ISO/IEC 10918-1 (JPEG), 14495-1
(JPEG-LS), 15444-1 A (JPEG 2000).
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from burnish.application_profiles import limits
from burnish.dicom_elements import describe
from burnish.vocabulary import JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS_SV1, RLE_LOSSLESS
from burnish.wording import quantity

#: Reads bytes of the data set at an offset, fewer where it ends.
Read = Callable[[int, int], bytes]
#: Where the value of a fragment begins, and its length.
Fragment = tuple[int, int]

ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
_JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
_JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
#: The frame headers that each JPEG transfer syntax has (PS3.5 10.2 to 10.4).
_FRAME_HEADERS_BY_SYNTAX = {
    JPEG_BASELINE: frozenset({0xC0}),
    JPEG_EXTENDED: frozenset({0xC0, 0xC1}),
    _JPEG_LOSSLESS: frozenset({0xC3}),
    JPEG_LOSSLESS_SV1: frozenset({0xC3}),
    **dict.fromkeys(_JPEG_LS, frozenset({0xF7})),
}
#: JPEG 2000, and High-Throughput JPEG 2000.
_JPEG_2000 = frozenset(
    {f"1.2.840.10008.1.2.4.{last}" for last in (90, 91, 92, 93, 201, 202, 203)},
)
#: Frame headers (SOF) of JPEG and JPEG-LS.
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
#: Markers without a length.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END = 0xDA, b"\xff\xd9"
_JPEG_START, _JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_START_OF_TILE_PART = b"\xff\x90"
#: The header of a tile-part (SOT) and the marker of its data (SOD), in bytes.
_SHORTEST_TILE_PART = 14
_MOST_TILES = 65_535
_JP2_SIGNATURE = b"\0\0\0\x0cjP  "
#: Bytes at the end of a frame in which its end marker is looked for.
_TAIL = 4096
_LONGEST_HEADER = 1 << 20
_RLE_HEADER = struct.Struct("<16I")
_MOST_RLE_SEGMENTS = 15
#: The most bytes that two bytes of RLE stand for.
_LONGEST_RUN = 128


class FrameFault(NamedTuple):
    """A fault of frames, in words.

    `prevents_viewing`: a viewer shows no image, or a wrong one.
    """

    message: str
    prevents_viewing: bool = True


class EncapsulatedPixelData(NamedTuple):
    """Where the fragments of Pixel Data lie, without its Basic Offset Table.

    `basic_offsets` is that table. `extended_offsets` and `extended_lengths` are the Extended Offset
    Table (7FE0,0001) and its Lengths (7FE0,0002). All are empty where they are absent.
    """

    fragments: Sequence[Fragment]
    basic_offsets: Sequence[int] = ()
    extended_offsets: Sequence[int] = ()
    extended_lengths: Sequence[int] = ()


class _Header(NamedTuple):
    """The image as the header of a codestream describes it; `signed` is None if that is unknown."""

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool | None = None


class _Frame:
    """The bytes of one frame, which may be in several fragments."""

    def __init__(self, read: Read, fragments: Sequence[Fragment]) -> None:
        self._read, self._fragments = read, fragments
        self.length = sum(length for _, length in fragments)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Bytes from `offset` on, fewer at the end of the frame."""
        parts = []
        for start, length in self._fragments:
            if count > 0 and offset < length:
                part = min(count, length - offset)
                parts.append(self._read(start + offset, part))
                count -= part
            offset = max(0, offset - length)
        return b"".join(parts)

    def tail(self) -> bytes:
        count = min(_TAIL, self.length)
        return self.bytes_at(self.length - count, count)


def is_examined(transfer_syntax_uid: str) -> bool:
    """Whether the frames of a transfer syntax have headers or lengths that are examined here."""
    return transfer_syntax_uid in (
        _FRAME_HEADERS_BY_SYNTAX.keys() | _JPEG_2000 | {RLE_LOSSLESS, ENCAPSULATED_UNCOMPRESSED}
    )


def is_video(transfer_syntax_uid: str) -> bool:
    """Whether all frames are in one stream: MPEG-2, MPEG-4 AVC/H.264, HEVC/H.265 (PS3.5 8.2.5)."""
    return transfer_syntax_uid.startswith("1.2.840.10008.1.2.4.10")


def frame_faults(
    read: Read,
    pixel_data: EncapsulatedPixelData,
    values: limits.Values,
    transfer_syntax_uid: str,
) -> list[FrameFault]:
    """The faults of the frames of encapsulated Pixel Data that `values` describe."""
    if not pixel_data.fragments:
        return [FrameFault("its Pixel Data (7FE0,0010) has no fragment")]
    if is_video(transfer_syntax_uid):
        return []
    count = values.get(limits.NUMBER_OF_FRAMES, 1)
    count = count if isinstance(count, int) and count > 0 else 1
    faults = _Faults()
    fragments_of_frames = _divide(read, pixel_data, count, transfer_syntax_uid, faults)
    for number, fragments in enumerate(fragments_of_frames, start=1):
        frame = _Frame(read, fragments)
        faults.frame = number
        if transfer_syntax_uid in _FRAME_HEADERS_BY_SYNTAX:
            _check_jpeg(frame, values, transfer_syntax_uid, faults)
        elif transfer_syntax_uid in _JPEG_2000:
            _check_jpeg_2000(frame, values, faults)
        elif transfer_syntax_uid == RLE_LOSSLESS:
            _check_rle(frame, values, faults)
        elif transfer_syntax_uid == ENCAPSULATED_UNCOMPRESSED:
            _check_uncompressed(frame, values, faults)
    return faults.all()


class _Faults:
    """The faults found so far. Of each kind, the first frame is named and the others counted."""

    def __init__(self) -> None:
        self.frame = 0
        self._first: dict[str, tuple[int, str, bool]] = {}
        self._counts: dict[str, int] = {}

    def add(self, kind: str, message: str, *, prevents_viewing: bool = True) -> None:
        self._first.setdefault(kind, (self.frame, message, prevents_viewing))
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def all(self) -> list[FrameFault]:
        faults = []
        for kind, (frame, message, prevents_viewing) in self._first.items():
            others = self._counts[kind] - 1
            if frame:
                message = f"its frame {frame} {message}"  # noqa: PLW2901
            if others:
                message += f"; so is it with {quantity(others, 'other frame')}"  # noqa: PLW2901
            faults.append(FrameFault(message, prevents_viewing))
        return faults


# --- fragments -----------------------------------------------------------------------------------


def _divide(
    read: Read,
    pixel_data: EncapsulatedPixelData,
    count: int,
    transfer_syntax_uid: str,
    faults: _Faults,
) -> Iterator[Sequence[Fragment]]:
    """The fragments of each frame (PS3.5 A.4)."""
    fragments = pixel_data.fragments
    name, offsets = "Basic Offset Table", pixel_data.basic_offsets
    if pixel_data.extended_offsets:
        name, offsets = "Extended Offset Table (7FE0,0001)", pixel_data.extended_offsets
        if pixel_data.basic_offsets:
            faults.add("tables", "Basic and Extended Offset Table are both there")
        _check_extended_lengths(pixel_data, faults)
    if offsets:
        starts = _starts_by_table(name, offsets, fragments, count, faults)
        if starts:
            return _between(fragments, starts)
    if count == 1:
        _check_single_frame(read, fragments, transfer_syntax_uid, faults)
        return iter([fragments])
    if len(fragments) == count:
        return ([fragment] for fragment in fragments)
    if len(fragments) > count and transfer_syntax_uid != RLE_LOSSLESS:
        starts = _starts_by_content(read, fragments, transfer_syntax_uid)
        if len(starts) > count:
            message = f"{_STATED} is {count}, but its Pixel Data (7FE0,0010) has {len(starts)}"
            faults.add("more frames", message, prevents_viewing=False)
        if len(starts) >= count:
            return _between(fragments, starts)
        actual = quantity(len(starts), "frame") if starts else quantity(len(fragments), "fragment")
    else:
        actual = quantity(len(fragments), "fragment")
    faults.add("frames", f"{_STATED} is {count}, but its Pixel Data (7FE0,0010) has {actual}")
    return iter([[fragment] for fragment in fragments])


_STATED = f"its Number of Frames {describe(limits.NUMBER_OF_FRAMES)}"


def _starts_by_table(
    name: str, offsets: Sequence[int], fragments: Sequence[Fragment], count: int, faults: _Faults
) -> list[int]:
    """The number of the fragment with which each frame begins; none if the table is wrong."""
    if len(offsets) != count:
        message = f"its {name} has {quantity(len(offsets), 'offset')}, but {_STATED} is {count}"
        faults.add("table", message)
        return []
    first = fragments[0][0]
    numbers = {start - first: number for number, (start, _) in enumerate(fragments)}
    starts: list[int] = []
    for frame, offset in enumerate(offsets, start=1):
        number = numbers.get(offset)
        if number is None:
            message = f"its {name} says byte {offset} for frame {frame}: no fragment begins there"
            faults.add("table", message)
            return []
        if number <= (starts[-1] if starts else -1) or (not starts and number):
            message = f"its {name} says byte {offset} for frame {frame}: it is not in order"
            faults.add("table", message)
            return []
        starts.append(number)
    return starts


def _check_extended_lengths(pixel_data: EncapsulatedPixelData, faults: _Faults) -> None:
    """Each frame is one fragment, of the stated length and at most one byte of padding."""
    name = "Extended Offset Table Lengths (7FE0,0002)"
    lengths, fragments = pixel_data.extended_lengths, pixel_data.fragments
    if len(lengths) != len(pixel_data.extended_offsets):
        expected = len(pixel_data.extended_offsets)
        message = f"its {name} has {quantity(len(lengths), 'length')} instead of {expected}"
        faults.add("lengths", message)
        return
    for frame, (length, (_, actual)) in enumerate(zip(lengths, fragments, strict=False), start=1):
        if actual - length not in (0, 1):
            message = f"its {name} says {length} bytes for frame {frame}, but it has {actual}"
            faults.add("lengths", message)
            return


def _between(fragments: Sequence[Fragment], starts: Sequence[int]) -> Iterator[Sequence[Fragment]]:
    for start, end in zip(starts, [*starts[1:], len(fragments)], strict=True):
        yield fragments[start:end]


def _check_single_frame(
    read: Read, fragments: Sequence[Fragment], transfer_syntax_uid: str, faults: _Faults
) -> None:
    if len(fragments) == 1:
        return
    if transfer_syntax_uid == RLE_LOSSLESS:
        message = f"its only frame has {len(fragments)} fragments, where RLE has one for each frame"
        faults.add("fragments", message, prevents_viewing=False)
        return
    frames = len(_starts_by_content(read, fragments, transfer_syntax_uid))
    if frames > 1:
        message = f"{_STATED} is 1, but its Pixel Data (7FE0,0010) has {frames} frames"
        faults.add("more frames", message, prevents_viewing=False)


def _starts_by_content(
    read: Read, fragments: Sequence[Fragment], transfer_syntax_uid: str
) -> list[int]:
    """The numbers of the fragments that begin as codestreams do."""
    beginnings: tuple[bytes, ...] = ()
    if transfer_syntax_uid in _FRAME_HEADERS_BY_SYNTAX:
        beginnings = (_JPEG_START,)
    elif transfer_syntax_uid in _JPEG_2000:
        beginnings = (_JPEG_2000_START, _JP2_SIGNATURE)
    return [
        number
        for number, (start, length) in enumerate(fragments)
        if beginnings and read(start, min(length, 12)).startswith(beginnings)
    ]


# --- codestreams ---------------------------------------------------------------------------------


def _check_jpeg(
    frame: _Frame, values: limits.Values, transfer_syntax_uid: str, faults: _Faults
) -> None:
    kind = "JPEG-LS" if transfer_syntax_uid in _JPEG_LS else "JPEG"
    beginning = frame.bytes_at(0, 2)
    if beginning != _JPEG_START:
        faults.add("start", f"begins with {beginning.hex().upper()}H, where {kind} has FFD8H (SOI)")
        return
    header = _jpeg_header(frame)
    if header is None:
        faults.add("header", f"has no frame header (SOF) of {kind}")
        return
    marker, image, predictor = header
    expected = _FRAME_HEADERS_BY_SYNTAX[transfer_syntax_uid]
    if marker not in expected:
        names = " or ".join(f"FF{number:02X}H" for number in sorted(expected))
        message = f"has the frame header FF{marker:02X}H, where its transfer syntax has {names}"
        # Decoders of one kind read what the codestream says; those of the other kind do not.
        faults.add("process", message, prevents_viewing=(marker == 0xF7) != (kind == "JPEG-LS"))
    elif transfer_syntax_uid == JPEG_LOSSLESS_SV1 and predictor not in (1, None):
        message = f"has selection value {predictor}, where its transfer syntax has 1"
        faults.add("predictor", message, prevents_viewing=False)
    _compare(kind, image, values, faults)
    _check_end(frame, "EOI", faults)


def _jpeg_header(frame: _Frame) -> tuple[int, _Header, int | None] | None:
    """Marker and content of the frame header, and the predictor of the first scan.

    Source: ISO/IEC 10918-1 B.2.2, B.2.3; 14495-1 C.2.2.
    """
    position = 2
    actual: tuple[int, _Header] | None = None
    while position < min(frame.length, _LONGEST_HEADER):
        segment = frame.bytes_at(position, 16)
        if len(segment) < 4 or segment[0] != 0xFF:
            break
        marker = segment[1]
        length = int.from_bytes(segment[2:4], "big")
        if marker == 0xFF:
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        elif marker == _START_OF_SCAN:
            components = segment[4]
            predictor = frame.bytes_at(position + 5 + 2 * components, 1)
            return (*actual, predictor[0] if predictor else None) if actual else None
        else:
            if marker in _FRAME_HEADERS and actual is None and len(segment) >= 10:
                bits, rows, columns, samples = struct.unpack_from(">BHHB", segment, 4)
                actual = marker, _Header(rows, columns, samples, bits)
            position += 2 + max(2, length)
    return (*actual, None) if actual else None


def _check_jpeg_2000(frame: _Frame, values: limits.Values, faults: _Faults) -> None:
    start = 0
    if frame.bytes_at(0, 8) == _JP2_SIGNATURE:
        message = "is a JP2 file, where the standard has a codestream alone"
        faults.add("JP2", message, prevents_viewing=False)
        start = max(0, frame.bytes_at(0, _TAIL).find(_JPEG_2000_START))
    beginning = frame.bytes_at(start, 42)
    if not beginning.startswith(_JPEG_2000_START) or len(beginning) < 42:
        actual = beginning[:4].hex().upper()
        faults.add("start", f"begins with {actual}H, where JPEG 2000 has FF4FFF51H (SOC, SIZ)")
        return
    right, bottom, left, top = struct.unpack_from(">4L", beginning, 8)
    samples = int.from_bytes(beginning[40:42], "big")
    depth = int.from_bytes(frame.bytes_at(start + 42, 1), "big")
    image = _Header(bottom - top, right - left, samples, (depth & 0x7F) + 1, bool(depth & 0x80))
    _compare("JPEG 2000", image, values, faults)
    _check_tile_parts(frame, start, beginning, faults)
    _check_end(frame, "EOC", faults)


def _check_tile_parts(frame: _Frame, start: int, header: bytes, faults: _Faults) -> None:
    """Every tile has its tile-parts, and these are as long as they say (ISO/IEC 15444-1 A.4.2).

    Decoders put grey or older content in the place of what is not there, without a word.
    """
    position = _first_tile_part(frame, start)
    if not position:
        faults.add("tiles", "has no tile-part (SOT)")
        return
    stated: dict[int, int] = {}
    parts: Counter[int] = Counter()
    while frame.bytes_at(position, 2) == _START_OF_TILE_PART:
        segment = frame.bytes_at(position, 12)
        if len(segment) < 12:
            faults.add("tile-part", "ends within the header of a tile-part (SOT): it is truncated")
            return
        _, tile, length, _, count = struct.unpack_from(">HHLBB", segment, 2)
        parts[tile] += 1
        stated[tile] = count or stated.get(tile, 0)
        if not length:
            break  # the last one, which goes on to the end
        if length < _SHORTEST_TILE_PART or position + length > frame.length:
            left = frame.length - position
            message = f"says {length} bytes for a part of tile {tile}, but {left} are left"
            faults.add("tile-part", f"{message}: it is truncated or damaged")
            return
        position += length
    else:
        if frame.bytes_at(position, 2) != _END:
            message = f"has neither a tile-part (SOT) nor EOC at byte {position}"
            faults.add("tile-part", message, prevents_viewing=False)
    _check_tiles(header, parts, stated, faults)


def _first_tile_part(frame: _Frame, start: int) -> int:
    """Where the first tile-part begins, behind the main header; 0 if there is none."""
    position = start + 2
    while position < min(frame.length, _LONGEST_HEADER):
        segment = frame.bytes_at(position, 4)
        if segment[:2] == _START_OF_TILE_PART:
            return position
        if len(segment) < 4 or segment[0] != 0xFF:
            return 0
        position += 2 + max(2, int.from_bytes(segment[2:], "big"))
    return 0


def _check_tiles(
    header: bytes, parts: Mapping[int, int], stated: Mapping[int, int], faults: _Faults
) -> None:
    """All tiles of the header are there, with as many tile-parts as they say."""
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8L", header, 8)
    if not width or not height:
        faults.add("tiles", "has tiles of no size in its JPEG 2000 header")
        return
    tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
    if len(parts) < tiles <= _MOST_TILES:
        faults.add("tiles", f"has {len(parts)} of the {tiles} tiles of its JPEG 2000 header")
    for tile, count in stated.items():
        if parts[tile] < count:
            message = f"has {parts[tile]} of the {count} parts of tile {tile}"
            faults.add("parts", message)


def _compare(kind: str, image: _Header, values: limits.Values, faults: _Faults) -> None:
    """Compares the header of a codestream with the attributes of the data set (PS3.5 8.2)."""
    for tag, actual, unit in (
        (limits.ROWS, image.rows, "row"),
        (limits.COLUMNS, image.columns, "column"),
        (limits.SAMPLES_PER_PIXEL, image.samples, "component"),
    ):
        stated = values.get(tag)
        # A JPEG may give its number of lines at its end, and 0 in its header.
        is_told_later = kind.startswith("JPEG") and unit == "row" and not actual
        if stated and actual != stated and not is_told_later:
            present = quantity(actual, unit)
            message = f"has {present} in its {kind} header, but {_named(tag)} is {stated}"
            faults.add(unit, message)
    allocated, stored = values.get(limits.BITS_ALLOCATED), values.get(limits.BITS_STORED)
    bits = quantity(image.bits, "bit")
    if isinstance(allocated, int) and allocated and image.bits > allocated:
        name = _named(limits.BITS_ALLOCATED)
        message = f"has {bits} in its {kind} header, but {name} is {allocated}"
        faults.add("bits", message)
    elif stored and image.bits != stored:
        name = _named(limits.BITS_STORED)
        message = f"has {bits} in its {kind} header, but {name} is {stored}"
        faults.add("bits", message, prevents_viewing=False)
    signed = values.get(limits.PIXEL_REPRESENTATION)
    if image.signed is not None and signed in (0, 1) and image.signed != bool(signed):
        form = "signed" if image.signed else "unsigned"
        name = _named(limits.PIXEL_REPRESENTATION)
        message = f"is {form} in its {kind} header, but {name} is {signed}"
        faults.add("sign", message, prevents_viewing=False)


def _check_end(frame: _Frame, marker: str, faults: _Faults) -> None:
    """The frame ends with its end marker, apart from padding."""
    tail = frame.tail()
    if tail.rstrip(b"\0\xff").endswith(_END):
        return
    position = tail.rfind(_END)
    if position < 0:
        message = f"does not end with {marker} (FFD9H) but with {tail[-2:].hex().upper()}H"
        faults.add("end", f"{message}: it is truncated")
    else:
        behind = len(tail) - position - 2
        message = f"has {quantity(behind, 'byte')} behind its {marker} (FFD9H)"
        faults.add("behind", message, prevents_viewing=False)


def _check_rle(frame: _Frame, values: limits.Values, faults: _Faults) -> None:
    """The header with the offsets of the segments, one for each byte of a pixel (PS3.5 G.5)."""
    header = frame.bytes_at(0, _RLE_HEADER.size)
    if len(header) < _RLE_HEADER.size:
        faults.add("header", f"has {len(header)} bytes, fewer than an RLE header of 64")
        return
    count, *offsets = _RLE_HEADER.unpack(header)
    samples, allocated = values.get(limits.SAMPLES_PER_PIXEL), values.get(limits.BITS_ALLOCATED)
    if not 1 <= count <= _MOST_RLE_SEGMENTS:
        faults.add("segments", f"has {count} segments in its RLE header, where 1 to 15 are allowed")
        return
    if isinstance(samples, int) and isinstance(allocated, int) and samples and allocated:
        expected = samples * -(-allocated // 8)
        if count != expected:
            message = f"has {quantity(count, 'segment')} in its RLE header instead of {expected}"
            faults.add("segments", message)
    used = [*offsets[:count], frame.length]
    if used[0] != _RLE_HEADER.size or sorted(set(used)) != used:
        message = f"has segments at {used[:-1]} in its RLE header, but {frame.length} bytes"
        faults.add("offsets", message)
        return
    rows, columns = values.get(limits.ROWS), values.get(limits.COLUMNS)
    if isinstance(rows, int) and isinstance(columns, int):
        cells = rows * columns // 8 if allocated == 1 else rows * columns
        shortest = 2 * (cells // _LONGEST_RUN)
        lengths = [end - start for start, end in pairwise(used)]
        if min(lengths) < shortest:
            message = f"has an RLE segment of {min(lengths)} bytes, where {shortest} are the fewest"
            faults.add("length", f"{message}: it is truncated")


def _check_uncompressed(frame: _Frame, values: limits.Values, faults: _Faults) -> None:
    numbers = [
        values.get(tag)
        for tag in (limits.ROWS, limits.COLUMNS, limits.SAMPLES_PER_PIXEL, limits.BITS_ALLOCATED)
    ]
    bits = 1
    for number in numbers:
        bits *= number if isinstance(number, int) else 0
    expected = (bits + 7) // 8
    if frame.length < expected:
        faults.add("length", f"has {frame.length} bytes, where {expected} are required")


def _named(tag: int) -> str:
    return f"{limits.LIMITED[tag].name} {describe(tag)}"
