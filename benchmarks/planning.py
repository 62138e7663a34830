"""Planning, N-GET under load, and the list of requests.

python benchmarks/planning.py --counts 1000,10000,50000
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import rows
from media_scu import MediaCreation
from sender import send
from servers import KINDS, running
from workloads import CT_IMAGE_STORAGE, WORKLOADS, cache_directory, uid

_REQUEST_KIND = "frame"
_GETS_ALONE = 400


def planning(counts: Sequence[int], storage: Path) -> dict[int, tuple[float, float]]:
    """Number of instances → CPU of admitting and of planning a request for them, in seconds."""
    from burnish import roles, settings
    from burnish.memory import collect_rarely
    from burnish.plan.planner import Planner
    from burnish.request import admission, operations
    from burnish.request.operations import NewRequest, Reference

    results = {}
    directory = Path(tempfile.mkdtemp(prefix="planning-", dir=storage))
    configuration = settings.Settings(
        storage={"root": directory / "storage", "durability": "os"}, content={"pages": False}
    )
    roles.configure_logging(configuration)
    roles.prepare(configuration)
    collect_rarely()
    rows.insert(
        rows.database(configuration.storage.root), WORKLOADS["W2"], max(counts), directory / "w"
    )
    database, spool = roles.open_database(configuration), roles.open_spool(configuration)
    planner = Planner(configuration, database, spool)
    for number, count in enumerate((min(counts), *counts)):
        request_uid = uid(_REQUEST_KIND, rows.RUN, 500_000_000 + number)
        references = [
            Reference(CT_IMAGE_STORAGE, uid("instance", rows.RUN, index)) for index in range(count)
        ]
        with database.writing() as session:
            order = NewRequest(references, sop_instance_uid=request_uid)
            request = operations.create(session, configuration.request, order, origin="benchmark")
            operations.initiate(session, configuration.request, request_uid)
            request_id = request.id
        started = time.process_time()
        with database.writing() as session:
            admission.admit(session, request_id, timedelta())
        admitted = time.process_time()
        planner.tick()
        results[count] = (admitted - started, time.process_time() - admitted)
    planner.close()
    database.close()
    shutil.rmtree(directory)
    return results


def listing(count: int, storage: Path) -> float:
    """Seconds of work for the list of `count` requests."""
    from burnish import roles, settings
    from burnish.request import listing as stage
    from burnish.request import operations
    from burnish.request.operations import NewRequest, Reference

    directory = Path(tempfile.mkdtemp(prefix="listing-", dir=storage))
    configuration = settings.Settings(
        storage={"root": directory / "storage", "durability": "os"}, content={"pages": False}
    )
    roles.configure_logging(configuration)
    roles.prepare(configuration)
    database = roles.open_database(configuration)
    with database.writing() as session:
        for number in range(count):
            order = NewRequest([Reference(CT_IMAGE_STORAGE, uid("instance", 1, number))])
            operations.create(session, configuration.request, order, origin="benchmark")
    times = []
    for _ in range(3):
        with database.reading() as session:
            started = time.process_time()
            lines = stage.requests(session, limit=count)
            times.append(time.process_time() - started)
            assert len(lines) == count
    database.close()
    shutil.rmtree(directory)
    return statistics.median(times)


@dataclass(frozen=True, slots=True)
class UnderLoad:
    """N-GET while instances are received at full speed, or while nothing else happens."""

    p50: float
    p99: float
    gets: int
    received_per_second: float


def n_get(storage: Path, count: int, associations: int = 2, kind: str = "burnish") -> UnderLoad:
    """N-GETs, one every 5 ms, while `count` instances of W2 are sent.

    Without instances, there are `_GETS_ALONE` of them.
    """
    times: list[float] = []
    with running(KINDS[kind], storage) as server:
        send(server.port, WORKLOADS["W2"], 10, run=2)
        scu = MediaCreation(server.port)
        request = uid(_REQUEST_KIND, 2, 1)
        scu.create(request, CT_IMAGE_STORAGE, [uid("instance", 2, n) for n in range(10)])
        context = multiprocessing.get_context("fork")
        rates: multiprocessing.SimpleQueue[float] = context.SimpleQueue()

        def load() -> None:
            sent = send(server.port, WORKLOADS["W2"], count, associations=associations, run=3)
            rates.put(sent.rate)

        def get() -> None:
            started = time.monotonic()
            scu.execution_status(request)
            times.append(time.monotonic() - started)
            time.sleep(0.005)

        if count:
            sender = context.Process(target=load)
            sender.start()
            while sender.is_alive():
                get()
            sender.join()
            rate = rates.get()
        else:
            for _ in range(_GETS_ALONE):
                get()
            rate = 0.0
        scu.release()
    times.sort()
    return UnderLoad(times[len(times) // 2], times[int(len(times) * 0.99)], len(times), rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--counts", default="1000,10000,50000")
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--instances", type=int, default=5000, help="sent while asking N-GET")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.counts.split(",")]
    for count, (admit, plan) in planning(counts, cache_directory()).items():
        print(f"{count:7} instances: admitted {admit:6.3f} s CPU, planned {plan:6.3f} s CPU")
    seconds = listing(arguments.requests, cache_directory())
    print(f"list of {arguments.requests} requests: {seconds * 1e3:.0f} ms CPU")
    load = n_get(cache_directory(), arguments.instances)
    print(
        f"N-GET p50 {load.p50 * 1e3:.1f} ms, p99 {load.p99 * 1e3:.1f} ms of {load.gets}, "
        f"while receiving {load.received_per_second:.0f}/s"
    )


if __name__ == "__main__":
    main()
