"""Craft: a picture of a video, decoded by FFmpeg (PyAV).

It is the first key frame behind a tenth of the stream that is not black: videos often begin with a
dark picture or a title. Only key frames are decoded, so the work is small for a long video too.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np

from burnish.content.instance_reader import VALUE_ERRORS

Array = np.ndarray[Any, Any]

#: FFmpeg looks for these forms of streams alone; others, such as play lists, name other files.
_FORMATS = "mov,mpegts,mpeg,mpegvideo,m4v,h264,hevc"
#: Codecs that DICOM permits in videos (PS3.5 8.2.5 to 8.2.8, 8.2.14), and those close to them.
_CODECS = frozenset({"mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc"})
#: The stream is looked at from this share of it on.
_START = 10
#: Pictures that are decoded at most to find one that is not black.
_MOST_PICTURES = 12
#: A picture in which fewer than one in so many samples are brighter than the level is black.
_FEW, _DARK = 50, 48
#: Pixels of a picture at most: that of 8K video.
_MOST_PIXELS = 7680 * 4320
#: What PyAV raises for damaged streams, also where it does not expect them.
_ERRORS = (
    *VALUE_ERRORS,
    av.FFmpegError,
    MemoryError,
    OSError,
    RuntimeError,
)
#: Seconds of CPU time for each attempt.
_TIME_LIMIT = 15.0


@dataclass(frozen=True, slots=True)
class Still:
    """A picture as rows and columns of red, green and blue; the height of a pixel of width 1."""

    picture: Array
    aspect: float


def still_of(stream: BinaryIO, size: int) -> Still | None:
    """A picture of a video of so many bytes, or None if nothing of it can be decoded."""
    for start, only_key_frames in ((size // _START, True), (0, True), (0, False)):
        stream.seek(0)
        still = _first_bright(stream, start, only_key_frames=only_key_frames)
        if still is not None:
            return still
    return None


def _first_bright(stream: BinaryIO, start: int, *, only_key_frames: bool) -> Still | None:
    """The first picture that is not black, or else the first one."""
    first: Still | None = None
    pictures = _pictures(stream, start, only_key_frames=only_key_frames)
    try:
        for number, still in enumerate(pictures, start=1):
            first = first or still
            if not _is_black(still.picture):
                return still
            if number == _MOST_PICTURES:
                break
    except _ERRORS:
        # the stream is damaged; what was decoded before is as good as any other picture
        return first
    finally:
        pictures.close()
    return first


def _is_black(picture: Array) -> bool:
    return int(np.count_nonzero(picture > _DARK)) * _FEW < picture.size


def _pictures(stream: BinaryIO, start: int, *, only_key_frames: bool) -> Generator[Still]:
    """The pictures of the first video in a stream, behind `start` bytes of it."""
    end = time.process_time() + _TIME_LIMIT
    with av.open(stream, "r", options={"format_whitelist": _FORMATS}) as container:
        if not container.streams.video:
            return
        video = container.streams.video[0]
        decoder = video.codec_context
        if decoder.name not in _CODECS or decoder.width * decoder.height > _MOST_PIXELS:
            return
        decoder.thread_count = 1
        decoder.skip_frame = "NONKEY" if only_key_frames else "DEFAULT"
        position = 0
        has_begun = False
        for packet in container.demux(video):
            if time.process_time() > end:
                return
            position += packet.size
            # the last packet is empty: it makes the decoder give what it still holds
            has_begun = has_begun or (position >= start and packet.is_keyframe)
            if not has_begun and packet.size:
                continue
            for frame in packet.decode():
                if frame.is_corrupt:
                    continue
                ratio = decoder.sample_aspect_ratio
                aspect = float(1 / ratio) if ratio else 1.0
                yield Still(frame.to_ndarray(format="rgb24"), aspect)
