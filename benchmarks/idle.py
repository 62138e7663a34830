"""Idle cost: CPU and memory of a server with idle associations.

python benchmarks/idle.py burnish,orthanc 0,50,500 --seconds 20
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from sender import Connection, PeerError, associate_rq
from servers import KINDS, Kind, running
from workloads import CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN, cache_directory

#: Seconds to wait after the associations are established.
_SETTLE = 5.0


def measure(kind: Kind, storage: Path, associations: int, seconds: float) -> tuple[float, int]:
    """The share of one core in use, and the memory of the process tree in bytes."""
    request = associate_rq([(CT_IMAGE_STORAGE, [EXPLICIT_VR_LITTLE_ENDIAN])])
    with running(kind, storage) as server:
        connections = []
        try:
            for _ in range(associations):
                connections.append(Connection.open(server.port, request))
        except (OSError, PeerError) as error:
            print(f"  {kind.name}: only {len(connections)} associations: {error}")
        time.sleep(_SETTLE)
        before, started = server.cpu(), time.monotonic()
        time.sleep(seconds)
        share = (server.cpu() - before) / (time.monotonic() - started)
        memory = server.memory()
        for connection in connections:
            connection.socket.close()
    return share, memory


def compare(
    kinds: Sequence[Kind], counts: Sequence[int], storage: Path, seconds: float
) -> dict[tuple[str, int], tuple[float, int]]:
    return {
        (kind.name, count): measure(kind, storage, count, seconds)
        for count in counts
        for kind in kinds
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("servers", help=f"any of {', '.join(KINDS)}")
    parser.add_argument("associations", metavar="N,…")
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    results = compare(
        [KINDS[name] for name in arguments.servers.split(",")],
        [int(count) for count in arguments.associations.split(",")],
        cache_directory(),
        arguments.seconds,
    )
    for (name, count), (share, memory) in results.items():
        print(f"{name:18}{count:5} idle  {share * 100:6.2f} % of a core  {memory / 1e6:7.1f} MB")


if __name__ == "__main__":
    main()
