"""Stage: what there is to tell now: requests, devices and the disk, as the database has them."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from burnish.db import devices
from burnish.db.history import HELD
from burnish.db.tables import Event, FileSet, MediaCreationRequest, Piece, short_id
from burnish.request import listing, states
from burnish.request.listing import RequestFilter
from burnish.request.views import RequestGroup, RequestLine
from burnish.settings import Settings
from burnish.vocabulary import ExecutionStatus, NoticeCause

#: Cause and subject: what a notice is about. There is one open notice of each at most.
Key = tuple[NoticeCause, str]

#: Failures that are older when they are seen first are history, as when receivers are configured.
_RECENT = timedelta(hours=24)
#: The disk is no longer nearly full once this share of it is free again below low water.
_MARGIN = 0.01
NEARLY_FULL, FULL = "near", "full"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that people are told of while it lasts.

    `is_certain`: it does not pass by itself within seconds, and so is told at once.
    """

    cause: NoticeCause
    subject: str
    began_at: datetime
    request_id: int | None = None
    device: str = ""
    info: str = ""
    reason: str = ""
    remedy: str = ""
    is_certain: bool = False

    @property
    def key(self) -> Key:
        return self.cause, self.subject


def present(
    session: Session,
    settings: Settings,
    open_since: Mapping[Key, datetime],
    *,
    now: datetime,
) -> dict[Key, Condition]:
    """The conditions that people are told of, at `now`.

    `open_since` are the open notices and when they began: some things end later than they would
    begin. The reasons of requests are added by `with_reason`.
    """
    conditions = [
        *_needing_person(session, now),
        *_failed(session, open_since, now),
        *_stuck(session, now - settings.notify.stuck_after),
        *_devices(session, settings, now),
        *_disk(settings, open_since, now),
    ]
    return {condition.key: condition for condition in conditions}


def with_reason(session: Session, condition: Condition) -> Condition:
    """The condition with what the request says of itself."""
    line = line_of(session, condition.request_id)
    if line is None:
        return condition
    is_waiting = condition.cause is NoticeCause.NEEDS_PERSON
    return replace(
        condition,
        began_at=line.since if is_waiting else condition.began_at,
        info=line.execution_status_info,
        reason=line.reason,
        remedy=line.remedy,
    )


def line_of(session: Session, request_id: int | None) -> RequestLine | None:
    """A request as lists have it; None if it is not there any more."""
    if request_id is None:
        return None
    lines = listing.requests(session, RequestFilter(names=(short_id(request_id),)), limit=1)
    return lines[0] if lines else None


# --- requests ---


def _needing_person(session: Session, now: datetime) -> Iterator[Condition]:
    needs_person = states.is_in_group(RequestGroup.NEEDS_PERSON)
    for request_id in session.scalars(select(MediaCreationRequest.id).where(needs_person)):
        yield Condition(NoticeCause.NEEDS_PERSON, short_id(request_id), now, request_id)


def _failed(
    session: Session, open_since: Mapping[Key, datetime], now: datetime
) -> Iterator[Condition]:
    """A request that failed, was retried and failed again has failed anew."""
    rows = session.execute(
        select(MediaCreationRequest.id, MediaCreationRequest.ended_at).where(
            MediaCreationRequest.execution_status == ExecutionStatus.FAILURE
        )
    )
    for request_id, ended_at in rows:
        name = short_id(request_id)
        if ended_at is None:
            continue
        is_told = open_since.get((NoticeCause.FAILED, name)) == ended_at
        if is_told or ended_at > now - _RECENT:
            yield Condition(NoticeCause.FAILED, name, ended_at, request_id, is_certain=True)


def _stuck(session: Session, before: datetime) -> Iterator[Condition]:
    """Requests of which nothing is being made, and to which nothing has happened since."""
    request = MediaCreationRequest
    is_in_work = exists().where(
        FileSet.request_id == request.id, Piece.file_set_id == FileSet.id, Piece.state.in_(HELD)
    )
    has_news = exists().where(Event.request_id == request.id, Event.at >= before)
    rows = session.execute(
        select(request.id, request.initiated_at).where(
            request.execution_status.in_((ExecutionStatus.PENDING, ExecutionStatus.CREATING)),
            request.initiated_at < before,
            ~states.is_in_group(RequestGroup.NEEDS_PERSON),
            ~is_in_work,
            ~has_news,
        )
    )
    for request_id, initiated_at in rows:
        began_at = initiated_at or before
        yield Condition(
            NoticeCause.STUCK, short_id(request_id), began_at, request_id, is_certain=True
        )


# --- devices ---


def _devices(session: Session, settings: Settings, now: datetime) -> Iterator[Condition]:
    for device in settings.devices:
        standing = devices.standing(session, device.name)
        if not standing.works:
            yield Condition(
                NoticeCause.DEVICE,
                device.name,
                standing.since or now,
                device=device.name,
                info=standing.info,
                reason=standing.detail,
                remedy=standing.remedy,
            )


# --- the disk ---


def _disk(
    settings: Settings, open_since: Mapping[Key, datetime], now: datetime
) -> Iterator[Condition]:
    storage = settings.storage
    usage = shutil.disk_usage(storage.root)
    share = (usage.total - usage.free) / usage.total
    is_near = (NoticeCause.DISK, NEARLY_FULL) in open_since
    is_full = (NoticeCause.DISK, FULL) in open_since
    if share >= storage.low_water - (_MARGIN if is_near else 0):
        yield _disk_condition(settings, NEARLY_FULL, share, now)
    if share >= storage.high_water or (is_full and share > storage.low_water):
        yield _disk_condition(settings, FULL, share, now)


def _disk_condition(settings: Settings, subject: str, share: float, now: datetime) -> Condition:
    high_water = settings.storage.high_water
    return Condition(
        NoticeCause.DISK,
        subject,
        now,
        reason=f"{share:.0%} in use, nothing is received from {high_water:.0%} on",
        remedy="free some of the disk, or shorten [retention]",
    )
