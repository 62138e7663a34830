"""SIGKILL of the web process at any moment: nothing waits for it, and nothing is lost."""

import http.client
import json
import os
import signal
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psutil

from burnish import file_meta
from factories import SampleInstance, instance
from flow.conftest import StartBurnish
from flow.service import Service
from flow.test_monitoring import Sender
from ports import free_port
from waiting import wait_until

_KILLS = 4


class Program:
    """A program that uses REST as its documentation says: what fails is sent again."""

    def __init__(self, port: int, token: str) -> None:
        self.address = f"http://127.0.0.1:{port}/api/v1"
        self.token = token
        self.stopping = threading.Event()
        self.working = threading.Event()
        self.working.set()
        self.repeated = 0
        self.uploaded: list[str] = []
        self.created: dict[str, str] = {}
        self.events: list[int] = []
        self._threads = [threading.Thread(target=task) for task in (self._work, self._follow)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop_working(self) -> None:
        """Ends uploads and requests; the stream of events is followed on."""
        self.working.clear()
        self._threads[0].join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        request = urllib.request.Request(  # noqa: S310
            f"{self.address}{path}",
            body,
            {"Authorization": f"Bearer {self.token}", **headers},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def repeat(self, call: Callable[[], Any]) -> Any:
        """The answer, however often the connection breaks or is refused before it comes."""
        while True:
            try:
                return call()
            except urllib.error.HTTPError:
                raise
            except (OSError, http.client.HTTPException, ValueError):
                self.repeated += 1
                self.stopping.wait(0.02)

    def upload(self, sample: SampleInstance) -> None:
        head = file_meta.encode(
            sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid
        )
        file = head + sample.data_set
        answer = self.repeat(lambda: self.call("PUT", "/instances", file))
        self.uploaded.append(answer["sop_instance_uid"])

    def create(self, key: str, sop_instance_uid: str) -> None:
        body = json.dumps({"instances": [sop_instance_uid]}).encode()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        answer = self.repeat(lambda: self.call("POST", "/requests", body, **headers))
        self.created[key] = answer["short_id"]

    def _work(self) -> None:
        """Uploads all the time, and creates a request after each tenth file."""
        while self.working.is_set():
            self.upload(instance())
            if len(self.uploaded) % 10 == 0:
                self.create(f"order-{len(self.uploaded)}", self.uploaded[-1])

    def _follow(self) -> None:
        """Follows the stream of events from its beginning, and goes on where it was cut off."""
        while not self.stopping.is_set():
            last = str(self.events[-1] if self.events else 0)
            request = urllib.request.Request(  # noqa: S310
                f"{self.address}/events",
                headers={"Authorization": f"Bearer {self.token}", "Last-Event-ID": last},
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as stream:  # noqa: S310
                    for line in stream:
                        if line.startswith(b"data: "):
                            self.events.append(json.loads(line.removeprefix(b"data: "))["id"])
                        if self.stopping.is_set():
                            return
            except (OSError, http.client.HTTPException):
                self.stopping.wait(0.02)


def web_process(service: Service, port: int) -> psutil.Process | None:
    """The process that listens at `port`."""
    for process in psutil.Process(service.pid).children():
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        if any(connection.laddr.port == port for connection in connections):
            return process
    return None


def rows(service: Service, query: str) -> list[Any]:
    with closing(sqlite3.connect(service.root / "burnish.db")) as connection:
        return [row[0] for row in connection.execute(query)]


def test_the_web_process_is_killed_again_and_again_and_nothing_is_lost(
    start_burnish: StartBurnish,
) -> None:
    port = free_port()
    service = start_burnish(
        web={"enabled": True, "port": port},
        peer=[{"ae_title": "CT1", "addresses": ["127.0.0.1"]}],
    )
    token = service.run("token", "create", "ris", "--role", "operator").stdout.split()[-1]
    first = wait_until(lambda: web_process(service, port), what="the web process")
    others = set(psutil.Process(service.pid).children()) - {first}
    program, sender = Program(port, token), Sender(service.port)
    program.start()
    for number in range(_KILLS):
        victim = wait_until(lambda: web_process(service, port), what="the web process")
        uploaded, stored = len(program.uploaded), sender.acknowledged
        wait_until(
            lambda uploaded=uploaded, number=number: (  # type: ignore[misc]
                len(program.uploaded) > uploaded + 12 and len(program.created) > number
            ),
            what="uploads and a request by the web process",
        )
        os.kill(victim.pid, signal.SIGKILL)
        stored = sender.acknowledged
        # receiving goes on while there is no web process, and does not notice its end
        wait_until(lambda stored=stored: sender.acknowledged > stored + 5, what="instances")  # type: ignore[misc]
    program.repeat(lambda: program.call("GET", "/health"))
    sender.stop()

    def are_done() -> bool:
        states = rows(service, "SELECT execution_status FROM media_creation_request")
        return bool(states) and set(states) == {"DONE"}

    program.stop_working()
    wait_until(are_done, deadline=600, what="all requests to be DONE")
    recorded = rows(service, "SELECT id FROM event ORDER BY id")
    wait_until(lambda: len(program.events) >= len(recorded), what="the rest of the events")
    assert program.events == recorded, "each event once and in order"

    assert program.repeated, "no call was cut off: the kills came too late"
    count = sender.acknowledged + len(set(program.uploaded))

    def have_rows() -> bool:
        return bool(rows(service, "SELECT count(*) FROM instance") >= [count])

    wait_until(have_rows, what="the row of each instance that was acknowledged")
    present = rows(service, "SELECT sop_instance_uid FROM instance")
    assert set(program.uploaded) <= set(present)
    assert len(present) == count, "each instance once"
    assert sender.associations == 1, "an association was cut off by the end of the web process"
    assert sender.sent == sender.acknowledged
    numbers = rows(service, "SELECT id FROM media_creation_request ORDER BY id")
    assert sorted(program.created.values()) == [f"R{number:06d}" for number in numbers]
    pieces = rows(service, "SELECT count(*) FROM registered_piece WHERE state = 'CREATED'")
    assert pieces == [len(numbers)]
    assert others <= set(psutil.Process(service.pid).children()), "only the web process has ended"

    program.stopping.set()
    program.create("the-last", program.uploaded[-1])  # its event ends the stream
    program.join()
