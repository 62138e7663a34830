"""Craft: the true pixel values of images as files that a browser can load from a disc.

A page that was opened from a disc (`file://`) may run scripts of its folder and show its pages, but
it may not read files. So pixel values arrive as the text of packs. A pack is a script:

    <!-- --><script>...</script><!--
    BURNISH_PACK("series pack",[
    function(){/*block*/},
    --><!--
    function(){/*block*/},
    --><!--
    ]);
    --><title>Pack</title><script src="../PACK.JS" charset="utf-8"></script>

It is also a page, since to a script, a line that begins with "<!--" or "-->" is a comment, in
strict code too. To a page, each block is in a comment of its own. The first script of the page
tells the viewer that the page has begun to arrive, and later that it has ended; before that,
PACK.JS sends the bytes of its blocks. It empties each comment as soon as it has read it.

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

#: Pixels that are computed at once: so what is needed beside a frame and its block is bounded.
_BAND = 1 << 19
#: Bytes of a block that are escaped at once.
_PIECE = 1 << 20

#: The character that starts an escape, and what follows it in place of a character that cannot
#: stand in a comment: this for the first of them, and so on.
_ESCAPE = ord("*")
_SURROGATES, _SURROGATE_FOLLOWERS = 0xD800, 0x100
_OTHER_FOLLOWERS = 0x80

#: The first line of a pack, a comment to a script.
_PAGE_BEGIN = (
    "<!-- --><script>"
    'addEventListener("DOMContentLoaded",()=>parent.postMessage({ended:"%(numbers)s"},"*"));'
    'parent.postMessage({begun:"%(numbers)s"},"*")'
    "</script><!--"
)


def _text(text: str) -> bytes:
    return text.encode("utf-16-le")


#: The end of a line of a pack. To a page, the comment of the block ends and the next one begins.
_LINE_END = "*/},\n--><!--\n"
_SUFFIX = _text(']);\n--><title>Pack</title><script src="../PACK.JS" charset="utf-8"></script>\n')


def encode_values(values: Any, *, near: bool = False) -> bytes:
    """A block for a two-dimensional array of integers or floating point numbers.

    `near`: values may differ by up to 2 where the image has a wide range.
    """
    import numpy as np

    if values.dtype.kind == "f":
        block = _Block((_FLOATS, 4, 1), values.shape, 0)
        for _, rows in _bands(values):
            floats = rows.astype("<f4")
            block.add(floats.tobytes(), floats.view("<u4"))
        return block.end()
    smallest = int(values.min()) if values.size else 0
    spread = (int(values.max()) if values.size else 0) - smallest
    step = _NEAR_STEP if near and spread >= _NEAR_RANGE else 1
    computed = np.int64 if spread > 0xFFFF else np.int32
    if step > 1:
        spread = (spread + step // 2) // step
    size = 4 if spread > 0xFFFF else 2 if spread > 0xFF else 1
    block = _Block((_NUMBERS, size, step), values.shape, smallest)
    for above, rows in _bands(values):
        numbers = rows.astype(computed)
        numbers -= smallest
        if step > 1:
            numbers += step // 2
            numbers //= step
        decoded = numbers[above:].astype(f"<u{size}")
        if size == 4:
            differences = _left_differences(decoded)
        else:
            differences = _median_differences(numbers)[above:].astype(f"i{size}")
        block.add(decoded.tobytes(), _zigzag(differences, 8 * size - 1))
    return block.end()


def encode_colour(pixels: Any) -> bytes:
    """A block for an image of 8-bit red, green and blue, as rows x columns x 3."""
    import numpy as np

    block = _Block((_COLOUR, 1, 1), pixels.shape[:2], 0)
    red, green, blue = (pixels[..., channel] for channel in range(3))
    for plane in (red, green, blue):
        for above, rows in _bands(plane):
            block.add(rows[above:].astype(np.uint8).tobytes())
    for plane, other in ((green, None), (red, green), (blue, green)):
        for above, part in _bands(plane if other is None else np.stack((plane, other), axis=-1)):
            rows = part.astype(np.int16)
            numbers = rows if other is None else rows[..., 0] - rows[..., 1]
            differences = _median_differences(numbers & 0xFF)[above:].astype(np.int8)
            block.add(b"", _zigzag(differences, 7))
    return block.end()


def _bands(values: Any) -> Iterator[tuple[int, Any]]:
    """Some rows at a time; and before them those above that are there for their prediction."""
    rows = max(1, _BAND // max(1, values.shape[1]))
    for start in range(0, len(values), rows):
        above = 1 if start else 0
        yield above, values[start - above : start + rows]


def encode_json(value: object) -> bytes:
    """A block for a JSON value."""
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    header = _HEADER.pack(bytes((0x42, _JSON, 1, 1)), len(text), 1, 0)
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    checksum = struct.pack("<I", zlib.crc32(text, zlib.crc32(header)))
    return header + checksum + compressor.compress(text) + compressor.flush()


class _Block:
    """A block that gets some rows at a time."""

    def __init__(self, kinds: tuple[int, int, int], shape: tuple[int, int], smallest: int) -> None:
        """`kinds`: kind of the block, bytes in each number, step."""
        rows, columns = shape
        self._header = _HEADER.pack(bytes((0x42, *kinds)), columns, rows, smallest)
        self._checksum = zlib.crc32(self._header)
        # Measured with CT of 512 x 512: run lengths alone make predicted planes 5 % smaller than
        # the default strategy at level 3, in half the time.
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
        self._compressed: list[bytes] = []
        #: The planes below the highest, which follow it.
        self._lower: dict[int, list[bytes]] = {}

    def add(self, decoded: bytes, numbers: Any = None) -> None:
        """Adds the decoded bytes of some rows, and the numbers that are compressed for them."""
        self._checksum = zlib.crc32(decoded, self._checksum)
        if numbers is None:
            return
        highest = 8 * (numbers.itemsize - 1)
        self._compressed.append(self._compressor.compress(_byte_plane(numbers, highest)))
        for shift in range(highest - 8, -1, -8):
            self._lower.setdefault(shift, []).append(_byte_plane(numbers, shift))

    def end(self) -> bytes:
        """The bytes of the block."""
        for planes in self._lower.values():
            self._compressed += [self._compressor.compress(plane) for plane in planes]
        checksum = struct.pack("<I", self._checksum)
        return b"".join((self._header, checksum, *self._compressed, self._compressor.flush()))


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


def _byte_plane(numbers: Any, shift: int) -> bytes:
    import numpy as np

    plane: bytes = (numbers >> shift).astype(np.uint8).tobytes()
    return plane


def pack_line(block: bytes) -> bytes:
    """A block as it stands in a pack: a function and a comma, then the end of a comment."""
    filling = len(block) % 2
    pieces = [_text(f"function(){{/*{filling}")]
    for start in range(0, len(block), _PIECE):
        piece = block[start : start + _PIECE]
        pieces.append(_escaped(piece + bytes(len(piece) % 2)))
    pieces.append(_text(_LINE_END))
    return b"".join(pieces)


def _escaped(data: bytes) -> bytes:
    """An even number of bytes as they stand in a comment."""
    import numpy as np

    characters = np.frombuffer(data, "<u2")
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
    text = np.insert(np.where(is_escaped, _ESCAPE, characters), places, followers)
    encoded: bytes = text.astype("<u2").tobytes()
    return encoded


def pack_prefix(series: int, pack: int) -> bytes:
    """The bytes of a pack before its lines; their number does not depend on the arguments."""
    numbers = f"{series:07d} {pack:07d}"
    page = _PAGE_BEGIN % {"numbers": numbers}
    return codecs.BOM_UTF16_LE + _text(f'{page}\nBURNISH_PACK("{numbers}",[\n')


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
