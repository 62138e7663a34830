"""Surface: the options that several commands have."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from burnish.application_profiles import OFFERED, PROFILES, ApplicationProfile
from burnish.errors import Unknown
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS, Medium

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
Recipients = Annotated[
    list[Path] | None,
    typer.Option(
        "--recipient",
        metavar="FILE",
        help="Certificate (PEM) of who can open secure media; may be repeated.",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="File whose first line is the password that opens secure media.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")]


def _profile(value: str, among: Collection[str] = OFFERED) -> str:
    if value and value not in among:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(among)}")
    return value


def _any_profile(value: str) -> str:
    return _profile(value, PROFILES)


_LISTED = "`burnish conformance` lists them"
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        parser=_profile,
        show_default=False,
        help=f"Media Storage Application Profile, as STD-GEN-CD; {_LISTED}.",
    ),
]
#: Also one that Burnish does not write.
AnyProfile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        parser=_any_profile,
        show_default=False,
        help=f"Any Media Storage Application Profile of PS3.11; {_LISTED}.",
    ),
]


_WRITTEN = [one.name for one in MEDIA.values() if one.file_system in WRITTEN_FILE_SYSTEMS]


def _medium(value: str) -> str:
    if value and value not in _WRITTEN:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(_WRITTEN)}")
    return value


Blank = Annotated[
    str,
    typer.Option(
        "--medium",
        metavar="MEDIUM",
        parser=_medium,
        show_default=False,
        help=f"One of {', '.join(_WRITTEN)}; default: the smallest of the profile.",
    ),
]


def media_wanted(profile: str, medium: str) -> tuple[ApplicationProfile, Medium]:
    """The Application Profile and the medium of a volume, where either may be left out.

    Without both it is a CD; a medium that no profile offered has gets the files of STD-GEN-CD.
    """
    if not profile:
        fitting = (one.label for one in OFFERED.values() if medium in one.written_media)
        profile = next(fitting, "STD-GEN-CD")
        chosen = OFFERED[profile]
        return chosen, MEDIA[medium or chosen.written_media[0]]
    chosen = OFFERED[profile]
    if medium and medium not in chosen.written_media:
        media = ", ".join(chosen.written_media)
        raise typer.BadParameter(f"{profile} is for {media}, not for {medium}")
    return chosen, MEDIA[medium or chosen.written_media[0]]


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


def present(path: Path) -> Path:
    """A file, directory or drive that a command was given; raises Unknown where it is not there."""
    if not path.exists():
        raise Unknown(f"{path} is not there")
    return path
