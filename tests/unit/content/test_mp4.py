"""MP4 files of transport streams: their pictures, times and parameters, as FFmpeg reads them."""

import io
import struct
from itertools import pairwise
from typing import NamedTuple

import av
import pytest

import encoded_videos
import transport_streams as streams
from burnish.content.documents import mp4

GREYS = [60, 120, 180, 90]
RED = (200, 40, 40)


def film_of(stream: bytes) -> bytes:
    return b"".join(mp4.mp4_pieces(io.BytesIO(stream)))


def boxes(data: bytes) -> list[bytes]:
    """The kinds of the boxes of a file."""
    kinds = []
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        kinds.append(kind)
        position += size
    assert position == len(data)
    return kinds


class Picture(NamedTuple):
    decoded: float
    shown: float
    data: bytes


def pictures(data: bytes) -> list[Picture]:
    """The encoded pictures with their times in seconds."""
    with av.open(io.BytesIO(data)) as container:
        (video,) = container.streams
        return [
            Picture(
                float(packet.dts * packet.time_base),
                float(packet.pts * packet.time_base),
                bytes(packet),
            )
            for packet in container.demux(video)
            if packet.size
        ]


def greys(data: bytes) -> list[int]:
    """The grey levels of the decoded pictures, in the order in which they are shown."""
    with av.open(io.BytesIO(data)) as container:
        return [int(frame.to_ndarray()[0, 0]) for frame in container.decode(video=0)]


def test_the_pictures_and_their_times_are_those_of_the_stream() -> None:
    """Also where the clock of the stream begins anew."""
    data = film_of(streams.h264_video(GREYS))
    copied = pictures(data)
    for number, grey in enumerate(GREYS):
        unit = streams.h264_picture(grey, number, 64, 48)
        assert struct.pack(">I", len(unit)) + unit in copied[number].data
    assert [picture.decoded for picture in copied] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert [picture.shown for picture in copied] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert greys(data) == GREYS


def test_the_tables_stand_before_the_pictures() -> None:
    kinds = boxes(film_of(streams.h264_video(GREYS)))
    assert kinds[:2] == [b"ftyp", b"moov"]
    assert kinds[-1] == b"mdat"


def test_pictures_that_are_shown_later_than_others_keep_their_times() -> None:
    order = [0, 3, 1, 2]
    parameters = streams.h264_parameters(64, 48)
    units = [
        [b"\x09\xf0", *parameters, streams.h264_picture(grey, number, 64, 48)]
        for number, grey in enumerate(GREYS)
    ]
    times = [(number * 3600, (place + 1) * 3600) for number, place in enumerate(order)]
    copied = pictures(film_of(streams.transport_stream(units, times)))
    steps = [after.decoded - before.decoded for before, after in pairwise(copied)]
    assert steps == pytest.approx([0.04] * 3)
    first = copied[0].shown
    assert [picture.shown - first for picture in copied] == pytest.approx([0, 0.12, 0.04, 0.08])


def test_a_stream_begins_with_a_picture_that_needs_no_other() -> None:
    first, *others = (streams.h264_picture(grey, 0, 64, 48) for grey in GREYS)
    parameters = streams.h264_parameters(64, 48)
    lone = b"\x41" + first[1:]
    units = [[b"\x09\xf0", lone], *([b"\x09\xf0", *parameters, unit] for unit in others)]
    times = [(number * 3600, number * 3600) for number in range(4)]
    assert len(pictures(film_of(streams.transport_stream(units, times)))) == 3


def test_hevc_has_the_mark_that_all_browsers_know() -> None:
    data = film_of(encoded_videos.encoded_video([RED] * 20, codec="libx265", size=(128, 96)))
    assert b"hvc1" in data
    assert b"hev1" not in data
    assert len(greys(data)) == 20


def test_streams_of_other_pictures_are_refused() -> None:
    units = [[b"\xb3" + bytes(100)]]
    stream = streams.transport_stream(units, [(0, 0)], streams.MPEG2)
    assert mp4.is_transport_stream(stream)
    with pytest.raises(mp4.NoPictures, match=r"no pictures in H\.264 or HEVC"):
        film_of(stream)


@pytest.mark.parametrize("damage", ["parameters", "times", "leap"])
def test_a_damaged_stream_is_refused(damage: str) -> None:
    picture = [b"\x09\xf0", *streams.h264_parameters(64, 48), streams.h264_picture(90, 0, 64, 48)]
    times = {
        "parameters": [(0, 0), (3600, 3600)],
        "times": [(3600, 3600), (1800, 1800)],
        "leap": [(0, 0), (2 * 3600 * streams.TICKS, 2 * 3600 * streams.TICKS)],
    }
    if damage == "parameters":
        picture = [picture[0], picture[-1]]
    stream = streams.transport_stream([picture] * 2, times[damage])
    with pytest.raises(mp4.NoPictures):
        film_of(stream)


def test_a_stream_that_is_out_of_step_keeps_its_other_pictures() -> None:
    stream = bytearray(streams.h264_video(GREYS * 3))
    stream[188 * 5] = 0
    assert len(pictures(film_of(bytes(stream)))) >= 11


def test_what_is_no_transport_stream_is_not_taken_for_one() -> None:
    assert not mp4.is_transport_stream(b"\0\0\1\x67" + bytes(996))
    assert not mp4.is_transport_stream(b"\x47" * 100)


def test_memory_does_not_grow_with_the_stream() -> None:
    """No piece is much larger than the head, or than what FFmpeg writes at once."""
    pieces = list(mp4.mp4_pieces(io.BytesIO(streams.h264_video(GREYS * 100))))
    assert sum(map(len, pieces)) > 1_500_000
    assert max(map(len, pieces)) < 100_000
