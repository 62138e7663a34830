"""Stage: follows the segments of this process, and inserts the rows of what was received.

An instance is acknowledged once it is in a segment. Its row follows within a tenth of a second when
little arrives; under load, many rows are inserted by one transaction. The transaction need not be
durable: it also says how far the segment has its rows, so that whatever a power failure takes is
replayed.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal

import structlog

from burnish.db import received_rows
from burnish.db.new_rows import NewRow
from burnish.db.received_rows import RecordedRows, RowRecorder
from burnish.db.session import Database
from burnish.errors import OutOfResources
from burnish.spool import Spool
from burnish.spool.appender import PendingRecord, SealedSegment

log = structlog.get_logger(__name__)

#: The most rows that are inserted by one transaction.
_LARGEST_BATCH = 2000
#: Rows collect for this many times as long as it took to insert the ones before, and for this many
#: seconds at most. A transaction takes 200 us and more before the first row, so with 20 instead of
#: 50 each row of a single durable association would cost 40 us of CPU more.
_COLLECT = 50
_LONGEST_COLLECTION = 0.1
#: Seconds until the indexer tries again if the database does not answer.
_RETRY = 1.0
#: So many instances may wait for their rows, some 50 MB. More are not received meanwhile.
MOST_WAITING = 20_000
#: Seconds after which a thread without work looks whether a segment is old enough to be sealed.
_LOOK_ANYWAY = 60.0


class Arrival:
    """The row of an instance that was received, and what became of it once that is known."""

    indexed: threading.Event | None = None
    #: The row of the first content, if the instance is refused because of it.
    first_row: dict[str, Any] | None = None
    is_unstorable = False

    def __init__(self, row: NewRow) -> None:
        self.row = row


class Indexer:
    """Inserts the rows of what one appender has appended.

    `index` does that in the calling thread. `run` does it until it is told to stop, for a thread.
    """

    def __init__(
        self, database: Database, spool: Spool, *, same_uid: Literal["newest", "first"]
    ) -> None:
        self._database = database
        self._spool = spool
        self._recorder = RowRecorder(database, same_uid)
        #: Where the first content counts, each instance waits for its row.
        self._rows_collect = same_uid == "newest"
        self._waiting: deque[PendingRecord | SealedSegment] = deque()
        #: What is being inserted.
        self._batch: list[PendingRecord | SealedSegment] = []
        self._lock = threading.Lock()
        self._has_work = threading.Event()
        self._is_asleep = False
        self._has_room = threading.Condition()
        self._database_fails = False
        #: Whether a thread calls `run`, or is about to.
        self.runs = False

    @property
    def waiting(self) -> int:
        """How many instances wait for their rows."""
        return len(self._waiting) + len(self._batch)

    @property
    def is_full(self) -> bool:
        """Whether so many instances wait for their rows that others have to wait."""
        return len(self._waiting) + len(self._batch) >= MOST_WAITING

    def add(self, notices: Sequence[PendingRecord | SealedSegment]) -> None:
        """Note what was appended or sealed; called in order."""
        self._waiting.extend(notices)
        if self._is_asleep:
            self._has_work.set()

    def wait_for_room(self, seconds: float) -> None:
        """Wait until not too many instances wait for their rows; raises OutOfResources.

        While the database does not answer, it does not wait.
        """
        if not self.is_full:
            return
        if not self.runs:
            self.index()
            return

        def goes_on() -> bool:
            return not self.is_full or self._database_fails

        with self._has_room:
            self._has_room.wait_for(goes_on, seconds)
        if self.is_full:
            raise OutOfResources("the database does not answer: too many instances have no row yet")

    def index(self) -> None:
        """Insert the rows of everything that was appended until now; raises OutOfResources."""
        with self._lock:
            left = self.waiting
            while left > 0:
                left -= self._index_batch()

    def run(self, stopping: threading.Event, tend: Callable[[], None]) -> None:
        """Insert rows until `stopping` is set and everything has its row, or the database fails.

        `tend` is called now and then. To end, set `stopping`, then call `wake`.
        """
        waits_for = ""
        while not stopping.is_set() or (self.waiting and not waits_for):
            began_at = monotonic()
            try:
                self.index()
                tend()
            except Exception as error:
                self._note_answer(fails=True)
                if not isinstance(error, OutOfResources):
                    log.exception("rows of instances not inserted")
                elif not waits_for:
                    log.error("rows of instances have to wait", why=str(error))
                waits_for = str(error)
                stopping.wait(_RETRY)
                continue
            self._note_answer(fails=False)
            if waits_for:
                waits_for = ""
                log.info("rows of instances resumed")
            self._sleep(stopping, min(_COLLECT * (monotonic() - began_at), _LONGEST_COLLECTION))
        with suppress(OutOfResources):
            self.index()
        self.runs = False

    def wake(self) -> None:
        """Have `run` look whether it is to end."""
        self._has_work.set()

    # --- parts ---

    def _note_answer(self, *, fails: bool) -> None:
        """Note whether the database answers, and let those go on who wait for room."""
        self._database_fails = fails
        with self._has_room:
            self._has_room.notify_all()

    def _sleep(self, stopping: threading.Event, seconds: float) -> None:
        """Sleep until there is work, and `seconds` longer if rows are to collect."""
        self._is_asleep = True
        if not self._waiting and not stopping.is_set():
            self._has_work.wait(_LOOK_ANYWAY)
        self._is_asleep = False
        self._has_work.clear()
        if self._waiting and self._rows_collect:
            stopping.wait(seconds)

    def _index_batch(self) -> int:
        """Insert the rows of what has waited longest; how much that was."""
        while self._waiting and len(self._batch) < _LARGEST_BATCH:
            self._batch.append(self._waiting.popleft())
        arrivals: dict[str, Arrival] = {}
        offsets: dict[str, int] = {}
        for notice in self._batch:
            if isinstance(notice, PendingRecord):
                row = notice.context.row
                if not row.spool_key:
                    row.spool_key = self._spool.key_in_segment(notice.name, notice.payload)
                arrivals[row.spool_key] = notice.context
                offsets[notice.name] = notice.end
        rows = [arrival.row for arrival in arrivals.values()]
        self._settle(arrivals, self._recorder.record(rows, offsets, self._spool.has_whole))
        self._record_seals()
        count = len(self._batch)
        self._batch.clear()
        return count

    def _settle(self, arrivals: dict[str, Arrival], outcome: RecordedRows) -> None:
        """Do what follows from the rows that were inserted, or were not."""
        outcome.log()
        for row, first_row in outcome.refused:
            arrival = arrivals[row["spool_key"]]
            arrival.first_row = first_row
            if arrival.indexed is None:  # nobody waits who would compare them
                outcome.unneeded.append((row["spool_key"], row["size"]))
        for row in outcome.unstorable:
            arrivals[row["spool_key"]].is_unstorable = True
        for arrival in arrivals.values():
            if arrival.indexed is not None:
                arrival.indexed.set()
        for spool_key, size in outcome.unneeded:
            with suppress(OSError):
                self._spool.erase(spool_key, size)

    def _record_seals(self) -> None:
        seals = [notice for notice in self._batch if isinstance(notice, SealedSegment)]
        if not seals:
            return
        now = datetime.now(UTC)
        with self._database.connection() as connection:
            for sealed in seals:
                received_rows.set_sealed(
                    connection, sealed.name, size=sealed.size, digest=sealed.digest, sealed_at=now
                )
        for sealed in seals:
            os.close(sealed.descriptor)
