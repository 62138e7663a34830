"""The JPEG Lossless encoder, held against a decoder that knows nothing of it."""

import libjpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.transcode.jpeg_lossless import encode

KINDS = ("noise", "flat", "ramp", "extremes", "rare")


def image(kind: str, shape: tuple[int, int, int], precision: int, seed: int) -> np.ndarray:
    """Images that use a code in different ways: all of it, one symbol, two, one very seldom."""
    rng, top = np.random.default_rng(seed), (1 << precision) - 1
    pixels = {
        "noise": lambda: rng.integers(0, top + 1, shape),
        "flat": lambda: np.full(shape, rng.integers(0, top + 1)),
        "ramp": lambda: np.arange(np.prod(shape)).reshape(shape) & top,
        "extremes": lambda: rng.choice([0, top], shape),
        "rare": lambda: np.where(rng.random(shape) < 0.001, top, 1 << (precision - 1)),
    }[kind]()
    return np.asarray(pixels).astype(np.uint8 if precision <= 8 else np.uint16)


def same(samples: np.ndarray, stream: bytes) -> bool:
    decoded = libjpeg.decode(stream)
    return bool(np.array_equal(decoded.reshape(samples.shape), samples))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from((1, 3)),
    st.integers(2, 16),
    st.integers(0, 1 << 16),
)
def test_a_decoded_image_is_the_original(
    kind: str, rows: int, columns: int, components: int, precision: int, seed: int
) -> None:
    samples = image(kind, (rows, columns, components), precision, seed)
    assert same(samples, encode(samples, precision))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "precision"), [((900, 301, 1), 16), ((211, 500, 3), 8)])
def test_images_of_many_blocks(kind: str, shape: tuple[int, int, int], precision: int) -> None:
    """The bits run on from block to block."""
    samples = image(kind, shape, precision, 1)
    assert same(samples, encode(samples, precision))


def test_a_row_wider_than_a_block() -> None:
    samples = image("noise", (3, 65535, 3), 8, 1)
    assert same(samples, encode(samples, 8))


def test_codes_are_16_bits_at_most() -> None:
    """Each category as frequent as all rarer ones together would take longer ones."""
    numbers = [*(1 << n for n in range(14, -1, -1)), 1]
    steps = np.repeat([(1 << category) - 1 for category in range(16)], numbers)
    samples = np.cumsum(steps).astype(np.uint16).reshape(1, -1, 1)
    stream = encode(samples, 16)
    table = stream[stream.index(b"\xff\xc4") + 5 :]
    assert table[15], "no code of 16 bits: the image does not test what it should"
    assert same(samples, stream)


@pytest.mark.parametrize(
    ("shape", "precision"), [((1, 1, 1), 1), ((1, 1, 1), 17), ((0, 1, 1), 8), ((1, 65536, 1), 8)]
)
def test_images_outside_the_limits_of_jpeg_are_refused(
    shape: tuple[int, int, int], precision: int
) -> None:
    with pytest.raises(ValueError, match="no image"):
        encode(np.zeros(shape, np.uint16), precision)
