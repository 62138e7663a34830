"""Surface: the command line. One file for each noun; `exits` is the one table of exit codes."""

import sys
from typing import Annotated

import typer

from burnish import __version__
from burnish.cli import commitment, config, db, device, disc, exits, instance, output, request
from burnish.cli.conformance import conformance
from burnish.cli.demo.command import demo
from burnish.cli.serve import serve
from burnish.errors import BurnishError

app = typer.Typer(
    name="burnish",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=exits.epilog(),
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(demo)
app.command()(conformance)
app.add_typer(request.app, name="request")
app.add_typer(instance.app, name="instance")
app.add_typer(commitment.app, name="commitment")
app.add_typer(disc.app, name="disc")
app.add_typer(device.app, name="device")
app.add_typer(db.app, name="db")
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"burnish {__version__}")
        raise typer.Exit


@app.callback()
def burnish(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Burnish, a DICOM media-creation service: instances come in, verified media go out."""


def main() -> None:
    """Runs the command line; an error is told in a line, with its exit code and no traceback."""
    try:
        app()
    except BurnishError as error:
        output.complain(str(error), error.hint)
        sys.exit(exits.of(error))
    except OSError as error:
        output.complain(": ".join(str(part) for part in (error.filename, error.strerror) if part))
        sys.exit(exits.EXITS[BurnishError])
