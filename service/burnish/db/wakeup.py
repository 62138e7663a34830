"""Ground: how a process sleeps until there may be work for it.

Work is a row in the database, whoever committed it. A process that waits for work asks the database
one cheap question many times a second: has anything been committed? Only after a commit does it ask
the second: is there a row of work now? It also asks that every two seconds, because some work
becomes due by the clock alone. It looks for work only if the answer is yes.
"""

import time
from threading import Event
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from burnish.db.write_lock import database_errors, raw_connection

#: Seconds between two questions while others commit: the steps of a request follow each other.
POLL = 0.025
#: Seconds between two questions while nothing happens. Each takes 0.12 ms of CPU, half of it to
#: wake up: at 0.05 s, an idle service would use 0.2 % of a core more than at 0.1 s.
IDLE_POLL = 0.1
#: Seconds from the last commit until nothing happens.
IDLE_AFTER = 1.0
#: Seconds after which a process asks whether there is work though nothing has been committed.
LOOK_ANYWAY = 2.0
#: A look for work is followed by a rest of this many times its length. So looking takes a fiftieth
#: of a core at most, even if others commit all the time while the work waits for something else.
_REST = 50
#: But this many seconds after it woke up, a process may look again in any case.
LONGEST_REST = 0.25
#: Seconds until a process that sleeps in `pause` notices that it has to stop.
_NOTICE = 0.2
#: What changes whenever a transaction that wrote something ends.
_DATA_VERSION = {
    # it counts the commits of all other connections, in this process or another
    "sqlite": "PRAGMA data_version",
    "postgresql": "SELECT pg_current_snapshot()::text",
}


class Question:
    """Whether a statement finds a row; for what is asked every second and is nearly always no.

    It goes to the driver as text: SQLAlchemy takes 1.3 ms of CPU for it in a process that has
    slept, the driver 0.2 ms. Two such questions a second were a quarter of an idle service's CPU.
    """

    def __init__(self, engine: Engine, statement: Select[Any]) -> None:
        self._engine = engine
        self._text = _text(engine, statement)

    def is_true(self) -> bool:
        """Ask it; raises OutOfResources."""
        driver_error = self._engine.dialect.loaded_dbapi.Error
        with database_errors():
            connection = raw_connection(self._engine)
            try:
                cursor = connection.cursor()
                cursor.execute(self._text)
                return cursor.fetchone() is not None
            except driver_error as error:
                raise DBAPIError.instance(self._text, None, error, driver_error) from error
            finally:
                connection.close()


class Wakeup:
    """Wakes one thread after commits of others, while `work` finds a row.

    It asks on a connection that it uses for nothing else, and never touches SQLite's files itself:
    to close any descriptor of them would drop the locks that this process holds
    (https://www.sqlite.org/howtocorrupt.html, 2.2). Make it in the process that waits: an SQLite
    connection must not be carried over a fork.

    Both questions go to the driver as text: while instances are received, they are asked at each
    poll, and SQLAlchemy takes 1.3 ms where the driver takes 0.2 ms.
    """

    def __init__(
        self,
        engine: Engine,
        stopping: Event,
        work: Select[Any],
        every: float | None = None,
        *,
        longest_rest: float = LONGEST_REST,
    ) -> None:
        self._longest_rest = longest_rest
        self._engine = engine
        self._every = every
        self._data_version = _DATA_VERSION[engine.dialect.name]
        self._work = _text(engine, work)
        self._stopping = stopping
        self._connection: Any = None
        self._version: object = None
        self._asked_at = self._changed_at = self._looked_at = -LOOK_ANYWAY
        self._woke_at = self._rested_at = 0.0
        self._work_began: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._disconnect()

    def wait(self) -> bool:
        """Sleep until it is worth while to look for work; False once the process has to stop.

        The first call returns at once. A commit that happens while the caller works is not missed:
        the next call returns as soon as it asks.
        """
        if self._work_began is not None:
            rest = _REST * (time.thread_time() - self._work_began)
            self._rested_at = self._asked_at + min(rest, self._longest_rest)
        while not self._stopping.is_set():
            is_idle = self._asked_at - self._changed_at >= IDLE_AFTER
            ask_at = self._asked_at + (IDLE_POLL if is_idle else POLL)
            # not `stopping.wait`: see `pause`
            time.sleep(max(0.0, max(ask_at, self._rested_at) - time.monotonic()))
            self._asked_at = time.monotonic()
            if self._may_be_work() or self._has_slept_long():
                self._woke_at = self._asked_at
                self._work_began = time.thread_time()
                return not self._stopping.is_set()
        return False

    def _has_slept_long(self) -> bool:
        """Whether the caller wants to wake up by now, whether there is work or not."""
        if self._every is None:
            return False
        return self._asked_at - self._woke_at >= self._every

    def _may_be_work(self) -> bool:
        """Whether there is work now; False, without asking, if there was none and no commit since.

        A caller that looks for work reports it if the database does not answer. So this is also
        True now and then while it does not, and once when it answers again.
        """
        look_anyway = self._asked_at - self._looked_at >= LOOK_ANYWAY
        try:
            before, self._version = self._version, self._first(self._data_version)
            if self._version == before and not look_anyway:
                return False
            if self._version != before:
                self._changed_at = self._asked_at
            self._looked_at = self._asked_at
            return before is None or self._first(self._work) is not None
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
            self._disconnect()
            if look_anyway:
                self._looked_at = self._asked_at
            return look_anyway

    def _first(self, question: str) -> object:
        """The first row of the answer."""
        if self._connection is None:
            self._connection = raw_connection(self._engine)
        cursor = self._connection.cursor()
        try:
            cursor.execute(question)
            return cursor.fetchone()
        finally:
            cursor.close()
            self._connection.rollback()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None
        self._version = None


def _text(engine: Engine, statement: Select[Any]) -> str:
    """A statement for the first row, with its parameters in it."""
    literal = {"literal_binds": True}
    return str(statement.limit(1).compile(dialect=engine.dialect, compile_kwargs=literal))


def pause(stopping: Event, seconds: float) -> bool:
    """Sleep for `seconds`, or until soon after `stopping` is set. Returns True if it is set.

    For the main thread, where signal handlers run. A handler that interrupts `stopping.wait()` at
    the wrong moment and sets `stopping` would wait for ever for the lock that `wait` holds.
    """
    until = time.monotonic() + seconds
    while not stopping.is_set():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _NOTICE))
    return True
