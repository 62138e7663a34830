"""Surface: options that several commands share."""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from burnish.application_profiles import (
    OFFERED,
    PROFILES,
    ApplicationProfile,
    canonical_label,
)
from burnish.cli import completion, times
from burnish.content.languages import LANGUAGES
from burnish.errors import Unknown
from burnish.file_access import check
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS, Medium
from burnish.vocabulary import IncludeNonDICOMObjects

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="BURNISH_CONFIG",
        metavar="FILE",
        show_default=False,
        readable=False,  # `read_settings` tells why the file cannot be read
        help="Configuration file. Without it, defaults apply.",
    ),
]
Recipients = Annotated[
    list[Path] | None,
    typer.Option(
        "--recipient",
        readable=False,
        metavar="FILE",
        help="Certificate (PEM) of a recipient of secure media. May be repeated.",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        metavar="FILE",
        show_default=False,
        help="File whose first line is the password of secure media.",
    ),
]
PrivateKey = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        metavar="FILE",
        show_default=False,
        help="RSA private key (PEM, unencrypted) that opens secure media.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Maximum number of lines.")]
Before = Annotated[
    str,
    typer.Option("--before", metavar="PLACE", help="Where the list before ended: its `next`."),
]
RequestName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="R000012, its number, or its SOP Instance UID.",
        autocompletion=completion.request_names,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Only this device.",
        autocompletion=completion.device_names,
    ),
]
NoPatients = Annotated[
    bool,
    typer.Option("--no-patients", help="Without patient data, for a ticket or a screen."),
]
PatientFilter = Annotated[
    str,
    typer.Option(
        "--patient",
        metavar="TEXT",
        help="Only of this Patient ID, or with these parts of the name.",
    ),
]
AccessionFilter = Annotated[
    str, typer.Option("--accession", metavar="NUMBER", help="Only with this Accession Number.")
]
StudyDateFilter = Annotated[
    str,
    typer.Option(
        "--study-date",
        metavar="DATE",
        parser=times.parse_study_date,
        show_default=False,
        help="Only of 2026-01-31, today, yesterday, or of 2026-01-01..2026-01-31.",
    ),
]


Since = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        metavar="TIME",
        parser=times.parse_since,
        show_default=False,
        help='Only since "2 hours" ago, yesterday, 2026-01-31, 2026-01-31T08:00.',
    ),
]


#: What the labels of Augmented and Private profiles begin with (PS3.11 8).
_OF_CONFIGURATION = ("AUG-", "PRI-")


def _one_of(value: str, choices: Collection[str]) -> str:
    if value and value not in choices:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices)}")
    return value


def _parse_written_profile(value: str) -> str:
    return _parse_profile(value, OFFERED)


def _parse_profile(value: str, choices: Collection[str]) -> str:
    """The label of a profile; `known_profile` looks up those of the configuration later."""
    label = canonical_label(value)
    return label if label.startswith(_OF_CONFIGURATION) else _one_of(label, choices)


def known_profile(label: str, config: Path | None) -> ApplicationProfile:
    """The profile with a label that was given as an option.

    Augmented and Private ones are those of the configuration.
    """
    if label not in PROFILES:
        from burnish.cli.installation import read_settings

        read_settings(config)
    if label not in PROFILES:
        raise typer.BadParameter(
            f"{label} is not in the configuration: --config names the file with a table"
            " [[application_profile]] for it"
        )
    return PROFILES[label]


def parse_audience(value: str) -> str:
    """A value of Include Non-DICOM Objects (2200,0008)."""
    return _one_of(value, [*IncludeNonDICOMObjects])


def parse_language(value: str) -> str:
    """A language that there are texts in."""
    return _one_of(value, LANGUAGES)


def _parse_any_profile(value: str) -> str:
    return _parse_profile(value, PROFILES)


Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        parser=_parse_written_profile,
        show_default=False,
        help="Media Storage Application Profile, for example STD-GEN-CD, or one of the"
        " configuration (AUG-..., PRI-...). `burnish conformance` lists them.",
    ),
]
#: Includes profiles that Burnish verifies but does not write.
AnyProfile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        parser=_parse_any_profile,
        show_default=False,
        help="Any Media Storage Application Profile of PS3.11 or of the configuration."
        " `burnish conformance` lists them.",
    ),
]

_WRITTEN_MEDIA = [
    medium.name for medium in MEDIA.values() if medium.file_system in WRITTEN_FILE_SYSTEMS
]


def _parse_medium(value: str) -> str:
    return _one_of(value, _WRITTEN_MEDIA)


MediumName = Annotated[
    str,
    typer.Option(
        "--medium",
        metavar="MEDIUM",
        parser=_parse_medium,
        show_default=False,
        help=f"One of {', '.join(_WRITTEN_MEDIA)}. Default: the smallest of the profile.",
    ),
]


def choose_profile_and_medium(
    profile: str, medium: str, config: Path | None = None
) -> tuple[ApplicationProfile, Medium]:
    """The Application Profile and the medium of a volume; either may be left out.

    Without both, the volume is a CD. A medium that belongs to no written profile gets the files of
    STD-GEN-CD.
    """
    if profile:
        chosen_profile = known_profile(profile, config)
        if medium and medium not in chosen_profile.written_media:
            media = ", ".join(chosen_profile.written_media)
            raise typer.BadParameter(f"{profile} is for {media}, not for {medium}")
    else:
        chosen_profile = OFFERED["STD-GEN-CD"]
        for candidate in OFFERED.values():
            if medium in candidate.written_media:
                chosen_profile = candidate
                break
    return chosen_profile, MEDIA[medium or chosen_profile.written_media[0]]


def parse_size(value: str | int) -> int:
    """A number of bytes as it is written in the configuration file: 700MB, 4.7GB, 64MiB."""
    from pydantic import TypeAdapter, ValidationError

    from burnish.settings import Size

    try:
        size: int = TypeAdapter(Size).validate_python(value)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    if size <= 0:
        raise typer.BadParameter("a size must be greater than 0")
    return size


Capacity = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=parse_size,
        show_default=False,
        help="Maximum size of a volume, for example 700MB. Default: what the medium holds.",
    ),
]


_PSEUDO_DRIVE = "stdio:"


def existing(path: Path) -> Path:
    """The path of a file, directory or drive given on the command line.

    A pseudo-drive of libburn, stdio:IMAGE, is the image. Raises Unknown, and AccessDenied if this
    user may not read it.
    """
    if str(path).startswith(_PSEUDO_DRIVE) and not path.exists():
        path = Path(str(path).removeprefix(_PSEUDO_DRIVE))
    check(path)
    if not path.exists():
        raise Unknown(f"{path} does not exist")
    return path
