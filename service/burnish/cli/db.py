"""Surface: `burnish db …`, the version of the database."""

import typer

from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config

app = typer.Typer(no_args_is_help=True, help="Bring the database up to date, or check it.")


@app.command()
def upgrade(config: Config = None) -> None:
    """Bring the database to this program's version; make it where it is not there."""
    from burnish import app as roles
    from burnish.db import schema

    settings = read_settings(config)
    roles.configure_logging(settings)
    roles.prepare(settings)
    typer.echo(f"the database is at revision {schema.newest()}")


@app.command()
def check(config: Config = None) -> None:
    """Say whether the database answers and is of this program's version."""
    with open_database(config) as (_, database):
        from burnish.db import schema

        typer.echo(f"the database answers and is at revision {schema.revision(database)}")
