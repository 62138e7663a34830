"""The viewer of a disc in real browsers, opened from its folder and used by real events."""

import base64
import codecs
import io
import json
import math
import re
import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.pixels import apply_modality_lut

import browsers
import transport_streams
import viewer_material as material
from accessibility import serious_faults
from browser_discs import DiscOfViewer
from browsers import Browser
from burnish.content import pixel_packs
from burnish.content.documents import mp4
from burnish.content.viewer_data import PackedPixels, ViewedDocument

FIRST = "document.querySelectorAll('.viewport')[0]"
TRUE_VALUES = f"{FIRST}.dataset.pixels === 'true'"


class Viewer:
    """The viewer as a person sees it and works with it."""

    def __init__(self, browser: Browser, page: Path) -> None:
        self.browser = browser
        self.folder = page.parent.parent
        browser.open(page)
        browser.evaluate("(localStorage.clear(), 1)")
        browser.until("document.querySelector('.viewport .top-left').textContent")

    def text(self, corner: str, number: int = 0) -> str:
        return str(
            self.browser.evaluate(f"{viewport(number)}.querySelector('.{corner}').textContent")
        )

    def message(self) -> str:
        return str(self.browser.evaluate(f"{FIRST}.querySelector('.message').textContent"))

    def until_shown(self, corner: str, wanted: str, number: int = 0) -> None:
        wanted = json.dumps(wanted)
        self.browser.until(
            f"{viewport(number)}.querySelector('.{corner}').textContent.includes({wanted})"
        )

    def until_true_values(self) -> None:
        self.browser.until(TRUE_VALUES)

    def open(self, title: str) -> None:
        """A click on the tile with this title."""
        number = self.browser.evaluate(
            "[...document.querySelectorAll('.tile')].findIndex("
            f"tile => tile.querySelector('.tile-title').textContent === {json.dumps(title)})"
        )
        assert number >= 0, f"no tile {title}"
        self.browser.click(".tile", number=number)

    def position(self, number: int = 0) -> int:
        """The number of the image that is shown."""
        match = re.search(r"(\d+) / \d+", self.text("bottom-left", number))
        assert match, self.text("bottom-left", number)
        return int(match[1])

    def until_position(self, comparison: str, number: int) -> None:
        """Waits until the number of the first view's image compares so: a drag is drawn later."""
        corner = f"{FIRST}.querySelector('.bottom-left').textContent"
        self.browser.until(f"/([0-9]+) \\/ [0-9]+/.exec({corner})?.[1] {comparison} {number}")

    def window(self) -> tuple[float, float]:
        match = re.search(r"C (-?[\d.]+)  W ([\d.]+)", self.text("bottom-right"))
        assert match, self.text("bottom-right")
        return float(match[1]), float(match[2])

    def box(self, number: int = 0) -> tuple[float, float, float, float]:
        left, top, width, height = self.browser.evaluate(
            "(() => { const box = " + viewport(number) + ".querySelector('.screen')"
            ".getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; })()"
        )
        return left, top, width, height

    def centre(self, number: int = 0) -> tuple[float, float]:
        left, top, width, height = self.box(number)
        return left + width / 2, top + height / 2

    def draw_one_to_one(self) -> None:
        """One pixel of the image for each of the screen, after all events before."""
        self.browser.move(5, 5)
        self.browser.press("=")
        self.until_shown("bottom-right", "Zoom 100 %")

    def canvas(
        self, number: int = 0, kind: str = "values", area: tuple[int, int, int, int] | None = None
    ) -> Any:
        """The pixels of a canvas as rows, columns and red, green, blue, alpha.

        `area`: left, top, width and height, of the whole canvas if there is none.
        """
        script = (
            "(async () => { await new Promise(requestAnimationFrame);"
            "await new Promise(requestAnimationFrame);"
            f"const canvas = {viewport(number)}.querySelector('canvas.{kind}');"
            f"const area = {json.dumps(area)} || [0, 0, canvas.width, canvas.height];"
            "const data = canvas.getContext('2d').getImageData(...area).data;"
            "let text = ''; for (let at = 0; at < data.length; at += 8192)"
            " text += String.fromCharCode(...data.subarray(at, at + 8192));"
            "return [area[2], area[3], btoa(text)]; })()"
        )
        width, height, encoded = self.browser.evaluate(script)
        data = np.frombuffer(base64.b64decode(encoded), np.uint8)
        return data.reshape(height, width, 4)

    def canvas_size(self, number: int = 0) -> tuple[int, int]:
        width, height = self.browser.evaluate(
            f"(canvas => [canvas.width, canvas.height])({viewport(number)}.querySelector('canvas'))"
        )
        return width, height

    def area_of_image(
        self, rows: int, columns: int, kind: str = "values", number: int = 0
    ) -> tuple[Any, int, int]:
        """What is visible of an image drawn one to one, and its first row and column."""
        canvas_width, canvas_height = self.canvas_size(number)
        left = math.floor((canvas_width - columns) / 2 + 0.5)
        top = math.floor((canvas_height - rows) / 2 + 0.5)
        width = min(canvas_width, left + columns) - max(0, left)
        height = min(canvas_height, top + rows) - max(0, top)
        area = (max(0, left), max(0, top), width, height)
        return self.canvas(number, kind, area), max(0, -top), max(0, -left)

    def assert_shows(
        self, expected: Any, *, tolerance: int = 1, number: int = 0, least: int = 100
    ) -> None:
        """The canvas shows these grey values or colours, `least` pixels of them."""
        rows, columns = expected.shape[:2]
        visible, row, column = self.area_of_image(rows, columns, number=number)
        visible = visible[..., :3].astype(int)
        part = expected[row : row + visible.shape[0], column : column + visible.shape[1]]
        part = part[..., None] if part.ndim == 2 else part
        assert visible.shape[0] * visible.shape[1] >= least
        assert np.abs(visible - part.astype(int)).max() <= tolerance

    def assert_at_ease(self) -> None:
        """Nothing was complained about, and nothing came from outside of the folder."""
        assert self.browser.errors == []
        names = self.browser.evaluate(
            "performance.getEntriesByType('resource').map(entry => entry.name)"
        )
        folder = self.folder.as_uri()
        outside = [
            name
            for name in [*names, *self.browser.requests]
            if not name.startswith((folder, f"blob:{folder}", "blob:null", "blob:file:"))
        ]
        assert outside == []


def viewport(number: int) -> str:
    return f"document.querySelectorAll('.viewport')[{number}]"


View = Callable[..., Viewer]


@pytest.fixture
def view(browser: Browser, tmp_path: Path) -> Iterator[View]:
    """Opens the viewer of a disc with these data sets; at the end all must have been well."""
    opened: list[Viewer] = []

    def open_disc(
        *data_sets: Any, pixels: PackedPixels = PackedPixels.LOSSLESS, at_ease: bool = True
    ) -> Viewer:
        disc = DiscOfViewer(tmp_path / "disc", pixels)
        disc.add(*data_sets)
        viewer = Viewer(browser, disc.write())
        if at_ease:
            opened.append(viewer)
        return viewer

    browser.resize(1280, 800)
    yield open_disc
    for viewer in opened:
        viewer.assert_at_ease()
    # what the page still asks for is not counted in the next test
    browser.open("about:blank")


def windowed(data_set: Any, values: Any, centre: float, width: float) -> Any:
    """Values after the Modality LUT in a linear window, by the formula of PS3.3 C.11.2.1.2.1."""
    grey = ((apply_modality_lut(values, data_set) - (centre - 0.5)) / (width - 1) + 0.5) * 255
    return np.clip(np.rint(grey), 0, 255)


# --- scrolling


