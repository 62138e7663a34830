"""Surface: `burnish media …`, the register of every piece of media that was made or spoiled."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import actor, open_database
from burnish.cli.options import Config, Json, Limit
from burnish.errors import MissingValue

if TYPE_CHECKING:
    from burnish.register import RegisterEntry

app = typer.Typer(no_args_is_help=True, help="Search the register of media, and write notes in it.")

MediaName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="M000012, the bar code of the label, the File-set ID or its UID."
    ),
]
Day = Annotated[
    datetime | None,
    typer.Option(metavar="DATE", formats=["%Y-%m-%d", "%Y%m%d"], show_default=False),
]

Patient = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        show_default=False,
        help="The beginning of words of the patient's name, or the Patient ID.",
    ),
]
Barcode = Annotated[
    str,
    typer.Option(metavar="TEXT", show_default=False, help="The bar code of the label."),
]
FileSetName = Annotated[
    str,
    typer.Option(metavar="ID", show_default=False, help="File-set ID or File-set UID."),
]
StudyUID = Annotated[
    str,
    typer.Option(metavar="UID", show_default=False, help="Study Instance UID."),
]
DeviceName = Annotated[
    str,
    typer.Option(metavar="DEVICE", show_default=False, help="The device that made it."),
]
Outcome = Annotated[
    str,
    typer.Option(metavar="WORD", show_default=False, help="created or spoiled."),
]


@app.callback()
def media() -> None:
    """Search the register of media, and write notes in it."""


@app.command("list")
def list_media(
    *,
    patient: Patient = "",
    barcode: Barcode = "",
    file_set: FileSetName = "",
    study: StudyUID = "",
    device: DeviceName = "",
    outcome: Outcome = "",
    since: Day = None,
    until: Day = None,
    limit: Limit = 50,
    json: Json = False,
    config: Config = None,
) -> None:
    """List pieces of media, the newest first. `--until` includes its day."""
    from burnish.register import RegisterFilter, entries

    with open_database(config) as (_, database), database.reading() as session:
        pieces = entries(
            session,
            RegisterFilter(
                patient=patient,
                barcode=barcode,
                file_set=file_set,
                study_instance_uid=study,
                device=device,
                outcome=outcome,
                since=_local_day(since),
                until=_local_day(until, days=1),
            ),
            limit=limit,
        )
    if json:
        output.print_json([_facts(entry) for entry in pieces])
        return
    output.print_table(
        ("media", "ended", "outcome", "file-set", "device", "patients"),
        [
            (
                entry.name,
                entry.ended_at,
                entry.outcome,
                entry.file_set_id,
                entry.device,
                "; ".join(f"{name} ({patient_id})" for name, patient_id in entry.patients),
            )
            for entry in pieces
        ],
        empty="the register has no such piece of media",
    )


@app.command()
def show(name: MediaName, json: Json = False, config: Config = None) -> None:
    """Show all that the register has of a piece: what, for whom, how verified, and where it went.

    Of several pieces with one bar code or File-set ID, each is shown.
    """
    from burnish import register

    with open_database(config) as (_, database), database.reading() as session:
        pieces = register.entries_named(session, name, limit=20)
        if not pieces:
            register.entry(session, name)
    if json:
        output.print_json([_facts(entry) for entry in pieces])
        return
    for number, entry in enumerate(pieces):
        if number:
            typer.echo()
        _print_entry(entry)


@app.command()
def note(
    name: MediaName,
    given_out_to: Annotated[
        str,
        typer.Option(
            metavar="WHOM", show_default=False, help="The piece was given to this person."
        ),
    ] = "",
    destroyed: Annotated[bool, typer.Option("--destroyed", help="It was destroyed.")] = False,
    remark: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="Any other news; or how.")
    ] = "",
    config: Config = None,
) -> None:
    """Note in the register to whom a piece was given, that it was destroyed, or a remark."""
    from burnish.register import NoteKind, add_note

    if given_out_to:
        kind, text = NoteKind.GIVEN_OUT, given_out_to
    elif destroyed:
        kind, text = NoteKind.DESTROYED, remark
    else:
        kind, text = NoteKind.REMARK, remark
    if not destroyed and not text:
        raise MissingValue(
            "there is nothing to note", hint="use --given-out-to, --destroyed or --remark"
        )
    with open_database(config) as (_, database), database.writing() as session:
        add_note(session, name, kind, text, actor=actor())
        if given_out_to and remark:
            add_note(session, name, NoteKind.REMARK, remark, actor=actor())


def _local_day(day: datetime | None, days: int = 0) -> datetime | None:
    """The beginning of a day in local time."""
    if day is None:
        return None
    return (day + timedelta(days=days)).astimezone().astimezone(UTC)


def _facts(entry: "RegisterEntry") -> dict[str, object]:
    return {name: getattr(entry, name) for name in entry.__slots__}


def _print_entry(entry: "RegisterEntry") -> None:
    fields: list[tuple[str, object]] = [
        ("media", f"{entry.name}, {entry.outcome}"),
        ("ended", entry.ended_at),
        ("request", f"{entry.request}, asked for by {entry.requested_by}"),
        ("file-set", f"{entry.file_set_id} ({entry.file_set_uid})"),
        ("volume", f"{entry.volume_number} of {entry.volume_count}"),
        ("copy", f"{entry.copy_number} of {entry.number_of_copies}"),
        ("medium", f"{entry.medium}, {entry.media_application_profile}, by {entry.device}"),
        ("content", f"{entry.instances} instances, {output.format_size(entry.size)}"),
    ]
    optional = [
        ("bar code", entry.barcode_value),
        ("label text", entry.label_text),
        ("disposition", entry.media_disposition),
        ("verified", entry.verified),
        ("spoiled", entry.why),
        ("where", entry.whereabouts),
    ]
    fields += [(title, text) for title, text in optional if text]
    for study in entry.studies:
        fields.append(("patient", f"{study.patient_name} ({study.patient_id})"))
        texts = [study.study_date, study.modalities, study.study_description]
        if study.accession_number:
            texts.append(f"Accession Number {study.accession_number}")
        fields.append(("  study", ", ".join(text for text in texts if text)))
    for written in entry.notes:
        text = f"{written.kind} {written.text}".strip()
        fields.append(("note", f"{output.format_time(written.at)}  {text}, by {written.actor}"))
    output.print_fields(fields)
