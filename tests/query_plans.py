"""How SQLite answers the questions of a session."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

Statement = tuple[str, Any]


@contextmanager
def remembered_statements(session: Session) -> Iterator[list[Statement]]:
    """The statements that the session executes within, with their values."""
    statements: list[Statement] = []

    def remember(_connection: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        statements.append((sql, values))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", remember)
    yield statements
    event.remove(connection, "before_cursor_execute", remember)


def plan_of(session: Session, statement: Statement) -> list[str]:
    """The steps by which SQLite executes a statement."""
    sql, values = statement
    rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
    return [row.detail for row in rows]
