"""Surface: `burnish status`: is everything well, on one screen and as an exit code."""

import typer

from burnish.cli import exits, output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json


def status(json: Json = False, config: Config = None) -> None:
    """Tell whether everything is well: service, disk, devices, requests.

    The exit code is for monitors: 0 all is well, 25 something needs attention, 26 the service does
    not run or cannot receive.
    """
    from burnish.request.health import Level, health

    with open_database(config) as (settings, database), database.reading() as session:
        present = health(session, settings)
    if json:
        output.print_views(present)
    else:
        width = max(len(finding.part) for finding in present.findings)
        for finding in present.findings:
            mark = "  " if finding.level is Level.WELL else "! "
            first, *others = output.wrap(finding.text, indent=width + 4)
            typer.echo(f"{mark}{finding.part:<{width}}{first[width + 2 :]}")
            for line in others:
                typer.echo(line)
            if finding.remedy:
                output.print_sentence(f"To do: {finding.remedy}", indent=width + 4)
        groups = present.requests.items()
        output.print_items(("requests", *(f"{count} {group}" for group, count in groups if count)))
        typer.echo(f"all is {Level.WELL}" if present.level is Level.WELL else present.level)
    if present.level is Level.ATTENTION:
        raise typer.Exit(exits.NEEDS_ATTENTION)
    if present.level is Level.UNWELL:
        raise typer.Exit(exits.NOT_WELL)
