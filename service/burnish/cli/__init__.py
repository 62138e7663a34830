"""Surface: the command line: one module per noun, and one table of exit codes (`exits`).

The commands parse arguments, call a stage or an offline function, and print the result. Libraries
are imported inside the commands, so that `burnish --help` starts quickly.
"""

import errno
import io
import os
import sys
from typing import Annotated

import typer

from burnish import __version__
from burnish.cli import (
    archive,
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
    request_files,
    spool,
    token,
    user,
)
from burnish.cli.arrivals import arrivals
from burnish.cli.conformance import conformance
from burnish.cli.demo.command import demo
from burnish.cli.help_pages import CommandGroup
from burnish.cli.rates import rates
from burnish.cli.search import search
from burnish.cli.serve import serve
from burnish.cli.status import status
from burnish.errors import AccessDenied, BurnishError, OutOfResources

#: The environment variable that has a defect shown with its traceback.
_TRACEBACK = "BURNISH_TRACEBACK"

app = typer.Typer(
    name="burnish",
    cls=CommandGroup,
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
app.command()(rates)
app.command()(demo)
app.command()(conformance)
request.app.command()(request_create.create)
request_changes.add_to(request.app)
request_files.add_to(request.app)
app.add_typer(request.app, name="request", cls=CommandGroup)
app.add_typer(instance.app, name="instance", cls=CommandGroup)
app.add_typer(archive.app, name="archive", cls=CommandGroup)
app.add_typer(commitment.app, name="commitment", cls=CommandGroup)
app.add_typer(disc.app, name="disc", cls=CommandGroup)
app.add_typer(media.app, name="media", cls=CommandGroup)
app.add_typer(device.app, name="device", cls=CommandGroup)
app.add_typer(peer.app, name="peer", cls=CommandGroup)
app.add_typer(spool.app, name="spool", cls=CommandGroup)
app.add_typer(user.app, name="user", cls=CommandGroup)
app.add_typer(token.app, name="token", cls=CommandGroup)
app.add_typer(db.app, name="db", cls=CommandGroup)
app.add_typer(notify.app, name="notify", cls=CommandGroup)
app.add_typer(config.app, name="config", cls=CommandGroup)


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
    """Burnish receives DICOM instances and puts them on verified media.

    \b
    To begin:
      burnish demo              see the whole service at work on this machine
      burnish serve             run the service; --config names its settings
    \b
    At the desk:
      burnish search doe jane   where is the disc of this patient?
      burnish request watch     what is being made, what waits, and for what?
      burnish status            is everything well?
    """


def main() -> None:
    """Run the command line. An error is one line with a hint and an exit code, no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # what the encoding of the terminal lacks is shown as a question mark
            stream.reconfigure(errors="replace")
    try:
        app()
    except BurnishError as error:
        output.print_error(str(error), error.hint)
        sys.exit(exits.exit_code(error))
    except OSError as error:
        sys.exit(_tell_os_error(error))
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
    except Exception as error:
        if os.environ.get(_TRACEBACK) or "serve" in sys.argv[1:2]:
            raise
        output.print_error(
            f"a defect of Burnish: {type(error).__name__}: {error}",
            f"please report it; {_TRACEBACK}=1 in the environment shows where it is",
        )
        sys.exit(1)


def _tell_os_error(error: OSError) -> int:
    """Print an error of the operating system; its exit code."""
    from burnish import file_access

    path = file_access.path_of(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = "" if path else "the output could not be written: "
        output.print_error(f"{place}{file_access.explain(error)}", "make room, then try again")
        return exits.EXITS[OutOfResources]
    is_denied = error.errno in file_access.DENIED and path is not None
    output.print_error(
        file_access.explain(error), file_access.remedy(path) if is_denied and path else ""
    )
    return exits.EXITS[AccessDenied if is_denied else BurnishError]
