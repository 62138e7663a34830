"""Stage: makes pieces of media on one device: claim, image, write, read back, publish."""

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from burnish.burn import Burner, BurnOutcome, BurnResult, open_burner
from burnish.db import devices, queue
from burnish.db.history import inform, move, note
from burnish.db.queue import LEASE, Claim
from burnish.db.session import Database
from burnish.db.tables import MediaCreationRequest
from burnish.db.wakeup import pause
from burnish.errors import BurnishError, OperatorError, OutOfResources, StaleLease, Unreadable
from burnish.image.image_digest import ImageHashing
from burnish.lifecycle import Custody, PieceEvent, RequestEvent
from burnish.memory import release_memory
from burnish.secure_files import Sealer, protection
from burnish.settings import DeviceSettings, Settings
from burnish.spool import DISK_FAILS, Spool
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo
from burnish.write import job, pipeline
from burnish.write.job import PieceJob
from burnish.write.labels import Labels
from burnish.write.piece_state import PieceRecorder
from burnish.write.pipeline import BuiltImage, VolumePlan

log = structlog.get_logger(__name__)

#: How long a device that is not ready is left alone, in seconds.
_NOT_READY = 2.0
#: A piece whose worker dies so often takes the worker down with it.
_DEATHS = 10


class _Leaving(Exception):
    """The service stops while a device goes on by itself."""


