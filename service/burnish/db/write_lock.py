"""Ground: which writer goes next, and which errors mean that the database does not answer."""

import fcntl
import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import NoReturn

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from burnish.errors import OutOfResources
from burnish.file_access import give_to_owner

#: What the name of the lock file adds to that of the database.
_SUFFIX = "-turn"
#: The write lock of PostgreSQL. The number has to differ from those that other programs use in the
#: same database.
_POSTGRESQL_LOCK = 20260104
#: A writer that has waited this many seconds could not have renewed a lease in time.
_LONG_WAIT = 15.0
#: Errors of the database itself, by their exact type: subclasses tell of a faulty statement. While
#: a connection is made, the driver's own types come. DatabaseError: the file is damaged.
_NO_ANSWER = (
    OperationalError,
    DatabaseError,
    sqlite3.OperationalError,
    sqlite3.DatabaseError,
)


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise OutOfResources where the database is full, locked, damaged or not there."""
    try:
        yield
    except (PoolTimeoutError, DatabaseError, sqlite3.DatabaseError) as error:
        _raise_out_of_resources(error)


def _raise_out_of_resources(error: Exception) -> NoReturn:
    """Raise OutOfResources if `error` tells that the database does not answer, else `error`."""
    if isinstance(error, PoolTimeoutError):
        raise OutOfResources(
            "the database does not answer: too many connections are in use"
        ) from error
    if type(error) not in _NO_ANSWER:
        raise error
    why = error.orig if isinstance(error, DatabaseError) else error
    raise OutOfResources(f"the database does not answer: {why}") from error


def raw_connection(engine: Engine) -> PoolProxiedConnection:
    """A connection of the driver, from the pool; raises the errors of SQLAlchemy."""
    driver_error = engine.dialect.loaded_dbapi.Error
    try:
        return engine.raw_connection()
    except driver_error as error:
        raise DBAPIError.instance(None, None, error, driver_error) from error


class WriteLock:
    """Lets one thread of one process write to a database at a time.

    SQLite has a write lock of its own, but no queue: a writer that finds it taken sleeps up to
    100 ms before it tries again. Here writers wait in the kernel, which wakes the next. A writer
    that has used up its wait fails instead of queueing again: behind a lock that is held for long,
    each writer gets an error in time, not one after the other.

    PostgreSQL has a queue of its own: there, a write transaction begins with
    `postgresql_statement`, and this lock only orders the threads of one process.
    """

    def __init__(self, url: str, wait: float) -> None:
        path = make_url(url).database if url.startswith("sqlite") else None
        self._path = f"{path}{_SUFFIX}" if path else ""
        self._descriptor = -1
        self._thread_lock = threading.Lock()
        self._waiting_since = 0.0
        self._hindered_at = -math.inf
        #: The most seconds that a writer waits, here and for SQLite's own lock together.
        self.wait = wait

    @contextmanager
    def hold(self) -> Iterator[None]:
        """A context in which the caller may write; raises OutOfResources, as `database_errors`."""
        try:
            self._acquire()
            try:
                yield
            except (PoolTimeoutError, DatabaseError, sqlite3.DatabaseError) as error:
                _raise_out_of_resources(error)
            finally:
                self._release()
        except OutOfResources:
            self._hindered_at = monotonic()
            raise

    @property
    def seconds_left(self) -> float:
        """How long the writer that holds the lock may still wait for SQLite's own lock."""
        return max(0.0, self._waiting_since + self.wait - monotonic())

    @property
    def postgresql_statement(self) -> str:
        """Takes the write lock of PostgreSQL until the transaction ends, or fails in time."""
        milliseconds = max(1, math.ceil(self.seconds_left * 1000))  # 0 would mean: for ever
        return (
            f"SELECT set_config('lock_timeout', '{milliseconds}', true),"
            f" pg_advisory_xact_lock({_POSTGRESQL_LOCK})"
        )

    def begun(self) -> None:
        """Note that the write transaction has begun, and with it whether that took long."""
        if monotonic() - self._waiting_since > _LONG_WAIT:
            self._hindered_at = monotonic()

    def hindered(self, seconds: float) -> bool:
        """Whether a writer waited long or in vain in the last `seconds`."""
        return monotonic() - self._hindered_at < seconds

    def _acquire(self) -> None:
        """Wait for the lock; raises OutOfResources."""
        since = monotonic()
        if not self._thread_lock.acquire(timeout=self.wait):
            raise self._too_late()
        try:
            if self._path:
                self._lock_file()
        except OSError as error:
            self._thread_lock.release()
            raise OutOfResources(f"the database does not answer: {error.strerror}") from error
        self._waiting_since = since
        if not self.seconds_left:
            self._release()
            raise self._too_late()

    def _lock_file(self) -> None:
        if self._descriptor < 0:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o640)
            # as SQLite does with its own files: what root creates, the service can use
            give_to_owner(Path(self._path.removesuffix(_SUFFIX)), Path(self._path))
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def _release(self) -> None:
        """Let the next writer have the lock."""
        if self._path:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._thread_lock.release()

    def close(self) -> None:
        """Close the lock file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _too_late(self) -> OutOfResources:
        return OutOfResources(
            f"the database does not answer: others have been writing for {self.wait:g} s"
        )
