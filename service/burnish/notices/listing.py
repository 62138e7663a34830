"""Stage: notices and their receivers, as people see them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.db.tables import Notice, NoticeDelivery, NoticeReceiver, short_id
from burnish.errors import Unknown
from burnish.settings import NoticeReceiverSettings, Settings


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """One beginning or end for one receiver: "waiting", "sent" or "given up"."""

    receiver: str
    phase: str
    state: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class NoticeLine:
    """One notice. It is open until `ended_at`; nobody is told of it before `told_at`."""

    id: int
    cause: str
    subject: str
    request: str
    device: str
    began_at: datetime
    told_at: datetime | None
    ended_at: datetime | None
    execution_status_info: str
    reason: str
    remedy: str
    outcome: str
    deliveries: tuple[DeliveryLine, ...]


@dataclass(frozen=True, slots=True)
class ReceiverLine:
    """One receiver: where it is, what waits for it, and why it does not take it."""

    name: str
    kind: str
    place: str
    causes: tuple[str, ...]
    patients: bool
    waiting: int
    last_sent_at: datetime | None
    failing_since: datetime | None
    problem: str
    next_attempt: datetime | None


def notices(
    session: Session, *, limit: int = 100, before: int | None = None, is_open: bool | None = None
) -> list[NoticeLine]:
    """The newest notices, newest first; with `before`, those that are older than that one."""
    query = select(Notice).order_by(Notice.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Notice.id < before)
    if is_open is not None:
        query = query.where(Notice.ended_at.is_(None) == is_open)
    rows = session.scalars(query).all()
    deliveries: dict[int, list[DeliveryLine]] = {}
    for delivery in session.scalars(
        select(NoticeDelivery)
        .where(NoticeDelivery.notice_id.in_([row.id for row in rows]))
        .order_by(NoticeDelivery.notice_id, NoticeDelivery.phase, NoticeDelivery.receiver)
    ):
        deliveries.setdefault(delivery.notice_id, []).append(_delivery(delivery))
    return [_line(row, tuple(deliveries.get(row.id, ()))) for row in rows]


def receivers(session: Session, settings: Settings) -> list[ReceiverLine]:
    """The configured receivers, in the order of the configuration."""
    rows = {row.name: row for row in session.scalars(select(NoticeReceiver))}
    waiting = {
        row[0]: row[1]
        for row in session.execute(
            select(NoticeDelivery.receiver, func.count())
            .where(NoticeDelivery.sent_at.is_(None), NoticeDelivery.given_up_at.is_(None))
            .group_by(NoticeDelivery.receiver)
        )
    }
    return [
        _receiver(receiver, rows.get(receiver.name), waiting.get(receiver.name, 0))
        for receiver in settings.notify.receiver
    ]


def receiver_named(settings: Settings, name: str) -> NoticeReceiverSettings:
    """The settings of a receiver; raises Unknown."""
    for receiver in settings.notify.receiver:
        if receiver.name == name:
            return receiver
    raise Unknown(f"no receiver {name}", hint="`burnish notify receivers` lists them")


# --- parts ---


def _delivery(row: NoticeDelivery) -> DeliveryLine:
    if row.sent_at is not None:
        return DeliveryLine(row.receiver, row.phase, "sent", row.sent_at)
    state = "waiting" if row.given_up_at is None else "given up"
    return DeliveryLine(row.receiver, row.phase, state, row.given_up_at)


def _line(row: Notice, deliveries: tuple[DeliveryLine, ...]) -> NoticeLine:
    return NoticeLine(
        id=row.id,
        cause=row.cause,
        subject=row.subject,
        request="" if row.request_id is None else short_id(row.request_id),
        device=row.device,
        began_at=row.began_at,
        told_at=row.told_at,
        ended_at=row.ended_at,
        execution_status_info=row.info,
        reason=row.reason,
        remedy=row.remedy,
        outcome=row.outcome,
        deliveries=deliveries,
    )


def _receiver(
    receiver: NoticeReceiverSettings, row: NoticeReceiver | None, waiting: int
) -> ReceiverLine:
    return ReceiverLine(
        name=receiver.name,
        kind=receiver.kind,
        place=_place(receiver),
        causes=tuple(map(str, receiver.causes)),
        patients=receiver.patients,
        waiting=waiting,
        last_sent_at=row.last_sent_at if row else None,
        failing_since=row.failing_since if row else None,
        problem=row.problem if row else "",
        next_attempt=row.not_before if row else None,
    )


def _place(receiver: NoticeReceiverSettings) -> str:
    """Where messages go, without the path of a web address, which may hold a secret."""
    if receiver.kind == "webhook":
        return "/".join(receiver.url.split("/")[:3])
    if receiver.kind == "mail":
        return ", ".join(receiver.to)
    return receiver.command[0]
