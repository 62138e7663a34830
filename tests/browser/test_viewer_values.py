"""What the viewer draws is what pydicom computes, for every kind of image, in real browsers."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi_lut,
    apply_windowing,
    iter_pixels,
)

import material as real_material
import viewer_material as material
from browser.test_viewer import Viewer
from browser_discs import DiscOfViewer
from browsers import Browser
from burnish.content import instance_reader, render


def from_pydicom(name: str) -> Any:
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom-data has no {name}"
    return real_material.read(Path(str(path)))


def ct_noise(**values: Any) -> Any:
    pixels = material.noise(64, 80)
    return material.image(material.CT, "CT", "", pixels, BitsStored=12, **values)


def mammography() -> Any:
    pixels = material.noise(900, 700)
    return material.image(
        material.MG, "MG", "", pixels, BitsStored=12, WindowCenter="2000", WindowWidth="1500",
        VOILUTFunction="SIGMOID", ImageLaterality="R", ViewPosition="MLO",
    )  # fmt: skip


def padded() -> Any:
    pixels = material.noise(64, 80, low=1000, high=1400, dtype=np.int16)
    pixels[:, :30] = -2000
    return material.image(
        material.CT, "CT", "", pixels, BitsStored=16, PixelPaddingValue=-2000,
        RescaleSlope="1", RescaleIntercept="0",
    )  # fmt: skip


KINDS: dict[str, Any] = {
    "CT": lambda: from_pydicom("CT_small.dcm"),
    "CT with a rescale": lambda: ct_noise(
        RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="300", WindowWidth="2000"
    ),
    "MR": lambda: from_pydicom("MR_small.dcm"),
    "CR inverted": lambda: material.image(
        material.CR, "CR", "", material.noise(400, 300), BitsStored=12,
        PhotometricInterpretation="MONOCHROME1", WindowCenter="1500", WindowWidth="2500",
    ),
    "US RGB": lambda: from_pydicom("examples_rgb_color.dcm"),
    "US palette": lambda: from_pydicom("examples_palette.dcm"),
    "segmented palette": lambda: from_pydicom("gdcm-US-ALOKA-16.dcm"),
    "NM with several frames": lambda: material.image(
        material.NM, "NM", "", material.noise(4, 64, 64, high=500), BitsStored=16,
        WindowCenter="200", WindowWidth="400",
    ),
    "PET": lambda: material.image(
        material.PET, "PT", "", material.noise(128, 128, low=-50, high=32000, dtype=np.int16),
        RescaleSlope="0.3517", RescaleIntercept="0", Units="BQML", WindowCenter="4000.5",
        WindowWidth="7000",
    ),
    "enhanced CT": lambda: from_pydicom("eCT_Supplemental.dcm"),
    "enhanced MR": lambda: from_pydicom("emri_small.dcm"),
    "mammography": mammography,
    "one bit": lambda: from_pydicom("liver_1frame.dcm"),
    "8 bits without a window": lambda: material.image(
        material.SECONDARY_CAPTURE, "OT", "", material.noise(90, 70, high=256, dtype=np.uint8)
    ),
    "16 bits without a window": ct_noise,
    "padding without a window": padded,
    "YBR": lambda: from_pydicom("examples_ybr_color.dcm"),
    "YBR 422": lambda: from_pydicom("SC_ybr_full_422_uncompressed.dcm"),
    "JPEG": lambda: from_pydicom("SC_rgb_jpeg_dcmtk.dcm"),
    "JPEG 2000": lambda: from_pydicom("examples_jpeg2k.dcm"),
    "JPEG 2000 of 16 bits": lambda: from_pydicom("JPEG2000.dcm"),
    "JPEG-LS": lambda: from_pydicom("MR_small_jpeg_ls_lossless.dcm"),
    "RLE": lambda: from_pydicom("MR_small_RLE.dcm"),
    "RLE of colours with 16 bits": lambda: from_pydicom("SC_rgb_rle_16bit.dcm"),
    "RT dose of 32 bits": lambda: from_pydicom("rtdose_1frame.dcm"),
    "Modality LUT": lambda: from_pydicom("mlut_18.dcm"),
    "VOI LUT": lambda: from_pydicom("vlut_04.dcm"),
    "signed": lambda: material.image(
        material.CT, "CT", "", material.noise(40, 50, low=-2000, high=2000, dtype=np.int16),
        WindowCenter="0", WindowWidth="1", RescaleSlope="1", RescaleIntercept="0",
    ),
    "exact window": lambda: ct_noise(
        WindowCenter="1000", WindowWidth="900", VOILUTFunction="LINEAR_EXACT"
    ),
    "inverse Presentation LUT": lambda: ct_noise(
        WindowCenter="1000", WindowWidth="900", PresentationLUTShape="INVERSE"
    ),
}  # fmt: skip


def shown_by_pydicom(data_set: Any, frame: Any, number: int) -> Any:
    """Grey values or colours from 0 to 255 of a decoded frame, computed by pydicom alone."""
    interpretation = data_set.PhotometricInterpretation
    if interpretation == "PALETTE COLOR":
        colours = apply_color_lut(frame, data_set)
        return colours >> 8 if colours.dtype == np.uint16 else colours
    if frame.ndim == 3:
        return frame if frame.dtype == np.uint8 else frame >> 8
    groups = data_set
    if "PerFrameFunctionalGroupsSequence" in data_set:
        shared = data_set.SharedFunctionalGroupsSequence[0]
        own = data_set.PerFrameFunctionalGroupsSequence[number]
        groups = pydicom.Dataset()
        groups.PhotometricInterpretation = interpretation
        groups.BitsStored, groups.PixelRepresentation = (
            data_set.BitsStored,
            data_set.PixelRepresentation,
        )
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in (*shared.get(macro, []), *own.get(macro, [])):
                groups.update(item)
    values = apply_modality_lut(frame, groups).astype(np.float64)
    inverse = interpretation == "MONOCHROME1" or (groups.get("PresentationLUTShape") == "INVERSE")
    if groups.get("WindowCenter") is not None:
        grey = windowed_by_pydicom(values, groups)
    elif groups.get("VOILUTSequence"):
        bits = groups.VOILUTSequence[0].LUTDescriptor[2]
        grey = apply_voi_lut(values.astype(np.int64), groups) * (255 / (2**bits - 1))
    else:
        return None
    grey = np.clip(np.rint(grey), 0, 255)
    return 255 - grey if inverse else grey


def windowed_by_pydicom(values: Any, groups: Any) -> Any:
    """pydicom scales to the range of stored values; here to that of a screen."""
    copy = pydicom.Dataset()
    for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
        if keyword in groups:
            setattr(copy, keyword, getattr(groups, keyword))
    copy.PhotometricInterpretation = "MONOCHROME2"
    # 16 bits, so that no step is lost; without a rescale, since the values had theirs
    copy.BitsStored, copy.PixelRepresentation = 16, 0
    return apply_windowing(values, copy) * (255 / 65535)


@pytest.fixture(scope="module")
def disc(tmp_path_factory: pytest.TempPathFactory) -> tuple[DiscOfViewer, dict[str, Any]]:
    """A disc with a series of each kind."""
    folder = DiscOfViewer(tmp_path_factory.mktemp("kinds"))
    images = {}
    for number, (name, make) in enumerate(KINDS.items(), 1):
        data_set = make()
        data_set.SeriesDescription = name
        data_set.SeriesInstanceUID = f"1.2.3.{number}"
        data_set.SOPInstanceUID = f"1.2.3.{number}.1"
        data_set.StudyInstanceUID = "1.2.3"
        data_set.PatientID = "P1"
        images[name] = data_set
        folder.add(data_set)
    folder.write()
    return folder, images


@pytest.fixture(scope="module")
def viewer(browser: Browser, disc: tuple[DiscOfViewer, dict[str, Any]]) -> Iterator[Viewer]:
    browser.resize(1280, 900)
    viewer = Viewer(browser, disc[0].page)
    yield viewer
    viewer.assert_at_ease()


@pytest.mark.parametrize("kind", KINDS)
def test_the_canvas_shows_the_values_of(
    viewer: Viewer, disc: tuple[DiscOfViewer, dict[str, Any]], kind: str
) -> None:
    data_set = disc[1][kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = list(iter_pixels(data_set))
    number = len(frames) // 2
    viewer.open(kind)
    viewer.until_shown("bottom-left", kind)
    viewer.until_shown("bottom-left", f"Image {number + 1} / {len(frames)}")
    viewer.until_true_values()
    viewer.draw_one_to_one()
    expected = shown_by_pydicom(data_set, frames[number], number)
    if expected is not None:
        viewer.assert_shows(expected)
    # and the picture for people without scripts shows the same
    display = instance_reader.frame_display(data_set, number)
    viewer.assert_shows(render.render_frame(frames[number], display))
