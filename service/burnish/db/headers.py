"""Ground: the header of an instance, in its columns and out of them."""

from operator import attrgetter
from typing import Any

from burnish.artifacts import InstanceHeader
from burnish.db.tables import Instance

_values = attrgetter(*InstanceHeader.__slots__)
#: The columns of `instance` that a header needs, for a SELECT.
COLUMNS = tuple(getattr(Instance, name) for name in InstanceHeader.__slots__)


def to_columns(header: InstanceHeader) -> dict[str, Any]:
    """The values of those columns."""
    values = {name: getattr(header, name) for name in InstanceHeader.__slots__}
    values["missing_keys"] = " ".join(f"{tag:08X}" for tag in header.missing_keys)
    return values


def from_row(row: Any) -> InstanceHeader:
    """The header from any row that has those columns."""
    *values, missing = _values(row)
    values.append(tuple([int(tag, 16) for tag in missing.split()]))
    return InstanceHeader(*values)
