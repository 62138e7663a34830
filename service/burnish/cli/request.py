"""Surface: `burnish request …`, what can be seen of media creation requests and asked of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.application_profiles import PROFILES
from burnish.cli import exits, output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, Limit, PasswordFile, Profile, Recipients
from burnish.cli.request_label import label
from burnish.vocabulary import ExecutionStatus, RequestPriority

if TYPE_CHECKING:
    from burnish.request.listing import EventLine, FailureLine, PieceLine, RequestLine
    from burnish.request.operations import NewRequest
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="See media creation requests, and ask of them.")
app.command()(label)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="R000012, its number, or its SOP Instance UID.")
]
Copies = Annotated[
    int | None, typer.Option("--copies", metavar="N", min=1, help="Sets of media to make.")
]
Priority = Annotated[
    RequestPriority | None, typer.Option("--priority", help="Who is served first.")
]

Studies = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="UID", help="All instances of this study; may be repeated."),
]
Instances = Annotated[
    list[str] | None,
    typer.Option("--instance", metavar="UID", help="This instance; may be repeated."),
]

LabelText = Annotated[str, typer.Option("--label-text", metavar="T", help="Text for the label.")]
FileSetID = Annotated[
    str,
    typer.Option("--file-set-id", metavar="ID", help="Storage Media File-Set ID: A-Z, 0-9, _."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="This device is to make the media.")
]
NoSplit = Annotated[bool, typer.Option("--no-split", help="Fail rather than take several volumes.")]
Lossy = Annotated[
    bool,
    typer.Option(
        "--lossy", help="With --no-split: compress with loss where the set would not fit else."
    ),
]
AtOnce = Annotated[bool, typer.Option("--initiate", help="Have the media made at once.")]


@app.command("list")
def list_requests(
    status: Annotated[
        ExecutionStatus | None, typer.Option(help="Only those of this Execution Status.")
    ] = None,
    limit: Limit = 100,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the newest requests, newest first; cancelled ones only with --status DELETED."""
    with open_database(config) as (_, database):
        from burnish.request import listing

        with database.reading() as session:
            rows = listing.requests(session, status=status, limit=limit)
    if json:
        output.document([row._asdict() for row in rows])
        return
    output.table(
        (
            *("request", "status", "info", ">instances", ">copies", ">pieces"),
            *("priority", "origin", "created", "remarks"),
        ),
        [
            [
                *(row.short_id, row.execution_status, row.execution_status_info, row.instances),
                *(row.number_of_copies, f"{row.pieces_created}/{row.pieces}"),
                *(row.request_priority, row.origin, row.created_at, row.remarks),
            ]
            for row in rows
        ],
        empty="no requests",
    )


@app.command()
def show(name: Name, json: Json = False, config: Config = None) -> None:
    """Show one request: its state, what it waits for, its pieces, failures and events."""
    with open_database(config) as (_, database):
        from burnish.request import listing

        with database.reading() as session:
            line = listing.find_request(session, name)
            pieces = listing.pieces(session, line)
            failures = listing.failures(session, line)
            events = listing.events(session, line)
    if json:
        output.document(
            {
                **line._asdict(),
                "pieces": pieces,
                "failures": failures,
                "events": events,
            }
        )
        return
    _show(line, pieces, failures, events)


def _show(
    line: "RequestLine",
    pieces: "list[PieceLine]",
    failures: "list[FailureLine]",
    events: "list[EventLine]",
) -> None:
    fields = [
        ("request", line.short_id),
        ("SOP Instance UID", line.sop_instance_uid),
        ("Execution Status", f"{line.execution_status}  {line.execution_status_info}"),
        ("remedy", line.remedy),
        ("origin", line.origin),
        ("instances", line.instances),
        ("copies", line.number_of_copies),
        ("pieces ruined", line.pieces_ruined or None),
        ("priority", line.request_priority),
        ("device", line.device),
        ("held", line.held_at),
        ("supplements", line.supplements),
        ("supplemented by", ", ".join(line.supplemented_by)),
        ("created", line.created_at),
        ("initiated", line.initiated_at),
        ("ended", line.ended_at),
    ]
    output.facts((name, value) for name, value in fields if value not in (None, ""))
    if pieces:
        _show_pieces(pieces)
    if failures:
        typer.echo("\nFailed SOP Sequence")
        output.table(
            ("reason", "SOP Class UID", "SOP Instance UID"),
            output.columns_of(
                failures,
                *("failure_reason", "referenced_sop_class_uid", "referenced_sop_instance_uid"),
            ),
            empty="",
        )
    typer.echo("\nevents")
    output.table(
        ("at", "piece", "event", "from", "to", "why"),
        output.columns_of(events, "at", "piece_id", "event", "before", "after", "why"),
        empty="no events",
    )


def _show_pieces(pieces: "list[PieceLine]") -> None:
    typer.echo("\npieces of media")
    output.table(
        (
            *("piece", "volume", "copy", "state", "device", ">attempts", "File-set ID"),
            *("profile", "medium", ">bytes", ">instances", "created"),
        ),
        [
            [
                *(piece.id, f"{piece.volume_number}/{piece.volume_count}", piece.copy_number),
                *(piece.state, piece.device, piece.attempts, piece.file_set_id),
                *(piece.media_application_profile, piece.medium, piece.size),
                *(piece.instances, piece.created_at),
            ]
            for piece in pieces
        ],
        empty="",
    )


