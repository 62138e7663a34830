"""Surface: `burnish device …`, what makes the media."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config, Json
from burnish.errors import OperatorError, Unknown

if TYPE_CHECKING:
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look at the devices, pause and resume them.")
Name = Annotated[str, typer.Argument(metavar="DEVICE", help="As `burnish device list` has it.")]


@app.callback()
def device() -> None:
    """Look at the devices, pause and resume them."""


@app.command("list")
def list_devices(json: Json = False, config: Config = None) -> None:
    """List the devices: how each stands, what it made and ruined, what its volumes hold."""
    lines = _lines(config)
    if json:
        output.document(lines)
        return
    output.table(
        ("device", "kind", ">made", ">ruined", "state", "media", "at"),
        [
            [
                *(line.get(fact) for fact in ("name", "kind", "made", "ruined", "state")),
                ", ".join(f"{name} {output.megabytes(size)}" for name, size in _media(line)),
                line["directory"] or line["drive"],
            ]
            for line in lines
        ],
        empty="no devices",
    )
    for line in lines:
        if line.get("detail"):
            output.complain(f"{line['name']}: {line['detail']}", str(line["remedy"]))


def _lines(config: Path | None) -> list[dict[str, object]]:
    """What is known of each device; before the first start there is no more than its settings."""
    devices = {one.name: one for one in read_settings(config).devices}
    known: dict[str, dict[str, object]] = {}
    with contextlib.suppress(OperatorError), open_database(config) as (_, database):
        from burnish.db.devices import standing, work

        with database.reading() as session:
            for name in devices:
                known[name] = {**work(session, name), **standing(session, name).facts()}
    return [
        {
            **one.model_dump(include={"name", "kind", "directory", "drive"}),
            "media": {name: one.capacity_of(name) for name in one.media},
            **known.get(one.name, {}),
        }
        for one in devices.values()
    ]


def _media(line: dict[str, object]) -> list[tuple[str, int]]:
    media = line["media"]
    return list(media.items()) if isinstance(media, dict) else []


@app.command()
def pause(
    name: Name,
    because: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="Said to who waits for it.")
    ] = "",
    config: Config = None,
) -> None:
    """Have a device finish what it has begun and take nothing new."""
    with open_database(config) as (settings, database):
        from burnish.db import devices

        _check(settings, name)
        with database.writing() as session:
            devices.pause(session, name, because)


@app.command()
def resume(name: Name, config: Config = None) -> None:
    """Have a device take work again, at once, after a pause or when what held it up is mended."""
    with open_database(config) as (settings, database):
        from burnish.db import devices

        _check(settings, name)
        with database.writing() as session:
            devices.resume(session, name)


def _check(settings: "Settings", name: str) -> None:
    if name not in [one.name for one in settings.devices]:
        raise Unknown(f"no device {name}", hint="`burnish device list` shows them")
