"""The fuzz run: hostile peers at a real service, and a well-behaved client beside them.

    make fuzz SECONDS=600

Whatever the hostile ones do, no process ends, nothing hangs, threads, files and memory come back
to what they were, and the well-behaved client gets what it asks for.
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import certificates
from flow import clients
from flow.service import Service
from fuzz import client, corpus
from fuzz.attacks import Attacker
from fuzz.client import Told
from ports import free_port
from waiting import wait_until

#: For the well-behaved client on a busy machine; the others do not stay so long.
_ACSE_TIMEOUT, _IDLE_TIMEOUT = 20, 15
_SAMPLES = 10
#: A process opens its database, in several files, when it first needs it, and keeps as many
#: connections to it as it once needed together, up to five.
_FILES = 15
#: The scheduler has, beside two others, as many threads as ticks once overlapped, up to ten.
_TICKS = 10
#: Seconds until what an attack has cost must have come back.
_COMES_BACK = 300
#: What the memory of a process may grow by in the second half of a run, in bytes. In the first it
#: fills what is kept by number: arenas of the allocator, answers to associations, statements.
_GROWTH = 20_000_000


@dataclass
class Use:
    """What the processes of a service have: threads and files of each, memory of each."""

    threads: dict[int, int]
    files: dict[int, int]
    memory: dict[int, int]


@dataclass
class Report:
    """What a run has found."""

    seconds: float = 0
    attacked_at: float = 0
    tried: Counter[str] = field(default_factory=Counter)
    told: Told = field(default_factory=Told)
    memory: list[dict[int, int]] = field(default_factory=list)
    log_lines: Counter[str] = field(default_factory=Counter)
    most_threads: int = 0
    faults: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The numbers, for people."""
        yield f"seconds: {self.seconds:.0f}; attacks: {self.tried.total()}"
        yield from (f"  {count:7} {name}" for name, count in self.tried.most_common())
        for name, found, under_attack in (
            ("store, nobody else there", self.told.stores, False),
            ("store, under attack", self.told.stores, True),
            ("media, under attack", self.told.media, True),
        ):
            ordered = sorted(s for at, s in found if (at > self.attacked_at) is under_attack)
            if ordered:
                yield (
                    f"{name}: {len(ordered)} times, median {median(ordered) * 1000:.0f} ms, "
                    f"99 % {ordered[len(ordered) * 99 // 100] * 1000:.0f} ms, "
                    f"most {ordered[-1] * 1000:.0f} ms"
                )
        yield f"most threads of a process: {self.most_threads}"
        for pid in self.memory[0]:
            found = [f"{each.get(pid, 0) / 1e6:.0f}" for each in self.memory]
            yield f"memory of a process over time, MB: {' '.join(found)}"
        yield f"log: {dict(self.log_lines.most_common())}"
        yield from (f"FAULT: {fault}" for fault in (*self.faults, *self.told.faults))

    @property
    def is_clean(self) -> bool:
        return not self.faults and not self.told.faults


def run(
    directory: Path, seconds: float, *, seed: int, attackers: int = 4, attacks: int = 0
) -> Report:
    """Starts a service below `directory`, attacks it for so long, and looks what became of it.

    On a slow machine it is longer: until there were so many attacks, and the well-behaved client
    has stored under attack.
    """
    report = Report()
    with _service(directory) as (service, tls_port), _friend(service.port, report.told) as friend:
        wait_until(lambda: _has_media(service), what="media before the attack")
        before = _use(service)
        hostile = [
            Attacker(
                f"127.0.0.{number + 2}",
                service.port,
                tls_port,
                random.Random(seed * 1000 + number),
                threading.Event(),
            )
            for number in range(attackers)
        ]
        report.attacked_at = monotonic()
        begun = friend.rounds

        def enough() -> bool:
            tried = sum(attacker.tried.total() for attacker in hostile)
            # the first round since then may have begun before
            return tried > attacks and friend.rounds > begun + 1

        report.seconds = _attack(service, hostile, seconds, report, enough)
        friend.stop()
        for attacker in hostile:
            report.tried += attacker.tried
        _look(service, before, report)
    return report


def _attack(
    service: Service,
    hostile: list[Attacker],
    seconds: float,
    report: Report,
    enough: Callable[[], bool],
) -> float:
    threads = [threading.Thread(target=attacker.run) for attacker in hostile]
    started = monotonic()
    for thread in threads:
        thread.start()
    tick = threading.Event()
    while (elapsed := monotonic() - started) < seconds or not (
        enough() or elapsed > seconds + _COMES_BACK
    ):
        use = _use(service)
        report.most_threads = max(report.most_threads, *use.threads.values())
        if elapsed >= seconds * len(report.memory) / _SAMPLES:
            report.memory.append(use.memory)
        tick.wait(min(2.0, seconds / _SAMPLES / 2))
    for attacker in hostile:
        attacker.stopping.set()
    for thread in threads:
        thread.join(300)
        if thread.is_alive():
            report.faults.append("an attack hangs")
    if not all(attacker.finished for attacker in hostile):
        report.faults.append("an attacker has failed")
    return monotonic() - started


