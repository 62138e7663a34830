"""Ground: what people have to do with received instances: who uploaded them, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, literal, select, union_all
from sqlalchemy.orm import Session

from burnish.db.tables import Instance, InstanceEvent
from burnish.values import Actor

#: Somebody has uploaded the instance.
UPLOADED = "UPLOADED"


@dataclass(frozen=True, slots=True)
class InstanceEventLine:
    """One event of an instance; `actor` is the person or program in words."""

    at: datetime
    event: str
    actor: str


def note(session: Session, sop_instance_uid: str, event: str, actor: Actor) -> None:
    """Note what somebody has done with the newest content of an instance."""
    session.execute(
        insert(InstanceEvent).from_select(
            ["instance_id", "at", "event", "actor"],
            select(
                Instance.id,
                literal(datetime.now(UTC), InstanceEvent.at.type),
                literal(event),
                literal(str(actor)),
            ).where(Instance.sop_instance_uid == sop_instance_uid, Instance.is_newest()),
        )
    )


def events(session: Session, sop_instance_uid: str) -> Sequence[InstanceEventLine]:
    """The events of all contents of an instance that are here, oldest first."""
    of_instance = Instance.sop_instance_uid == sop_instance_uid
    # two queries, since each has an index of its own
    contents = union_all(
        select(Instance.id).where(of_instance, Instance.is_newest()),
        select(Instance.id).where(of_instance, Instance.replaced_at.is_not(None)),
    )
    rows = session.execute(
        select(InstanceEvent.at, InstanceEvent.event, InstanceEvent.actor)
        .where(InstanceEvent.instance_id.in_(contents))
        .order_by(InstanceEvent.id)
    )
    return [InstanceEventLine(row.at, row.event, row.actor) for row in rows]
