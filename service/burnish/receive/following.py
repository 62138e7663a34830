"""Stage: whether everything that was acknowledged has its row, whichever process received it."""

import os
from collections.abc import Mapping
from contextlib import suppress
from threading import Event
from time import monotonic

from sqlalchemy import select

from burnish.db.session import Database
from burnish.db.tables import Segment
from burnish.spool import Spool, segment

#: Seconds between two looks.
_LOOK = 0.005


def rows_are_complete(database: Database, spool: Spool, seconds: float = 0.0) -> bool:
    """Whether everything that was acknowledged before this call has its row.

    Waits up to `seconds` for it. Raises OutOfResources if the database does not answer.
    """
    deadline = monotonic() + seconds
    ends = _ends(spool, _unsealed(database, spool))
    while ends:
        if monotonic() >= deadline:
            return False
        Event().wait(_LOOK)
        offsets = _unsealed(database, spool)
        ends = {name: end for name, end in ends.items() if offsets.get(name, end) < end}
    return True


def _unsealed(database: Database, spool: Spool) -> dict[str, int]:
    """How far each segment that is not sealed has its rows."""
    with database.reading() as session:
        rows = session.execute(
            select(Segment.name, Segment.indexed_offset, Segment.sealed_at)
        ).all()
    offsets = dict.fromkeys(segment.names(spool.segments), segment.HEADER_SIZE)
    for name, indexed_offset, sealed_at in rows:
        if sealed_at is None and name in offsets:
            offsets[name] = indexed_offset
        else:
            offsets.pop(name, None)
    return offsets


def _ends(spool: Spool, offsets: Mapping[str, int]) -> dict[str, int]:
    """Where the records end of those segments that have records behind their offset."""
    ends: dict[str, int] = {}
    for name, offset in offsets.items():
        with suppress(FileNotFoundError):
            descriptor = os.open(segment.path(spool.segments, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                for record in segment.records(descriptor, offset):
                    ends[name] = record.end
            finally:
                os.close(descriptor)
    return ends
