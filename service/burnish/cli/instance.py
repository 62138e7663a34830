"""Surface: `burnish instance …`, received instances."""

import getpass
import platform
from typing import TYPE_CHECKING, Annotated

import typer

from burnish import __version__
from burnish.cli import exits, output
from burnish.cli.installation import actor, open_instances
from burnish.cli.options import (
    AccessionFilter,
    Config,
    Json,
    Limit,
    NoPatients,
    PatientFilter,
    Since,
    StudyDateFilter,
)
from burnish.cli.request_output import format_date, format_name
from burnish.errors import Unreadable
from burnish.request.views import list_page
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
    *,
    study: Annotated[
        str, typer.Option(metavar="UID", help="Only instances of this Study Instance UID.")
    ] = "",
    series: Annotated[
        str, typer.Option(metavar="UID", help="Only instances of this Series Instance UID.")
    ] = "",
    patient: PatientFilter = "",
    accession: AccessionFilter = "",
    study_date: StudyDateFilter = "",
    since: Since = None,
    limit: Limit = 100,
    before: Annotated[
        int, typer.Option("--before", metavar="PLACE", min=0, help="The `next` of another list.")
    ] = 0,
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the newest instances, newest first."""
    from burnish.request import instance_listing

    wanted = instance_listing.InstanceFilter(
        study_instance_uid=study,
        series_instance_uid=series,
        patient=patient,
        accession_number=accession,
        study_date=study_date,
        since=since,
    )
    with open_instances(config) as (_, database), database.reading() as session:
        instances = instance_listing.instances(session, wanted, limit=limit + 1, before=before)
    page = list_page(instances, limit, lambda line: line.id)
    if json:
        output.print_views(page, patients=not no_patients)
        return
    if not page.items:
        typer.echo("no instances", err=True)
    for line in page.items:
        _print_instance(line, patients=not no_patients)
    output.print_more(page)


def _print_instance(line: "InstanceLine", *, patients: bool) -> None:
    """One instance of a list; no name or number is broken over two lines."""
    output.print_items(
        (
            output.format_time(line.received_at),
            line.modality,
            output.format_size(line.size),
            f"{line.calling_ae_title} to {line.called_ae_title}",
        )
    )
    if patients:
        output.print_items(
            (
                format_name(line.patient_name),
                f"ID {line.patient_id}",
                format_date(line.study_date),
            ),
            indent=2,
        )
    output.print_items((f"study {line.study_instance_uid}",), indent=2)
    output.print_items((f"instance {line.sop_instance_uid}",), indent=2)
    if line.replaced:
        output.print_sentence(f"replaced content from {line.replaced}", indent=2)


@app.command()
def show(
    uid: Annotated[str, typer.Argument(metavar="UID", help="Its SOP Instance UID.")],
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Show one instance: its contents, the media it is on, and who uploaded it."""
    from burnish.db import instance_events
    from burnish.request import instance_listing

    with open_instances(config) as (_, database), database.reading() as session:
        line = instance_listing.find_instance(session, uid)
        media = instance_listing.media_of_instance(session, uid)
        events = instance_events.events(session, uid)
    if json:
        shown = {"instance": line, "media": media, "events": events}
        output.print_views(shown, patients=not no_patients)
        return
    if not no_patients:
        output.print_items((format_name(line.patient_name), f"ID {line.patient_id}"))
    output.print_fields(
        (
            ("SOP Instance UID", line.sop_instance_uid),
            ("SOP Class UID", line.sop_class_uid),
            ("Study Instance UID", line.study_instance_uid),
            ("modality", line.modality),
            ("fault", line.fault or "none"),
            ("examined", _examined(line)),
        )
    )
    _show_contents(line)
    for event in events:
        output.print_items((output.format_time(event.at), event.event.lower(), event.actor))
    if media:
        _show_media(media)


def _examined(line: "InstanceLine") -> str:
    if line.examined:
        return "completely"
    return "but for sequences and compressed frames, which the first request examines"


def _show_contents(line: "InstanceLine") -> None:
    typer.echo("\ncontents, newest first")
    output.print_items(
        (
            output.format_time(line.received_at),
            f"from {line.calling_ae_title}",
            output.format_size(line.size),
            f"transfer syntax {line.transfer_syntax_uid}",
            "kept",
        ),
        hanging=2,
    )
    for content in line.replaces:
        output.print_items(
            (
                output.format_time(content.received_at),
                f"from {content.calling_ae_title}",
                output.format_size(content.size),
                f"transfer syntax {content.transfer_syntax_uid}",
                "kept" if content.is_kept else "released",
                f"replaced {output.format_time(content.replaced_at)}",
                f"by {content.replaced_by}:  {content.changed}",
            ),
            hanging=2,
        )


def _show_media(media: "list[MediumLine]") -> None:
    typer.echo("\nmedia, with the content that was received at this time")
    for line in media:
        output.print_items(
            (
                line.request,
                line.file_set_id,
                line.medium,
                f"{quantity(line.pieces_created, 'piece')} created",
                output.format_time(line.received_at),
            ),
            hanging=2,
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
    json: Json = False,
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
    output.print_new(f"removed {_describe(done)}", done, json=json)


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
    json: Json = False,
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
        _correct(settings, database, selection, values, yes=yes, json=json)


def _correct(
    settings: "Settings",
    database: "Database",
    selection: "Selection",
    values: dict[str, str],
    *,
    yes: bool,
    json: bool,
) -> None:
    """Show what is to be corrected, ask, and correct it."""
    from burnish import correction, roles
    from burnish.receive.receiver import receiving_corrections

    spool = roles.open_spool(settings)
    planned = correction.describe(database, spool, selection, values)
    if not (json and yes):
        _show_correction(planned)
    if planned.instances:
        if not yes:
            typer.confirm("Correct them?", abort=True, err=True)
        by = f"{getpass.getuser()}@{platform.node()}, Burnish {__version__}"
        with receiving_corrections(database, spool) as keep:
            planned = correction.correct(database, spool, selection, values, keep=keep, by=by)
        if not json:
            typer.echo(f"corrected {quantity(planned.instances, 'instance')}")
    if json:
        output.print_views(planned)
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