def test_the_wheel_scrolls(view: View) -> None:
    viewer = view(*material.ct_volume())
    assert viewer.position() == 21
    viewer.browser.wheel(*viewer.centre(), 1, 1, 1)
    viewer.until_shown("bottom-left", "Image 24 / 40")
    viewer.browser.wheel(*viewer.centre(), -1)
    viewer.until_shown("bottom-left", "Image 23 / 40")


def test_a_person_who_scrolls_fast_sees_only_some_pictures(view: View) -> None:
    """The values never come here, since no worker gets a message."""
    viewer = view(*material.ct_volume())
    program = viewer.folder / "VIEWER" / "VIEWER.JS"
    program.write_text("Worker.prototype.postMessage = () => {};\n" + program.read_text())
    viewer.browser.open(program.with_name("VIEWER.HTM"))
    viewer.browser.until(f"{FIRST}.querySelector('.picture').naturalWidth")
    pictures, milliseconds = viewer.browser.evaluate(f"""(async () => {{
      const view = {FIRST}, picture = view.querySelector('.picture'), pictures = new Set();
      const start = performance.now();
      for (let step = 0; step < 15; step++) {{
        view.dispatchEvent(new WheelEvent('wheel', {{deltaY: 100, cancelable: true}}));
        await new Promise(requestAnimationFrame);
        pictures.add(picture.src);
      }}
      return [pictures.size, performance.now() - start];
    }})()""")
    assert pictures <= milliseconds / 100 + 2
    viewer.until_shown("bottom-left", "Image 36 / 40")


def test_keys_scroll(view: View) -> None:
    viewer = view(*material.ct_volume())
    viewer.browser.press(browsers.HOME)
    viewer.until_shown("bottom-left", "Image 1 / 40")
    viewer.browser.press(browsers.DOWN, browsers.DOWN, browsers.RIGHT)
    viewer.until_shown("bottom-left", "Image 4 / 40")
    viewer.browser.press(browsers.PAGE_DOWN)
    viewer.until_shown("bottom-left", "Image 14 / 40")
    viewer.browser.press(browsers.UP)
    viewer.until_shown("bottom-left", "Image 13 / 40")
    viewer.browser.press(browsers.END)
    viewer.until_shown("bottom-left", "Image 40 / 40")


def test_a_finger_scrolls(view: View) -> None:
    viewer = view(*material.ct_volume())
    x, y = viewer.centre()
    viewer.browser.drag([(x, y), (x, y + 60), (x, y + 120)], pointer="touch")
    viewer.until_position(">", 24)


def test_dragging_scrolls_with_the_tool_for_it(view: View) -> None:
    viewer = view(*material.ct_volume())
    viewer.browser.press("s")
    x, y = viewer.centre()
    viewer.browser.drag([(x, y), (x, y - 60), (x, y - 120)])
    viewer.until_position("<", 18)


def test_two_fingers_zoom(view: View) -> None:
    viewer = view(*material.ct_volume())
    x, y = viewer.centre()
    viewer.browser.pinch([(x - 50, y), (x - 120, y)], [(x + 50, y), (x + 120, y)])
    corner = f"{FIRST}.querySelector('.bottom-right').textContent"
    viewer.browser.until(f"/Zoom ([0-9]+)/.exec({corner})[1] > 1000")
    assert viewer.position() == 21


# --- values and windows


def test_a_drag_changes_the_window_and_shows_values_in_it(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume)
    viewer.until_true_values()
    viewer.browser.press("w")
    x, y = viewer.centre()
    viewer.browser.drag([(x, y), (x + 50, y + 20)])
    corner = f"{FIRST}.querySelector('.bottom-right').textContent"
    viewer.browser.until(f"/W ([0-9]+)/.exec({corner})[1] > 850")
    viewer.draw_one_to_one()
    centre, width = viewer.window()
    assert width > 850
    assert centre > 220
    expected = windowed(volume[20], volume[20].pixel_array, centre, width)
    viewer.assert_shows(expected, tolerance=2)


def test_presets_are_chosen_by_keys_and_from_the_list(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume)
    viewer.until_true_values()
    labels = viewer.browser.evaluate(
        "[...document.querySelectorAll('.presets option')].map(option => option.textContent)"
    )
    assert labels[:3] == ["As stored  [1]", "Abdomen  [2]", "Lung  [3]"]
    viewer.browser.press("4")
    viewer.until_shown("bottom-right", "C 480  W 2500")
    viewer.draw_one_to_one()
    viewer.assert_shows(windowed(volume[20], volume[20].pixel_array, 480, 2500))


def test_images_without_a_common_scale_have_presets_by_their_own_values(view: View) -> None:
    values = np.full((64, 64), 1000, np.uint16)
    values[:32] = 200
    values[0, :8] = 4000
    viewer = view(
        material.image(
            material.MR, "MR", "Knee", values, BitsStored=12, WindowCenter="600", WindowWidth="500"
        )
    )
    viewer.until_true_values()
    labels = viewer.browser.evaluate(
        "[...document.querySelectorAll('.presets option')].map(option => option.textContent)"
    )
    assert labels == [
        "As stored  [1]",
        "Automatic  [2]",
        "More contrast  [3]",
        "Less contrast  [4]",
        "All values  [5]",
    ]
    for key, window in (
        ("2", "C 600  W 800"),
        ("3", "C 600  W 300"),
        ("4", "C 600  W 850"),
        ("5", "C 2100  W 3800"),
        ("1", "C 600  W 500"),
    ):
        viewer.browser.press(key)
        viewer.until_shown("bottom-right", window)


def test_pet_has_windows_and_values_of_its_uptake(view: View) -> None:
    values = np.full((64, 64), 800, np.uint16)
    series = {"Units": "GML", "RescaleSlope": "0.01", "RescaleIntercept": "0"}
    viewer = view(material.image(material.PET, "PT", "PET", values, BitsStored=16, **series))
    viewer.until_true_values()
    viewer.browser.press("2")
    viewer.until_shown("bottom-right", "C 2.5  W 5")
    viewer.browser.move(*viewer.centre())
    viewer.until_shown("bottom-left", "8 GML  SUV 8")


def test_the_value_under_the_pointer_is_that_of_the_image(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume)
    viewer.until_true_values()
    viewer.draw_one_to_one()
    x, y = viewer.centre()
    viewer.browser.move(x + 10, y - 5)
    viewer.until_shown("bottom-left", ": ")
    match = re.match(r"(\d+), (\d+): (-?[\d.]+) HU", viewer.text("bottom-left"))
    assert match, viewer.text("bottom-left")
    column, row, value = int(match[1]) - 1, int(match[2]) - 1, float(match[3])
    assert abs(column - 58) <= 1
    assert abs(row - 43) <= 1
    assert value == volume[20].pixel_array[row, column] - 1024


def test_values_that_were_rounded_are_said_to_be(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume, pixels=PackedPixels.NEAR)
    viewer.until_true_values()
    viewer.until_shown("bottom-right", "Values rounded, at most ±2")
    viewer.draw_one_to_one()
    viewer.assert_shows(windowed(volume[20], volume[20].pixel_array, 200, 800), tolerance=2)


def test_a_disc_without_true_values_shows_pictures_and_says_so(view: View) -> None:
    viewer = view(*material.ct_volume(), pixels=PackedPixels.NONE)
    viewer.browser.until(
        f"{FIRST}.querySelector('.message').textContent.includes('256 grey levels')"
    )
    viewer.browser.until(f"!{FIRST}.querySelector('.picture').hidden")
    # the page is not left while Firefox looks for the file
    viewer.browser.until("!document.querySelector('iframe[src]')")


# --- measures


