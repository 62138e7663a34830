"""The viewer of a disc in Chromium and Firefox: first picture, true values, scrolling, memory.

python benchmarks/viewer.py --slices 500

A disc of one CT series is built, extracted, and opened from its folder. Wheel events are sent as a
person sends them. Figures of each browser:

first picture, true values   milliseconds from the start of the navigation until they are painted
scroll                       milliseconds from an event until the image it asks for is painted
window                       the same for dragging a window
processor                    CPU milliseconds of all processes of the browser for each image
memory                       PSS of all processes: empty, after all slices, with planes
peak                         the largest PSS while all slices are scrolled through, or planes load

Memory of earlier openings counts too, since browsers free it late: `--openings 1` measures one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import oracles
from browsers import CHROMIUM, FIREFOX, Browser
from content_sources import CT, PATIENT, STUDY
from images import written

_SIZE = 512

#: Runs before the scripts of the page: notes when the first image and its values were painted.
_WATCH_OPENING = """() => {
  window.opened = {};
  const look = () => {
    const view = document.querySelector('.viewport');
    const picture = view && view.querySelector('.picture');
    const now = performance.now();
    const values = view && view.dataset.pixels === 'true';
    const shown = values || picture && !picture.hidden && picture.naturalWidth;
    if (!opened.picture && shown) opened.picture = now;
    if (values) opened.values = now;
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
#: Notes for each event how long it took until the frame after it was painted. The message arrives
#: after the paint, since frames of animation run before it.
_WATCH_EVENTS = """(() => {
  window.steps = [];
  const channel = new MessageChannel(), waiting = [];
  channel.port1.onmessage = () => {
    const shown = document.querySelector('.viewport').dataset.pixels === 'true';
    for (const start of waiting.splice(0)) steps.push([performance.now() - start, shown]);
  };
  const note = event => {
    if (event.type === 'pointermove' && !event.buttons) return;
    const start = event.timeStamp;
    requestAnimationFrame(() => { waiting.push(start); channel.port2.postMessage(0); });
  };
  document.addEventListener('wheel', note, { capture: true, passive: true });
  document.addEventListener('pointermove', note, { capture: true });
})()"""


def make_slices(folder: Path, count: int) -> None:
    """A CT of a body with organs and the noise of a scanner, one file for each slice."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    row, column = np.mgrid[0:_SIZE, 0:_SIZE]
    for number in range(1, count + 1):
        middle = _SIZE / 2 + 20 * np.sin(number / 40)
        body = ((row - 256) / 170) ** 2 + ((column - middle) / 215) ** 2 < 1
        lung = ((row - 240) / 100) ** 2 + ((abs(column - middle) - 95) / 70) ** 2 < 1
        spine = ((row - 370) / 32) ** 2 + ((column - middle) / 36) ** 2 < 1
        hounsfield = np.where(body, 40.0, -1000.0)
        hounsfield[lung] = -850
        hounsfield[spine] = 500
        hounsfield += random.normal(0, np.where(body, 14, 4))
        cells = np.clip(np.round(hounsfield) + 1024, 0, 4095).astype("<i2")[None, :, :, None]
        written(
            folder / f"slice{number}",
            cells,
            12,
            **PATIENT | STUDY,
            SOPClassUID=CT,
            SOPInstanceUID=f"1.2.3.1.{number}",
            SeriesInstanceUID="1.2.3.1",
            Modality="CT",
            SeriesNumber=2,
            InstanceNumber=number,
            SeriesDescription="Thorax 1 mm",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            RescaleSlope=1,
            RescaleIntercept=-1024,
            RescaleType="HU",
            WindowCenter=40,
            WindowWidth=400,
            PixelSpacing=[0.7, 0.7],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-180, -180, number],
            SliceThickness=1,
            FrameOfReferenceUID="1.2.9",
            SpecificCharacterSet="ISO_IR 192",
        )


def build_disc(folder: Path, slices: int) -> Path:
    """The page of the viewer on an extracted disc with this many slices."""
    make_slices(folder / "slices", slices)
    command = [Path(sys.executable).with_name("burnish"), "disc", "build", folder / "slices"]
    command += ["--output", folder / "images", "--profile", "STD-GEN-DVD-JPEG"]
    command += ["--medium", "DVD", "--content", "FOR_PHYSICIAN"]
    start = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    print(f"disc of {slices} slices built in {time.perf_counter() - start:.1f} s", flush=True)
    (image,) = (folder / "images").rglob("*.iso")
    return oracles.extract(image, folder / "disc") / "VIEWER" / "VIEWER.HTM"


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _summary(steps: list[list[Any]]) -> dict[str, float]:
    times = [step[0] for step in steps]
    return {
        "events": len(times),
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(_percentile(times, 0.95), 1),
        "true_values": round(sum(bool(step[1]) for step in steps) / len(steps), 2),
    }


@contextmanager
def _peak(browser: Browser, result: dict[str, Any], key: str) -> Iterator[None]:
    """Notes the largest memory within a block."""
    done = threading.Event()
    values = []

    def sample() -> None:
        while not done.wait(0.2):
            values.append(browser.memory() // 1_000_000)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    result[key] = max(values, default=0)


def measure(name: str, page: Path, slices: int, openings: int) -> dict[str, Any]:
    with Browser(name, notes_requests=False) as browser:
        browser.resize(1280, 800)
        browser.open("about:blank")
        result: dict[str, Any] = {"browser": name, "empty_mb": browser.memory() // 1_000_000}
        browser.preload(_WATCH_OPENING)
        times = []
        for _ in range(openings):
            browser.open("about:blank")
            browser.open(page)
            browser.until("window.opened && window.opened.values")
            times.append(browser.evaluate("window.opened"))
        for key in ("picture", "values"):
            result[f"first_{key}_ms"] = round(statistics.median(opening[key] for opening in times))
        browser.evaluate(_WATCH_EVENTS)
        x, y = browser.place(".viewport .screen")
        browser.press(_HOME)

        # a person scrolls through all of it, notch by notch
        processor, images = browser.processor_seconds(), 0
        with _peak(browser, result, "peak_mb"):
            while browser.evaluate("+document.querySelector('.position').value") < slices - 1:
                browser.wheel(x, y, *[1] * 20)
                images += 20
        result["processor_ms_per_image"] = round(
            1000 * (browser.processor_seconds() - processor) / images, 1
        )
        result["scroll"] = _summary(browser.evaluate("window.steps.splice(0)"))
        result["memory_mb"] = _settled_memory(browser)
        # then back and forth among slices that are near
        for direction in (-1, 1) * 5:
            browser.wheel(x, y, *[direction] * 12)
        result["scroll_again"] = _summary(browser.evaluate("window.steps.splice(0)"))
        points = [(x + 4 * step, y + 2 * step) for step in range(40)]
        browser.drag(points)
        result["window"] = _summary(browser.evaluate("window.steps.splice(0)"))

        with _peak(browser, result, "peak_planes_mb"):
            browser.press("m")
            browser.until("document.querySelectorAll('.viewport')[2].dataset.pixels === 'true'")
            browser.until(
                "[...document.querySelectorAll('.viewport .message')]"
                ".every(node => !node.textContent)"
            )
        x, y = browser.place(".viewport .screen", number=2)
        browser.click(".viewport .screen", number=2)
        browser.evaluate("window.steps.splice(0)")
        for direction in (-1, 1, -1):
            browser.wheel(x, y, *[direction] * 20)
        result["scroll_planes"] = _summary(browser.evaluate("window.steps.splice(0)"))
        result["memory_planes_mb"] = _settled_memory(browser)
        assert not browser.errors, browser.errors
    return result


_HOME = "\ue011"


def _settled_memory(browser: Browser) -> int:
    """The smallest of some measurements within two seconds: what is freed soon does not count."""
    values = []
    for _ in range(5):
        values.append(browser.memory() // 1_000_000)
        time.sleep(0.4)
    return min(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--openings", type=int, default=5)
    parser.add_argument("--page", type=Path, help="VIEWER.HTM of a disc that was extracted before")
    parser.add_argument("--browsers", nargs="+", default=[CHROMIUM, FIREFOX])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="viewer-") as folder:
        page = options.page or build_disc(Path(folder), options.slices)
        for name in options.browsers:
            print(
                json.dumps(measure(name, page, options.slices, options.openings), indent=1),
                flush=True,
            )


if __name__ == "__main__":
    main()