def _look(service: Service, before: Use, report: Report) -> None:
    """Whether everything is as it was."""
    faults = report.faults
    half = report.memory[len(report.memory) // 2]
    scheduler = service.roles()[0].pid

    def left(now: Use) -> list[str]:
        if now.threads.keys() != before.threads.keys():
            return ["a process has ended"]
        threads = {**before.threads, scheduler: max(before.threads[scheduler], _TICKS + 2)}
        if any(
            now.threads[pid] > threads[pid] or now.files[pid] > before.files[pid] + _FILES
            for pid in before.threads
        ):
            return [f"threads or files are left: {asdict(before)}, then {asdict(now)}"]
        return [
            f"memory has grown: {half[pid]} to {now.memory[pid]} bytes"
            for pid in half.keys() & now.memory.keys()
            if now.memory[pid] - half[pid] > _GROWTH
        ]

    deadline = monotonic() + _COMES_BACK
    pause = threading.Event()
    while left(now := _use(service)) and monotonic() < deadline:
        pause.wait(0.5)
    faults += left(now)
    report.memory.append(now.memory)
    if half_files := list((service.root / "spool" / "incoming").iterdir()):
        faults.append(f"{len(half_files)} files are left in incoming")
    if clients.echo(service.port, calling="PYNETDICOM") != 0:
        faults.append("C-ECHO fails in the end")
    for line in service.lines():
        told = json.loads(line) if line.startswith("{") else {"event": f"not a log line: {line}"}
        report.log_lines[told["event"]] += 1
        if told.get("calling_ae_title") == client.AE_TITLE and told.get("how") != "released":
            faults.append(f"of the well-behaved client: {line}")
    for bad in ("a process ended by itself", "association ended by a defect"):
        if report.log_lines[bad]:
            faults.append(f"in the log: {bad}")
    faults += [line for line in report.log_lines if line.startswith("not a log line")]


@contextmanager
def _service(directory: Path) -> Iterator[tuple[Service, int]]:
    port, tls_port = free_port(), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    ours = certificates.identity(directory, "burnish", elliptic=True)
    may: dict[str, Any] = {"may": ["echo", "store", "media"]}
    service = Service(
        directory / "service",
        port,
        {
            "dicom": {
                "accept_unknown_peers": False,
                "acse_timeout": f"{_ACSE_TIMEOUT}s",
                "idle_timeout": f"{_IDLE_TIMEOUT}s",
                "maximum_half_open": 60,
            },
            "tls": {
                "port": tls_port,
                "certificate": ours.certificate,
                "key": ours.key,
                "ca": ours.certificate,
            },
            "peer": [
                {"ae_title": "PYNETDICOM", **may},
                {"ae_title": client.AE_TITLE, **may},
                {"ae_title": corpus.HOSTILE.decode(), **may, "maximum_associations": 50},
            ],
        },
    )
    service.start()
    try:
        yield service, tls_port
    finally:
        service.stop()


class _Friend:
    """The well-behaved client in its own process, until it is told to stop."""

    def __init__(self, port: int, told: Told) -> None:
        self._told = told
        context = multiprocessing.get_context("spawn")
        self._stopping, self._rounds = context.Event(), context.Value("i", 0)
        self._receiving, sending = context.Pipe(duplex=False)
        self.process = context.Process(
            target=client.run, args=(port, self._stopping, self._rounds, sending)
        )
        self.process.start()

    @property
    def rounds(self) -> int:
        """How often it has begun to store."""
        return int(self._rounds.value)

    def stop(self) -> None:
        self._stopping.set()
        if self._receiving.poll(900):
            self._told.__dict__.update(self._receiving.recv().__dict__)
        else:
            self._told.faults.append("the well-behaved client hangs")
        self.process.join(60)


@contextmanager
def _friend(port: int, told: Told) -> Iterator[_Friend]:
    friend = _Friend(port, told)
    try:
        yield friend
    finally:
        if friend.process.is_alive():
            friend.process.kill()


def _has_media(service: Service) -> bool:
    return service.outbox.is_dir() and any(service.outbox.iterdir())


def _use(service: Service) -> Use:
    processes = service.processes()
    return Use(
        {process.pid: process.num_threads() for process in processes},
        {process.pid: process.num_fds() for process in processes},
        {process.pid: process.memory_info().rss for process in processes},
    )


def main() -> int:
    """Exit code 1 where anything at all was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--attackers", type=int, default=4)
    said = parser.parse_args()
    print(f"seed {said.seed}")
    with tempfile.TemporaryDirectory() as directory:
        report = run(Path(directory), said.seconds, seed=said.seed, attackers=said.attackers)
    print("\n".join(report.lines()))
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