def test_a_distance_is_measured_in_mm(view: View) -> None:
    volume = material.ct_volume(spacing=0.5)
    viewer = view(*volume)
    viewer.until_true_values()
    viewer.draw_one_to_one()
    x, y = viewer.centre()
    viewer.browser.press("d")
    viewer.browser.drag([(x - 30, y - 20), (x, y), (x + 30, y + 20)])
    viewer.browser.until("/ mm/.test(document.querySelector('.announcement').textContent)")
    answer = viewer.browser.evaluate("document.querySelector('.announcement').textContent")
    assert answer == f"{math.hypot(60, 40) * 0.5:.1f} mm"


def test_pixels_that_are_not_square_are_measured_right(view: View) -> None:
    images = [
        material.image(
            material.MR, "MR", "Oblong", material.noise(64, 96), PixelSpacing=[2.0, 1.0],
            BitsStored=12, InstanceNumber=1,
        )
    ]  # fmt: skip
    viewer = view(*images)
    viewer.until_true_values()
    viewer.draw_one_to_one()
    x, y = viewer.centre()
    viewer.browser.press("d")
    viewer.browser.drag([(x, y - 40), (x, y), (x, y + 40)])
    viewer.browser.until("/ mm/.test(document.querySelector('.announcement').textContent)")
    # 80 pixels of the screen downwards are 40 rows of 2 mm
    assert viewer.browser.evaluate("document.querySelector('.announcement').textContent") == "80 mm"


def test_an_angle_is_measured_with_three_clicks(view: View) -> None:
    viewer = view(*material.ct_volume())
    x, y = viewer.centre()
    viewer.browser.press("a")
    for point in ((x - 100, y), (x, y), (x + 100, y - 100)):
        viewer.browser.drag([point])
    viewer.browser.until("document.querySelector('.announcement').textContent.includes('°')")
    assert viewer.browser.evaluate("document.querySelector('.announcement').textContent") == "135°"


@pytest.mark.parametrize(
    ("spacing", "note"),
    [
        ({}, "no size is known for this image"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, "at the detector, not in the body"),
    ],
)
def test_what_a_distance_does_not_mean_is_said(
    view: View, spacing: dict[str, Any], note: str
) -> None:
    pixels = material.noise(64, 64)
    viewer = view(material.image(material.CR, "CR", "Chest", pixels, BitsStored=12, **spacing))
    x, y = viewer.centre()
    viewer.browser.press("d")
    viewer.browser.drag([(x, y), (x + 60, y), (x + 100, y)])
    viewer.browser.until(f"document.querySelector('.announcement').textContent.includes('{note}')")


def test_ultrasound_is_measured_inside_its_regions(view: View) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 299, 299
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.05
    pixels = material.noise(300, 300, 3, high=256, dtype=np.uint8)
    viewer = view(
        material.image(
            material.US, "US", "Liver", pixels, SequenceOfUltrasoundRegions=Sequence([region])
        )
    )
    viewer.until_true_values()
    viewer.draw_one_to_one()
    x, y = viewer.centre()
    viewer.browser.press("d")
    viewer.browser.drag([(x - 50, y), (x, y), (x + 50, y)])
    viewer.browser.until("/ mm/.test(document.querySelector('.announcement').textContent)")
    assert viewer.browser.evaluate("document.querySelector('.announcement').textContent") == "50 mm"


