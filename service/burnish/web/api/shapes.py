"""Surface: the JSON Schema of a view, as `request.views.to_json` turns it into JSON."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from burnish.request.views import PATIENT_FIELDS, RequestView

_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    timedelta: {"type": "number"},
    type(None): {"type": "null"},
}


def schema_of(view: Any) -> dict[str, Any]:  # noqa: PLR0911
    """The schema of a type of view. What may tell of a patient may be null."""
    if view in _SCALARS:
        return dict(_SCALARS[view])
    origin, arguments = get_origin(view), get_args(view)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin is tuple and len(arguments) == 2 and arguments[1] is not Ellipsis:
        return {"type": "array", "prefixItems": [schema_of(argument) for argument in arguments]}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if isinstance(view, type) and issubclass(view, StrEnum):
        return {"type": "string", "enum": [str(value) for value in view]}
    hints = _hints(view)
    properties = {name: _property(name, hint) for name, hint in hints.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = list(properties)
    if view.__doc__:
        schema["description"] = view.__doc__.split("\n\n", 1)[0].strip()
    return schema


def page_of(view: Any) -> dict[str, Any]:
    """The schema of one page of a list."""
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": schema_of(view)},
            "next": {
                "type": ["string", "null"],
                "description": "The value of `before` for the next page; null on the last one.",
            },
        },
        "required": ["items", "next"],
    }


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object with these views as its members."""
    members = {name: schema_of(view) for name, view in properties.items()}
    return {"type": "object", "properties": members, "required": list(members)}


def _property(name: str, hint: Any) -> dict[str, Any]:
    schema = schema_of(hint)
    return {"anyOf": [schema, {"type": "null"}]} if name in PATIENT_FIELDS else schema


def _hints(view: Any) -> dict[str, Any]:
    """The fields of a view that are in its JSON."""
    hints = get_type_hints(view)
    names = [field.name for field in fields(view)] if is_dataclass(view) else list(view._fields)
    if view is RequestView:
        line = hints["line"]
        names.remove("line")
        return {**_hints(line), **{name: hints[name] for name in names}}
    return {name: hints[name] for name in names}
