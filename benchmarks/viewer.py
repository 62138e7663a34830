"""The viewer of a disc in Chromium and Firefox: first picture, true values, scrolling, memory.

python benchmarks/viewer.py ct-500 radiographs-20

A disc of this material (see `discs`) is built, extracted, and opened from its folder. Wheel events
are sent as a person sends them. Figures of each browser:

first picture, true values   milliseconds from the start of the navigation until they are painted
scroll                       milliseconds from an event until the image it asks for is painted
window                       the same for dragging a window
processor                    CPU milliseconds of all processes of the browser for each image
memory                       PSS of all processes: empty, after all images, with planes
peak                         the largest PSS while all images are scrolled through, or planes load
page                         reports: milliseconds until a page is there, with what it shows

Memory of earlier openings counts too, since browsers free it late: `--openings 1` measures one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import discs
from unwatched_chromium import UnwatchedChromium

import oracles
from browsers import CHROMIUM, FIREFOX, HOME, Browser

#: Runs before the scripts of the page: notes its faults.
_WATCH_FAULTS = """() => {
  window.faults = [];
  for (const name of ['error', 'unhandledrejection'])
    window.addEventListener(name, event => faults.push(String(event.message || event.reason)));
}"""
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


def _started(name: str) -> Browser:
    """A browser that needs as much memory as that of a person."""
    return UnwatchedChromium() if name == CHROMIUM else Browser(name, notes_requests=False)


def _empty(browser: Browser) -> dict[str, Any]:
    browser.resize(1280, 800)
    browser.open("about:blank")
    empty = {"browser": browser.name, "empty_mb": browser.memory() // 1_000_000}
    browser.preload(_WATCH_FAULTS)
    return empty


def measure(
    name: str, page: Path, images: int, openings: int, *, has_planes: bool
) -> dict[str, Any]:
    """The figures of one browser for a series of so many images."""
    with _started(name) as browser:
        result = _empty(browser)
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
        browser.press(HOME)

        # a person scrolls through all of it, notch by notch
        processor, shown = browser.processor_seconds(), 0
        with _peak(browser, result, "peak_mb"):
            while browser.evaluate("+document.querySelector('.position').value") < images - 1:
                browser.wheel(x, y, *[1] * 20)
                shown += 20
        result["processor_ms_per_image"] = round(
            1000 * (browser.processor_seconds() - processor) / shown, 1
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

        if has_planes:
            _measure_planes(browser, result)
        faults = browser.errors + browser.evaluate("window.faults")
        assert not faults, faults
    return result


def _measure_planes(browser: Browser, result: dict[str, Any]) -> None:
    with _peak(browser, result, "peak_planes_mb"):
        browser.press("m")
        browser.until("document.querySelectorAll('.viewport')[2].dataset.pixels === 'true'")
        browser.until(
            "[...document.querySelectorAll('.viewport .message')].every(node => !node.textContent)"
        )
    x, y = browser.place(".viewport .screen", number=2)
    browser.click(".viewport .screen", number=2)
    browser.evaluate("window.steps.splice(0)")
    for direction in (-1, 1, -1):
        browser.wheel(x, y, *[direction] * 20)
    result["scroll_planes"] = _summary(browser.evaluate("window.steps.splice(0)"))
    result["memory_planes_mb"] = _settled_memory(browser)


def measure_reports(name: str, disc: Path) -> dict[str, Any]:
    """The figures of one browser for the front page of a disc, and for each report on it."""
    with _started(name) as browser:
        result = _empty(browser)
        times = []
        reports = sorted((disc / "IHE_PDI").rglob("D*.HTM"))
        for page in (disc / "INDEX.HTM", *reports):
            browser.open("about:blank")
            browser.open(page)
            times.append(browser.evaluate(_UNTIL_LOADED))
        result["reports"] = len(reports)
        result["front_page_ms"] = round(times[0])
        result["page_ms"] = round(statistics.median(times[1:]))
        result["page_p95_ms"] = round(_percentile(times[1:], 0.95))
        result["memory_mb"] = _settled_memory(browser)
        faults = browser.errors + browser.evaluate("window.faults")
        assert not faults, faults
    return result


_UNTIL_LOADED = "performance.getEntriesByType('navigation')[0].loadEventStart"


def _settled_memory(browser: Browser) -> int:
    """The smallest of some measurements within two seconds: what is freed soon does not count."""
    values = []
    for _ in range(5):
        values.append(browser.memory() // 1_000_000)
        time.sleep(0.4)
    return min(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("discs", nargs="*", default=["ct-500"], help=discs.HELP)
    parser.add_argument("--openings", type=int, default=5)
    parser.add_argument("--browsers", nargs="+", default=[CHROMIUM, FIREFOX])
    options = parser.parse_args()
    for disc_name in options.discs:
        kind, count = discs.parse(disc_name)
        with tempfile.TemporaryDirectory(prefix="viewer-") as folder:
            kind.make(Path(folder) / "sources", count)
            build = discs.build(Path(folder), "--content", "FOR_PHYSICIAN")
            print(f"{disc_name}: built in {build.seconds:.1f} s", flush=True)
            disc = oracles.extract(build.image, Path(folder) / "disc")
            for name in options.browsers:
                if kind.has_images:
                    page = disc / "VIEWER" / "VIEWER.HTM"
                    result = measure(
                        name, page, count, options.openings, has_planes=kind.has_planes
                    )
                else:
                    result = measure_reports(name, disc)
                print(json.dumps(result, indent=1), flush=True)


if __name__ == "__main__":
    main()
