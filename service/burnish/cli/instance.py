"""Surface: `burnish instance …`, received instances."""

from typing import Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, Limit

app = typer.Typer(no_args_is_help=True, help="Show received instances.")


@app.callback()
def instance() -> None:
    """Show received instances."""


@app.command("list")
def list_instances(
    study: Annotated[
        str, typer.Option(metavar="UID", help="Only instances of this Study Instance UID.")
    ] = "",
    limit: Limit = 100,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the newest instances, newest first, without patient data."""
    with open_database(config) as (_, database):
        from burnish.request import listing

        with database.reading() as session:
            instances = listing.instances(session, study_instance_uid=study, limit=limit)
    if json:
        output.print_json(instances)
        return
    columns = {
        "received": "received_at",
        "modality": "modality",
        ">bytes": "size",
        "from": "calling_ae_title",
        "to": "called_ae_title",
        "Study Instance UID": "study_instance_uid",
        "SOP Instance UID": "sop_instance_uid",
    }
    output.print_table(
        list(columns),
        output.table_rows(instances, list(columns.values())),
        empty="no instances",
    )
