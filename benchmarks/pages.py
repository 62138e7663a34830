"""Open pages: what they cost the web process, and what they and counting cost reception.

python benchmarks/pages.py --pages 50 --rounds 20                     # a quarter of an hour
python benchmarks/pages.py --only beside counting --rounds 40         # reception alone

`pages`: CPU and memory of the web process with open pages, at rest and with a change each second,
and how old a change is when the last page has it. `beside`: reception without and with open pages,
in turn, on one service. `counting`: reception by a service that counts nothing, beside the one as
delivered. Ratios are medians of pairs, with the range in which the median lies in 95 of 100 cases.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from sender import send
from servers import Kind, Server, Start, burnish, free_port, running
from workloads import WORKLOADS, cache_directory

#: The live parts of the pages that people leave open.
_PARTS = ("now", "arrivals", "devices", "peers")
_LIVE = "now"
#: Seconds for which shares of a core are measured.
_SPAN = 20.0
_CHANGES = 40
_RUNS = itertools.count(1)
#: Imported by each process of a service that counts nothing.
_COUNT_NOTHING = """\
try:
    from burnish.counters import Counters
    from burnish.db import received_rows
    Counters.add = lambda self, key, amount=0.0: None
    received_rows.tallies.add_many = lambda connection, additions, *, hourly=True: None
except ImportError:
    pass
