"""Stage: what monitoring asks for: counts for ever, the present state in numbers, and readiness."""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    func,
    literal,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from burnish.counters import COUNTERS_FOLDER, Key, read_counters
from burnish.db import schema, signs_of_life, tallies
from burnish.db.session import Database
from burnish.db.tables import (
    CommitmentTransaction,
    DeviceState,
    HourlyRate,
    MediaCreationRequest,
    Notice,
    NoticeDelivery,
    NoticeReceiver,
    Piece,
    RegisteredPiece,
    Segment,
    SignOfLife,
    Tally,
)
from burnish.errors import BurnishError
from burnish.settings import Settings
from burnish.vocabulary import (
    OPEN_STATES,
    ExecutionStatus,
    ExecutionStatusInfo,
    NoticeCause,
    PieceState,
)

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Counted:
    """A count and the sum of its amounts (bytes or seconds)."""

    count: int
    amount: float


@dataclass(frozen=True, slots=True)
class NoticeMeasures:
    """Open notices by cause; what waits for each receiver, and which of them takes no messages."""

    open: dict[str, int]
    waiting: dict[str, int]
    failing: dict[str, bool]


@dataclass(frozen=True, slots=True)
class Measures:
    """Everything at one time.

    `tallies` are by name and label (`db.tallies`), `counters` those of the receivers
    (`scp.traffic`). `requests` are the open ones by status and info; `oldest` is the age in seconds
    of the oldest open request by status. `devices` have 1 if the device works.
    """

    tallies: dict[tuple[str, str], Counted]
    counters: dict[Key, Counted]
    requests: dict[tuple[str, str], int]
    oldest: dict[str, float]
    pieces: dict[str, int]
    devices: dict[str, bool]
    paused: dict[str, bool]
    silent: dict[str, bool]
    scheduler_is_silent: bool
    open_commitments: int
    notices: NoticeMeasures
    registered: int
    disk_total: int
    disk_free: int
    high_water: float
    bytes_without_rows: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """One condition for taking part in the work: its name, and what is wrong, "" for nothing.

    If it does not prevent work, instances are received all the same.
    """

    name: str
    problem: str
    prevents_work: bool = True


@dataclass(frozen=True, slots=True)
class Rate:
    """The counts of one hour."""

    hour: datetime
    name: str
    label: str
    count: int
    amount: float


class RateSpan(StrEnum):
    """How much time counts are summed over."""

    HOURS = "hours"
    DAYS = "days"


class CountedSeries(StrEnum):
    """What people compare over time: instances received, pieces made, and what failed."""

    RECEIVED = "received"
    MADE = "made"
    FAILED = "failed"


def measure(session: Session, settings: Settings) -> Measures:
    """The measures now: one query, and what the file system says."""
    now = datetime.now(UTC)
    counts: dict[tuple[str, str], Counted] = {}
    requests: dict[tuple[str, str], int] = {}
    oldest: dict[str, float] = {}
    by_name: dict[str, dict[str, int]] = {"piece": {}, "segment": {}}
    devices = {device.name: True for device in settings.devices}
    paused, silent = dict.fromkeys(devices, False), dict.fromkeys(devices, False)
    notices = _no_notices(settings)
    numbers, is_silent = {"commitment": 0, "registered": 0}, False
    for kind, name, label, count, amount, at in session.execute(_QUERY):
        if kind == "tally":
            counts[name, label] = Counted(count, amount)
        elif kind == "request":
            requests[name, label] = count
            if at is not None:
                age = (now - _utc(at)).total_seconds()
                oldest[name] = max(oldest.get(name, 0.0), age)
        elif kind == "device" and name in devices:
            paused[name], silent[name] = bool(count), bool(amount)
            devices[name] = label == ExecutionStatusInfo.NORMAL and not count and not amount
        elif kind == "sign of life":
            is_silent = signs_of_life.is_silent(_utc(at), settings.notify.silent_after)
        elif kind in by_name:
            by_name[kind][name] = count
        elif kind in ("notice", "waiting", "failing"):
            _add_notices(notices, kind, name, count)
        elif kind in numbers:
            numbers[kind] = count
    usage = shutil.disk_usage(settings.storage.root)
    return Measures(
        tallies=counts,
        counters=_counters(settings.storage.root),
        requests=requests,
        oldest=oldest,
        pieces=by_name["piece"],
        devices=devices,
        paused=paused,
        silent=silent,
        scheduler_is_silent=is_silent,
        open_commitments=numbers["commitment"],
        notices=notices,
        registered=numbers["registered"],
        disk_total=usage.total,
        disk_free=usage.free,
        high_water=settings.storage.high_water,
        bytes_without_rows=_bytes_without_rows(settings.storage.root, by_name["segment"]),
    )


