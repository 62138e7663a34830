"""Surface: `burnish request …`, Media Creation Requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import exits, output
from burnish.cli.installation import actor, open_database, open_instances
from burnish.cli.options import (
    AccessionFilter,
    Config,
    DeviceOption,
    Json,
    Limit,
    NoPatients,
    PatientFilter,
    RequestName,
    Since,
    StudyDateFilter,
)
from burnish.request.views import RequestGroup, list_page
from burnish.vocabulary import ExecutionStatus, RequestPriority
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.request.actions import RequestActions
    from burnish.request.views import RequestLine

app = typer.Typer(no_args_is_help=True, help="Create, show and control media creation requests.")

Copies = Annotated[
    int | None,
    typer.Option("--copies", metavar="N", min=1, help="Number of identical sets of media."),
]
Priority = Annotated[
    RequestPriority | None,
    typer.Option("--priority", help="Requests of higher priority are made first."),
]
Group = Annotated[RequestGroup | None, typer.Option("--group", help="Only requests in this group.")]
Status = Annotated[
    ExecutionStatus | None, typer.Option("--status", help="Only with this Execution Status.")
]


@app.command("list")
def list_requests(
    *,
    status: Status = None,
    group: Group = None,
    patient: PatientFilter = "",
    accession: AccessionFilter = "",
    study_date: StudyDateFilter = "",
    since: Since = None,
    device: DeviceOption = "",
    before: Annotated[
        str, typer.Option(metavar="NAME", help="Only requests that are older than this one.")
    ] = "",
    limit: Limit = 100,
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the newest requests, newest first. Cancelled requests need --status DELETED."""
    from burnish.cli import request_output
    from burnish.request import listing

    wanted = listing.RequestFilter(
        status=status,
        group=group,
        patient=patient,
        accession_number=accession,
        study_date=study_date,
        since=since,
        device=device,
    )
    with open_database(config) as (_, database), database.reading() as session:
        lines = listing.requests(session, wanted, limit=limit + 1, before=before)
    page = list_page(lines, limit, lambda line: line.short_id)
    if json:
        output.print_views(page, patients=not no_patients)
        return
    request_output.print_requests(page.items, patients=not no_patients)
    output.print_more(page)


@app.command()
def show(
    name: RequestName, no_patients: NoPatients = False, json: Json = False, config: Config = None
) -> None:
    """Show one request: whom it is for, state, reason, remedy, media, failures and events."""
    from burnish.cli import request_output
    from burnish.request import listing

    with open_database(config) as (_, database), database.reading() as session:
        view = listing.show(session, name)
    if json:
        output.print_views(view, patients=not no_patients)
    else:
        request_output.print_view(view, patients=not no_patients)


@app.command()
def watch(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="A request; without it, all that are open.")
    ] = "",
    no_patients: NoPatients = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Without NAME: end once no request is open.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document per line for each event.")
    ] = False,
    config: Config = None,
) -> None:
    """Follow a request until it is DONE (exit code 0), FAILURE (20) or cancelled (21).

    Without NAME: all open requests, with reason, remedy, progress and time left, until Ctrl-C.
    """
    from burnish.cli.watch import follow, follow_all, follow_events

    with open_database(config) as (settings, database):
        root, patients = settings.storage.root, not no_patients
        if json:
            request = follow_events(database, name, until_idle=until_idle)
        elif name:
            request = follow(database, name, root=root, patients=patients)
        else:
            follow_all(database, root=root, patients=patients, until_idle=until_idle)
            request = None
    if request is None:
        return
    if request.execution_status == ExecutionStatus.FAILURE:
        output.print_error(
            f"{request.short_id} failed: {request.execution_status_info}",
            request.remedy or f"`burnish request show {request.short_id}` gives the reason",
        )
        raise typer.Exit(exits.REQUEST_FAILED)
    if request.execution_status == ExecutionStatus.DELETED:
        output.print_error(f"{request.short_id} was cancelled")
        raise typer.Exit(exits.REQUEST_CANCELLED)


@contextmanager
def request_actions(config: Path | None) -> "Iterator[RequestActions]":
    """The operations on requests for the user of this command."""
    from burnish.request.actions import RequestActions

    with open_instances(config) as (settings, database):
        yield RequestActions(database, settings, actor())


def print_name(request: "RequestLine", *, json: bool) -> None:
    """Print the name on standard output, for scripts, and the status on standard error."""
    if json:
        output.print_views(request)
        return
    typer.echo(request.short_id)
    instances = quantity(request.instances, "instance")
    typer.echo(f"{request.execution_status}, {instances}", err=True)


@app.command()
def initiate(
    name: RequestName,
    copies: Copies = None,
    priority: Priority = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Start a request that was only created."""
    with request_actions(config) as actions:
        request = actions.initiate(name, copies=copies, priority=priority)
    print_name(request, json=json)


@app.command()
def cancel(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Cancel a request: nothing more is made. Finished media are kept."""
    _do("cancel", name, json=json, config=config)


@app.command()
def retry(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Plan and make a failed request again; try a waiting device at once."""
    _do("retry", name, json=json, config=config)


@app.command()
def hold(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Hold a request: nothing more of it is started until it is released."""
    _do("hold", name, json=json, config=config)


@app.command()
def release(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Release a request that was held."""
    _do("release", name, json=json, config=config)


def _do(action: str, name: str, *, json: bool, config: Path | None) -> None:
    """Do one of the actions that need nothing but the request."""
    with request_actions(config) as actions:
        request = actions.do(action, name)
    print_name(request, json=json)
