"""Surface: `burnish instance …`, what has been received."""

from typing import Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, Limit

app = typer.Typer(no_args_is_help=True, help="Look at received instances.")


@app.callback()
def instance() -> None:
    """Look at received instances."""


@app.command("list")
def list_instances(
    study: Annotated[
        str, typer.Option(metavar="UID", help="Only of this Study Instance UID.")
    ] = "",
    limit: Limit = 100,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the newest instances, newest first. No patient data is shown."""
    with open_database(config) as (_, database):
        from burnish.request import listing

        with database.reading() as session:
            rows = listing.instances(session, study_instance_uid=study, limit=limit)
    if json:
        output.document(rows)
        return
    output.table(
        ("received", "modality", ">bytes", "from", "to", "Study Instance UID", "SOP Instance UID"),
        output.columns_of(
            rows,
            *("received_at", "modality", "size", "calling_ae_title", "called_ae_title"),
            *("study_instance_uid", "sop_instance_uid"),
        ),
        empty="no instances",
    )