def test_an_angle_within_a_region_has_its_scale(view: View) -> None:
    """Pixels of the region are twice as wide as high; across regions an angle means nothing."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    regions = []
    for left in (0, 150):
        region = Dataset()
        region.RegionLocationMinX0, region.RegionLocationMinY0 = left, 0
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = left + 149, 299
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX, region.PhysicalDeltaY = 0.1, 0.05
        regions.append(region)
    pixels = material.noise(300, 300, 3, high=256, dtype=np.uint8)
    viewer = view(
        material.image(
            material.US, "US", "Liver", pixels, SequenceOfUltrasoundRegions=Sequence(regions)
        )
    )
    viewer.until_true_values()
    viewer.draw_one_to_one()
    x, y = viewer.centre()
    viewer.browser.press("a")
    announcement = "document.querySelector('.announcement').textContent"
    for point in ((x - 20, y), (x - 100, y), (x - 60, y - 80)):
        viewer.browser.drag([point])
    viewer.browser.until(f"{announcement} === '45°'")
    for point in ((x + 100, y), (x - 100, y + 50), (x - 60, y - 120)):
        viewer.browser.drag([point])
    viewer.browser.until(f"{announcement}.includes('no size is known')")


def test_a_measure_is_moved_and_deleted(view: View) -> None:
    viewer = view(*material.ct_volume())
    viewer.until_true_values()
    viewer.draw_one_to_one()
    x, y = viewer.centre()
    viewer.browser.press("d")
    viewer.browser.drag([(x, y), (x + 20, y), (x + 40, y)])
    viewer.browser.until("/ mm/.test(document.querySelector('.announcement').textContent)")
    assert (viewer.canvas(kind="marks")[..., 0] > 200).any()
    viewer.browser.click("[data-action=delete_measure]")
    viewer.browser.until("document.querySelector('[data-action=delete_measure]').disabled")


# --- several views


def test_views_of_the_same_body_scroll_together(view: View) -> None:
    viewer = view(*material.ct_volume(), *material.thick_slices())
    viewer.browser.click("[data-action=arrange_two]")
    viewer.until_shown("bottom-left", "/ 8", number=1)
    viewer.browser.wheel(*viewer.centre(), *[1] * 10)
    viewer.until_shown("bottom-left", "31 / 40")
    # slice 31 lies at 30 mm, as the seventh of those with 5 mm between them
    viewer.until_shown("bottom-left", "7 / 8", number=1)
    viewer.browser.wheel(*viewer.centre(1), -1, -1)
    viewer.until_shown("bottom-left", "5 / 8", number=1)
    viewer.until_shown("bottom-left", "21 / 40")


def test_views_scroll_alone_when_they_are_not_linked(view: View) -> None:
    viewer = view(*material.ct_volume(), *material.thick_slices())
    viewer.browser.click("[data-action=arrange_two]")
    viewer.until_shown("bottom-left", "/ 8", number=1)
    viewer.browser.click("[data-action=link]")
    viewer.browser.wheel(*viewer.centre(), *[1] * 10)
    viewer.until_shown("bottom-left", "31 / 40")
    viewer.until_shown("bottom-left", "5 / 8", number=1)


def test_planes_show_the_volume_from_three_sides(view: View) -> None:
    volume = material.ct_volume()
    values = material.volume_values()
    viewer = view(*volume)
    viewer.until_true_values()
    viewer.browser.press("m")
    viewer.until_shown("bottom-left", "Coronal – Volume", number=1)
    viewer.until_shown("bottom-left", "Sagittal – Volume", number=2)
    viewer.browser.until(f"!{viewport(1)}.querySelector('.message').textContent")
    grey = np.clip(np.rint(((values - 199.5) / 799 + 0.5) * 255), 0, 255)
    # the head is at the top: the last slice is the first row
    for number, expected in ((1, grey[::-1, 48, :]), (2, grey[::-1, :, 48])):
        viewer.browser.drag([viewer.centre(number)])
        viewer.browser.press("=")
        viewer.until_shown("bottom-right", "Zoom 100 %", number=number)
        viewer.assert_shows(expected, number=number)
    letters = viewer.browser.evaluate(
        "[0, 1, 2].map(number => ['left', 'right', 'top', 'bottom'].map(side => document"
        ".querySelectorAll('.viewport')[number].querySelector('.letters.' + side).textContent)"
        ".join(''))"
    )
    assert letters == ["RLAP", "RLHF", "APHF"]


def test_planes_of_a_volume_without_a_window_have_that_of_its_middle(view: View) -> None:
    volume = material.ct_volume()
    for data_set in volume:
        del data_set.WindowCenter, data_set.WindowWidth
    volume[0].PixelData = bytes(len(volume[0].PixelData))
    viewer = view(*volume)
    viewer.until_true_values()
    window = viewer.window()
    assert window[1] > 100
    viewer.browser.press("m")
    viewer.until_shown("bottom-left", "Axial – Volume")
    viewer.until_true_values()
    viewer.browser.until(f"!{FIRST}.querySelector('.message').textContent")
    assert viewer.window() == window


def test_four_views_do_not_bring_back_another_patient(view: View) -> None:
    first, second = material.ct_volume(), material.ct_volume("Of another")
    for data_set in second:
        data_set.PatientID, data_set.PatientName = "P2", "Roe^Richard"
        data_set.StudyInstanceUID = "1.2.3.9"
    viewer = view(*first, *second)
    viewer.until_true_values()
    viewer.browser.press("m")
    viewer.until_shown("top-left", "Jane Doe", number=3)
    viewer.open("Of another")
    viewer.until_shown("top-left", "Richard Roe")
    viewer.browser.click("[data-action=arrange_four]")
    viewer.browser.until(f"!{viewport(3)}.hidden")
    viewer.until_shown("message", "Choose a series", number=3)
    assert viewer.text("top-left", 3) == ""
    assert viewer.browser.evaluate(f"{viewport(3)}.querySelector('.position').hidden")


def test_slabs_show_the_maximum_minimum_or_average_of_their_planes(view: View) -> None:
    values = material.volume_values()
    viewer = view(*material.ct_volume())
    viewer.until_true_values()
    viewer.browser.press("m")
    viewer.browser.until(f"!{viewport(1)}.querySelector('.message').textContent")
    viewer.browser.drag([viewer.centre(1)])
    viewer.browser.press("=")
    viewer.until_shown("bottom-right", "Zoom 100 %", number=1)
    # the views are at row 48; four of the rows of a slab of 10 mm are before it, and five after
    coronal = values[::-1, 44:54]
    for text, expected, presses in (
        ("Maximum 10 mm (MIP)", coronal.max(axis=1), 2),
        ("Minimum 10 mm (MinIP)", coronal.min(axis=1), 3),
        ("Average 10 mm", coronal.mean(axis=1), 3),
    ):
        viewer.browser.evaluate("(document.querySelector('.slabs').focus(), 1)")
        for _ in range(presses):
            viewer.browser.press(browsers.DOWN)
        viewer.until_shown("bottom-left", text, number=1)
        viewer.browser.move(5, 5)
        grey = np.clip(np.rint(((expected - 199.5) / 799 + 0.5) * 255), 0, 255)
        viewer.assert_shows(grey, number=1)
        assert viewer.text("bottom-left", 2).count(text) == 1


def test_a_point_is_located_in_all_planes(view: View) -> None:
    viewer = view(*material.ct_volume())
    viewer.until_true_values()
    viewer.browser.press("m")
    viewer.until_shown("bottom-left", "Coronal – Volume", number=1)
    x, y = viewer.centre()
    viewer.browser.press("=")
    viewer.until_shown("bottom-right", "Zoom 100 %")
    viewer.browser.drag([(x + 20, y + 10)])
    # 96 pixels of 1 mm around the middle: column 68 and row 58
    viewer.browser.until(
        f"Math.abs(parseInt({viewport(1)}.querySelector('.position').value) - 58) <= 1"
    )
    viewer.browser.until(
        f"Math.abs(parseInt({viewport(2)}.querySelector('.position').value) - 68) <= 1"
    )


def test_lines_show_where_the_other_views_lie(view: View) -> None:
    viewer = view(*material.ct_volume())
    viewer.until_true_values()
    viewer.browser.press("m")
    viewer.until_shown("bottom-left", "Coronal – Volume", number=1)
    blue = viewer.canvas(1, "marks")
    rows = np.nonzero(((blue[..., 2] > 180) & (blue[..., 0] < 120)).sum(axis=1) > 50)[0]
    assert rows.size


def test_planes_of_uneven_slices_are_refused_with_the_reason(view: View) -> None:
    volume = material.ct_volume()
    del volume[12:17]
    viewer = view(*volume)
    viewer.browser.click("[data-action=planes]")
    viewer.browser.until("document.querySelector('dialog').textContent.includes('distances')")


# --- turning


@pytest.mark.parametrize("arrangement", ["arrange_one", "arrange_four"])
def test_no_text_runs_into_the_letters(view: View, arrangement: str) -> None:
    long = "T1 TSE axial fat-saturated after contrast, left shoulder, motion"
    viewer = view(*material.ct_volume(long))
    viewer.until_true_values()
    viewer.browser.click(f"[data-action={arrangement}]")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.top').textContent === 'A'")
    apart = viewer.browser.evaluate("""(() => {
      const box = node => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return [...range.getClientRects()];
      };
      const view = document.querySelector('.viewport');
      const letters = [...view.querySelectorAll('.letters')].flatMap(box);
      const texts = [...view.querySelectorAll('.corner')].flatMap(box);
      return letters.length && texts.length && letters.every(a => texts.every(b =>
        a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top));
    })()""")
    assert apart


def test_names_and_dates_are_written_as_on_the_pages(view: View) -> None:
    values = {"PatientName": "Yamada^Tarou=山田^太郎", "ImageLaterality": "U"}
    viewer = view(material.image(material.CR, "CR", "CR", material.noise(64, 64), **values))
    viewer.until_true_values()
    assert viewer.text("top-left").split("\n") == [
        "Tarou Yamada (山田 太郎)",
        "P1  3 February 1970  female",
    ]
    assert "31 January 2024 10:15" in viewer.text("top-right")
    assert viewer.text("bottom-left").split("\n") == ["CR", "Image 1 / 1"]
    viewer.browser.evaluate(
        "(select => { select.value = 'ja'; select.dispatchEvent(new Event('change')); return 1; })"
        "(document.querySelector('.languages'))"
    )
    viewer.until_shown("top-left", "山田 太郎 (Yamada Tarou)")
    viewer.until_shown("top-right", "2024年1月31日 10:15")
    viewer.browser.evaluate("(localStorage.clear(), 1)")


def test_an_image_without_a_name_says_so(view: View) -> None:
    values = {"PatientName": "", "ImageLaterality": "L", "ViewPosition": "AP"}
    viewer = view(material.image(material.CR, "CR", "Knee", material.noise(64, 64), **values))
    assert viewer.text("top-left").split("\n")[0] == "No name"
    assert viewer.text("top-left").split("\n")[2] == "L AP"


def test_a_video_of_a_transport_stream_is_played(browser: Browser, tmp_path: Path) -> None:
    """The picture that is shown last is of the last grey level."""
    image = material.image(material.CR, "ES", "Colon", material.noise(64, 64))
    disc = DiscOfViewer(tmp_path / "disc")
    disc.add(image)
    video = ViewedDocument("Colon", "ES", "VIEWER/S0000001/D0000100.MP4")
    disc.documents[image.SeriesInstanceUID] = [video]
    viewer_page = disc.write()
    stream = transport_streams.h264_video([40, 200, 200, 120])
    (disc.folder / video.path).write_bytes(b"".join(mp4.mp4_pieces(io.BytesIO(stream))))
    browser.resize(1280, 800)
    browser.open(viewer_page)
    browser.until("document.querySelectorAll('.tile').length === 2")
    browser.click(".tile", number=1)
    browser.until("document.querySelector('video').readyState >= 2")
    facts = browser.evaluate(
        "(video => [video.videoWidth, video.videoHeight, video.duration])"
        "(document.querySelector('video'))"
    )
    assert facts == [64, 48, pytest.approx(0.16)]
    browser.evaluate("(document.querySelector('video').currentTime = 0.15, 1)")
    browser.until("!document.querySelector('video').seeking")
    x, y = browser.place("video")
    browser.screenshot(tmp_path / "screen.png")
    with Image.open(tmp_path / "screen.png") as screen:
        grey = screen.convert("L").getpixel((round(x) - 200, round(y) - 100))
    # 120 of 16 to 235
    assert abs(grey - (120 - 16) * 255 / 219) <= 4


def test_letters_turn_with_the_image(view: View) -> None:
    viewer = view(*material.ct_volume())

    def letters() -> str:
        return str(
            viewer.browser.evaluate(
                "['top', 'right', 'bottom', 'left'].map(side =>"
                f" {FIRST}.querySelector('.letters.' + side).textContent).join('')"
            )
        )

    viewer.browser.until(f"{FIRST}.querySelector('.letters.top').textContent === 'A'")
    assert letters() == "ALPR"
    viewer.browser.press("r")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.top').textContent === 'R'")
    assert letters() == "RALP"
    viewer.browser.press("h")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.right').textContent === 'P'")
    assert letters() == "RPLA"
    viewer.browser.press("v")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.top').textContent === 'L'")
    assert letters() == "LPRA"


def test_an_image_is_turned_and_mirrored_as_its_letters_say(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume)
    viewer.until_true_values()
    expected = windowed(volume[20], volume[20].pixel_array, 200, 800)
    viewer.draw_one_to_one()
    viewer.browser.press("r")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.top').textContent === 'R'")
    viewer.draw_one_to_one()
    viewer.assert_shows(np.rot90(expected, -1))
    viewer.browser.press("h")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.right').textContent === 'P'")
    viewer.assert_shows(np.rot90(expected, -1)[:, ::-1])
    viewer.browser.press("i")
    viewer.assert_shows(255 - np.rot90(expected, -1)[:, ::-1])
    viewer.browser.press("0")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.top').textContent === 'A'")


# --- cine


def test_cine_plays_and_stops(view: View) -> None:
    viewer = view(*material.ct_volume())
    viewer.browser.press("c")
    viewer.browser.until("document.querySelector('[data-action=cine]').ariaPressed === 'true'")
    viewer.browser.until(f"parseInt({FIRST}.querySelector('.position').value) > 25")
    # it begins again after the last image
    viewer.browser.until(f"parseInt({FIRST}.querySelector('.position').value) < 15")
    viewer.browser.press("c")
    viewer.browser.until("document.querySelector('[data-action=cine]').ariaPressed === 'false'")
    position = viewer.position()
    viewer.canvas()
    assert viewer.position() == position


def test_the_rate_of_a_clip_is_its_own(view: View) -> None:
    clip = material.image(
        material.US, "US", "Clip", material.noise(6, 40, 50, high=256, dtype=np.uint8), FrameTime=40
    )
    viewer = view(clip)
    viewer.browser.until("document.querySelector('.rate').value === '25'")


# --- overlays, outlines, segments, presentation states, key objects


def test_segments_and_outlines_lie_over_their_image(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume, material.segmentation(volume[20]), material.structure_set(20.0))
    viewer.until_true_values()
    viewer.draw_one_to_one()

    def red_at(x: int, y: int) -> bool:
        marks = viewer.area_of_image(96, 96, "marks")[0][y - 1 : y + 2, x - 1 : x + 2]
        return bool(((marks[..., 0] > 150) & (marks[..., 3] > 60)).any())

    viewer.browser.click("[data-action=layers]")
    viewer.browser.until("document.querySelector('.layers').textContent.includes('Target')")
    assert viewer.browser.evaluate(
        "document.querySelector('.layers').textContent.includes('Lesion')"
    )
    # the outline from -28 mm (column 20.5) to 12 mm (column 60.5), the segment from 40 to 59
    assert red_at(20, 40)
    assert red_at(60, 25)
    assert not red_at(30, 30)
    assert red_at(50, 50)
    viewer.browser.press(browsers.UP)
    viewer.until_shown("bottom-left", "Image 20 / 40")
    assert not red_at(50, 50)


def test_overlay_planes_are_drawn_and_can_be_switched_off(view: View) -> None:
    plane = np.zeros((64, 64), np.uint8)
    plane[10:20, 30:40] = 1
    data_set = material.image(material.CR, "CR", "Chest", material.noise(64, 64), BitsStored=12)
    data_set.add_new(0x60000010, "US", 64)
    data_set.add_new(0x60000011, "US", 64)
    data_set.add_new(0x60000040, "CS", "G")
    data_set.add_new(0x60000050, "SS", [1, 1])
    data_set.add_new(0x60000100, "US", 1)
    data_set.add_new(0x60000102, "US", 0)
    data_set.add_new(0x60003000, "OB", np.packbits(plane.ravel(), bitorder="little").tobytes())
    viewer = view(data_set)
    viewer.until_true_values()
    viewer.draw_one_to_one()
    viewer.browser.until(f"{FIRST}.dataset.pixels === 'true'")
    marks = viewer.area_of_image(64, 64, "marks")[0]
    assert ((marks[..., 3] > 128) == (plane == 1)).all()
    viewer.browser.press("o")
    assert not (viewer.area_of_image(64, 64, "marks")[0][..., 3] > 128).any()


def test_a_presentation_state_is_applied_from_its_tile(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume, material.presentation_state(volume[5]))
    viewer.open("Look here")
    viewer.until_shown("bottom-left", "Presentation state applied")
    viewer.until_shown("bottom-right", "C 100  W 300")
    viewer.browser.until(f"{FIRST}.querySelector('.letters.top').textContent === 'R'")
    viewer.draw_one_to_one()
    viewer.assert_shows(np.rot90(windowed(volume[5], volume[5].pixel_array, 100, 300), -1))
    assert (viewer.canvas(kind="marks")[..., 1] > 200).any()


def table(values: Any, *, first: int = 0, bits: int = 16) -> Any:
    """A sequence with one lookup table."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "OW", np.asarray(values, "<u2").tobytes())
    return Sequence([item])


