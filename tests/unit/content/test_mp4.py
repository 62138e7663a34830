"""MP4 files of transport streams: their pictures, times and parameters, read from their boxes."""

import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest

import transport_streams as streams
from burnish.content.documents import mp4

GREYS = [60, 120, 180, 90]
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"}


def film_of(stream: bytes, piece: int = 1000) -> bytes:
    def open_stream() -> Iterator[bytes]:
        return (stream[start : start + piece] for start in range(0, len(stream), piece))

    return b"".join(mp4.mp4_pieces(open_stream, 64, 48))


def boxes(data: bytes) -> dict[bytes, bytes]:
    """The content of the boxes by their kinds, also of those within others."""
    contents = {}
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        content = data[position + head : position + size]
        contents[kind] = content
        if kind in CONTAINERS:
            contents |= boxes(content)
        position += size
    return contents


def runs(content: bytes) -> list[int]:
    """The values of a table of runs."""
    (count,) = struct.unpack_from(">I", content, 4)
    pairs = [struct.unpack_from(">Ii", content, 8 + 8 * number) for number in range(count)]
    return [value for repeated, value in pairs for _ in range(repeated)]


def pictures(data: bytes) -> list[bytes]:
    """The encoded pictures, as the tables say where they are."""
    tables = boxes(data)
    _, count = struct.unpack_from(">II", tables[b"stsz"], 4)
    sizes = struct.unpack_from(f">{count}I", tables[b"stsz"], 12)
    (start,) = struct.unpack_from(">Q", tables[b"co64"], 8)
    samples = []
    for size in sizes:
        samples.append(data[start : start + size])
        start += size
    assert start == len(data)
    return samples


@pytest.mark.parametrize("piece", [100, 188, 5000])
def test_the_pictures_and_their_times_are_those_of_the_stream(piece: int) -> None:
    data = film_of(streams.h264_video(GREYS), max(piece, 600))
    expected = [streams.h264_picture(grey, number, 64, 48) for number, grey in enumerate(GREYS)]
    assert pictures(data) == [struct.pack(">I", len(unit)) + unit for unit in expected]
    tables = boxes(data)
    assert runs(tables[b"stts"]) == [3600] * 4
    assert runs(tables[b"ctts"]) == [0] * 4
    assert struct.unpack(">5I", tables[b"stss"][4:]) == (4, 1, 2, 3, 4)
    sequence, picture = streams.h264_parameters(64, 48)
    configuration = b"\x01\x42\xc0\x0b\xff\xe1" + struct.pack(">H", len(sequence)) + sequence
    configuration += b"\x01" + struct.pack(">H", len(picture)) + picture
    assert b"avcC" + configuration in tables[b"stsd"]


def test_pictures_that_are_shown_later_than_others_keep_their_times() -> None:
    order = [0, 3, 1, 2]
    parameters = streams.h264_parameters(64, 48)
    units = [
        [b"\x09\xf0", *parameters, streams.h264_picture(grey, number, 64, 48)]
        for number, grey in enumerate(GREYS)
    ]
    times = [(number * 3600, (place + 1) * 3600) for number, place in enumerate(order)]
    tables = boxes(film_of(streams.transport_stream(units, times)))
    assert runs(tables[b"stts"]) == [3600] * 4
    assert runs(tables[b"ctts"]) == [3600, 10800, 0, 0]
    # the film begins with the picture that is shown first
    assert struct.unpack(">IIiI", tables[b"elst"][4:]) == (1, 4 * 3600, 3600, 0x10000)


def test_a_stream_begins_with_a_picture_that_needs_no_other() -> None:
    first, *others = (streams.h264_picture(grey, 0, 64, 48) for grey in GREYS)
    parameters = streams.h264_parameters(64, 48)
    lone = b"\x41" + first[1:]
    units = [[b"\x09\xf0", lone], *([b"\x09\xf0", *parameters, unit] for unit in others)]
    times = [(number * 3600, number * 3600) for number in range(4)]
    assert len(pictures(film_of(streams.transport_stream(units, times)))) == 3


