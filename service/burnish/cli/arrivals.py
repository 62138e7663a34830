"""Surface: `burnish arrivals`: what has come and nobody has requested media for."""

import typer

from burnish.cli import output
from burnish.cli.installation import open_instances
from burnish.cli.options import Before, Config, Json, Limit, NoPatients
from burnish.request.views import list_page
from burnish.wording import quantity


def arrivals(
    limit: Limit = 20,
    before: Before = "",
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the studies that nobody has requested media for, the latest first.

    Each with the standing order that will make a request of it, if one will, and when.
    """
    from burnish.cli import request_output
    from burnish.request import arrivals as stage

    with open_instances(config) as (settings, database), database.reading() as session:
        arrived = stage.arrivals(session, settings.standing_order, limit=limit + 1, before=before)
    page = list_page(arrived, limit, stage.cursor)
    if json:
        output.print_views(page, patients=not no_patients)
        return
    if not page.items:
        typer.echo("no study without a request", err=True)
    for line in page.items:
        request_output.print_study(line.study, patients=not no_patients)
        for text in line.contradictions:
            output.print_items((f"contradiction: {text}",), indent=2, hanging=2)
        due = f"due {output.format_time(line.due_at)}" if line.due_at else ""
        output.print_items(
            (
                f"{quantity(line.unrequested, 'instance')} not requested",
                output.format_size(line.size),
                f"from {', '.join(line.calling_ae_titles)}",
                f"received {output.format_time(line.study.last_received_at)}",
                f"standing order {line.standing_order}" if line.standing_order else "",
                due,
            ),
            indent=2,
            hanging=2,
        )
    output.print_more(page)
