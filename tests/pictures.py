"""Makes the pictures of the page in README and docs/web anew: `make pictures`."""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from browsers import CHROMIUM, Browser
from busy_site import PASSWORD, USER, BusySite
from people import sign_in

_FOLDER = Path(__file__).resolve().parents[1] / "docs" / "web"
_WIDTH = 1280


def main() -> None:
    """Fills a service, and takes a picture of each page that the documentation shows."""
    with tempfile.TemporaryDirectory() as folder, Browser(CHROMIUM) as browser:
        site = BusySite(Path(folder) / "site")
        try:
            site.start()
            site.fill()
            sign_in(browser, site.address, USER, PASSWORD)
            _take(browser, site, "/", "now", 1000)
            _take(browser, site, f"/requests/{site.done}", "request", 1100)
            _take(browser, site, "/arrivals", "arrivals", 850)
            _take(browser, site, "/devices", "devices", 720)
        finally:
            site.stop()


def _take(browser: Browser, site: BusySite, path: str, name: str, height: int) -> None:
    browser.resize(_WIDTH, height)
    browser.open(site.address + path)
    picture = _FOLDER / f"{name}.png"
    browser.screenshot(picture)
    # few colours are enough, and a third of the bytes
    with Image.open(picture) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(picture, optimize=True)
    sys.stdout.write(f"{picture}\n")


if __name__ == "__main__":
    main()
