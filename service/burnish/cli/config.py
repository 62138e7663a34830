"""Surface: `burnish config …`, the configuration in effect."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from json import dumps
from typing import TYPE_CHECKING, Any

import typer

from burnish.cli import output
from burnish.cli.installation import read_settings
from burnish.cli.options import Config, Json

if TYPE_CHECKING:
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")

_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@]*@")


@app.command()
def check(config: Config = None) -> None:
    """Say what is wrong with the configuration, key by key."""
    settings = read_settings(config)
    devices = ", ".join(device.name for device in settings.devices)
    if settings.security.model_fields_set:
        from burnish.secure_files import protection

        protection.load_protection(settings.security)
    from burnish import roles as service

    service.check_network(settings)
    if settings.label.model_fields_set:
        from burnish.write.labels import printer

        printer(settings.label).check()
    typer.echo(f"the configuration is valid: {settings.dicom.ae_title}, devices {devices}")


@app.command()
def show(json: Json = False, config: Config = None) -> None:
    """Show the settings in effect: the file, the environment, and the defaults for the rest."""
    tables = effective(read_settings(config))
    if json:
        output.document(tables)
        return
    typer.echo("\n".join(_toml(tables)))


def effective(settings: "Settings") -> dict[str, Any]:
    """Every table and key with its value; no password is shown."""
    tables = settings.model_dump(exclude_none=True)
    if settings.security.password:
        del tables["security"]["password"]
    else:
        tables["security"]["password"] = ""
    for peer in tables["peer"]:
        peer["addresses"] = [str(network) for network in peer["addresses"]]
    for user in tables["user"]:
        if user["passcode"]:
            del user["passcode"]
        else:
            user["passcode"] = ""
    tables["device"] = [device.model_dump(exclude_none=True) for device in settings.devices]
    tables["database"]["url"] = _PASSWORD.sub(r"\1:***@", settings.database_url)
    return tables


def _toml(tables: Mapping[str, Any]) -> Iterator[str]:
    for name, table in tables.items():
        one = isinstance(table, Mapping)
        for row in [table] if one else table:
            yield f"[{name}]" if one else f"[[{name}]]"
            yield from (f"{key} = {_value(value)}" for key, value in row.items())
            yield ""


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, timedelta):
        return dumps(output.duration(value))
    if isinstance(value, bool | int | float):
        return dumps(value)
    return dumps(str(value), ensure_ascii=False)
