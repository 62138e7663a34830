"""Surface: `burnish search TEXT`: where is the disc of this patient?"""

from typing import Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, NoPatients
from burnish.errors import Unknown


def search(
    text: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT",
            help="A name, Patient ID, Accession Number, study date, UID, request, File-set ID,"
            " bar code or AE title.",
        ),
    ],
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="Maximum number of each kind.")
    ] = 20,
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Find studies, requests and media by whatever is known: one box for everything.

    Names are found by the beginning of their parts, whatever their case and accents.
    """
    from burnish import search as stage
    from burnish.cli import request_output

    with open_database(config) as (_, database), database.reading() as session:
        result = stage.search(session, " ".join(text), limit=limit)
    if json:
        output.print_views(result, patients=not no_patients)
        return
    if result.is_empty:
        raise Unknown(
            "nothing matches",
            hint="a name, Patient ID, Accession Number, study date, UID, request or bar code",
        )
    if result.requests:
        typer.echo("requests")
    for hit in result.requests:
        request_output.print_request(hit.request, patients=not no_patients)
    if result.studies:
        typer.echo("\nstudies" if result.requests else "studies")
    for study in result.studies:
        request_output.print_study(study, patients=not no_patients)
    if result.media:
        typer.echo("\nmedia" if result.requests or result.studies else "media")
    for piece in result.media:
        request_output.print_medium(piece, patients=not no_patients)
    if result.more_studies or result.more_requests or result.more_media:
        typer.echo("… and more: --limit shows them", err=True)
