"""Surface: `burnish instance …`, received instances."""

import getpass
import platform
from typing import TYPE_CHECKING, Annotated

import typer

from burnish import __version__
from burnish.cli import exits, output
from burnish.cli.installation import actor, open_instances
from burnish.cli.options import Config, Json, Limit
from burnish.errors import Unreadable
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.correction import Correction
    from burnish.db.instance_rows import Selection
    from burnish.db.session import Database
    from burnish.removal import Removal
    from burnish.request.instance_listing import InstanceLine, MediumLine
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Show, correct and remove received instances.")

Instances = Annotated[
    list[str] | None,
    typer.Option("--instance", metavar="UID", help="This instance. May be repeated."),
]
SeriesUIDs = Annotated[
    list[str] | None,
    typer.Option("--series", metavar="UID", help="This series. May be repeated."),
]
Studies = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="UID", help="This study. May be repeated."),
]
Patients = Annotated[
    list[str] | None,
    typer.Option("--patient", metavar="ID", help="This Patient ID. May be repeated."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.callback()
def instance() -> None:
    """Show, correct and remove received instances."""


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
    from burnish.request import instance_listing

    with open_instances(config) as (_, database), database.reading() as session:
        instances = instance_listing.instances(session, study_instance_uid=study, limit=limit)
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
    if any(line.replaces for line in instances):
        columns["replaced content from"] = "replaced"
    output.print_table(
        list(columns),
        output.table_rows(instances, list(columns.values())),
        empty="no instances",
    )


@app.command()
def show(
    uid: Annotated[str, typer.Argument(metavar="UID", help="Its SOP Instance UID.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Show one instance: its newest content, what that replaced, and the media it is on."""
    from burnish.request import instance_listing

    with open_instances(config) as (_, database), database.reading() as session:
        line = instance_listing.find_instance(session, uid)
        media = instance_listing.media_of_instance(session, uid)
    if json:
        output.print_json({"instance": line, "media": media})
        return
    output.print_fields(
        (
            ("SOP Instance UID", line.sop_instance_uid),
            ("SOP Class UID", line.sop_class_uid),
            ("Study Instance UID", line.study_instance_uid),
            ("modality", line.modality),
            ("fault", line.fault or "none"),
        )
    )
    _show_contents(line)
    if media:
        _show_media(media)


def _show_contents(line: "InstanceLine") -> None:
    typer.echo("\ncontents, newest first")
    newest = (line.received_at, line.calling_ae_title, line.size, line.transfer_syntax_uid)
    output.print_table(
        ("received", "from", ">bytes", "transfer syntax", "replaced", "by", "changed", "file"),
        [
            (*newest, "", "", "", "kept"),
            *[
                (
                    content.received_at,
                    content.calling_ae_title,
                    content.size,
                    content.transfer_syntax_uid,
                    content.replaced_at,
                    content.replaced_by,
                    content.changed,
                    "kept" if content.is_kept else "released",
                )
                for content in line.replaces
            ],
        ],
        empty="",
    )


def _show_media(media: "list[MediumLine]") -> None:
    typer.echo("\nmedia, with the content that was received at this time")
    output.print_table(
        ("request", "File-set ID", "medium", ">pieces created", "content received"),
        output.table_rows(
            media, ("request", "file_set_id", "medium", "pieces_created", "received_at")
        ),
        empty="",
    )


@app.command()
def remove(
    *,
    instances: Instances = None,
    series: SeriesUIDs = None,
    study: Studies = None,
    patient: Patients = None,
    yes: Yes = False,
    even_if_needed: Annotated[
        bool,
        typer.Option(
            "--even-if-needed",
            help="Also instances that an open request needs, or that a peer was promised.",
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Remove instances from the spool, with all their contents. Media are not touched."""
    if not (instances or series or study or patient):
        raise typer.BadParameter("name what to remove: --instance, --series, --study or --patient")
    with open_instances(config) as (settings, database):
        from burnish import removal, roles
        from burnish.db.instance_rows import Selection

        selection = Selection(instances or (), series or (), study or (), patient or ())
        if not yes:
            with database.reading() as session:
                planned = removal.describe(session, selection)
            typer.confirm(f"Remove {_describe(planned)}?", abort=True, err=True)
        done = removal.remove(
            database,
            roles.open_spool(settings),
            selection,
            even_if_needed=even_if_needed,
            actor=actor(),
        )
    typer.echo(f"removed {_describe(done)}")


@app.command()
def correct(
    *,
    instances: Instances = None,
    series: SeriesUIDs = None,
    study: Studies = None,
    patient: Patients = None,
    patient_id: Annotated[str, typer.Option(help="The right Patient ID.")] = "",
    patient_name: Annotated[str, typer.Option(help="The right name: Family^Given.")] = "",
    birth_date: Annotated[str, typer.Option(help="The right birth date: YYYYMMDD.")] = "",
    sex: Annotated[str, typer.Option(help="The right sex: M, F or O.")] = "",
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Say which Patient ID, name, birth date or sex is right; later media have the correction.

    The corrected instances are newer content, as if an archive had sent them. The older content is
    kept beside them, and media that are planned or made keep it.
    """
    values = {
        "PatientID": patient_id,
        "PatientName": patient_name,
        "PatientBirthDate": birth_date,
        "PatientSex": sex,
    }
    values = {keyword: value for keyword, value in values.items() if value}
    if not (instances or series or study or patient):
        raise typer.BadParameter("name what to correct: --instance, --series, --study or --patient")
    if not values:
        raise typer.BadParameter(
            "name what is right: --patient-id, --patient-name, --birth-date or --sex"
        )
    with open_instances(config) as (settings, database):
        from burnish.db.instance_rows import Selection

        selection = Selection(instances or (), series or (), study or (), patient or ())
        _correct(settings, database, selection, values, yes=yes)


def _correct(
    settings: "Settings",
    database: "Database",
    selection: "Selection",
    values: dict[str, str],
    *,
    yes: bool,
) -> None:
    """Show what is to be corrected, ask, and correct it."""
    from burnish import correction, roles

    spool = roles.open_spool(settings)
    planned = correction.describe(database, spool, selection, values)
    _show_correction(planned)
    if planned.instances:
        if not yes:
            typer.confirm("Correct them?", abort=True, err=True)
        by = f"{getpass.getuser()}@{platform.node()}, Burnish {__version__}"
        with roles.receiving_corrections(database, spool) as keep:
            planned = correction.correct(database, spool, selection, values, keep=keep, by=by)
        typer.echo(f"corrected {quantity(planned.instances, 'instance')}")
    if planned.failed:
        raise typer.Exit(exits.EXITS[Unreadable])


def _show_correction(planned: "Correction") -> None:
    from burnish.correction import NAMES

    for change in planned.changes:
        for present, count in change.present.items():
            shown = present or "(none)"
            typer.echo(
                f"{NAMES[change.keyword]}: {shown} -> {change.new}, {quantity(count, 'instance')}"
            )
    if planned.unchanged:
        typer.echo(f"{quantity(planned.unchanged, 'instance')} right already")
    for uid, why in planned.failed.items():
        output.print_error(f"cannot be corrected: {uid}: {why}")


def _describe(removal: "Removal") -> str:
    parts = [
        quantity(removal.instances, "instance"),
        "of 1 study" if removal.studies == 1 else f"of {removal.studies} studies",
        f"and {quantity(removal.patients, 'patient')}, {output.format_size(removal.size)}",
    ]
    if removal.needed_by:
        parts.append(f"(needed by {', '.join(removal.needed_by)})")
    if removal.promised:
        parts.append(f"({removal.promised} promised to a peer)")
    return " ".join(parts)