def test_the_luts_of_a_presentation_state_replace_those_of_the_image(view: View) -> None:
    volume = material.ct_volume()
    both, none = (material.presentation_state(volume[5]) for _ in range(2))
    for state, title in ((both, "Tables"), (none, "No rescale")):
        state.ContentDescription = title
        state.ImageRotation = 0
        del state.RescaleSlope, state.RescaleIntercept, state.GraphicAnnotationSequence
        state.SoftcopyVOILUTSequence[0].WindowCenter = "1500"
        state.SoftcopyVOILUTSequence[0].WindowWidth = "1000"
    modality = np.arange(4096) // 2 + 700
    both.ModalityLUTSequence = table(modality)
    del both.PresentationLUTShape
    presentation = (np.linspace(0, 1, 256) ** 2 * 4095).astype(int)
    both.PresentationLUTSequence = table(presentation, bits=12)
    viewer = view(*volume, both, none)
    stored = volume[5].pixel_array.astype(int)

    def window(values: Any) -> Any:
        return np.clip((values - 1499.5) / 999 + 0.5, 0, 1)

    viewer.open("Tables")
    viewer.until_shown("bottom-right", "C 1500  W 1000")
    viewer.draw_one_to_one()
    shown = presentation[np.rint(window(modality[stored]) * 255).astype(int)] / 4095 * 255
    viewer.assert_shows(np.rint(shown), tolerance=2)
    assert "not applied" not in viewer.text("bottom-left")
    # an image is not rescaled where its state is not (PS3.4 N.2.1)
    viewer.open("No rescale")
    viewer.until_true_values()
    viewer.draw_one_to_one()
    viewer.assert_shows(np.rint(window(stored) * 255))


