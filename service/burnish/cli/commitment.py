"""Surface: `burnish commitment …`, what peers were promised, and whether they know."""

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, Limit

app = typer.Typer(no_args_is_help=True, help="Look at storage commitments.")


@app.callback()
def commitment() -> None:
    """Look at storage commitments."""


@app.command("list")
def list_commitments(limit: Limit = 100, json: Json = False, config: Config = None) -> None:
    """List the newest transactions, newest first.

    WAITING: for instances; TO REPORT: known, the peer is to be told; REPORTED; GIVEN UP: the peer
    could not be told.
    """
    with open_database(config) as (_, database):
        from burnish.commitment import listing

        with database.reading() as session:
            rows = listing(session, limit=limit)
    if json:
        output.document(rows)
        return
    output.table(
        (
            *("asked", "peer", "state", ">instances", ">failed", ">attempts", "promised until"),
            *("next attempt", "why", "Transaction UID"),
        ),
        output.columns_of(
            rows,
            *("requested_at", "calling_ae_title", "state", "instances", "failed", "attempts"),
            *("promised_until", "next_attempt", "why", "transaction_uid"),
        ),
        empty="no storage commitments",
    )
