"""Surface: `burnish db …`, the database: version, backups, recovery."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config, Json
from burnish.errors import OperatorError
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Upgrade, check, save and restore the database.")

_Backup = Annotated[
    Path,
    # the command itself tells who may read the file, and who may not
    typer.Argument(metavar="FILE", help="The backup file.", show_default=False, readable=False),
]


@app.command()
def upgrade(json: Json = False, config: Config = None) -> None:
    """Bring the database to this version; create it if it does not exist."""
    from burnish import roles
    from burnish.db import schema

    settings = read_settings(config)
    roles.configure_logging(settings)
    with _files_of_owner(settings):
        roles.prepare(settings)
    revision = schema.newest()
    output.print_outcome(
        f"the database is at revision {revision}", {"revision": revision}, json=json
    )


@app.command()
def check(
    spool: Annotated[
        bool, typer.Option("--spool", help="Also compare every row with the files of the spool.")
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Check that the database answers, is undamaged, and has this version."""
    with open_database(config) as (settings, database):
        from burnish import roles
        from burnish.db import schema

        roles.check_database_file(settings)
        roles.check_database_belongs_to_spool(settings, database)
        revision = schema.revision(database)
        texts = [f"the database answers and is at revision {revision}"]
        if spool:
            from burnish import recovery

            for finding in recovery.findings(database, roles.open_spool(settings)):
                if finding.remedy:
                    raise OperatorError(finding.text, hint=finding.remedy)
                texts.append(finding.text)
    outcome = {"revision": revision, "findings": texts}
    output.print_outcome("\n".join(texts), outcome, json=json)


@app.command()
def backup(file: _Backup, json: Json = False, config: Config = None) -> None:
    """Save the database to FILE, also while the service runs. The spool is not part of it."""
    with open_database(config) as (settings, _):
        from burnish.db import backup as database_backup

        with output.if_interrupted(f"interrupted; nothing was written to {file}"):
            database_backup.save(settings.database_url, file)
    output.print_outcome(f"the database was saved to {file}", {"file": file}, json=json)


@app.command()
def restore(file: _Backup, json: Json = False, config: Config = None) -> None:
    """Replace the database with a backup, then recover. The service must be stopped.

    The previous database is kept beside it. If the command is interrupted, repeat it.
    """
    with _stopped_service(config) as settings:
        _rebuild(settings, file, json=json)


@app.command("recover")
def recover_rows(json: Json = False, config: Config = None) -> None:
    """Make the database agree with the spool. The service must be stopped.

    Instances in the spool that the database does not know get their rows again; the database is
    created if it does not exist. Instances whose files are gone can be sent again. Requests made
    since the last backup are lost and must be made again. If the command is interrupted, nothing
    has changed: repeat it.
    """
    with _stopped_service(config) as settings:
        _rebuild(settings, None, json=json)


@contextmanager
def _stopped_service(config: Path | None) -> "Iterator[Settings]":
    """The settings of a service that does not run and cannot be started meanwhile."""
    from burnish import roles

    settings = read_settings(config)
    roles.configure_logging(settings)
    with _files_of_owner(settings):
        lock = roles.lock(settings, "serve")
        try:
            yield settings
        finally:
            os.close(lock)


@contextmanager
def _files_of_owner(settings: "Settings") -> "Iterator[None]":
    """Files that are created belong to the owner of the storage root; raises OperatorError."""
    from burnish import file_access, roles

    file_access.check_acts_as_owner(settings.storage.root)
    roles.restrict_file_permissions()
    roles.make_storage_root(settings)
    try:
        yield
    finally:
        roles.give_storage_to_owner(settings)


def _rebuild(settings: "Settings", source: Path | None, *, json: bool) -> None:
    from burnish import roles

    with output.if_interrupted(
        "interrupted; the database is as before, or rebuilt whole",
        "repeat the command",
    ):
        outcome, previous = roles.rebuild_database(settings, source)
    if json:
        output.print_views(
            {
                "recovered": outcome.recovered,
                "known": outcome.known,
                "unreadable": outcome.unreadable,
                "lost": outcome.lost,
                "previous_database": previous,
            }
        )
        return
    if previous is not None:
        typer.echo(f"the previous database was kept as {previous}")
    typer.echo(
        f"{quantity(outcome.recovered, 'instance')} recovered,"
        f" {quantity(outcome.known, 'file')} already known,"
        f" {quantity(outcome.unreadable, 'file')} unreadable,"
        f" {quantity(outcome.lost, 'instance')} lost"
    )