def rates(session: Session, *, since: datetime) -> list[Rate]:
    """The counts of each hour since then."""
    first = int(since.timestamp()) // _SECONDS_PER_HOUR
    rows = session.scalars(
        select(HourlyRate)
        .where(HourlyRate.hour >= first)
        .order_by(HourlyRate.hour, HourlyRate.name, HourlyRate.label)
    )
    return [
        Rate(
            datetime.fromtimestamp(row.hour * _SECONDS_PER_HOUR, UTC),
            row.name,
            row.label,
            row.count,
            row.amount,
        )
        for row in rows
    ]


def sum_rates(
    rates: Iterable[Rate], title_of: Callable[[datetime], str]
) -> dict[str, dict[CountedSeries, int]]:
    """The sum of each series by the title of its hour, in the order of the rates.

    Hours with one title are summed up. Titles under which nothing of a series was counted are left
    out.
    """
    sums: dict[str, dict[CountedSeries, int]] = {}
    for rate in rates:
        series = _series(rate)
        if series is not None:
            counts = sums.setdefault(title_of(rate.hour), dict.fromkeys(CountedSeries, 0))
            counts[series] += rate.count
    return sums


def _series(rate: Rate) -> CountedSeries | None:
    if rate.name == tallies.RECEIVED:
        return CountedSeries.RECEIVED
    if rate.name == tallies.PIECES:
        state = rate.label.partition(tallies.SEPARATOR)[0]
        return {
            PieceState.CREATED: CountedSeries.MADE,
            PieceState.SPOILED: CountedSeries.FAILED,
        }.get(PieceState(state))
    if rate.name == tallies.REQUESTS and rate.label == ExecutionStatus.FAILURE:
        return CountedSeries.FAILED
    return None


def readiness(database: Database, settings: Settings) -> list[Readiness]:
    """The conditions for taking part in the work, and what is wrong with each."""
    return [
        Readiness("database", _problem(lambda: schema.check(database))),
        Readiness("storage", _storage_problem(settings.storage.root)),
        Readiness("disk", _disk_problem(settings)),
        Readiness("scheduler", _scheduler_problem(database, settings), prevents_work=False),
    ]


# --- parts ---


def _no_notices(settings: Settings) -> NoticeMeasures:
    names = [receiver.name for receiver in settings.notify.receiver]
    causes = dict.fromkeys(map(str, NoticeCause), 0)
    return NoticeMeasures(causes, dict.fromkeys(names, 0), dict.fromkeys(names, False))


def _add_notices(notices: NoticeMeasures, kind: str, name: str, count: int) -> None:
    if kind == "notice":
        notices.open[name] = count
    elif kind == "waiting" and name in notices.waiting:
        notices.waiting[name] = count
    elif kind == "failing" and name in notices.failing:
        notices.failing[name] = True


def _problem(check: Callable[[], None]) -> str:
    try:
        check()
    except BurnishError as error:
        return str(error)
    return ""


def _storage_problem(root: Path) -> str:
    if not root.is_dir():
        return "storage.root does not exist"
    return "" if os.access(root, os.W_OK | os.X_OK) else "storage.root cannot be written to"


