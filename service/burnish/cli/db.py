"""Surface: `burnish db …`, the database: its version, its backups, and its loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config

if TYPE_CHECKING:
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Bring the database up to date, check and save it.")

_Backup = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


@app.command()
def upgrade(config: Config = None) -> None:
    """Bring the database to this program's version; make it where it is not there."""
    from burnish import roles
    from burnish.db import schema

    settings = read_settings(config)
    roles.configure_logging(settings)
    roles.restrict_file_permissions()
    roles.prepare(settings)
    typer.echo(f"the database is at revision {schema.newest()}")


@app.command()
def check(
    spool: Annotated[
        bool, typer.Option("--spool", help="Also compare every row with the files of the spool.")
    ] = False,
    config: Config = None,
) -> None:
    """Say whether the database answers, is whole, and is of this program's version."""
    with open_database(config) as (settings, database):
        from burnish import roles
        from burnish.db import schema
        from burnish.errors import OperatorError

        roles.check_database_file(settings)
        typer.echo(f"the database answers and is at revision {schema.revision(database)}")
        if not spool:
            return
        from burnish import recovery

        found = recovery.compare(database, roles.open_spool(settings))
        typer.echo(f"{len(found.rowless)} files of the spool have no row")
        lost = len(found.fileless) + len(found.unconverted)
        if lost:
            raise OperatorError(
                f"{lost} instances have not their whole file",
                hint="`burnish db recover` releases them, so that they can be sent again",
            )
        typer.echo("every instance has its whole file")


@app.command()
def backup(file: _Backup, config: Config = None) -> None:
    """Save the database to FILE, also while the service runs. The spool is not part of it."""
    with open_database(config) as (settings, _):
        from burnish.db import backup as copies

        copies.save(settings.database_url, file)
    typer.echo(f"the database was saved to {file}")


@app.command()
def restore(file: _Backup, config: Config = None) -> None:
    """Put a backup in the place of the database, then recover; the service must not run.

    What was in its place is kept beside it.
    """
    from burnish.db import backup as copies

    with _stopped(config) as settings:
        kept = copies.restore(settings.database_url, file)
        if kept is not None:
            typer.echo(f"the database before was kept as {kept}")
        _recover(settings)


@app.command("recover")
def recover_rows(config: Config = None) -> None:
    """Make database and spool agree; the service must not run.

    Instances in the spool that the database does not know get their rows again, in a new database
    where there is none. Instances whose files are gone can then be sent again. Requests are in the
    database alone: what was asked since its backup has to be asked again.
    """
    from burnish import roles
    from burnish.db import backup as copies

    with _stopped(config) as settings:
        if not copies.is_lost(settings.database_url):
            roles.check_database_file(settings)
        _recover(settings)


@contextmanager
def _stopped(config: Path | None) -> "Iterator[Settings]":
    """The settings of a service that does not run, and cannot be started meanwhile."""
    import os

    from burnish import roles

    settings = read_settings(config)
    roles.configure_logging(settings)
    held = roles.lock(settings, "serve")
    try:
        yield settings
    finally:
        os.close(held)


def _recover(settings: "Settings") -> None:
    from burnish import recovery, roles
    from burnish.db import schema

    schema.upgrade(settings.database_url)
    database = roles.open_database(settings)
    try:
        done = recovery.recover(
            database, roles.open_spool(settings), called_ae_title=settings.dicom.ae_title
        )
    finally:
        database.close()
    typer.echo(
        f"{done.recovered} instances recovered, {done.known} files of instances known already,"
        f" {done.unreadable} files unreadable, {done.lost} instances lost"
    )
