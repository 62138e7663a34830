"""Ground: when the scheduler last gave a sign of life, and whether it is silent.

Writers give theirs in the rows of their devices (`db.devices`); it is the scheduler that watches
them. Nobody but those who ask watches the scheduler.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from burnish.db.tables import SignOfLife

_SCHEDULER = "scheduler"
#: Seconds between two signs, at most.
_INTERVAL = 60.0


@dataclass(frozen=True, slots=True)
class SchedulerSilence:
    """The scheduler is silent: since when, what that means, and what to do."""

    since: datetime
    text: str
    remedy: str


def interval(silent_after: timedelta) -> float:
    """Seconds between two signs, so that a few may be late before anybody is told."""
    return min(_INTERVAL, silent_after.total_seconds() / 4)


def give(session: Session) -> None:
    """Record that the scheduler runs, or has been told to begin."""
    session.merge(SignOfLife(role=_SCHEDULER, at=datetime.now(UTC)))


def is_silent(last_sign_at: datetime, silent_after: timedelta) -> bool:
    """Whether the last sign of life is older than `silent_after`."""
    return datetime.now(UTC) - last_sign_at > silent_after


def scheduler_silence(session: Session, silent_after: timedelta) -> SchedulerSilence | None:
    """Whether the scheduler has given no sign of life for longer than `silent_after`.

    None also if there never was a scheduler.
    """
    row = session.get(SignOfLife, _SCHEDULER)
    if row is None or not is_silent(row.at, silent_after):
        return None
    return SchedulerSilence(
        row.at,
        "the scheduler gives no sign of life: no request is admitted or planned,"
        " and nobody is told of anything",
        "see in the log what the scheduler waits for, and that the database and the disk answer;"
        " then restart `burnish serve`, or its role scheduler",
    )