def _disk_problem(settings: Settings) -> str:
    try:
        usage = shutil.disk_usage(settings.storage.root)
    except OSError as error:
        return error.strerror or "the disk cannot be read"
    share = 1 - usage.free / usage.total
    high_water = settings.storage.high_water
    if share < high_water:
        return ""
    return f"{share:.0%} of the disk is in use, and high water is {high_water:.0%}"


def _scheduler_problem(database: Database, settings: Settings) -> str:
    try:
        with database.reading() as session:
            silence = signs_of_life.scheduler_silence(session, settings.notify.silent_after)
    except BurnishError:  # then the database is the problem
        return ""
    return f"{silence.text}; {silence.remedy}" if silence else ""


def _bytes_without_rows(root: Path, indexed: dict[str, int]) -> int:
    """How much of the segments that are not sealed has no rows yet."""
    total = 0
    folder = root / "spool" / "segments"
    for name, offset in indexed.items():
        try:
            total += max((folder / name).stat().st_size - offset, 0)
        except OSError:
            continue
    return total


def _counters(root: Path) -> dict[Key, Counted]:
    counters = read_counters(root / COUNTERS_FOLDER)
    return {key: Counted(count, amount) for key, (count, amount) in counters.items()}


def _utc(at: datetime | str) -> datetime:
    """A time of the query, which has no type there."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment.replace(tzinfo=UTC)


_TEXT = literal("")
_ZERO: ColumnElement[int] = literal_column("0")
_NO_TIME = null()
_QUERY: CompoundSelect[Any] = union_all(
    select(literal("tally"), Tally.name, Tally.label, Tally.count, Tally.amount, _NO_TIME),
    select(
        literal("request"),
        MediaCreationRequest.execution_status,
        MediaCreationRequest.execution_status_info,
        func.count(),
        _ZERO,
        func.min(MediaCreationRequest.created_at),
    )
    .where(MediaCreationRequest.execution_status.in_(OPEN_STATES))
    .group_by(MediaCreationRequest.execution_status, MediaCreationRequest.execution_status_info),
    select(literal("piece"), Piece.state, _TEXT, func.count(), _ZERO, _NO_TIME).group_by(
        Piece.state
    ),
    select(
        literal("device"),
        DeviceState.name,
        DeviceState.execution_status_info,
        func.count(DeviceState.paused_at),
        func.count(DeviceState.silent_since),
        _NO_TIME,
    ).group_by(DeviceState.name, DeviceState.execution_status_info),
    select(literal("segment"), Segment.name, _TEXT, Segment.indexed_offset, _ZERO, _NO_TIME).where(
        Segment.sealed_at.is_(None)
    ),
    select(literal("commitment"), _TEXT, _TEXT, func.count(), _ZERO, _NO_TIME).where(
        CommitmentTransaction.reported_at.is_(None), CommitmentTransaction.given_up_at.is_(None)
    ),
    select(literal("notice"), Notice.cause, _TEXT, func.count(), _ZERO, _NO_TIME)
    .where(Notice.ended_at.is_(None), Notice.told_at.is_not(None))
    .group_by(Notice.cause),
    select(literal("waiting"), NoticeDelivery.receiver, _TEXT, func.count(), _ZERO, _NO_TIME)
    .where(NoticeDelivery.sent_at.is_(None), NoticeDelivery.given_up_at.is_(None))
    .group_by(NoticeDelivery.receiver),
    select(literal("failing"), NoticeReceiver.name, _TEXT, _ZERO, _ZERO, _NO_TIME).where(
        NoticeReceiver.failing_since.is_not(None)
    ),
    select(literal("sign of life"), SignOfLife.role, _TEXT, _ZERO, _ZERO, SignOfLife.at),
    select(literal("registered"), _TEXT, _TEXT, func.count(RegisteredPiece.id), _ZERO, _NO_TIME),
)
