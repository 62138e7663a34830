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
from collections.abc import Iterator
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

_ACSE_TIMEOUT, _IDLE_TIMEOUT = 5, 3
_SAMPLES = 10
#: A process opens its database, in three files, when it first needs it.
_FILES = 4
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


def run(directory: Path, seconds: float, *, seed: int, attackers: int = 4) -> Report:
    """Starts a service below `directory`, attacks it for so long, and looks what became of it."""
    report = Report()
    with _service(directory) as (service, tls_port), _friend(service.port, report.told) as stop:
        wait_until(lambda: _has_media(service), deadline=120, what="media before the attack")
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
        report.seconds = _attack(service, hostile, seconds, report)
        stop()
        for attacker in hostile:
            report.tried += attacker.tried
        _look(service, before, report)
    return report


def _attack(service: Service, hostile: list[Attacker], seconds: float, report: Report) -> float:
    threads = [threading.Thread(target=attacker.run) for attacker in hostile]
    started = monotonic()
    for thread in threads:
        thread.start()
    tick = threading.Event()
    while (elapsed := monotonic() - started) < seconds:
        use = _use(service)
        report.most_threads = max(report.most_threads, *use.threads.values())
        if elapsed >= seconds * len(report.memory) / _SAMPLES:
            report.memory.append(use.memory)
        tick.wait(min(2.0, seconds / _SAMPLES / 2))
    for attacker in hostile:
        attacker.stopping.set()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            report.faults.append("an attack hangs")
    if not all(attacker.finished for attacker in hostile):
        report.faults.append("an attacker has failed")
    return monotonic() - started


def _look(service: Service, before: Use, report: Report) -> None:
    """Whether everything is as it was."""
    faults = report.faults

    def came_back() -> bool:
        now = _use(service)
        return now.threads.keys() == before.threads.keys() and all(
            now.threads[pid] <= before.threads[pid] and now.files[pid] <= before.files[pid] + _FILES
            for pid in before.threads
        )

    deadline = monotonic() + _IDLE_TIMEOUT + 20
    pause = threading.Event()
    while not came_back() and monotonic() < deadline:
        pause.wait(0.5)
    now = _use(service)
    if now.threads.keys() != before.threads.keys():
        faults.append("a process has ended")
    elif not came_back():
        faults.append(f"threads or files are left: {asdict(before)}, then {asdict(now)}")
    half = report.memory[len(report.memory) // 2]
    report.memory.append(now.memory)
    faults += [
        f"memory has grown: {half[pid]} to {now.memory[pid]} bytes"
        for pid in half.keys() & now.memory.keys()
        if now.memory[pid] - half[pid] > _GROWTH
    ]
    if left := list((service.root / "spool" / "incoming").iterdir()):
        faults.append(f"{len(left)} files are left in incoming")
    if clients.echo(service.port, calling="PYNETDICOM") != 0:
        faults.append("C-ECHO fails in the end")
    for line in service.log.read_text(encoding="utf-8").splitlines():
        told = json.loads(line) if line.startswith("{") else {"event": f"not a log line: {line}"}
        report.log_lines[told["event"]] += 1
        if told.get("calling_ae_title") == client.AE_TITLE and told.get("how") != "released":
            faults.append(f"of the well-behaved client: {line}")
    for bad in ("a process ended by itself", "an association ended by a defect"):
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


@contextmanager
def _friend(port: int, told: Told) -> Iterator[Any]:
    """The well-behaved client in its own process, until the function that is given is called."""
    context = multiprocessing.get_context("spawn")
    stopping = context.Event()
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=client.run, args=(port, stopping, sending))
    process.start()

    def stop() -> None:
        stopping.set()
        if receiving.poll(300):
            found: Told = receiving.recv()
            told.__dict__.update(found.__dict__)
        else:
            told.faults.append("the well-behaved client hangs")
        process.join(10)

    try:
        yield stop
    finally:
        if process.is_alive():
            process.kill()


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
