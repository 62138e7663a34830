"""Stage: the memory of instances that arrive, for all associations of a process."""

import mmap
import threading

#: The size of a buffer in bytes. A larger instance gets a file of its own.
BUFFER_SIZE = 2 << 20
#: The most buffers that a process uses: its memory for instances that arrive is 256 MiB.
_MOST_BUFFERS = 128
#: The size of a buffer for an instance that arrives while so many are in use.
_SMALL_SIZE = 64 << 10
#: So many buffers that nobody uses are kept. Their pages have memory already: new pages for an
#: instance of 525 KB cost 30 us.
_KEPT = 8


class Buffers:
    """Buffers for instances that arrive.

    The one that was given back last is taken first, since it may still be in the processor's cache.
    """

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []
        self._in_use = 0
        self._lock = threading.Lock()

    def take(self) -> mmap.mmap:
        """A buffer for one instance: of `BUFFER_SIZE` bytes, or a small one if many are in use."""
        with self._lock:
            if self._free:
                self._in_use += 1
                return self._free.pop()
            if self._in_use >= _MOST_BUFFERS:
                return mmap.mmap(-1, _SMALL_SIZE)
            self._in_use += 1
        return mmap.mmap(-1, BUFFER_SIZE)

    def give_back(self, buffer: mmap.mmap) -> None:
        """Give back a buffer that `take` returned, and to which nothing refers."""
        if len(buffer) != BUFFER_SIZE:
            return
        with self._lock:
            self._in_use -= 1
            if len(self._free) < _KEPT:
                self._free.append(buffer)
