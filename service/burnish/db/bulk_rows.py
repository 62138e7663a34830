"""Ground: many rows: into a table by the driver itself, and by so many in one transaction.

SQLAlchemy takes longer to name values than the driver to insert them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import insert
from sqlalchemy.orm import Session

from burnish.db.tables import Table

T = TypeVar("T")


def insert_rows(session: Session, table: type[Table], rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts rows, each the values of all columns in their order, as the driver takes them."""
    connection = session.connection()
    statement = insert(table).compile(dialect=connection.dialect)
    if statement.positional:
        connection.exec_driver_sql(str(statement), list(rows))
    else:
        names = table.__table__.columns.keys()
        parameters = [dict(zip(names, row, strict=True)) for row in rows]
        connection.exec_driver_sql(str(statement), parameters)


def batches(every: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """All of them in order, at most `size` at a time."""
    for start in range(0, len(every), size):
        yield every[start : start + size]
