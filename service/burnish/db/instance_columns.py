"""Ground: the header of an instance, in its columns and out of them."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Result, Row

from burnish.db.tables import Instance
from burnish.values import OWN_FIELDS, InstanceHeader

#: The columns of `instance` that a header needs, for a SELECT that begins with them.
COLUMNS = tuple(getattr(Instance, name) for name in InstanceHeader._fields)
#: Rows that are fetched in one go.
_AT_ONCE = 500


def to_columns(header: InstanceHeader) -> dict[str, Any]:
    """The values of those columns."""
    values = header._asdict()
    values["missing_keys"] = " ".join(f"{tag:08X}" for tag in header.missing_keys)
    return values


class HeaderReader:
    """Makes headers of rows; what many of them have alike is in memory once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._values: tuple[Any, ...] = ()
        self._shared: tuple[Any, ...] = ()

    def header(self, row: Sequence[Any]) -> InstanceHeader:
        """The header from any row that begins with those columns."""
        values = tuple(row[OWN_FIELDS : len(COLUMNS)])
        if values != self._values:  # mostly it is of the same series as the one before
            *others, missing_keys = self._values = values
            shared = (*others, tuple(int(tag, 16) for tag in missing_keys.split()))
            self._shared = self._known.setdefault(values, shared)
        return InstanceHeader._make((*row[:OWN_FIELDS], *self._shared))


def few_at_once(rows: Result[Any]) -> Iterator[Row[Any]]:
    """All rows, as they are read: what was in one is soon free for the next."""
    return chain.from_iterable(rows.partitions(_AT_ONCE))
