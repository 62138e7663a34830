"""Craft: the true pixel values of images as files that a browser can load from a disc.

A page that was opened from a disc (`file://`) may run scripts of its folder and show its pages, but
it may not read files. So pixel values arrive as the text of packs. A pack is a script:

    <!--
    BURNISH_PACK("series pack",[
    function(){/*block*/},
    function(){/*block*/},
    ]);
    --><title>Pack</title><script src="../PACK.JS" charset="utf-8"></script>

It is also a page, since scripts may have the signs of HTML comments at the beginning of lines. To a
page, all blocks are in one comment, and PACK.JS sends their bytes to the page of the viewer.

The two ways are for the memory of browsers. In Chromium, the text of comments in functions is in
memory once, that of strings three times; and pages are freed late. Firefox keeps the text of
scripts as long as a minute, and frees that of a comment of a page at once: it needs 150 to 200 MB
less for 500 slices of 512 x 512.

A pack is text in UTF-16, little-endian, with a byte order mark. Bytes stand in comments, two in
each character; with one in each, it would need twice the memory. The first character of a comment
is the number of bytes that fill up the last one, "0" or "1". "*" starts an escape, so that no
comment ends early, and none has a character that a browser would change: "*" with U+0100 + n is
U+D800 + n, a surrogate, which cannot stand alone; "*" with U+0080 + n is U+0000, U+000D, "*" or
"-". A pack is 3 % longer than its bytes (base64: 33 %).

A block is a header of 24 bytes, then raw deflate. Numbers are little-endian:

    0   1 byte    "B"
    1   1 byte    kind: 1 numbers, 2 colour, 3 floating point, 4 JSON
    2   1 byte    bytes in each number: 1, 2 or 4
    3   1 byte    step between two values: 1 is lossless
    4   4 bytes   columns
    8   4 bytes   rows
    12  8 bytes   the smallest value, as a floating point number
    20  4 bytes   CRC-32 of the 20 bytes before, and of the decoded numbers

The numbers of kind 1 are (value - smallest) / step. They and the planes of a colour image are
predicted (the median predictor of JPEG-LS, ITU-T T.87 A.4.1; for 4 bytes the number on the left);
the differences are mapped to 0, -1, 1, -2 ... and split into planes of bytes, the highest first. A
colour image is three planes: G, R - G, B - G. A checksum that does not match means that the block
cannot be used: a reader says so instead of showing it.
"""

import codecs
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

_NUMBERS, _COLOUR, _FLOATS, _JSON = 1, 2, 3, 4
_HEADER = struct.Struct("<4sIId")
#: A pack is closed when it has about this many bytes: one read of a disc, one script to parse.
_PACK_BYTES = 2_000_000
#: Values between two numbers of a nearly lossless image: no value differs by more than 2.
_NEAR_STEP = 5
#: An image with a smaller range of values is kept lossless.
_NEAR_RANGE = 1024

#: The character that starts an escape, and what follows it in place of a character that cannot
#: stand in a comment: this for the first of them, and so on.
_ESCAPE = ord("*")
_SURROGATES, _SURROGATE_FOLLOWERS = 0xD800, 0x100
_OTHER_FOLLOWERS = 0x80


def _text(text: str) -> bytes:
    return text.encode("utf-16-le")


_SUFFIX = _text(']);\n--><title>Pack</title><script src="../PACK.JS" charset="utf-8"></script>\n')


