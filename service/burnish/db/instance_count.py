"""Ground: how many rows of instances there should be, by which lost rows are noticed.

The number is kept beside the rows, in the transactions that insert and delete them. A repaired or
edited database may lack rows whose instances the spool still has.
"""

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from burnish.db import tallies
from burnish.db.tables import Instance, Tally

_KEY = ("instance rows", "")


def note_inserted(connection: Connection, rows: int) -> None:
    """Note that the transaction of the caller has inserted rows."""
    tallies.add_many(connection, {_KEY: (rows, 0.0)}, hourly=False)


def note_deleted(session: Session, rows: int) -> None:
    """Note that the transaction of the caller has deleted rows."""
    tallies.add_many(session.connection(), {_KEY: (-rows, 0.0)}, hourly=False)


def is_known(session: Session) -> bool:
    """Whether the number is kept: a database of an earlier version does not have it."""
    return session.get(Tally, _KEY) is not None


def lost_rows(session: Session) -> int:
    """How many rows there are fewer than there should be; 0 if none is missing."""
    kept = select(Tally.count).where(Tally.name == _KEY[0], Tally.label == _KEY[1])
    present = select(func.count()).select_from(Instance)
    # one statement, so that both numbers are of the same moment
    expected, counted = session.execute(
        select(kept.scalar_subquery(), present.scalar_subquery())
    ).one()
    return max(int(expected or 0) - int(counted), 0)


def set_to_present(session: Session) -> None:
    """Have the number agree with the rows that are there."""
    present = session.scalar(select(func.count()).select_from(Instance)) or 0
    name, label = _KEY
    session.merge(Tally(name=name, label=label, count=present, amount=0.0))
    session.flush()
