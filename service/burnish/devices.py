"""Stage: the devices that make media, as people see them, and what people can do with them.

What a device reports while it works is in its row (`db.devices`); this stage adds what it is, what
it is making now, and what it has made. No device is disturbed by being shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.burn import Supply, open_burner
from burnish.burn.presence import missing
from burnish.db import devices
from burnish.db.history import HELD
from burnish.db.session import Database
from burnish.db.tables import DeviceState, FileSet, Piece, RegisteredPiece, short_id
from burnish.errors import InvalidArgument, OperatorError, Unknown
from burnish.settings import DeviceSettings, Settings
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatusInfo, PieceState

_LONGEST_REASON = 500
#: What each kind of device is, in a word.
_CATEGORIES = {
    "folder": "folder",
    "mounted": "stick",
    "optical": "drive",
    "primera": "robot",
    "epson": "robot",
}
_STEPS = {
    PieceState.IMAGING: "image",
    PieceState.WRITING: "write",
    PieceState.VERIFYING: "verify",
}


@dataclass(frozen=True, slots=True)
class CurrentPiece:
    """The piece that a device is making.

    `step` is "image", "write" or "verify". `bytes_per_second` and `seconds_left` concern the
    present step; they are None where that cannot be told.
    """

    request: str
    file_set_id: str
    volume_number: int
    volume_count: int
    copy_number: int
    step: str
    step_began_at: datetime | None
    bytes_done: int
    bytes_total: int
    bytes_per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device. `state` is "ready", "working", "paused" or "held up".

    `category` is "folder", "stick", "drive" or "robot"; `place` is its directory or drive. `media`
    are the media that it makes, with the bytes that each holds. `info` is the Execution Status Info
    that it reported. `created` and `spoiled` count the register. `is_silent`: its writer gives no
    sign of life or is stuck; the device itself is then not asked for anything, as it may hang.
    """

    name: str
    kind: str
    category: str
    place: str
    media: Mapping[str, int]
    state: str
    info: ExecutionStatusInfo
    reason: str
    remedy: str
    since: datetime | None
    paused_by: str
    supplies: tuple[Supply, ...]
    current: CurrentPiece | None
    queued: int
    created: int
    spoiled: int
    is_silent: bool = False


def views(session: Session, settings: Settings) -> list[DeviceView]:
    """All devices of the configuration, in its order."""
    return [_view(session, settings, device) for device in settings.devices]


def configured(settings: Settings) -> list[DeviceView]:
    """All devices as they are known before there is a database: by the configuration alone."""
    return [_without_rows(settings, device) for device in settings.devices]


def view(session: Session, settings: Settings, name: str) -> DeviceView:
    """One device; raises Unknown."""
    return _view(session, settings, device_named(settings, name))


def device_named(settings: Settings, name: str) -> DeviceSettings:
    """The settings of a device; raises Unknown."""
    for device in settings.devices:
        if device.name == name:
            return device
    raise Unknown(f"no device {name}", hint="`burnish device list` shows the devices")


def pause(session: Session, settings: Settings, name: str, reason: str, *, actor: Actor) -> None:
    """Have a device finish its piece and take no more. Raises Unknown, InvalidArgument."""
    device_named(settings, name)
    reason = " ".join(reason.split())
    if len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise InvalidArgument(f"a reason has up to {_LONGEST_REASON} printable characters")
    devices.pause(session, name, reason, actor=actor)


def resume(session: Session, settings: Settings, name: str, *, actor: Actor) -> None:
    """Have a device take work again; raises Unknown."""
    device_named(settings, name)
    devices.resume(session, name, actor=actor)


def fingerprint(session: Session) -> Sequence[object]:
    """A cheap answer that changes whenever `views` may, except for supplies."""
    reported = session.execute(
        select(
            DeviceState.name,
            DeviceState.since,
            DeviceState.paused_at,
            DeviceState.paused_because,
            DeviceState.detail,
            DeviceState.silent_since,
        ).order_by(DeviceState.name)
    )
    working = session.execute(
        select(Piece.id, Piece.state, Piece.bytes_done).where(Piece.state.in_(HELD))
    )
    newest = session.scalar(select(func.max(RegisteredPiece.id)))
    queued = session.scalar(select(func.count()).where(Piece.state == PieceState.QUEUED))
    return [*map(tuple, reported), *map(tuple, working), newest, queued]


def watch_writers(
    database: Database, settings: Settings, *, watched_for: timedelta, now: datetime | None = None
) -> None:
    """Note which writers are silent, and which are heard again; their devices say so.

    `watched_for`: for how long this process has been looking. `now` is the present time if None.
    """
    now = now or datetime.now(UTC)
    names = [device.name for device in settings.devices]
    with database.reading() as session:
        silences = {
            name: devices.silence(
                session,
                name,
                now=now,
                watched_for=watched_for,
                silent_after=settings.notify.silent_after,
            )
            for name in names
        }
        changed = [name for name in names if devices.noted_silence(session, name) != silences[name]]
    if changed:
        with database.writing() as session:
            for name in changed:
                devices.note_silence(session, name, silences[name])