"""


class Pages:
    """Open pages of one service: a thread reads what they are told."""

    def __init__(self, port: int, token: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._told = threading.Condition()
        #: When each page was last told something, and those of the part `_LIVE`.
        self.told_at = dict.fromkeys(range(count), 0.0)
        self._live = [number for number in range(count) if _part(number) == _LIVE]
        for number in range(count):
            part = _part(number)
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(
                f"GET /live/{part} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                f"Authorization: Bearer {token}\r\n\r\n".encode()
            )
            self._selector.register(connection, selectors.EVENT_READ, (number, part))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.2):
                content = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                number, part = key.data
                if not content:
                    raise RuntimeError(f"the stream of {part} has ended")
                if b"data:" in content:
                    with self._told:
                        self.told_at[number] = time.perf_counter()
                        self._told.notify_all()

    def wait_until_told(self, since: float) -> float:
        """When the last page was told of a change that was made at `since`; 0: of anything."""
        numbers = self._live if since else list(self.told_at)
        with self._told:
            if not self._told.wait_for(
                lambda: min(self.told_at[number] for number in numbers) > since, 60
            ):
                raise RuntimeError("a page was not told of a change within a minute")
            return max(self.told_at[number] for number in numbers)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def _part(number: int) -> str:
    return _PARTS[number % len(_PARTS)]


class Site:
    """A running service with its pages, and a token of its administrator."""

    def __init__(self, server: Server, web_port: int) -> None:
        self.server = server
        self.web_port = web_port
        configuration = server.directory / "burnish.toml"
        command = ["token", "create", "benchmark", "--role", "administrator"]
        done = subprocess.run(
            [sys.executable, "-m", "burnish", *command, "--config", str(configuration)],
            capture_output=True,
            text=True,
            check=True,
        )
        self.token = done.stdout.split()[-1]
        self.web = self._web_process()

    def _web_process(self) -> psutil.Process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for process in self.server.process.children():
                for connection in process.net_connections("tcp"):
                    if connection.laddr and connection.laddr.port == self.web_port:
                        return process
            time.sleep(0.2)
        raise RuntimeError("no process listens at the port of the pages")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web_port}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
            method=method,
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.load(answer)

    @contextlib.contextmanager
    def open_pages(self, count: int) -> Iterator[Pages | None]:
        """So many open pages, once each of them shows the present state."""
        if not count:
            yield None
            return
        pages = Pages(self.web_port, self.token, count)
        try:
            pages.wait_until_told(0.0)
            yield pages
        finally:
            pages.close()

    def web_cpu(self) -> float:
        times = self.web.cpu_times()
        return times.user + times.system

    def web_memory(self) -> int:
        return int(self.web.memory_full_info().pss)


@contextlib.contextmanager
def site(storage: Path) -> Iterator[Site]:
    port = free_port()
    kind = Kind("burnish-web", "Burnish", burnish("full", web={"enabled": True, "port": port}))
    with running(kind, storage) as server:
        yield Site(server, port)


def share_of_core(place: Site, seconds: float) -> float:
    """The share of one core that the web process uses."""
    before, began = place.web_cpu(), time.monotonic()
    time.sleep(seconds)
    return (place.web_cpu() - before) / (time.monotonic() - began)


def measure_pages(storage: Path, count: int) -> None:
    """Prints CPU, memory, and the age of changes."""
    with site(storage) as place:
        send(place.server.port, WORKLOADS["W2"], 200, associations=2, run=next(_RUNS))
        (device,) = place.call("GET", "/devices")["items"]
        with place.open_pages(1):
            time.sleep(2)
        memory = place.web_memory()
        alone = share_of_core(place, _SPAN)
        with place.open_pages(count) as pages:
            assert pages is not None
            at_rest = share_of_core(place, _SPAN)
            before, began, ages = place.web_cpu(), time.monotonic(), []
            for number in range(_CHANGES):
                asked_at = time.perf_counter()
                action = ("pause", "resume")[number % 2]
                place.call("POST", f"/devices/{device['name']}/{action}", {})
                ages.append(pages.wait_until_told(asked_at) - asked_at)
                time.sleep(max(0.0, began + number + 1 - time.monotonic()))
            changing = (place.web_cpu() - before) / (time.monotonic() - began)
            with_pages = place.web_memory()
    print(f"\n{count} open pages: share of one core that the web process uses")
    print(f"  no page open           {alone:6.1%}")
    print(f"  at rest                {at_rest:6.1%}")
    print(f"  with a change a second {changing:6.1%}  (with the calls that make the changes)")
    print(f"memory of the web process (PSS): {memory / 1e6:.0f} MB, then {with_pages / 1e6:.0f} MB")
    late = statistics.quantiles(ages, n=20)[-1]
    print(
        f"age of a change on the last page, from sending its call: median"
        f" {statistics.median(ages) * 1000:.0f} ms, p95 {late * 1000:.0f} ms"
    )


def measure_beside(storage: Path, count: int, instances: int, rounds: int) -> None:
    """Prints what open pages cost reception."""
    rates, receiving, whole, webs, shares = [], [], [], [], []
    with site(storage) as place:
        for number in range(rounds + 1):
            results: dict[int, tuple[float, float, float, float]] = {}
            for pages in (0, count) if number % 2 else (count, 0):
                with place.open_pages(pages):
                    cpu, web = place.server.cpu(), place.web_cpu()
                    sent = send(
                        place.server.port,
                        WORKLOADS["W2"],
                        instances,
                        associations=4,
                        run=next(_RUNS),
                    )
                    web = place.web_cpu() - web
                    cpu = place.server.cpu() - cpu
                    results[pages] = (sent.rate, (cpu - web) / instances, cpu / instances, web)
            if number == 0:
                continue  # the first pair warms up
            without, beside = results[0], results[count]
            rates.append(beside[0] / without[0])
            receiving.append(beside[1] / without[1])
            whole.append(beside[2] / without[2])
            webs.append(beside[3] / instances * 1e6)
            shares.append(beside[3] * beside[0] / instances)
            print(
                f"  {without[0]:8.0f} {beside[0]:8.0f} /s  {without[1] * 1e6:6.1f}"
                f" {beside[1] * 1e6:6.1f} us",
                flush=True,
            )
    print(f"\nreception beside {count} open pages, as a multiple of reception without")
    print(f"  instances per second                       {_range(rates)}")
    print(f"  CPU per instance, all but the web process  {_range(receiving)}")
    print(f"  CPU per instance, with the web process     {_range(whole)}")
    print(
        f"  CPU of the web process: {statistics.median(webs):.1f} us per instance,"
        f" {statistics.median(shares):.1%} of a core meanwhile"
    )


def measure_counting(storage: Path, instances: int, rounds: int) -> None:
    """Prints what counting costs reception."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "sitecustomize.py").write_text(_COUNT_NOTHING, encoding="utf-8")
        start = burnish("full", web={"enabled": False})

        def start_without(port: int, folder: Path) -> Start:
            started = start(port, folder)
            return Start(started.arguments, {"PYTHONPATH": directory})

        counting = Kind("burnish", "as delivered", start)
        silent = Kind("burnish-uncounted", "counts nothing", start_without)
        ratios, rates = [], []
        with running(counting, storage) as first, running(silent, storage) as second:
            for number in range(rounds + 1):
                costs, quick = {}, {}
                for server in (first, second) if number % 2 else (second, first):
                    before = server.cpu()
                    sent = send(
                        server.port, WORKLOADS["W2"], instances, associations=4, run=next(_RUNS)
                    )
                    costs[server] = (server.cpu() - before) / instances
                    quick[server] = sent.rate
                if number:
                    ratios.append(costs[first] / costs[second])
                    rates.append(quick[first] / quick[second])
                    print(f"  {costs[first] * 1e6:6.1f} {costs[second] * 1e6:6.1f} us", flush=True)
    print("\nreception with counting, as a multiple of reception that counts nothing")
    print(f"  instances per second  {_range(rates)}")
    print(f"  CPU per instance      {_range(ratios)}")


def _range(ratios: Sequence[float]) -> str:
    """The median, and the range in which it lies in 95 of 100 cases, by resampling."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(4000))
    middle = statistics.median(ratios)
    return f"{middle:.3f} ({medians[100]:.3f} to {medians[-101]:.3f}, {len(ratios)} pairs)"


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--instances", type=int, default=4000)
    parser.add_argument("--storage", type=Path, help="directory of the servers; default: cache")
    parts = ("pages", "beside", "counting")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    storage = options.storage or cache_directory()
    if "pages" in options.only:
        measure_pages(storage, options.pages)
    if "beside" in options.only:
        measure_beside(storage, options.pages, options.instances, options.rounds)
    if "counting" in options.only:
        measure_counting(storage, options.instances, options.rounds)


if __name__ == "__main__":
    main()
