"""Stage: tells requests that instances on their media have been received again with newer content.

Media that are planned keep the content that they were planned with. The events of the request, and
`burnish request show`, say that there is newer content, from whom, and since when.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from burnish.db import instance_rows
from burnish.db.history import note
from burnish.db.tables import Event, FileSet, FileSetEntry, Instance, MediaCreationRequest
from burnish.request.views import Replacement
from burnish.wording import quantity

_EVENT = "REPLACED"


def requests_to_note(session: Session) -> Sequence[Any]:
    """Requests with replaced instances that none of their events tells: id, number, latest time."""
    last_noted = (
        select(func.max(Event.at))
        .where(Event.request_id == FileSet.request_id, Event.event == _EVENT)
        .correlate(FileSet)
        .scalar_subquery()
    )
    return session.execute(
        _replaced_on_media(
            FileSet.request_id,
            func.count(Instance.id.distinct()).label("instances"),
            func.min(Instance.replaced_at).label("first"),
        )
        .where(last_noted.is_(None) | (Instance.replaced_at > last_noted))
        .group_by(FileSet.request_id)
    ).all()


def note_replacements(session: Session) -> int:
    """Write an event to each request whose media have older contents; the number of requests."""
    requests = requests_to_note(session)
    for row in requests:
        newer = aliased(Instance)
        senders = session.scalars(
            _replaced_on_media(newer.calling_ae_title)
            .join(newer, newer.sop_instance_uid == Instance.sop_instance_uid)
            .where(
                FileSet.request_id == row.request_id,
                Instance.replaced_at >= row.first,
                newer.is_newest(),
            )
            .distinct()
            .order_by(newer.calling_ae_title)
        ).all()
        why = f"{quantity(row.instances, 'instance')} received again with newer content"
        if senders:
            why += f" from {', '.join(senders)}"
        note(session, row.request_id, _EVENT, f"{why}; the planned media have the older content")
    return len(requests)


def replacements(session: Session, request_uid: str) -> list[Replacement]:
    """The instances on the media of a request that have newer content, in order of arrival."""
    rows = session.scalars(
        _replaced_on_media(Instance)
        .join(MediaCreationRequest, MediaCreationRequest.id == FileSet.request_id)
        .where(MediaCreationRequest.sop_instance_uid == request_uid)
        .order_by(Instance.replaced_at, Instance.id)
        .distinct()
    ).all()
    newest = instance_rows.newest_contents(session, [row.sop_instance_uid for row in rows])
    return [_replacement(row, newest.get(row.sop_instance_uid)) for row in rows]


def _replacement(older: Instance, newest: Instance | None) -> Replacement:
    assert older.replaced_at is not None  # noqa: S101
    return Replacement(
        older.sop_instance_uid,
        older.replaced_at,
        newest.calling_ae_title if newest else "",
        instance_rows.differences(vars(older), vars(newest)) if newest else "",
        newest.study_instance_uid if newest else "",
    )


def _replaced_on_media(*columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(Instance)
        .join(FileSetEntry, FileSetEntry.instance_id == Instance.id)
        .join(FileSet, FileSet.id == FileSetEntry.file_set_id)
        .where(Instance.replaced_at.is_not(None))
    )
