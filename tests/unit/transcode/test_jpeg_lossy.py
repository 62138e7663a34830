"""The encoder of JPEG with loss, held against decoders that know nothing of it."""

import io

import libjpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from burnish.transcode.jpeg_lossy import encode

KINDS = ("slope", "flat", "extremes", "spots")


def image(kind: str, shape: tuple[int, int, int], precision: int, seed: int) -> np.ndarray:
    """Images that use codes in different ways: few, one, all, and long runs of zeros."""
    rng, top = np.random.default_rng(seed), (1 << precision) - 1
    rows, columns, components = shape
    slope = np.add.outer(np.arange(rows), np.arange(columns)) / (rows + columns)
    pixels = {
        "slope": lambda: np.repeat(slope[:, :, None], components, 2) * top,
        "flat": lambda: np.full(shape, rng.integers(0, top + 1)),
        "extremes": lambda: (
            rng.choice([0, top], (-(-rows // 8), -(-columns // 16), components))
            .repeat(8, 0)[:rows]
            .repeat(16, 1)[:, :columns]
        ),
        "spots": lambda: (
            np.where(rng.random((rows, columns, 1)) < 0.01, top, top // 3) + np.zeros(shape)
        ),
    }[kind]()
    return np.asarray(pixels).astype(np.uint8 if precision == 8 else np.uint16)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(((1, 8), (3, 8), (1, 12))),
    st.integers(0, 1 << 16),
)
def test_a_decoded_image_is_close_to_the_original(
    kind: str, rows: int, columns: int, form: tuple[int, int], seed: int
) -> None:
    components, precision = form
    samples = image(kind, (rows, columns, components), precision, seed)
    decoded = libjpeg.decode(encode(samples, precision)).reshape(samples.shape)
    apart = np.abs(decoded.astype(int) - samples)
    used = int(np.ptp(samples)) + 1
    if kind not in ("slope", "flat"):
        apart = apart[:, :, :1]  # colour has half the columns, and a decoder smoothes between them
    assert apart.max() <= max(2, used // 8)
    assert apart.mean() <= max(1, used / 64)


def test_pillow_decodes_the_stream() -> None:
    samples = image("slope", (301, 203, 3), 8, 1)
    samples[:, :, 1:] = 128
    with Image.open(io.BytesIO(encode(samples, 8))) as decoded:
        assert decoded.size == (203, 301)
        grey = np.asarray(decoded.convert("L")).astype(int)
    assert np.abs(grey - samples[:, :, 0]).max() <= 4


def test_smooth_images_get_small() -> None:
    samples = image("slope", (512, 512, 1), 12, 1)
    assert len(encode(samples, 12)) < samples.nbytes / 20


@pytest.mark.parametrize(
    ("shape", "precision"),
    [((1, 1, 1), 16), ((1, 1, 2), 8), ((0, 1, 1), 8), ((1, 65536, 1), 8)],
)
def test_images_outside_the_limits_of_jpeg_are_refused(
    shape: tuple[int, int, int], precision: int
) -> None:
    with pytest.raises(ValueError, match="no image"):
        encode(np.zeros(shape, np.uint16), precision)
