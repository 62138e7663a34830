"""`make soak-segments`: the segments of weeks in minutes: filled, released, rewritten, deleted.

Modalities store instances, of which few are wanted for long: those are stored again and again. The
others are released by retention after a minute and a half. What the schedule does every hour, to
delete and rewrite segments, is done every few seconds here, beside the service. Meanwhile the
service is killed or restarted, and instances are read. In the end everything is released, and the
room on disk must be what it was before.

Run as `python tests/soak/segments.py [--minutes N] [--seed N]`.
"""

import argparse
import os
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

say = partial(print, flush=True)
#: Seconds until an instance is released, and until a wanted one is stored again.
_KEPT, _AGAIN = 90.0, 20.0
#: The most instances that are wanted, and the share of all that becomes wanted.
_MOST_WANTED, _SHARE_WANTED = 200, 0.02
_MODALITIES = 2
#: Instances per second that one modality stores at most: retention releases 5,000 in a minute.
_RATE = 30.0
#: The columns of the larger images.
_COLUMNS = 65_535
#: Seconds between two compactions, and for which a segment is kept after its last change.
_COMPACTION, _GRACE = 10.0, 5.0
_SAMPLE = 5.0
#: Bytes of a segment, which is allocated in advance.
_SEGMENT = 64 << 20
#: Bytes by which the memory of a process may grow from a third of its time to the end.
_GROWTH = 48 << 20


