"""Small videos that are encoded by FFmpeg, as devices make them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av
import numpy as np

Colour = tuple[int, int, int]


def encoded_video(
    colours: Sequence[Colour],
    *,
    codec: str = "mpeg2video",
    form: str = "mpegts",
    size: tuple[int, int] = (64, 48),
    key_interval: int = 5,
) -> bytes:
    """A video of pictures of one colour each, 25 in a second.

    The first of each `key_interval` pictures is a key frame. `codec` and `form` are FFmpeg's names.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        options = {"g": str(key_interval), "bf": "0"}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for colour in colours:
            pixels = np.empty((size[1], size[0], 3), np.uint8)
            pixels[...] = colour
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()
