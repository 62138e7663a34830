"""Surface: `burnish config …`, the configuration."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from json import dumps
from typing import TYPE_CHECKING, Any

import typer

from burnish.cli import exits, output
from burnish.cli.installation import read_settings
from burnish.cli.options import Config, Json

if TYPE_CHECKING:
    from burnish.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^:/@]*):[^@]*@")


@app.command()
def check(config: Config = None) -> None:
    """Check the configuration, and that this user may use what the service needs.

    That is: password files, certificates, fonts and templates, the storage, the database, and the
    folders and drives of devices. Every mistake is reported by its key or file. Run the command as
    the user of the service.
    """
    settings = read_settings(config)
    from burnish import file_access, roles

    checks: list[Callable[[Any], None]] = [
        roles.check_storage,
        roles.check_network,
        roles.check_security,
        roles.check_labels,
        *(partial(roles.check_device, device=device) for device in settings.devices),
    ]
    failures = list(roles.problems(settings, checks))
    for problem in failures:
        output.print_error(str(problem), problem.hint)
    if failures:
        # mistakes in the configuration have the highest code
        raise typer.Exit(max(exits.exit_code(problem) for problem in failures))
    devices = ", ".join(device.name for device in settings.devices)
    typer.echo(
        f"the configuration is valid: AE title {settings.dicom.ae_title}, devices: {devices};"
        f" checked as user {file_access.current_user()}"
    )


@app.command()
def show(json: Json = False, config: Config = None) -> None:
    """Show the settings in effect, from the file, the environment and the defaults."""
    tables = effective_tables(read_settings(config))
    if json:
        output.print_json(tables)
        return
    typer.echo("\n".join(_toml_lines(tables)))


def effective_tables(settings: "Settings") -> dict[str, Any]:
    """Every table and key with its value. Passwords are left out, or empty if there is none."""
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
    tables["database"]["url"] = _PASSWORD_IN_URL.sub(r"\1:***@", settings.database_url)
    return tables


def _toml_lines(tables: Mapping[str, Any]) -> Iterator[str]:
    for name, content in tables.items():
        if isinstance(content, Mapping):
            yield f"[{name}]"
            yield from _key_lines(content)
        else:
            for table in content:
                yield f"[[{name}]]"
                yield from _key_lines(table)


def _key_lines(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield f"{key} = {_toml_value(value)}"
    yield ""


def _toml_value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    if isinstance(value, timedelta):
        return dumps(output.format_duration(value))
    if isinstance(value, bool | int | float):
        return dumps(value)
    return dumps(str(value), ensure_ascii=False)
