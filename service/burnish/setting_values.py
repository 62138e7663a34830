"""Ground: the kinds of values that settings have: durations, sizes, AE titles."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: Calendars end; nothing here lasts so long, in seconds.
_LONGEST = 36525 * 86400
_SIZES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"\s*([0-9.]+)\s*(ms|s|m|h|d)\s*", str(value))
    if not found:
        raise ValueError('a duration is a number and a unit: "500ms", "30s", "5m", "24h", "7d"')
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST:
        raise ValueError("a duration of more than a hundred years")
    return timedelta(seconds=seconds)


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", value)
    if not found or found[2].upper() not in _SIZES:
        raise ValueError('a size is a number of bytes, or a number and a unit: "700MB", "4.7GB"')
    try:
        return int(float(found[1]) * _SIZES[found[2].upper()])
    except OverflowError:
        raise ValueError("a size beyond all bounds") from None


def _ae_title(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[ -\[\]-~]{1,16}", value.strip()):
        raise ValueError("an AE title has 1 to 16 printable characters and no backslash")
    return value.strip() if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]
AETitle = Annotated[str, BeforeValidator(_ae_title)]


class Table(BaseModel):
    """A table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")
