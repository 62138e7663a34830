"""Ground: the schema's version: bring a database to ours, or say how it differs."""

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
    """The folder of the migrations: in the package where installed, else in the checkout."""
    packaged = Path(__file__).with_name("migrations")
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "migrations"


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations()))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def newest() -> str:
    """The revision that this program works with."""
    head = ScriptDirectory.from_config(_config("")).get_current_head()
    assert head is not None  # noqa: S101  there is at least one migration
    return head


def revision(database: Database) -> str | None:
    """The revision the database is at; None where it is empty."""
    with database.reading() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def upgrade(url: str) -> str:
    """Brings the database to this program's revision, creating it where it is not there."""
    try:
        command.upgrade(_config(url), "head")
    except CommandError as error:
        raise SchemaMismatch(
            f"the database cannot be upgraded: {error}",
            hint="it was made by a newer Burnish; install that version, or restore a backup",
        ) from None
    except (DatabaseError, OutOfResources) as error:
        raise OperatorError(
            f"the database cannot be opened: {error}",
            hint="check database.url, the file's permissions, and that nobody holds it locked;"
            " or restore a backup",
        ) from None
    return newest()


def check(database: Database) -> None:
    """Raises SchemaMismatch where the database is not at this program's revision."""
    try:
        found = revision(database)
    except (DatabaseError, OutOfResources) as error:
        raise OperatorError(
            f"the database cannot be opened: {error}",
            hint="check database.url, then run `burnish db upgrade`",
        ) from None
    if found != newest():
        raise SchemaMismatch(
            f"the database is at revision {found}, this program works with {newest()}",
            hint="run `burnish db upgrade`",
        )
