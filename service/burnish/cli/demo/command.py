"""Surface: `burnish demo` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import exits, options


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The directory for all files of the demo.")
    ] = Path("demo"),
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Keep the service running until Ctrl-C.")
    ] = False,
    volume_size: Annotated[
        int,
        typer.Option(
            metavar="SIZE",
            parser=options.parse_size,
            help="Capacity of a volume in bytes; small, so that some requests need several.",
        ),
    ] = 2_000_000,
) -> None:
    """Show the whole service at work on this machine.

    Starts the service in DIR, sends it real studies, requests media and verifies every image.
    Nothing else needs to be installed.
    """
    from burnish.cli.demo.run import run

    code = run(directory, volume_size, keep_running=keep_running)
    if code != exits.SUCCESS:
        raise typer.Exit(code)
