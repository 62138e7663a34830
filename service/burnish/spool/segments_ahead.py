"""Ground: segments that one process creates before the receivers need them."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from burnish.spool import segment


class NewSegment(NamedTuple):
    """A segment without records; the process that has `descriptor` open holds its lock."""

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
        self._taken = os.eventfd(0)

    def take(self, segments: Path) -> NewSegment | None:
        """A segment, under its name in the folder `segments`; None if none is ready.

        Raises OSError.
        """
        try:
            return next(filter(None, (self._take(path, segments) for path in self._ready())), None)
        finally:
            os.eventfd_write(self._taken, 1)

    def create(self, size: int, count: int, has_room: Callable[[int], bool]) -> NoReturn:
        """Keep `count` segments of `size` bytes ready until the process is ended.

        None is created where `has_room` for that size is false: what is left is for instances.
        """
        with suppress(OSError):  # not permitted everywhere
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while True:
            with suppress(OSError):
                while len(self._ready()) < count and has_room(size):
                    self._create(size)
            os.eventfd_read(self._taken)

    def remove(self) -> None:
        """Remove what nobody has taken, once the process that creates has ended."""
        for path in (*self._ready(), *self._folder.glob(f"*{segment.UNFINISHED}")):
            path.unlink(missing_ok=True)

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
