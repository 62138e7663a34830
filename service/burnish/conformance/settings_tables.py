"""Surface: every setting with its default and its meaning, from the commented configuration file.

The file is the one that Burnish ships. The defaults come from the settings themselves, so a comment
that names another value cannot mislead.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from burnish.conformance.document import StatementTable
from burnish.settings import Settings
from burnish.settings.effective import toml_value

_TABLE = re.compile(r"(?:# )?\[{1,2}([a-z_.]+)\]{1,2}\s*(?:#\s*(.*))?$")
_KEY = re.compile(r"(?:# )?([a-z_]+) = (.*)$")
_CONTINUATION = re.compile(r"#\s{8,}(\S.*)$")
_COMMENT = re.compile(r"""^((?:[^#"']|"[^"]*"|'[^']*')*)#\s*(.*)$""")
#: Files that may hold the commented configuration: of an installed Burnish, and of its sources.
_SOURCES = ("burnish.toml", "../../config/burnish.toml")


@lru_cache
def meanings() -> dict[tuple[str, str], str]:
    """The comment of each key, by table and key. A key that several tables repeat has the first."""
    comments: dict[tuple[str, str], str] = {}
    table, current = "", ("", "")
    for line in _shipped_configuration().splitlines():
        if continued := _CONTINUATION.match(line):
            if current in comments:
                comments[current] += " " + continued[1]
        elif header := _TABLE.match(line):
            table, current = header[1], ("", "")
            outer, _, key_of_table = table.partition(".")
            if key_of_table and header[2]:
                comments[outer, key_of_table] = header[2]
        elif key := _KEY.match(line):
            current = (table, key[1])
            comment = _COMMENT.match(key[2])
            if comment is not None and not comments.get(current):
                comments[current] = comment[2]
            elif current in comments:
                current = ("", "")
    return comments


def _shipped_configuration() -> str:
    package = Path(str(files("burnish")))
    for source in _SOURCES:
        path = package / source
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return ""


def settings_tables(settings: Settings) -> Iterator[StatementTable]:
    """One table for each table of the configuration, in its order."""
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield _table(name, f"[{name}]", type(value), value)
            for key, inner in type(value).model_fields.items():
                for item in _models_in(inner.annotation):
                    yield _table(f"{name}.{key}", f"[[{name}.{key}]]", item, None)
        else:
            (item,) = (kind for kind in _models_in(field.annotation))
            yield _table(name, f"[[{name}]]", item, None)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            yield argument


def _table(
    name: str, title: str, model: type[BaseModel], value: BaseModel | None
) -> StatementTable:
    rows = []
    for key, field in model.model_fields.items():
        default = "required"
        if field.default is not PydanticUndefined:
            default = printed(field.default)
        elif field.default_factory is not None:
            default = printed(field.get_default(call_default_factory=True))
        configured = printed(getattr(value, key)) if value is not None else ""
        meaning = meanings().get((name, key), "")
        rows.append(
            (f"`{key}`", default, "default" if configured == default else configured, meaning)
        )
    caption = f"Settings {title}"
    if value is None:
        without_value = [(row[0], row[1], row[3]) for row in rows]
        return StatementTable.of(caption, ("Key", "Default", "Meaning"), without_value)
    return StatementTable.of(caption, ("Key", "Default", "As configured", "Meaning"), rows)


def printed(value: Any) -> str:
    """A value as the configuration file has it; secrets are not shown."""
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        return "(secret)" if value else '""'
    return toml_value(value)