def encode_values(values: Any, *, near: bool = False) -> bytes:
    """A block for a two-dimensional array of integers or floating point numbers.

    `near`: values may differ by up to 2 where the image has a wide range.
    """
    import numpy as np

    if values.dtype.kind == "f":
        floats = values.astype("<f4")
        planes = _byte_planes(floats.view("<u4"))
        return _block((_FLOATS, 4, 1), floats.shape, 0, floats.tobytes(), planes)
    smallest = int(values.min()) if values.size else 0
    spread = (int(values.max()) if values.size else 0) - smallest
    step = _NEAR_STEP if near and spread >= _NEAR_RANGE else 1
    numbers = values.astype(np.int64) if spread > 0xFFFF else values.astype(np.int32)
    numbers -= smallest
    if step > 1:
        numbers += step // 2
        numbers //= step
        spread = (spread + step // 2) // step
    if spread > 0xFFFF:
        decoded = numbers.astype("<u4")
        planes = _byte_planes(_zigzag(_left_differences(decoded), 31))
        return _block((_NUMBERS, 4, step), decoded.shape, smallest, decoded.tobytes(), planes)
    if spread > 0xFF:
        decoded = numbers.astype("<u2")
        planes = _byte_planes(_zigzag(_median_differences(numbers).astype(np.int16), 15))
        return _block((_NUMBERS, 2, step), decoded.shape, smallest, decoded.tobytes(), planes)
    decoded = numbers.astype(np.uint8)
    planes = _zigzag(_median_differences(numbers).astype(np.int8), 7).tobytes()
    return _block((_NUMBERS, 1, step), decoded.shape, smallest, decoded.tobytes(), planes)


def encode_colour(pixels: Any) -> bytes:
    """A block for an image of 8-bit red, green and blue, as rows x columns x 3."""
    import numpy as np

    red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
    planes = b"".join(
        _zigzag(_median_differences(plane & 0xFF).astype(np.int8), 7).tobytes()
        for plane in (green, red - green, blue - green)
    )
    decoded = b"".join(plane.astype(np.uint8).tobytes() for plane in (red, green, blue))
    return _block((_COLOUR, 1, 1), red.shape, 0, decoded, planes)


def encode_json(value: object) -> bytes:
    """A block for a JSON value."""
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    header = _HEADER.pack(bytes((0x42, _JSON, 1, 1)), len(text), 1, 0)
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    checksum = struct.pack("<I", zlib.crc32(text, zlib.crc32(header)))
    return header + checksum + compressor.compress(text) + compressor.flush()


def _block(
    kinds: tuple[int, int, int],
    shape: tuple[int, int],
    smallest: int,
    decoded: bytes,
    planes: bytes,
) -> bytes:
    """`kinds`: kind of the block, bytes in each number, step."""
    rows, columns = shape
    header = _HEADER.pack(bytes((0x42, *kinds)), columns, rows, smallest)
    # Measured with CT of 512 x 512: run lengths alone make predicted planes 5 % smaller than
    # the default strategy at level 3, in half the time.
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    checksum = struct.pack("<I", zlib.crc32(decoded, zlib.crc32(header)))
    return header + checksum + compressor.compress(planes) + compressor.flush()


def _median_differences(numbers: Any) -> Any:
    """The differences of the numbers from the median predictor."""
    import numpy as np

    predicted = np.empty(numbers.shape, numbers.dtype)
    predicted[0, :1] = 0
    predicted[0, 1:] = numbers[0, :-1]
    predicted[1:, 0] = numbers[:-1, 0]
    left, above, corner = numbers[1:, :-1], numbers[:-1, 1:], numbers[:-1, :-1]
    inner = left + above
    inner -= corner
    np.minimum(inner, np.maximum(left, above), out=inner)
    np.maximum(inner, np.minimum(left, above), out=inner)
    predicted[1:, 1:] = inner
    return numbers - predicted


def _left_differences(numbers: Any) -> Any:
    """The differences of the numbers from those on their left, modulo 2 to the 32."""
    differences = numbers.copy()
    differences[:, 1:] -= numbers[:, :-1]
    return differences.view("<i4")


def _zigzag(differences: Any, bits: int) -> Any:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..., so that the high bytes of small numbers are 0."""
    return ((differences << 1) ^ (differences >> bits)).view(f"u{differences.itemsize}")


def _byte_planes(numbers: Any) -> bytes:
    import numpy as np

    size = numbers.itemsize
    shifts = range(8 * (size - 1), -1, -8)
    return b"".join((numbers >> shift).astype(np.uint8).tobytes() for shift in shifts)


def pack_line(block: bytes) -> bytes:
    """A block as it stands in a pack: a line with a function and a comma."""
    import numpy as np

    filling = len(block) % 2
    characters = np.frombuffer(block + bytes(filling), "<u2")
    is_escaped = characters & 0xF800 == _SURROGATES
    for character in (0, 0x0D, _ESCAPE, ord("-")):
        is_escaped |= characters == character
    escaped = characters[is_escaped]
    followers = np.where(
        escaped < _SURROGATES,
        escaped + _OTHER_FOLLOWERS,
        escaped - _SURROGATES + _SURROGATE_FOLLOWERS,
    )
    places = np.flatnonzero(is_escaped) + 1
    text = np.insert(np.where(is_escaped, _ESCAPE, characters), places, followers).astype("<u2")
    return _text(f"function(){{/*{filling}") + text.tobytes() + _text("*/},\n")


def pack_prefix(series: int, pack: int) -> bytes:
    """The bytes of a pack before its lines; their number does not depend on the arguments."""
    return codecs.BOM_UTF16_LE + _text(f'<!--\nBURNISH_PACK("{series:07d} {pack:07d}",[\n')


def pack_suffix() -> bytes:
    """The bytes of a pack after its lines."""
    return _SUFFIX


def pack_size(line_lengths: Sequence[int]) -> int:
    """The size in bytes of a pack with lines of these lengths."""
    return len(pack_prefix(1, 1)) + sum(line_lengths) + len(_SUFFIX)


def divide_into_packs(line_lengths: Sequence[int]) -> tuple[int, ...]:
    """The number of lines in each pack of a series, for lines of these lengths in order."""
    return tuple(_pack_counts(line_lengths))


def _pack_counts(line_lengths: Sequence[int]) -> Iterator[int]:
    count = size = 0
    for length in line_lengths:
        if count and size + length > _PACK_BYTES:
            yield count
            count = size = 0
        count += 1
        size += length
    if count:
        yield count
