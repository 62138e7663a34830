"""Damages DICOM files and volumes as bad disks, faulty programs and attackers do."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

from burnish import file_meta
from burnish.dicom_elements import encode
from burnish.vocabulary import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN

_LENGTHS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_HEAD = 4096
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_RLE, _JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"

Mutation = Callable[[bytearray, random.Random], None]


def _place(data: bytearray, chance: random.Random) -> int:
    """A random offset; half of the time near the beginning, where the headers are."""
    end = len(data)
    return chance.randrange(max(1, min(end, _HEAD) if chance.random() < 0.5 else end))


def _truncate(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _length(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance) & ~1
    data[at : at + 4] = struct.pack("<I", chance.choice(_LENGTHS))


def _remove(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 2, 8, 512))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    piece = data[at : at + chance.choice((8, 64, 2048))]
    data[at:at] = piece * chance.choice((1, 2, 50))


def _zeros(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    end = min(len(data), at + chance.choice((4, 512, 4096)))
    data[at:end] = bytes(end - at)


def _noise(data: bytearray, chance: random.Random) -> None:
    at = _place(data, chance)
    end = min(len(data), at + chance.choice((2, 16, 512)))
    data[at:end] = chance.randbytes(end - at)


MUTATIONS: tuple[Mutation, ...] = (
    _truncate,
    _flip,
    _flip,
    _length,
    _remove,
    _repeat,
    _zeros,
    _noise,
)


def damaged(seed: bytes, chance: random.Random) -> bytes:
    """A file with one to three kinds of damage."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 3))):
        chance.choice(MUTATIONS)(data, chance)
    return bytes(data)


# --- files that are bad on purpose ---------------------------------------------------------------


def _file(syntax: str, *elements: bytes) -> bytes:
    uid = "1.2.826.0.1.3680043.10.999.7.1"
    identity = (
        encode(0x00080016, b"UI", _SECONDARY_CAPTURE.encode()),
        encode(0x00080018, b"UI", uid.encode()),
        encode(0x0020000D, b"UI", b"1.2.3"),
        encode(0x0020000E, b"UI", b"1.2.3.4"),
    )
    data = b"".join((*identity, *elements))
    return file_meta.encode(_SECONDARY_CAPTURE, uid, syntax) + (
        _deflated(data) if syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN else data
    )


def _deflated(*pieces: bytes) -> bytes:
    deflate = zlib.compressobj(9, wbits=-15)
    return b"".join((*map(deflate.compress, pieces), deflate.flush()))


def _image(rows: int, columns: int, frames: int = 1) -> list[bytes]:
    us = struct.Struct("<H").pack
    return [
        encode(0x00280002, b"US", us(1)),
        encode(0x00280004, b"CS", b"MONOCHROME2"),
        encode(0x00280008, b"IS", str(frames).encode()),
        encode(0x00280010, b"US", us(rows)),
        encode(0x00280011, b"US", us(columns)),
        encode(0x00280100, b"US", us(16)),
        encode(0x00280101, b"US", us(16)),
        encode(0x00280102, b"US", us(15)),
        encode(0x00280103, b"US", us(0)),
    ]


def _encapsulated(*fragments: bytes) -> bytes:
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(fragment)) + fragment
        for fragment in (b"", *fragments)
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + items + end


def _nested(depth: int, *, defined: bool = False) -> bytes:
    """Sequences within sequences, ended or of lengths that lie."""
    length = 0xFFFFFFF0 if defined else 0xFFFFFFFF
    begin = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, length) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, length
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return begin * depth + (b"" if defined else end * depth)


def bombs(size: int = 1 << 28) -> Iterator[tuple[str, bytes]]:
    """Small files that claim, or come to, much more than they are: `size` where they inflate."""
    explicit, deflated = EXPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    for depth in (100, 10_000, 100_000):
        yield f"sequences {depth} deep", _file(explicit, _nested(depth))
    yield "sequences of lengths that lie", _file(explicit, _nested(10_000, defined=True))
    many = encode(0x00091010, b"LO", b"x ") * (size >> 9)
    yield f"{size >> 9} elements", _file(explicit, many)
    big = struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, size)
    yield "deflated zeros before the pixels", _file(deflated, big + bytes(size))
    behind = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, size)
    yield "deflated zeros as pixels", _file(deflated, *_image(16384, 8192), behind + bytes(size))
    huge = _image(65535, 65535, 1 << 30)
    packbits = struct.pack("<16I", 1, 64, *([0] * 14)) + b"\x81\0" * 2000
    yield "an RLE image of 8 EB", _file(_RLE, *huge, _encapsulated(packbits))
    yield "an RLE frame of 8 GB", _file(_RLE, *_image(65535, 65535), _encapsulated(packbits))
    siz = struct.pack(">HHHIIIIIIIIH", 0xFF51, 41, 0, 65535, 65535, 0, 0, 65535, 65535, 0, 0, 1)
    stream = (
        b"\xff\x4f" + siz + b"\x0f\x01\x01" + b"\xff\x90\0\x0a\0\0\0\0\0\0\0\1\xff\x93" + b"\0" * 99
    )
    yield (
        "a JPEG 2000 frame of 8 GB",
        _file(_JPEG_2000, *_image(65535, 65535), _encapsulated(stream)),
    )
    yield (
        "a value of 4 GB",
        _file(explicit, struct.pack("<HH2sHI", 8, 0x1030, b"UT", 0, 0xFFFFFFFE)),
    )
    yield "a UID of a megabyte", _file(explicit, encode(0x00200052, b"UI", b"1." * 32_000))
    for syntax in (explicit, _RLE, _JPEG_2000, deflated):
        yield f"no pixels in {syntax}", _file(syntax, *huge)
    yield (
        "names with path characters",
        _file(
            explicit,
            encode(0x00100010, b"PN", b"../../etc/passwd\0^\x1b$B"),
            encode(0x00100020, b"LO", b"..\\..\\C:\\"),
            encode(0x00080005, b"CS", b"ISO 2022 IR 87\\nonsense"),
        ),
    )


def inputs(
    seeds: Sequence[tuple[str, bytes]], count: int, seed: int
) -> Iterator[tuple[str, bytes]]:
    """So many damaged files, the same ones for the same `seed`."""
    chance = random.Random(seed)
    for number in range(count):
        name, data = chance.choice(seeds)
        yield f"{seed}.{number} of {name}", damaged(data, random.Random(f"{seed}.{number}"))
