"""The viewer's own reader of raw deflate, run by Node.js and compared with zlib."""

import base64
import json
import random
import subprocess
import zlib
from importlib import resources
from typing import Any

import pytest

from burnish.content import viewer

_SOURCE = (resources.files(viewer) / "inflate.js").read_text(encoding="utf-8")
#: Reads [[stream, length]] in base64; writes what each becomes, or null where it is refused.
_RUN = """
const inflate = makeInflater();
const streams = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(streams.map(([stream, length]) => {
  const target = new Uint8Array(length);
  try { inflate(Buffer.from(stream, 'base64'), target); } catch (refused) { return null; }
  return Buffer.from(target).toString('base64');
})));
"""
_RANDOM = random.Random(17)
_TEXT = b"Images are read, and read again; each one as it was. " * 900
_NOISE = _RANDOM.randbytes(70_000)
_RUNS = b"".join(bytes([value % 7]) * (value * 37 % 600) for value in range(400))


def inflated(*streams: tuple[bytes, int]) -> list[bytes | None]:
    lines = [(base64.b64encode(stream).decode("ascii"), length) for stream, length in streams]
    done = subprocess.run(
        ["node", "-e", _SOURCE + _RUN],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    results: list[Any] = json.loads(done.stdout)
    return [None if result is None else base64.b64decode(result) for result in results]


def deflated(data: bytes, level: int, strategy: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("data", [b"", b"a", _TEXT, _NOISE, _RUNS], ids=len)
def test_every_form_of_deflate_is_read(data: bytes) -> None:
    strategies = (
        zlib.Z_DEFAULT_STRATEGY,
        zlib.Z_RLE,
        zlib.Z_HUFFMAN_ONLY,
        zlib.Z_FIXED,
        zlib.Z_FILTERED,
    )
    streams = [
        (deflated(data, level, strategy), len(data))
        for level in (0, 1, 9)
        for strategy in strategies
    ]
    assert inflated(*streams) == [data] * len(streams)


def test_a_stream_of_another_length_is_refused() -> None:
    stream = deflated(_TEXT, 6, zlib.Z_DEFAULT_STRATEGY)
    assert inflated((stream, len(_TEXT) - 1), (stream, len(_TEXT) + 1)) == [None, None]


def test_damaged_streams_end_and_are_never_taken_for_the_data() -> None:
    streams = []
    for data in (_TEXT, _RUNS):
        whole = deflated(data, 1, zlib.Z_RLE)
        for _ in range(100):
            damaged = bytearray(whole)
            for _ in range(3):
                damaged[_RANDOM.randrange(len(damaged) // 2)] ^= 1 << _RANDOM.randrange(8)
            streams.append((bytes(damaged), len(data)))
        streams += [(whole[:length], len(data)) for length in range(0, len(whole) // 2, 97)]
    streams.append((bytes(100), 1000))
    streams.append((b"\xff" * 100, 1000))
    results = inflated(*streams)
    assert len(results) == len(streams)
    assert _TEXT not in results
    assert _RUNS not in results
