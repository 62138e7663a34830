"""Ground: the memory of a process: when to collect garbage and return it to the system."""

import ctypes
import gc
from time import monotonic

_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
#: Seconds from one collection to the next.
_INTERVAL = 30.0
_last_release = monotonic()


def collect_rarely() -> None:
    """Let Python's garbage collector run rarely, and leave out what is in memory now.

    It would go through a large request's rows again and again while they are read; and in a forked
    process it would copy the pages that it shares with its parent. A process that calls this has to
    call `release_memory` now and then.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def release_memory() -> None:
    """Collect garbage and return free memory to the operating system, at most every 30 seconds.

    Call it whenever the process has a moment: the allocator keeps what each thread once had.
    """
    global _last_release  # noqa: PLW0603  one process has one collector and one allocator
    if monotonic() - _last_release < _INTERVAL:
        return
    gc.collect()
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)
    _last_release = monotonic()
