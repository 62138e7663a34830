"""Runs the migrations against the database that `burnish.db.schema` names."""

from alembic import context
from sqlalchemy import text

from burnish.db.session import Database
from burnish.db.tables import Table

url = context.config.get_main_option("sqlalchemy.url")
assert url
database = Database(url)
with database.connection() as connection:
    if connection.dialect.name == "sqlite":
        # a table is rebuilt to be altered, and its rows must not be deleted by cascade meanwhile
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    context.run_migrations()
database.close()
