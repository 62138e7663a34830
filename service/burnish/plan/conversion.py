"""Stage: brings instances into a transfer syntax of their profile, once, on all cores."""

import ctypes
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from burnish.db.tables import TranscodedInstance
from burnish.errors import BurnishError
from burnish.fileset.transcode import Transcoded, to_explicit_vr_little_endian
from burnish.spool import Spool
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

log = structlog.get_logger(__name__)

#: What takes long to import before the first conversion.
_DECODERS = ("burnish.fileset.transcode", "pydicom.pixels", "numpy")


@dataclass(frozen=True, slots=True)
class Conversion:
    """One instance to be brought into Explicit VR Little Endian."""

    instance_id: int
    spool_key: str
    source_ae_title: str


class Conversions:
    """The conversions under way in this process, in worker processes of its own.

    What cannot be converted is remembered with its reason until `forget`. A decoder that takes its
    process down takes others' work with it, so each of those is then tried again alone.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._workers = os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*_DECODERS])
        ensure_running()  # it loads the decoders meanwhile, and lends them to the workers
        self._running: dict[Future[Transcoded], tuple[Conversion, str]] = {}
        self._suspects: set[int] = set()
        self.failed: dict[int, str] = {}

    @property
    def running(self) -> frozenset[int]:
        """The instances that are being converted."""
        return frozenset(conversion.instance_id for conversion, _ in self._running.values())

    def start(self, wanted: Iterable[Conversion]) -> None:
        """Starts conversions, in the order given, as far as workers are free."""
        running = self.running
        for conversion in wanted:
            if len(self._running) >= (1 if self._suspects else 2 * self._workers):
                return
            if conversion.instance_id not in running and conversion.instance_id not in self.failed:
                self._submit(conversion)

    def _submit(self, conversion: Conversion) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=self._context, initializer=_die_with_parent
            )
        key = self._spool.new_key()
        try:
            future = self._pool.submit(
                _convert,
                self._spool.path(conversion.spool_key),
                self._spool.arriving(key),
                conversion.source_ae_title,
            )
        except BrokenProcessPool:
            self._pool = None
            return
        self._running[future] = (conversion, key)

    def wait(self, seconds: float) -> bool:
        """Waits until one has ended; whether any had."""
        return bool(self._running) and bool(
            wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED).done
        )

    def collect(self) -> list[TranscodedInstance]:
        """The rows of those that have ended well; their files are published."""
        rows = []
        for future in [future for future in self._running if future.done()]:
            conversion, key = self._running.pop(future)
            try:
                made = future.result()
            except BrokenProcessPool:
                self._pool = None
                self._spool.remove(key)
                if conversion.instance_id in self._suspects:
                    self._suspects.discard(conversion.instance_id)
                    self.failed[conversion.instance_id] = "the decoder crashed"
                else:
                    self._suspects.add(conversion.instance_id)
            except (BurnishError, OSError, MemoryError) as error:
                self._spool.remove(key)
                self._suspects.discard(conversion.instance_id)
                self.failed[conversion.instance_id] = f"{type(error).__name__}: {error}"
            else:
                self._suspects.discard(conversion.instance_id)
                rows.append(
                    TranscodedInstance(
                        instance_id=conversion.instance_id,
                        transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
                        spool_key=key,
                        size=made.size,
                        data_set_offset=made.data_set_offset,
                        digest=made.digest,
                    )
                )
        if rows:
            self._spool.publish([row.spool_key for row in rows])
        return rows

    def forget(self, instance_ids: Iterable[int]) -> dict[int, str]:
        """The reasons of those that failed, which may from now on be tried again."""
        return {i: self.failed.pop(i) for i in instance_ids if i in self.failed}

    def close(self) -> None:
        """Ends the workers at once: what they were at is begun anew another time."""
        if self._pool is None:
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.kill()
        for _, key in self._running.values():
            self._spool.remove(key)


def _die_with_parent() -> None:
    """A worker must not outlive a scheduler that was killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _convert(source: Path, target: Path, source_ae_title: str) -> Transcoded:
    # a codec that fails is an answer here, not a traceback in the log
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return to_explicit_vr_little_endian(source, target, source_ae_title=source_ae_title)


def record(session: Session, rows: Sequence[TranscodedInstance]) -> None:
    """Keeps what was converted for all copies, volumes and retries."""
    session.add_all(rows)
