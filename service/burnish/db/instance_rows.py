"""Ground: how the header of an instance goes into the columns of its row, and comes back."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Result, Row

from burnish.db.tables import Instance
from burnish.values import OWN_FIELDS, InstanceHeader

#: The columns of `instance` that hold a header, for a SELECT that begins with them.
HEADER_COLUMNS = tuple(getattr(Instance, name) for name in InstanceHeader._fields)
#: Rows that are fetched from the database at a time.
_CHUNK = 500


def header_values(header: InstanceHeader) -> dict[str, Any]:
    """The value of each header column, by the name of the column."""
    values = header._asdict()
    values["missing_keys"] = " ".join(f"{tag:08X}" for tag in header.missing_keys)
    return values


class HeaderReader:
    """Makes headers from rows, and keeps values that many instances share in memory only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._values: tuple[Any, ...] = ()
        self._shared: tuple[Any, ...] = ()

    def header(self, row: Sequence[Any]) -> InstanceHeader:
        """The header from a row that begins with `HEADER_COLUMNS`."""
        values = tuple(row[OWN_FIELDS : len(HEADER_COLUMNS)])
        if values != self._values:  # most rows are of the same series as the row before
            *others, missing_keys = self._values = values
            shared = (*others, tuple(int(tag, 16) for tag in missing_keys.split()))
            self._shared = self._known.setdefault(values, shared)
        return InstanceHeader._make((*row[:OWN_FIELDS], *self._shared))


def in_chunks(rows: Result[Any]) -> Iterator[Row[Any]]:
    """All rows of a result, fetched a few at a time so that only a few are in memory."""
    return chain.from_iterable(rows.partitions(_CHUNK))
