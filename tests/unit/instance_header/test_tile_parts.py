"""Tile-parts of JPEG 2000: what is missing is found without decoding."""

import pytest

from burnish.instance_header.codestreams import EncapsulatedPixelData, FrameFault, frame_faults
from burnish.vocabulary import JPEG_2000_LOSSLESS
from made_codestreams import jpeg_2000, tile_part

DATA = bytes(range(1, 40))
WHOLE = jpeg_2000(8, 8)
TILE = tile_part(0, DATA)


def faults(frame: bytes) -> list[FrameFault]:
    def read(offset: int, length: int) -> bytes:
        return frame[offset : offset + length]

    return frame_faults(read, EncapsulatedPixelData([(0, len(frame))]), {}, JPEG_2000_LOSSLESS)


@pytest.mark.parametrize(
    "tiles",
    [
        TILE,
        tile_part(0, DATA, length=0),
        tile_part(0, DATA, parts=2) + tile_part(0, DATA, parts=2),
        tile_part(0, DATA, parts=0),
    ],
)
def test_whole_tile_parts_have_no_fault(tiles: bytes) -> None:
    assert faults(WHOLE.replace(TILE, tiles)) == []


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        (b"", "has no tile-part"),
        (TILE[:-9], "says 53 bytes for a part of tile 0, but 46 are left"),
        (tile_part(0, DATA, length=5), "says 5 bytes for a part of tile 0"),
        (tile_part(0, DATA, parts=3), "has 1 of the 3 parts of tile 0"),
        (TILE[:8], "ends within the header of a tile-part"),
    ],
)
def test_missing_content_is_a_fault_although_the_end_marker_is_there(
    tiles: bytes, message: str
) -> None:
    (fault, *_) = faults(WHOLE.replace(TILE, tiles))
    assert message in fault.message
    assert fault.prevents_viewing


def test_a_length_that_leads_to_no_marker_is_a_note() -> None:
    (fault,) = faults(WHOLE.replace(TILE, tile_part(0, DATA, length=50)))
    assert "has neither a tile-part (SOT) nor EOC" in fault.message
    assert not fault.prevents_viewing
