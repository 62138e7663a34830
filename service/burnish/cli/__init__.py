"""Surface: the command line: one module per noun, and one table of exit codes (`exits`).

The commands parse arguments, call a stage or an offline function, and print the result. Libraries
are imported inside the commands, so that `burnish --help` starts quickly.
"""

import sys
from typing import Annotated

import typer

from burnish import __version__
from burnish.cli import (
    commitment,
    config,
    db,
    device,
    disc,
    exits,
    instance,
    media,
    notify,
    output,
    peer,
    request,
    request_changes,
    request_create,
    spool,
    token,
    user,
)
from burnish.cli.arrivals import arrivals
from burnish.cli.conformance import conformance
from burnish.cli.demo.command import demo
from burnish.cli.search import search
from burnish.cli.serve import serve
from burnish.cli.status import status
from burnish.errors import AccessDenied, BurnishError

app = typer.Typer(
    name="burnish",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=exits.epilog(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(status)
app.command()(search)
app.command()(arrivals)
app.command()(demo)
app.command()(conformance)
request.app.command()(request_create.create)
request_changes.add_to(request.app)
app.add_typer(request.app, name="request")
app.add_typer(instance.app, name="instance")
app.add_typer(commitment.app, name="commitment")
app.add_typer(disc.app, name="disc")
app.add_typer(media.app, name="media")
app.add_typer(device.app, name="device")
app.add_typer(peer.app, name="peer")
app.add_typer(spool.app, name="spool")
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(db.app, name="db")
app.add_typer(notify.app, name="notify")
app.add_typer(config.app, name="config")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"burnish {__version__}")
        raise typer.Exit


@app.callback()
def burnish(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Burnish receives DICOM instances and puts them on verified media."""


def main() -> None:
    """Run the command line. An error is one line with a hint and an exit code, no traceback."""
    try:
        app()
    except BurnishError as error:
        output.print_error(str(error), error.hint)
        sys.exit(exits.exit_code(error))
    except OSError as error:
        from burnish import file_access

        path = file_access.path_of(error)
        is_denied = error.errno in file_access.DENIED and path is not None
        output.print_error(
            file_access.explain(error), file_access.remedy(path) if is_denied and path else ""
        )
        kind = AccessDenied if is_denied else BurnishError
        sys.exit(exits.EXITS[kind])
