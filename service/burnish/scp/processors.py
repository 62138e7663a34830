"""Surface: which processors the threads of a receiver use."""

import os
import threading
from contextlib import suppress
from time import monotonic

#: Seconds for which there have to be fewer associations before the threads are free again.
_PATIENCE = 0.4


class Processors:
    """Keeps the threads of each receiver on one processor while all receivers are busy.

    The threads of a process take turns with the interpreter. To hand it to a thread on another
    processor takes several times as long as on the same one, most of all in a virtual machine. With
    eight associations on two processors, a third more durable instances of 10 KB are received; with
    two and four, a fifth more. With one association, a tenth fewer: then the operating system
    chooses, as where there are fewer receivers than processors.
    """

    def __init__(self, number: int, receivers: int) -> None:
        """For the receiver of that number (from 0), of so many."""
        allowed = sorted(os.sched_getaffinity(0))
        self._receivers = receivers
        self._all = set(allowed)
        self._own = {allowed[number % len(allowed)]}
        self._used = self._all
        self._has_choice = 1 < len(allowed) <= receivers
        self._few_since = 0.0
        self._lock = threading.Lock()

    def choose(self, associations: int) -> None:
        """To be called when an association has begun or ended, and now and then.

        `associations` is the number of those of all receivers.
        """
        if not self._has_choice:
            return
        with self._lock:
            if associations >= self._receivers:
                self._few_since = 0.0
                self._use(self._own)
            elif not self._few_since:
                self._few_since = monotonic()
            elif monotonic() - self._few_since > _PATIENCE:
                self._use(self._all)

    def _use(self, processors: set[int]) -> None:
        """Move all threads; those that are started later follow the thread that starts them."""
        if processors is self._used:
            return
        self._used = processors
        for thread in threading.enumerate():
            if thread.native_id is not None:
                with suppress(OSError):  # it has ended, or that is not permitted
                    os.sched_setaffinity(thread.native_id, processors)
