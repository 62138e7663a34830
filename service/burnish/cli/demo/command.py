"""Surface: `burnish demo` on the command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import exits, options


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The directory for all files of the demo.")
    ] = Path("demo"),
    keep_running: Annotated[
        bool | None,
        typer.Option(
            "--keep-running/--end",
            show_default=False,
            help="Keep the service running until Ctrl-C, or end it when all is done."
            " Default: keep it running at a terminal.",
        ),
    ] = None,
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
    Nothing else needs to be installed. The page that it prints shows all of that live.
    """
    from burnish.cli.demo.run import run

    if keep_running is None:
        keep_running = sys.stdin.isatty() and sys.stdout.isatty()
    code = run(directory, volume_size, keep_running=keep_running)
    if code != exits.SUCCESS:
        raise typer.Exit(code)
