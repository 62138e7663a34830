"""Codestreams that have the headers and ends of compressed frames, but nothing to decode."""

import struct


def jpeg(
    rows: int,
    columns: int,
    bits: int = 8,
    samples: int = 1,
    *,
    marker: int = 0xC0,
    predictor: int = 1,
    end: bytes = b"\xff\xd9",
) -> bytes:
    """A frame of JPEG, or with marker F7 of JPEG-LS."""
    components = b"".join(bytes((number + 1, 0x11, 0)) for number in range(samples))
    header = struct.pack(">BHHB", bits, rows, columns, samples) + components
    frame_header = bytes((0xFF, marker)) + struct.pack(">H", 2 + len(header)) + header
    selectors = b"".join(bytes((number + 1, 0)) for number in range(samples))
    scan = bytes((samples,)) + selectors + bytes((predictor, 0, 0))
    scan_header = b"\xff\xda" + struct.pack(">H", 2 + len(scan)) + scan
    comment = b"\xff\xfe\0\x06text"
    return b"\xff\xd8" + comment + frame_header + scan_header + bytes(range(1, 40)) + end


def jpeg_2000(
    rows: int,
    columns: int,
    bits: int = 8,
    samples: int = 1,
    *,
    signed: bool = False,
    end: bytes = b"\xff\xd9",
) -> bytes:
    """A frame of JPEG 2000."""
    size = struct.pack(">H8LH", 0, columns, rows, 0, 0, columns, rows, 0, 0, samples)
    size += bytes((bits - 1 | signed << 7, 1, 1)) * samples
    header = b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(size)) + size
    return header + tile_part(0, bytes(range(1, 40))) + end


def tile_part(tile: int, data: bytes, *, length: int | None = None, parts: int = 1) -> bytes:
    """A tile-part of JPEG 2000; `length` is what its header says instead of the truth."""
    stated = 14 + len(data) if length is None else length
    return b"\xff\x90" + struct.pack(">HHLBB", 10, tile, stated, 0, parts) + b"\xff\x93" + data


def rle(*segments: bytes) -> bytes:
    """A frame of RLE with these encoded segments."""
    offsets = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)
