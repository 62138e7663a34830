"""Surface: `burnish media …`, the register of every piece of media that was made or spoiled."""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output, times
from burnish.cli.installation import actor, open_database
from burnish.cli.options import Before, Config, Json, Limit, NoPatients, Since
from burnish.errors import MissingValue
from burnish.request.views import list_page

if TYPE_CHECKING:
    from burnish.register import RegisterEntry

app = typer.Typer(no_args_is_help=True, help="Search the register of media, and write notes in it.")

MediaName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="M000012, the bar code of the label, the File-set ID or its UID."
    ),
]
Until = Annotated[
    date | None,
    typer.Option(
        metavar="DATE",
        parser=times.parse_day,
        show_default=False,
        help="Only until the end of 2026-01-31, today or yesterday.",
    ),
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
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Before = "",
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List pieces of media, newest first."""
    from burnish.cli import request_output
    from burnish.register import RegisterFilter, entries

    if before and not (before.isascii() and before.isdigit()):
        raise typer.BadParameter("--before is the `next` of another list")
    position = int(before) if before else None
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
                since=since,
                until=None if until is None else times.start_of_day(until + timedelta(days=1)),
            ),
            limit=limit + 1,
            before=position,
        )
    page = list_page(pieces, limit, lambda piece: piece.id)
    if json:
        output.print_views(page, patients=not no_patients)
        return
    if not page.items:
        typer.echo("the register has no such piece of media", err=True)
    for piece in page.items:
        request_output.print_medium(piece, patients=not no_patients)
    output.print_more(page)


@app.command()
def show(
    name: MediaName, no_patients: NoPatients = False, json: Json = False, config: Config = None
) -> None:
    """Show all that the register has of a piece: what, for whom, how verified, and where it went.

    Of several pieces with one bar code or File-set ID, each is shown; --json needs one.
    """
    from burnish import register

    with open_database(config) as (_, database), database.reading() as session:
        pieces = register.entries_named(session, name, limit=20)
        if json or not pieces:
            pieces = [register.entry(session, name)]
    if json:
        output.print_views(pieces[0], patients=not no_patients)
        return
    for number, entry in enumerate(pieces):
        if number:
            typer.echo()
        _print_entry(entry, patients=not no_patients)


@app.command()
def note(
    name: MediaName,
    *,
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
    json: Json = False,
    config: Config = None,
) -> None:
    """Note in the register to whom a piece was given, that it was destroyed, or a remark."""
    from burnish.register import NoteKind, add_note, entry

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
        session.flush()
        piece = entry(session, name)
    output.print_outcome(f"{piece.name}: {kind} {text}".rstrip(), piece, json=json)


def _print_entry(entry: "RegisterEntry", *, patients: bool) -> None:
    from burnish.cli import request_output

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
    optional = [("verified", entry.verified), ("spoiled", entry.why)]
    if patients:
        optional += [
            ("bar code", entry.barcode_value),
            ("label text", entry.label_text),
            ("disposition", entry.media_disposition),
            ("where", entry.whereabouts),
        ]
    fields += [(title, text) for title, text in optional if text]
    for study in entry.studies if patients else ():
        name = request_output.format_name(study.patient_name)
        fields.append(("patient", f"{name}  ID {study.patient_id}"))
        date = request_output.format_date(study.study_date)
        texts = [date, study.modalities, study.study_description]
        if study.accession_number:
            texts.append(f"Accession Number {study.accession_number}")
        fields.append(("  study", ", ".join(text for text in texts if text)))
    for written in entry.notes if patients else ():
        text = f"{written.kind} {written.note}".strip()
        fields.append(("note", f"{output.format_time(written.at)}  {text}, by {written.actor}"))
    output.print_fields(fields)