def hevc_parameters() -> list[bytes]:
    """Video, sequence and picture parameters of Main 10 at level 3.1, in 4:2:0."""
    video = streams.BitWriter()
    video.number(0, 4)
    video.number(0xFFF, 12)
    sequence = streams.BitWriter()
    sequence.number(0, 4)
    sequence.number(0, 3)
    sequence.number(1, 1)
    sequence.bytes(bytes([2]) + bytes([0x20, 0, 0, 0]) + bytes([0x90, 0, 0, 0, 0, 0]) + bytes([93]))
    sequence.exponential(0, 1, 64, 48)
    sequence.number(0, 1)
    sequence.exponential(2, 2)
    picture = streams.BitWriter()
    picture.exponential(0, 0)
    return [video.unit(b"\x40\x01"), sequence.unit(b"\x42\x01"), picture.unit(b"\x44\x01")]


def test_hevc_has_its_own_configuration() -> None:
    picture = b"\x26\x01" + bytes(range(100, 200))
    units = [[b"\x46\x01\x50", *hevc_parameters(), picture]] * 2
    data = film_of(streams.transport_stream(units, [(0, 0), (3600, 3600)], streams.HEVC))
    assert pictures(data) == [struct.pack(">I", len(picture)) + picture] * 2
    description = boxes(data)[b"stsd"]
    assert description[12:16] == b"hvc1"
    configuration = description[description.index(b"hvcC") + 4 :]
    assert configuration[:13] == b"\x01\x02\x20\0\0\0\x90\0\0\0\0\0" + bytes([93])
    # 4:2:0, 10 bits, one layer that is nested, lengths of four bytes, three arrays
    assert configuration[16:19] == bytes([0xFD, 0xFA, 0xFA])
    assert configuration[21:23] == bytes([0x0F, 3])
    for unit in hevc_parameters():
        assert struct.pack(">H", len(unit)) + unit in configuration


def test_streams_of_other_pictures_are_refused() -> None:
    units = [[b"\xb3" + bytes(100)]]
    stream = streams.transport_stream(units, [(0, 0)], streams.MPEG2)
    assert mp4.is_transport_stream(stream)
    with pytest.raises(mp4.NoPictures, match=r"no pictures in H\.264 or HEVC"):
        film_of(stream)


@pytest.mark.parametrize("damage", ["step", "parameters", "times"])
def test_a_damaged_stream_is_refused(damage: str) -> None:
    stream = bytearray(streams.h264_video(GREYS))
    if damage == "step":
        stream[188 * 5] = 0
    elif damage == "parameters":
        units = [[b"\x09\xf0", streams.h264_picture(90, 0, 64, 48)]]
        stream = bytearray(streams.transport_stream(units, [(0, 0)]))
    else:
        picture = [*streams.h264_parameters(64, 48), streams.h264_picture(90, 0, 64, 48)]
        times = [(3600, 3600), (1800, 1800)]
        stream = bytearray(streams.transport_stream([[b"\x09\xf0", *picture]] * 2, times))
    with pytest.raises(mp4.NoPictures):
        film_of(bytes(stream))


def test_what_is_no_transport_stream_is_not_taken_for_one() -> None:
    assert not mp4.is_transport_stream(b"\0\0\1\x67" + bytes(996))
    assert not mp4.is_transport_stream(b"\x47" * 100)


def test_memory_does_not_grow_with_the_stream() -> None:
    """The pieces of the file are its head and one picture each."""
    stream = streams.h264_video(GREYS)

    def open_stream() -> Iterator[bytes]:
        return iter([stream])

    pieces = list(mp4.mp4_pieces(open_stream, 64, 48))
    assert len(pieces) == 1 + len(GREYS)
    assert all(len(before) < 10_000 for before, _ in pairwise(pieces))
