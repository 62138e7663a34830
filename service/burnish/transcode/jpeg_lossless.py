"""Craft: JPEG Lossless, Process 14, Selection Value 1, encoded (ISO/IEC 10918-1 H, PS3.5 A.4.1).

Each sample is predicted from the one to its left, and the difference is Huffman coded. Each image
gets the optimal code for its own differences, so each frame has its tables (PS3.11 H.3.4.2).
"""

import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from burnish.transcode import jpeg_huffman
from burnish.transcode.jpeg_huffman import CATEGORIES

if TYPE_CHECKING:
    import numpy as np

#: Samples coded at a time: few enough for the cache of a processor.
_BLOCK = 1 << 16
#: An APP14 segment which tells decoders that no colour transformation was applied.
_NO_TRANSFORM = b"\xff\xee\x00\x0eAdobe\x00\x65\x00\x00\x00\x00\x00"


class _Code(NamedTuple):
    """The code of each difference modulo 65536, with its additional bits, and its length."""

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
    frequencies = np.zeros(CATEGORIES, np.int64)
    categories, _ = jpeg_huffman.categories()
    for differences in _differences(samples, precision):
        frequencies += np.bincount(categories[differences], minlength=CATEGORIES)
    lengths = jpeg_huffman.code_lengths(frequencies.tolist())
    code = _code(lengths)
    coded = jpeg_huffman.coded(
        (code.bits[differences], code.lengths[differences])
        for differences in _differences(samples, precision)
    )
    return b"".join((_head(samples.shape, precision, lengths), *coded, jpeg_huffman.EOI))


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


def _code(lengths: Mapping[int, int]) -> _Code:
    """The code of each difference: that of its category, then its additional bits."""
    import numpy as np

    categories, extra = jpeg_huffman.categories()
    codes, widths = np.zeros(CATEGORIES, np.uint64), np.zeros(CATEGORIES, np.uint64)
    for symbol, code in jpeg_huffman.codes(lengths).items():
        codes[symbol], widths[symbol] = code, lengths[symbol]
    additional = np.array([*range(CATEGORIES - 1), 0], np.uint64)
    prefixes, totals = codes << additional, widths + additional
    return _Code(prefixes[categories] | extra, totals.astype(np.uint8)[categories])


def _head(shape: tuple[int, ...], precision: int, lengths: Mapping[int, int]) -> bytes:
    """SOI, the frame header, the Huffman table and the scan header (ISO/IEC 10918-1 B.2)."""
    rows, columns, components = shape
    numbers = range(1, components + 1)
    frame = struct.pack(">BHHB", precision, rows, columns, components)
    frame += b"".join(bytes((number, 0x11, 0)) for number in numbers)
    scan = bytes((components, *(byte for number in numbers for byte in (number, 0)), 1, 0, 0))
    return b"".join(
        (
            jpeg_huffman.SOI,
            _NO_TRANSFORM if components == 3 else b"",
            jpeg_huffman.segment(0xC3, frame),
            jpeg_huffman.table(0, lengths),
            jpeg_huffman.segment(0xDA, scan),
        )
    )
