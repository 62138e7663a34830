"""Ground: the header of an instance, in its columns and out of them."""

from collections.abc import Sequence
from typing import Any

from burnish.artifacts import InstanceHeader
from burnish.db.tables import Instance

#: The columns of `instance` that a header needs, for a SELECT that begins with them.
COLUMNS = tuple(getattr(Instance, name) for name in InstanceHeader._fields)
_MISSING_KEYS = InstanceHeader._fields.index("missing_keys")


def to_columns(header: InstanceHeader) -> dict[str, Any]:
    """The values of those columns."""
    values = header._asdict()
    values["missing_keys"] = " ".join(f"{tag:08X}" for tag in header.missing_keys)
    return values


def from_row(row: Sequence[Any]) -> InstanceHeader:
    """The header from any row that begins with those columns."""
    missing = row[_MISSING_KEYS]
    tags = tuple([int(tag, 16) for tag in missing.split()]) if missing else ()
    return InstanceHeader._make((*row[:_MISSING_KEYS], tags))


def derived(
    header: InstanceHeader, sop_instance_uid: str | None, record_keys: bytes | None
) -> InstanceHeader:
    """The header of what was made of an instance; its own where that is the same SOP Instance."""
    if not sop_instance_uid:
        return header
    return header._replace(sop_instance_uid=sop_instance_uid, record_keys=record_keys or b"")
