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
    rows = [
        {
            "name": one.name,
            "kind": one.kind,
            "directory": str(one.directory),
            "media": {medium: one.capacity_of(medium) for medium in one.media},
        }
        for one in read_settings(config).devices
    ]
    if json:
        output.document(rows)
        return
    output.table(
        ("device", "kind", "media", "directory"),
        [
            [
                row["name"],
                row["kind"],
                ", ".join(f"{name} {output.megabytes(size)}" for name, size in _media(row)),
                row["directory"],
            ]
            for row in rows
        ],
        empty="no devices",
    )


def _media(row: dict[str, object]) -> list[tuple[str, int]]:
    media = row["media"]
    return list(media.items()) if isinstance(media, dict) else []
