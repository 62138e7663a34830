"""Surface: `burnish device …`, the devices that make media."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli import output
from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config, Json
from burnish.errors import AccessDenied, OperatorError, Unknown

if TYPE_CHECKING:
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Show devices, pause and resume them.")

DeviceName = Annotated[
    str, typer.Argument(metavar="DEVICE", help="The name in `burnish device list`.")
]


@app.callback()
def device() -> None:
    """Show devices, pause and resume them."""


@app.command("list")
def list_devices(json: Json = False, config: Config = None) -> None:
    """List the devices: state, pieces made and spoiled, and the size of their volumes."""
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
        if facts.get("detail"):
            output.print_error(f"{facts['name']}: {facts['detail']}", facts["remedy"])


def _device_facts(config: Path | None) -> list[dict[str, Any]]:
    """What is known of each device. Before the first start, only its settings are known."""
    devices = read_settings(config).devices
    states: dict[str, dict[str, Any]] = {}
    try:
        with open_database(config) as (_, database):
            from burnish.db.devices import standing, work

            with database.reading() as session:
                for device in devices:
                    states[device.name] = {
                        **work(session, device.name),
                        **standing(session, device.name).facts(),
                    }
    except AccessDenied:
        raise
    except OperatorError:
        pass  # there is no database yet
    return [
        {
            **device.model_dump(include={"name", "kind", "directory", "drive"}),
            "media": {medium: device.capacity_of(medium) for medium in device.media},
            **states.get(device.name, {}),
        }
        for device in devices
    ]


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
        from burnish.db import devices

        _check_device(settings, name)
        with database.writing() as session:
            devices.pause(session, name, because)


@app.command()
def resume(name: DeviceName, config: Config = None) -> None:
    """Let a device take work again, after a pause or once its problem is solved."""
    with open_database(config) as (settings, database):
        from burnish.db import devices

        _check_device(settings, name)
        with database.writing() as session:
            devices.resume(session, name)


def _check_device(settings: "Settings", name: str) -> None:
    if name not in [device.name for device in settings.devices]:
        raise Unknown(f"no device {name}", hint="`burnish device list` shows the devices")
