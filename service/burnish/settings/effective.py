"""Ground: the settings in effect as tables and as text, without passwords."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from json import dumps
from typing import Any

from pydantic import BaseModel

from burnish.settings.configuration import Settings
from burnish.wording import format_duration

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^:/@]*):[^@]*@")


class _NotShown:
    """Stands for a password or passcode that is set."""


_NOT_SHOWN = _NotShown()


def effective_tables(settings: Settings) -> dict[str, Any]:
    """Every table and key with its value. A password that is set is a comment in `toml_lines`."""
    tables = settings.model_dump(exclude_none=True)
    tables["security"]["password"] = _NOT_SHOWN if settings.security.password else ""
    for peer in tables["peer"]:
        peer["addresses"] = [str(network) for network in peer["addresses"]]
    for user in tables["user"]:
        user["passcode"] = _NOT_SHOWN if user["passcode"] else ""
    # an empty array of tables has no lines
    if not settings.notify.receiver:
        del tables["notify"]["receiver"]
    if not settings.request.directory_keys:
        del tables["request"]["directory_keys"]
    tables["device"] = [device.model_dump(exclude_none=True) for device in settings.devices]
    tables["database"]["url"] = without_password(settings.database_url)
    return tables


def json_tables(settings: Settings) -> dict[str, Any]:
    """The same as values that JSON has: durations and paths as the configuration file has them.

    Passwords and passcodes that are set are left out.
    """
    tables: dict[str, Any] = _json_value(effective_tables(settings))
    return tables


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items() if item is not _NOT_SHOWN}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(item) for item in value]
    if isinstance(value, timedelta):
        return format_duration(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def without_password(url: str) -> str:
    """A URL with asterisks in place of its password."""
    return _PASSWORD_IN_URL.sub(r"\1:***@", url)


def toml_lines(tables: Mapping[str, Any]) -> Iterator[str]:
    """Tables of settings as the lines of a configuration file."""
    for name, content in tables.items():
        if isinstance(content, Mapping):
            yield f"[{name}]"
            inner = {key: value for key, value in content.items() if _is_array_of_tables(value)}
            yield from _key_lines({key: content[key] for key in content if key not in inner})
            yield from toml_lines({f"{name}.{key}": value for key, value in inner.items()})
        else:
            for table in content:
                yield f"[[{name}]]"
                yield from _key_lines(table)


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)


def _key_lines(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is _NOT_SHOWN:
            yield f"# {key} is set, and is not shown: add it before you use this as a configuration"
        else:
            yield f"{key} = {toml_value(value)}"
    yield ""


def toml_value(value: object) -> str:
    """A value as the configuration file has it; a password in a URL is not shown."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, Mapping):
        keys = [f"{key} = {toml_value(item)}" for key, item in value.items()]
        return f"{{ {', '.join(keys)} }}"
    if isinstance(value, timedelta):
        return dumps(format_duration(value))
    if isinstance(value, bool | int | float):
        return dumps(value)
    return dumps(without_password(str(value)), ensure_ascii=False)
