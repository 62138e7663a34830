"""Craft: an MP4 file of the pictures of a transport stream, made by FFmpeg (PyAV).

DICOM permits H.264 and HEVC in MP4 files and in transport streams (PS3.5 8.2.7 to 8.2.14); browsers
play MP4 files alone. The encoded pictures are copied as they are, with the times of the stream, and
the tables stand at the beginning of the file, as a slow disc needs. Sound is left out.

FFmpeg writes the tables last, into room that it leaves for them. So it makes the file three times:
for the size of the tables, for the tables, and for the pictures. Memory holds the tables and one
picture, and no second file is needed.
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import av

from burnish.content.instance_reader import VALUE_ERRORS

_SYNC, _PACKET = 0x47, 188
#: Packets of the kind that Blu-ray discs have begin with a time of four bytes.
_TIMED_PACKET = 192
#: How a set of parameters of a sequence begins (ISO/IEC 14496-10 7.4.1, ISO/IEC 23008-2 7.4.2.2).
#: FFmpeg takes more for key frames than those from which playing can begin; these have parameters.
_PARAMETERS = {
    "h264": re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67]"),
    "hevc": re.compile(rb"\x00\x00\x01\x42"),
}
#: Seconds between two pictures at most; more are a fault of the stream.
_LONGEST_PAUSE = 3600
#: Bytes that tables get beyond the size that they had.
_SPARE = 1024
_ERRORS = (*VALUE_ERRORS, av.FFmpegError, MemoryError, RuntimeError)


class NoPictures(ValueError):
    """A stream from which no MP4 file can be made."""


def is_transport_stream(beginning: bytes) -> bool:
    """Whether a stream with this beginning consists of transport packets."""
    for size, start in ((_PACKET, 0), (_TIMED_PACKET, 4)):
        places = range(start, start + 3 * size, size)
        if len(beginning) > places[-1] and all(beginning[place] == _SYNC for place in places):
            return True
    return False


def mp4_pieces(stream: BinaryIO) -> Iterator[bytes]:
    """The MP4 file in pieces. Raises NoPictures before the first of them."""
    size_of_tables = 0
    measured = _Output()
    for _ in _copied(stream, measured, 0):
        size_of_tables = measured.size
        measured.pieces.clear()
    # what was written after the last picture, and what FFmpeg still held of the pictures
    room = measured.size - size_of_tables + _SPARE
    headed = _Output(kept=room + _SPARE)
    for _ in _copied(stream, headed, room):
        headed.pieces.clear()
    head = _head(bytes(headed.head))
    yield head
    output = _Output(kept=len(head))
    for _ in _copied(stream, output, room):
        yield b"".join(output.pieces)
        output.pieces.clear()
    yield b"".join(output.pieces)


def _copied(stream: BinaryIO, output: "_Output", room: int) -> Iterator[None]:
    """Writes the MP4 file, with `room` for the tables, and stops after each picture."""
    stream.seek(0)
    options = {"moov_size": str(room)} if room else {}
    try:
        with (
            av.open(stream, "r", "mpegts", options={"format_whitelist": "mpegts"}) as source,
            av.open(output, "w", "mp4", options=options) as target,
        ):
            yield from _copy(source, target)
    except NoPictures:
        raise
    except _ERRORS as error:
        raise NoPictures("a transport stream is damaged") from error


def _copy(source: Any, target: Any) -> Iterator[None]:
    videos = [video for video in source.streams.video if video.codec_context.name in _PARAMETERS]
    if not videos:
        raise NoPictures("a transport stream has no pictures in H.264 or HEVC")
    video = videos[0]
    copied = target.add_stream_from_template(video)
    if video.codec_context.name == "hevc":
        copied.codec_context.codec_tag = "hvc1"  # Safari plays no other
    beginning = _PARAMETERS[video.codec_context.name]
    first = last = None
    for packet in source.demux(video):
        if not packet.size:
            continue
        if first is None and not (packet.is_keyframe and beginning.search(packet)):
            continue
        if packet.dts is None:
            raise NoPictures("the pictures of a transport stream have no times")
        if last is not None and not 0 < packet.dts - last <= _LONGEST_PAUSE / packet.time_base:
            raise NoPictures("the times of a transport stream leap")
        first = packet.dts if first is None else first
        last = packet.dts
        packet.dts -= first
        if packet.pts is not None:
            packet.pts -= first
        packet.stream = copied
        target.mux(packet)
        yield
    if first is None:
        raise NoPictures("a transport stream has no pictures that can be played")


def _head(beginning: bytes) -> bytes:
    """All that stands before the pictures in a file with this beginning."""
    place = 0
    while place + 16 <= len(beginning):
        size, kind = struct.unpack_from(">I4s", beginning, place)
        if kind == b"mdat":
            return beginning[: place + (16 if size == 1 else 8)]
        if size < 8:
            break
        place += size
    raise NoPictures("the tables of a video have no room")


class _Output(io.RawIOBase):
    """A file of which the first `kept` bytes are in `head`, and the others pass by in `pieces`."""

    def __init__(self, kept: int = 0) -> None:
        self.head = bytearray(kept)
        self.pieces: list[bytes] = []
        self.size = 0
        self._position = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = start + offset
        return self._position

    def write(self, data: Any) -> int:
        written = bytes(data)
        in_head = max(0, min(len(written), len(self.head) - self._position))
        self.head[self._position : self._position + in_head] = written[:in_head]
        if in_head < len(written):
            self.pieces.append(written[in_head:])
        self._position += len(written)
        self.size = max(self.size, self._position)
        return len(written)
