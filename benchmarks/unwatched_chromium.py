"""Chromium as a person has it: driven by real events, but watched by nothing.

chromedriver has Chromium note what the network brings. Then it keeps up to 100 MB of text that it
would free, and a page of the driver itself grows to 60 MB. Here, no domain of the DevTools protocol
is switched on but the one that runs a script before those of the page.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection

from browsers import _CHROMIUM_ARGUMENTS, _PATIENCE, CHROMIUM, HOME, Browser, PageGone

_KEYS = {HOME: ("Home", 36), "m": ("m", 77)}


class UnwatchedChromium(Browser):
    """A browser with one page, for measurements. It does not note errors and requests."""

    def __init__(self) -> None:
        super().__init__(CHROMIUM, notes_requests=False)

    def _subscribe(self, *, notes_requests: bool) -> None:
        """Nothing is to be watched."""

    def _start(self) -> tuple[subprocess.Popen[bytes], ClientConnection]:
        log = self._exits.enter_context((self._folder / "log").open("wb"))
        command = ["chromium", *_CHROMIUM_ARGUMENTS, "--remote-debugging-port=0"]
        command += [f"--user-data-dir={self._folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        return process, self._connect(self._page_address(process), process)

    def _page_address(self, process: subprocess.Popen[bytes]) -> str:
        """The address at which the page is driven."""
        port_file = self._folder / "DevToolsActivePort"
        deadline = time.monotonic() + _PATIENCE
        while True:
            if port_file.is_file() and "\n" in (content := port_file.read_text()):
                address = f"http://127.0.0.1:{content.splitlines()[0]}/json"
                with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
                    pages = [page for page in json.load(answer) if page["type"] == "page"]
                if pages:
                    return str(pages[0]["webSocketDebuggerUrl"])
            assert process.poll() is None, self._log()
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.05)

    def _command(self, command_name: str, /, **parameters: object) -> Any:
        if command_name == "browser.close":
            command_name = "Browser.close"
        self._number += 1
        command = {"id": self._number, "method": command_name, "params": parameters}
        self._connection.send(json.dumps(command))
        while True:
            answer = json.loads(self._connection.recv(timeout=_PATIENCE))
            if answer.get("id") != self._number:
                continue
            if "error" in answer:
                raise PageGone(f"{command_name}: {answer['error']['message']}")
            return answer["result"]

    def resize(self, width: int, height: int, ratio: float = 1) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", **size)

    def open(self, place: Path | str, *, wait: str = "complete") -> None:
        address = place if isinstance(place, str) else place.as_uri()
        self._command("Page.navigate", url=address)
        self.until(f"document.readyState === {json.dumps(wait)}")

    def preload(self, function: str) -> None:
        self._command("Page.enable")
        self._command("Page.addScriptToEvaluateOnNewDocument", source=f"({function})()")

    def evaluate(self, expression: str) -> Any:
        result = self._command(
            "Runtime.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            awaitPromise=True,
        )
        assert "exceptionDetails" not in result, result
        value = result["result"].get("value")
        return None if value is None else json.loads(value)

    def _mouse(self, kind: str, x: float, y: float, **parameters: object) -> None:
        place = {"type": kind, "x": round(x), "y": round(y)}
        self._command("Input.dispatchMouseEvent", **place, **parameters)

    def drag(
        self,
        points: Sequence[tuple[float, float]],
        *,
        button: int = 0,
        pointer: str = "mouse",
    ) -> None:
        assert (button, pointer) == (0, "mouse"), "only the left button of a mouse"
        left = {"button": "left", "buttons": 1, "clickCount": 1}
        self._mouse("mouseMoved", *points[0])
        self._mouse("mousePressed", *points[0], **left)
        for point in points[1:]:
            self._mouse("mouseMoved", *point, button="left", buttons=1)
            time.sleep(0.03)
        self._mouse("mouseReleased", *points[-1], **left)

    def wheel(self, x: float, y: float, *notches: int) -> None:
        for notch in notches:
            self._mouse("mouseWheel", x, y, deltaX=0, deltaY=100 * notch)

    def press(self, *keys: str, held: str = "") -> None:
        assert not held, "only keys alone"
        for key in keys:
            name, code = _KEYS[key]
            pressed = {"key": name, "windowsVirtualKeyCode": code}
            text = {"text": name} if len(name) == 1 else {}
            self._command("Input.dispatchKeyEvent", type="keyDown", **pressed, **text)
            self._command("Input.dispatchKeyEvent", type="keyUp", **pressed)
