"""Ground: how a process sleeps until there may be work for it.

Work is a row in the database, whoever committed it. A process that waits for work asks the database
one cheap question many times a second: has anything been committed? It looks for work only after
a commit, and every two seconds in any case, because some work becomes due by the clock alone.
"""

import time
from threading import Event
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

#: Seconds between two questions. A process that does nothing else uses 0.15 ms of CPU for each
#: question, 0.3 % of a core: a third of it to wake up, the rest while the caches are cold.
POLL = 0.05
#: Seconds after which a process looks for work though nothing has been committed.
LOOK_ANYWAY = 2.0
#: Seconds until a process that sleeps in `pause` notices that it has to stop.
_NOTICE = 0.2
#: What changes whenever a transaction that wrote something ends.
_QUESTIONS = {
    # "data version" counts the commits of all other connections, in this process or another
    "sqlite": "PRAGMA data_version",
    "postgresql": "SELECT pg_current_snapshot()::text",
}


class Wakeup:
    """Wakes one thread after commits of others.

    It asks on a connection that it uses for nothing else, and never touches SQLite's files itself:
    to close any descriptor of them would drop the locks that this process holds
    (https://www.sqlite.org/howtocorrupt.html, 2.2). Make it in the process that waits: an SQLite
    connection must not be carried over a fork.
    """

    def __init__(self, engine: Engine, stopping: Event) -> None:
        self._engine = engine
        self._question = _QUESTIONS[engine.dialect.name]
        self._stopping = stopping
        self._connection: Any = None
        self._answer: object = None
        self._asked_at = self._woke_at = -LOOK_ANYWAY

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
        while not self._stopping.is_set():
            # not `stopping.wait`: see `pause`
            time.sleep(max(0.0, self._asked_at + POLL - time.monotonic()))
            self._asked_at = time.monotonic()
            if self._is_changed() or self._asked_at - self._woke_at >= LOOK_ANYWAY:
                self._woke_at = self._asked_at
                return not self._stopping.is_set()
        return False

    def _is_changed(self) -> bool:
        """Whether another connection has committed since the last question."""
        try:
            answer = self._ask()
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
            # the caller soon looks for work all the same, and then reports what is wrong
            self._disconnect()
            return False
        before, self._answer = self._answer, answer
        return answer != before

    def _ask(self) -> object:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._question)
            return cursor.fetchone()
        finally:
            cursor.close()
            self._connection.rollback()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None


def pause(stopping: Event, seconds: float) -> bool:
    """Sleep for `seconds`, or until soon after `stopping` is set; whether it is set.

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
