"""Ground: one SELECT compiled once, for what is asked again and again."""

from typing import Any

from sqlalchemy import BindParameter, Dialect, Engine, Select
from sqlalchemy.exc import DBAPIError

from burnish.db.write_lock import Answering


class Lookup:
    """Finds a row, for any thread, in a thirtieth of the time that a session takes.

    Most of that goes into building the statement, finding it among the compiled ones, and a
    transaction, which a statement alone is without. Values are as the driver has them.
    """

    def __init__(self, engine: Engine, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._engine = engine
        self._sql = str(compiled)
        self._order = compiled.positiontup
        self._constants = {
            name: _bound(parameter, engine.dialect)
            for parameter, name in compiled.bind_names.items()
        }

    def first(self, **values: object) -> tuple[Any, ...] | None:
        """The first row where the statement's parameters have these values.

        Raises OutOfResources where the database does not answer.
        """
        driver: Any = self._engine.dialect.loaded_dbapi.Error
        named = {**self._constants, **values}
        parameters = named if self._order is None else [named[name] for name in self._order]
        with Answering():
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(self._sql, parameters)
                row: tuple[Any, ...] | None = cursor.fetchone()
                cursor.close()
                return row
            except driver as error:
                raise DBAPIError.instance(self._sql, None, error, driver) from error
            finally:
                connection.close()


class Work:
    """Whether there is work of one kind; so that who has none finds out at next to no cost."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._was_there = True

    def is_there(self) -> bool:
        """Also once after the last of it is done, for what came of that."""
        was_there, self._was_there = self._was_there, self._lookup.first() is not None
        return was_there or self._was_there


def _bound(parameter: BindParameter[Any], dialect: Dialect) -> object:
    """A constant of the statement as the driver takes it."""
    value = parameter.effective_value
    convert = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    return value if value is None or convert is None else convert(value)
