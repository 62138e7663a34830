"""Ground: how many associations there are at once, in all and of each peer, over processes."""

import mmap
import threading

from burnish.settings import Settings


class Seats:
    """The associations of all receivers that were forked after this was made.

    Each receiver has a row of counters in shared memory that it alone writes: the first counts
    all its associations, the others those of each peer. One that is killed leaves its counts
    behind; the next one in its place begins anew. No count is ever over its limit: who comes adds
    itself, looks at the sum, and goes away where that is too many.
    """

    def __init__(self, settings: Settings, receivers: int = 1) -> None:
        self._limits = [
            settings.dicom.maximum_associations,
            *(peer.maximum_associations for peer in settings.peer),
        ]
        self._columns = {peer.ae_title: at for at, peer in enumerate(settings.peer, start=1)}
        self._width = len(self._limits)
        memory = mmap.mmap(-1, 4 * self._width * receivers)
        self._counts = memoryview(memory).cast("I")
        self._start = 0
        self._lock = threading.Lock()

    def begin(self, number: int) -> None:
        """Makes this process the receiver of that number, from 0, with no associations yet."""
        self._start = number * self._width
        for column in range(self._width):
            self._counts[self._start + column] = 0

    def take(self, ae_title: str) -> str:
        """Takes a seat for a peer; "", or why there is none."""
        columns = self._of(ae_title)
        with self._lock:
            for column in columns:
                self._counts[self._start + column] += 1
            over = [column for column in columns if self._sum(column) > self._limits[column]]
            if over:
                self._subtract(columns)
        if not over:
            return ""
        whose = " of this peer" if over[0] else ""
        return f"{self._limits[over[0]]} associations at once{whose}"

    def give_back(self, ae_title: str) -> None:
        """Gives back what `take` took."""
        with self._lock:
            self._subtract(self._of(ae_title))

    @property
    def taken(self) -> int:
        """All associations of all receivers."""
        return self._sum(0)

    def _of(self, ae_title: str) -> list[int]:
        return [0, *([self._columns[ae_title]] if ae_title in self._columns else [])]

    def _subtract(self, columns: list[int]) -> None:
        for column in columns:
            self._counts[self._start + column] -= 1

    def _sum(self, column: int) -> int:
        return sum(self._counts[column :: self._width])
