"""Surface: `burnish commitment …`, Storage Commitment transactions."""

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, Limit
from burnish.request.views import ListPage

app = typer.Typer(no_args_is_help=True, help="Show Storage Commitment transactions.")


@app.callback()
def commitment() -> None:
    """Show Storage Commitment transactions."""


@app.command("list")
def list_commitments(limit: Limit = 100, json: Json = False, config: Config = None) -> None:
    """List the newest transactions, newest first.

    WAITING: some instances may still arrive. TO REPORT: decided, but the report was not delivered
    yet. REPORTED: the peer has received the report. GIVEN UP: the report could not be delivered.
    """
    with open_database(config) as (_, database):
        from burnish.commitment import listing

        with database.reading() as session:
            transactions = listing(session, limit=limit)
    if json:
        output.print_views(ListPage(tuple(transactions)))
        return
    columns = {
        "requested": "requested_at",
        "peer": "calling_ae_title",
        "state": "state",
        ">instances": "instances",
        ">failed": "failed",
        ">attempts": "attempts",
        "promised until": "promised_until",
        "next attempt": "next_attempt",
        "why": "why",
        "Transaction UID": "transaction_uid",
    }
    output.print_table(
        list(columns),
        output.table_rows(transactions, list(columns.values())),
        empty="no Storage Commitment transactions",
    )
