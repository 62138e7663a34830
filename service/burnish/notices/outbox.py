"""Stage: messages put together from notices, and the record of their sending.

A message keeps its id and its content until its receiver has taken it, or it is given up. One
process at a time has the lease of a receiver. A process that is killed after a message was taken,
and before that was recorded, leaves the message to be sent again, with the same id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from burnish.db import tallies
from burnish.db.tables import Notice, NoticeDelivery, NoticeReceiver, short_id
from burnish.errors import StaleLease
from burnish.notices import conditions
from burnish.notify import MessageItem, OutgoingMessage
from burnish.settings import NoticeReceiverSettings, Settings
from burnish.vocabulary import NoticeCause

#: The most beginnings and ends in one message.
_MOST_ITEMS = 200
#: The longest pause between two attempts.
_LONGEST_PAUSE = timedelta(minutes=15)
#: A lease lasts this much longer than an attempt may take.
_LEASE_MARGIN = timedelta(seconds=10)
_PAGES = {NoticeCause.DISK: "/system", NoticeCause.DEVICE: "/devices"}


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that this process may send, by its lease `lease_epoch` of the receiver."""

    receiver: str
    lease_epoch: int
    message: OutgoingMessage


def waiting_deliveries() -> Select[Any]:
    """The messages that no receiver has taken yet."""
    return select(NoticeDelivery.notice_id).where(*_waiting())


def due(session: Session, settings: Settings, now: datetime) -> list[str]:
    """The receivers for which there is something to send now; takes no lock."""
    names = [receiver.name for receiver in settings.notify.receiver]
    rows = {
        row.name: row
        for row in session.scalars(select(NoticeReceiver).where(NoticeReceiver.name.in_(names)))
    }
    waiting = session.scalars(select(NoticeDelivery.receiver).where(*_waiting()).distinct()).all()
    return [
        name
        for name in names
        if name in waiting and (name not in rows or _is_free(rows[name], now))
    ]


def claim(
    session: Session,
    settings: Settings,
    receiver: NoticeReceiverSettings,
    *,
    owner: str,
    now: datetime,
) -> ClaimedMessage | None:
    """The message to send to a receiver now, under a lease; None if there is none."""
    row = session.scalar(
        select(NoticeReceiver).where(NoticeReceiver.name == receiver.name).with_for_update()
    )
    if row is None:
        row = NoticeReceiver(name=receiver.name, lease_epoch=0, window_messages=0, attempts=0)
        session.add(row)
    if not _is_free(row, now) or not (row.message_id or _put_together(session, settings, row, now)):
        return None
    row.attempts += 1
    row.lease_owner = owner
    row.lease_epoch += 1
    row.lease_until = now + receiver.timeout + _LEASE_MARGIN
    session.flush()
    message = OutgoingMessage(
        row.message_id,
        settings.dicom.ae_title,
        settings.notify.language,
        tuple(_items(session, settings, receiver, row.message_id)),
        public_address(settings),
    )
    return ClaimedMessage(receiver.name, row.lease_epoch, message)


def delivered(session: Session, claimed: ClaimedMessage, *, now: datetime) -> None:
    """Record that the receiver has taken a message; raises StaleLease."""
    row = _held(session, claimed)
    session.execute(_deliveries_of(row).values(sent_at=now))
    row.last_sent_at = now
    row.problem, row.failing_since = "", None
    _next_message(row)
    tallies.add(session, tallies.MESSAGES, f"{row.name}{tallies.SEPARATOR}sent")


def not_delivered(
    session: Session, settings: Settings, claimed: ClaimedMessage, why: str, *, now: datetime
) -> bool:
    """Record why a receiver has not taken a message: whether it is sent again, or given up.

    The pause before the next attempt doubles each time. Raises StaleLease.
    """
    row = _held(session, claimed)
    row.problem = why
    row.failing_since = row.failing_since or now
    tallies.add(session, tallies.MESSAGES, f"{row.name}{tallies.SEPARATOR}failed")
    if now - (row.message_at or now) >= settings.notify.give_up_after:
        session.execute(_deliveries_of(row).values(given_up_at=now))
        _next_message(row)
        return False
    pause = settings.notify.retry_after * 2 ** min(row.attempts - 1, 16)
    row.not_before = now + min(pause, max(_LONGEST_PAUSE, settings.notify.retry_after))
    row.lease_owner, row.lease_until = "", None
    return True


