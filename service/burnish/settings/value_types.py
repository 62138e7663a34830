"""Ground: the types of configured values: durations, sizes, AE titles and so on.

Each type turns the text of the configuration file into a value, or raises ValueError with a message
for the administrator.
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from burnish.application_profiles import canonical_label

_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: The longest duration in seconds, about 100 years: a date that far ahead still exists in Python.
_LONGEST_DURATION = 36525 * 86400
_BYTES_PER_UNIT = {
    "": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}


def _parse_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"\s*([0-9.]+)\s*(ms|s|m|h|d)\s*", str(value))
    if not match:
        raise ValueError('a duration is a number and a unit: "500ms", "30s", "5m", "24h", "7d"')
    number, unit = match.groups()
    seconds = float(number) * _SECONDS_PER_UNIT[unit]
    if seconds > _LONGEST_DURATION:
        raise ValueError("a duration cannot be longer than 100 years")
    return timedelta(seconds=seconds)


def _parse_size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", value)
    if not match or match[2].upper() not in _BYTES_PER_UNIT:
        raise ValueError('a size is a number of bytes, or a number and a unit: "700MB", "4.7GB"')
    number, unit = match.groups()
    try:
        return int(float(number) * _BYTES_PER_UNIT[unit.upper()])
    except OverflowError:
        raise ValueError("the size is too large") from None


def _parse_ae_title(value: object) -> object:
    if not isinstance(value, str):
        return value
    title = value.strip()
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", title):
        raise ValueError("an AE title has 1 to 16 printable characters and no backslash")
    return title


def _parse_profile(value: object) -> object:
    return canonical_label(value) if isinstance(value, str) else value


#: "30s", "5m", "24h" and so on; a number without a unit is rejected.
Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
#: A number of bytes, or "700MB", "4.7GB", "64MiB".
Size = Annotated[int, BeforeValidator(_parse_size)]
#: An AE title (VR AE, PS3.5 6.2) without surrounding spaces.
AETitle = Annotated[str, BeforeValidator(_parse_ae_title)]
#: A Code String (VR CS, PS3.5 6.2), possibly empty.
CodeString = Annotated[str, Field(pattern=r"^[A-Z0-9 _]{0,16}$")]
#: The label of an Application Profile, possibly empty; `Settings` checks that it can be written.
ProfileLabel = Annotated[str, BeforeValidator(_parse_profile)]
#: The name of a device or standing order.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class SettingsTable(BaseModel):
    """The base of all tables of the configuration: frozen, and unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")
