"""Craft: the MP4 file of a video of H.264 or HEVC (PS3.5 8.2.5 to 8.2.8, 8.2.14).

Browsers play H.264 in MP4, and many play HEVC. An MP4 file within an instance is taken as it is; of
a transport stream, one is made. An MPEG-2 stream or a bare stream of pictures is not turned into a
file that they play: its page says so.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from burnish.content.documents import mp4
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
    offset = _pixel_data_offset(data_set, source)

    def stream() -> Iterator[bytes]:
        source.seek(offset)
        return _fragments(source)

    first = next(stream(), b"")
    if not first:
        raise ValueError("a video is empty")
    position = None
    if first[4:8] == b"ftyp":
        position = writer.file("MP4", stream())
    elif mp4.is_transport_stream(first):
        columns, rows = (number_of(data_set, name) or 0 for name in ("Columns", "Rows"))
        with suppress(mp4.NoPictures):
            position = writer.file("MP4", mp4.mp4_pieces(stream, int(columns), int(rows)))
    writer.markup("<p>")
    writer.label("video_other" if position is None else "video_mp4")
    writer.markup("</p>\n")
    if position is not None:
        writer.markup('<p><a class="button" href="')
        writer.path(position)
        writer.markup('">')
        writer.label("open_video")
        writer.markup("</a></p>\n")
    _write_facts(data_set, writer)


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


def _fragments(source: BinaryIO) -> Iterator[bytes]:
    """The bytes of all fragments behind the Basic Offset Table (PS3.5 A.4), in small pieces."""
    source.read(12)  # tag, VR and undefined length
    is_table = True
    while True:
        head = source.read(8)
        if head[:4] == _END:
            return
        if head[:4] != _ITEM or len(head) < 8:
            raise ValueError("a video is cut off")
        left = int.from_bytes(head[4:8], "little")
        if is_table:
            source.read(left)
            is_table = False
            continue
        while left:
            piece = source.read(min(left, _PIECE))
            if not piece:
                raise ValueError("a video is cut off")
            left -= len(piece)
            yield piece