def trial_message(settings: Settings) -> OutgoingMessage:
    """A message that tells nothing but that messages arrive."""
    site, language = settings.dicom.ae_title, settings.notify.language
    return OutgoingMessage(str(uuid4()), site, language, (), public_address(settings))


def public_address(settings: Settings) -> str:
    """The address of the page in messages; "" if only this machine can open it."""
    web = settings.web
    if not web.enabled or (not web.url and (web.is_local or not web.port)):
        return ""
    return web.address(web.port)


# --- parts ---


def _waiting() -> tuple[Any, ...]:
    return NoticeDelivery.sent_at.is_(None), NoticeDelivery.given_up_at.is_(None)


def _is_free(row: NoticeReceiver, now: datetime) -> bool:
    """Whether no process is sending to a receiver, and its next attempt is due."""
    is_leased = row.lease_until is not None and row.lease_until > now
    return not is_leased and (row.not_before is None or row.not_before <= now)


def _put_together(session: Session, settings: Settings, row: NoticeReceiver, now: datetime) -> bool:
    """Make the next message of what waits; False if there is nothing, or it has to wait.

    Each beginning and end has a message of its own as long as the receiver may get that many;
    otherwise all that waits goes into one.
    """
    limits = settings.notify
    is_waiting = (*_waiting(), NoticeDelivery.receiver == row.name)
    number = session.scalar(select(func.count()).where(*is_waiting)) or 0
    if not number:
        return False
    if row.window_began_at is None or now - row.window_began_at >= limits.per:
        row.window_began_at, row.window_messages = now, 0
    left = limits.messages - row.window_messages
    if left <= 0:
        row.not_before = row.window_began_at + limits.per
        return False
    items = session.scalars(
        select(NoticeDelivery)
        .where(*is_waiting)
        .order_by(NoticeDelivery.notice_id, NoticeDelivery.phase)
        .limit(1 if number <= left else _MOST_ITEMS)
    ).all()
    row.message_id, row.message_at = str(uuid4()), now
    row.attempts, row.not_before = 0, None
    row.window_messages += 1
    for item in items:
        item.message_id = row.message_id
    session.flush()
    return True


def _items(
    session: Session, settings: Settings, receiver: NoticeReceiverSettings, message_id: str
) -> Sequence[MessageItem]:
    rows = session.execute(
        select(Notice, NoticeDelivery.phase)
        .join(NoticeDelivery, NoticeDelivery.notice_id == Notice.id)
        .where(NoticeDelivery.message_id == message_id, NoticeDelivery.receiver == receiver.name)
        .order_by(Notice.id, NoticeDelivery.phase)
    )
    address = public_address(settings)
    return [
        MessageItem(
            notice=row.id,
            cause=row.cause,
            phase=phase,
            subject=row.subject,
            request="" if row.request_id is None else short_id(row.request_id),
            device=row.device,
            began_at=row.began_at,
            ended_at=row.ended_at,
            info=row.info,
            reason=row.reason,
            remedy=row.remedy,
            outcome=row.outcome,
            url=address + _page(row) if address else "",
            patients=_patients(session, row) if receiver.patients else None,
        )
        for row, phase in rows
    ]


def _page(row: Notice) -> str:
    if row.request_id is not None:
        return f"/requests/{short_id(row.request_id)}"
    return _PAGES.get(row.cause, "/")


def _patients(session: Session, row: Notice) -> tuple[tuple[str, str], ...]:
    line = conditions.line_of(session, row.request_id)
    if line is None:
        return ()
    return tuple((patient.patient_name, patient.patient_id) for patient in line.patients)


def _held(session: Session, claimed: ClaimedMessage) -> NoticeReceiver:
    """The row of the receiver of a claimed message; raises StaleLease if the lease is lost."""
    row = session.get(NoticeReceiver, claimed.receiver)
    if row is None or row.lease_epoch != claimed.lease_epoch:
        raise StaleLease("another process sends to this receiver")
    return row


def _deliveries_of(row: NoticeReceiver) -> Any:
    """An update of all that the present message of a receiver tells."""
    return (
        update(NoticeDelivery)
        .where(NoticeDelivery.message_id == row.message_id, NoticeDelivery.receiver == row.name)
        .execution_options(synchronize_session=False)
    )


def _next_message(row: NoticeReceiver) -> None:
    """The present message is over: the receiver is free for the next one."""
    row.message_id, row.message_at = "", None
    row.attempts, row.not_before = 0, None
    row.lease_owner, row.lease_until = "", None
