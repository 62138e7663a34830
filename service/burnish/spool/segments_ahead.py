"""Ground: segments that one process creates before the receivers need them."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from burnish.errors import OutOfResources
from burnish.spool import segment


class NewSegment(NamedTuple):
    """A segment without records. Whoever has `descriptor` holds its lock."""

    name: str
    descriptor: int


class SegmentsAhead:
    """Segments that wait in `folder`, with a header and room, until a receiver takes them.

    Made before the processes that use it: one calls `create`, the others `take`. A service that
    syncs what it receives does without: there it costs little to allocate a segment, and the name
    of the segment has to be made durable when it is taken.

    The process that creates runs only while a processor has nothing else to do. In a file system
    in memory, where to allocate means to clear, 525 KB are appended in 45 us of CPU to a segment
    that was allocated, and in 160 to one that was not. One association stores 1.3 times as many
    instances in a second then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wakes = os.eventfd(0)

    def take(self, segments: Path) -> NewSegment | None:
        """A segment, under its name in the folder `segments`; None if none is ready.

        Raises OSError.
        """
        try:
            return next(filter(None, (self._take(path, segments) for path in self._ready())), None)
        finally:
            self.wake()

    def create(
        self, size: int, count: int, check_room: Callable[[], None], stopping: threading.Event
    ) -> None:
        """Keep `count` segments of `size` bytes ready until `stopping` is set; see `wake`.

        None is created while the disk is full. Those that nobody took are removed in the end.
        """
        _use_idle_processors()
        while not stopping.is_set():
            with suppress(OSError, OutOfResources):
                for _ in range(count - len(self._ready())):
                    check_room()
                    self._create(size)
            os.eventfd_read(self._wakes)
        for path in self._ready():
            path.unlink(missing_ok=True)

    def wake(self) -> None:
        """Have `create` look what is to be done."""
        os.eventfd_write(self._wakes, 1)

    def _ready(self) -> list[Path]:
        return list(self._folder.glob(f"*{segment.SUFFIX}"))

    def _take(self, path: Path, segments: Path) -> NewSegment | None:
        """Take one; None if another process has it, or it was removed."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if segment.lock(descriptor):
                path.rename(segments / path.name)
                return NewSegment(path.stem, descriptor)
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _create(self, size: int) -> None:
        name = segment.new_name()
        path = segment.unfinished_path(self._folder, name)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.pwrite(descriptor, segment.encode_header(name), 0)
            path.rename(segment.path(self._folder, name))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


def _use_idle_processors() -> None:
    """Run while a processor has nothing else to do; where that cannot be asked for, seldom."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.nice(19)
