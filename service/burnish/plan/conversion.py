"""Stage: brings instances into a transfer syntax of their profile, once, on all cores."""

import ctypes
import logging
import multiprocessing
import os
import resource
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import structlog
from sqlalchemy import insert, inspect
from sqlalchemy.orm import Session

from burnish.db.tables import TranscodedInstance
from burnish.errors import BurnishError, OutOfResources
from burnish.spool import DISK_FAILS, Spool
from burnish.transcode import conform
from burnish.transcode.compress import NotIdentical
from burnish.transcode.frames import AttributesMissing, NotTranscodable, ValuesMissing
from burnish.transcode.transcode import Transcoded
from burnish.vocabulary import FailureReason

log = structlog.get_logger(__name__)

#: What takes long to import before the first conversion.
_CODECS = ("burnish.transcode.conform", "pydicom.pixels", "numpy")
#: Of the machine's memory, what all workers may take together; in bytes, what each may take always.
_SHARE_OF_MEMORY, _LEAST_MEMORY = 0.75, 1 << 29
#: Seconds of a processor that a conversion may take, and so many more for each byte of its source:
#: the slowest codec does 1 MB of pixels a second, and compressed ones come to ten times as many.
_PATIENCE, _PATIENCE_PER_BYTE = 600.0, 10e-6


@dataclass(frozen=True, slots=True)
class Conversion:
    """One instance to be brought into another transfer syntax."""

    instance_id: int
    transfer_syntax_uid: str
    spool_key: str
    source_ae_title: str

    @property
    def key(self) -> tuple[int, str]:
        """What is made: of which instance, and in which transfer syntax."""
        return self.instance_id, self.transfer_syntax_uid


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a conversion failed, as a Failed SOP Sequence tells it (PS3.3 C.22.1.4).

    `harmless` where the instance is as good as before, and only not in that transfer syntax.
    """

    why: str
    reason: FailureReason = FailureReason.PROCESSING_FAILURE
    attributes: tuple[int, ...] = ()
    harmless: bool = True


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
        # NumPy's linear algebra, which no codec needs, would take some 40 MB for each core at once
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._context.set_forkserver_preload([*_CODECS])
        ensure_running()  # it loads the codecs meanwhile, and lends them to the workers
        self._running: dict[Future[Transcoded], tuple[Conversion, str]] = {}
        self._suspects: set[tuple[int, str]] = set()
        self.failed: dict[tuple[int, str], Broken] = {}

    @property
    def running(self) -> frozenset[tuple[int, str]]:
        """The instances that are being converted, and the transfer syntaxes they are to have."""
        return frozenset(conversion.key for conversion, _ in self._running.values())

    def start(self, wanted: Iterable[Conversion]) -> None:
        """Starts conversions, in the order given, as far as workers are free."""
        running = self.running
        for conversion in wanted:
            if len(self._running) >= (1 if self._suspects else 2 * self._workers):
                return
            if conversion.key not in running and conversion.key not in self.failed:
                self._submit(conversion)

    def _submit(self, conversion: Conversion) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=self._context,
                initializer=confine,
                initargs=(self._workers,),
            )
        key = self._spool.new_key()
        try:
            future = self._pool.submit(
                _convert,
                conversion.transfer_syntax_uid,
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
        """The rows of those that have ended well; their files are published.

        Raises OutOfResources where the disk is full or fails: what it cost is made another time.
        """
        rows, waits = list[TranscodedInstance](), None
        for future in [future for future in self._running if future.done()]:
            conversion, key = self._running.pop(future)
            try:
                made = future.result()
            except BrokenProcessPool:
                self._pool = None
                self._spool.remove(key)
                if conversion.key in self._suspects:
                    self._suspects.discard(conversion.key)
                    self.failed[conversion.key] = Broken("the codec crashed or did not end")
                else:
                    self._suspects.add(conversion.key)
            except (BurnishError, OSError, MemoryError) as error:
                with suppress(OSError):
                    self._spool.remove(key)
                self._suspects.discard(conversion.key)
                if isinstance(error, OSError) and error.errno in DISK_FAILS:
                    waits = error  # for its disk: tried again at another tick
                else:
                    self.failed[conversion.key] = _broken(error)
            else:
                self._suspects.discard(conversion.key)
                rows.append(_row(conversion, key, made))
        try:
            self._spool.publish([row.spool_key for row in rows])
        except OSError as error:
            for row in rows:
                with suppress(OSError):
                    self._spool.remove(row.spool_key)
            waits, rows = error, []
        if waits and not rows:
            raise OutOfResources(f"conversions cannot be kept: {waits.strerror}")
        return rows

    def forget(self, instance_ids: Iterable[int]) -> None:
        """What failed of these instances may from now on be tried again."""
        forgotten = set(instance_ids)
        self.failed = {key: why for key, why in self.failed.items() if key[0] not in forgotten}

    def close(self) -> None:
        """Ends the workers at once: what they were at is begun anew another time."""
        if self._pool is None:
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.kill()
        for _, key in self._running.values():
            self._spool.remove(key)


def _row(conversion: Conversion, key: str, made: Transcoded) -> TranscodedInstance:
    return TranscodedInstance(
        instance_id=conversion.instance_id,
        transfer_syntax_uid=conversion.transfer_syntax_uid,
        spool_key=key,
        size=made.size,
        data_set_offset=made.data_set_offset,
        digest=made.digest,
        derived_sop_instance_uid=made.derived.sop_instance_uid if made.derived else "",
        derived_record_keys=made.derived.record_keys if made.derived else b"",
    )


def confine(workers: int) -> None:
    """Begins one of so many workers in which codecs run.

    It must not outlive a scheduler that was killed, nor take the machine's memory, and a codec
    that fails is an answer, not a traceback in the log.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = max(_LEAST_MEMORY, int(_SHARE_OF_MEMORY * memory / workers))
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _convert(
    transfer_syntax_uid: str, source: Path, target: Path, source_ae_title: str
) -> Transcoded:
    seconds = _PATIENCE + _PATIENCE_PER_BYTE * source.stat().st_size
    # At the end of it SIGPROF ends the worker: a codec that is caught in a loop hears nothing else.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return conform.bring_into(
            transfer_syntax_uid, source, target, source_ae_title=source_ae_title
        )
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _broken(error: Exception) -> Broken:
    why = f"{type(error).__name__}: {error}"
    match error:
        case AttributesMissing():
            return Broken(why, FailureReason.MISSING_ATTRIBUTE, error.attributes)
        case ValuesMissing():
            return Broken(why, FailureReason.MISSING_ATTRIBUTE_VALUE, error.attributes)
        case NotTranscodable():
            return Broken(why, attributes=error.attributes)
        case _:
            return Broken(why, harmless=not isinstance(error, NotIdentical))


def record(session: Session, rows: Sequence[TranscodedInstance]) -> None:
    """Keeps what was converted for all copies, volumes and retries.

    The rows themselves stay as they are, so that this can be done again.
    """
    columns = [one.key for one in inspect(TranscodedInstance).column_attrs if one.key != "id"]
    values = [{name: getattr(row, name) for name in columns} for row in rows]
    session.execute(insert(TranscodedInstance), values)
