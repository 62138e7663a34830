"""The fuzz run: hostile peers attack a running service while a well-behaved client uses it.

    make fuzz SECONDS=600

Whatever the attackers do, no process ends and nothing hangs. Threads, files and memory return to
what they were, and every request of the well-behaved client succeeds.
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
from flow.service import DEFECT_EVENTS, Service
from fuzz import client, corpus
from fuzz.attacks import Attacker
from fuzz.client import Observations
from ports import free_port
from waiting import wait_until

#: In seconds. Long enough for the well-behaved client on a busy machine.
_ACSE_TIMEOUT, _IDLE_TIMEOUT = 20, 15
_SAMPLES = 10
#: Files that a process may open after the start: those of its database, for each of up to five
#: connections that it keeps.
_MORE_FILES = 15
#: Threads of the scheduler besides two others: as many as ticks have overlapped, up to ten.
_TICK_THREADS = 10
#: Seconds within which threads, files and memory must return to what they were.
_RECOVERY_TIME = 300
#: Bytes by which the memory of a process may grow in the second half of a run. In the first half
#: it fills pools and caches of limited size, such as the arenas of the allocator.
_MEMORY_GROWTH = 20_000_000


@dataclass
class Resources:
    """Threads, open files and memory of the processes of a service, by process id."""

    threads: dict[int, int]
    files: dict[int, int]
    memory: dict[int, int]


@dataclass
class Report:
    """The result of a run."""

    seconds: float = 0
    attacked_at: float = 0
    attacks: Counter[str] = field(default_factory=Counter)
    observed: Observations = field(default_factory=Observations)
    memory: list[dict[int, int]] = field(default_factory=list)
    log_lines: Counter[str] = field(default_factory=Counter)
    most_threads: int = 0
    faults: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The figures and faults as text."""
        yield f"seconds: {self.seconds:.0f}; attacks: {self.attacks.total()}"
        yield from (f"  {count:7} {name}" for name, count in self.attacks.most_common())
        for name, measurements, under_attack in (
            ("store, before the attack", self.observed.stores, False),
            ("store, under attack", self.observed.stores, True),
            ("media, under attack", self.observed.media, True),
        ):
            ordered = sorted(
                seconds
                for started, seconds in measurements
                if (started > self.attacked_at) is under_attack
            )
            if ordered:
                yield (
                    f"{name}: {len(ordered)} times, median {median(ordered) * 1000:.0f} ms, "
                    f"99 % {ordered[len(ordered) * 99 // 100] * 1000:.0f} ms, "
                    f"most {ordered[-1] * 1000:.0f} ms"
                )
        yield f"most threads of a process: {self.most_threads}"
        for pid in self.memory[0]:
            samples = [f"{sample.get(pid, 0) / 1e6:.0f}" for sample in self.memory]
            yield f"memory of a process over time, MB: {' '.join(samples)}"
        yield f"log: {dict(self.log_lines.most_common())}"
        yield from (f"FAULT: {fault}" for fault in (*self.faults, *self.observed.faults))

    @property
    def is_clean(self) -> bool:
        return not self.faults and not self.observed.faults


def run(
    directory: Path, seconds: float, *, seed: int, attackers: int = 4, attacks: int = 0
) -> Report:
    """Starts a service below `directory`, attacks it, and reports what has come of it.

    The attack lasts `seconds`, and longer on a slow machine: until there were more than `attacks`
    and the well-behaved client has stored under attack.
    """
    report = Report()
    with (
        _service(directory) as (service, tls_port),
        _friend(service.port, report.observed) as friend,
    ):
        wait_until(lambda: _has_media(service), what="media before the attack")
        before = _resources(service)
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
        rounds_before = friend.rounds

        def is_enough() -> bool:
            total = sum(attacker.attacks.total() for attacker in hostile)
            # The first round that is counted after this may have started before the attack.
            return total > attacks and friend.rounds > rounds_before + 1

        report.seconds = _attack(service, hostile, seconds, report, is_enough)
        friend.stop()
        for attacker in hostile:
            report.attacks += attacker.attacks
        _check(service, before, report)
    return report


