"""Ground: one engine for each process; sessions that read, and sessions that write."""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, create_engine, event, literal, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

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
    `wait`: the most seconds that a write transaction waits for the write lock before it raises
    OutOfResources. Not to be carried over a fork. Raises OperatorError if the URL cannot be used.
    """

    def __init__(
        self, url: str, *, durable: bool = True, references: bool = True, wait: float = WAIT
    ) -> None:
        self.url = url
        self._write_lock = WriteLock(url, wait)
        if url.startswith("sqlite"):
            self._engine = _sqlite_engine(url, durable, references, self._write_lock)
            self._reading_engine = self._engine
        else:
            self._engine = _postgresql_engine(url, durable, self._write_lock)
            # the view of a write transaction begins once it has the lock: READ COMMITTED
            self._reading_engine = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing_engine = self._engine.execution_options(**{_WRITES: True})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session with one consistent view; nothing that it does is kept."""
        with (
            database_errors(),
            Session(self._reading_engine, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in a write transaction: committed at the end, rolled back after an error.

        The transaction takes the write lock when it begins, so that what it reads stays true until
        it commits.
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

    @property
    def wait(self) -> float:
        """The most seconds that a write transaction waits for others."""
        return self._write_lock.wait

    @property
    def holds_nul(self) -> bool:
        """Whether texts may have the character NUL."""
        return self._engine.dialect.name == "sqlite"

    def wakeup(self, stopping: Event, work: Select[Any], *, every: float | None = None) -> Wakeup:
        """Wakes the calling thread after commits while `work` finds a row, until `stopping`.

        With `every`, it also wakes that many seconds after the last time, work or not.
        """
        return Wakeup(self._engine, stopping, work, every)

    def commits(self, stopping: Event, *, longest_rest: float) -> Wakeup:
        """Wakes the calling thread after every commit, and each two seconds, until `stopping`.

        While there are commits all the time, it rests for up to `longest_rest` seconds.
        """
        return Wakeup(self._engine, stopping, select(literal(1)), longest_rest=longest_rest)

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


def _postgresql_engine(url: str, durable: bool, write_lock: WriteLock) -> Engine:
    """An engine on which one transaction writes at a time, as with SQLite."""
    try:
        address = make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        if address.drivername != "postgresql+psycopg":
            raise OperatorError("database.url: Burnish works with SQLite and with PostgreSQL")
        engine = create_engine(address, pool_pre_ping=True)
    except ArgumentError:
        raise OperatorError(
            "database.url is not a URL of SQLAlchemy",
            hint="an example: postgresql://burnish:PASSWORD@db.example.org/burnish",
        ) from None
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"database.url: the Python package {error.name} is not installed",
            hint="pip install 'burnish[postgresql]'",
        ) from None

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        if not durable:
            connection.execute("SET synchronous_commit = off")
            connection.commit()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES, False):
            connection.exec_driver_sql(write_lock.postgresql_statement)
            write_lock.begun()

    return engine
