"""Craft: Huffman coding and segments, for all JPEG encoders (ISO/IEC 10918-1)."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: The number of categories of differences: 0 to 16 bits (ISO/IEC 10918-1 H.1.2.2).
CATEGORIES = 17
#: Bits of the longest code; a code of ones only is not used (ISO/IEC 10918-1 C, K.2).
_LONGEST_CODE = 16

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


@cache
def categories() -> tuple["np.ndarray", "np.ndarray"]:
    """The category of each difference modulo 65536, and the additional bits that tell it from the
    others in its category (ISO/IEC 10918-1 H.1.2.2, F.1.2.1)."""
    import numpy as np

    differences = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int64)
    categories = np.zeros(1 << 16, np.uint8)
    for category in range(CATEGORIES - 1):
        categories[np.abs(differences) >= 1 << category] = category + 1
    extra = np.where(differences < 0, differences + (1 << categories.astype(np.int64)) - 1, 0)
    extra = np.where(differences > 0, differences, extra)
    extra[categories == 16] = 0  # that category has only one difference
    return categories, extra.astype(np.uint64)


def code_lengths(frequencies: Sequence[int]) -> dict[int, int]:
    """The lengths of an optimal code of at most 16 bits, by symbol (package-merge algorithm).

    A reserved symbol, the rarest one, takes the code of ones only.
    """
    reserved = -1
    used = [(count, symbol) for symbol, count in enumerate(frequencies) if count]
    leaves = [(0, (reserved,)), *((count, (symbol,)) for count, symbol in sorted(used))]
    packages: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(_LONGEST_CODE):
        pairs = zip(packages[::2], packages[1::2], strict=False)
        joined = [(left[0] + right[0], left[1] + right[1]) for left, right in pairs]
        packages = sorted(leaves + joined, key=lambda package: package[0])
    lengths = dict.fromkeys((symbol for _, symbol in used), 0)
    for _, symbols in packages[: 2 * len(leaves) - 2]:
        for symbol in symbols:
            if symbol != reserved:
                lengths[symbol] += 1
    return lengths


def codes(lengths: Mapping[int, int]) -> dict[int, int]:
    """The code of each symbol, assigned in order of length (ISO/IEC 10918-1 C.2)."""
    code = length = 0
    assigned = {}
    for symbol in in_order(lengths):
        code <<= lengths[symbol] - length
        length = lengths[symbol]
        assigned[symbol] = code
        code += 1
    return assigned


def in_order(lengths: Mapping[int, int]) -> list[int]:
    """The symbols as a table lists them (ISO/IEC 10918-1 B.2.4.2)."""
    return sorted(lengths, key=lambda symbol: (lengths[symbol], symbol))


def table(number: int, lengths: Mapping[int, int]) -> bytes:
    """A Huffman table segment; `number` is its class and destination (ISO/IEC 10918-1 B.2.4.2)."""
    all_lengths = list(lengths.values())
    counts = bytes(all_lengths.count(length) for length in range(1, _LONGEST_CODE + 1))
    return segment(0xC4, bytes((number,)) + counts + bytes(in_order(lengths)))


def coded(blocks: Iterator[tuple["np.ndarray", "np.ndarray"]]) -> Iterator[bytes]:
    """The entropy-coded segment, in pieces: padded with ones, a zero byte after each byte FF.

    Each block has codes of at most 31 bits, as uint64, and their lengths.
    """
    import numpy as np

    # the last word, which is not full yet, and how many of its 32 bits are used
    last_word, used = np.uint64(0), 0
    for bits, lengths in blocks:
        ends = np.cumsum(lengths, dtype=np.int64)
        ends += used
        starts = ends - lengths
        words = starts >> 5
        # a code lies in two words at most, and in each word at least one code begins
        shifted = bits << (64 - lengths - (starts & 31)).astype(np.uint64)
        first = np.concatenate(([0], np.flatnonzero(words[1:] != words[:-1]) + 1))
        joined = np.bitwise_or.reduceat(shifted, first)
        packed = np.zeros(len(first) + 1, np.uint64)
        packed[:-1] = joined >> np.uint64(32)
        packed[1:] |= joined & np.uint64(0xFFFFFFFF)
        packed[0] |= last_word
        full_words, used = divmod(int(ends[-1]), 32)
        last_word = packed[full_words]
        yield packed[:full_words].astype(">u4").tobytes().replace(b"\xff", b"\xff\x00")
    last = int(last_word) | ((1 << (32 - used)) - 1)
    yield last.to_bytes(4, "big")[: (used + 7) // 8].replace(b"\xff", b"\xff\x00")


def segment(marker: int, content: bytes) -> bytes:
    """A marker segment (ISO/IEC 10918-1 B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
