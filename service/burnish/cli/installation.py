"""Surface: the settings and the database of the installation that a command works on."""

import getpass
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import OperatorError

if TYPE_CHECKING:
    from burnish.db.session import Database
    from burnish.settings import Settings
    from burnish.values import Actor

#: Seconds that a command waits for the rows of instances that were just received.
_WAIT_FOR_ROWS = 2.0


def actor() -> "Actor":
    """The user of the operating system that runs the command."""
    from burnish.values import Actor

    try:
        return Actor("cli", getpass.getuser())
    except (KeyError, OSError):  # the user ID has no name
        return Actor("cli", str(os.getuid()))


def read_settings(config: Path | None) -> "Settings":
    """The settings of the file that `--config` names; raises InvalidSettings."""
    from burnish import settings

    return settings.read_settings(config)


@contextmanager
def open_database(config: Path | None) -> Iterator[tuple["Settings", "Database"]]:
    """The settings, and the database, which must have the schema of this version.

    Raises InvalidSettings, SchemaMismatch, and OperatorError if the database does not exist:
    a command that only looks must not create it.
    """
    from burnish import roles
    from burnish.db import backup, schema

    settings = read_settings(config)
    # the command itself tells what it does; its log would only tell that again
    roles.configure_logging(settings, least_level=logging.WARNING)
    path = backup.file_of(settings.database_url)
    if path is not None:
        if backup.is_lost(settings.database_url) and not path.exists():
            raise OperatorError(
                f"there is no database at {path}",
                hint="name the configuration with --config; `burnish serve` and `burnish db"
                " upgrade` create the database",
            )
        backup.check_access(path)
    database = roles.open_database(settings)
    try:
        schema.check(database)
        yield settings, database
    finally:
        database.close()


@contextmanager
def open_instances(config: Path | None) -> Iterator[tuple["Settings", "Database"]]:
    """As `open_database`, once the instances that were received until now have their rows.

    For a moment at most: a receiver inserts them within milliseconds, unless the database does not
    answer.
    """
    from burnish import roles
    from burnish.receive.following import rows_are_complete

    with open_database(config) as (settings, database):
        if (settings.storage.root / "spool" / "segments").is_dir():
            rows_are_complete(database, roles.open_spool(settings), _WAIT_FOR_ROWS)
        yield settings, database
