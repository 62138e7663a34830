"""`make soak`: a day of a service in minutes.

Several modalities store instances and request media, with copies; some cancel; a standing order
makes requests; now and then the service is restarted, or killed and started again. At the end
every invariant is checked, and that memory, threads and descriptors of the processes do not grow.
Run as `python tests/soak/run.py [--minutes N] [--seed N]`.
"""

import argparse
import random
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

say = partial(print, flush=True)
#: Bytes by which the memory of a process may grow from the first quarter of its time to the end.
_GROWTH = 48 << 20
_TABLES = {
    "device": [{"name": "outbox", "media": ["CD"], "capacity": "2MB"}],
    "standing_order": [
        {"name": "us", "called_ae_titles": ["BURN_US"], "quiet_period": "3s", "scope": "study"}
    ],
    "retention": {"instances_after_media": "2m"},
}


class Soak:
    """One service and the modalities that use it."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        from crash.modality import Modality
        from flow.service import Service

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.service = Service(folder / "service", port, _TABLES)
        self.seconds, self.seed = seconds, seed
        self.modalities = [Modality(port) for _ in range(3)]
        self.done = threading.Event()
        self.restarts = self.kills = 0
        self.samples: dict[str, list[tuple[int, int, int]]] = defaultdict(list)

    def run(self) -> list[str]:
        """Run the service and its modalities; the invariants that did not hold."""
        self.service.start()
        threads = [
            threading.Thread(target=self._use, args=(number,))
            for number in range(len(self.modalities))
        ]
        for thread in threads:
            thread.start()
        self._day()
        self.done.set()
        for thread in threads:
            thread.join()
        faults = self._settle()
        self.service.stop()
        return faults + self._check()

    def _use(self, number: int) -> None:
        from crash.modality import GONE

        modality, chance = self.modalities[number], random.Random(f"{self.seed}.{number}")
        while not self.done.is_set():
            try:
                if chance.random() < 0.2:
                    modality.store(chance.randrange(1, 10), called="BURN_US")
                    continue
                uids = modality.store(chance.randrange(1, 40), size=chance.choice((2000, 90_000)))
                for _ in range(chance.choice((1, 1, 3)) if uids else 0):
                    modality.ask(
                        chance.sample(uids, chance.randrange(1, len(uids) + 1)),
                        chance.choice((1, 1, 1, 2, 3)),
                        then_cancel=chance.random() < 0.15,
                    )
            except GONE:
                self.done.wait(0.5)

    def _day(self) -> None:
        """Wait while the modalities work; the service is restarted or killed three times."""
        chance = random.Random(self.seed)
        for tenth in range(1, 11):
            until = time.monotonic() + self.seconds / 10
            while (seconds_left := until - time.monotonic()) > 0:
                self._sample()
                self.done.wait(min(2.0, seconds_left))
            # early, so that the last processes have most of the day to grow
            if tenth in (2, 3, 4):
                if chance.random() < 0.5:
                    self.service.restart()
                    self.restarts += 1
                else:
                    self.service.kill()
                    self.service.start()
                    self.kills += 1
                self.samples.clear()

    def _sample(self) -> None:
        for number, process in enumerate(self.service.processes()):
            try:
                sample = (
                    process.memory_info().rss - process.memory_info().shared,
                    process.num_threads(),
                    process.num_fds(),
                )
            except psutil.Error:
                continue
            self.samples[f"{number}: {process.pid}"].append(sample)

    def _settle(self) -> list[str]:
        """Wait until every request has ended; those that have not after ten minutes."""
        from crash.invariants import Root

        root, deadline = Root(self.service.root), time.monotonic() + 600
        while time.monotonic() < deadline:
            if not (unsettled := list(root.unsettled())):
                return []
            threading.Event().wait(1.0)
        return unsettled

    def _check(self) -> list[str]:
        from crash.invariants import Root, open_references

        root = Root(self.service.root)
        stored: dict[str, bytes] = {}
        for modality in self.modalities:
            stored |= modality.stored
        kept_uids = {
            row["sop_instance_uid"]
            for row in root.rows("SELECT * FROM instance WHERE released_at IS NULL")
        }
        referenced_uids = {
            row["referenced_sop_instance_uid"]
            for row in root.rows("SELECT * FROM referenced_instance")
        }
        # an instance may only have been released after media of it were made
        required = {
            uid: data
            for uid, data in stored.items()
            if uid in kept_uids or uid not in referenced_uids
        }
        required |= {uid: stored[uid] for uid in open_references(root) if uid in stored}
        faults = list(root.faults(required))
        requests = {
            row["sop_instance_uid"]: row
            for row in root.rows("SELECT * FROM media_creation_request")
        }
        for modality in self.modalities:
            for uid in modality.asked:
                status = requests[uid]["execution_status"] if uid in requests else "gone"
                expected = ("DELETED",) if uid in modality.cancelled else ("DONE", "DELETED")
                if status not in expected:
                    faults.append(f"{uid}: {status}")
        return faults + self._growth()

    def _growth(self) -> list[str]:
        """Compare each process after a quarter of its time with its end."""
        faults = []
        for name, samples in self.samples.items():
            if len(samples) < 8:
                continue
            early, late = samples[len(samples) // 4], samples[-1]
            say(
                f"process {name}: memory {early[0] >> 20} -> {late[0] >> 20} MiB,"
                f" threads {early[1]} -> {late[1]}, descriptors {early[2]} -> {late[2]}"
            )
            if late[0] - early[0] > _GROWTH or late[1] - early[1] > 8 or late[2] - early[2] > 16:
                faults.append(f"process {name} grows")
        return faults

    def figures(self) -> str:
        from crash.invariants import Root

        root = Root(self.service.root)
        ((requests,),) = map(tuple, root.rows("SELECT count(*) FROM media_creation_request"))
        ((pieces,),) = map(tuple, root.rows("SELECT count(*) FROM piece WHERE state = 'CREATED'"))
        stored = sum(len(modality.stored) for modality in self.modalities)
        cancelled = sum(len(modality.cancelled) for modality in self.modalities)
        refused = sum(modality.refused for modality in self.modalities)
        return (
            f"{stored} instances, {refused} refused, {requests} requests, {cancelled} of them"
            f" cancelled, {pieces} pieces, {self.restarts} restarts, {self.kills} kills"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="burnish-soak-", dir=arguments.folder) as folder:
        soak = Soak(Path(folder), arguments.minutes * 60, arguments.seed)
        faults = soak.run()
        for fault in faults:
            say(f"soak: {fault}")
        say(f"soak: {soak.figures()}, {len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