# --- parts ---


def _without_rows(
    settings: Settings, device: DeviceSettings, *, is_silent: bool = False
) -> DeviceView:
    problem = None if is_silent else _missing(settings, device)
    info, reason, remedy = problem or (ExecutionStatusInfo.NORMAL, "", "")
    return DeviceView(
        name=device.name,
        kind=device.kind,
        category=_CATEGORIES.get(device.kind, device.kind),
        place=device.drive or str(device.directory or ""),
        media={medium: device.capacity_of(medium) for medium in device.media},
        state="held up" if problem else "ready",
        info=info,
        reason=reason,
        remedy=remedy,
        since=None,
        paused_by="",
        supplies=() if is_silent else _supplies(device),
        current=None,
        queued=0,
        created=0,
        spoiled=0,
        is_silent=is_silent,
    )


def _view(session: Session, settings: Settings, device: DeviceSettings) -> DeviceView:
    standing = devices.standing(session, device.name)
    row = session.get(DeviceState, device.name)
    current = _current(session, device.name)
    is_silent = row is not None and row.silent_since is not None
    idle = _without_rows(settings, device, is_silent=is_silent)
    counts = _counts(session, device.name)
    info, reason, remedy = standing.info, standing.detail, standing.remedy
    if standing.paused_at is None and current is None and idle.state == "held up":
        info, reason, remedy = idle.info, idle.reason, idle.remedy
    if standing.paused_at is not None:
        state = "paused"
    elif info is not ExecutionStatusInfo.NORMAL:
        state = "held up"
    else:
        state = "working" if current else "ready"
    return replace(
        idle,
        state=state,
        info=info,
        reason=reason,
        remedy=remedy,
        since=standing.since,
        paused_by=row.paused_by if row is not None else "",
        current=current,
        queued=_queued(session, device),
        created=counts.get(PieceState.CREATED, 0),
        spoiled=counts.get(PieceState.SPOILED, 0),
    )


def _missing(
    settings: Settings, device: DeviceSettings
) -> tuple[ExecutionStatusInfo, str, str] | None:
    """Why a device that has nothing to do could not work."""
    directories = [
        path
        for path in device.directories
        if path.exists() or not path.is_relative_to(settings.storage.root)
    ]
    result = missing(device.name, directories=directories, drive=device.drive)
    if result is None:
        return None
    return result.execution_status_info, result.detail, result.remedy


def _supplies(device: DeviceSettings) -> tuple[Supply, ...]:
    try:
        return open_burner(device.kind, device.name, **device.burner_options()).supplies()
    except (OSError, OperatorError):
        return ()


def _current(session: Session, name: str) -> CurrentPiece | None:
    """The piece that a live worker holds for the device."""
    row = session.execute(
        select(Piece, FileSet)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(Piece.device == name, Piece.state.in_(HELD), Piece.lease_until > datetime.now(UTC))
        .order_by(Piece.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    piece, file_set = row
    speed = seconds_left = None
    if piece.step_began_at is not None and piece.bytes_done:
        seconds = (datetime.now(UTC) - piece.step_began_at).total_seconds()
        if seconds > 0:
            speed = piece.bytes_done / seconds
            seconds_left = max(file_set.predicted_size - piece.bytes_done, 0) / speed
    return CurrentPiece(
        request=short_id(file_set.request_id),
        file_set_id=file_set.file_set_id,
        volume_number=file_set.volume_number,
        volume_count=file_set.volume_count,
        copy_number=piece.copy_number,
        step=_STEPS[piece.state],
        step_began_at=piece.step_began_at,
        bytes_done=min(piece.bytes_done, file_set.predicted_size),
        bytes_total=file_set.predicted_size,
        bytes_per_second=speed,
        seconds_left=seconds_left,
    )


def _counts(session: Session, name: str) -> dict[PieceState, int]:
    rows = session.execute(
        select(RegisteredPiece.state, func.count())
        .where(RegisteredPiece.device == name)
        .group_by(RegisteredPiece.state)
    )
    return {row[0]: row[1] for row in rows}


def _queued(session: Session, device: DeviceSettings) -> int:
    """How many pieces wait that this device can make."""
    waiting = session.scalar(
        select(func.count())
        .select_from(Piece)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(
            Piece.state == PieceState.QUEUED,
            FileSet.medium.in_(device.media),
            Piece.device.in_(("", device.name)),
        )
    )
    return waiting or 0
