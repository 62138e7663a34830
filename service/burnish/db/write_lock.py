"""Ground: whose turn it is to write, and what a database that does not answer is."""

import fcntl
import math
import os
import sqlite3
import threading
from time import monotonic

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from burnish.errors import OutOfResources

#: Who waits for so long, in seconds, could not have renewed a lease in time.
_LONG = 15.0
#: Not those of their subclasses that speak of the statement. A connection that is being made
#: raises those of the driver; the second is also "database disk image is malformed".
_NO_ANSWER = (
    *(OperationalError, DatabaseError),
    *(sqlite3.OperationalError, sqlite3.DatabaseError),
)


class Turn:
    """Whose turn it is to write: one thread of one process, and the kernel wakes the next.

    SQLite itself would sleep and try again, up to 100 ms later. Other databases need no turns.
    Who has waited for others until its time was up gives up, so that all who wait behind a lock
    are answered in time, not one after the other.
    """

    def __init__(self, url: str, wait: float) -> None:
        path = make_url(url).database if url.startswith("sqlite") else None
        self._path = f"{path}-turn" if path else ""
        self._descriptor = -1
        self._mine = threading.Lock()
        self.wait = wait
        self._since = 0.0
        #: When somebody last waited for long, or in vain.
        self.hindered_at = -math.inf

    def taken(self) -> "Taken":
        """The turn, for a write transaction; raises OutOfResources where that comes to nothing."""
        return Taken(self)

    @property
    def left(self) -> float:
        """For how many seconds whose turn it is may still wait."""
        return max(0.0, self._since + self.wait - monotonic())

    def began(self) -> None:
        """The write transaction has begun."""
        if monotonic() - self._since > _LONG:
            self.hindered_at = monotonic()

    def take(self) -> None:
        """Waits for the turn; raises OutOfResources."""
        since = monotonic()
        if not self._path:
            self._since = since
            return
        if not self._mine.acquire(timeout=self.wait):
            raise self._too_late()
        try:
            if self._descriptor < 0:
                flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o640)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._mine.release()
            raise OutOfResources(f"the database does not answer: {error.strerror}") from error
        self._since = since
        if not self.left:
            self.give_back()
            raise self._too_late()

    def _too_late(self) -> OutOfResources:
        return OutOfResources(
            f"the database does not answer: others have been writing for {self.wait:g} s"
        )

    def give_back(self) -> None:
        if self._path:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._mine.release()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Answering:
    """A database that is full, locked, damaged, or not there is a lack of resources."""

    __slots__ = ()

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PoolTimeoutError):
            raise OutOfResources("the database does not answer: too many ask at once") from error
        if isinstance(error, DatabaseError | sqlite3.DatabaseError) and type(error) in _NO_ANSWER:
            why = error.orig if isinstance(error, DatabaseError) else error
            raise OutOfResources(f"the database does not answer: {why}") from error


class Taken(Answering):
    """The turn while it is somebody's."""

    __slots__ = ("_turn",)

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def __enter__(self) -> None:
        try:
            self._turn.take()
        except OutOfResources:
            self._turn.hindered_at = monotonic()
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._turn.give_back()
        if error is None:
            return
        try:
            super().__exit__(kind, error, trace)
        except OutOfResources:
            self._turn.hindered_at = monotonic()
            raise
        if isinstance(error, OutOfResources):
            self._turn.hindered_at = monotonic()
