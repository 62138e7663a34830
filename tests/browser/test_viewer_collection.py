"""Every series of a wider collection of real images is shown with true values, or says why not."""

import warnings
from pathlib import Path
from typing import Any

from pydicom.pixels import iter_pixels

import material
from browser.test_viewer import FIRST, Viewer
from browser_discs import DiscOfViewer
from browsers import CHROMIUM, Browser
from burnish.content import instance_reader, render

_FOLDERS = (
    "cr", "ct-phantom-2studies", "enhanced", "fileset-pcir", "lut", "mr-multiecho",
    "mr-siemens-4series", "mr-tcia", "op", "palettes", "pet", "rt", "seg-pm", "transfer-syntaxes",
    "us-color",
)  # fmt: skip


def has_pixels(data_set: Any) -> bool:
    return "PixelData" in data_set and "Rows" in data_set and "SOPClassUID" in data_set


def decoded(data_set: Any) -> list[Any]:
    """The frames of an image; none if pydicom cannot decode it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(iter_pixels(data_set))
        except (AttributeError, NotImplementedError, RuntimeError, ValueError):
            return []


def test_the_images_of_the_collection_are_shown_as_they_are(
    wider_collection: material.WiderCollection, tmp_path: Path
) -> None:
    data_sets = [material.read(path) for path in wider_collection.files(*_FOLDERS)]
    images = [data_set for data_set in data_sets if has_pixels(data_set)]
    if not images:
        return
    disc = DiscOfViewer(tmp_path / "disc")
    for number, data_set in enumerate(images):
        data_set.SeriesInstanceUID = f"1.2.3.{number}"
        data_set.SeriesDescription = f"Image number {number}"
        data_set.PatientID = "P1"
        data_set.StudyInstanceUID = "1.2.3"
        disc.add(data_set)
    with Browser(CHROMIUM) as browser:
        browser.resize(1280, 900)
        viewer = Viewer(browser, disc.write())
        for number, data_set in enumerate(images):
            frames = decoded(data_set)
            viewer.open(f"Image number {number}")
            viewer.until_shown("bottom-left", f"Image number {number}")
            if not frames:
                browser.until(f"{FIRST}.querySelector('.message.fault').textContent")
                continue
            viewer.until_true_values()
            viewer.draw_one_to_one()
            if instance_reader.pixel_aspect(data_set) == 1:
                middle = len(frames) // 2
                display = instance_reader.frame_display(data_set, middle)
                viewer.assert_shows(render.render_frame(frames[middle], display), least=1)
        viewer.assert_at_ease()
