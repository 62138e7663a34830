"""Craft: makes renditions of instances, each once, in worker processes on all cores."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from burnish.codec_process import confine_codec_process
from burnish.content import rendition
from burnish.content.rendition import RenditionOptions
from burnish.content.volume_files import rendition_path
from burnish.errors import OutOfResources
from burnish.file_slice import Slice
from burnish.spool import DISK_FAILS

#: Modules that take long to import: the forkserver imports them once for all workers.
_MODULES = (
    "burnish.content.rendition",
    "burnish.content.render",
    "burnish.content.viewer_data",
    "pydicom.pixels",
    "PIL.JpegImagePlugin",
)
#: Instances that a worker takes at once.
_CHUNK = 4
#: Bytes of memory that a worker may use. The system counts 50 MB that are reserved and never used,
#: so that at most 300 MB are in use.
_MOST_MEMORY = 352 << 20
#: Seconds of CPU time for the renditions of a chunk, plus seconds for each byte of its instances.
_TIME_LIMIT = 120.0
_TIME_LIMIT_PER_BYTE = 2e-6


class RenditionTask(NamedTuple):
    """An instance whose rendition is to be made under a key."""

    key: str
    source: Slice


class RenditionPool:
    """Worker processes that fill the cache at `folder`; they are started when there is work.

    A decoder may crash on its input, or not end. The instances of that worker are then tried again
    one by one, and the one at fault gets a rendition that says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._workers = os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    def missing(self, tasks: Sequence[RenditionTask]) -> list[RenditionTask]:
        """The tasks whose renditions are not in the cache."""
        return [task for task in tasks if not rendition_path(self.folder, task.key).exists()]

    def make(
        self,
        tasks: Sequence[RenditionTask],
        options: RenditionOptions,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Make the renditions; `progress` is told how many are there.

        Raises OutOfResources where the disk is full or fails.
        """
        chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
        done = 0
        failed: list[Sequence[RenditionTask]] = []
        for chunk, future in self._completed(chunks, options):
            try:
                future.result()
            except BrokenProcessPool:
                failed.append(chunk)
            except OSError as error:
                _raise_if_disk_fails(error)
                failed.append(chunk)
            else:
                done += len(chunk)
                if progress:
                    progress(done)
        for chunk in failed:
            for task in chunk:
                self._make_alone(task, options)

    def _completed(
        self, chunks: Sequence[Sequence[RenditionTask]], options: RenditionOptions
    ) -> Iterator[tuple[Sequence[RenditionTask], Future[None]]]:
        futures: dict[Future[None], Sequence[RenditionTask]] = {}
        broken: list[Sequence[RenditionTask]] = []
        for chunk in chunks:
            try:
                futures[self._running_pool().submit(_make, chunk, self.folder, options)] = chunk
            except BrokenProcessPool:
                self.close()
                broken.append(chunk)
        for future in as_completed(futures):
            yield futures[future], future
        for chunk in broken:
            for task in chunk:
                self._make_alone(task, options)

    def _make_alone(self, task: RenditionTask, options: RenditionOptions) -> None:
        self.close()
        try:
            self._running_pool().submit(_make, [task], self.folder, options).result()
        except BrokenProcessPool:
            self.close()
            rendition.write_faulty(self.folder, task.key)
        except OSError as error:
            _raise_if_disk_fails(error)
            rendition.write_faulty(self.folder, task.key)

    def _running_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            context.set_forkserver_preload([*_MODULES])
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=context,
                initializer=confine_codec_process,
                initargs=(self._workers, _MOST_MEMORY),
            )
        return self._pool

    def close(self) -> None:
        """End the workers; what they were making is made anew another time."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _raise_if_disk_fails(error: OSError) -> None:
    if error.errno in DISK_FAILS:
        raise OutOfResources(f"renditions cannot be kept: {error.strerror}") from error


def _make(tasks: Sequence[RenditionTask], folder: Path, options: RenditionOptions) -> None:
    size = sum(task.source.size for task in tasks)
    # SIGPROF then ends the worker: nothing else stops a codec in an endless loop
    signal.setitimer(signal.ITIMER_PROF, _TIME_LIMIT + _TIME_LIMIT_PER_BYTE * size)
    try:
        for task in tasks:
            rendition.make_rendition(task.source, folder, task.key, options)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
