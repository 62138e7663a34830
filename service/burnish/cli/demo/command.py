"""Surface: `burnish demo` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import exits, options


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where everything is to lie.")
    ] = Path("demo"),
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave the service running until Ctrl-C.")
    ] = False,
    volume_size: Annotated[
        int,
        typer.Option(
            metavar="SIZE", parser=options.size, help="What a volume holds: small, to see splits."
        ),
    ] = 2_000_000,
) -> None:
    """Show the whole service at work, on this machine alone and with nothing else installed.

    Starts it in DIR, sends real studies to it, asks for media and verifies every image.
    """
    from burnish.cli.demo.run import run

    code = run(directory, volume_size, keep_running=keep_running)
    if code != exits.GOOD:
        raise typer.Exit(code)
