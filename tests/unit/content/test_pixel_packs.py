"""Blocks hold exactly the values that were put into them, and packs are scripts and pages."""

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import material
from burnish.content import pixel_packs


def unescape(line: bytes) -> bytes:
    """The bytes of a line, as the viewer reads it."""
    text = line.decode("utf-16-le")
    assert text.startswith("function(){/*")
    end = "*/},\n--><!--\n"
    assert text.endswith(end)
    filling, *comment = text[len("function(){/*") : -len(end)]
    for forbidden in ("*/", "-", "\0", "\r"):
        assert forbidden not in "".join(comment)
    characters = iter(comment)
    codes = []
    for character in characters:
        code = ord(character)
        if character == "*":
            follower = ord(next(characters))
            code = follower - 0x80 if follower < 0x100 else follower - 0x100 + 0xD800
        codes.append(code)
    data = struct.pack(f"<{len(codes)}H", *codes)
    return data[: len(data) - int(filling)]


def median(left: int, above: int, corner: int) -> int:
    return sorted((left, above, left + above - corner))[1]


def unpredict(planes: bytes, size: int, rows: int, columns: int) -> np.ndarray:
    """The numbers of predicted planes, computed one by one."""
    count = rows * columns
    modulus = 1 << 8 * size
    numbers = np.zeros((rows, columns), np.int64)
    for index in range(count):
        row, column = divmod(index, columns)
        coded = 0
        for plane in range(size):
            coded = coded << 8 | planes[plane * count + index]
        difference = coded >> 1 if coded % 2 == 0 else -(coded + 1 >> 1)
        left = int(numbers[row, column - 1]) if column else 0
        above = int(numbers[row - 1, column]) if row else 0
        if size == 4 or not row:
            predicted = left
        elif not column:
            predicted = above
        else:
            predicted = median(left, above, int(numbers[row - 1, column - 1]))
        numbers[row, column] = (predicted + difference) % modulus
    return numbers


def decode(block: bytes) -> np.ndarray:
    """The values of a block, by the description of the format alone."""
    magic, kind, size, step, columns, rows, smallest = struct.unpack_from("<cBBBIId", block)
    assert magic == b"B"
    inflater = zlib.decompressobj(-15)
    planes = inflater.decompress(block[24:])
    assert inflater.eof
    assert not inflater.unused_data
    count = rows * columns
    if kind == 2:
        green, red, blue = (
            unpredict(planes[start : start + count], 1, rows, columns)
            for start in (0, count, 2 * count)
        )
        channels = [(red + green) % 256, green, (blue + green) % 256]
        decoded = b"".join(channel.astype(np.uint8).tobytes() for channel in channels)
        values = np.stack(channels, axis=-1)
    elif kind == 3:
        whole = np.frombuffer(planes, np.uint8).reshape(4, count)
        decoded = whole[::-1].T.tobytes()
        values = np.frombuffer(decoded, "<f4").reshape(rows, columns)
    else:
        numbers = unpredict(planes, size, rows, columns)
        decoded = numbers.astype(f"<u{size}").tobytes()
        values = numbers * step + int(smallest)
    assert zlib.crc32(decoded, zlib.crc32(block[:20])) == struct.unpack_from("<I", block, 20)[0]
    return values


@pytest.mark.parametrize(
    ("lowest", "highest", "dtype"),
    [
        (0, 1, np.uint8),
        (0, 255, np.uint8),
        (-1024, 3071, np.int16),
        (-32768, 32767, np.int16),
        (0, 65535, np.uint16),
        (0, 2**32 - 1, np.uint32),
        (-(2**31), 2**31 - 1, np.int32),
    ],
)
def test_integers_come_back_as_they_were(lowest: int, highest: int, dtype: type) -> None:
    values = np.random.default_rng(7).integers(lowest, highest, (9, 13), dtype, endpoint=True)
    values[0, :2] = lowest, highest
    assert (decode(pixel_packs.encode_values(values)) == values).all()


def test_floating_point_numbers_come_back_as_they_were() -> None:
    values = np.random.default_rng(7).normal(size=(5, 6)).astype(np.float32)
    assert (decode(pixel_packs.encode_values(values)) == values).all()


def test_colours_come_back_as_they_were() -> None:
    values = np.random.default_rng(7).integers(0, 256, (6, 5, 3), np.uint8)
    assert (decode(pixel_packs.encode_colour(values)) == values).all()


def test_nearly_lossless_values_differ_by_at_most_2() -> None:
    values = np.random.default_rng(7).integers(-1000, 3000, (32, 32), np.int16)
    differences = np.abs(decode(pixel_packs.encode_values(values, near=True)) - values)
    assert differences.max() == 2


def test_values_of_a_small_range_are_never_changed() -> None:
    values = np.random.default_rng(7).integers(0, 1000, (32, 32), np.int16)
    assert (decode(pixel_packs.encode_values(values, near=True)) == values).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_images_of_one_row_or_column_come_back(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(7).integers(0, 4000, shape, np.uint16)
    assert (decode(pixel_packs.encode_values(values)) == values).all()


def test_json_comes_back() -> None:
    block = pixel_packs.encode_json({"name": "Leber – foie"})
    text = zlib.decompress(block[24:], -15)
    assert json.loads(text) == {"name": "Leber – foie"}
    assert zlib.crc32(text, zlib.crc32(block[:20])) == struct.unpack_from("<I", block, 20)[0]


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "rtdose_1frame.dcm"])
def test_real_images_come_back(name: str, real_studies: material.RealStudies) -> None:
    pixels = material.read(real_studies.file(name)).pixel_array
    assert (decode(pixel_packs.encode_values(pixels)) == pixels).all()


@given(st.binary(max_size=64))
def test_every_byte_can_stand_in_a_pack(data: bytes) -> None:
    assert unescape(pixel_packs.pack_line(data)) == data


def test_characters_that_have_a_meaning_can_stand_in_a_pack() -> None:
    characters = (0, 0x0D, 0x0A, 0x2A, 0x2F, 0x2D, 0x2D, 0x3E, 0xD800, 0xDFFF, 0xFEFF, 0x2028)
    data = b"*\0*/" + struct.pack("<12H", *characters) + b"*"
    assert unescape(pixel_packs.pack_line(data)) == data


def test_a_pack_says_how_it_is_encoded() -> None:
    prefix = pixel_packs.pack_prefix(3, 12)
    assert prefix.startswith(b"\xff\xfe")
    page, call = prefix.decode("utf-16").splitlines()
    assert page.startswith("<!-- --><script>")
    assert 'parent.postMessage({begun:"0000003 0000012"},"*")' in page
    assert 'parent.postMessage({ended:"0000003 0000012"},"*")' in page
    assert page.endswith("</script><!--")
    assert call == 'BURNISH_PACK("0000003 0000012",['


def test_packs_are_filled_in_order_and_their_size_is_known() -> None:
    lengths = [900_000, 900_000, 900_000, 5_000_000, 10, 20]
    counts = pixel_packs.divide_into_packs(lengths)
    assert counts == (2, 1, 1, 2)
    lines = [pixel_packs.pack_line(b"B"), pixel_packs.pack_line(b"BB")]
    pack = pixel_packs.pack_prefix(1, 1) + b"".join(lines) + pixel_packs.pack_suffix()
    assert len(pack) == pixel_packs.pack_size([len(line) for line in lines])
