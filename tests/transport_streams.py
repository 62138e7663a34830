"""Small videos of H.264 in transport streams, as some endoscopes make them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

TICKS = 90_000
H264, MPEG2 = 0x1B, 0x02
_MAP, _PICTURES = 0x100, 0x101
_DELIMITER = b"\x09\xf0"


class BitWriter:
    """Writes the numbers of H.264 as bits."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def number(self, value: int, count: int) -> None:
        self._bits.append(f"{value:0{count}b}" if count else "")

    def exponential(self, *values: int) -> None:
        for value in values:
            digits = f"{value + 1:b}"
            self._bits.append("0" * (len(digits) - 1) + digits)

    def align(self) -> None:
        self._bits.append("0" * (-len("".join(self._bits)) % 8))

    def bytes(self, data: bytes) -> None:
        self._bits.append("".join(f"{byte:08b}" for byte in data))

    def unit(self, head: bytes) -> bytes:
        """A NAL unit with these bits; start codes in them are broken."""
        self._bits.append("1")
        self.align()
        text = "".join(self._bits)
        data = bytes(int(text[start : start + 8], 2) for start in range(0, len(text), 8))
        safe = bytearray()
        for byte in data:
            if byte <= 3 and safe[-2:] == b"\0\0":
                safe.append(3)
            safe.append(byte)
        return head + bytes(safe)


def h264_parameters(width: int, height: int) -> list[bytes]:
    """Sequence and picture parameters of the Baseline profile; sizes are multiples of 16."""
    sequence = BitWriter()
    sequence.bytes(bytes([66, 0xC0, 11]))
    # number, frame numbers of 4 bits, order of decoding, no references
    sequence.exponential(0, 0, 2, 0)
    sequence.number(0, 1)
    sequence.exponential(width // 16 - 1, height // 16 - 1)
    sequence.number(0b1100, 4)
    picture = BitWriter()
    picture.exponential(0, 0)
    picture.number(0, 2)
    picture.exponential(0, 0, 0)
    picture.number(0, 3)
    picture.exponential(0, 0, 0)
    picture.number(0, 3)
    return [sequence.unit(b"\x67"), picture.unit(b"\x68")]


def h264_picture(grey: int, number: int, width: int, height: int) -> bytes:
    """A picture of one grey level, which stands in the stream as it is (I_PCM)."""
    slice_ = BitWriter()
    slice_.exponential(0, 7, 0)
    slice_.number(0, 4)
    slice_.exponential(number % 2)
    slice_.number(0, 2)
    slice_.exponential(0)
    for _ in range(width // 16 * (height // 16)):
        slice_.exponential(25)
        slice_.align()
        slice_.bytes(bytes([grey]) * 256 + bytes([128]) * 128)
    return slice_.unit(b"\x65")


class Muxer:
    """Collects transport packets."""

    def __init__(self) -> None:
        self._packets: list[bytes] = []
        self._counts: dict[int, int] = {}

    def add(self, place: int, payload: bytes) -> None:
        is_first = True
        while payload or is_first:
            part, payload = payload[:184], payload[184:]
            count = self._counts[place] = (self._counts.get(place, -1) + 1) % 16
            head = bytes([0x47, (0x40 if is_first else 0) | place >> 8, place & 255])
            padding = 184 - len(part)
            if padding:
                field = bytes([padding - 1]) + (b"\0" + b"\xff" * (padding - 2))[: padding - 1]
                self._packets.append(head + bytes([0x30 | count]) + field + part)
            else:
                self._packets.append(head + bytes([0x10 | count]) + part)
            is_first = False

    def stream(self) -> bytes:
        return b"".join(self._packets)


def transport_stream(
    pictures: Iterable[Sequence[bytes]],
    times: Iterable[tuple[int, int]],
    codec: int = H264,
) -> bytes:
    """A stream of pictures, each of some NAL units, with the times to decode and to show it."""
    muxer = Muxer()
    entry = struct.pack(">HH", 1, 0xE000 | _MAP)
    muxer.add(0, b"\0" + bytes([0, 0xB0, 13, 0, 1, 0xC1, 0, 0]) + entry + bytes(4))
    entry = struct.pack(">HHBHH", 0xE000 | _PICTURES, 0xF000, codec, 0xE000 | _PICTURES, 0xF000)
    muxer.add(_MAP, b"\0" + bytes([2, 0xB0, 18, 0, 1, 0xC1, 0, 0]) + entry + bytes(4))
    for units, (decoded, shown) in zip(pictures, times, strict=True):
        data = b"".join(b"\0\0\0\1" + unit for unit in units)
        head = b"\0\0\1\xe0\0\0\x80\xc0\x0a" + _time(shown, 3) + _time(decoded, 1)
        muxer.add(_PICTURES, head + data)
    return muxer.stream()


def _time(ticks: int, mark: int) -> bytes:
    ticks %= 1 << 33
    first = mark << 4 | (ticks >> 30 & 7) << 1 | 1
    return struct.pack(">BHH", first, (ticks >> 15 & 0x7FFF) << 1 | 1, (ticks & 0x7FFF) << 1 | 1)


def h264_video(greys: Sequence[int], *, width: int = 64, height: int = 48) -> bytes:
    """A video of such pictures, 25 in a second; the clock of the stream begins anew within it."""
    parameters = h264_parameters(width, height)
    pictures = [
        [_DELIMITER, *parameters, h264_picture(grey, number, width, height)]
        for number, grey in enumerate(greys)
    ]
    starts = [-2 * TICKS // 25 + number * TICKS // 25 for number in range(len(greys))]
    return transport_stream(pictures, [(start, start) for start in starts])
