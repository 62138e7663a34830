"""Ground: one engine for each process; sessions that read, and sessions that write."""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from burnish.db.row_inserter import RowInserter
from burnish.db.wakeup import Question, Wakeup
from burnish.db.write_lock import WriteLock, database_errors
from burnish.errors import OperatorError

#: Maximum time to wait for the write lock, in seconds, unless the configuration has another.
WAIT = 60.0
#: The execution option that tells a connection's next transaction to take the write lock.
_WRITES = "burnish_writes"

Item = TypeVar("Item")


class Database:
    """The database at `url`.

    `durable`: a commit is on disk when it returns. `references`: SQLite enforces foreign keys.
    `wait`: the most seconds that a write transaction waits for SQLite's write lock before it
    raises OutOfResources. Not to be carried over a fork.
    """

    def __init__(
        self, url: str, *, durable: bool = True, references: bool = True, wait: float = WAIT
    ) -> None:
        self.url = url
        self._write_lock = WriteLock(url, wait)
        if url.startswith("sqlite"):
            self._engine = _sqlite_engine(url, durable, references, self._write_lock)
        else:
            self._engine = create_engine(url, pool_pre_ping=True)
        self._writing_engine = self._engine.execution_options(**{_WRITES: True})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session with one consistent view; nothing that it does is kept."""
        with database_errors(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in a write transaction: committed at the end, rolled back after an error.

        With SQLite the transaction takes the write lock when it begins, so that what it reads stays
        true until it commits.
        """
        with (
            self._write_lock.hold(),
            Session(self._writing_engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A write transaction like `writing`, but without the ORM."""
        with self._write_lock.hold(), self._writing_engine.begin() as connection:
            yield connection

    def row_inserter(self, table: Table) -> RowInserter:
        """A fast way to insert rows into `table`, for the receive path."""
        return RowInserter(self._engine, self._write_lock, table)

    def wakeup(self, stopping: Event, work: Select[Any]) -> Wakeup:
        """Wakes the calling thread after commits while `work` finds a row, until `stopping`."""
        return Wakeup(self._engine, stopping, work)

    def question(self, statement: Select[Any]) -> Question:
        """A cheap way to ask again and again whether `statement` finds a row."""
        return Question(self._engine, statement)

    def hindered(self, seconds: float) -> bool:
        """Whether, in the last `seconds`, a writer of this process waited long or in vain."""
        return self._write_lock.hindered(seconds)

    def close(self) -> None:
        """Close all connections that nobody uses any more."""
        self._engine.dispose()
        self._write_lock.close()


def in_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Split `items`, in order, into parts of at most `size`: one transaction for each part."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _sqlite_engine(url: str, durable: bool, references: bool, write_lock: WriteLock) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise OperatorError("database.url: the processes of Burnish need a database file")
    engine = create_engine(url, connect_args={"timeout": write_lock.wait})

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where _begin says, not before DML
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        cursor.execute(f"PRAGMA foreign_keys={'ON' if references else 'OFF'}")
        cursor.execute("PRAGMA cache_size=-16384")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(_WRITES, False):
            connection.exec_driver_sql("BEGIN")
            return
        driver_connection: Any = connection.connection.driver_connection
        milliseconds = math.ceil(write_lock.seconds_left * 1000)
        driver_connection.execute(f"PRAGMA busy_timeout={milliseconds}").close()
        driver_connection.execute("BEGIN IMMEDIATE")
        write_lock.begun()

    return engine
