"""Craft: what all JPEG encoders share: categories, Huffman codes, segments (ISO/IEC 10918-1)."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: Categories of differences: 0 to 16 bits (ISO/IEC 10918-1 H.1.2.2).
CATEGORIES = 17
#: The longest code there may be, and the one of all ones is not used (ISO/IEC 10918-1 C, K.2).
_LONGEST_CODE = 16

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


@cache
def categories() -> tuple["np.ndarray", "np.ndarray"]:
    """The category of each difference modulo 65536, and the bits that tell it from the others in
    its category (ISO/IEC 10918-1 H.1.2.2, F.1.2.1)."""
    import numpy as np

    differences = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int64)
    categories = np.zeros(1 << 16, np.uint8)
    for category in range(CATEGORIES - 1):
        categories[np.abs(differences) >= 1 << category] = category + 1
    extra = np.where(differences < 0, differences + (1 << categories.astype(np.int64)) - 1, 0)
    extra = np.where(differences > 0, differences, extra)
    extra[categories == 16] = 0  # there is but one difference in it
    return categories, extra.astype(np.uint64)


def code_lengths(frequencies: Sequence[int]) -> dict[int, int]:
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


def codes(lengths: Mapping[int, int]) -> dict[int, int]:
    """The code of each symbol, counted up from short to long (ISO/IEC 10918-1 C.2)."""
    code = length = 0
    found = {}
    for symbol in in_order(lengths):
        code <<= lengths[symbol] - length
        length = lengths[symbol]
        found[symbol] = code
        code += 1
    return found


def in_order(lengths: Mapping[int, int]) -> list[int]:
    """The symbols as a table lists them (ISO/IEC 10918-1 B.2.4.2)."""
    return sorted(lengths, key=lambda symbol: (lengths[symbol], symbol))


def table(number: int, lengths: Mapping[int, int]) -> bytes:
    """A Huffman table segment; `number` is its class and destination (ISO/IEC 10918-1 B.2.4.2)."""
    found = list(lengths.values())
    counts = bytes(found.count(length) for length in range(1, _LONGEST_CODE + 1))
    return segment(0xC4, bytes((number,)) + counts + bytes(in_order(lengths)))


def coded(blocks: Iterator[tuple["np.ndarray", "np.ndarray"]]) -> Iterator[bytes]:
    """The entropy-coded segment: filled up with ones, a zero after each byte of all ones.

    Each block has codes of 31 bits at most, as uint64, and their lengths.
    """
    import numpy as np

    begun, used = np.uint64(0), 0  # the last word, and how many bits of it are taken
    for bits, lengths in blocks:
        ends = np.cumsum(lengths, dtype=np.int64)
        ends += used
        starts = ends - lengths
        words = starts >> 5
        # It lies in two words at most, and in each word one begins.
        shifted = bits << (64 - lengths - (starts & 31)).astype(np.uint64)
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


def segment(marker: int, content: bytes) -> bytes:
    """A marker segment (ISO/IEC 10918-1 B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
