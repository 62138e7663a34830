"""Ground: limits on simultaneous associations, in all and of each peer, over all receivers."""

import mmap
import threading

from burnish.settings import Settings


class AssociationLimits:
    """Counts the associations of all receiver processes that were forked after it was made.

    Each receiver has a row of counters in shared memory, which it alone writes: the first counts
    all its associations, the others those of each peer. A receiver that is killed leaves its
    counts behind until its successor sets them to zero. An association first adds itself, then
    looks at the sum over all receivers, and is rejected if that exceeds a limit. So a limit is
    never exceeded.
    """

    def __init__(self, settings: Settings, receivers: int = 1) -> None:
        self._limits = [settings.dicom.maximum_associations]
        self._limits += [peer.maximum_associations for peer in settings.peer]
        self._columns = {peer.ae_title: at for at, peer in enumerate(settings.peer, start=1)}
        self._width = len(self._limits)
        memory = mmap.mmap(-1, 4 * self._width * receivers)
        self._counts = memoryview(memory).cast("I")
        self._start = 0
        self._lock = threading.Lock()

    def begin(self, receiver_number: int) -> None:
        """Makes this process the receiver of that number (from 0), with no associations yet."""
        self._start = receiver_number * self._width
        for column in range(self._width):
            self._counts[self._start + column] = 0

    def acquire(self, calling_ae_title: str) -> str:
        """Counts a new association of a peer; returns "", or the limit that rejects it."""
        columns = self._columns_of(calling_ae_title)
        with self._lock:
            for column in columns:
                self._counts[self._start + column] += 1
            exceeded = [column for column in columns if self._sum(column) > self._limits[column]]
            if exceeded:
                self._subtract(columns)
        if not exceeded:
            return ""
        limit = self._limits[exceeded[0]]
        if exceeded[0] == 0:
            return f"{limit} associations at once (dicom.maximum_associations)"
        return f"{limit} associations at once of AE {calling_ae_title} (peer.maximum_associations)"

    def release(self, calling_ae_title: str) -> None:
        """Ends an association that `acquire` counted."""
        with self._lock:
            self._subtract(self._columns_of(calling_ae_title))

    @property
    def in_use(self) -> int:
        """The associations of all receivers."""
        return self._sum(0)

    def _columns_of(self, calling_ae_title: str) -> list[int]:
        column = self._columns.get(calling_ae_title)
        return [0] if column is None else [0, column]

    def _subtract(self, columns: list[int]) -> None:
        for column in columns:
            self._counts[self._start + column] -= 1

    def _sum(self, column: int) -> int:
        return sum(self._counts[column :: self._width])
