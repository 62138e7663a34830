"""Surface: the options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from burnish.media import MEDIA, PROFILES, ApplicationProfile, Medium

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


def _medium(value: str) -> str:
    if value and value not in MEDIA:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(MEDIA)}")
    return value


Blank = Annotated[
    str,
    typer.Option(
        "--medium",
        metavar="MEDIUM",
        parser=_medium,
        show_default=False,
        help=f"One of {', '.join(MEDIA)}; default: the smallest of the profile.",
    ),
]


def media_wanted(profile: str, medium: str) -> tuple[ApplicationProfile, Medium]:
    """The Application Profile and the medium of a volume, where either may be left out.

    Without both it is a CD; a medium that no profile here has gets the files of STD-GEN-CD.
    """
    if not profile:
        fitting = (one.label for one in PROFILES.values() if medium in one.media)
        profile = next(fitting, "STD-GEN-CD")
        chosen = PROFILES[profile]
        return chosen, MEDIA[medium or chosen.media[0]]
    chosen = PROFILES[profile]
    if medium and medium not in chosen.media:
        media = ", ".join(chosen.media)
        raise typer.BadParameter(f"{profile} is for {media}, not for {medium}")
    return chosen, MEDIA[medium or chosen.media[0]]


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


Capacity = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=size,
        show_default=False,
        help="At most so much per volume, as 700MB; default: what the medium holds.",
    ),
]
