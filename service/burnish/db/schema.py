"""Ground: the version of the schema: upgrade a database to it, or check that it has it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DatabaseError

from burnish.db.session import Database
from burnish.errors import OperatorError, OutOfResources, SchemaMismatch


def migrations() -> Path:
    """The folder of the migrations: inside the installed package, or in the checkout."""
    packaged = Path(__file__).with_name("migrations")
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "migrations"


def migration_config(url: str) -> Config:
    """The configuration of Alembic for the database at `url`."""
    config = Config()
    config.set_main_option("script_location", str(migrations()))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def newest() -> str:
    """The revision that this version of Burnish works with."""
    head = ScriptDirectory.from_config(migration_config("")).get_current_head()
    assert head is not None  # noqa: S101  there is at least one migration
    return head


def revision(database: Database) -> str | None:
    """The revision of the database; None if it is empty."""
    with database.reading() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def upgrade(url: str) -> str:
    """Upgrade the database to the newest revision, or create it; returns that revision."""
    try:
        command.upgrade(migration_config(url), "head")
    except CommandError as error:
        raise SchemaMismatch(
            f"the database cannot be upgraded: {error}",
            hint="a newer version of Burnish made it: install that version, or restore a backup",
        ) from None
    except (DatabaseError, OutOfResources) as error:
        raise OperatorError(
            f"the database cannot be opened: {error}",
            hint="check database.url, and that no other program has locked the database",
        ) from None
    return newest()


def check(database: Database) -> None:
    """Raise SchemaMismatch if the database is not at the newest revision."""
    try:
        present = revision(database)
    except (DatabaseError, OutOfResources) as error:
        raise OperatorError(
            f"the database cannot be opened: {error}",
            hint="check database.url, then run `burnish db upgrade`",
        ) from None
    if present != newest():
        raise SchemaMismatch(
            f"the database is at revision {present}, this version of Burnish needs {newest()}",
            hint="run `burnish db upgrade`",
        )
