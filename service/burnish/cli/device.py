"""Surface: `burnish device …`, the devices that make media."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import actor, open_database, read_settings
from burnish.cli.options import Config, Json, Limit
from burnish.errors import AccessDenied, OperatorError
from burnish.request.views import ListPage
from burnish.vocabulary import ExecutionStatusInfo
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.burn import Supply
    from burnish.devices import CurrentPiece, DeviceView
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Show devices, pause, resume and test them.")

DeviceName = Annotated[
    str, typer.Argument(metavar="DEVICE", help="The name in `burnish device list`.")
]


@app.callback()
def device() -> None:
    """Show devices, pause, resume and test them."""


@app.command("list")
def list_devices(json: Json = False, config: Config = None) -> None:
    """List the devices: state, pieces made and spoiled, and the size of their volumes.

    Each device that is not at work is asked for its state.
    """
    views = _device_views(config)
    if json:
        output.print_views(ListPage(tuple(views)))
        return
    output.print_table(
        ("device", "kind", ">created", ">spoiled", "state", "media", "at"),
        [_table_row(view) for view in views],
        empty="no devices",
    )
    for view in views:
        if view.current is not None:
            typer.echo(f"{view.name}: {_in_words(view.current)}")
        if view.reason:
            output.print_error(f"{view.name}: {view.reason}", view.remedy)


def _device_views(config: Path | None) -> "list[DeviceView]":
    """The state of each device. Before the first start, only its settings are known."""
    from burnish import devices

    settings = read_settings(config)
    busy_devices: set[str] = set()
    try:
        with open_database(config) as (_, database):
            from burnish.db.devices import at_work

            with database.reading() as session:
                views = devices.views(session, settings)
                busy_devices.update(view.name for view in views if at_work(session, view.name))
    except AccessDenied:
        raise
    except OperatorError:
        views = devices.configured(settings)  # there is no database yet
    return [
        view
        if view.state == "paused" or view.is_silent or view.name in busy_devices
        else _as_it_answers(settings, view)
        for view in views
    ]


def _as_it_answers(settings: "Settings", view: "DeviceView") -> "DeviceView":
    """The device with the state that it tells itself now."""
    from burnish import devices, roles
    from burnish.burn import BurnOutcome, open_burner

    device = devices.device_named(settings, view.name)
    result = roles.device_problem(settings, device)
    is_made_by_writer = any(not path.exists() for path in device.directories)
    if result is None and not is_made_by_writer:
        result = open_burner(device.kind, device.name, **device.burner_options()).state()
    if result is None:
        return view
    if result.outcome is BurnOutcome.READY:
        return replace(view, state="ready", info=ExecutionStatusInfo.NORMAL, reason="", remedy="")
    return replace(
        view,
        state="held up",
        info=result.execution_status_info,
        reason=result.detail,
        remedy=result.remedy,
    )


def _table_row(view: "DeviceView") -> list[object]:
    media = [f"{medium} {output.format_size(size)}" for medium, size in view.media.items()]
    state = str(view.info) if view.state == "held up" else view.state
    return [
        view.name,
        view.kind,
        view.created,
        view.spoiled,
        state,
        ", ".join(media),
        view.place,
    ]


@app.command()
def pause(
    name: DeviceName,
    because: Annotated[
        str,
        typer.Option(metavar="TEXT", show_default=False, help="The reason, shown in listings."),
    ] = "",
    json: Json = False,
    config: Config = None,
) -> None:
    """Let a device finish its current piece and take no more."""
    from burnish import devices

    with open_database(config) as (settings, database), database.writing() as session:
        devices.pause(session, settings, name, because, actor=actor())
        view = devices.view(session, settings, name)
    output.print_outcome(f"device {name} takes no more work: {view.reason}", view, json=json)


@app.command()
def resume(name: DeviceName, json: Json = False, config: Config = None) -> None:
    """Let a device take work again, after a pause or once its problem is solved."""
    from burnish import devices

    with open_database(config) as (settings, database), database.writing() as session:
        devices.resume(session, settings, name, actor=actor())
        view = devices.view(session, settings, name)
    output.print_outcome(f"device {name} takes work again", view, json=json)


@app.command()
def show(
    name: DeviceName,
    limit: Limit = 10,
    json: Json = False,
    config: Config = None,
) -> None:
    """Show one device: its state, supplies, the piece that it makes, and the last ones."""
    from burnish import devices, register

    with open_database(config) as (settings, database), database.reading() as session:
        view = devices.view(session, settings, name)
        history = register.entries(session, register.RegisterFilter(device=name), limit=limit)
    if json:
        output.print_views({"device": view, "history": history})
        return
    media = [f"{medium} {output.format_size(size)}" for medium, size in view.media.items()]
    fields: list[tuple[str, object]] = [
        ("device", f"{view.name}, a {view.category} ({view.kind}) at {view.place}"),
        ("state", view.state),
        ("reason", view.reason),
        ("remedy", view.remedy),
        ("since", view.since),
        ("media", ", ".join(media)),
    ]
    fields += [(supply.name, _supply_in_words(supply)) for supply in view.supplies]
    if view.current is not None:
        fields.append(("now", _in_words(view.current)))
    fields += [
        ("waiting", quantity(view.queued, "piece")),
        ("created", view.created),
        ("spoiled", view.spoiled),
    ]
    output.print_fields([(title, value) for title, value in fields if value not in ("", None)])
    if history:
        typer.echo()
        output.print_table(
            ("media", "ended", "outcome", "file-set", "reason"),
            [
                (piece.name, piece.ended_at, piece.outcome, piece.file_set_id, piece.why)
                for piece in history
            ],
            empty="",
        )


@app.command("test")
def order_test_burn(
    name: DeviceName,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a blank disc is used up.")
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Have a device make a small volume of generated images, read back like any other.

    The images and the request stay as long as others do. `burnish request watch` follows it.
    """
    from burnish import devices, roles
    from burnish.request import burn_test
    from burnish.request.actions import RequestActions
    from burnish.values import WholeInstance

    with open_database(config) as (settings, database):
        device = devices.device_named(settings, name)
        if burn_test.uses_up_a_blank(device) and not yes:
            typer.confirm(
                f"A test burn on {name} uses up a blank disc, unless it is rewritable. Go on?",
                abort=True,
                err=True,
            )

        def receive(instances: Sequence[WholeInstance]) -> None:
            with roles.receiving(settings, database) as receiver:
                for instance in instances:
                    receiver.receive(instance)

        line = burn_test.order(RequestActions(database, settings, actor()), device, receive)
    output.print_new(line.short_id, line, json=json)


def _in_words(piece: "CurrentPiece") -> str:
    """The piece that a device makes, its progress and its speed."""
    text = f"{piece.step} {piece.file_set_id} of {piece.request}"
    if piece.bytes_done:
        text += f", {100 * piece.bytes_done // piece.bytes_total} %"
    if piece.bytes_per_second:
        text += f", {output.format_size(round(piece.bytes_per_second))}/s"
    if piece.seconds_left is not None:
        text += f", {piece.seconds_left:.0f} s left"
    return text


def _supply_in_words(supply: "Supply") -> str:
    if supply.unit == "bytes":
        return output.format_size(supply.level)
    return f"{supply.level} {supply.unit}"
