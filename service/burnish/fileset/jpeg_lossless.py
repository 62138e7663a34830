"""Craft: JPEG Lossless, Process 14, Selection Value 1, encoded (ISO/IEC 10918-1 H, PS3.5 A.4.1).

Each sample is predicted from the one to its left, and the difference is Huffman coded. Every
image gets the best code for its own differences, so frames carry their tables (PS3.11 H.3.4.2).
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

#: Samples coded at a time: what they take while being coded stays within a processor's cache.
_BLOCK = 1 << 16
#: The longest code there may be, and the one of all ones is not used (ISO/IEC 10918-1 C, K.2).
_LONGEST_CODE = 16
_CATEGORIES = 17
#: An APP14 segment: the samples are as the data set calls them, no colour transform was applied.
_NO_TRANSFORM = b"\xff\xee\x00\x0eAdobe\x00\x65\x00\x00\x00\x00\x00"


class _Code(NamedTuple):
    """For each difference, modulo 65536: the bits that say it, and how many there are."""

    bits: "np.ndarray"
    lengths: "np.ndarray"


def encode(samples: "np.ndarray", precision: int) -> bytes:
    """One image as a JPEG stream in interchange format.

    `samples` has the shape (rows, columns, components) with 1 to 4 components, unsigned values
    below 2 ** `precision`; `precision` is 2 to 16 bits. Raises ValueError for any other.
    """
    import numpy as np

    rows, columns, _ = samples.shape
    if not (2 <= precision <= 16 and 0 < rows < 1 << 16 and 0 < columns < 1 << 16):
        raise ValueError("JPEG Lossless has no image of this size or precision")
    frequencies = np.zeros(_CATEGORIES, np.int64)
    categories, _ = _categories()
    for differences in _differences(samples, precision):
        frequencies += np.bincount(categories[differences], minlength=_CATEGORIES)
    lengths = _code_lengths(frequencies.tolist())
    symbols = sorted(lengths, key=lambda symbol: (lengths[symbol], symbol))
    head = _head(samples.shape, precision, [lengths[symbol] for symbol in symbols], symbols)
    coded = _coded(_differences(samples, precision), _code(lengths, symbols))
    return b"".join((head, *coded, b"\xff\xd9"))


def _differences(samples: "np.ndarray", precision: int) -> Iterator["np.ndarray"]:
    """Sample minus prediction, modulo 65536, in coding order (ISO/IEC 10918-1 H.1.2.1).

    The first column is predicted from above, the very first sample by half the range.
    """
    import numpy as np

    rows, columns, components = samples.shape
    step = max(1, _BLOCK // (columns * components))
    above = np.full(components, 1 << (precision - 1), np.uint16)
    for start in range(0, rows, step):
        block = samples[start : start + step].astype(np.uint16)
        differences = np.empty_like(block)
        np.subtract(block[:, 1:], block[:, :-1], out=differences[:, 1:])
        differences[0, 0] = block[0, 0] - above
        np.subtract(block[1:, 0], block[:-1, 0], out=differences[1:, 0])
        above = block[-1, 0]
        yield differences.reshape(-1)


@cache
def _categories() -> tuple["np.ndarray", "np.ndarray"]:
    """The category of each difference modulo 65536, and the bits that tell it from the others in
    its category (ISO/IEC 10918-1 H.1.2.2, F.1.2.1)."""
    import numpy as np

    differences = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int64)
    categories = np.zeros(1 << 16, np.uint8)
    for category in range(_CATEGORIES - 1):
        categories[np.abs(differences) >= 1 << category] = category + 1
    extra = np.where(differences < 0, differences + (1 << categories.astype(np.int64)) - 1, 0)
    extra = np.where(differences > 0, differences, extra)
    extra[categories == 16] = 0  # there is but one difference in it
    return categories, extra.astype(np.uint64)


def _code_lengths(frequencies: Sequence[int]) -> dict[int, int]:
    """The best code of at most 16 bits for these symbols, by symbol (package-merge).

    One symbol more, the rarest, takes the code of all ones.
    """
    reserved = -1
    found = [(count, symbol) for symbol, count in enumerate(frequencies) if count]
    leaves = [(0, (reserved,)), *((count, (symbol,)) for count, symbol in sorted(found))]
    packages: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(_LONGEST_CODE):
        pairs = zip(packages[::2], packages[1::2], strict=False)
        joined = [(one[0] + other[0], one[1] + other[1]) for one, other in pairs]
        packages = sorted(leaves + joined, key=lambda package: package[0])
    lengths = dict.fromkeys((symbol for _, symbol in found), 0)
    for _, symbols in packages[: 2 * len(leaves) - 2]:
        for symbol in symbols:
            if symbol != reserved:
                lengths[symbol] += 1
    return lengths


def _code(lengths: dict[int, int], symbols: Sequence[int]) -> _Code:
    """Codes counted up from short to long (ISO/IEC 10918-1 C.2), each with its extra bits."""
    import numpy as np

    categories, extra = _categories()
    code = length = 0
    codes, widths = np.zeros(_CATEGORIES, np.uint64), np.zeros(_CATEGORIES, np.uint64)
    additional = np.array([*range(_CATEGORIES - 1), 0], np.uint64)
    for symbol in symbols:
        code <<= lengths[symbol] - length
        length = lengths[symbol]
        codes[symbol], widths[symbol] = code, length
        code += 1
    prefixes, totals = codes << additional, widths + additional
    return _Code(prefixes[categories] | extra, totals.astype(np.uint8)[categories])


def _coded(blocks: Iterator["np.ndarray"], code: _Code) -> Iterator[bytes]:
    """The entropy-coded segment: filled up with ones, a zero after each byte of all ones."""
    import numpy as np

    begun, used = np.uint64(0), 0  # the last word, and how many bits of it are taken
    for block in blocks:
        lengths = code.lengths[block]
        ends = np.cumsum(lengths, dtype=np.int64)
        ends += used
        starts = ends - lengths
        words = starts >> 5
        # A code has 31 bits at most: it lies in two words, and in each word one begins.
        shifted = code.bits[block] << (64 - lengths - (starts & 31)).astype(np.uint64)
        first = np.concatenate(([0], np.flatnonzero(words[1:] != words[:-1]) + 1))
        joined = np.bitwise_or.reduceat(shifted, first)
        packed = np.zeros(len(first) + 1, np.uint64)
        packed[:-1] = joined >> np.uint64(32)
        packed[1:] |= joined & np.uint64(0xFFFFFFFF)
        packed[0] |= begun
        whole, used = divmod(int(ends[-1]), 32)
        begun = packed[whole]
        yield packed[:whole].astype(">u4").tobytes().replace(b"\xff", b"\xff\x00")
    last = int(begun) | ((1 << (32 - used)) - 1)
    yield last.to_bytes(4, "big")[: (used + 7) // 8].replace(b"\xff", b"\xff\x00")


def _head(
    shape: tuple[int, ...], precision: int, lengths: Sequence[int], symbols: Sequence[int]
) -> bytes:
    """SOI, the frame header, the Huffman table and the scan header (ISO/IEC 10918-1 B.2)."""
    rows, columns, components = shape
    numbers = range(1, components + 1)
    frame = struct.pack(">BHHB", precision, rows, columns, components)
    frame += b"".join(bytes((number, 0x11, 0)) for number in numbers)
    counts = bytes(lengths.count(length) for length in range(1, _LONGEST_CODE + 1))
    scan = bytes((components, *(byte for number in numbers for byte in (number, 0)), 1, 0, 0))
    return b"".join(
        (
            b"\xff\xd8",
            _NO_TRANSFORM if components == 3 else b"",
            _segment(0xC3, frame),
            _segment(0xC4, b"\0" + counts + bytes(symbols)),
            _segment(0xDA, scan),
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
