"""Ground: inserts many rows at once."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from burnish.db.tables import Table


def insert_rows(session: Session, table: type[Table], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, each with a value for every column of the table, in the order of the columns.

    The driver gets the values as they are. If SQLAlchemy gives them names first, writing the plan
    of 20,000 instances takes 1.4 times as long, and all of planning a 15th more.
    """
    connection = session.connection()
    statement = insert(table).compile(dialect=connection.dialect)
    if statement.positional:
        connection.exec_driver_sql(str(statement), list(rows))
    else:
        names = table.__table__.columns.keys()
        named_rows = [dict(zip(names, row, strict=True)) for row in rows]
        connection.exec_driver_sql(str(statement), named_rows)
