"""Frames become the pictures that another program makes of them (dcmj2pnm of DCMTK)."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels.utils import iter_pixels

from burnish.content import instance_reader, render
from burnish.content.frame_display import FrameDisplay, Overlay
from images import smooth, written

GREY = smooth((1, 48, 64, 1), 12, signed=False, seed=1)
SIGNED = smooth((1, 48, 64, 1), 12, signed=True, seed=2)
BYTES = smooth((1, 48, 64, 1), 8, signed=False, seed=3)
COLOUR = np.random.default_rng(4).integers(0, 256, (1, 48, 64, 3)).astype(np.uint8)
WINDOW = {"WindowCenter": 1200, "WindowWidth": 900}


def palette() -> dict[str, Any]:
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for number, colour in enumerate(("Red", "Green", "Blue")):
        entries = ((np.arange(256) * (number + 3)) % 256 * 257).astype("<u2")
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        attributes[f"{colour}PaletteColorLookupTableData"] = entries.tobytes()
    return attributes


def table(bits: int, first: int = 0, count: int = 4096, **more: Any) -> pydicom.Sequence:
    item = pydicom.Dataset()
    item.LUTDescriptor = [count, first, bits]
    item["LUTDescriptor"].VR = "US"
    entries = np.sqrt(np.linspace(0, 1, count)) * ((1 << bits) - 1)
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return pydicom.Sequence([item])


def picture(path: Path) -> np.ndarray:
    data_set = pydicom.dcmread(path)
    cells = next(iter_pixels(data_set))
    return render.render_frame(cells, instance_reader.frame_display(data_set, 0))


def picture_of_dcmtk(path: Path, *options: str) -> np.ndarray:
    target = path.with_suffix(".png")
    subprocess.run(["dcmj2pnm", "+on", *options, path, target], check=True, timeout=60)
    with Image.open(target) as opened:
        return np.asarray(opened.convert("RGB" if opened.mode == "RGB" else "L"))


@pytest.mark.parametrize(
    ("cells", "bits", "attributes", "options", "tolerance"),
    [
        (GREY, 12, WINDOW, ["+Wi", "1"], 1),
        (GREY, 12, WINDOW | {"PhotometricInterpretation": "MONOCHROME1"}, ["+Wi", "1"], 1),
        (
            SIGNED,
            12,
            {"WindowCenter": -100, "WindowWidth": 700, "RescaleSlope": 2, "RescaleIntercept": -50},
            ["+Wi", "1"],
            1,
        ),
        (GREY, 12, {"VOILUTSequence": table(12)}, ["+Wl", "1"], 1),
        (
            GREY,
            12,
            {"ModalityLUTSequence": table(16, ModalityLUTType="US"), "WindowCenter": 30000}
            | {"WindowWidth": 40000},
            ["+Wi", "1"],
            1,
        ),
        (BYTES, 8, {}, [], 0),
        (COLOUR, 8, {}, [], 0),
        (BYTES, 8, palette(), [], 0),
    ],
    ids=[
        "window",
        "inverse",
        "signed with rescale",
        "VOI LUT",
        "Modality LUT",
        "8 bits",
        "RGB",
        "palette",
    ],
)
def test_a_picture_is_that_of_another_program(
    tmp_path: Path,
    cells: np.ndarray,
    bits: int,
    attributes: dict[str, Any],
    options: list[str],
    tolerance: int,
) -> None:
    path = written(tmp_path / "image.dcm", cells, bits, **attributes)
    difference = picture(path).astype(int) - picture_of_dcmtk(path, *options)
    assert np.abs(difference).max() <= tolerance


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT"])
def test_the_voi_lut_functions_follow_the_standard(function: str) -> None:
    """PS3.3 C.11.2.1.3: half of the output is at the center."""
    display = FrameDisplay(16, center=1000, width=400, function=function)
    values = np.array([[0, 800, 1000, 1200, 4000]], np.uint16)
    grey = render.render_frame(values, display)[0].tolist()
    assert grey[2] == 128
    assert grey[0] <= 1
    assert grey[4] >= 254
    assert (grey[1], grey[3]) == ((30, 225) if function == "SIGMOID" else (0, 255))


def test_without_a_window_padding_does_not_count() -> None:
    cells = np.full((64, 64), 63536, np.uint16)
    cells[:32] = np.arange(64) * 10 + 1000
    grey = render.render_frame(cells, FrameDisplay(16, padding=(63536, 63536)))
    assert grey[0, 0] == 0
    assert grey[0, 63] == 255


def test_one_bit_is_black_or_white() -> None:
    cells = np.array([[0, 1]], np.uint8)
    assert render.render_frame(cells, FrameDisplay(1)).tolist() == [[0, 255]]


def test_floating_point_pixels_with_values_that_are_none_are_shown() -> None:
    cells = np.array([[0.0, 0.5, np.nan, np.inf, 1.0]] * 8, np.float32)
    grey = render.render_frame(
        cells, FrameDisplay(32, center=0.5, width=1, function="LINEAR_EXACT")
    )
    assert grey[0, 0] == 0
    assert grey[0, 4] == 255


def test_an_overlay_is_drawn_in_white_where_it_lies() -> None:
    plane = np.ones((1, 4, 4), np.uint8)
    blank = np.zeros((6, 6), np.uint8)
    drawn = render.draw_overlays(blank, [Overlay(4, -2, plane)], 0)
    assert drawn[4:, :2].tolist() == [[255, 255]] * 2
    assert int(drawn.sum()) == 4 * 255


def test_the_window_of_a_frame_is_that_of_its_functional_groups() -> None:
    data_set = pydicom.Dataset()
    data_set.PhotometricInterpretation, data_set.BitsStored = "MONOCHROME2", 12
    shared, own = pydicom.Dataset(), pydicom.Dataset()
    transformation, voi = pydicom.Dataset(), pydicom.Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept = 2, -1000
    voi.WindowCenter, voi.WindowWidth = 40, 400
    shared.PixelValueTransformationSequence = [transformation]
    own.FrameVOILUTSequence = [voi]
    data_set.SharedFunctionalGroupsSequence = [shared]
    data_set.PerFrameFunctionalGroupsSequence = [pydicom.Dataset(), own]
    assert not instance_reader.frame_display(data_set, 0).has_window
    display = instance_reader.frame_display(data_set, 1)
    assert (display.slope, display.intercept) == (2, -1000)
    assert (display.center, display.width) == (40, 400)
