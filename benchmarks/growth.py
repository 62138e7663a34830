"""Growth: the cost of an instance when many exist already.

python benchmarks/growth.py --instances 5000 --steps 500,2000,5000 --rows 1000000
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rows
from sender import send
from servers import KINDS, running
from workloads import WORKLOADS, cache_directory


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of receiving with `before` instances in the database."""

    before: int
    rate: float
    cpu_per_instance: float


def steps(
    ends: Sequence[int], storage: Path, *, inserted: int = 0, sample: int = 1000
) -> list[Cost]:
    """Send W2 up to each of `ends` instances; the cost of the last `sample` before it."""
    workload, costs = WORKLOADS["W2"], []
    with running(KINDS["burnish"], storage) as server:
        if inserted:
            path = rows.database(server.directory / "storage")
            rows.insert(path, workload, inserted, server.directory / "sample")
        send(server.port, workload, 20, associations=2, run=1)
        for start, end in itertools.pairwise((0, *ends)):
            fill = max(0, end - start - sample)
            if fill:
                send(server.port, workload, fill, associations=2, run=2, first=start)
            before = server.cpu()
            sent = send(
                server.port,
                workload,
                end - start - fill,
                associations=2,
                run=2,
                first=start + fill,
            )
            used = server.cpu() - before
            costs.append(Cost(inserted + end, sent.rate, used / max(1, sent.sent)))
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", default="500,5000,20000,60000")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    ends = [int(end) for end in arguments.steps.split(",")]
    for inserted in (0, arguments.rows):
        for cost in steps(ends if not inserted else ends[:1], cache_directory(), inserted=inserted):
            print(
                f"{cost.before:8} instances: {cost.rate:6.0f}/s "
                f"{cost.cpu_per_instance * 1e3:6.3f} ms CPU each"
            )


if __name__ == "__main__":
    main()
