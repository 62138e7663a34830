"""Runs the migrations against the database that `burnish.db.schema` names."""

from alembic import context
from sqlalchemy import text

from burnish.db.session import Database
from burnish.db.tables import Table

url = context.config.get_main_option("sqlalchemy.url")
assert url
# SQLite rebuilds a table in order to alter it. Foreign keys are not enforced meanwhile: rows that
# refer to the old table would be deleted with it. They are checked when all is done.
database = Database(url, references=False)
with database.connection() as connection:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    context.run_migrations()
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).first()
        if broken:
            raise RuntimeError(f"a row of {broken[0]} would refer to one that is not there")
database.close()
