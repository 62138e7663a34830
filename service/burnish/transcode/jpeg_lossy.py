"""Craft: JPEG with loss, Baseline and Extended, encoded (ISO/IEC 10918-1 F; PS3.5 8.2.1, A.4.1).

Coefficients are rounded to multiples of steps: a sixth of those of Annex K for an image whose pixel
values cover the range of 8 bits, and finer ones where they cover less. Each image gets the optimal
codes for its own coefficients, so each frame has its tables (PS3.11 H.3.4.2).
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from burnish.transcode import jpeg_huffman

if TYPE_CHECKING:
    import numpy as np

#: Blocks of 8 x 8 samples coded at a time.
_AT_ONCE = 1 << 11
_LUMINANCE_STEPS = """
    16 11 12 14 12 10 16 14 13 14 18 17 16 19 24 40 26 24 22 22 24 49 35 37 29 40 58 51 61 60 57 51
    56 55 64 72 92 78 64 68 87 69 55 56 80 109 81 87 95 98 103 104 103 62 77 113 121 112 100 120 92
    101 103 99
"""
_CHROMINANCE_STEPS = "17 18 18 24 21 24 47 26 26 47 99 66 56 66" + 50 * " 99"
#: The steps in zigzag order: for grey and luminance, and for chrominance (Tables K.1, K.2).
_STEPS = tuple(
    tuple(int(step) for step in steps.split()) for steps in (_LUMINANCE_STEPS, _CHROMINANCE_STEPS)
)
#: The share of those steps that is used, for each value in the range of an image's pixel values.
_SHARE = 1 / 1536
#: The marker of the frame header, by precision.
_FRAME = {8: 0xC0, 12: 0xC1}
#: The symbols for end of block and for sixteen zeros (F.1.2.2.1).
_END, _ZEROS = 0x00, 0xF0
#: The symbols of the four tables have numbers of their own: these are added for AC and for colour.
_AC, _COLOUR, _SYMBOLS = 256, 512, 1024


class _Symbols(NamedTuple):
    """The codes in order: symbols, the additional bits behind each, and their number."""

    symbols: "np.ndarray"
    bits: "np.ndarray"
    lengths: "np.ndarray"


def encode(samples: "np.ndarray", precision: int) -> bytes:
    """One image as a JPEG stream in interchange format.

    `samples` has the shape (rows, columns, components) with 1 component, or with 3 in YBR_FULL,
    of which two then have half the columns (YBR_FULL_422); unsigned values below
    2 ** `precision`, which is 8 or 12 bits. Raises ValueError for any other.
    """
    import numpy as np

    rows, columns, components = samples.shape
    sized = 0 < rows < 1 << 16 and 0 < columns < 1 << 16
    if precision not in _FRAME or components not in (1, 3) or not sized:
        raise ValueError("JPEG has no image of this size or precision")
    steps = _steps(int(np.ptp(samples)) + 1)[: 1 if components == 1 else 2]
    units = _coefficients(samples, precision, steps)
    frequencies = np.zeros(_SYMBOLS, np.int64)
    for part in _symbols(units, components):
        frequencies += np.bincount(part.symbols, minlength=_SYMBOLS)
    tables = [
        jpeg_huffman.code_lengths(frequencies[start : start + _AC].tolist())
        for start in range(0, _COLOUR * (2 if components == 3 else 1), _AC)
    ]
    codes, widths = np.zeros(_SYMBOLS, np.uint64), np.zeros(_SYMBOLS, np.uint64)
    for number, lengths in enumerate(tables):
        for symbol, code in jpeg_huffman.codes(lengths).items():
            position = number * _AC + symbol
            codes[position], widths[position] = code, lengths[symbol]
    coded = jpeg_huffman.coded(
        (
            codes[part.symbols] << part.lengths | part.bits,
            (widths[part.symbols] + part.lengths).astype(np.uint8),
        )
        for part in _symbols(units, components)
    )
    head = _head(samples.shape, precision, steps, tables)
    return b"".join((head, *coded, jpeg_huffman.EOI))


def _steps(values: int) -> tuple[tuple[int, ...], ...]:
    """The steps, of 8 bits each, for an image whose pixel values have a range of so many values."""
    share = values * _SHARE
    return tuple(tuple(min(255, max(1, round(step * share))) for step in steps) for steps in _STEPS)


def _coefficients(
    samples: "np.ndarray", precision: int, steps: Sequence[Sequence[int]]
) -> "np.ndarray":
    """Rounded coefficients as (coding units, blocks in each, 64), in zigzag order."""
    import numpy as np

    components = samples.shape[2]
    middle = np.float32(1 << (precision - 1))
    planes = [samples[:, :, number] for number in range(components)]
    if components == 3:
        planes[1:] = [_halved(plane) for plane in planes[1:]]
    units = []
    for number, plane in enumerate(planes):
        across = 2 if components == 3 and number == 0 else 1
        step_of = np.array(steps[min(number, 1)], np.float32)
        blocks = _blocks(plane, across)
        rounded = np.empty((len(blocks), 64), np.int16)
        for start in range(0, len(blocks), _AT_ONCE):
            some = blocks[start : start + _AT_ONCE].astype(np.float32) - middle
            rounded[start : start + _AT_ONCE] = np.rint(_transformed(some) / step_of)
        units.append(rounded.reshape(-1, across, 64))
    return np.concatenate(units, axis=1)


def _halved(plane: "np.ndarray") -> "np.ndarray":
    """A plane with half the columns: the mean of every two."""
    import numpy as np

    even = np.pad(plane, ((0, 0), (0, plane.shape[1] & 1)), mode="edge").astype(np.float32)
    mean: np.ndarray = (even[:, ::2] + even[:, 1::2]) / 2
    return mean


def _blocks(plane: "np.ndarray", across: int) -> "np.ndarray":
    """A plane as blocks of 8 x 8 samples, padded to whole units of `across` blocks."""
    import numpy as np

    rows, columns = plane.shape
    padding = ((0, -rows % 8), (0, -columns % (8 * across)))
    padded = np.pad(plane, padding, mode="edge")
    down, right = padded.shape[0] // 8, padded.shape[1] // 8
    return padded.reshape(down, 8, right, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)


def _transformed(blocks: "np.ndarray") -> "np.ndarray":
    """The coefficients of blocks, in zigzag order (A.3.3, A.3.6)."""
    basis, zigzag = _cosines()
    transformed: np.ndarray = (basis @ blocks @ basis.T).reshape(-1, 64)[:, zigzag]
    return transformed


@cache
def _cosines() -> tuple["np.ndarray", "np.ndarray"]:
    """The basis of the transform, and the position in a block of each zigzag coefficient."""
    import numpy as np

    index = np.arange(8)
    basis = np.cos((2 * index + 1) * index[:, None] * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)

    def zigzag(position: int) -> tuple[int, int]:
        """Diagonals from the top left, every other one upwards."""
        row, column = divmod(position, 8)
        diagonal = row + column
        return diagonal, row if diagonal % 2 else column

    return basis.astype(np.float32), np.array(sorted(range(64), key=zigzag))


def _symbols(units: "np.ndarray", components: int) -> Iterator[_Symbols]:
    """Everything that is coded, in order, some units at a time (F.1.2)."""
    import numpy as np

    per_unit = units.shape[1]
    which = np.array([0] if components == 1 else [0, 0, 1, 2])
    before = np.zeros(components, np.int16)
    step = max(1, _AT_ONCE // per_unit)
    for start in range(0, len(units), step):
        some = units[start : start + step]
        differences = np.empty(some.shape[:2], np.int16)
        for component in range(components):
            values = some[:, which == component, 0].reshape(-1)
            changes = np.diff(values, prepend=before[component])
            differences[:, which == component] = changes.reshape(len(some), -1)
            before[component] = values[-1]
        table = np.tile(_COLOUR * (which > 0), len(some))
        yield _of_blocks(some.reshape(-1, 64), differences.reshape(-1), table)


def _of_blocks(blocks: "np.ndarray", differences: "np.ndarray", table: "np.ndarray") -> _Symbols:
    """The codes of blocks; `table` is added to the symbols of each block."""
    import numpy as np

    categories, extra = jpeg_huffman.categories()
    count = len(blocks)
    block, place = np.nonzero(blocks[:, 1:])
    values = blocks[block, place + 1].view(np.uint16)
    first = np.ones(len(block), bool)
    first[1:] = block[1:] != block[:-1]
    run = place - np.where(first, -1, np.roll(place, 1)) - 1
    zeros = run >> 4
    ended = np.zeros(count, bool)
    ended[block[place == 62]] = True
    filled = np.repeat(np.arange(len(block)), zeros)
    open_blocks = np.flatnonzero(~ended)
    # the order of everything coded: by block, then by coefficient
    keys = np.concatenate(
        (
            np.arange(count) * 256,
            block[filled] * 256 + 2 * place[filled] + 1,
            block * 256 + 2 * place + 2,
            open_blocks * 256 + 255,
        )
    )
    differing = differences.view(np.uint16)
    dc, ac = categories[differing], categories[values]
    symbols = np.concatenate(
        (
            table + dc,
            table[block[filled]] + _AC + _ZEROS,
            table[block] + _AC + ((run & 15) << 4 | ac),
            table[open_blocks] + _AC + _END,
        )
    )
    nothing = np.zeros(len(filled), np.uint64), np.zeros(len(open_blocks), np.uint64)
    bits = np.concatenate((extra[differing], nothing[0], extra[values], nothing[1]))
    lengths = np.concatenate((dc, nothing[0], ac, nothing[1])).astype(np.uint64)
    order = np.argsort(keys, kind="stable")
    return _Symbols(symbols[order], bits[order], lengths[order])


def _head(
    shape: tuple[int, ...],
    precision: int,
    steps: Sequence[Sequence[int]],
    tables: Sequence[dict[int, int]],
) -> bytes:
    """Everything before the entropy-coded segment (ISO/IEC 10918-1 B.2)."""
    rows, columns, components = shape
    sampling = (0x11,) if components == 1 else (0x21, 0x11, 0x11)
    frame = struct.pack(">BHHB", precision, rows, columns, components)
    scan = bytes((components,))
    for number, factors in enumerate(sampling):
        colour = min(number, 1)
        frame += bytes((number + 1, factors, colour))
        scan += bytes((number + 1, colour << 4 | colour))
    quantization = b"".join(bytes((number, *some)) for number, some in enumerate(steps))
    # a table is numbered by its class (DC or AC) and its destination (grey or colour)
    huffman = (
        jpeg_huffman.table(number % 2 << 4 | number // 2, lengths)
        for number, lengths in enumerate(tables)
    )
    return b"".join(
        (
            jpeg_huffman.SOI,
            jpeg_huffman.segment(0xDB, quantization),
            jpeg_huffman.segment(_FRAME[precision], frame),
            *huffman,
            jpeg_huffman.segment(0xDA, scan + b"\0\x3f\0"),
        )
    )
