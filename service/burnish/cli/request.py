"""Surface: `burnish request …`, Media Creation Requests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli import exits, output
from burnish.cli.installation import actor, open_database
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
from burnish.errors import NotNow
from burnish.request.views import RequestGroup
from burnish.vocabulary import ExecutionStatus, RequestPriority
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.request.views import RequestLine
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Create, show and control media creation requests.")

Copies = Annotated[
    int | None,
    typer.Option("--copies", metavar="N", min=1, help="Number of identical sets of media."),
]
Priority = Annotated[
    RequestPriority | None,
    typer.Option("--priority", help="Requests of higher priority are made first."),
]
LabelDirectory = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="The directory for the labels.")
]
LabelForm = Annotated[str, typer.Option("--form", metavar="FORM", help="pdf, png, jpg or bmp.")]
VolumeNumber = Annotated[
    int | None, typer.Option("--volume", metavar="N", min=1, help="Only this volume.")
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
        lines = listing.requests(session, wanted, limit=limit, before=before)
    if json:
        output.print_views(lines, patients=not no_patients)
    else:
        request_output.print_requests(lines, patients=not no_patients)


@app.command()
def show(
    name: RequestName, no_patients: NoPatients = False, json: Json = False, config: Config = None
) -> None:
    """Show one request: whom it is for, state, reason, remedy, media, failures and events."""
    from burnish.cli import request_output
    from burnish.request import listing, replacements
    from burnish.request.views import to_json

    with open_database(config) as (_, database), database.reading() as session:
        view = listing.show(session, name)
        replaced = replacements.replacements(session, view.line.sop_instance_uid)
    if json:
        values = to_json(view, patients=not no_patients)
        output.print_json({**values, "replaced": replaced})
    else:
        request_output.print_view(view, replaced, patients=not no_patients)


@app.command()
def watch(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="A request; without it, all that are open.")
    ] = "",
    no_patients: NoPatients = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Without NAME: end once no request is open.")
    ] = False,
    config: Config = None,
) -> None:
    """Follow a request until it is DONE (exit code 0), FAILURE (20) or cancelled (21).

    Without NAME: all open requests, with reason, remedy, progress and time left, until Ctrl-C.
    """
    from burnish.cli.watch import follow, follow_all

    with open_database(config) as (_, database):
        if not name:
            follow_all(database, patients=not no_patients, until_idle=until_idle)
            return
        request = follow(database, name)
    if request.execution_status == ExecutionStatus.FAILURE:
        output.print_error(
            f"{request.short_id} failed: {request.execution_status_info}",
            request.remedy or f"`burnish request show {request.short_id}` gives the reason",
        )
        raise typer.Exit(exits.REQUEST_FAILED)
    if request.execution_status == ExecutionStatus.DELETED:
        output.print_error(f"{request.short_id} was cancelled")
        raise typer.Exit(exits.REQUEST_CANCELLED)


def start(
    session: Any,
    settings: "Settings",
    uid: str,
    copies: int | None,
    priority: RequestPriority | None,
) -> None:
    """Initiate a request."""
    from burnish.request import operations

    operations.initiate(
        session,
        settings.request,
        uid,
        number_of_copies=copies,
        request_priority=priority,
        actor=actor(),
    )


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
    from burnish.request import listing

    with open_database(config) as (settings, database), database.writing() as session:
        uid = listing.find_request(session, name).sop_instance_uid
        start(session, settings, uid, copies, priority)
        request = listing.find_request(session, uid)
    print_name(request, json=json)


@app.command()
def cancel(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Cancel a request: nothing more is made. Finished media are kept."""
    _operate("cancel", name, json=json, config=config)


@app.command()
def retry(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Plan and make a failed request again; try a waiting device at once."""
    _operate("retry", name, json=json, config=config)


@app.command()
def hold(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Hold a request: nothing more of it is started until it is released."""
    _operate("hold", name, json=json, config=config)


@app.command()
def release(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Release a request that was held."""
    _operate("release", name, json=json, config=config)


def _operate(operation: str, name: str, *, json: bool, config: Path | None) -> None:
    """Run one of the operations whose only argument is the request."""
    with open_database(config) as (_, database):
        from burnish.request import listing, operations

        with database.writing() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            getattr(operations, operation)(session, uid, actor=actor())
            request = listing.find_request(session, uid)
    print_name(request, json=json)


@app.command()
def label(
    name: RequestName,
    *,
    target: LabelDirectory,
    form: LabelForm = "pdf",
    volume: VolumeNumber = None,
    config: Config = None,
) -> None:
    """Write the labels of a request, one for each volume; all copies share it.

    For discs from a drive and for sticks, which no device prints. A request with Media Disposition
    also gets an address label.
    """
    from burnish.label import LABEL_FORMATS
    from burnish.request import listing

    if form not in LABEL_FORMATS:
        raise typer.BadParameter(f"--form is one of {', '.join(LABEL_FORMATS)}")
    with open_database(config) as (settings, database):
        from burnish import roles
        from burnish.write.job import volume_jobs as jobs_of_request
        from burnish.write.labels import PieceLabels

        with database.reading() as session:
            request = listing.find_request(session, name)
            spool, root = roles.open_spool(settings), settings.storage.root
            volume_jobs = jobs_of_request(
                session, request.sop_instance_uid, spool, root / "images", root / "content"
            )
    if volume is not None:
        volume_jobs = [job for job in volume_jobs if job.burn_job.volume_number == volume]
    if not volume_jobs:
        raise NotNow(
            f"{request.short_id} has no such volume yet",
            hint=f"once it is planned, `burnish request show {request.short_id}` lists its volumes",
        )
    target.mkdir(parents=True, exist_ok=True)
    labels = PieceLabels(settings.label, form)
    for volume_job in volume_jobs:
        for file_name, label_file in labels.of_volume(volume_job).items():
            (target / file_name).write_bytes(label_file.data)
            for note in label_file.notes:
                output.print_error(f"{file_name}: {note}")
            size = len(label_file.data)
            typer.echo(f"{target / file_name}: {volume_job.burn_job.file_set_id}, {size} bytes")
