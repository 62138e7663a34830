"""Ground: the rows of instances that were just received, before they are in the database.

Most columns have the same values in all rows of a series. They are kept once for all of them. A
dict of all columns for each instance takes 3 us more of the CPU time for an instance of 10 KB
until its record is written, and 3 us more until its row is in the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from burnish.values import OWN_FIELDS, InstanceHeader

#: The columns on which the instances of a series from one peer agree: what their headers have in
#: common, and how they came.
SHARED_COLUMNS = (
    *InstanceHeader._fields[OWN_FIELDS:],
    "transfer_syntax_uid",
    "calling_ae_title",
    "called_ae_title",
)
#: The columns that each row has for itself.
OWN_COLUMNS = (
    "sop_instance_uid",
    "instance_number",
    "record_keys",
    "spool_key",
    "size",
    "data_set_offset",
    "digest",
    "received_at",
)
_MISSING_KEYS = SHARED_COLUMNS.index("missing_keys")
_CALLING_AE_TITLE = SHARED_COLUMNS.index("calling_ae_title")
_FAULT = SHARED_COLUMNS.index("fault")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_own_values_of = attrgetter(*OWN_COLUMNS[:-1], "received_us")
_shared_values_of = itemgetter(*SHARED_COLUMNS)


class SharedValues:
    """The values of `SHARED_COLUMNS`; those of a series and peer are one object as a rule."""

    __slots__ = ("calling_ae_title", "fault", "values")

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = tuple(
            bytearray(value) if isinstance(value, bytes) else value for value in values
        )
        self.calling_ae_title: str = values[_CALLING_AE_TITLE]
        self.fault: str = values[_FAULT]


@lru_cache(maxsize=64)
def shared_values(
    shared: tuple[object, ...],
    transfer_syntax_uid: str,
    calling_ae_title: str,
    called_ae_title: str,
) -> SharedValues:
    """The shared values of instances whose headers have `shared` in common."""
    values: list[Any] = [*shared, transfer_syntax_uid, calling_ae_title, called_ae_title]
    values[_MISSING_KEYS] = " ".join([f"{tag:08X}" for tag in values[_MISSING_KEYS]])
    return _remembered(tuple(values))


@lru_cache(maxsize=64)
def _remembered(values: tuple[Any, ...]) -> SharedValues:
    return SharedValues(values)


def time_of(received_us: int) -> datetime:
    """The time that `NewRow.received_us` means."""
    return _EPOCH + received_us * _MICROSECOND


@dataclass(slots=True, eq=False)
class NewRow:
    """The row of an instance that was received.

    `spool_key` is "" until it is known where in a segment the instance is. `received_us` is the
    time of receipt in microseconds since 1970 (UTC). The binary values are bytearrays, since the
    driver of SQLite takes 1 us more for bytes, which it tries to adapt.
    """

    sop_instance_uid: str
    instance_number: int | None
    record_keys: bytearray
    spool_key: str
    size: int
    data_set_offset: int
    digest: str
    received_us: int
    shared: SharedValues

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> "NewRow":
        """The row with these values by the names of the columns."""
        own = [columns[name] for name in OWN_COLUMNS]
        sop_instance_uid, number, record_keys, spool_key, size, offset, digest, received_at = own
        return cls(
            sop_instance_uid,
            number,
            bytearray(record_keys),
            spool_key,
            size,
            offset,
            digest,
            (received_at - _EPOCH) // _MICROSECOND,
            _remembered(_shared_values_of(columns)),
        )

    def own_values(self) -> tuple[Any, ...]:
        """The values of `OWN_COLUMNS`, with `received_us` as the last of them."""
        return _own_values_of(self)

    def columns(self) -> dict[str, Any]:
        """The values by the names of the columns."""
        names = (*OWN_COLUMNS, *SHARED_COLUMNS)
        values = dict(zip(names, (*self.own_values(), *self.shared.values), strict=True))
        return {
            **{
                name: bytes(value) if isinstance(value, bytearray) else value
                for name, value in values.items()
            },
            "received_at": time_of(self.received_us),
            "released_at": None,
            "replaced_at": None,
        }
