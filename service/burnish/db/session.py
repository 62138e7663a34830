"""Ground: one engine per process; sessions that read, and sessions that write."""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from burnish.db.lookup import Lookup, Work
from burnish.db.write_lock import Answering, Turn
from burnish.errors import OperatorError, OutOfResources, Unwritten

#: Seconds a write transaction waits for others that write, be they of Burnish or not.
WAIT = 60.0
_WRITES = "burnish_writes"
#: Seconds after which a watch says yes whatever it sees, and before which it does not say it again.
_LOOK_ANYWAY, _LOOK_AGAIN = 2.0, 0.25

T = TypeVar("T")


class Database:
    """The database at `url`. With `durable`, a commit is on disk when it returns.

    Without `references`, SQLite does not look whether a row that is referred to is there. On
    SQLite a write transaction begins within `wait` seconds or raises OutOfResources.
    """

    def __init__(
        self, url: str, *, durable: bool = True, references: bool = True, wait: float = WAIT
    ) -> None:
        self.url = url
        self._turn = Turn(url, wait)
        own = url.startswith("sqlite")
        self._engine = _sqlite(url, durable, references, self._turn) if own else _other(url)
        self._writing = self._engine.execution_options(**{_WRITES: True})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session with one consistent view; nothing it does is kept."""
        with Answering(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in a write transaction, committed at the end, rolled back on an error.

        On SQLite the transaction takes the write lock at its start, so that what it reads stays
        true until it commits.
        """
        with (
            self._turn.taken(),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """As `writing`, without the ORM: for the receive path."""
        with self._turn.taken(), self._writing.begin() as connection:
            yield connection

    def appender(self, table: Table) -> "Appender":
        """A way to insert rows into `table` with next to no work, for the receive path."""
        return Appender(self._engine, self._turn, table)

    def lookup(self, statement: Select[Any]) -> Lookup:
        """A way to find a row with next to no work, for what is asked again and again."""
        return Lookup(self._engine, statement)

    def work(self, work: Select[Any]) -> Work:
        """Whether there is work, which there is where `work` finds a row."""
        return Work(self.lookup(work.limit(1)))

    def watch(self, work: Select[Any]) -> "Watch":
        """A cheap way for one thread to see whether looking for work is worth while.

        There may be some where `work` finds a row.
        """
        with Answering():
            return Watch(self._engine, work)

    def hindered(self, seconds: float) -> bool:
        """Whether, within so many seconds, a writer of this process waited for long or in vain."""
        return monotonic() - self._turn.hindered_at < seconds

    def close(self) -> None:
        self._engine.dispose()
        self._turn.close()


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Split `items`, in order, into parts of at most `size`: one transaction for each part."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Appender:
    """Inserts rows into one table by a statement compiled once; for one thread at a time.

    Core does the same in ten times the time for a group of few rows: most of it goes into
    building the statement, finding it among the compiled ones, and a connection's round trip
    through the pool.
    """

    def __init__(self, engine: Engine, turn: Turn, table: Table) -> None:
        dialect = engine.dialect
        names = [column.name for column in table.columns if not column.primary_key]
        insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        statement = insert(table).on_conflict_do_nothing()
        compiled = statement.compile(dialect=dialect, column_keys=names)
        types = {name: table.columns[name].type.dialect_impl(dialect) for name in names}
        self._engine = engine
        self._turn = turn
        self._sql = str(compiled)
        # by position, or by name where that is how the driver takes parameters
        self._pick = itemgetter(*compiled.positiontup) if compiled.positiontup else None
        self._convert = [
            (compiled.positiontup.index(name) if compiled.positiontup else name, convert)
            for name, type_ in types.items()
            if (convert := type_.bind_processor(dialect)) is not None
        ]
        self._connection: Any = None
        self._patience = 0
        self._committing = False

    def append(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Inserts all rows and commits; False, and nothing is done, where one breaks a unique key.

        Raises what a write transaction raises: Unwritten where nothing can have been committed.
        """
        parameters = [self._bound(row) for row in rows]
        self._committing = False
        try:
            return self._append(parameters)
        except OutOfResources as error:
            if self._committing and not _is_unwritten(error):
                raise
            raise Unwritten(str(error)) from error

    def _append(self, parameters: Sequence[Any]) -> bool:
        with self._turn.taken():
            if self._connection is None:
                self._connection = self._engine.raw_connection()
                self._patience = 0
            try:
                return self._insert(parameters)
            except Exception as error:
                self._connection.invalidate()
                self._connection = None
                driver = self._engine.dialect.loaded_dbapi.Error
                if isinstance(error, driver):
                    raise DBAPIError.instance(self._sql, None, error, driver) from error
                raise

    def _bound(self, row: Mapping[str, Any]) -> Any:
        values: Any = list(self._pick(row)) if self._pick else dict(row)
        for key, convert in self._convert:
            if values[key] is not None:
                values[key] = convert(values[key])
        return values

    def _insert(self, parameters: Sequence[Any]) -> bool:
        if self._engine.dialect.name == "sqlite":
            return self._insert_into_sqlite(self._connection.driver_connection, parameters)
        cursor = self._connection.cursor()
        try:
            cursor.executemany(self._sql, parameters)
            whole = bool(cursor.rowcount == len(parameters))
            self._committing = whole
            (self._connection.commit if whole else self._connection.rollback)()
            return whole
        finally:
            cursor.close()

    def _insert_into_sqlite(self, connection: Any, parameters: Sequence[Any]) -> bool:
        """As `_insert`. One row alone is a transaction by itself, which is half the work."""
        # its wait counts from when the turn was asked for, to an eighth of it
        patience = math.ceil(self._turn.left / self._turn.wait * 8)
        if patience != self._patience:
            _be_patient(connection, patience * self._turn.wait / 8)
            self._patience = patience
        if len(parameters) == 1:
            self._committing = True
            cursor = connection.execute(self._sql, parameters[0])
            self._turn.began()
            return bool(cursor.rowcount == 1)
        connection.execute("BEGIN IMMEDIATE")
        self._turn.began()
        cursor = connection.executemany(self._sql, parameters)
        whole = bool(cursor.rowcount == len(parameters))
        self._committing = whole
        connection.execute("COMMIT" if whole else "ROLLBACK")
        return whole


class Watch:
    """Tells whether something was committed since it was last asked, and there may be work.

    On SQLite this is a number in shared memory and one row sought by a statement compiled once,
    so that asking twenty times a second costs next to nothing even while instances arrive and
    there is a commit whenever it is asked; elsewhere the answer is always yes. The answer is yes
    at most four times a second. What becomes due by the clock changes no row, so every two
    seconds it is yes all the same.
    """

    def __init__(self, engine: Engine, work: Select[Any]) -> None:
        self._connection = engine.raw_connection() if engine.dialect.name == "sqlite" else None
        self._work = str(
            work.limit(1).compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
        )
        self._seen: object = None
        self._answered = -math.inf

    def changed(self) -> bool:
        since = monotonic() - self._answered
        if since < _LOOK_AGAIN:
            return False
        if self._connection is not None and since < _LOOK_ANYWAY:
            with closing(self._connection.cursor()) as cursor:
                if not self._is_work(cursor):
                    return False
        self._answered = monotonic()
        return True

    @property
    def patience(self) -> float:
        """Seconds until it is time to ask again even where nothing was committed."""
        since = monotonic() - self._answered
        return max(0.0, (_LOOK_AGAIN if since < _LOOK_AGAIN else _LOOK_ANYWAY) - since)

    def _is_work(self, cursor: Any) -> bool:
        try:
            version = cursor.execute("PRAGMA data_version").fetchone()
            if version == self._seen:
                return False
            self._seen = version
            return cursor.execute(self._work).fetchone() is not None
        except sqlite3.Error:
            return True  # who looks for work learns what is wrong, and says it


def _is_unwritten(error: OutOfResources) -> bool:
    """Whether SQLite says why it had not begun to write.

    Where the disk was full it had, and its log lacks what ends a commit.
    """
    cause = error.__cause__
    why = cause.orig if isinstance(cause, DBAPIError) else cause
    code = getattr(why, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def _sqlite(url: str, durable: bool, references: bool, turn: Turn) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise OperatorError("database.url: the processes of Burnish need a database file")
    engine = create_engine(url, connect_args={"timeout": turn.wait})

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
        if connection.get_execution_options().get(_WRITES, False):
            _begin_writing(connection.connection.driver_connection, turn)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_writing(connection: Any, turn: Turn) -> None:
    """Takes SQLite's write lock; its wait counts from when the turn was asked for."""
    _be_patient(connection, turn.left)
    connection.execute("BEGIN IMMEDIATE")
    turn.began()


def _be_patient(connection: Any, seconds: float) -> None:
    """For how long SQLite waits for a lock."""
    connection.execute(f"PRAGMA busy_timeout={math.ceil(seconds * 1000)}").close()


def _other(url: str) -> Engine:
    return create_engine(url, pool_pre_ping=True)
