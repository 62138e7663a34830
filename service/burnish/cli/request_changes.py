"""Surface: commands of `burnish request` that change a request, or many, or make it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import completion, output
from burnish.cli.installation import actor, open_database
from burnish.cli.options import (
    AccessionFilter,
    Config,
    DeviceOption,
    Json,
    PatientFilter,
    RequestName,
    Since,
    StudyDateFilter,
)
from burnish.cli.request import Copies, Group, Priority, Status, print_name, request_actions
from burnish.request.views import ActionKind, ListPage
from burnish.vocabulary import RequestPriority
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.request.bulk import BulkPreview, BulkResult


def repeat(
    name: RequestName,
    *,
    copies: Copies = None,
    priority: Priority = None,
    device: DeviceOption = "",
    even_if_missing: Annotated[
        bool,
        typer.Option(
            "--even-if-missing", help="Also if instances are gone: an archive may have them."
        ),
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Make the media of a request again: a new request for the same content, which starts."""
    with request_actions(config) as actions:
        request = actions.repeat(
            name,
            copies=copies,
            priority=priority,
            device=device or None,
            even_if_missing=even_if_missing,
        )
    print_name(request, json=json)


def add_copies(
    name: RequestName,
    number: Annotated[int, typer.Argument(metavar="N", min=1, help="How many more copies.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Make more copies. If the request has ended a new one makes them: its name is printed."""
    with request_actions(config) as actions:
        request = actions.add_copies(name, number)
    print_name(request, json=json)


def set_priority(
    name: RequestName,
    priority: Annotated[RequestPriority, typer.Argument(help="HIGH, MED or LOW.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Have a request made sooner or later than others."""
    with request_actions(config) as actions:
        request = actions.set_priority(name, priority)
    print_name(request, json=json)


def move_to_device(
    name: RequestName,
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE",
            help='The name of a device, or "" for any.',
            autocompletion=completion.device_names,
        ),
    ],
    json: Json = False,
    config: Config = None,
) -> None:
    """Have another device make a request."""
    with request_actions(config) as actions:
        request = actions.move_to_device(name, device)
    print_name(request, json=json)


def relabel(
    name: RequestName,
    *,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", show_default=False, help="Label Text.")
    ] = None,
    style: Annotated[
        str | None,
        typer.Option("--style", metavar="STYLE", show_default=False, help="Label Style Selection."),
    ] = None,
    barcode: Annotated[
        str | None,
        typer.Option("--barcode", metavar="TEXT", show_default=False, help="Barcode Value."),
    ] = None,
    symbology: Annotated[
        str | None,
        typer.Option("--symbology", metavar="NAME", show_default=False, help="Barcode Symbology."),
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Change what the labels of a request say, before the first piece is begun."""
    with request_actions(config) as actions:
        request = actions.set_label(
            name, text=text, style=style, barcode_value=barcode, barcode_symbology=symbology
        )
    print_name(request, json=json)


def split(name: RequestName, json: Json = False, config: Config = None) -> None:
    """Replace a request by one for each of its patients; print their names."""
    with request_actions(config) as actions:
        lines = actions.split(name)
    if json:
        output.print_views(ListPage(tuple(lines)))
        return
    for line in lines:
        typer.echo(line.short_id)


def bulk(
    action: Annotated[ActionKind, typer.Argument(help="What to do with each request.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", autocompletion=completion.request_names),
    ] = None,
    *,
    value: Annotated[
        str, typer.Option("--value", metavar="VALUE", help="The priority, or the device.")
    ] = "",
    status: Status = None,
    group: Group = None,
    patient: PatientFilter = "",
    accession: AccessionFilter = "",
    study_date: StudyDateFilter = "",
    since: Since = None,
    device: DeviceOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Act on all requests that are named or match: count, question, action, how to undo it."""
    from burnish.request import bulk as stage
    from burnish.request.listing import RequestFilter

    wanted = RequestFilter(
        status=status,
        group=group,
        patient=patient,
        accession_number=accession,
        study_date=study_date,
        since=since,
        device=device,
        names=tuple(names or ()),
    )
    if wanted == RequestFilter():
        raise typer.BadParameter("name requests, or say which: --group, --patient, --since, …")
    bulk_action = stage.BulkAction(action, value)
    with open_database(config) as (settings, database):
        if not yes:
            with database.reading() as session:
                preview = stage.preview(session, wanted, bulk_action)
            _ask(preview, action)
        result = stage.apply(database, settings, wanted, bulk_action, actor=actor())
    if json:
        output.print_views(result)
    else:
        _print_result(result, action)


def _ask(preview: "BulkPreview", action: ActionKind) -> None:
    names = ", ".join(preview.names[:5])
    more = ", …" if preview.permitted > 5 else ""
    undone = "can be undone" if preview.can_be_undone else "cannot be undone"
    question = (
        f"{action} {quantity(preview.permitted, 'request')}"
        f" of {preview.matching} that match ({names}{more})? It {undone}."
    )
    typer.confirm(question, abort=True, err=True)


def _print_result(result: "BulkResult", action: ActionKind) -> None:
    for name in result.changed:
        typer.echo(name)
    for refusal in result.refused:
        output.print_error(f"{refusal.name}: {refusal.why}")
    typer.echo(f"{action}: {quantity(len(result.changed), 'request')}", err=True)
    steps: dict[tuple[str, str], list[str]] = {}
    for step in result.undo:
        steps.setdefault((step.action.kind, step.action.value), []).append(step.name)
    if steps:
        typer.echo("to undo it:", err=True)
    for (kind, previous), changed in steps.items():
        option = f' --value "{previous}"' if kind in ("priority", "device") else ""
        typer.echo(f"  burnish request bulk {kind} --yes{option} {' '.join(changed)}", err=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of `burnish request`."""
    app.command()(repeat)
    app.command("copies")(add_copies)
    app.command("priority")(set_priority)
    app.command("move")(move_to_device)
    app.command()(relabel)
    app.command()(split)
    app.command()(bulk)
