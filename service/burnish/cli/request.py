"""Surface: `burnish request …`, Media Creation Requests."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.application_profiles import PROFILES
from burnish.cli import exits, output
from burnish.cli.installation import actor, open_database, open_instances
from burnish.cli.options import (
    Config,
    Json,
    Limit,
    PasswordFile,
    Profile,
    Recipients,
    RequestName,
    parse_audience,
)
from burnish.errors import NotNow
from burnish.vocabulary import ExecutionStatus, RequestPriority
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.request.operations import Reference
    from burnish.request.replacements import Replacement
    from burnish.request.views import EventLine, FailureLine, PieceLine, RequestLine
    from burnish.settings import Settings

#: Replaced instances that `request show` names.
_REPLACED_SHOWN = 20

app = typer.Typer(no_args_is_help=True, help="Create, show and control media creation requests.")

Copies = Annotated[
    int | None,
    typer.Option("--copies", metavar="N", min=1, help="Number of identical sets of media."),
]
Priority = Annotated[
    RequestPriority | None,
    typer.Option("--priority", help="Requests of higher priority are made first."),
]
Studies = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="UID", help="All instances of this study. May be repeated."),
]
Instances = Annotated[
    list[str] | None,
    typer.Option("--instance", metavar="UID", help="This instance. May be repeated."),
]
LabelText = Annotated[
    str, typer.Option("--label-text", metavar="TEXT", help="Additional text for the label.")
]
FileSetID = Annotated[
    str,
    typer.Option("--file-set-id", metavar="ID", help="Storage Media File-Set ID: A-Z, 0-9, _."),
]
DeviceName = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Only this device may make the media.")
]
NoSplit = Annotated[bool, typer.Option("--no-split", help="Fail if one volume is not enough.")]
Lossy = Annotated[
    bool,
    typer.Option(
        "--lossy", help="With --no-split: compress with loss if nothing else makes it fit."
    ),
]
LabelDirectory = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="The directory for the labels.")
]
LabelForm = Annotated[str, typer.Option("--form", metavar="FORM", help="pdf, png, jpg or bmp.")]
VolumeNumber = Annotated[
    int | None, typer.Option("--volume", metavar="N", min=1, help="Only this volume.")
]
Content = Annotated[
    str,
    typer.Option(
        "--content",
        metavar="FOR",
        parser=parse_audience,
        show_default=False,
        help="Whom the media are for: FOR_PATIENT, FOR_PHYSICIAN, FOR_TEACHING, FOR_RESEARCH, or NO"
        " for DICOM files alone. Default: what [request] says.",
    ),
]
WithViewer = Annotated[
    bool | None,
    typer.Option("--viewer/--no-viewer", show_default=False, help="With pages, also the viewer."),
]
SeveralPatients = Annotated[
    bool,
    typer.Option(
        "--several-patients", help="The media may have instances of more than one patient."
    ),
]
Initiate = Annotated[bool, typer.Option("--initiate", help="Start making the media at once.")]


@app.command("list")
def list_requests(
    status: Annotated[
        ExecutionStatus | None, typer.Option(help="Only requests with this Execution Status.")
    ] = None,
    limit: Limit = 100,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the newest requests, newest first. Cancelled requests need --status DELETED."""
    with open_database(config) as (_, database):
        from burnish.request import listing

        with database.reading() as session:
            requests = listing.requests(session, status=status, limit=limit)
    if json:
        output.print_json([request._asdict() for request in requests])
        return
    output.print_table(
        (
            "request",
            "status",
            "info",
            ">instances",
            ">copies",
            ">pieces",
            "priority",
            "origin",
            "created",
            "remarks",
        ),
        [
            (
                request.short_id,
                request.execution_status,
                request.execution_status_info,
                request.instances,
                request.number_of_copies,
                f"{request.pieces_created}/{request.pieces}",
                request.request_priority,
                request.origin,
                request.created_at,
                request.remarks,
            )
            for request in requests
        ],
        empty="no requests",
    )