class Worker:
    """The writer of one device; there is one at a time."""

    def __init__(
        self, settings: Settings, device: DeviceSettings, database: Database, spool: Spool
    ) -> None:
        self._settings = settings
        self._device = device
        self._database = database
        self._spool = spool
        self._images = settings.storage.root / "images"
        self._images.mkdir(parents=True, exist_ok=True)
        if device.directory and device.directory.is_relative_to(settings.storage.root):
            device.directory.mkdir(parents=True, exist_ok=True)
        self._burner: Burner = open_burner(device.kind, device.name, **device.burner_options())
        self._owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.stopping = threading.Event()
        self._ledger = PieceRecorder(database, settings, device, self.stopping)
        self._labels = Labels(settings.label, device.label_form)
        self._built: dict[Path, BuiltImage] = {}
        self._waits = ""

    def run(self) -> None:
        """Make pieces until told to stop. Takes over what a dead worker of this device held."""
        while not self._take_over():
            pass
        for left in job.unfinished_images(self._images, self._device.name):
            left.unlink(missing_ok=True)
        self._burner.tidy()
        self._labels.load()
        with self._database.wakeup(self.stopping) as wakeup:
            while wakeup.wait():
                self.make_all()
                if self._waits:
                    pause(self.stopping, _NOT_READY)

    def _take_over(self) -> bool:
        """Gives back what a dead worker of this device held, as soon as the database answers."""
        try:
            with self._database.writing() as session:
                queue.reap(session, device=self._device.name, owner=self._owner)
        except OutOfResources as error:
            self._wait_for_database(error)
            if pause(self.stopping, _NOT_READY):
                raise
            return False
        return True

    def _wait_for_database(self, error: OutOfResources) -> None:
        """Says once what is waited for."""
        if not self._waits:
            self._waits = str(error)
            log.error("waiting for the database", why=self._waits)

    def make_all(self) -> None:
        """Make pieces as long as there are any."""
        try:
            self.call_off()
            while not self.stopping.is_set() and self.make_next():
                release_memory()
            self._waits = ""
        except OutOfResources as error:
            self._wait_for_database(error)
        except StaleLease as error:
            log.info("piece given up", why=str(error))

    def call_off(self) -> None:
        """Has a device that goes on by itself give up what is not wanted any more."""
        if self._burner.custody is not Custody.FOLLOWED:
            return
        with self._database.reading() as session:
            unwanted = [
                job.read_piece_job(session, claim, self._spool, self._images)
                for claim in job.pieces_called_off(session, self._device.name)
            ]
        for made in unwanted:
            with contextlib.suppress(OperatorError):
                self._burner.discard(made.job)
                self._ledger.forget_job(made.claim)

    def make_next(self) -> bool:
        """Makes the next piece there is for this device; whether there was one."""
        claim = self._claim_next()
        if claim is None:
            return False
        made = self._read_order(claim)
        with self._heartbeat(claim) as lost:

            def progress(_bytes: int) -> None:
                if lost.is_set():
                    raise StaleLease("the piece was given to another worker, or cancelled")
                if self.stopping.is_set() and self._burner.custody is Custody.FOLLOWED:
                    raise _Leaving

            try:
                self._make(made, progress)
            except _Leaving:
                self._ledger.leave(made)
            except StaleLease as error:
                log.info("piece given up", piece=claim.piece_id, why=str(error))
                self._discard(made)
                self._remove_image(claim)
            except OperatorError as error:
                hold = BurnResult(BurnOutcome.HOLD_OPERATOR, str(error), error.hint)
                self._ledger.hold(made, hold, by_device=False)
            except OutOfResources as error:
                self._wait_for_disk(made, error, BurnOutcome.NO_ROOM, "Free space on")
            except (BurnishError, OSError) as error:
                if isinstance(error, OSError) and error.errno in DISK_FAILS:
                    self._wait_for_disk(made, error, BurnOutcome.HOLD_SERVICE, "Mend")
                    return True
                log.error("piece not made", piece=claim.piece_id, why=str(error))
                self._give_up(made, ExecutionStatusInfo.PROC_FAILURE, str(error))
            except Exception as error:
                log.exception("piece not made, by a defect", piece=claim.piece_id)
                self._give_up(made, ExecutionStatusInfo.PROC_FAILURE, type(error).__name__)
        return True

    def _claim_next(self) -> Claim | None:
        """The next piece that the device can make now: first what it already works on."""
        with self._database.reading() as session:
            if not queue.anything_due(session, self._device.name, self._device.media):
                return None
        if self._burner.custody is Custody.FOLLOWED:
            claim = self._claim(self._ledger.media, followed=True)
            if claim is not None:
                return claim
        ready = self._state()
        if ready.outcome is not BurnOutcome.READY:
            self._ledger.not_ready(ready)
            pause(self.stopping, _NOT_READY)
            return None
        takes = self._ledger.media
        if ready.takes is not None:
            takes = {name: min(takes.get(name, 0), size) for name, size in ready.takes.items()}
        claim = self._claim(takes)
        if claim is None and ready.takes is not None:
            self._ledger.wants_another_blank(ready)
            pause(self.stopping, _NOT_READY)
        return claim

    def _state(self) -> BurnResult:
        """How the device stands: READY, paused by somebody, or what it says itself."""
        standing = self._ledger.standing()
        if standing.paused_at is not None:
            return BurnResult(BurnOutcome.HOLD_OPERATOR, standing.detail, standing.remedy)
        ready = self._burner.state()
        if ready.outcome is BurnOutcome.READY and not standing.works:
            self._ledger.ready()
        return ready

    def _claim(self, takes: Mapping[str, int], *, followed: bool = False) -> Claim | None:
        with self._database.writing() as session:
            if not followed and devices.standing(session, self._device.name).paused_at is not None:
                return None  # since it was asked how it stands
            claim = queue.claim(
                session,
                device=self._device.name,
                capacity=takes,
                owner=self._owner,
                followed=followed,
            )
            if claim is None:
                return None
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if request.execution_status is ExecutionStatus.PENDING:
                move(session, request, RequestEvent.STARTED)
            elif not followed:
                inform(session, request, ExecutionStatusInfo.NORMAL)
        return claim

    def _read_order(self, claim: Claim) -> PieceJob:
        with self._database.reading() as session:
            return job.read_piece_job(session, claim, self._spool, self._images)

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

    def _make(self, made: PieceJob, progress: pipeline.Progress) -> None:
        if made.job.device_job:
            self._write(self._labelled(made), progress, None)
            return
        allowed = self._settings.request.attempts
        if made.attempts > (allowed if made.ruined else max(_DEATHS, allowed)):
            why = "its worker died again and again"
            self._ledger.ruined(made, ExecutionStatusInfo.PROC_FAILURE, why)
            return
        plan = self._plan(made)
        image = self._image(plan, made.job.image, progress)
        made = self._labelled(replace(made, plan=plan))
        if self._burner.custody is Custody.FOLLOWED:
            _, wrong = self._read_back(made, made.job.image, image)
            if wrong:
                made.job.image.unlink(missing_ok=True)
                self._ledger.ruined(made, ExecutionStatusInfo.PROC_FAILURE, wrong)
                return
            name = f"{made.job.request_name}-{made.claim.piece_id}-{secrets.token_hex(4)}"
            made = replace(made, job=replace(made.job, device_job=name))
        self._write(made, progress, image)

    def _write(self, made: PieceJob, progress: pipeline.Progress, image: BuiltImage | None) -> None:
        """Onto the medium, and read back; what the device did by itself it has read back too."""
        job, custody = made.job, self._burner.custody
        self._ledger.advance(
            made.claim, PieceEvent.IMAGED, custody=custody, device_job=job.device_job
        )
        self._ledger.told = None
        written = self._burner.write(
            replace(job, files=lambda: pipeline.image_files(job.image)),
            progress,
            lambda result: self._ledger.tell(made, result),
        )
        if written.outcome is not BurnOutcome.WRITTEN:
            self._not_written(made, written)
            return
        self._ledger.advance(made.claim, PieceEvent.WRITTEN)
        if custody is not Custody.FOLLOWED:
            sha256, wrong = self._read_back(made, self._burner.written(job), image)
            if wrong:
                job.image.unlink(missing_ok=True)
                self._give_up(made, ExecutionStatusInfo.MCD_FAILURE, wrong)
                return
            job = replace(job, manifest={**job.manifest, "sha256": sha256})
        progress(0)
        self._ledger.check(made.claim)
        self._burner.publish(job)
        self._ledger.created(made)
        self._remove_image(made.claim)

    def _read_back(
        self, made: PieceJob, written: Path, image: BuiltImage | None
    ) -> tuple[str, str]:
        """The SHA-256 of the image, and what is wrong with what was written, if anything is."""
        fresh = self._settings.storage.durability == "full"
        try:
            report = pipeline.read_back(made.plan, written, image, fresh=fresh)
        except Unreadable as error:
            return "", f"it cannot be read back: {error}"
        if report.good:
            return report.sha256, ""
        fault = report.faults[0]
        wrong = f"read back wrong: {fault.code} {fault.where} (of {len(report.faults)} faults)"
        return "", wrong

    def _labelled(self, made: PieceJob) -> PieceJob:
        """The piece with its labels; an event tells what is wrong with them, and it goes on."""
        job, notes = self._labels.attach(made.job, made.plan, made.label)
        if notes:
            why = "; ".join(notes)
            log.warning("label", piece=made.claim.piece_id, why=why)
            with self._database.writing() as session:
                note(session, made.claim.request_id, "LABEL", why, piece_id=made.claim.piece_id)
        return replace(made, job=job)

    def _plan(self, made: PieceJob) -> VolumePlan:
        """The volume, with what makes it secure; raises OperatorError where that is not usable."""
        if not made.secure:
            return made.plan
        given = protection.load_protection(
            self._settings.security,
            recipients=made.recipients,
            password_file=made.password_file,
        )
        return replace(made.plan, sealer=Sealer(given))

    def _image(
        self, plan: VolumePlan, image: Path, progress: pipeline.Progress
    ) -> BuiltImage | None:
        """Makes the image unless it is there.

        Content keys are in memory only: without them a secure image is made anew.
        """
        made = self._built.get(image)
        if made is None or not image.is_file():
            if plan.sealer is None and image.is_file():
                return None
            made = self._built[image] = pipeline.build_image(plan, image, progress, ImageHashing())
        return made

    def _not_written(self, made: PieceJob, result: BurnResult) -> None:
        if result.meaning.execution_status is None:
            self._ledger.hold(made, result)
        else:
            self._give_up(made, result.execution_status_info, result.detail)

    def _wait_for_disk(
        self, made: PieceJob, error: Exception, outcome: BurnOutcome, mending: str
    ) -> None:
        """The disk of the images is full or fails: the piece waits as for a device that does."""
        remedy = f"{mending} the disk of {self._images}; work then goes on by itself."
        result = BurnResult(outcome, f"no image can be made: {error}", remedy)
        self._ledger.hold(made, result, by_device=False)

    def _give_up(self, made: PieceJob, info: ExecutionStatusInfo, why: str) -> None:
        """The piece is spoiled, and the device gets rid of it."""
        self._discard(made)
        self._ledger.ruined(made, info, why)

    def _discard(self, made: PieceJob) -> None:
        with contextlib.suppress(OperatorError):
            self._burner.discard(made.job)

    def _remove_image(self, claim: Claim) -> None:
        """The image goes when no piece needs it any more."""
        file_set = self._ledger.done_with(claim)
        if file_set is not None:
            image = job.image_path(self._images, file_set, self._device.name)
            with contextlib.suppress(OSError):
                image.unlink(missing_ok=True)
                self._labels.discard(image)
            self._built.pop(image, None)
