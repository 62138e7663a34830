"""Stage: writes down what becomes of a piece: goes on, created, held, ruined."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from time import monotonic
from typing import TypeVar, cast

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from burnish.burn import BurnOutcome, BurnResult
from burnish.db import devices, queue
from burnish.db.devices import Standing
from burnish.db.history import HELD, fail, inform, move, move_piece, note
from burnish.db.queue import Claim
from burnish.db.session import Database
from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.db.wakeup import pause
from burnish.errors import OutOfResources, StaleLease
from burnish.lifecycle import PieceEvent, RequestEvent
from burnish.settings import DeviceSettings, Settings
from burnish.vocabulary import DEVICE_HOLDS, ExecutionStatus, ExecutionStatusInfo, PieceState
from burnish.write.job import PieceJob

log = structlog.get_logger(__name__)

#: How long a device leaves a piece alone that it held up or ruined.
HOLD = timedelta(seconds=15)
#: A device that ruins so many pieces one after the other is paused, whosever they are.
RUINED_IN_A_ROW = 6
_NO_LONGER = (PieceState.SPOILED, PieceState.DROPPED)
#: How long what a device has done waits for a database that does not answer, and how often it is
#: asked, in seconds. Meanwhile nobody else can be given the piece.
PATIENCE, _AGAIN = math.inf, 2.0

Method = TypeVar("Method", bound=Callable[..., None])


def _patient(method: Method) -> Method:
    """Waits for the database until the service stops: a disc is not spoiled for want of a row."""

    @wraps(method)
    def patient(ledger: "PieceRecorder", *arguments: object, **facts: object) -> None:
        begun, said = monotonic(), False
        while True:
            try:
                method(ledger, *arguments, **facts)
                return
            except OutOfResources as error:
                if monotonic() - begun >= PATIENCE or pause(ledger.stopping, _AGAIN):
                    raise
                if not said:
                    log.error("waiting for the database", to=method.__name__, why=str(error))
                said = True

    return cast(Method, patient)


@dataclass
class PieceRecorder:
    """The rows of one device's work. All raise StaleLease where the piece is its no more."""

    database: Database
    settings: Settings
    device: DeviceSettings
    stopping: threading.Event
    ruined_in_a_row: int = 0
    told: tuple[BurnOutcome, str] | None = None

    @_patient
    def advance(self, claim: Claim, event: PieceEvent, **facts: object) -> None:
        """Moves a piece that goes on as it should."""
        with self.database.writing() as session:
            self._move(session, claim, event, why="", **facts)

    @_patient
    def check(self, claim: Claim) -> None:
        """Nothing but that the piece is still this worker's."""
        with self.database.reading() as session:
            held(session, claim)

    @_patient
    def created(self, made: PieceJob) -> None:
        """The piece is on its medium and was read back: CREATED, and DONE with the last one."""
        claim = made.claim
        with self.database.writing() as session:
            self._move(
                session,
                claim,
                PieceEvent.VERIFIED,
                why="read back and found right",
                created_at=datetime.now(UTC),
                lease_until=None,
            )
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if _all_created(session, claim.request_id):
                move(session, request, RequestEvent.COMPLETED)
            else:
                inform(session, request, ExecutionStatusInfo.NORMAL)
        self.ruined_in_a_row = 0
        log.info("piece created", piece=claim.piece_id, request=made.job.request_name)

    @_patient
    def hold(self, made: PieceJob, result: BurnResult, *, by_device: bool = True) -> None:
        """Waits: the state of the request stays, its info says why, and no attempt is lost.

        What only this device cannot do now, another may do at once.
        """
        with self.database.writing() as session:
            request = session.get_one(MediaCreationRequest, made.claim.request_id)
            elsewhere = False
            if by_device:
                self._tell(session, result)
                elsewhere = not made.job.device_job and self._another_works(
                    session, made.claim.request_id, made.job.medium
                )
            not_before = datetime.now(UTC) + HOLD
            own = elsewhere or bool(made.job.device_job)
            self._return(session, made.claim, result.detail, own=own, not_before=not_before)
            if not elsewhere:
                explain(session, request, result)
        log.warning("device holds", device=self.device.name, why=result.detail)

    @_patient
    def tell(self, made: PieceJob, result: BurnResult) -> None:
        """What holds up a device that goes on by itself, and that it is over."""
        told = (result.outcome, result.detail)
        if told == (self.told or (BurnOutcome.READY, "")):
            return
        self.told = told
        with self.database.writing() as session:
            held(session, made.claim)
            self._tell(session, result)
            explain(session, session.get_one(MediaCreationRequest, made.claim.request_id), result)

    @_patient
    def leave(self, made: PieceJob) -> None:
        """Gives a piece back on which its device goes on by itself."""
        with self.database.writing() as session:
            self._return(session, made.claim, "the service stops, its device goes on", own=True)

    @_patient
    def ruined(self, made: PieceJob, info: ExecutionStatusInfo, why: str) -> None:
        """The piece is spoiled; another is made while attempts allow, else the request fails."""
        claim = made.claim
        with self.database.writing() as session:
            piece = self._move(session, claim, PieceEvent.RUINED, why=why, lease_until=None)
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if made.attempts >= self.settings.request.attempts:
                remedy = "look at the events of the request, then `burnish request retry`"
                fail(session, request, info, why=why, remedy=remedy)
            else:
                elsewhere = self._another_works(session, made.claim.request_id, made.job.medium)
                not_before = datetime.now(UTC) + HOLD if elsewhere else None
                queue.replace(session, piece, not_before=not_before)
                note(session, request.id, "RETRY", why, piece_id=piece.id)
            if info is ExecutionStatusInfo.MCD_FAILURE:
                self._count_ruined(session, why)

    def _count_ruined(self, session: Session, why: str) -> None:
        self.ruined_in_a_row += 1
        if self.ruined_in_a_row >= RUINED_IN_A_ROW:
            because = (
                f"it ruined {self.ruined_in_a_row} pieces one after the other, the last: {why}"
            )
            devices.pause(session, self.device.name, because)
            log.error("device paused", device=self.device.name, why=because)
            self.ruined_in_a_row = 0

    def not_ready(self, result: BurnResult) -> None:
        """The device takes no job: the next request says why it waits, if no other device can."""
        with self.database.writing() as session:
            self._tell(session, result)
            found = queue.next_piece(session, self.device.name, self.media)
            if found is None:
                return
            request_id, file_set = found
            if not self._another_works(session, request_id, file_set.medium):
                request = session.get_one(MediaCreationRequest, request_id)
                explain(session, request, result)

    def ready(self) -> None:
        """The device takes jobs again: who waited for it is told so."""
        name = self.device.name
        with self.database.reading() as session:
            before = devices.standing(session, name)
        if before.info is ExecutionStatusInfo.NORMAL:
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

    def standing(self) -> Standing:
        with self.database.reading() as session:
            return devices.standing(session, self.device.name)

    def done_with(self, claim: Claim) -> FileSet | None:
        """The volume, if no piece of it needs its image any more."""
        done = (*_NO_LONGER, PieceState.CREATED)
        with self.database.reading() as session:
            file_set = session.get(FileSet, claim.file_set_id)
            needed = file_set is None or any(p.state not in done for p in file_set.pieces)
        return None if needed else file_set

    @_patient
    def forget_job(self, claim: Claim) -> None:
        """The device is at work on that piece no more."""
        with self.database.writing() as session:
            statement = update(Piece).where(Piece.id == claim.piece_id).values(device_job="")
            session.execute(statement)

    def wants_another_blank(self, ready: BurnResult) -> None:
        """Asks for the blank that the next piece is for, where another one is in the device."""
        with self.database.writing() as session:
            found = queue.next_piece(session, self.device.name, self.media)
        if found is not None:
            medium, size = found[1].medium, found[1].predicted_size
            remedy = f"Put in a blank {medium} that holds {size / 1e6:.0f} MB."
            self.not_ready(BurnResult(BurnOutcome.HOLD_OPERATOR, ready.detail, remedy))

    @property
    def media(self) -> dict[str, int]:
        """What the device can put on one blank of each medium, in bytes."""
        return {name: self.device.capacity_of(name) for name in self.device.media}

    def _another_works(self, session: Session, request_id: int, medium: str) -> bool:
        """Whether another device can write the medium and is not known to be held up."""
        if session.get_one(MediaCreationRequest, request_id).device:
            return False  # it is to be made by this one
        return any(
            medium in device.media and devices.standing(session, device.name).works
            for device in self.settings.devices
            if device.name != self.device.name
        )

    def _tell(self, session: Session, result: BurnResult) -> None:
        if devices.standing(session, self.device.name).paused_at is None:
            info = result.execution_status_info
            devices.tell(session, self.device.name, info, result.detail, result.remedy)

    def _return(
        self,
        session: Session,
        claim: Claim,
        why: str,
        *,
        own: bool,
        not_before: datetime | None = None,
    ) -> None:
        piece = held(session, claim)
        self._move(
            session,
            claim,
            PieceEvent.RETURNED,
            why=why,
            lease_until=None,
            attempts=piece.attempts - 1,
            not_before=not_before,
            device=self.device.name if own else "",
        )

    def _move(
        self, session: Session, claim: Claim, event: PieceEvent, *, why: str, **facts: object
    ) -> Piece:
        piece = held(session, claim)
        move_piece(
            session,
            piece,
            event,
            request_id=claim.request_id,
            held_epoch=claim.lease_epoch,
            why=why,
            **facts,
        )
        return piece


def explain(session: Session, request: MediaCreationRequest, result: BurnResult) -> None:
    """Says in a request why it waits."""
    info = result.execution_status_info
    inform(session, request, info, why=result.detail, remedy=result.remedy)


def held(session: Session, claim: Claim) -> Piece:
    """The claimed piece; raises StaleLease where it is this worker's no more."""
    piece = session.get(Piece, claim.piece_id)
    if piece is None or piece.lease_epoch != claim.lease_epoch or piece.state not in HELD:
        raise StaleLease("the piece was given to another worker, or cancelled")
    return piece


def _all_created(session: Session, request_id: int) -> bool:
    """Whether every volume of every copy has a created piece."""
    states = session.scalars(
        select(Piece.state)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .where(FileSet.request_id == request_id, Piece.state.not_in(_NO_LONGER))
    ).all()
    return all(state is PieceState.CREATED for state in states)
