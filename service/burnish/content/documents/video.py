"""Craft: the MP4 file of a video of H.264 or HEVC (PS3.5 8.2.5 to 8.2.8, 8.2.14).

Browsers play H.264 in MP4, and many play HEVC. An MP4 file within an instance is taken as it is; of
a transport stream, one is made. An MPEG-2 stream or a bare stream of pictures is not turned into a
file that they play: its page says so. Of each video that can be decoded, there is a picture.
"""

import io
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from burnish.content.documents.body import DocumentWriter
from burnish.content.documents.values import number_of, text_of

if TYPE_CHECKING:
    from pydicom import Dataset

_PIECE = 1 << 20
#: The first of the Transfer Syntax UIDs of MPEG-2, MPEG-4 AVC/H.264 and HEVC/H.265.
_FAMILY = "1.2.840.10008.1.2.4.10"
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


def is_video(data_set: "Dataset") -> bool:
    """Whether the Pixel Data of an instance are a video stream."""
    meta = getattr(data_set, "file_meta", None)
    return str(getattr(meta, "TransferSyntaxUID", "")).startswith(_FAMILY)


def write_video(data_set: "Dataset", source: BinaryIO, writer: DocumentWriter) -> None:
    """Writes the file and a body that shows it; raises ValueError for damaged Pixel Data."""
    from burnish.content.documents import mp4

    fragments = FragmentStream(source, _pixel_data_offset(data_set, source))
    if not fragments.size:
        raise ValueError("a video is empty")
    stream = io.BufferedReader(fragments, _PIECE)
    first = stream.read(_PIECE)
    position = None
    if first[4:8] == b"ftyp":
        stream.seek(0)
        position = writer.file("MP4", iter(lambda: stream.read(_PIECE), b""))
    elif mp4.is_transport_stream(first):
        with suppress(mp4.NoPictures):
            position = writer.file("MP4", mp4.mp4_pieces(stream))
    has_still = _write_still(stream, fragments.size, position, writer)
    writer.markup("<p>")
    writer.label("video_other" if position is None else "video_mp4")
    writer.markup("</p>\n")
    if position is None and not has_still:
        writer.markup("<p>")
        writer.label("video_no_still")
        writer.markup("</p>\n")
    if position is not None:
        writer.markup('<p><a class="button" href="')
        writer.path(position)
        writer.markup('">')
        writer.label("open_video")
        writer.markup("</a></p>\n")
    _write_facts(data_set, writer)


def _write_still(stream: BinaryIO, size: int, film: int | None, writer: DocumentWriter) -> bool:
    """Writes a picture of the video, which leads to the file at `film`; whether there is one."""
    from burnish.content import render
    from burnish.content.documents.still import still_of

    still = still_of(stream, size)
    if still is None:
        return False
    picture = writer.web_file("JPG", [render.to_jpeg(still.picture, writer.quality)])
    writer.thumbnail_file(render.to_thumbnail(still.picture, writer.thumbnail_pixels, still.aspect))
    height, width = still.picture.shape[:2]
    writer.markup('<div class="still"><a href="')
    writer.path(picture if film is None else film)
    writer.markup('"><img src="')
    writer.path(picture)
    writer.markup(f'" width="{width}" height="{max(1, round(height * still.aspect))}" alt="')
    writer.label("video_still")
    writer.markup('" /></a></div>\n')
    return True


def _write_facts(data_set: "Dataset", writer: DocumentWriter) -> None:
    rows, columns = number_of(data_set, "Rows"), number_of(data_set, "Columns")
    frames = text_of(data_set, "NumberOfFrames")
    facts = []
    if rows and columns:
        facts.append(("video_size", f"{columns:.0f}\u00d7{rows:.0f}"))
    if frames:
        facts.append(("video_frames", frames))
    frame_time = number_of(data_set, "FrameTime")
    if frame_time and frames.isdigit():
        facts.append(("duration", f"{int(frames) * frame_time / 1000:.1f}"))
    for label, value in facts:
        writer.markup('<p class="note">')
        writer.label(label, value=value)
        writer.markup("</p>\n")


def _pixel_data_offset(data_set: "Dataset", source: BinaryIO) -> int:
    """Where the element Pixel Data begins in the file; raises ValueError if it cannot be found."""
    from pydicom import dcmread

    source.seek(0)
    dcmread(source, force=True, stop_before_pixels=True)
    # the reader stops before the element, or behind its tag
    position = source.tell()
    for start in (position, position - 4):
        source.seek(start)
        if source.read(4) == _PIXEL_DATA:
            return start
    raise ValueError(f"a video of {len(data_set)} elements has no Pixel Data")


def _places_of_fragments(source: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where each fragment behind the Basic Offset Table is (PS3.5 A.4), and its length."""
    place = source.tell() + 12  # tag, VR and undefined length
    is_table = True
    while True:
        source.seek(place)
        head = source.read(8)
        if head[:4] == _END:
            return
        if head[:4] != _ITEM or len(head) < 8:
            raise ValueError("a video is cut off")
        length = int.from_bytes(head[4:8], "little")
        if not is_table and length:
            yield place + 8, length
        is_table = False
        place += 8 + length


class FragmentStream(io.RawIOBase):
    """The bytes of all fragments of Pixel Data as one stream, of which any part can be read."""

    def __init__(self, source: BinaryIO, offset: int) -> None:
        """`offset` is that of the element. Raises ValueError if the Pixel Data are cut off."""
        self._source = source
        self._position = 0
        self._starts: list[int] = []
        self._places: list[int] = []
        self.size = 0
        source.seek(offset)
        for place, length in _places_of_fragments(source):
            self._starts.append(self.size)
            self._places.append(place)
            self.size += length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer from one fragment, as far as that goes."""
        if self._position >= self.size:
            return 0
        number = bisect_right(self._starts, self._position) - 1
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self.size
        self._source.seek(self._places[number] + self._position - self._starts[number])
        data = self._source.read(min(len(buffer), end - self._position))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
