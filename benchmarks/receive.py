"""Reception: instances per second of each server, workload and number of associations.

python benchmarks/receive.py burnish,storescp-b,orthanc W1:400,W2:4000 1,4 --rounds 3
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sender import send
from servers import KINDS, Kind, running, touch_memory
from workloads import WORKLOADS, Workload, cache_directory

#: Numbers of runs; each run has its own UIDs.
_RUNS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Cell:
    """One server under one load."""

    server: str
    workload: str
    associations: int
    nagle: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run."""

    rate: float
    megabytes: float
    cpu_per_instance: float
    failed: int
    p99: float
    memory: int = 0


def measure(
    kind: Kind,
    workload: Workload,
    count: int,
    associations: int,
    storage: Path,
    *,
    nagle: bool = False,
    memory: bool = False,
) -> Figures:
    """One run against a new server, warmed up with a few instances.

    `memory` is watched while as many instances are sent again: to ask for it takes a fifth of the
    rate of a server with several processes.
    """
    with running(kind, storage) as server:
        run = next(_RUNS)
        options = {"nagle": nagle, "plain": kind.plain, "tls": kind.tls, "run": run}
        warm = 0 if workload.pixel_bytes > 1 << 24 else 2 * associations
        if warm:
            send(server.port, workload, warm, associations=associations, **options)
        else:
            # so that every process has served an association before its memory is measured
            warm_up_options = {**options, "run": next(_RUNS)}
            send(server.port, WORKLOADS["W2"], 16, associations=8, **warm_up_options)
        touch_memory(count * workload.pixel_bytes)
        before, idle = server.cpu(), server.memory() if memory else 0
        options["associations"] = associations
        sent = send(server.port, workload, count, first=warm, **options)
        used = server.cpu() - before
        if sent.error:
            print(f"  {kind.name}: {sent.failed} failed: {sent.error}", flush=True)
        peak = 0
        if memory:
            with server.watching_memory() as highest:
                send(server.port, workload, count, first=warm + count, **options)
            peak = highest() - idle
        return Figures(
            rate=sent.rate,
            megabytes=sent.bytes / sent.seconds / 1e6,
            cpu_per_instance=used / max(1, sent.sent),
            failed=sent.failed,
            p99=sent.percentile(0.99) if sent.latencies else 0.0,
            memory=peak,
        )


def matrix(
    kinds: Sequence[Kind],
    loads: Sequence[tuple[Workload, int]],
    associations: Iterable[int],
    storage: Path,
    *,
    rounds: int = 3,
    nagle: bool = False,
    memory: bool = False,
    until: float = math.inf,
) -> dict[Cell, list[Figures]]:
    """Every server in turn, round by round (A B C, A B C), so that drift affects all of them.

    No further round starts after `until`, on the clock of `time.monotonic`.
    """
    results: dict[Cell, list[Figures]] = {}
    for number in range(rounds):
        if number and time.monotonic() > until:
            break
        for (workload, count), number_of_associations in itertools.product(loads, associations):
            for kind in kinds:
                cell = Cell(kind.name, workload.name, number_of_associations, nagle)
                figures = measure(
                    kind,
                    workload,
                    count,
                    number_of_associations,
                    storage,
                    nagle=nagle,
                    memory=memory,
                )
                results.setdefault(cell, []).append(figures)
    return results


def median(figures: Iterable[Figures], name: str = "rate") -> float:
    return statistics.median(getattr(figure, name) for figure in figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("servers", help=f"any of {', '.join(KINDS)}")
    parser.add_argument("loads", metavar="WORKLOAD:COUNT,…")
    parser.add_argument("associations", metavar="N,…")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nagle", action="store_true", help="leave Nagle's algorithm on")
    parser.add_argument("--memory", action="store_true", help="measure the peak memory")
    parser.add_argument("--storage", type=Path, help="directory of the servers; default: cache")
    arguments = parser.parse_args()
    kinds = [KINDS[name] for name in arguments.servers.split(",")]
    loads = [load.split(":") for load in arguments.loads.split(",")]
    results = matrix(
        kinds,
        [(WORKLOADS[name], int(count)) for name, count in loads],
        [int(number) for number in arguments.associations.split(",")],
        arguments.storage or cache_directory(),
        rounds=arguments.rounds,
        nagle=arguments.nagle,
        memory=arguments.memory,
    )
    for cell, figures in results.items():
        rates = " ".join(f"{figure.rate:.0f}" for figure in figures)
        print(
            f"{cell.server:18}{cell.workload} x{cell.associations}"
            f"  {median(figures):7.0f}/s  {median(figures, 'megabytes'):6.0f} MB/s"
            f"  {1e3 * median(figures, 'cpu_per_instance'):6.3f} ms CPU"
            f"  p99 {1e3 * median(figures, 'p99'):.1f} ms  failed {figures[0].failed}"
            + (f"  {median(figures, 'memory') / 1e6:.1f} MB" if arguments.memory else "")
            + f"   [{rates}]"
        )


if __name__ == "__main__":
    main()
