"""Stage: makes pieces of media on one device: claim, image, write, read back, publish."""

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.burn import Burner, BurnOutcome, BurnResult, open_burner
from burnish.db import queue
from burnish.db.history import HELD, fail, inform, move, move_piece, note
from burnish.db.queue import LEASE, Claim
from burnish.db.session import Database
from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.errors import BurnishError, OperatorError, OutOfResources, StaleLease
from burnish.lifecycle import PieceEvent, RequestEvent
from burnish.secure import ContentKeys, Sealer, protection
from burnish.settings import Device, Settings
from burnish.spool import DISK_FAILS, Spool
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState
from burnish.write import order, pipeline
from burnish.write.labels import Labels
from burnish.write.order import PieceOrder
from burnish.write.pipeline import VolumePlan

log = structlog.get_logger(__name__)

#: How long a piece is left alone after the device asked for an operator.
_HOLD = timedelta(seconds=15)
#: How long a device that is not ready is left alone, in seconds.
_NOT_READY = 2.0
#: A piece whose worker dies so often takes the worker down with it.
_DEATHS = 10
_QUEUED = select(Piece.id).where(Piece.state == PieceState.QUEUED)
_NO_LONGER = (PieceState.SPOILED, PieceState.DROPPED)


class Worker:
    """The writer of one device; there is one at a time."""

    def __init__(
        self, settings: Settings, device: Device, database: Database, spool: Spool
    ) -> None:
        self._settings = settings
        self._device = device
        self._database = database
        self._spool = spool
        self._images = settings.storage.root / "images"
        self._images.mkdir(parents=True, exist_ok=True)
        directory = device.directory or settings.storage.root / device.name
        if directory.is_relative_to(settings.storage.root):
            directory.mkdir(parents=True, exist_ok=True)
        self._burner: Burner = open_burner(device.kind, device.name, directory=directory)
        self._owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._media = {name: device.capacity_of(name) for name in device.media}
        self._labels = Labels(settings.label, device.label_form)
        self._content_keys: dict[Path, ContentKeys] = {}
        self.stopping = threading.Event()

    def run(self, poll: float = 0.05) -> None:
        """Makes pieces until told to stop. Takes over what a dead worker of this device held."""
        with self._database.writing() as session:
            queue.reap(session, device=self._device.name, owner=self._owner)
        for left in order.half_images(self._images, self._device.name):
            left.unlink(missing_ok=True)
        self._burner.tidy()
        watch = self._database.watch(_QUEUED)
        while not self.stopping.is_set():
            if watch.changed() and self._make_all():
                continue
            self.stopping.wait(poll)

    def _make_all(self) -> bool:
        """Makes pieces while there are any; whether there was one."""
        made = False
        try:
            while not self.stopping.is_set() and self.make_next():
                made = True
        except OutOfResources as error:
            log.error("waiting for the database", why=str(error))
        except StaleLease as error:
            log.info("piece given up", why=str(error))
            made = True
        return made

    def make_next(self) -> bool:
        """Makes the next piece there is for this device; whether there was one."""
        if not self._anything_queued() or not self._is_ready():
            return False
        claim = self._claim()
        if claim is None:
            return False
        made = self._read_order(claim)
        with self._heartbeat(claim) as lost:

            def progress(_bytes: int) -> None:
                if lost.is_set():
                    raise StaleLease("the piece was given to another worker, or cancelled")

            try:
                self._make(made, progress)
            except StaleLease as error:
                log.info("piece given up", piece=claim.piece_id, why=str(error))
                self._burner.discard(made.job)
                self._remove_image(claim)
            except OperatorError as error:
                hold = BurnResult(BurnOutcome.HOLD_OPERATOR, str(error), error.hint)
                self._hold(claim, hold)
            except OutOfResources as error:
                self._wait_for_disk(claim, error, BurnOutcome.NO_ROOM, "Free space on")
            except (BurnishError, OSError) as error:
                if isinstance(error, OSError) and error.errno in DISK_FAILS:
                    self._wait_for_disk(claim, error, BurnOutcome.HOLD_SERVICE, "Mend")
                    return True
                log.error("piece not made", piece=claim.piece_id, why=str(error))
                self._ruined(made, ExecutionStatusInfo.PROC_FAILURE, str(error))
            except Exception as error:
                log.exception("piece not made, by a defect", piece=claim.piece_id)
                self._ruined(made, ExecutionStatusInfo.PROC_FAILURE, type(error).__name__)
        return True

    def _claim(self) -> Claim | None:
        with self._database.writing() as session:
            claim = queue.claim(
                session, device=self._device.name, capacity=self._media, owner=self._owner
            )
            if claim is None:
                return None
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if request.execution_status is ExecutionStatus.PENDING:
                move(session, request, RequestEvent.STARTED)
        return claim

    def _anything_queued(self) -> bool:
        """A look that takes no lock, since most looks find nothing."""
        with self._database.reading() as session:
            return session.scalar(_QUEUED.limit(1)) is not None

    def _is_ready(self) -> bool:
        """Whether the device takes a job; where not, the next request says why it waits."""
        ready = self._burner.state()
        if ready.outcome is BurnOutcome.READY:
            return True
        with self._database.writing() as session:
            request_id = queue.next_request(session, self._device.name, self._media)
            if request_id is not None:
                request = session.get_one(MediaCreationRequest, request_id)
                _explain(session, request, ready)
        self.stopping.wait(_NOT_READY)
        return False

    def _read_order(self, claim: Claim) -> PieceOrder:
        with self._database.reading() as session:
            return order.read(session, claim, self._spool, self._images)

    @contextlib.contextmanager
    def _heartbeat(self, claim: Claim) -> Iterator[threading.Event]:
        """Keeps the lease while the piece is made; the event tells when it is lost."""
        done, lost = threading.Event(), threading.Event()

        def beat() -> None:
            while not done.wait(min(2.0, LEASE.total_seconds() / 4)):
                with contextlib.suppress(OutOfResources), self._database.writing() as session:
                    if not queue.heartbeat(session, claim):
                        lost.set()
                        return

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            done.set()
            thread.join()

    def _make(self, made: PieceOrder, progress: pipeline.Progress) -> None:
        if made.attempts > max(_DEATHS, self._settings.request.attempts):
            why = "its worker died again and again"
            self._ruined(made, ExecutionStatusInfo.PROC_FAILURE, why)
            return
        plan = self._plan(made)
        keys = self._image(plan, made.job.image, progress)
        made = self._labelled(made)
        self._advance(made.claim, PieceEvent.IMAGED)
        written = self._burner.write(made.job, progress)
        if written.outcome is not BurnOutcome.WRITTEN:
            self._not_written(made, written)
            return
        self._advance(made.claim, PieceEvent.WRITTEN)
        fresh = self._settings.storage.durability == "full"
        found = self._burner.written(made.job)
        report = pipeline.read_back(plan, found, keys, fresh=fresh)
        if not report.good:
            fault = report.faults[0]
            self._burner.discard(made.job)
            made.job.image.unlink(missing_ok=True)
            self._ruined(
                made,
                ExecutionStatusInfo.MCD_FAILURE,
                f"read back wrong: {fault.code} {fault.where} (of {len(report.faults)} faults)",
            )
            return
        progress(0)
        with self._database.reading() as session:
            _held(session, made.claim)
        job = replace(made.job, manifest={**made.job.manifest, "sha256": report.sha256})
        self._burner.publish(job)
        self._created(made)

    def _labelled(self, made: PieceOrder) -> PieceOrder:
        """The piece with its labels; an event tells what is wrong with them, and it goes on."""
        job, notes = self._labels.attach(made.job, made.plan, made.label)
        if notes:
            why = "; ".join(notes)
            log.warning("label", piece=made.claim.piece_id, why=why)
            with self._database.writing() as session:
                note(session, made.claim.request_id, "LABEL", why, piece_id=made.claim.piece_id)
        return replace(made, job=job)

    def _plan(self, made: PieceOrder) -> VolumePlan:
        """The volume, with what makes it secure; raises OperatorError where that is not usable."""
        if not made.secure:
            return made.plan
        given = protection.load(
            self._settings.security,
            recipients=made.recipients,
            password_file=made.password_file,
        )
        return replace(made.plan, sealer=Sealer(given))

    def _image(self, plan: VolumePlan, image: Path, progress: pipeline.Progress) -> ContentKeys:
        """Makes the image unless it is there; returns the content keys.

        These are in memory only: without them a secure image is made anew.
        """
        keys = self._content_keys.get(image)
        if keys is None or not image.is_file():
            if plan.sealer is None and image.is_file():
                return {}
            keys = self._content_keys[image] = pipeline.build(plan, image, progress)
        return keys

    def _advance(self, claim: Claim, event: PieceEvent) -> None:
        with self._database.writing() as session:
            piece = _held(session, claim)
            move_piece(
                session, piece, event, request_id=claim.request_id, held_epoch=claim.lease_epoch
            )

    def _created(self, made: PieceOrder) -> None:
        """The piece is on its medium and was read back: CREATED, and DONE with the last one."""
        claim = made.claim
        with self._database.writing() as session:
            piece = _held(session, claim)
            move_piece(
                session,
                piece,
                PieceEvent.VERIFIED,
                request_id=claim.request_id,
                held_epoch=claim.lease_epoch,
                why="read back and found right",
                created_at=datetime.now(UTC),
                lease_until=None,
            )
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if _all_created(session, claim.request_id):
                move(session, request, RequestEvent.COMPLETED)
            else:
                inform(session, request, ExecutionStatusInfo.NORMAL)
        log.info("piece created", piece=claim.piece_id, request=made.job.request_name)
        self._remove_image(claim)

    def _remove_image(self, claim: Claim) -> None:
        """The image goes when no piece needs it any more."""
        with self._database.reading() as session:
            file_set = session.get(FileSet, claim.file_set_id)
            needed = file_set is not None and any(
                piece.state not in (*_NO_LONGER, PieceState.CREATED) for piece in file_set.pieces
            )
        if file_set is not None and not needed:
            image = order.image_path(self._images, file_set, self._device.name)
            with contextlib.suppress(OSError):
                image.unlink(missing_ok=True)
                self._labels.discard(image)
            self._content_keys.pop(image, None)

    def _not_written(self, made: PieceOrder, result: BurnResult) -> None:
        if result.outcome in (BurnOutcome.RUINED, BurnOutcome.FULL, BurnOutcome.GONE):
            self._ruined(made, result.execution_status_info, result.detail)
        else:
            self._hold(made.claim, result)

    def _hold(self, claim: Claim, result: BurnResult) -> None:
        """Waits for an operator: the state of the request stays, its info says why it waits."""
        with self._database.writing() as session:
            piece = _held(session, claim)
            move_piece(
                session,
                piece,
                PieceEvent.RETURNED,
                request_id=claim.request_id,
                held_epoch=claim.lease_epoch,
                why=result.detail,
                lease_until=None,
                attempts=piece.attempts - 1,
                not_before=datetime.now(UTC) + _HOLD,
            )
            request = session.get_one(MediaCreationRequest, claim.request_id)
            _explain(session, request, result)
        log.warning("device holds", device=self._device.name, why=result.detail)

    def _wait_for_disk(
        self, claim: Claim, error: Exception, outcome: BurnOutcome, mending: str
    ) -> None:
        """The disk of the images is full or fails: the piece waits as for a device that does."""
        remedy = f"{mending} the disk of {self._images}; work then goes on by itself."
        self._hold(claim, BurnResult(outcome, f"no image can be made: {error}", remedy))

    def _ruined(self, made: PieceOrder, info: ExecutionStatusInfo, why: str) -> None:
        """The piece is spoiled; another is made while attempts allow, else the request fails."""
        claim = made.claim
        with self._database.writing() as session:
            piece = _held(session, claim)
            move_piece(
                session,
                piece,
                PieceEvent.RUINED,
                request_id=claim.request_id,
                held_epoch=claim.lease_epoch,
                why=why,
                lease_until=None,
            )
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if made.attempts >= self._settings.request.attempts:
                remedy = "look at the events of the request, then `burnish request retry`"
                fail(session, request, info, why=why, remedy=remedy)
                return
            session.add(
                Piece(
                    file_set_id=piece.file_set_id,
                    copy_number=piece.copy_number,
                    state=PieceState.QUEUED,
                    attempts=piece.attempts,
                )
            )
            note(session, request.id, "RETRY", why, piece_id=piece.id)


def _explain(session: Session, request: MediaCreationRequest, result: BurnResult) -> None:
    info = result.execution_status_info
    inform(session, request, info, why=result.detail, remedy=result.remedy)


def _held(session: Session, claim: Claim) -> Piece:
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
