"""Association set-up: CPU and time for an SCU that proposes 120 presentation contexts.

python benchmarks/associate.py burnish,storescp-b,orthanc --count 100
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sender import Connection, associate_rq
from servers import KINDS, Kind, running
from workloads import EXPLICIT_VR_LITTLE_ENDIAN, cache_directory

_CONTEXTS = 120
_SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70")


@dataclass(frozen=True, slots=True)
class SetUp:
    """Seconds per association: CPU of the server, and the time until the A-ASSOCIATE-AC."""

    cpu: float
    seconds: float


def measure(kind: Kind, storage: Path, count: int, *, same_peer: bool) -> SetUp:
    """With `same_peer`, every association is requested by the same AE title."""
    from pynetdicom.presentation import AllStoragePresentationContexts

    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    contexts = [(sop_class, _SYNTAXES) for sop_class in classes[:_CONTEXTS]]
    times = []
    with running(kind, storage) as server:
        before = server.cpu()
        for number in range(count):
            calling = "BENCHMARK" if same_peer else f"BENCH{number}"
            request = associate_rq(contexts, calling)
            started = time.monotonic()
            connection = Connection.open(server.port, request)
            times.append(time.monotonic() - started)
            connection.release()
        time.sleep(0.2)
        return SetUp((server.cpu() - before) / count, statistics.median(times))


def compare(kinds: Sequence[Kind], storage: Path, count: int) -> dict[tuple[str, bool], SetUp]:
    return {
        (kind.name, same_peer): measure(kind, storage, count, same_peer=same_peer)
        for same_peer in (False, True)
        for kind in kinds
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("servers", help=f"any of {', '.join(KINDS)}")
    parser.add_argument("--count", type=int, default=100)
    arguments = parser.parse_args()
    kinds = [KINDS[name] for name in arguments.servers.split(",")]
    for (name, same_peer), set_up in compare(kinds, cache_directory(), arguments.count).items():
        peers = "same peer" if same_peer else "other peers"
        print(f"{name:18}{peers:12}{set_up.cpu * 1e3:7.2f} ms CPU {set_up.seconds * 1e3:7.2f} ms")


if __name__ == "__main__":
    main()
