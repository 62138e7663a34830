"""Ground: inserts rows for the receive path, with less work than SQLAlchemy."""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from burnish.db.write_lock import WriteLock, raw_connection
from burnish.errors import OutOfResources, Unwritten

#: The wait of a connection for SQLite's own lock is set in this many steps, not at each insert.
_WAIT_STEPS = 8


class RowInserter:
    """Inserts rows into one table by a statement that is compiled once; for one thread at a time.

    SQLAlchemy Core takes ten times as long for a group of few rows: it builds the statement, looks
    it up among those already compiled, and takes a connection from the pool and returns it.
    """

    def __init__(self, engine: Engine, write_lock: WriteLock, table: Table) -> None:
        dialect = engine.dialect
        names = [column.name for column in table.columns if not column.primary_key]
        insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        statement = insert(table).on_conflict_do_nothing()
        compiled = statement.compile(dialect=dialect, column_keys=names)
        positions = compiled.positiontup
        self._engine = engine
        self._write_lock = write_lock
        self._sql = str(compiled)
        # a driver takes parameters by position (SQLite) or by name (psycopg)
        self._pick = itemgetter(*positions) if positions else None
        self._converters = []
        for name in names:
            column_type = table.columns[name].type.dialect_impl(dialect)
            convert = column_type.bind_processor(dialect)
            if convert is not None:
                self._converters.append((positions.index(name) if positions else name, convert))
        self._connection: Any = None
        self._wait_steps = 0
        self._committing = False

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Insert all rows and commit; False, and nothing is done, if one breaks a unique key.

        Raises OutOfResources as a write transaction does, and Unwritten in its place if it is
        certain that nothing was committed.
        """
        parameters = [self._bound(row) for row in rows]
        self._committing = False
        try:
            return self._insert_and_commit(parameters)
        except OutOfResources as error:
            if self._committing and not _is_before_writing(error):
                raise
            raise Unwritten(str(error)) from error

    def close(self) -> None:
        """Close the connection; the next insert makes another one."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None

    def _insert_and_commit(self, parameters: Sequence[Any]) -> bool:
        with self._write_lock.hold():
            if self._connection is None:
                self._connection = raw_connection(self._engine)
                self._wait_steps = 0
            try:
                if self._engine.dialect.name == "sqlite":
                    return self._insert_into_sqlite(parameters)
                return self._insert_into_postgresql(parameters)
            except Exception as error:
                self._connection.invalidate()
                self._connection = None
                driver_error = self._engine.dialect.loaded_dbapi.Error
                if isinstance(error, driver_error):
                    raise DBAPIError.instance(self._sql, None, error, driver_error) from error
                raise

    def _bound(self, row: Mapping[str, Any]) -> Any:
        """The parameters of the statement for one row, as the driver takes them."""
        values: Any = list(self._pick(row)) if self._pick else dict(row)
        for key, convert in self._converters:
            if values[key] is not None:
                values[key] = convert(values[key])
        return values

    def _insert_into_sqlite(self, parameters: Sequence[Any]) -> bool:
        """One row needs no BEGIN and COMMIT: it is a transaction by itself, at half the work."""
        connection = self._connection.driver_connection
        self._set_wait(connection)
        if len(parameters) == 1:
            self._committing = True
            cursor = connection.execute(self._sql, parameters[0])
            self._write_lock.begun()
            return bool(cursor.rowcount == 1)
        connection.execute("BEGIN IMMEDIATE")
        self._write_lock.begun()
        cursor = connection.executemany(self._sql, parameters)
        complete = bool(cursor.rowcount == len(parameters))
        self._committing = complete
        connection.execute("COMMIT" if complete else "ROLLBACK")
        return complete

    def _set_wait(self, connection: Any) -> None:
        """Have SQLite wait for its own lock as long as this writer may still wait."""
        write_lock = self._write_lock
        steps = math.ceil(write_lock.seconds_left / write_lock.wait * _WAIT_STEPS)
        if steps != self._wait_steps:
            milliseconds = math.ceil(steps * write_lock.wait / _WAIT_STEPS * 1000)
            connection.execute(f"PRAGMA busy_timeout={milliseconds}").close()
            self._wait_steps = steps

    def _insert_into_postgresql(self, parameters: Sequence[Any]) -> bool:
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._write_lock.postgresql_statement)
            self._write_lock.begun()
            cursor.executemany(self._sql, parameters)
            complete = bool(cursor.rowcount == len(parameters))
            self._committing = complete
            if complete:
                self._connection.commit()
            else:
                self._connection.rollback()
            return complete
        finally:
            cursor.close()


def _is_before_writing(error: OutOfResources) -> bool:
    """Whether SQLite reports that it had not begun to write, or lacked room to end the commit.

    On a full disk it had begun, but its log lacks what ends a commit.
    """
    cause = error.__cause__
    driver_error = cause.orig if isinstance(cause, DBAPIError) else cause
    code = getattr(driver_error, "sqlite_errorcode", None)
    # the low byte is the primary result code (https://www.sqlite.org/rescode.html)
    return code is not None and code & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )
