"""Stage: is everything well? What monitors and people look at first."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish import service_lock
from burnish.db import devices, signs_of_life
from burnish.db.tables import NoticeReceiver, Piece
from burnish.request import listing
from burnish.request.listing import RequestFilter
from burnish.request.views import RequestGroup
from burnish.settings import Settings
from burnish.vocabulary import PieceState
from burnish.wording import quantity

#: Failures of this time ask for attention; older ones are history.
_RECENT = timedelta(hours=24)
#: A request that has waited this long without anybody having to do anything is stuck.
_STUCK = timedelta(hours=4)
#: The requests that one line names.
_NAMED = 5


class Level(StrEnum):
    """How well a part is."""

    WELL = "well"
    ATTENTION = "needs attention"
    UNWELL = "not well"


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """One part of the installation: how well it is, in a sentence, and what to do."""

    part: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The findings, and the worst level of them."""

    level: Level
    findings: tuple[HealthFinding, ...]
    requests: dict[str, int]


def health(session: Session, settings: Settings) -> Health:
    """Whether everything is well: the service, the disk, devices and requests."""
    counts = listing.counts(session)
    findings = (
        _service(settings),
        *_scheduler(session, settings),
        _disk(settings),
        *(_device(session, device.name) for device in settings.devices),
        _waiting_for_person(session, counts[RequestGroup.NEEDS_PERSON]),
        _failures(session),
        _stuck(session),
        *(_receiver(session, receiver.name) for receiver in settings.notify.receiver),
    )
    levels = [finding.level for finding in findings]
    worst = max(levels, key=list(Level).index)
    return Health(worst, findings, {str(group): count for group, count in counts.items()})


def _service(settings: Settings) -> HealthFinding:
    if service_lock.is_serving(settings.storage.root):
        return HealthFinding("service", Level.WELL, "runs")
    return HealthFinding("service", Level.UNWELL, "does not run", "burnish serve")


def _scheduler(session: Session, settings: Settings) -> tuple[HealthFinding, ...]:
    """Whether the scheduler gives signs of life; nothing if the service does not run."""
    if not service_lock.is_serving(settings.storage.root):
        return ()
    silence = signs_of_life.scheduler_silence(session, settings.notify.silent_after)
    if silence is None:
        return (HealthFinding("scheduler", Level.WELL, "runs"),)
    return (HealthFinding("scheduler", Level.UNWELL, silence.text, silence.remedy),)


def _disk(settings: Settings) -> HealthFinding:
    usage = shutil.disk_usage(settings.storage.root)
    share = (usage.total - usage.free) / usage.total
    text = f"{share:.0%} in use, nothing is received from {settings.storage.high_water:.0%} on"
    remedy = "free some of the disk, or shorten [retention]"
    if share >= settings.storage.high_water:
        return HealthFinding("disk", Level.UNWELL, text, remedy)
    if share >= settings.storage.low_water:
        return HealthFinding("disk", Level.ATTENTION, text, remedy)
    return HealthFinding("disk", Level.WELL, text)


def _device(session: Session, name: str) -> HealthFinding:
    state = devices.standing(session, name)
    part = f"device {name}"
    if not state.works:
        return HealthFinding(part, Level.ATTENTION, state.detail or str(state.info), state.remedy)
    in_work = (PieceState.IMAGING, PieceState.WRITING, PieceState.VERIFYING)
    is_busy = session.scalar(
        select(Piece.id).where(Piece.state.in_(in_work), Piece.device == name).limit(1)
    )
    return HealthFinding(part, Level.WELL, "is making a piece" if is_busy else "is ready")


def _waiting_for_person(session: Session, number: int) -> HealthFinding:
    part = "needs a person"
    if not number:
        return HealthFinding(part, Level.WELL, "no request")
    lines = listing.requests(session, RequestFilter(group=RequestGroup.NEEDS_PERSON), limit=_NAMED)
    text = f"{quantity(number, 'request')}: {', '.join(line.short_id for line in lines)}"
    remedies = dict.fromkeys(line.remedy for line in lines if line.remedy)
    return HealthFinding(part, Level.ATTENTION, text, "; ".join(remedies))


def _failures(session: Session) -> HealthFinding:
    since = datetime.now(UTC) - _RECENT
    lines = listing.requests(session, RequestFilter(group=RequestGroup.FAILED), limit=100)
    recent = [line.short_id for line in lines if line.ended_at and line.ended_at > since]
    if not recent:
        return HealthFinding("failed in 24 hours", Level.WELL, "no request")
    names = ", ".join(recent[:_NAMED])
    text = f"{quantity(len(recent), 'request')}: {names}"
    return HealthFinding(
        "failed in 24 hours", Level.ATTENTION, text, "burnish request list --group failed"
    )


def _stuck(session: Session) -> HealthFinding:
    since = datetime.now(UTC) - _STUCK
    lines = listing.requests(session, RequestFilter(group=RequestGroup.WAITING), limit=1000)
    stuck = [line for line in lines if line.since < since]
    if not stuck:
        return HealthFinding("waiting for 4 hours", Level.WELL, "no request")
    names = ", ".join(line.short_id for line in stuck[:_NAMED])
    text = f"{quantity(len(stuck), 'request')}: {names}"
    return HealthFinding("waiting for 4 hours", Level.ATTENTION, text, stuck[0].remedy)


def _receiver(session: Session, name: str) -> HealthFinding:
    """Whether a receiver of notices takes what it is told."""
    part = f"notify {name}"
    row = session.get(NoticeReceiver, name)
    if row is None or row.failing_since is None:
        return HealthFinding(part, Level.WELL, "takes messages")
    return HealthFinding(part, Level.ATTENTION, row.problem, f"burnish notify test {name}")