def _attack(
    service: Service,
    hostile: list[Attacker],
    seconds: float,
    report: Report,
    is_enough: Callable[[], bool],
) -> float:
    threads = [threading.Thread(target=attacker.run) for attacker in hostile]
    started = monotonic()
    for thread in threads:
        thread.start()
    tick = threading.Event()
    while True:
        elapsed = monotonic() - started
        if elapsed >= seconds and (is_enough() or elapsed > seconds + _RECOVERY_TIME):
            break
        resources = _resources(service)
        report.most_threads = max(report.most_threads, *resources.threads.values())
        if elapsed >= seconds * len(report.memory) / _SAMPLES:
            report.memory.append(resources.memory)
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


def _check(service: Service, before: Resources, report: Report) -> None:
    """Adds to the report what is not as it was before the attack."""
    faults = report.faults
    memory_at_half_time = report.memory[len(report.memory) // 2]
    scheduler = service.roles()[0].pid

    def differences(now: Resources) -> list[str]:
        if now.threads.keys() != before.threads.keys():
            return ["a process has ended"]
        threads = {**before.threads, scheduler: max(before.threads[scheduler], _TICK_THREADS + 2)}
        if any(
            now.threads[pid] > threads[pid] or now.files[pid] > before.files[pid] + _MORE_FILES
            for pid in before.threads
        ):
            return [f"threads or files are left: {asdict(before)}, then {asdict(now)}"]
        return [
            f"memory has grown: {memory_at_half_time[pid]} to {now.memory[pid]} bytes"
            for pid in memory_at_half_time.keys() & now.memory.keys()
            if now.memory[pid] - memory_at_half_time[pid] > _MEMORY_GROWTH
        ]

    deadline = monotonic() + _RECOVERY_TIME
    pause = threading.Event()
    now = _resources(service)
    while differences(now) and monotonic() < deadline:
        pause.wait(0.5)
        now = _resources(service)
    faults += differences(now)
    report.memory.append(now.memory)
    incoming = list((service.root / "spool" / "incoming").iterdir())
    if incoming:
        faults.append(f"{len(incoming)} files are left in incoming")
    if clients.echo(service.port, calling="PYNETDICOM") != 0:
        faults.append("C-ECHO fails after the attack")
    for line in service.lines():
        if not line.startswith("{"):
            faults.append(f"not a log line: {line}")
            continue
        entry = json.loads(line)
        report.log_lines[entry["event"]] += 1
        is_expected = entry["level"] == "info" and entry.get("how", "released") == "released"
        if entry.get("calling_ae_title") == client.AE_TITLE and not is_expected:
            faults.append(f"about the well-behaved client: {line}")
    for event in DEFECT_EVENTS:
        if report.log_lines[event]:
            faults.append(f"in the log: {event}")


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
    """The well-behaved client in its own process, which runs until `stop`."""

    def __init__(self, port: int, observed: Observations) -> None:
        self._observed = observed
        context = multiprocessing.get_context("spawn")
        self._stopping, self._rounds = context.Event(), context.Value("i", 0)
        self._receiving, sending = context.Pipe(duplex=False)
        self.process = context.Process(
            target=client.run, args=(port, self._stopping, self._rounds, sending)
        )
        self.process.start()

    @property
    def rounds(self) -> int:
        """How many rounds of C-STORE it has started."""
        return int(self._rounds.value)

    def stop(self) -> None:
        self._stopping.set()
        if self._receiving.poll(900):
            self._observed.__dict__.update(self._receiving.recv().__dict__)
        else:
            self._observed.faults.append("the well-behaved client hangs")
        self.process.join(60)


@contextmanager
def _friend(port: int, observed: Observations) -> Iterator[_Friend]:
    friend = _Friend(port, observed)
    try:
        yield friend
    finally:
        if friend.process.is_alive():
            friend.process.kill()


def _has_media(service: Service) -> bool:
    return service.outbox.is_dir() and any(service.outbox.iterdir())


def _resources(service: Service) -> Resources:
    processes = service.processes()
    return Resources(
        {process.pid: process.num_threads() for process in processes},
        {process.pid: process.num_fds() for process in processes},
        {process.pid: process.memory_info().rss for process in processes},
    )


def main() -> int:
    """Exit code 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--attackers", type=int, default=4)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory() as directory:
        report = run(
            Path(directory), arguments.seconds, seed=arguments.seed, attackers=arguments.attackers
        )
    print("\n".join(report.lines()))
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
