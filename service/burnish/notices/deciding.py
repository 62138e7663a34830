"""Stage: the one place where notices begin and end, each look in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from burnish.db.tables import Notice, NoticeDelivery, NoticeReceiver
from burnish.notices import conditions
from burnish.notices.conditions import Condition, Key
from burnish.settings import Settings
from burnish.vocabulary import NoticeCause, NoticePhase

log = structlog.get_logger(__name__)

#: The notices that one look begins; further ones begin with the next look.
_MOST_BEGUN = 200


@dataclass(frozen=True, slots=True)
class _Changes:
    """The changes of one look at the conditions.

    `begin` are new conditions, `tell` notices that have lasted long enough, `end` told notices
    whose cause has ended, and `forget` those that nobody was told of.
    """

    begin: Sequence[Condition]
    tell: Sequence[Notice]
    end: Sequence[Notice]
    forget: Sequence[Notice]

    def __bool__(self) -> bool:
        return bool(self.begin or self.tell or self.end or self.forget)


def is_change_due(session: Session, settings: Settings, *, now: datetime) -> bool:
    """Whether `decide` would change anything; takes no lock."""
    return bool(_changes(session, settings, now))


def decide(session: Session, settings: Settings, *, now: datetime) -> None:
    """Begin and end notices as the state of the service is now, and order their messages.

    It looks at what is, not at what happened: if it is killed or runs twice, nothing is lost and
    nothing is told twice. What begins and ends between two looks is not told, except a failure that
    lasts.
    """
    changes = _changes(session, settings, now)
    for row in changes.forget:
        session.delete(row)
    for row in changes.end:
        _end(session, settings, row, now)
    session.flush()  # one notice of a key is open at most: the old one ends before the new begins
    for row in changes.tell:
        _tell(session, settings, row, now)
    for condition in changes.begin[:_MOST_BEGUN]:
        _begin(session, settings, conditions.with_reason(session, condition), now)


def forget_receivers(session: Session, settings: Settings) -> None:
    """Delete what waits for receivers that are not configured any more."""
    names = [receiver.name for receiver in settings.notify.receiver]
    session.execute(
        delete(NoticeDelivery).where(
            NoticeDelivery.receiver.not_in(names),
            NoticeDelivery.sent_at.is_(None),
            NoticeDelivery.given_up_at.is_(None),
        )
    )
    session.execute(delete(NoticeReceiver).where(NoticeReceiver.name.not_in(names)))


def delete_old(session: Session, before: datetime) -> None:
    """Delete the notices that ended before then and were told to everybody."""
    waiting = select(NoticeDelivery.notice_id).where(
        NoticeDelivery.sent_at.is_(None), NoticeDelivery.given_up_at.is_(None)
    )
    old = select(Notice.id).where(Notice.ended_at < before, Notice.id.not_in(waiting))
    session.execute(delete(NoticeDelivery).where(NoticeDelivery.notice_id.in_(old)))
    session.execute(
        delete(Notice).where(Notice.ended_at < before, Notice.id.not_in(waiting)),
        execution_options={"synchronize_session": False},
    )


# --- parts ---


def _changes(session: Session, settings: Settings, now: datetime) -> _Changes:
    open_rows: dict[Key, Notice] = {
        (row.cause, row.subject): row
        for row in session.scalars(select(Notice).where(Notice.ended_at.is_(None)))
    }
    present = conditions.present(
        session,
        settings,
        {key: row.began_at for key, row in open_rows.items()},
        now=now,
    )
    ended = [row for key, row in open_rows.items() if not _lasts(row, present.get(key))]
    ended_ids = {row.id for row in ended}
    return _Changes(
        begin=[
            condition
            for key, condition in present.items()
            if key not in open_rows or open_rows[key].id in ended_ids
        ],
        tell=[
            row
            for row in open_rows.values()
            if row.told_at is None
            and row.id not in ended_ids
            and now - row.noticed_at >= settings.notify.after
        ],
        end=[row for row in ended if row.told_at is not None],
        forget=[row for row in ended if row.told_at is None],
    )


def _lasts(row: Notice, condition: Condition | None) -> bool:
    """Whether the cause of an open notice is still there, and is not another failure."""
    if condition is None:
        return False
    return row.cause is not NoticeCause.FAILED or row.began_at == condition.began_at


def _begin(session: Session, settings: Settings, condition: Condition, now: datetime) -> None:
    row = Notice(
        cause=condition.cause,
        subject=condition.subject,
        request_id=condition.request_id,
        device=condition.device,
        began_at=condition.began_at,
        noticed_at=now,
        info=condition.info,
        reason=condition.reason,
        remedy=condition.remedy,
        outcome="",
    )
    session.add(row)
    session.flush()
    if condition.is_certain or not settings.notify.after:
        _tell(session, settings, row, now)


def _tell(session: Session, settings: Settings, row: Notice, now: datetime) -> None:
    """Order the messages of the beginning of a notice."""
    row.told_at = now
    names = [receiver.name for receiver in settings.notify.receiver if row.cause in receiver.causes]
    _order(session, row, NoticePhase.BEGUN, names)
    log.info("notice begun", cause=str(row.cause), subject=row.subject, why=row.reason)


def _end(session: Session, settings: Settings, row: Notice, now: datetime) -> None:
    """Order the messages of the end, for all that were told of the beginning.

    The end of a request that is not there any more is told to nobody: there is nothing to do, and
    nothing to look at.
    """
    row.ended_at = now
    line = conditions.line_of(session, row.request_id)
    log.info("notice ended", cause=str(row.cause), subject=row.subject)
    if row.request_id is not None:
        if line is None:
            return
        row.outcome = line.reason
    configured = {receiver.name for receiver in settings.notify.receiver}
    names = session.scalars(
        select(NoticeDelivery.receiver).where(
            NoticeDelivery.notice_id == row.id, NoticeDelivery.phase == NoticePhase.BEGUN
        )
    )
    _order(session, row, NoticePhase.ENDED, [name for name in names if name in configured])


def _order(session: Session, row: Notice, phase: NoticePhase, names: Iterable[str]) -> None:
    for name in names:
        session.add(NoticeDelivery(notice_id=row.id, phase=phase, receiver=name, message_id=""))
