"""Surface: `burnish archive …`: what archives have, and having it sent here."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import completion, exits, output
from burnish.cli.installation import actor, open_database, read_settings
from burnish.cli.options import Config, Json, Limit, NoPatients
from burnish.errors import PeerFailed, Unknown
from burnish.request.views import list_page
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.db.session import Database
    from burnish.request.archive_studies import FoundStudies, RetrievalView
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Search archives, and retrieve studies from them.")

#: Seconds between two looks at a retrieval.
_POLL_INTERVAL = 0.5

ArchiveName = Annotated[
    str,
    typer.Option(
        "--archive",
        metavar="AE",
        help="The archive. Not needed if there is only one.",
        autocompletion=completion.archive_names,
    ),
]
PatientID = Annotated[
    str, typer.Option("--patient-id", metavar="ID", help="All studies of this Patient ID.")
]
Accession = Annotated[
    str,
    typer.Option("--accession", metavar="NUMBER", help="Studies with this Accession Number."),
]
Studies = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="UID", help="This Study Instance UID. May be repeated."),
]
Media = Annotated[
    bool,
    typer.Option(
        "--media",
        help="Have media made of the studies once they are here; print the name of the request.",
    ),
]
SeveralPatients = Annotated[
    bool,
    typer.Option("--several-patients", help="With --media: several patients may share the media."),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Print the number of the retrieval and do not wait.")
]
Number = Annotated[
    int, typer.Argument(metavar="NUMBER", min=1, help="The number of the retrieval.")
]


@app.callback()
def archive() -> None:
    """Search archives, and retrieve studies from them."""


@app.command("list")
def list_archives(json: Json = False, config: Config = None) -> None:
    """List the archives: the peers with "retrieve" in `may`."""
    from burnish.request.fetch_missing import archives

    names = [peer.ae_title for peer in archives(read_settings(config))]
    if json:
        output.print_json({"items": names})
        return
    for name in names:
        typer.echo(name)
    if not names:
        typer.echo('no archive: "retrieve" in `may` of a [[peer]] makes it one', err=True)


@app.command()
def search(
    *,
    archive: ArchiveName = "",
    patient_id: PatientID = "",
    accession: Accession = "",
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Ask an archive for the studies of a patient or an order, and how much of them is here."""
    with open_database(config) as (settings, database):
        answer = _search(settings, database, archive, patient_id, accession)
    if json:
        output.print_views(answer, patients=not no_patients)
        return
    _print_found(answer, patients=not no_patients, err=False)
    if not answer.studies:
        typer.echo(f"{answer.archive} has no such study", err=True)


