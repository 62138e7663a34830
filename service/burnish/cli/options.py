"""Surface: the options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from burnish.media import PROFILES

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="BURNISH_CONFIG",
        metavar="FILE",
        show_default=False,
        help="Configuration file; without one, the built-in defaults.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")]


def _profile(value: str) -> str:
    if value and value not in PROFILES:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(PROFILES)}")
    return value


Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        parser=_profile,
        show_default=False,
        help=f"Media Storage Application Profile: {', '.join(PROFILES)}.",
    ),
]


def size(value: str | int) -> int:
    """A number of bytes as the configuration file has it: 700MB, 4.7GB, 64MiB."""
    from pydantic import TypeAdapter, ValidationError

    from burnish.settings import Size

    try:
        found: int = TypeAdapter(Size).validate_python(value)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"]) from None
    if found <= 0:
        raise typer.BadParameter("a size is more than nothing")
    return found