class SegmentSoak:
    """One service, its modalities, and what was acknowledged to them."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        from burnish.db.session import Database
        from burnish.spool import Spool
        from flow.service import Service

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        tables = {"retention": {"unrequested_instances": f"{_KEPT:.0f}s"}}
        self.service = Service(folder / "service", self.port, tables)
        self.seconds, self.seed = seconds, seed
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        #: Data sets of instances by UID, with the time of their last acknowledgement.
        self.acknowledged: dict[str, tuple[bytes, float]] = {}
        self.wanted: dict[str, bytes] = {}
        self.stored = self.stored_bytes = self.again = self.read = self.refused = 0
        self.kills = self.restarts = self.deleted = self.rewritten = 0
        self.names: set[str] = set()
        self.faults: list[str] = []
        self.room: list[tuple[int, int]] = []
        self.memory: dict[int, list[int]] = {}
        self.service.start()
        self.database = Database(f"sqlite:///{self.service.root / 'burnish.db'}")
        self.spool = Spool(self.service.root / "spool", durable=False)

    def run(self) -> None:
        """Run everything; what was wrong is in `faults`."""
        work = [partial(self._store, number) for number in range(_MODALITIES)]
        work += [self._store_again, self._read, self._compact, self._sample]
        threads = [threading.Thread(target=self._guarded, args=(part,)) for part in work]
        for thread in threads:
            thread.start()
        chance = random.Random(self.seed)
        end = time.monotonic() + self.seconds
        while (left := end - time.monotonic()) > 0:
            self.stopping.wait(min(left, chance.uniform(60, 150)))
            if end - time.monotonic() < 120 or self.faults:
                continue
            if chance.random() < 0.5:
                self.service.restart()
                self.restarts += 1
            else:
                self.service.kill()
                self.service.start()
                self.kills += 1
            self.memory.clear()
        self.stopping.set()
        for thread in threads:
            thread.join()
        self._check_acknowledged()
        self._let_go()

    def _guarded(self, part: partial[None]) -> None:
        try:
            part()
        except Exception as error:  # noqa: BLE001
            self.faults.append(f"{part}: {error!r}")
            self.stopping.set()

    # --- modalities ---

    def _store(self, number: int) -> None:
        from crash.modality import GONE

        chance = random.Random(f"{self.seed}.{number}")
        pixels = chance.randbytes(1 << 20)
        while not self.stopping.is_set():
            began, count = time.monotonic(), 0
            try:
                for uid, data in self._study(chance, pixels):
                    count += 1
                    if chance.random() < _SHARE_WANTED and len(self.wanted) < _MOST_WANTED:
                        with self.lock:
                            self.wanted[uid] = data
            except GONE:
                self.stopping.wait(0.5)
            self.stopping.wait(max(0.0, count / _RATE - (time.monotonic() - began)))

    def _study(self, chance: random.Random, pixels: bytes) -> Iterator[tuple[str, bytes]]:
        from burnish.dicom_elements import encode
        from burnish.identifiers import new_uid
        from factories import CT, instance
        from raw_dicom import EXPLICIT, Raw

        study, series = new_uid(), new_uid()
        with Raw(self.port, [(CT, [EXPLICIT])], called=b"BURNISH".ljust(16)) as raw:
            for number in range(chance.randrange(10, 60)):
                rows = chance.choice((1, 1, 2, 6))
                size = rows * _COLUMNS if rows > 1 else 2_000
                start = chance.randrange(len(pixels) - size)
                sample = instance(
                    patient_id=study[-12:],
                    study=study,
                    series=series,
                    instance_number=number,
                    size=size,
                    pixels=encode(0x7FE00010, b"OW", pixels[start : start + size]),
                )
                data_set = sample.data_set.replace(
                    encode(0x00280010, b"US", struct.pack("<H", 1)),
                    encode(0x00280010, b"US", struct.pack("<H", rows)),
                )
                status, _ = raw.store(CT, sample.sop_instance_uid, data_set, fragment=16_000)
                if status:
                    self.refused += 1
                    continue
                with self.lock:
                    now = time.monotonic()
                    self.acknowledged[sample.sop_instance_uid] = (data_set, now)
                    self.stored += 1
                    self.stored_bytes += size
                yield sample.sop_instance_uid, data_set
                if self.stopping.is_set():
                    break
            raw.release()

    def _store_again(self) -> None:
        """Store the wanted instances again, so that they are not released."""
        from crash.modality import GONE
        from factories import CT
        from raw_dicom import EXPLICIT, Raw

        while not self.stopping.wait(_AGAIN):
            with self.lock:
                wanted = dict(self.wanted)
                old = time.monotonic() - 2 * _KEPT
                for uid in [uid for uid, (_, at) in self.acknowledged.items() if at < old]:
                    del self.acknowledged[uid]
            try:
                with Raw(self.port, [(CT, [EXPLICIT])], called=b"BURNISH".ljust(16)) as raw:
                    for uid, data in wanted.items():
                        status, _ = raw.store(CT, uid, data, fragment=16_000)
                        if status:
                            self.refused += 1
                            continue
                        with self.lock:
                            self.acknowledged[uid] = (data, time.monotonic())
                            self.again += 1
                    raw.release()
            except GONE:
                continue

    # --- beside them ---

    def _contents(self, uids: list[str]) -> Iterator[tuple[str, bytes | None]]:
        """What the spool has of instances; None of one without a row, or that was released."""
        from sqlalchemy import select

        from burnish.db.tables import Instance

        for uid in uids:
            with self.database.reading() as session:
                row = session.scalar(
                    select(Instance).where(Instance.sop_instance_uid == uid, Instance.is_newest())
                )
            if row is None:
                yield uid, None
                continue
            try:
                source = self.spool.slice(row.spool_key, row.size)
                yield uid, b"".join(source.pieces())[row.data_set_offset :]
            except OSError as error:
                self.faults.append(f"{uid} cannot be read: {error}")

    def _read(self) -> None:
        chance = random.Random(self.seed)
        while not self.stopping.wait(0.2):
            with self.lock:
                recent = time.monotonic() - _KEPT / 2
                known = {uid: data for uid, (data, at) in self.acknowledged.items() if at > recent}
            for uid, content in self._contents(chance.sample(list(known), min(5, len(known)))):
                if content is not None and content != known[uid]:
                    self.faults.append(f"{uid} is read with other content")
                self.read += 1

    def _compact(self) -> None:
        from burnish import compaction
        from burnish.errors import OutOfResources

        while not self.stopping.wait(_COMPACTION):
            try:
                done = compaction.compact(self.database, self.spool, grace=_GRACE)
            except OutOfResources as error:
                say(f"not compacted: {error}")
                continue
            self.deleted += done.deleted
            self.rewritten += done.rewritten

    def _sample(self) -> None:
        from burnish import compaction
        from burnish.errors import OutOfResources
        from burnish.spool import segment

        while not self.stopping.wait(_SAMPLE):
            self.names.update(segment.names(self.spool.segments))
            for process in self.service.processes():
                try:
                    memory = process.memory_info()
                except psutil.Error:
                    continue
                self.memory.setdefault(process.pid, []).append(memory.rss - memory.shared)
            try:
                room = compaction.room(self.database, self.spool)
            except (OutOfResources, OSError):
                continue
            self.room.append((room.segments_allocated, room.segments_live))

    # --- the end ---

    def _check_acknowledged(self) -> None:
        """Everything that was acknowledged lately must be here as it was sent."""
        from burnish.receive.following import rows_are_complete

        if not rows_are_complete(self.database, self.spool, 60.0):
            self.faults.append("rows do not follow")
        checked_from = time.monotonic() - _KEPT / 2
        recent = {uid: data for uid, (data, at) in self.acknowledged.items() if at > checked_from}
        lost = [uid for uid, content in self._contents(list(recent)) if content != recent[uid]]
        self.faults += [f"{uid} is lost" for uid in lost]
        say(f"{len(recent)} instances of the end compared, {len(lost)} lost")

    def _let_go(self) -> None:
        """Wait until everything is released; then nothing may be left in the segments."""
        from burnish import compaction

        deadline = time.monotonic() + _KEPT + 300
        while time.monotonic() < deadline:
            if compaction.room(self.database, self.spool).segments_live == 0:
                break
            threading.Event().wait(2.0)
        else:
            self.faults.append("instances are not released")
        compaction.compact(self.database, self.spool, grace=0)
        running = compaction.room(self.database, self.spool)
        self.service.stop()
        compaction.compact(self.database, self.spool, grace=0)
        stopped = compaction.room(self.database, self.spool)
        say(
            f"in the end {running.segments} segments take {running.segments_allocated >> 20} MiB,"
            f" and {stopped.segments_allocated} bytes once the service has stopped"
        )
        if running.segments_allocated > 2 * _SEGMENT:
            self.faults.append("room is not given back")
        if stopped.segments or stopped.segments_allocated or os.listdir(self.spool.incoming):
            self.faults.append("the spool is not empty in the end")
        for pid, samples in self.memory.items():
            if len(samples) > 9 and samples[-1] - samples[len(samples) // 3] > _GROWTH:
                self.faults.append(f"process {pid} grows")

    def end(self) -> None:
        """End the service, whatever has happened."""
        with suppress(AssertionError):  # it does not run
            self.service.kill()

    def figures(self) -> str:
        """What happened, in words."""
        third = len(self.room) // 3
        middle, last = self.room[third : 2 * third], self.room[2 * third :]
        levels = [max((taken - live for taken, live in part), default=0) for part in (middle, last)]
        most_live = max((live for _, live in self.room), default=0)
        return (
            f"{self.stored} instances stored ({self.stored_bytes >> 20} MiB), {self.again} again,"
            f" {self.refused} refused, {self.read} read; {len(self.names)} segments,"
            f" {self.rewritten} rewritten, {self.deleted} deleted; {self.restarts} restarts,"
            f" {self.kills} kills; at most {most_live >> 20} MiB wanted at a time, and"
            f" {levels[0] >> 20} MiB beside it in the middle third, {levels[1] >> 20} in the last"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="on a disk; the default is /var/tmp")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(
        prefix="burnish-soak-",
        dir=arguments.folder or "/var/tmp",  # noqa: S108
    ) as folder:
        soak = SegmentSoak(Path(folder), arguments.minutes * 60, arguments.seed)
        try:
            soak.run()
        finally:
            soak.end()
        for fault in soak.faults:
            say(f"soak: {fault}")
        say(f"soak: {soak.figures()}, {len(soak.faults)} faults")
    sys.exit(bool(soak.faults))


if __name__ == "__main__":
    main()
