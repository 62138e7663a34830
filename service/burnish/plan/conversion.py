"""Stage: brings instances into other transfer syntaxes, on all cores; each once."""

import multiprocessing
import os
import signal
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import NamedTuple

from burnish import site_records
from burnish.codec_process import confine_codec_process
from burnish.errors import BurnishError, OutOfResources
from burnish.file_slice import Slice
from burnish.plan.attempts import Conversion
from burnish.plan.eligibility import InstanceFailure
from burnish.site_records import SiteRecords
from burnish.spool import DISK_FAILS, Spool
from burnish.transcode import convert
from burnish.transcode.frames import AttributesMissing, NotTranscodable, ValuesMissing
from burnish.transcode.lossless import NotIdentical
from burnish.transcode.uncompressed import TranscodedFile
from burnish.vocabulary import FailureReason

#: Modules that take long to import: the forkserver imports them before the first conversion.
_CODECS = ("burnish.transcode.convert", "pydicom.pixels", "numpy")
#: Seconds of CPU time that a conversion may take, plus seconds for each byte of its source. The
#: slowest codec does 1 MB of pixels a second, and compressed pixels become ten times as many.
_TIME_LIMIT = 600.0
_TIME_LIMIT_PER_BYTE = 10e-6


class Converted(NamedTuple):
    """A conversion that succeeded, and the file that was published in the spool."""

    conversion: Conversion
    spool_key: str
    file: TranscodedFile


class Conversions:
    """The conversions of this service, which run in worker processes.

    `failed` has the conversions that failed, with the reason, until `forget` is called. When a
    decoder crashes, its process pool is lost, with the work of other workers; each conversion of
    that pool is then tried again alone, to find the one that crashes.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._workers = os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self._context = multiprocessing.get_context("forkserver")
        # OpenBLAS, which no codec uses, would take some 40 MB for each core
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._context.set_forkserver_preload([*_CODECS])
        ensure_running()  # it imports the codecs now; workers are forked from it
        self._running: dict[Future[TranscodedFile], tuple[Conversion, str]] = {}
        self._suspects: set[tuple[int, str]] = set()
        self.failed: dict[tuple[int, str], InstanceFailure] = {}

    @property
    def running(self) -> frozenset[tuple[int, str]]:
        """The keys of the conversions under way: instance ids and transfer syntaxes."""
        return frozenset(conversion.key for conversion, _ in self._running.values())

    def start(self, conversions: Iterable[Conversion]) -> None:
        """Start conversions in the given order, as many as there are workers for."""
        running = self.running
        limit = 1 if self._suspects else 2 * self._workers
        for conversion in conversions:
            if len(self._running) >= limit:
                return
            if conversion.key not in running and conversion.key not in self.failed:
                self._submit(conversion)

    def _submit(self, conversion: Conversion) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=self._context,
                initializer=_begin,
                initargs=(self._workers, site_records.in_use()),
            )
        key = self._spool.new_converted_key()
        try:
            future = self._pool.submit(
                _convert,
                conversion.transfer_syntax_uid,
                self._spool.slice(conversion.spool_key, conversion.size),
                self._spool.arriving(key),
                conversion.source_ae_title,
            )
        except BrokenProcessPool:
            self._pool = None
            return
        self._running[future] = (conversion, key)

    def wait(self, seconds: float) -> bool:
        """Wait until a conversion has ended. Returns True if one has."""
        if not self._running:
            return False
        return bool(wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED).done)

    def collect(self) -> list[Converted]:
        """The conversions that have succeeded since the last call; their files are published.

        Raises OutOfResources where the disk is full or fails: those conversions are started again
        when they are next asked for.
        """
        converted: list[Converted] = []
        disk_error: OSError | None = None
        for future in [future for future in self._running if future.done()]:
            conversion, key = self._running.pop(future)
            try:
                file = future.result()
            except BrokenProcessPool:
                self._pool = None
                self._spool.remove(key)
                if conversion.key in self._suspects:
                    self._suspects.discard(conversion.key)
                    self.failed[conversion.key] = InstanceFailure(
                        FailureReason.PROCESSING_FAILURE, "the codec crashed or did not end"
                    )
                else:
                    self._suspects.add(conversion.key)
            except (BurnishError, OSError, MemoryError) as error:
                with suppress(OSError):
                    self._spool.remove(key)
                self._suspects.discard(conversion.key)
                if isinstance(error, OSError) and error.errno in DISK_FAILS:
                    disk_error = error
                else:
                    self.failed[conversion.key] = conversion_failure(error)
            else:
                self._suspects.discard(conversion.key)
                converted.append(Converted(conversion, key, file))
        try:
            self._spool.publish([spool_key for _, spool_key, _ in converted])
        except OSError as error:
            for _, spool_key, _ in converted:
                with suppress(OSError):
                    self._spool.remove(spool_key)
            disk_error = error
            converted = []
        if disk_error and not converted:
            raise OutOfResources(f"converted instances cannot be kept: {disk_error.strerror}")
        return converted

    def forget(self, instance_ids: Iterable[int]) -> None:
        """Forget which conversions of these instances failed: they may be tried again."""
        forgotten = set(instance_ids)
        self.failed = {
            key: failure for key, failure in self.failed.items() if key[0] not in forgotten
        }

    def close(self) -> None:
        """End the workers at once; conversions under way are started anew another time."""
        if self._pool is None:
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.kill()
        for _, key in self._running.values():
            self._spool.remove(key)


def _begin(workers: int, records: SiteRecords) -> None:
    """Prepare a worker: the header of what it makes has further keys as well."""
    confine_codec_process(workers)
    site_records.use(records)


def _convert(
    transfer_syntax_uid: str, source: Slice, target: Path, source_ae_title: str
) -> TranscodedFile:
    seconds = _TIME_LIMIT + _TIME_LIMIT_PER_BYTE * source.size
    # SIGPROF then ends the worker: nothing else stops a codec in an endless loop
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return convert.convert_file(
            transfer_syntax_uid, source, target, source_ae_title=source_ae_title
        )
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def conversion_failure(error: Exception) -> InstanceFailure:
    """The failure of an instance whose conversion ended with an error."""
    reason = FailureReason.PROCESSING_FAILURE
    if isinstance(error, AttributesMissing):
        reason = FailureReason.MISSING_ATTRIBUTE
    elif isinstance(error, ValuesMissing):
        reason = FailureReason.MISSING_ATTRIBUTE_VALUE
    return InstanceFailure(
        reason,
        str(error) if isinstance(error, BurnishError) else f"{type(error).__name__}: {error}",
        error.attributes if isinstance(error, NotTranscodable) else (),
        encoder_fault=isinstance(error, NotIdentical),
    )
