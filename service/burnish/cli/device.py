"""Surface: `burnish device …`, the devices that make media."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli import output
from burnish.cli.installation import actor, open_database, read_settings
from burnish.cli.options import Config, Json, Limit
from burnish.errors import AccessDenied, OperatorError
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.burn import Supply
    from burnish.devices import CurrentPiece
    from burnish.settings import DeviceSettings, Settings

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
    devices = _device_facts(config)
    if json:
        output.print_json(devices)
        return
    output.print_table(
        ("device", "kind", ">made", ">spoiled", "state", "media", "at"),
        [_table_row(facts) for facts in devices],
        empty="no devices",
    )
    for facts in devices:
        current = facts.get("current")
        if current is not None:
            typer.echo(f"{facts['name']}: {_in_words(current)}")
        if facts.get("detail"):
            output.print_error(f"{facts['name']}: {facts['detail']}", facts["remedy"])


def _device_facts(config: Path | None) -> list[dict[str, Any]]:
    """What is known of each device. Before the first start, only its settings are known."""
    settings = read_settings(config)
    devices = settings.devices
    states: dict[str, dict[str, Any]] = {device.name: {} for device in devices}
    busy_devices: set[str] = set()
    try:
        with open_database(config) as (_, database):
            from burnish import devices as device_views
            from burnish.db.devices import at_work, standing, work

            with database.reading() as session:
                for device in devices:
                    states[device.name] = {
                        **work(session, device.name),
                        **standing(session, device.name).facts(),
                    }
                    view = device_views.view(session, settings, device.name)
                    states[device.name] |= {
                        "category": view.category,
                        "queued": view.queued,
                        "current": view.current,
                        "supplies": view.supplies,
                        "paused_by": view.paused_by,
                        "created_ever": view.created,
                        "spoiled_ever": view.spoiled,
                    }
                    if at_work(session, device.name):
                        busy_devices.add(device.name)
    except AccessDenied:
        raise
    except OperatorError:
        pass  # there is no database yet
    for device in devices:
        if states[device.name].get("state") != "paused":
            states[device.name] |= _answer(settings, device, device.name in busy_devices)
    return [
        {
            **device.model_dump(include={"name", "kind", "directory", "drive"}),
            "media": {medium: device.capacity_of(medium) for medium in device.media},
            **states[device.name],
        }
        for device in devices
    ]


def _answer(settings: "Settings", device: "DeviceSettings", is_busy: bool) -> dict[str, Any]:
    """What the device itself answers now; a device at work is not disturbed."""
    from burnish import roles
    from burnish.burn import BurnOutcome, open_burner

    result = roles.device_problem(settings, device)
    is_made_by_writer = any(not path.exists() for path in device.directories)
    if result is None and not is_busy and not is_made_by_writer:
        result = open_burner(device.kind, device.name, **device.burner_options()).state()
    if result is None:
        return {}
    if result.outcome is BurnOutcome.READY:
        return {"state": "NORMAL", "detail": "", "remedy": ""}
    return {
        "state": str(result.execution_status_info),
        "detail": result.detail,
        "remedy": result.remedy,
    }


def _table_row(facts: dict[str, Any]) -> list[object]:
    media = [f"{medium} {output.format_size(size)}" for medium, size in facts["media"].items()]
    return [
        facts["name"],
        facts["kind"],
        facts.get("made"),
        facts.get("ruined"),
        facts.get("state"),
        ", ".join(media),
        facts["directory"] or facts["drive"],
    ]


@app.command()
def pause(
    name: DeviceName,
    because: Annotated[
        str,
        typer.Option(metavar="TEXT", show_default=False, help="The reason, shown in listings."),
    ] = "",
    config: Config = None,
) -> None:
    """Let a device finish its current piece and take no more."""
    with open_database(config) as (settings, database):
        from burnish import devices

        with database.writing() as session:
            devices.pause(session, settings, name, because, actor=actor())


@app.command()
def resume(name: DeviceName, config: Config = None) -> None:
    """Let a device take work again, after a pause or once its problem is solved."""
    with open_database(config) as (settings, database):
        from burnish import devices

        with database.writing() as session:
            devices.resume(session, settings, name, actor=actor())


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
        output.print_json({"device": view, "history": history})
        return
    fields: list[tuple[str, object]] = [
        ("device", f"{view.name}, a {view.category} ({view.kind}) at {view.place}"),
        ("state", view.state),
        ("reason", view.reason),
        ("remedy", view.remedy),
        ("since", view.since),
        ("media", ", ".join(f"{name} {output.format_size(size)}" for name, size in view.media)),
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
    config: Config = None,
) -> None:
    """Have a device make a small volume of generated images, read back like any other.

    The images and the request stay as long as others do. `burnish request watch` follows it.
    """
    from burnish import devices, roles
    from burnish.db.tables import short_id
    from burnish.receive import Receiver
    from burnish.request import burn_test

    with open_database(config) as (settings, database):
        device = devices.device_named(settings, name)
        if burn_test.uses_up_a_blank(device) and not yes:
            typer.confirm(
                f"A test burn on {name} uses up a blank disc, unless it is rewritable. Go on?",
                abort=True,
                err=True,
            )
        receiver = Receiver(
            database, roles.open_spool(settings), same_uid=settings.storage.same_uid
        )
        instances = burn_test.generated_instances(settings.dicom.ae_title)
        for instance in instances:
            receiver.receive(instance)
        receiver.index()
        receiver.close()
        with database.writing() as session:
            request_id = burn_test.request_test_burn(
                session, settings.request, device, instances, actor=actor()
            )
    typer.echo(short_id(request_id))


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
