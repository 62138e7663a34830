"""Ground: counts what happens in the transactions in which it happens, for ever and by the hour.

A count that a transaction adds is there if and only if what it counts is there, whatever process is
killed when.
"""

from bisect import bisect_left
from collections.abc import Mapping
from functools import cache
from time import time

from sqlalchemy import Connection, Executable, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from burnish.db.tables import HourlyRate, Tally

#: Instances by calling AE title, with their bytes.
RECEIVED = "received"
#: Requests by the status in which they ended.
REQUESTS = "requests"
#: Pieces by state and device.
PIECES = "pieces"
#: Pieces that replace a ruined one, by device.
RETRIES = "retries"
#: Converted instances by transfer syntax, with the bytes of the results.
CONVERSIONS = "conversions"
#: The steps of a request by name and bucket, with their seconds.
STEPS = "steps"
#: Messages to people by receiver and outcome.
MESSAGES = "messages"
#: The number of the last event that was deleted with its request; it is no count.
LAST_DELETED_EVENT = "last deleted event"

#: What separates the parts of a label.
SEPARATOR = "|"
#: The upper bounds, in seconds, of the buckets of steps; what is longer is in the bucket "+Inf".
BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 3600, 7200, 86400)
#: The hours that rates are kept, 13 months.
HOURS_KEPT = 24 * 396
_LONGEST_LABEL = 64
_SECONDS_PER_HOUR = 3600

#: Count and amount by name and label.
Additions = Mapping[tuple[str, str], tuple[int, float]]


def add(session: Session, name: str, label: str, amount: float = 0.0) -> None:
    """Count one more, with its amount."""
    add_many(session.connection(), {(name, label): (1, amount)})


def observe(session: Session, step: str, seconds: float) -> None:
    """Count a step of a request by the time that it took."""
    at = bisect_left(BUCKETS, seconds)
    bucket = f"{BUCKETS[at]:g}" if at < len(BUCKETS) else "+Inf"
    label = f"{step}{SEPARATOR}{bucket}"
    add_many(session.connection(), {(STEPS, label): (1, max(seconds, 0.0))}, hourly=False)


def add_many(connection: Connection, additions: Additions, *, hourly: bool = True) -> None:
    """Add counts and amounts, in the transaction of the caller."""
    if not additions:
        return
    rows = [
        {"name": name, "label": label[:_LONGEST_LABEL], "count": count, "amount": amount}
        for (name, label), (count, amount) in sorted(additions.items())
    ]
    _upsert(connection, Tally, rows)
    if hourly:
        hour = int(time()) // _SECONDS_PER_HOUR
        for row in rows:
            row["hour"] = hour
        _upsert(connection, HourlyRate, rows)


def raise_to(session: Session, name: str, number: int) -> None:
    """Keep the highest number that was given."""
    present = value(session, name)
    if number > present:
        add_many(session.connection(), {(name, ""): (number - present, 0.0)}, hourly=False)


def value(session: Session, name: str) -> int:
    """The count of a tally without labels, 0 if there is none."""
    return session.scalar(select(Tally.count).where(Tally.name == name, Tally.label == "")) or 0


def delete_old(session: Session) -> None:
    """Delete the rates of hours that are over 13 months ago."""
    oldest = int(time()) // _SECONDS_PER_HOUR - HOURS_KEPT
    session.execute(
        delete(HourlyRate)
        .where(HourlyRate.hour < oldest)
        .execution_options(synchronize_session=False)
    )


def _upsert(
    connection: Connection,
    table: type[Tally] | type[HourlyRate],
    rows: list[dict[str, object]],
) -> None:
    connection.execute(_upsertion(connection.dialect.name, table), rows)


@cache
def _upsertion(dialect_name: str, table: type[Tally] | type[HourlyRate]) -> Executable:
    dialect = postgresql if dialect_name == "postgresql" else sqlite
    statement = dialect.insert(table)
    columns = table.__table__.c
    keys = [column.name for column in table.__table__.primary_key]
    sums = {name: columns[name] + statement.excluded[name] for name in ("count", "amount")}
    upsertion: Executable = statement.on_conflict_do_update(index_elements=keys, set_=sums)
    return upsertion
