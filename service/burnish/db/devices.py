"""Ground: what each device last reported, if it is paused, and if its writer is silent."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from burnish.db.history import HELD
from burnish.db.queue import LEASE
from burnish.db.tables import DeviceState, FileSet, Piece, short_id
from burnish.values import SERVICE, Actor
from burnish.vocabulary import ExecutionStatusInfo, PieceState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a device: why it does not work, in words, and what to do about it."""

    info: ExecutionStatusInfo = ExecutionStatusInfo.NORMAL
    detail: str = ""
    remedy: str = ""
    since: datetime | None = None
    paused_at: datetime | None = None

    @property
    def works(self) -> bool:
        return self.info is ExecutionStatusInfo.NORMAL and self.paused_at is None

    def facts(self) -> dict[str, object]:
        """The state by name, for listings."""
        state = "paused" if self.paused_at else str(self.info)
        return {
            "state": state,
            "detail": self.detail,
            "remedy": self.remedy,
            "since": self.since,
        }


def work(session: Session, name: str) -> dict[str, int]:
    """How many pieces the device has made and ruined, of the requests that are still kept."""
    rows = session.execute(
        select(Piece.state, func.count()).where(Piece.device == name).group_by(Piece.state)
    )
    counts = {row[0]: row[1] for row in rows}
    return {
        "made": counts.get(PieceState.CREATED, 0),
        "ruined": counts.get(PieceState.SPOILED, 0),
    }


def at_work(session: Session, name: str) -> bool:
    """Whether a live worker holds a piece for the device."""
    held = Piece.state.in_((PieceState.IMAGING, PieceState.WRITING, PieceState.VERIFYING))
    leased = Piece.lease_until > datetime.now(UTC)
    query = select(Piece.id).where(Piece.device == name, held, leased)
    return session.scalar(query.limit(1)) is not None


def standing(session: Session, name: str) -> Standing:
    """The state of the device; a device that never reported anything works."""
    row = session.get(DeviceState, name)
    if row is None:
        return Standing()
    if row.paused_at is None:
        if row.silent_since is not None:
            info = ExecutionStatusInfo.CHECK_MCD_SRV
            return Standing(info, row.silence, _silence_remedy(name), row.silent_since)
        return Standing(row.execution_status_info, row.detail, row.remedy, row.since)
    because = f": {row.paused_because}" if row.paused_because else ""
    by = f" by {row.paused_by}" if row.paused_by else ""
    return Standing(
        ExecutionStatusInfo.CHECK_MCD_OP,
        f"device {name} is paused{by}{because}",
        f"To resume: burnish device resume {name}",
        row.paused_at,
        row.paused_at,
    )


def tell(
    session: Session,
    name: str,
    info: ExecutionStatusInfo = ExecutionStatusInfo.NORMAL,
    detail: str = "",
    remedy: str = "",
) -> None:
    """Record what a device reports."""
    row = _row(session, name)
    if (row.execution_status_info, row.detail, row.remedy) != (info, detail, remedy):
        row.execution_status_info, row.detail, row.remedy = info, detail, remedy
        row.since = datetime.now(UTC)


def give_sign_of_life(session: Session, name: str) -> None:
    """Record that the writer of a device runs."""
    _row(session, name).seen_at = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Silence:
    """The writer of a device is silent: what is not heard of it, and since when."""

    device: str
    since: datetime
    text: str


def silence(
    session: Session, name: str, *, now: datetime, watched_for: timedelta, silent_after: timedelta
) -> Silence | None:
    """Whether nothing has been heard of the writer of a device for longer than `silent_after`.

    A writer tells that it runs, and while it makes a piece, that its work goes on. Both fall silent
    when its process is stopped, only the second while it is stuck in a call of the system. What was
    not heard before somebody watched, for `watched_for` now, does not count.
    """
    row = session.get(DeviceState, name)
    held = session.execute(
        select(Piece.lease_until, Piece.active_at, Piece.step_began_at, FileSet.request_id)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(Piece.device == name, Piece.state.in_(HELD))
    ).all()
    seen_at = row.seen_at if row is not None else None
    signs = [seen_at] if seen_at is not None else []
    signs += [piece.lease_until - LEASE for piece in held if piece.lease_until is not None]
    last_sign = max(signs, default=None)
    if last_sign is None:
        return None
    if min(now - last_sign, watched_for) > silent_after:
        return Silence(name, last_sign, f"the writer of device {name} gives no sign of life")
    for piece in held:
        went_on = [time for time in (piece.active_at, piece.step_began_at) if time is not None]
        if went_on and min(now - max(went_on), watched_for) > silent_after:
            text = f"the writer of device {name} does not go on with {short_id(piece.request_id)}"
            return Silence(name, max(went_on), text)
    return None


def note_silence(session: Session, name: str, silence: Silence | None) -> None:
    """Record that the writer of a device is silent, or is heard again."""
    row = _row(session, name)
    was_silent = row.silent_since is not None
    row.silent_since = silence.since if silence else None
    row.silence = silence.text if silence else ""
    if silence is None and was_silent:
        log.info("writer heard again", device=name)
    elif silence is not None and not was_silent:
        log.error("writer silent", device=name, why=silence.text, since=silence.since.isoformat())


def noted_silence(session: Session, name: str) -> Silence | None:
    """The recorded silence of the writer of a device."""
    row = session.get(DeviceState, name)
    if row is None or row.silent_since is None:
        return None
    return Silence(name, row.silent_since, row.silence)


def pause(session: Session, name: str, because: str = "", *, actor: Actor = SERVICE) -> None:
    """Pause a device: it finishes what it has begun and takes nothing new until it is resumed."""
    row = _row(session, name)
    row.paused_at = row.paused_at or datetime.now(UTC)
    row.paused_because, row.paused_by = because, str(actor)
    log.info("device paused", device=name, why=because, by=str(actor))


def resume(session: Session, name: str, *, actor: Actor = SERVICE) -> None:
    """Resume a device. It may also take, at once, pieces that it was to leave alone for a while."""
    row = _row(session, name)
    row.paused_at, row.paused_because, row.paused_by = None, "", ""
    log.info("device resumed", device=name, by=str(actor))
    session.execute(
        update(Piece)
        .where(Piece.state == PieceState.QUEUED, Piece.device.in_((name, "")))
        .values(not_before=None)
        .execution_options(synchronize_session=False)
    )


def _silence_remedy(name: str) -> str:
    return (
        f"see that device {name} and its disk answer, and that"
        f" `burnish serve --role writer --device {name}` runs"
    )


def _row(session: Session, name: str) -> DeviceState:
    row = session.scalar(select(DeviceState).where(DeviceState.name == name))
    if row is None:
        row = DeviceState(
            name=name,
            execution_status_info=ExecutionStatusInfo.NORMAL,
            detail="",
            remedy="",
            since=datetime.now(UTC),
            paused_because="",
        )
        session.add(row)
        session.flush()
    return row