@app.command()
def watch(name: Name, config: Config = None) -> None:
    """Follow a request until it is DONE (exit code 0), in FAILURE (20) or cancelled (21)."""
    with open_database(config) as (_, database):
        from burnish.cli.watch import follow

        line = follow(database, name)
    if line.execution_status == ExecutionStatus.FAILURE:
        output.complain(
            f"{line.short_id} failed: {line.execution_status_info}",
            line.remedy or f"burnish request show {line.short_id}",
        )
        raise typer.Exit(exits.REQUEST_FAILED)
    if line.execution_status == ExecutionStatus.DELETED:
        output.complain(f"{line.short_id} was cancelled")
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
    device: Device = "",
    at_once: AtOnce = False,
    copies: Copies = None,
    priority: Priority = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Ask for media of instances that were received; prints the name of the request.

    Secure media (STD-GEN-SEC-...) are for those whom [security] names, unless --recipient or
    --password-file does. The service reads that file when it makes the media."""
    if (copies or priority) and not at_once:
        raise typer.BadParameter("--copies and --priority go with --initiate")
    if not (study or instance):
        raise typer.BadParameter("name what goes on the media: --study UID or --instance UID")
    attributes = {
        "label_text": label_text,
        "storage_media_file_set_id": file_set_id,
        **_allowed(no_split=no_split, lossy=lossy),
        **_openers(profile, recipient or [], password_file),
    }
    with open_database(config) as (settings, database):
        from burnish.request import listing, operations

        _check_device(settings, device)
        with database.writing() as session:
            order = _order(_named(session, study or [], instance or []), profile, attributes)
            made = operations.create(
                session, settings.request, order, origin="administrator", device=device
            )
            uid = made.sop_instance_uid
            if at_once:
                operations.initiate(
                    *(session, settings.request, uid),
                    number_of_copies=copies,
                    request_priority=priority,
                )
            line = listing.find_request(session, uid)
    _tell(line, json=json)


def _named(session: Any, studies: list[str], instances: list[str]) -> list[tuple[str, str]]:
    """SOP Class and Instance UIDs of what goes on the media; raises Unknown."""
    from burnish.request import listing

    named = [pair for uid in studies for pair in listing.references_of_study(session, uid)]
    return named + (listing.references_of_instances(session, instances) if instances else [])


def _check_device(settings: "Settings", device: str) -> None:
    if device and device not in {each.name for each in settings.devices}:
        raise typer.BadParameter(f"no device {device}: `burnish device list` shows them")


def _allowed(*, no_split: bool, lossy: bool) -> dict[str, str]:
    """What may be done to fit the set onto media; empty where the settings say it."""
    return {
        "allow_media_splitting": "NO" if no_split else "",
        "allow_lossy_compression": "YES" if lossy else "",
    }


def _openers(profile: str, recipients: list[Path], password_file: Path | None) -> dict[str, str]:
    """Who can open secure media, checked; the password stays where it is."""
    if not recipients and password_file is None:
        return {}
    if not profile or not PROFILES[profile].secure:
        raise typer.BadParameter("--recipient and --password-file go with a secure --profile")
    from burnish.secure_files.protection import read_password, read_recipients

    if password_file is not None:
        read_password(password_file)
    path = "" if password_file is None else str(password_file.absolute())
    return {"recipients": read_recipients(recipients), "password_file": path}


def _order(named: list[tuple[str, str]], profile: str, attributes: dict[str, str]) -> "NewRequest":
    from burnish.request.operations import NewRequest, Reference

    return NewRequest(
        [Reference(sop_class, sop_instance, profile) for sop_class, sop_instance in named],
        {column: value for column, value in attributes.items() if value},
    )


def _tell(line: "RequestLine", *, json: bool) -> None:
    """The name on standard output, for a shell to catch; the rest is for people."""
    if json:
        output.document(line._asdict())
        return
    typer.echo(line.short_id)
    typer.echo(f"{line.execution_status}, {line.instances} instances", err=True)


@app.command()
def initiate(
    name: Name,
    copies: Copies = None,
    priority: Priority = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Have the media of a request made that was only created."""
    with open_database(config) as (settings, database):
        from burnish.request import listing, operations

        with database.writing() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            operations.initiate(
                session,
                settings.request,
                uid,
                number_of_copies=copies,
                request_priority=priority,
            )
            line = listing.find_request(session, uid)
    _tell(line, json=json)


@app.command()
def cancel(name: Name, json: Json = False, config: Config = None) -> None:
    """Cancel a request: nothing more is made. Media that are finished stay."""
    _ask("cancel", name, json=json, config=config)


@app.command()
def retry(name: Name, json: Json = False, config: Config = None) -> None:
    """Plan and make the media of a request that failed anew; try at once what waits."""
    _ask("retry", name, json=json, config=config)


@app.command()
def hold(name: Name, json: Json = False, config: Config = None) -> None:
    """Hold a request: nothing more of it is begun until it is released."""
    _ask("hold", name, json=json, config=config)


@app.command()
def release(name: Name, json: Json = False, config: Config = None) -> None:
    """Let a request go on that was held."""
    _ask("release", name, json=json, config=config)


def _ask(operation: str, name: str, *, json: bool, config: Path | None) -> None:
    """One of the operations that take nothing but the request."""
    with open_database(config) as (_, database):
        from burnish.request import listing, operations

        with database.writing() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            getattr(operations, operation)(session, uid)
            line = listing.find_request(session, uid)
    _tell(line, json=json)
