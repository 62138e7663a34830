"""Chromium and Firefox without a window, driven by real events (WebDriver BiDi).

Firefox speaks BiDi itself; for Chromium, its chromedriver does. Firefox loosens its rules for files
when it is driven; `remote.prefs.recommended` off keeps them as people have them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import psutil
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

import ports

CHROMIUM, FIREFOX = "chromium", "firefox"
#: Time after which a browser that does not answer is given up.
_PATIENCE = 60

_FIREFOX_PREFERENCES = """\
user_pref("remote.prefs.recommended", false);
user_pref("remote.active-protocols", 1);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.newtabpage.enabled", false);
user_pref("intl.accept_languages", "en");
"""
_CHROMIUM_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--lang=en",
    "--hide-scrollbars",
]


class PageGone(Exception):
    """A page has been left while it was asked for something."""


class Browser:
    """A browser with one page: `errors` are its complaints, `requests` what it asked for.

    A browser that notes requests keeps what they bring: without them, it needs as much memory as
    one that a person uses.
    """

    def __init__(self, name: str, *, notes_requests: bool = True) -> None:
        self.name = name
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self._number = 0
        self._exits = contextlib.ExitStack()
        self._process, self._connection = self._start()
        self._subscribe(notes_requests=notes_requests)

    def _subscribe(self, *, notes_requests: bool) -> None:
        """Asks for the events that are noted, and for the page that is driven."""
        events = ["log.entryAdded", *(["network.beforeRequestSent"] if notes_requests else [])]
        self._command("session.subscribe", events=events)
        contexts = self._command("browsingContext.getTree")["contexts"]
        self.context = contexts[0]["context"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(WebSocketException, OSError):
            self._command("browser.close")
        with contextlib.suppress(WebSocketException, OSError):
            self._exits.close()
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [*process.children(recursive=True), process]
        except psutil.Error:
            return []

    def memory(self) -> int:
        """Bytes of memory that its processes have for themselves, and their share of the rest."""
        total = 0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                if "driver" not in process.name():
                    total += process.memory_full_info().pss
        return total

    def processor_seconds(self) -> float:
        """CPU time that its processes have used so far."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    # --- start

    def _start(self) -> tuple[subprocess.Popen[bytes], ClientConnection]:
        port = ports.free_port()
        environment = {**os.environ, "HOME": str(self._folder), "MOZ_HEADLESS": "1"}
        log = self._exits.enter_context((self._folder / "log").open("wb"))
        if self.name == FIREFOX:
            (self._folder / "user.js").write_text(_FIREFOX_PREFERENCES)
            command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(self._folder)]
            command += ["--remote-debugging-port", str(port), "about:blank"]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            connection = self._connect(f"ws://127.0.0.1:{port}/session", process)
            self._connection = connection
            self._command("session.new", capabilities={})
            return process, connection
        process = subprocess.Popen(
            ["chromedriver", f"--port={port}"], env=environment, stdout=log, stderr=log
        )
        options = {"binary": shutil.which("chromium"), "args": _CHROMIUM_ARGUMENTS}
        capabilities = {"webSocketUrl": True, "goog:chromeOptions": options}
        body = json.dumps({"capabilities": {"alwaysMatch": capabilities}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/session", body, {"Content-Type": "application/json"}
        )
        address = self._until_answered(request, process)
        connection = self._connect(address, process)
        self._connection = connection
        return process, connection

    def _until_answered(
        self, request: urllib.request.Request, process: subprocess.Popen[bytes]
    ) -> str:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
                    values = json.load(answer)["value"]
                return str(values["capabilities"]["webSocketUrl"])
            except ConnectionError as error:
                reason: Exception = error
            except urllib.error.HTTPError as error:
                raise AssertionError(error.read().decode()) from error
            except urllib.error.URLError as error:
                reason = error
            assert process.poll() is None, self._log()
            assert time.monotonic() < deadline, reason
            time.sleep(0.05)

    def _connect(self, address: str, process: subprocess.Popen[bytes]) -> ClientConnection:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connection = connect(
                    address, max_size=None, open_timeout=_PATIENCE, ping_interval=None
                )
                return self._exits.enter_context(connection)
            except (OSError, WebSocketException) as error:
                reason: Exception = error
            assert process.poll() is None, self._log()
            assert time.monotonic() < deadline, (reason, self._log())
            time.sleep(0.05)

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    # --- commands

    def _command(self, command_name: str, /, **parameters: object) -> Any:
        self._number += 1
        number = self._number
        command = {"id": number, "method": command_name, "params": parameters}
        self._connection.send(json.dumps(command))
        while True:
            answer = json.loads(self._connection.recv(timeout=_PATIENCE))
            if answer.get("type") == "event":
                self._on_event(answer["method"], answer["params"])
            elif answer.get("id") == number:
                message = f"{command_name}: {answer.get('message')}"
                if "Cannot find context" in message:
                    raise PageGone(message)
                assert answer["type"] == "success", message
                return answer["result"]

    def _on_event(self, method: str, event: Any) -> None:
        if method == "log.entryAdded":
            if event["level"] in {"error", "warn"}:
                self.errors.append(f"{event['level']}: {event['text']}")
        elif method == "network.beforeRequestSent":
            self.requests.append(event["request"]["url"])

    def resize(self, width: int, height: int, ratio: float = 1) -> None:
        self._command(
            "browsingContext.setViewport",
            context=self.context,
            viewport={"width": width, "height": height},
            devicePixelRatio=ratio,
        )

    def open(self, place: Path | str, *, wait: str = "complete") -> None:
        """Opens a file of the machine, as a click on it does, or an address."""
        address = place if isinstance(place, str) else place.as_uri()
        self.errors.clear()
        self.requests.clear()
        self._command("browsingContext.navigate", context=self.context, url=address, wait=wait)

    def preload(self, function: str) -> None:
        """A function that runs in every page before the scripts of the page do."""
        self._command("script.addPreloadScript", functionDeclaration=function)

    def scripts(self, *, on: bool) -> None:
        """Whether pages may run scripts of their own; only Chromium can be told."""
        if self.name == CHROMIUM:
            # null permits them again
            enabled = None if on else False
            self._command("emulation.setScriptingEnabled", enabled=enabled, contexts=[self.context])

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, after what it waits for."""
        result = self._command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self.context},
            awaitPromise=True,
        )
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        value = result["result"]
        return json.loads(value["value"]) if value["type"] == "string" else None

    def until(self, expression: str) -> None:
        """Waits until an expression is true in the page, or in one that is loaded meanwhile."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._is_true(expression):
                return
            assert time.monotonic() < deadline, f"never true: {expression}; {self.errors}"
            time.sleep(0.02)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.evaluate(f"Boolean({expression})"))
        except PageGone:
            return False  # another page is being opened

    def screenshot(self, path: Path) -> None:
        result = self._command("browsingContext.captureScreenshot", context=self.context)
        path.write_bytes(base64.b64decode(result["data"]))

    def printed(self) -> bytes:
        """The page as it is printed on A4: a PDF file."""
        size = {"width": 21.0, "height": 29.7}
        result = self._command("browsingContext.print", context=self.context, page=size)
        return base64.b64decode(result["data"])

    # --- events

    def _perform(self, *sources: object) -> None:
        self._command("input.performActions", context=self.context, actions=sources)

    def click(self, selector: str, *, number: int = 0) -> None:
        """A click in the middle of the element with this number of a selector."""
        x, y = self.place(selector, number=number)
        self.drag([(x, y)])

    def save_downloads(self, folder: Path) -> None:
        """Saves what is downloaded in a folder, without a question; for Chromium."""
        session = self._command("goog:cdp.getSession", context=self.context)["session"]
        self._command(
            "goog:cdp.sendCommand",
            method="Browser.setDownloadBehavior",
            params={"behavior": "allow", "downloadPath": str(folder)},
            session=session,
        )

    @contextlib.contextmanager
    def other_page(self, address: str) -> Iterator[None]:
        """Goes over to the page that a link has opened beside this one, and closes it after."""
        first = self.context
        deadline = time.monotonic() + _PATIENCE
        while self.context == first:
            pages = self._command("browsingContext.getTree")["contexts"]
            others = [page["context"] for page in pages if page["url"] == address]
            self.context = next(iter(others), first)
            assert time.monotonic() < deadline, [page["url"] for page in pages]
        try:
            yield
        finally:
            self._command("browsingContext.close", context=self.context)
            self.context = first

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Chooses files for an input of a page, as the dialog of the browser does."""
        node = self._command(
            "script.evaluate",
            expression=f"document.querySelector({json.dumps(selector)})",
            target={"context": self.context},
            awaitPromise=False,
        )["result"]
        self._command(
            "input.setFiles",
            context=self.context,
            element={"sharedId": node["sharedId"]},
            files=[str(path) for path in paths],
        )

    def drop(self, selector: str, *paths: Path) -> None:
        """Drags files and folders from outside into an element of the page; for Chromium."""
        session = self._command("goog:cdp.getSession", context=self.context)["session"]
        x, y = self.place(selector)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": round(x), "y": round(y), "data": data}
            self._command(
                "goog:cdp.sendCommand",
                method="Input.dispatchDragEvent",
                params=event,
                session=session,
            )

    def place(self, selector: str, *, number: int = 0) -> tuple[float, float]:
        box = self.evaluate(
            f"(() => {{ const node = document.querySelectorAll({json.dumps(selector)})[{number}];"
            " node.scrollIntoView({block: 'nearest', inline: 'nearest'});"
            " const box = node.getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        return box[0], box[1]

    def drag(
        self,
        points: Sequence[tuple[float, float]],
        *,
        button: int = 0,
        pointer: str = "mouse",
    ) -> None:
        """Presses at the first point, moves over the others, and releases."""
        actions = [
            {"type": "pointerMove", "x": round(points[0][0]), "y": round(points[0][1])},
            {"type": "pointerDown", "button": button},
            *(
                {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 30}
                for x, y in points[1:]
            ),
            {"type": "pointerUp", "button": button},
        ]
        kind = {"pointerType": pointer}
        self._perform({"type": "pointer", "id": pointer, "parameters": kind, "actions": actions})

    def pinch(
        self, first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]
    ) -> None:
        """Two fingers, each from its first point to its last one."""
        fingers = []
        for name, points in (("first", first), ("second", second)):
            actions = [
                {"type": "pointerMove", "x": round(points[0][0]), "y": round(points[0][1])},
                {"type": "pointerDown", "button": 0},
                *(
                    {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 50}
                    for x, y in points[1:]
                ),
                {"type": "pointerUp", "button": 0},
            ]
            parameters = {"pointerType": "touch"}
            fingers.append(
                {"type": "pointer", "id": name, "parameters": parameters, "actions": actions}
            )
        self._perform(*fingers)

    def move(self, x: float, y: float) -> None:
        actions = [{"type": "pointerMove", "x": round(x), "y": round(y)}]
        parameters = {"pointerType": "mouse"}
        self._perform(
            {"type": "pointer", "id": "mouse", "parameters": parameters, "actions": actions}
        )

    def wheel(self, x: float, y: float, *notches: int) -> None:
        """Turns the wheel: 1 is a notch downwards, towards the person."""
        actions = [
            {
                "type": "scroll",
                "x": round(x),
                "y": round(y),
                "deltaX": 0,
                "deltaY": 100 * notch,
            }
            for notch in notches
        ]
        self._perform({"type": "wheel", "id": "wheel", "actions": actions})

    def press(self, *keys: str, held: str = "") -> None:
        """Presses keys one after another, while another one is held."""
        actions = [{"type": "keyDown", "value": held}] if held else []
        for key in keys:
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        if held:
            actions.append({"type": "keyUp", "value": held})
        self._perform({"type": "key", "id": "keys", "actions": actions})


#: Keys of WebDriver that are no letters.
DOWN, UP, LEFT, RIGHT = "\ue015", "\ue013", "\ue012", "\ue014"
HOME, END, PAGE_DOWN, SHIFT, ESCAPE, TAB, ENTER = (
    "\ue011",
    "\ue010",
    "\ue00f",
    "\ue008",
    "\ue00c",
    "\ue004",
    "\ue006",
)


@contextlib.contextmanager
def running(name: str) -> Iterator[Browser]:
    with Browser(name) as browser:
        yield browser
