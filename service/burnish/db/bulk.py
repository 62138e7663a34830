"""Ground: many rows into a table by the driver itself; SQLAlchemy takes longer to name values."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from burnish.db.tables import Table


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