@app.command()
def show(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Show one request: state, remedy, pieces of media, failures and events."""
    with open_database(config) as (_, database):
        from burnish.request import listing, replacements

        with database.reading() as session:
            request = listing.find_request(session, name)
            pieces = listing.pieces(session, request)
            failures = listing.failures(session, request)
            events = listing.events(session, request)
            replaced = replacements.replacements(session, request.sop_instance_uid)
    if json:
        output.print_json(
            {
                **request._asdict(),
                "pieces": pieces,
                "failures": failures,
                "events": events,
                "replaced": replaced,
            }
        )
        return
    _show_request(request)
    if pieces:
        _show_pieces(pieces)
    if replaced:
        _show_replaced(replaced)
    if failures:
        _show_failures(failures)
    _show_events(events)


def _show_request(request: "RequestLine") -> None:
    fields = [
        ("request", request.short_id),
        ("SOP Instance UID", request.sop_instance_uid),
        ("Execution Status", f"{request.execution_status}  {request.execution_status_info}"),
        ("remedy", request.remedy),
        ("origin", request.origin),
        ("instances", request.instances),
        ("copies", request.number_of_copies),
        ("pieces spoiled", request.pieces_ruined or None),
        ("priority", request.request_priority),
        ("device", request.device),
        ("held since", request.held_at),
        ("supplements", request.supplements),
        ("supplemented by", ", ".join(request.supplemented_by)),
        ("created", request.created_at),
        ("initiated", request.initiated_at),
        ("ended", request.ended_at),
    ]
    output.print_fields((name, value) for name, value in fields if value not in (None, ""))


def _show_pieces(pieces: "list[PieceLine]") -> None:
    typer.echo("\npieces of media")
    output.print_table(
        (
            "piece",
            "volume",
            "copy",
            "state",
            "device",
            ">attempts",
            "File-set ID",
            "profile",
            "medium",
            ">bytes",
            ">instances",
            "created",
        ),
        [
            (
                piece.id,
                f"{piece.volume_number}/{piece.volume_count}",
                piece.copy_number,
                piece.state,
                piece.device,
                piece.attempts,
                piece.file_set_id,
                piece.media_application_profile,
                piece.medium,
                piece.size,
                piece.instances,
                piece.created_at,
            )
            for piece in pieces
        ],
        empty="",
    )


def _show_failures(failures: "list[FailureLine]") -> None:
    typer.echo("\nFailed SOP Sequence")
    output.print_table(
        ("reason", "SOP Class UID", "SOP Instance UID"),
        output.table_rows(
            failures,
            ("failure_reason", "referenced_sop_class_uid", "referenced_sop_instance_uid"),
        ),
        empty="",
    )


def _show_replaced(replaced: "list[Replacement]") -> None:
    typer.echo("\nreceived again with newer content; these media have the older content")
    output.print_table(
        ("replaced", "by", "changed", "SOP Instance UID"),
        output.table_rows(
            replaced[:_REPLACED_SHOWN],
            ("replaced_at", "calling_ae_title", "changed", "sop_instance_uid"),
        ),
        empty="",
    )
    if len(replaced) > _REPLACED_SHOWN:
        typer.echo(f"… and {len(replaced) - _REPLACED_SHOWN} more: --json shows all")
    studies = sorted({line.study_instance_uid for line in replaced} - {""})
    if studies:
        options = " ".join(f"--study {uid}" for uid in studies)
        typer.echo("this puts the newer content on media:")
        typer.echo(f"  burnish request create {options} --initiate")


def _show_events(events: "list[EventLine]") -> None:
    typer.echo("\nevents")
    output.print_table(
        ("at", "piece", "event", "from", "to", "by", "why"),
        output.table_rows(events, ("at", "piece_id", "event", "before", "after", "actor", "why")),
        empty="no events",
    )


@app.command()
def watch(name: RequestName, config: Config = None) -> None:
    """Follow a request until it is DONE (exit code 0), FAILURE (20) or cancelled (21)."""
    with open_database(config) as (_, database):
        from burnish.cli.watch import follow

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


@app.command()
def create(
    *,
    study: Studies = None,
    instance: Instances = None,
    profile: Profile = "",
    label_text: LabelText = "",
    file_set_id: FileSetID = "",
    no_split: NoSplit = False,
    lossy: Lossy = False,
    recipient: Recipients = None,
    password_file: PasswordFile = None,
    device: DeviceName = "",
    several_patients: SeveralPatients = False,
    content: Content = "",
    viewer: WithViewer = None,
    start: Initiate = False,
    copies: Copies = None,
    priority: Priority = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Request media for received instances; print the name of the new request.

    Several patients share media only with --several-patients, or if you confirm it. Secure media
    (STD-GEN-SEC-...) are for the recipients in [security] of the configuration, unless --recipient
    or --password-file is given. The password file is read when the media are made.
    """
    if (copies or priority) and not start:
        raise typer.BadParameter("--copies and --priority need --initiate")
    attributes = _media_attributes(label_text, file_set_id, no_split=no_split, lossy=lossy)
    attributes |= _content_attributes(content, viewer=viewer)
    attributes |= _security_attributes(profile, recipient or [], password_file)
    with open_instances(config) as (settings, database):
        from burnish.request import listing

        _check_device(settings, device)
        with database.reading() as session:
            references = _references(session, study or [], instance or [], profile)
            _check_patients(session, references, several_patients=several_patients)
        with database.writing() as session:
            uid = _create(session, settings, references, attributes, device)
            if start:
                _initiate(session, settings, uid, copies, priority)
            request = listing.find_request(session, uid)
    _print_name(request, json=json)


def _create(
    session: Any,
    settings: "Settings",
    references: "list[Reference]",
    attributes: dict[str, str],
    device: str,
) -> str:
    """The SOP Instance UID of a new request."""
    from burnish.request import operations

    request = operations.create(
        session,
        settings.request,
        operations.NewRequest(references, attributes),
        origin="administrator",
        device=device,
        actor=actor(),
    )
    return request.sop_instance_uid


def _content_attributes(audience: str, *, viewer: bool | None) -> dict[str, str]:
    """The attributes that say what the media hold for people; the defaults apply to others."""
    attributes = {}
    if audience:
        attributes["include_non_dicom_objects"] = audience
    if viewer is not None:
        attributes["include_display_application"] = "YES" if viewer else "NO"
    return attributes


def _media_attributes(
    label_text: str, file_set_id: str, *, no_split: bool, lossy: bool
) -> dict[str, str]:
    """The attributes that the options give, by column; the defaults apply to the others."""
    attributes = {
        "label_text": label_text,
        "storage_media_file_set_id": file_set_id,
        "allow_media_splitting": "NO" if no_split else "",
        "allow_lossy_compression": "YES" if lossy else "",
    }
    return {column: value for column, value in attributes.items() if value}


def _initiate(
    session: Any,
    settings: "Settings",
    uid: str,
    copies: int | None,
    priority: RequestPriority | None,
) -> None:
    from burnish.request import operations

    operations.initiate(
        session,
        settings.request,
        uid,
        number_of_copies=copies,
        request_priority=priority,
        actor=actor(),
    )


def _references(
    session: Any, studies: list[str], instances: list[str], profile: str
) -> "list[Reference]":
    """The instances that go on the media; raises Unknown for a UID that was not received."""
    from burnish.request import instance_listing
    from burnish.request.operations import Reference

    if not (studies or instances):
        raise typer.BadParameter("name what goes on the media: --study UID or --instance UID")
    uid_pairs: list[tuple[str, str]] = []
    for study_uid in studies:
        uid_pairs += instance_listing.references_of_study(session, study_uid)
    if instances:
        uid_pairs += instance_listing.references_of_instances(session, instances)
    return [Reference(sop_class, sop_instance, profile) for sop_class, sop_instance in uid_pairs]


def _check_patients(session: Any, references: "list[Reference]", *, several_patients: bool) -> None:
    """Ask before several patients share media; tell of contradictions between the instances."""
    from burnish.contradictions import count_patients, find_contradictions
    from burnish.request import instance_listing

    uids = [reference.sop_instance_uid for reference in references]
    headers = instance_listing.distinct_headers(session, uids)
    patients = count_patients(headers)
    if patients > 1 and not several_patients:
        if not sys.stdin.isatty():
            raise typer.BadParameter(
                f"the instances are of {patients} patients; "
                "add --several-patients if they may share media"
            )
        question = f"The instances are of {patients} patients. Put them on the same media?"
        typer.confirm(question, abort=True, err=True)
    for contradiction in find_contradictions(headers):
        output.print_error(f"warning: {contradiction.text}")


def _check_device(settings: "Settings", name: str) -> None:
    if name and name not in [device.name for device in settings.devices]:
        raise typer.BadParameter(f"no device {name}; `burnish device list` shows the devices")


def _security_attributes(
    profile: str, recipients: list[Path], password_file: Path | None
) -> dict[str, str]:
    """The recipients of secure media, checked. The password itself stays in its file."""
    if not recipients and password_file is None:
        return {}
    if not profile or not PROFILES[profile].secure:
        raise typer.BadParameter("--recipient and --password-file need a secure --profile")
    from burnish.secure_files.protection import read_password, read_recipients

    if password_file is not None:
        read_password(password_file)
    password_path = "" if password_file is None else str(password_file.absolute())
    return {"recipients": read_recipients(recipients), "password_file": password_path}


def _print_name(request: "RequestLine", *, json: bool) -> None:
    """Print the name on standard output, for scripts, and the status on standard error."""
    if json:
        output.print_json(request._asdict())
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
        _initiate(session, settings, uid, copies, priority)
        request = listing.find_request(session, uid)
    _print_name(request, json=json)


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
    _print_name(request, json=json)


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
