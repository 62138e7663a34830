"""Craft: an MP4 file of the pictures of a transport stream (ISO/IEC 13818-1), as browsers play it.

DICOM permits H.264 and HEVC in MP4 files and in transport streams (PS3.5 8.2.7 to 8.2.14); browsers
play MP4 files alone. The encoded pictures are copied as they are, with the times of the stream, by
ISO/IEC 14496-12 and 14496-15. Sound is left out.

The stream is read twice: for the tables at the beginning of the file, and for the pictures. Memory
holds one picture and a few numbers of each.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, pairwise
from typing import NamedTuple

#: Opens the stream at its beginning and gives its bytes in pieces.
OpenStream = Callable[[], Iterable[bytes]]

_SYNC, _PACKET = 0x47, 188
#: Packets of the kind that Blu-ray discs have begin with a time of four bytes.
_TIMED_PACKET = 192
#: Stream types in a Program Map Table.
_H264, _HEVC = 0x1B, 0x24
#: Ticks of a second in transport streams, and here in MP4 files.
_TICKS = 90_000
_CLOCK_RANGE = 1 << 33
#: A picture has fewer bytes than this.
_LARGEST_PICTURE = 64 << 20
#: Types of NAL units: sets of parameters, those that belong to no picture, and pictures from which
#: playing can begin (ISO/IEC 14496-10 7.4.1, ISO/IEC 23008-2 7.4.2.2).
_PARAMETERS = {_H264: (7, 8), _HEVC: (32, 33, 34)}
_DELIMITERS = {_H264: 9, _HEVC: 35}
_LEFT_OUT = {_H264: frozenset({7, 8, 9, 10, 11, 12, 13}), _HEVC: frozenset(range(32, 39))}
_BEGINNINGS = {_H264: frozenset({5, 7}), _HEVC: frozenset(range(16, 22))}
#: Profiles of H.264 whose parameters have the format of colours and the depth of bits.
_HIGH_PROFILES = frozenset({100, 110, 122, 244})


class NoPictures(ValueError):
    """A stream from which no MP4 file can be made."""


class _Payload(NamedTuple):
    """A part of the elementary stream of pictures, and the times of the picture it begins."""

    codec: int
    data: bytes
    shown: int | None
    decoded: int | None


class _Unit(NamedTuple):
    """A NAL unit; the times are those of the picture that it begins, None if it begins none."""

    data: bytes
    shown: int | None
    decoded: int | None


class _Picture(NamedTuple):
    """One access unit: its NAL units, when it is decoded and shown, whether playing can begin."""

    units: list[bytes]
    decoded: int
    shown: int
    is_beginning: bool


def is_transport_stream(beginning: bytes) -> bool:
    """Whether a stream with this beginning consists of transport packets."""
    return _packet_size(beginning) is not None


def mp4_pieces(open_stream: OpenStream, columns: int, rows: int) -> Iterator[bytes]:
    """The MP4 file in pieces. Raises NoPictures before the first of them."""
    tables = _Tables()
    for picture in _pictures(open_stream, tables):
        tables.add(picture)
    head = tables.head(columns, rows)
    yield head
    for picture in _pictures(open_stream, _Tables()):
        yield b"".join(_sample_parts(picture.units))


def _sample_parts(units: Iterable[bytes]) -> Iterator[bytes]:
    for unit in units:
        yield struct.pack(">I", len(unit))
        yield unit


# --- the transport stream


def _packet_size(beginning: bytes) -> int | None:
    for size, start in ((_PACKET, 0), (_TIMED_PACKET, 4)):
        places = range(start, start + 3 * size, size)
        if len(beginning) > places[-1] and all(beginning[place] == _SYNC for place in places):
            return size
    return None


def _packets(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    size: int | None = None
    for piece in pieces:
        data = rest + piece
        if size is None:
            size = _packet_size(data)
            if size is None:
                raise NoPictures("a stream does not consist of transport packets")
        whole = len(data) // size * size
        for start in range(0, whole, size):
            packet = data[start + size - _PACKET : start + size]
            if packet[0] != _SYNC:
                raise NoPictures("a transport stream is out of step")
            yield packet
        rest = data[whole:]


def _payloads(pieces: Iterable[bytes]) -> Iterator[_Payload]:
    """The stream of pictures of the first program, by the packets that it came in (PES)."""
    map_place = pictures_place = None
    codec = 0
    parts: list[bytes] = []
    length = 0
    for packet in _packets(pieces):
        place = (packet[1] & 0x1F) << 8 | packet[2]
        control = packet[3] >> 4
        if not control & 1:
            continue
        start = 5 + packet[4] if control & 2 else 4
        begins = bool(packet[1] & 0x40)
        if place == pictures_place:
            if begins and parts:
                yield _payload(codec, b"".join(parts))
                parts, length = [], 0
            if begins or parts:
                parts.append(packet[start:])
                length += _PACKET - start
            if length > _LARGEST_PICTURE:
                raise NoPictures("a picture of a transport stream has no end")
        elif begins and place == 0 and map_place is None:
            map_place = _place_of_map(packet[start:])
        elif begins and place == map_place and pictures_place is None:
            pictures_place, codec = _place_of_pictures(packet[start:])
    if parts:
        yield _payload(codec, b"".join(parts))


def _section(data: bytes) -> bytes:
    """A section of a table from its first to its last entry, without its checksum."""
    start = 1 + data[0]
    length = (data[start + 1] & 0x0F) << 8 | data[start + 2]
    return data[start : start + 3 + length - 4]


def _place_of_map(data: bytes) -> int | None:
    section = _section(data)
    for start in range(8, len(section) - 3, 4):
        number, place = struct.unpack_from(">HH", section, start)
        if number:
            return int(place) & 0x1FFF
    return None


def _place_of_pictures(data: bytes) -> tuple[int, int]:
    section = _section(data)
    start = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while start + 5 <= len(section):
        codec = section[start]
        place, described = struct.unpack_from(">HH", section, start + 1)
        if codec in (_H264, _HEVC):
            return place & 0x1FFF, codec
        start += 5 + (described & 0x0FFF)
    raise NoPictures("a transport stream has no pictures in H.264 or HEVC")


def _payload(codec: int, data: bytes) -> _Payload:
    if data[:3] != b"\0\0\1" or len(data) < 9:
        raise NoPictures("a transport stream is damaged")
    shown = _time(data[9:14]) if data[7] & 0x80 else None
    decoded = _time(data[14:19]) if data[7] & 0x40 else shown
    return _Payload(codec, data[9 + data[8] :], shown, decoded)


def _time(data: bytes) -> int:
    second, third = struct.unpack(">HH", data[1:5])
    return int((data[0] >> 1 & 7) << 30 | (second >> 1) << 15 | third >> 1)


# --- pictures


def _units(payloads: Iterable[_Payload]) -> Iterator[_Unit]:
    """The NAL units, with the times of a payload on the first one that begins in it."""
    buffer = bytearray()
    times: list[tuple[int, int | None, int | None]] = []
    for payload in payloads:
        times.append((len(buffer), payload.shown, payload.decoded))
        buffer += payload.data
        start = buffer.find(b"\0\0\1")
        while start >= 0:
            end = buffer.find(b"\0\0\1", start + 3)
            if end < 0:
                break
            yield _unit(buffer, start, end, times)
            start = end
        if start > 0:
            del buffer[:start]
            times = [(max(0, place - start), shown, decoded) for place, shown, decoded in times]
    if buffer:
        yield _unit(buffer, max(0, buffer.find(b"\0\0\1")), len(buffer), times)


def _unit(
    buffer: bytearray, start: int, end: int, times: list[tuple[int, int | None, int | None]]
) -> _Unit:
    shown = decoded = None
    while times and times[0][0] <= start:
        _, *of_payload = times.pop(0)
        if of_payload[0] is not None:
            shown, decoded = of_payload
    return _Unit(bytes(buffer[start + 3 : end]).rstrip(b"\0"), shown, decoded)


def _pictures(open_stream: OpenStream, tables: "_Tables") -> Iterator[_Picture]:
    """The pictures from the first one with which playing can begin; `tables` get parameters."""
    units: list[bytes] = []
    times: tuple[int, int] | None = None
    has_picture = is_beginning = has_begun = False
    clock = _Clock()

    def picture() -> Iterator[_Picture]:
        nonlocal has_begun
        has_begun = has_begun or is_beginning
        if has_picture and has_begun:
            yield _Picture(units, *clock.times(times), is_beginning)

    for unit in _units(_with_codec(open_stream(), tables)):
        if not unit.data:
            continue
        kind = tables.kind(unit.data)
        begins = kind == _DELIMITERS[tables.codec] or (unit.shown is not None and has_picture)
        if begins:
            yield from picture()
            units, times = [], None
            has_picture = is_beginning = False
        if unit.shown is not None and unit.decoded is not None:
            times = unit.decoded, unit.shown
        is_beginning = is_beginning or kind in _BEGINNINGS[tables.codec]
        if kind in _PARAMETERS[tables.codec]:
            tables.add_parameters(kind, unit.data)
        if kind not in _LEFT_OUT[tables.codec]:
            units.append(unit.data)
            has_picture = has_picture or tables.is_picture(kind)
    yield from picture()


def _with_codec(pieces: Iterable[bytes], tables: "_Tables") -> Iterator[_Payload]:
    for payload in _payloads(pieces):
        tables.codec = payload.codec
        yield payload


class _Clock:
    """Makes times that go on from the first one, also where the clock of the stream begins anew."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._step = _TICKS // 25

    def times(self, times: tuple[int, int] | None) -> tuple[int, int]:
        """When a picture is decoded and shown; one without times follows the one before."""
        if times is None:
            if self._last is None:
                raise NoPictures("the pictures of a transport stream have no times")
            decoded = shown = self._last + self._step
        else:
            decoded, shown = times
            if self._last is not None:
                decoded += (self._last - decoded + _CLOCK_RANGE // 2) // _CLOCK_RANGE * _CLOCK_RANGE
            shown += (decoded - shown + _CLOCK_RANGE // 2) // _CLOCK_RANGE * _CLOCK_RANGE
        if self._last is not None:
            if decoded <= self._last or decoded - self._last > 3600 * _TICKS:
                raise NoPictures("the times of a transport stream leap")
            self._step = decoded - self._last
        self._last = decoded
        return decoded, shown


# --- the MP4 file


class _Tables:
    """What the beginning of an MP4 file says of its pictures."""

    def __init__(self) -> None:
        self.codec = 0
        self._parameters: dict[tuple[int, int], bytes] = {}
        self._sizes = array("I")
        self._decoded = array("q")
        self._delays = array("q")
        self._beginnings = array("I")

    def kind(self, unit: bytes) -> int:
        """The type of a NAL unit."""
        return unit[0] & 0x1F if self.codec == _H264 else unit[0] >> 1 & 0x3F

    def is_picture(self, kind: int) -> bool:
        """Whether a NAL unit of this type is a part of a picture."""
        return 1 <= kind <= 5 if self.codec == _H264 else kind < 32

    def add_parameters(self, kind: int, unit: bytes) -> None:
        """Keeps a set of parameters; of each number there can be one only."""
        number = _number_of_parameters(self.codec, kind, unit)
        if self._parameters.setdefault((kind, number), unit) != unit:
            raise NoPictures("the parameters of a video change within it")

    def add(self, picture: _Picture) -> None:
        self._sizes.append(sum(4 + len(unit) for unit in picture.units))
        self._decoded.append(picture.decoded)
        self._delays.append(picture.shown - picture.decoded)
        if picture.is_beginning:
            self._beginnings.append(len(self._sizes))

    def head(self, columns: int, rows: int) -> bytes:
        """All that stands before the pictures."""
        kinds = {kind for kind, _ in self._parameters}
        missing = set(_PARAMETERS[self.codec or _H264]) - kinds
        if not self._sizes or missing:
            raise NoPictures("a transport stream has no pictures that can be played")
        durations = [after - before for before, after in pairwise(self._decoded)]
        durations.append(durations[-1] if durations else _TICKS // 25)
        duration = sum(durations)
        if duration >= 1 << 32:
            raise NoPictures("a video is too long")
        total = sum(self._sizes)
        kind = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2mp41")
        data_head = struct.pack(">I4sQ", 1, b"mdat", 16 + total)
        movie = self._movie(durations, duration, columns, rows, 0)
        first = len(kind) + len(movie) + len(data_head)
        return kind + self._movie(durations, duration, columns, rows, first) + data_head

    def _movie(
        self, durations: list[int], duration: int, columns: int, rows: int, first: int
    ) -> bytes:
        shown_first = min(
            decoded + delay for decoded, delay in zip(self._decoded, self._delays, strict=True)
        )
        skipped = max(0, shown_first - self._decoded[0])
        matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
        header = _full_box(
            b"mvhd", 0, struct.pack(">4I", 0, 0, _TICKS, duration),
            struct.pack(">IH10x", 0x10000, 0x100), matrix, bytes(24), struct.pack(">I", 2),
        )  # fmt: skip
        track_header = _full_box(
            b"tkhd", 3, struct.pack(">5I", 0, 0, 1, 0, duration), bytes(16), matrix,
            struct.pack(">II", columns << 16, rows << 16),
        )  # fmt: skip
        edits = _box(
            b"edts",
            _full_box(b"elst", 0, struct.pack(">IIiI", 1, duration, skipped, 0x10000)),
        )
        media = _box(
            b"mdia",
            _full_box(b"mdhd", 0, struct.pack(">4IHH", 0, 0, _TICKS, duration, 0x55C4, 0)),
            _full_box(b"hdlr", 0, struct.pack(">I4s12x", 0, b"vide"), b"video\0"),
            _box(
                b"minf",
                _full_box(b"vmhd", 1, bytes(8)),
                _box(b"dinf", _full_box(b"dref", 0, struct.pack(">I", 1), _full_box(b"url ", 1))),
                self._samples(durations, columns, rows, first),
            ),
        )
        return _box(b"moov", header, _box(b"trak", track_header, edits, media))

    def _samples(self, durations: list[int], columns: int, rows: int, first: int) -> bytes:
        entry = _box(
            b"avc1" if self.codec == _H264 else b"hvc1",
            struct.pack(">6xH16xHH", 1, columns, rows),
            struct.pack(">IIIH32xHh", 0x480000, 0x480000, 0, 1, 24, -1),
            self._configuration(),
        )
        sizes = array("I", self._sizes)
        beginnings = array("I", self._beginnings)
        if struct.pack("=H", 1) != struct.pack(">H", 1):
            sizes.byteswap()
            beginnings.byteswap()
        return _box(
            b"stbl",
            _full_box(b"stsd", 0, struct.pack(">I", 1), entry),
            _full_box(b"stts", 0, _runs(durations)),
            _full_box(b"ctts", 1 << 24, _runs(self._delays)),
            _full_box(b"stss", 0, struct.pack(">I", len(self._beginnings)), beginnings.tobytes()),
            _full_box(b"stsc", 0, struct.pack(">4I", 1, 1, len(self._sizes), 1)),
            _full_box(b"stsz", 0, struct.pack(">II", 0, len(self._sizes)), sizes.tobytes()),
            _full_box(b"co64", 0, struct.pack(">IQ", 1, first)),
        )

    def _sets(self, kind: int) -> list[bytes]:
        return [unit for (of_kind, _), unit in sorted(self._parameters.items()) if of_kind == kind]

    def _configuration(self) -> bytes:
        return self._configuration_h264() if self.codec == _H264 else self._configuration_hevc()

    def _configuration_h264(self) -> bytes:
        """The configuration of the decoder (ISO/IEC 14496-15 5.3.3)."""
        first, second = (self._sets(kind) for kind in _PARAMETERS[_H264])
        profile, compatible, level = first[0][1:4]
        parts = [struct.pack(">BBBBBB", 1, profile, compatible, level, 0xFF, 0xE0 | len(first))]
        parts += [struct.pack(">H", len(unit)) + unit for unit in first]
        parts.append(struct.pack(">B", len(second)))
        parts += [struct.pack(">H", len(unit)) + unit for unit in second]
        if profile in _HIGH_PROFILES:
            bits = _Bits(first[0][4:])
            bits.exponential()
            colours = bits.exponential()
            if colours == 3:
                bits.number(1)
            depth, depth_of_colour = bits.exponential(), bits.exponential()
            parts.append(
                struct.pack(">BBBB", 0xFC | colours, 0xF8 | depth, 0xF8 | depth_of_colour, 0)
            )
        return _box(b"avcC", *parts)

    def _configuration_hevc(self) -> bytes:
        """The configuration of the decoder (ISO/IEC 14496-15 8.3.3)."""
        unit = self._sets(33)[0]
        head = _without_emulation(unit)[3:15]
        layers = unit[2] >> 1 & 7
        _, colours, depth, depth_of_colour = _parameters_hevc(unit)
        parts = [
            b"\x01", head, struct.pack(">HB", 0xF000, 0xFC),
            struct.pack(">BBB", 0xFC | colours, 0xF8 | depth, 0xF8 | depth_of_colour),
            struct.pack(">HBB", 0, (layers + 1) << 3 | (unit[2] & 1) << 2 | 3, 3),
        ]  # fmt: skip
        for kind in _PARAMETERS[_HEVC]:
            sets = self._sets(kind)
            parts.append(struct.pack(">BH", 0x80 | kind, len(sets)))
            parts += [struct.pack(">H", len(each)) + each for each in sets]
        return _box(b"hvcC", *parts)


def _number_of_parameters(codec: int, kind: int, unit: bytes) -> int:
    """The number that a set of parameters has among those of its type."""
    if codec == _H264:
        return _Bits(unit[4 if kind == 7 else 1 :]).exponential()
    if kind == 32:
        return unit[2] >> 4
    return _Bits(unit[2:]).exponential() if kind == 34 else _parameters_hevc(unit)[0]


def _parameters_hevc(unit: bytes) -> tuple[int, int, int, int]:
    """Of a sequence: its number, format of colours, depth of bits beyond 8 of grey and colours."""
    bits = _Bits(unit[2:])
    bits.number(4)
    layers = bits.number(3)
    bits.number(1 + 96)
    flags = [bits.number(2) for _ in range(8)] if layers else []
    for flag in flags[:layers]:
        bits.number(88 if flag & 2 else 0)
        bits.number(8 if flag & 1 else 0)
    number, colours = bits.exponential(), bits.exponential()
    if colours == 3:
        bits.number(1)
    bits.exponential()
    bits.exponential()
    if bits.number(1):
        for _ in range(4):
            bits.exponential()
    return number, colours, bits.exponential(), bits.exponential()


def _without_emulation(unit: bytes) -> bytes:
    """A NAL unit without the bytes that keep start codes out of it."""
    return unit.replace(b"\0\0\3", b"\0\0")


class _Bits:
    """Reads numbers from bits."""

    def __init__(self, data: bytes) -> None:
        plain = _without_emulation(data)
        self._value = int.from_bytes(plain, "big")
        self._left = len(plain) * 8

    def number(self, count: int) -> int:
        if count > self._left:
            raise NoPictures("the parameters of a video are cut off")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def exponential(self) -> int:
        """An Exp-Golomb number (ISO/IEC 14496-10 9.1)."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + self.number(zeros)


def _runs(values: Iterable[int]) -> bytes:
    """Values as runs of equal ones, with their number before."""
    runs = [(len(list(run)), value) for value, run in groupby(values)]
    return struct.pack(">I", len(runs)) + b"".join(struct.pack(">Ii", *run) for run in runs)


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def _full_box(kind: bytes, version_and_flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version_and_flags), *parts)