@app.command()
def retrieve(
    *,
    archive: ArchiveName = "",
    patient_id: PatientID = "",
    accession: Accession = "",
    study: Studies = None,
    media: Media = False,
    several_patients: SeveralPatients = False,
    no_wait: NoWait = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Have an archive send studies here, and wait until they have come.

    What is here already is not retrieved again. The service does the work: it goes on if this
    command is interrupted.
    """
    if media and no_wait:
        raise typer.BadParameter("--media needs to wait: leave out --no-wait")
    from burnish.request import archive_studies

    with open_database(config) as (settings, database):
        uids = list(study or [])
        if patient_id or accession or not uids:
            answer = _search(settings, database, archive, patient_id, accession)
            _print_found(answer, patients=True, err=True)
            uids += _uids_of(answer)
        with database.writing() as session:
            view = archive_studies.ask(
                session, settings, _archive(settings, archive), uids, actor=actor()
            )
        if no_wait:
            output.print_new(str(view.id), view, json=json)
            return
        view = _wait(settings, database, view.id)
        _check_end(view)
    if media:
        _make_media(config, uids, several_patients=several_patients, json=json)
    elif json:
        output.print_views(view)
    else:
        typer.echo(f"{quantity(view.received, 'instance')} retrieved from {view.archive}")


@app.command("retrievals")
def list_retrievals(
    limit: Limit = 20,
    before: Annotated[
        int, typer.Option("--before", metavar="PLACE", min=0, help="The `next` of another list.")
    ] = 0,
    no_patients: NoPatients = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the retrievals of the last week, newest first."""
    from burnish.request import archive_studies

    with open_database(config) as (_, database), database.reading() as session:
        views = archive_studies.retrievals(session, limit=limit + 1, before=before)
    page = list_page(views, limit, lambda view: view.id)
    if json:
        output.print_views(page, patients=not no_patients)
        return
    for view in page.items:
        _print_retrieval(view, patients=not no_patients)
    if not page.items:
        typer.echo("no retrievals", err=True)
    output.print_more(page)


@app.command()
def show(
    number: Number, no_patients: NoPatients = False, json: Json = False, config: Config = None
) -> None:
    """Show one retrieval: how much has arrived, and why not all if it failed."""
    from burnish.request import archive_studies

    with open_database(config) as (_, database), database.reading() as session:
        view = archive_studies.find_retrieval(session, number)
    _print_changed(view, patients=not no_patients, json=json)


@app.command()
def cancel(number: Number, json: Json = False, config: Config = None) -> None:
    """Cancel a retrieval; what has arrived stays."""
    from burnish.request import archive_studies

    with open_database(config) as (_, database), database.writing() as session:
        view = archive_studies.cancel(session, number)
    _print_changed(view, patients=True, json=json)


@app.command()
def retry(number: Number, json: Json = False, config: Config = None) -> None:
    """Begin a retrieval again that failed or was cancelled; only what is missing is retrieved."""
    from burnish.request import archive_studies

    with open_database(config) as (_, database), database.writing() as session:
        view = archive_studies.retry(session, number)
    _print_changed(view, patients=True, json=json)


def _archive(settings: "Settings", name: str) -> str:
    """The archive that the option names, or the only one."""
    from burnish.request.fetch_missing import archives

    names = [peer.ae_title for peer in archives(settings)]
    if name or len(names) == 1:
        return name or names[0]
    if not names:
        raise Unknown(
            "there is no archive", hint='"retrieve" in `may` of a [[peer]] makes it an archive'
        )
    raise typer.BadParameter(f"which archive? --archive is one of {', '.join(names)}")


def _search(
    settings: "Settings", database: "Database", archive: str, patient_id: str, accession: str
) -> "FoundStudies":
    from burnish.request import archive_studies

    if not patient_id and not accession:
        raise typer.BadParameter("name what to look for: --patient-id or --accession")
    return archive_studies.find_studies(
        settings,
        database,
        _archive(settings, archive),
        patient_id=patient_id,
        accession_number=accession,
    )


def _uids_of(answer: "FoundStudies") -> list[str]:
    """The studies that an archive has; raises Unknown if it has none."""
    if not answer.studies:
        raise Unknown(
            f"{answer.archive} has no such study",
            hint="`burnish archive list` shows the archives that can be asked",
        )
    if answer.more:
        raise typer.BadParameter(
            f"{answer.archive} has more than {len(answer.studies)} studies: name some with --study"
        )
    return [line.study.study_instance_uid for line in answer.studies]


def _wait(settings: "Settings", database: "Database", number: int) -> "RetrievalView":
    """The retrieval once it has ended; its progress is shown meanwhile."""
    from burnish import service_lock
    from burnish.request import archive_studies

    pause = threading.Event()
    if not service_lock.is_serving(settings.storage.root):
        output.print_error(
            "the service does not run on this machine",
            "`burnish serve` starts it; the retrieval begins then",
        )
    try:
        with output.progress_bar() as show_progress:
            while True:
                with database.reading() as session:
                    view = archive_studies.find_retrieval(session, number)
                if view.ended_at is not None:
                    return view
                show_progress(f"{view.state} from {view.archive}", view.received, view.located or 1)
                pause.wait(_POLL_INTERVAL)
    except KeyboardInterrupt as interrupt:
        raise output.Interrupted(
            f"interrupted; retrieval {number} goes on without this command",
            f"`burnish archive show {number}` shows it, `burnish archive cancel {number}` ends it",
        ) from interrupt


def _check_end(view: "RetrievalView") -> None:
    """Raise PeerFailed if a retrieval failed; end the command if it was cancelled."""
    from burnish.request.archive_studies import RetrievalState

    if view.state is RetrievalState.CANCELLED:
        output.print_error(f"retrieval {view.id} was cancelled")
        raise typer.Exit(exits.REQUEST_CANCELLED)
    if view.state is RetrievalState.FAILED:
        remedy = f"{view.remedy}; " if view.remedy else ""
        raise PeerFailed(
            f"retrieval {view.id} from {view.archive} failed: {view.problem}",
            hint=f"{remedy}`burnish archive retry {view.id}` begins again",
        )


def _make_media(
    config: Path | None, uids: list[str], *, several_patients: bool, json: bool
) -> None:
    from burnish.cli.request import print_name, request_actions
    from burnish.cli.request_create import confirmed
    from burnish.request.media_orders import MediaOrder

    order = MediaOrder(studies=uids, several_patients=several_patients, initiate=True)
    with request_actions(config) as actions:
        request = actions.create(confirmed(actions, order)).line
    print_name(request, json=json)


def _print_found(answer: "FoundStudies", *, patients: bool, err: bool) -> None:
    from burnish.cli.request_output import format_date, format_name

    for line in answer.studies:
        study = line.study
        instances = "" if study.instances is None else f"{study.instances} instances"
        items = [
            format_date(study.study_date) if patients else "",
            "/".join(study.modalities),
            study.study_description if patients else "",
            f"Accession Number {study.accession_number}"
            if patients and study.accession_number
            else "",
            instances,
            f"{line.here} of them here",
        ]
        if patients:
            items[:0] = [format_name(study.patient_name), f"ID {study.patient_id}"]
        for text in output.item_lines([item for item in items if item], hanging=2):
            typer.echo(text, err=err)
        for text in output.item_lines([study.study_instance_uid], indent=2):
            typer.echo(text, err=err)
    if answer.more:
        typer.echo("… and more studies", err=True)


def _print_changed(view: "RetrievalView", *, patients: bool, json: bool) -> None:
    if json:
        output.print_views(view, patients=patients)
    else:
        _print_retrieval(view, patients=patients)


def _print_retrieval(view: "RetrievalView", *, patients: bool) -> None:
    from burnish.cli.request_output import format_date, format_name

    amount = "" if view.located is None else f"{view.received} of {view.located} instances"
    output.print_items(
        (
            f"retrieval {view.id}",
            str(view.state),
            f"from {view.archive}",
            amount,
            f"asked {output.format_time(view.asked_at)}",
            f"by {view.actor}",
        ),
        hanging=2,
    )
    for study in view.studies:
        if patients and study.patient_id:
            items = (
                format_name(study.patient_name),
                f"ID {study.patient_id}",
                format_date(study.study_date),
                study.study_description,
            )
            output.print_items(items, indent=2, hanging=2)
        output.print_items((study.study_instance_uid,), indent=2)
    output.print_sentence(view.problem, indent=2)
    if view.remedy:
        output.print_sentence(f"To do: {view.remedy}", indent=2)
