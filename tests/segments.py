"""Instances in the segments of a spool, as the receive path puts them there."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sqlalchemy import delete, select

from burnish.db.session import Database
from burnish.db.tables import Instance, Segment
from burnish.receive import Receiver
from burnish.settings import Settings
from burnish.spool import Spool, segment
from factories import SampleInstance


class Installation(Protocol):
    """A database with a spool, as `Ground`."""

    @property
    def settings(self) -> Settings: ...

    @property
    def database(self) -> Database: ...

    @property
    def spool(self) -> Spool: ...


def receive(
    ground: Installation, instances: Sequence[SampleInstance], *, close: bool = True
) -> Receiver:
    """Receives instances; with `close`, into segments that are then sealed and have their rows."""
    receiver = Receiver(ground.database, ground.spool, same_uid=ground.settings.storage.same_uid)
    for sample in instances:
        receiver.receive(sample.arriving())
    if close:
        receiver.close()
    return receiver


def names(spool: Spool) -> list[str]:
    """The names of the segments, oldest first."""
    return segment.names(spool.segments)


def allocated(spool: Spool) -> int:
    """The bytes that segments take on disk."""
    return sum(segment.path(spool.segments, name).stat().st_blocks * 512 for name in names(spool))


def keys(ground: Installation) -> dict[str, str]:
    """The spool keys of live instances, by SOP Instance UID."""
    with ground.database.reading() as session:
        rows = session.execute(
            select(Instance.sop_instance_uid, Instance.spool_key).where(
                Instance.released_at.is_(None), Instance.replaced_at.is_(None)
            )
        )
        return {row.sop_instance_uid: row.spool_key for row in rows}


def contents(ground: Installation) -> dict[str, bytes]:
    """The data sets of live instances, by SOP Instance UID, as they are read from the spool."""
    with ground.database.reading() as session:
        rows = session.scalars(
            select(Instance).where(Instance.released_at.is_(None), Instance.replaced_at.is_(None))
        ).all()
    return {
        row.sop_instance_uid: b"".join(ground.spool.slice(row.spool_key, row.size).pieces())[
            row.data_set_offset :
        ]
        for row in rows
    }


def age(ground: Installation, seconds: float) -> None:
    """Makes all segments so much older than they are, as far as their files tell."""
    for name in names(ground.spool):
        path: Path = segment.path(ground.spool.segments, name)
        status = path.stat()
        os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


def give_files(ground: Installation) -> None:
    """Gives each instance a file of its own without a record, as earlier versions did."""
    with ground.database.writing() as session:
        for row in session.scalars(select(Instance).where(Instance.spool_key.contains("@"))):
            content = b"".join(ground.spool.slice(row.spool_key, row.size).pieces())
            row.spool_key = ground.spool.new_key()
            path = ground.spool.path(row.spool_key)
            path.write_bytes(content)
            os.utime(path, (row.received_at.timestamp(), row.received_at.timestamp()))
        session.execute(delete(Segment))
    for name in names(ground.spool):
        segment.path(ground.spool.segments, name).unlink()
