"""Stage: writes to the database what becomes of a piece: it goes on, is created, held, ruined."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from time import monotonic
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from burnish.burn import BurnOutcome, BurnResult
from burnish.db import devices, queue
from burnish.db.devices import Standing
from burnish.db.history import HELD, discard_plan, fail, inform, move, move_piece, note
from burnish.db.queue import Claim
from burnish.db.session import Database
from burnish.db.tables import Event, FileSet, MediaCreationRequest, Piece
from burnish.db.wakeup import pause
from burnish.errors import OutOfResources, StaleLease
from burnish.lifecycle import PieceEvent, RequestEvent
from burnish.settings import DeviceSettings, Settings
from burnish.vocabulary import DEVICE_HOLDS, ExecutionStatus, ExecutionStatusInfo, PieceState
from burnish.write.job import PieceJob

log = structlog.get_logger(__name__)

#: How long a device leaves a piece alone that it could not make now, or that it ruined.
HOLD_TIME = timedelta(seconds=15)
#: A device that ruins this many pieces in a row is paused, whatever requests they are of. Pieces
#: that fail because of their request or its content do not count.
RUINED_IN_A_ROW = 6
_GIVEN_UP = (PieceState.SPOILED, PieceState.DROPPED)
#: The maximum time to wait for a database that does not answer, and the time between attempts, in
#: seconds. Meanwhile the lease of the piece cannot expire: that takes the database, too.
MAXIMUM_DATABASE_WAIT = math.inf
_DATABASE_RETRY = 2.0

Method = TypeVar("Method", bound=Callable[..., Any])


def _wait_for_database(method: Method) -> Method:
    """Repeats a method until the database answers or the service stops.

    A finished disc is not given up because a row cannot be written.
    """

    @wraps(method)
    def repeated(recorder: "PieceRecorder", *arguments: object, **columns: object) -> Any:
        began_at = monotonic()
        is_logged = False
        while True:
            try:
                return method(recorder, *arguments, **columns)
            except OutOfResources as error:
                is_over = monotonic() - began_at >= MAXIMUM_DATABASE_WAIT
                if is_over or pause(recorder.stopping, _DATABASE_RETRY):
                    raise
                if not is_logged:
                    log.error("waiting for the database", to=method.__name__, why=str(error))
                    is_logged = True

    return cast(Method, repeated)


@dataclass
class PieceRecorder:
    """Records the work of one device. Every method that takes a piece raises StaleLease if this
    worker does not hold it any more.

    `reported` is the last outcome that a device reported while it wrote.
    """

    database: Database
    settings: Settings
    device: DeviceSettings
    stopping: threading.Event
    ruined_in_a_row: int = 0
    reported: tuple[BurnOutcome, str] | None = None

    # --- a piece that goes on ---

    @_wait_for_database
    def advance(self, claim: Claim, event: PieceEvent, **columns: Any) -> None:
        """Moves a piece to its next state, and sets columns of its row."""
        with self.database.writing() as session:
            self._move(session, claim, event, why="", **columns)

    @_wait_for_database
    def check_claim(self, claim: Claim) -> None:
        """Only checks that this worker still holds the piece."""
        with self.database.reading() as session:
            held(session, claim)

    @_wait_for_database
    def created(self, piece_job: PieceJob, verified: str) -> None:
        """The piece is on its medium and was examined; the request is DONE with its last piece.

        `verified` says what was examined.
        """
        claim = piece_job.claim
        with self.database.writing() as session:
            self._move(
                session,
                claim,
                PieceEvent.VERIFIED,
                why="read back without a fault",
                verified=verified,
                created_at=datetime.now(UTC),
                lease_until=None,
            )
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if _all_created(session, claim.request_id):
                move(session, request, RequestEvent.COMPLETED)
            else:
                inform(session, request, ExecutionStatusInfo.NORMAL)
        self.ruined_in_a_row = 0

    # --- a piece that does not go on ---

    @_wait_for_database
    def hold(
        self, piece_job: PieceJob, result: BurnResult, *, reported_by_device: bool = True
    ) -> None:
        """The piece waits, and its request says why; no attempt is lost.

        If only this device cannot make it now, another device may at once; but a device that works
        on its own keeps the piece that it was given.
        """
        claim, burn_job = piece_job.claim, piece_job.burn_job
        with self.database.writing() as session:
            request = session.get_one(MediaCreationRequest, claim.request_id)
            is_at_device = bool(held(session, claim).device_job)
            another_can = False
            if reported_by_device:
                self._set_device_state(session, result)
                another_can = not is_at_device and self._another_device_can(
                    session, claim.request_id, burn_job.medium
                )
            self._return(
                session,
                claim,
                result.detail,
                of_this_device=another_can or is_at_device,
                not_before=datetime.now(UTC) + HOLD_TIME,
            )
            if not another_can:
                explain(session, request, result)

    @_wait_for_database
    def report(self, piece_job: PieceJob, result: BurnResult) -> None:
        """The device reports, while it writes, that it is held up or that it goes on."""
        report = (result.outcome, result.detail)
        if report == (self.reported or (BurnOutcome.READY, "")):
            return
        self.reported = report
        claim = piece_job.claim
        with self.database.writing() as session:
            held(session, claim)
            self._set_device_state(session, result)
            explain(session, session.get_one(MediaCreationRequest, claim.request_id), result)

    @_wait_for_database
    def leave(self, piece_job: PieceJob) -> None:
        """The service stops, and the device makes the piece without it."""
        why = "the service stops, its device goes on"
        with self.database.writing() as session:
            self._return(session, piece_job.claim, why, of_this_device=True)

    @_wait_for_database
    def ruined(self, piece_job: PieceJob, info: ExecutionStatusInfo, why: str) -> None:
        """The piece is spoiled: another one replaces it, or the request fails without attempts."""
        claim = piece_job.claim
        with self.database.writing() as session:
            piece = self._move(session, claim, PieceEvent.RUINED, why=why, lease_until=None)
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if piece_job.attempts >= self.settings.request.attempts:
                remedy = "look at the events of the request, then `burnish request retry`"
                fail(session, request, info, why=why, remedy=remedy)
            else:
                medium = piece_job.burn_job.medium
                another_can = self._another_device_can(session, claim.request_id, medium)
                not_before = datetime.now(UTC) + HOLD_TIME if another_can else None
                queue.replace(session, piece, not_before=not_before)
                note(session, request.id, "RETRY", why, piece_id=piece.id)
            if info is ExecutionStatusInfo.MCD_FAILURE:
                self._count_ruined(session, why)

    @_wait_for_database
    def replan(self, piece_job: PieceJob, why: str) -> bool:
        """The plan of the piece is out of date: its request is planned anew, but only once.

        False if that would make media again which exist, or of which another worker has a part.
        """
        claim = piece_job.claim
        with self.database.writing() as session:
            piece = held(session, claim)
            request = session.get_one(MediaCreationRequest, claim.request_id)
            others = [
                other
                for file_set in request.file_sets
                for other in file_set.pieces
                if other.id != piece.id
            ]
            was_replanned = session.scalar(
                select(Event.id).where(
                    Event.request_id == request.id, Event.event == RequestEvent.REPLANNED
                )
            )
            if was_replanned or any(other.state is not PieceState.QUEUED for other in others):
                return False
            discard_plan(session, request)
            move(session, request, RequestEvent.REPLANNED, why=why)
        return True

    @_wait_for_database
    def unreadable(self, claim: Claim, why: str) -> None:
        """The plan of the piece cannot be read: its request fails."""
        with self.database.writing() as session:
            self._move(session, claim, PieceEvent.RUINED, why=why, lease_until=None)
            request = session.get_one(MediaCreationRequest, claim.request_id)
            remedy = "look at the log, then `burnish request retry`"
            info = ExecutionStatusInfo.PROC_FAILURE
            fail(session, request, info, why=why, remedy=remedy)

    def _count_ruined(self, session: Session, why: str) -> None:
        self.ruined_in_a_row += 1
        if self.ruined_in_a_row >= RUINED_IN_A_ROW:
            reason = f"it ruined {self.ruined_in_a_row} pieces in a row, the last: {why}"
            devices.pause(session, self.device.name, reason)
            self.ruined_in_a_row = 0

    # --- the device ---

    def device_missing(self, result: BurnResult) -> None:
        """The device is not there or may not be used, while no piece waits for it."""
        recorded = self.device_state()
        if recorded.paused_at is None and recorded.detail != result.detail:
            with self.database.writing() as session:
                self._set_device_state(session, result)

    def device_state(self) -> Standing:
        """The state of the device as it was last recorded."""
        with self.database.reading() as session:
            return devices.standing(session, self.device.name)

    def device_not_ready(self, result: BurnResult) -> None:
        """The device takes no job; the next request says why it waits, if no other device can."""
        with self.database.writing() as session:
            self._set_device_state(session, result)
            next_piece = queue.next_piece(session, self.device.name, self.capacities)
            if next_piece is None:
                return
            request_id, file_set = next_piece
            if not self._another_device_can(session, request_id, file_set.medium):
                request = session.get_one(MediaCreationRequest, request_id)
                explain(session, request, result)

    def device_ready(self) -> None:
        """The device takes jobs again; the requests that waited for a device are queued."""
        name = self.device.name
        if self.device_state().info is ExecutionStatusInfo.NORMAL:
            return
        with self.database.writing() as session:
            devices.tell(session, name)
            waiting = session.scalars(
                select(MediaCreationRequest).where(
                    MediaCreationRequest.execution_status == ExecutionStatus.PENDING,
                    MediaCreationRequest.execution_status_info.in_(DEVICE_HOLDS),
                )
            )
            for request in waiting:
                inform(session, request, ExecutionStatusInfo.QUEUED, why=f"device {name} is ready")

    def ask_for_another_blank(self, ready: BurnResult) -> None:
        """Asks for the blank that the next piece needs; the one in the device does not fit."""
        with self.database.writing() as session:
            next_piece = queue.next_piece(session, self.device.name, self.capacities)
        if next_piece is not None:
            _, file_set = next_piece
            megabytes = file_set.predicted_size / 1e6
            remedy = f"Put in a blank {file_set.medium} that holds {megabytes:.0f} MB."
            self.device_not_ready(BurnResult(BurnOutcome.HOLD_OPERATOR, ready.detail, remedy))

    @_wait_for_database
    def clear_device_job(self, claim: Claim) -> None:
        """The device does not work on the piece any more."""
        with self.database.writing() as session:
            session.execute(update(Piece).where(Piece.id == claim.piece_id).values(device_job=""))

    @property
    def capacities(self) -> dict[str, int]:
        """The media that the device writes, and the bytes that it can put on one of each."""
        return {name: self.device.capacity_of(name) for name in self.device.media}

    def file_set_without_work(self, claim: Claim) -> FileSet | None:
        """The volume of a piece, if no piece of it needs the image any more."""
        with self.database.reading() as session:
            file_set = session.get(FileSet, claim.file_set_id)
            if file_set is None:
                return None
            ended = (*_GIVEN_UP, PieceState.CREATED)
            return file_set if all(piece.state in ended for piece in file_set.pieces) else None

    # --- steps ---

    def _another_device_can(self, session: Session, request_id: int, medium: str) -> bool:
        """Whether another device can write the medium and is not known to be held up."""
        if session.get_one(MediaCreationRequest, request_id).device:
            return False  # the request names this device
        return any(
            medium in device.media and devices.standing(session, device.name).works
            for device in self.settings.devices
            if device.name != self.device.name
        )

    def _set_device_state(self, session: Session, result: BurnResult) -> None:
        if devices.standing(session, self.device.name).paused_at is None:
            info = result.execution_status_info
            devices.tell(session, self.device.name, info, result.detail, result.remedy)

    def _return(
        self,
        session: Session,
        claim: Claim,
        why: str,
        *,
        of_this_device: bool,
        not_before: datetime | None = None,
    ) -> None:
        """Returns a piece to the queue; no attempt is lost.

        `not_before` then concerns all devices, or only this one if the piece is `of_this_device`.
        """
        piece = held(session, claim)
        self._move(
            session,
            claim,
            PieceEvent.RETURNED,
            why=why,
            lease_until=None,
            attempts=piece.attempts - 1,
            not_before=not_before,
            device=self.device.name if of_this_device else "",
        )

    def _move(
        self,
        session: Session,
        claim: Claim,
        event: PieceEvent,
        *,
        why: str,
        verified: str = "",
        **columns: Any,
    ) -> Piece:
        piece = held(session, claim)
        move_piece(
            session,
            piece,
            event,
            request_id=claim.request_id,
            held_epoch=claim.lease_epoch,
            why=why,
            verified=verified,
            **columns,
        )
        return piece


def explain(session: Session, request: MediaCreationRequest, result: BurnResult) -> None:
    """Has a request say why it waits."""
    info = result.execution_status_info
    inform(session, request, info, why=result.detail, remedy=result.remedy)


def held(session: Session, claim: Claim) -> Piece:
    """The claimed piece; raises StaleLease if this worker does not hold it any more."""
    piece = session.get(Piece, claim.piece_id)
    if piece is None or piece.lease_epoch != claim.lease_epoch or piece.state not in HELD:
        raise StaleLease("the piece was given to another worker, or cancelled")
    return piece


def _all_created(session: Session, request_id: int) -> bool:
    """Whether every volume of every copy has a created piece."""
    states = session.scalars(
        select(Piece.state)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(FileSet.request_id == request_id, Piece.state.not_in(_GIVEN_UP))
    ).all()
    return all(state is PieceState.CREATED for state in states)