def test_a_run_that_is_meant_to_be_seen_so_has_its_mask_subtracted(view: View) -> None:
    mask = material.mask("AVG_SUB", MaskFrameNumbers=[1, 2], ApplicableFrameRange=[3, 6])
    run = material.angiography(mask, RecommendedViewingMode="SUB")
    viewer = view(run)
    frames = run.pixel_array.astype(float)
    viewer.until_shown("bottom-left", "Mask subtracted")
    viewer.draw_one_to_one()
    centre, width = viewer.window()
    difference = frames[3] - frames[:2].mean(axis=0)
    viewer.assert_shows(np.clip(np.rint(((difference - centre) / width + 0.5) * 255), 0, 255))
    viewer.browser.move(*viewer.centre())
    viewer.until_shown("bottom-left", ": ")
    # a frame for which there is no mask stays as it is
    viewer.browser.press(browsers.HOME)
    viewer.browser.until(f"!{FIRST}.querySelector('.bottom-left').textContent.includes('Mask')")
    # and a person can see all of them without
    viewer.browser.press(browsers.END)
    viewer.until_shown("bottom-left", "Mask subtracted")
    viewer.browser.click("[data-action=layers]")
    viewer.browser.click(".layers label", number=1)
    viewer.browser.until(f"!{FIRST}.querySelector('.bottom-left').textContent.includes('Mask')")


def test_a_presentation_state_subtracts_a_mask_that_it_moves(view: View) -> None:
    run = material.angiography()
    state = material.presentation_state(run)
    state.MaskSubtractionSequence = [
        material.mask("TID", TIDOffset=2, MaskSubPixelShift=[1.0, 2.0], ContrastFrameAveraging=1)
    ]
    state.ImageRotation = 0
    (window,) = state.SoftcopyVOILUTSequence
    window.WindowCenter, window.WindowWidth = "0", "801"
    del state.GraphicAnnotationSequence
    del state.RescaleSlope
    del state.RescaleIntercept
    viewer = view(run, state)
    viewer.open("Look here")
    viewer.until_shown("bottom-left", "Presentation state applied")
    for key in (browsers.HOME, browsers.DOWN, browsers.DOWN, browsers.DOWN):
        viewer.browser.press(key)
    viewer.until_shown("bottom-left", "4 / 6")
    viewer.until_shown("bottom-left", "Mask subtracted")
    viewer.draw_one_to_one()
    viewer.until_true_values()
    frames = run.pixel_array.astype(float)
    inner = slice(8, 88)
    # downwards by one row, to the left by two columns
    moved = np.roll(frames[1], (1, -2), (0, 1))
    expected = np.clip(np.rint(((frames[3] - moved + 0.5) / 800 + 0.5) * 255), 0, 255)
    rows, columns = run.Rows, run.Columns
    shown, row, column = viewer.area_of_image(rows, columns)
    assert (row, column) == (0, 0)
    assert np.abs(shown[inner, inner, 0].astype(int) - expected[inner, inner]).max() <= 1
    assert "not applied" not in viewer.text("bottom-left")


@pytest.mark.parametrize("browser", [browsers.CHROMIUM], indirect=True)
def test_the_mean_of_contrast_frames_loses_a_mask_moved_by_parts_of_a_pixel(view: View) -> None:
    mask = material.mask(
        "AVG_SUB", MaskFrameNumbers=[2], MaskSubPixelShift=[0.5, 0.25], ContrastFrameAveraging=2
    )
    run = material.angiography(mask, RecommendedViewingMode="SUB")
    viewer = view(run)
    viewer.until_shown("bottom-left", "4 / 6")
    viewer.until_shown("bottom-left", "Mask subtracted")
    viewer.draw_one_to_one()
    viewer.until_true_values()
    centre, width = viewer.window()
    frames = run.pixel_array.astype(float)
    # downwards by half a row, to the left by a quarter of a column
    between_rows = (frames[1] + np.roll(frames[1], 1, 0)) / 2
    moved = 0.75 * between_rows + 0.25 * np.roll(between_rows, -1, 1)
    difference = (frames[3] + frames[4]) / 2 - moved
    expected = np.clip(np.rint(((difference - centre) / width + 0.5) * 255), 0, 255)
    shown, row, column = viewer.area_of_image(run.Rows, run.Columns)
    assert (row, column) == (0, 0)
    inner = slice(8, 88)
    assert np.abs(shown[inner, inner, 0].astype(int) - expected[inner, inner]).max() <= 1


@pytest.mark.parametrize("browser", [browsers.CHROMIUM], indirect=True)
def test_a_mask_that_is_not_subtracted_stands_on_the_image(view: View) -> None:
    """REV_TID takes the frames of the mask in reverse order."""
    mask = material.mask("REV_TID", TIDOffset=1, ApplicableFrameRange=[3, 6])
    viewer = view(material.angiography(mask, RecommendedViewingMode="SUB"))
    viewer.until_shown("bottom-left", "The mask of this run is not subtracted.")
    viewer.browser.click("[data-action=layers]")
    viewer.browser.until(
        "document.querySelector('.layers').textContent.includes('mask of this run is not')"
    )


def test_what_is_not_applied_of_a_presentation_state_stands_on_the_image(view: View) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    volume = material.ct_volume()
    state = material.presentation_state(volume[5])
    state.MaskSubtractionSequence = Sequence([Dataset()])
    viewer = view(*volume, state)
    viewer.open("Look here")
    viewer.until_shown("bottom-left", "Its subtraction of a mask is not applied.")


