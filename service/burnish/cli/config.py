"""Surface: `burnish config …`, the configuration."""

from collections.abc import Callable
from functools import partial
from typing import Any

import typer

from burnish.cli import exits, output
from burnish.cli.installation import read_settings
from burnish.cli.options import Config, Json

app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")


@app.command()
def check(json: Json = False, config: Config = None) -> None:
    """Check the configuration, and that this user may use what the service needs.

    That is: password files, certificates, fonts and templates, the storage, the database, the
    folders and drives of devices, and what receivers of notices need. Every mistake is reported
    by its key or file. Run the command as the user of the service.
    """
    settings = read_settings(config)
    from burnish import file_access, roles

    checks: list[Callable[[Any], None]] = [
        roles.check_storage,
        roles.check_network,
        roles.check_security,
        roles.check_labels,
        roles.check_web,
        *(
            partial(roles.check_receiver, receiver=receiver)
            for receiver in settings.notify.receiver
        ),
        *(partial(roles.check_device, device=device) for device in settings.devices),
    ]
    failures = list(roles.problems(settings, checks))
    for problem in failures:
        output.print_error(str(problem), problem.hint)
    if json:
        output.print_views(
            {
                "ae_title": settings.dicom.ae_title,
                "devices": [device.name for device in settings.devices],
                "checked_as": file_access.current_user(),
                "problems": [
                    {"problem": str(problem), "remedy": problem.hint} for problem in failures
                ],
            }
        )
    if failures:
        # mistakes in the configuration have the highest code
        raise typer.Exit(max(exits.exit_code(problem) for problem in failures))
    if json:
        return
    devices = ", ".join(device.name for device in settings.devices)
    typer.echo(
        f"the configuration is valid: AE title {settings.dicom.ae_title}, devices: {devices};"
        f" checked as user {file_access.current_user()}"
    )


@app.command()
def show(json: Json = False, config: Config = None) -> None:
    """Show the settings in effect, from the file, the environment and the defaults."""
    from burnish.settings.effective import effective_tables, json_tables, toml_lines

    settings = read_settings(config)
    if json:
        output.print_json(json_tables(settings))
        return
    typer.echo("\n".join(toml_lines(effective_tables(settings))))
