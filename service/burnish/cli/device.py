"""Surface: `burnish device …`, what makes the media."""

import typer

from burnish.cli import output
from burnish.cli.installation import read_settings
from burnish.cli.options import Config, Json

app = typer.Typer(no_args_is_help=True, help="Look at the devices.")


@app.callback()
def device() -> None:
    """Look at the devices."""


@app.command("list")
def list_devices(json: Json = False, config: Config = None) -> None:
    """List the configured devices, and how much each can put on a volume."""
    devices = read_settings(config).devices
    media = [{name: device.capacity_of(name) for name in device.media} for device in devices]
    if json:
        output.document(
            [
                {**device.model_dump(include={"name", "kind", "directory"}), "media": capacities}
                for device, capacities in zip(devices, media, strict=True)
            ]
        )
        return
    output.table(
        ("device", "kind", "media", "directory"),
        [
            [
                *(device.name, device.kind),
                ", ".join(f"{name} {output.megabytes(size)}" for name, size in capacities.items()),
                device.directory,
            ]
            for device, capacities in zip(devices, media, strict=True)
        ],
        empty="no devices",
    )