def test_graphics_in_shares_of_the_displayed_area_lie_in_it(view: View) -> None:
    """The image is narrower than its viewport; the quarter beside its middle is marked."""
    volume = material.ct_volume()
    state = material.presentation_state(volume[5])
    state.ImageRotation = 0
    (annotation,) = state.GraphicAnnotationSequence
    del annotation.TextObjectSequence
    (square,) = annotation.GraphicObjectSequence
    square.GraphicAnnotationUnits = "DISPLAY"
    square.GraphicType = "POLYLINE"
    square.GraphicData = [0.25, 0.25, 0.5, 0.25, 0.5, 0.5, 0.25, 0.5, 0.25, 0.25]
    square.GraphicFilled = "Y"
    viewer = view(*volume, state)
    viewer.open("Look here")
    viewer.until_shown("bottom-left", "Presentation state applied")
    viewer.draw_one_to_one()
    rows, columns = volume[5].Rows, volume[5].Columns
    viewer.browser.until(f"{FIRST}.dataset.pixels === 'true'")
    marks = viewer.area_of_image(columns, rows, "marks")[0][..., 3] > 128
    quarter = marks[rows // 4 + 2 : rows // 2 - 2, columns // 4 + 2 : columns // 2 - 2]
    assert quarter.all()
    assert not marks[rows // 2 + 3 :, :][:, columns // 2 + 3 : columns - 8].any()


def test_key_objects_are_a_list_of_their_images(view: View) -> None:
    volume = material.ct_volume()
    viewer = view(*volume, material.key_objects(volume[3], volume[30]))
    tile = viewer.browser.evaluate(
        "[...document.querySelectorAll('.tile')].map(node => node.textContent)"
        ".find(content => content.includes('Interest'))"
    )
    assert "Images: 2" in tile
    assert "not on this disc: 1" in tile
    viewer.open("Of Interest")
    viewer.until_shown("bottom-left", "Image 1 / 2")
    viewer.until_true_values()
    viewer.draw_one_to_one()
    viewer.assert_shows(windowed(volume[3], volume[3].pixel_array, 200, 800))


# --- faults


def test_a_damaged_pack_is_said_and_never_shown_as_values(view: View) -> None:
    noise = [
        material.image(
            material.CT,
            "CT",
            "Noise",
            material.noise(256, 256),
            BitsStored=12,
            InstanceNumber=number,
        )
        for number in (1, 2, 3)
    ]
    viewer = view(*noise, at_ease=False)
    viewer.until_true_values()
    pack = viewer.folder / "VIEWER" / "S0000001" / "P0000001.HTM"
    content = bytearray(pack.read_bytes())
    start = "function(){/*".encode("utf-16-le")
    before = bytes(content).split(start)
    place = len(start.join(before[:2])) + len(before[2]) // 4 * 2
    content[place : place + 40] = b"A" * 40
    pack.write_bytes(content)
    viewer = Viewer(viewer.browser, viewer.folder / "VIEWER" / "VIEWER.HTM")
    viewer.browser.until(f"{FIRST}.querySelector('.message').textContent.includes('damaged')")
    assert viewer.browser.evaluate(f"{FIRST}.dataset.pixels") == "picture"
    viewer.browser.press(browsers.DOWN)
    viewer.until_true_values()
    assert viewer.message() == ""


def test_a_pack_of_other_images_is_never_shown_as_values(view: View) -> None:
    viewer = view(*material.ct_volume(), at_ease=False)
    pack = viewer.folder / "VIEWER" / "S0000001" / "P0000001.HTM"
    end = "*/},\n".encode("utf-16-le")
    first, _, *others = pack.read_bytes().split(end)
    pack.write_bytes(end.join([first, *others]))
    viewer = Viewer(viewer.browser, viewer.folder / "VIEWER" / "VIEWER.HTM")
    viewer.browser.until(f"{FIRST}.querySelector('.message').textContent.includes('damaged')")
    assert viewer.browser.evaluate(f"{FIRST}.dataset.pixels") == "picture"


def test_a_pack_that_is_missing_is_said(view: View) -> None:
    viewer = view(*material.ct_volume(), at_ease=False)
    (viewer.folder / "VIEWER" / "S0000001" / "P0000001.HTM").unlink()
    viewer = Viewer(viewer.browser, viewer.folder / "VIEWER" / "VIEWER.HTM")
    viewer.browser.until(f"{FIRST}.querySelector('.message').textContent.includes('damaged')")
    viewer.browser.until(f"!{FIRST}.querySelector('.picture').hidden")


def test_a_pack_that_ends_early_is_said(view: View) -> None:
    viewer = view(*material.ct_volume(), at_ease=False)
    pack = viewer.folder / "VIEWER" / "S0000001" / "P0000001.HTM"
    content = pack.read_bytes()
    pack.write_bytes(content[: len(content) // 4 * 2])
    viewer = Viewer(viewer.browser, viewer.folder / "VIEWER" / "VIEWER.HTM")
    viewer.browser.until(f"{FIRST}.querySelector('.message').textContent.includes('damaged')")
    assert viewer.browser.evaluate(f"{FIRST}.dataset.pixels") == "picture"


#: Runs before the scripts of the page: counts what is done again and again, and notes pages that
#: are held back.
_COUNTED_LOOKS = """() => {
  const start = window.setInterval;
  window.looks = 0;
  window.setInterval = (look, pause) => start(() => { look(); window.looks++; }, pause);
  window.heldPages = [];
  window.addEventListener('message', ({ data, source }) => data.held && heldPages.push(source));
}"""
#: A script of a pack that goes on when it is told to; until then, its page has not ended.
_HELD_SCRIPT = """(function () {
  const end = event => event.stopPropagation();
  document.addEventListener('DOMContentLoaded', end);
  window.addEventListener('message', () => {
    send();
    document.removeEventListener('DOMContentLoaded', end);
    document.dispatchEvent(new Event('DOMContentLoaded', { bubbles: true }));
  });
  parent.postMessage({ held: true }, '*');
  function send() { %s }
})();"""


@pytest.fixture
def firefox_of_pages() -> Iterator[Browser]:
    """The browser that reads packs as pages."""
    with Browser(browsers.FIREFOX) as browser:
        browser.preload(_COUNTED_LOOKS)
        yield browser


def slice_disc(folder: Path) -> Path:
    """The page of a disc with one pack, which notes in the viewer that it ran as a script."""
    disc = DiscOfViewer(folder)
    disc.add(*material.thick_slices())
    page = disc.write()
    (pack,) = page.parent.rglob("P*.HTM")
    end = "]);\n".encode("utf-16-le")
    count = "parent.scriptsRun = (parent.scriptsRun || 0) + 1;\n".encode("utf-16-le")
    pack.write_bytes(pack.read_bytes().replace(end, end + count))
    return page


def test_a_pack_whose_page_arrives_slowly_is_read_once(
    firefox_of_pages: Browser, tmp_path: Path
) -> None:
    page = slice_disc(tmp_path)
    script = page.with_name("PACK.JS")
    script.write_text(_HELD_SCRIPT % script.read_text())
    viewer = Viewer(firefox_of_pages, page)
    viewer.browser.until("heldPages.length && looks > 3")
    assert viewer.browser.evaluate(f"{FIRST}.dataset.pixels") != "true"
    assert "damaged" not in viewer.message()
    viewer.browser.evaluate("(heldPages.forEach(held => held.postMessage('go', '*')), 1)")
    viewer.until_true_values()
    assert viewer.browser.evaluate("window.scriptsRun || 0") == 0
    assert viewer.browser.errors == []


def test_a_pack_whose_page_sends_nothing_is_read_as_a_script(
    firefox_of_pages: Browser, tmp_path: Path
) -> None:
    page = slice_disc(tmp_path)
    page.with_name("PACK.JS").write_text("")
    viewer = Viewer(firefox_of_pages, page)
    viewer.until_true_values()
    assert viewer.browser.evaluate("window.scriptsRun") == 1


#: Reads packs as pages and as scripts, and notes the bytes of their blocks in hexadecimal digits.
_PAGE_OF_PACKS = """<!DOCTYPE html><meta charset="utf-8"><title>Packs</title>
<script>%(packs)s</script>
<script>
  const readAsPage = {}, readAsScript = {};
  const digits = block =>
    Array.from(bytesOf(block), byte => byte.toString(16).padStart(2, '0')).join('');
  addEventListener('message', ({ data }) => {
    if (data.pack) readAsPage[data.pack] = data.blocks.map(digits);
  });
  function BURNISH_PACK(numbers, blocks) { readAsScript[numbers] = blocks.map(digits); }
</script>
<iframe src="S/1.HTM"></iframe><iframe src="S/2.HTM"></iframe>
<script src="S/1.HTM" charset="utf-16le"></script>
<script src="S/2.HTM" charset="utf-16le"></script>"""


def test_a_pack_is_the_same_as_a_page_and_as_a_script(browser: Browser, tmp_path: Path) -> None:
    texts = [
        "-->",
        "\n-->\n",
        "--!>",
        "<!--",
        "\n<!--\n",
        "*/",
        "*/},\n--><!--\n",
        "</script>",
        ">",
    ]
    blocks = [text.encode("utf-16-le") for text in texts]
    blocks += [text.encode("ascii") for text in texts]
    blocks += [b"", b"-", np.arange(1 << 16, dtype="<u2").tobytes()]
    lines = b"".join(pixel_packs.pack_line(block) for block in blocks)
    folder = tmp_path / "S"
    folder.mkdir()
    # the second one is strict code
    for number, directive in ((1, ""), (2, "'use strict';\n")):
        start = pixel_packs.pack_prefix(1, number).decode("utf-16")
        page, call = start.splitlines(keepends=True)
        start = codecs.BOM_UTF16_LE + (page + directive + call).encode("utf-16-le")
        (folder / f"{number}.HTM").write_bytes(start + lines + pixel_packs.pack_suffix())
    viewer = resources.files("burnish.content.viewer")
    (tmp_path / "PACK.JS").write_text(viewer.joinpath("pack.js").read_text())
    page = tmp_path / "PACKS.HTM"
    page.write_text(_PAGE_OF_PACKS % {"packs": viewer.joinpath("packs.js").read_text()})
    browser.open(page)
    browser.until("Object.keys(readAsPage).length === 2")
    expected = [block.hex() for block in blocks]
    for number in ("0000001 0000001", "0000001 0000002"):
        assert browser.evaluate(f"readAsPage['{number}']") == expected
        assert browser.evaluate(f"readAsScript['{number}']") == expected


def test_an_image_that_could_not_be_decoded_says_so(view: View) -> None:
    damaged = material.image(material.CT, "CT", "Damaged", material.noise(32, 32), BitsStored=12)
    damaged.PixelData = b"\0" * 10
    viewer = view(damaged)
    viewer.browser.until(
        f"{FIRST}.querySelector('.message').textContent.includes('damaged and cannot be shown')"
    )


def test_a_disc_without_its_data_says_so(view: View) -> None:
    viewer = view(*material.thick_slices(), at_ease=False)
    (viewer.folder / "VIEWER" / "DATA.JS").unlink()
    viewer.browser.open(viewer.folder / "VIEWER" / "VIEWER.HTM")
    viewer.browser.until("document.body.textContent.includes('DATA.JS')")


# --- people


def test_all_can_be_done_with_keys_alone(view: View) -> None:
    viewer = view(*material.ct_volume(), *material.thick_slices())
    reached = "document.activeElement.classList.contains('tile')"
    for _ in range(60):
        viewer.browser.press(browsers.TAB)
        if viewer.browser.evaluate(reached):
            break
    assert viewer.browser.evaluate(reached)
    viewer.browser.press(browsers.TAB)
    viewer.browser.press(browsers.ENTER)
    if not viewer.browser.evaluate("document.hasFocus()"):
        # Firefox without a window is never in front, and does not let Enter press a button
        viewer.browser.evaluate("(document.activeElement.click(), 1)")
    viewer.until_shown("bottom-left", "Thick slices")
    assert "Thick slices" in viewer.browser.evaluate(
        "document.querySelector('.announcement').textContent"
    )
    viewer.browser.press("?")
    viewer.browser.until("document.querySelector('dialog[open]')")
    viewer.browser.press(browsers.ESCAPE)
    viewer.browser.until("!document.querySelector('dialog')")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("state", ["images", "help", "layers", "four"])
def test_axe_finds_no_serious_fault(view: View, theme: str, state: str) -> None:
    volume = material.ct_volume()
    viewer = view(*volume, *material.thick_slices(), material.structure_set(20.0))
    viewer.until_true_values()
    if theme == "light":
        viewer.browser.click("[data-action=theme]")
    if state == "four":
        viewer.browser.click("[data-action=arrange_four]")
    elif state != "images":
        viewer.browser.click(f"[data-action={state}]")
        viewer.browser.until("document.querySelector('dialog[open]')")
    assert serious_faults(viewer.browser) == []


@pytest.mark.parametrize("width", [360, 760, 1280, 3840])
def test_the_page_fits_every_width(view: View, width: int) -> None:
    viewer = view(*material.ct_volume())
    viewer.browser.resize(width, max(640, width * 9 // 16))
    viewer.until_true_values()
    assert viewer.browser.evaluate(
        "[document.documentElement.scrollWidth <= innerWidth,"
        " document.documentElement.scrollHeight <= innerHeight]"
    ) == [True, True]
    _, _, screen_width, screen_height = viewer.box()
    assert screen_width >= min(340, width)
    assert screen_height >= 400


def test_a_phone_shows_the_list_over_the_images(view: View) -> None:
    viewer = view(*material.ct_volume(), *material.thick_slices())
    viewer.browser.resize(360, 740)
    hidden = "getComputedStyle(document.querySelector('.list')).visibility"
    viewer.browser.until(f"{hidden} === 'hidden'")
    viewer.browser.click("[data-action=toggle_list]")
    viewer.browser.until(f"{hidden} === 'visible'")
    viewer.open("Thick slices")
    viewer.until_shown("bottom-left", "/ 8")
    viewer.browser.until(f"{hidden} === 'hidden'")


def test_nothing_but_the_disc_is_permitted(view: View) -> None:
    viewer = view(*material.thick_slices())
    policy = viewer.browser.evaluate(
        "document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
    )
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


# Firefox without a window has no screen to fill
@pytest.mark.parametrize("browser", [browsers.CHROMIUM], indirect=True)
def test_the_full_screen_is_used_and_left(view: View) -> None:
    viewer = view(*material.ct_volume())
    viewer.until_true_values()
    viewer.browser.click("[data-action=full_screen]")
    viewer.browser.until("document.fullscreenElement === document.documentElement")
    assert viewer.browser.evaluate(f"{FIRST}.getBoundingClientRect().width > 0")
    viewer.browser.click("[data-action=full_screen]")
    viewer.browser.until("!document.fullscreenElement")


def test_a_printed_page_has_the_images_and_says_whose_they_are(view: View, tmp_path: Path) -> None:
    """The paper is read as text, and its pixels are looked at."""
    viewer = view(*material.ct_volume())
    viewer.until_true_values()
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(viewer.browser.printed())
    pages = subprocess.run(
        ["pdfinfo", paper], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert re.search(r"Pages:\s+1\n", pages)
    text = subprocess.run(
        ["pdftotext", paper, "-"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    name = viewer.text("top-left").splitlines()[0]
    assert name
    assert name in text
    subprocess.run(["pdftoppm", "-r", "50", "-gray", paper, tmp_path / "page"], check=True)
    (page,) = tmp_path.glob("page*.pgm")
    with Image.open(page) as picture:
        cells = np.asarray(picture)
    # the image with its dark surroundings covers a good part of white paper
    assert (cells < 100).mean() > 0.1
    assert (cells > 250).mean() > 0.1


def test_two_views_are_side_by_side_on_paper(view: View, tmp_path: Path) -> None:
    viewer = view(*material.ct_volume(), *material.thick_slices())
    viewer.until_true_values()
    viewer.browser.click("[data-action=arrange_two]")
    viewer.until_shown("bottom-left", "Thick slices", number=1)
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(viewer.browser.printed())
    words = subprocess.run(
        ["pdftotext", "-bbox", paper, "-"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    tops = [float(top) for top in re.findall(r'yMin="([\d.]+)"[^>]*>(?:Volume|Thick)<', words)]
    assert len(tops) >= 2
    assert max(tops) - min(tops) < 20


@pytest.mark.parametrize("pixels", [PackedPixels.LOSSLESS, PackedPixels.NONE])
def test_an_image_keeps_its_proportions_on_paper(
    view: View, tmp_path: Path, pixels: PackedPixels
) -> None:
    grey = np.full((90, 90), 500, np.uint16)
    grey[:, :10], grey[:, -10:] = 0, 1000
    series = {"WindowCenter": "500", "WindowWidth": "1000", "InstanceNumber": 1}
    viewer = view(material.image(material.MR, "MR", "Grey", grey, **series), pixels=pixels)
    viewer.browser.until(
        f"{FIRST}.dataset.pixels === 'true' || {FIRST}.querySelector('.picture').naturalWidth"
    )
    viewer.browser.press("t")
    viewer.browser.until(f"!{FIRST}.querySelector('.top-left').textContent")
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(viewer.browser.printed())
    subprocess.run(["pdftoppm", "-r", "50", "-gray", paper, tmp_path / "page"], check=True)
    (page,) = tmp_path.glob("page*.pgm")
    with Image.open(page) as picture:
        cells = np.asarray(picture).astype(int)
    image = abs(cells - 128) < 12
    width, height = (int((image.sum(axis) > 20).sum()) for axis in (0, 1))
    assert width > 100
    assert abs(width / height - 70 / 90) < 0.05
    # the margins are white, also where the page is dark
    assert (cells[:, :3] > 250).all()
