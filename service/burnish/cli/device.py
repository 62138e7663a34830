"""Surface: `burnish device …`, the devices that make media."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli import output
from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config, Json
from burnish.errors import AccessDenied, OperatorError, Unknown

if TYPE_CHECKING:
    from burnish.settings import DeviceSettings, Settings

app = typer.Typer(no_args_is_help=True, help="Show devices, pause and resume them.")

DeviceName = Annotated[
    str, typer.Argument(metavar="DEVICE", help="The name in `burnish device list`.")
]


@app.callback()
def device() -> None:
    """Show devices, pause and resume them."""


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
            from burnish.db.devices import at_work, standing, work

            with database.reading() as session:
                for device in devices:
                    states[device.name] = {
                        **work(session, device.name),
                        **standing(session, device.name).facts(),
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
