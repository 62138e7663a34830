"""Stage: makes pieces of media on one device: claim, image, write, read back, publish."""

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import structlog

from burnish.burn import Burner, BurnOutcome, BurnResult, open_burner
from burnish.burn.presence import missing
from burnish.content.rendition_pool import RenditionPool
from burnish.db import devices, queue
from burnish.db.history import inform, move, note
from burnish.db.queue import LEASE, Claim
from burnish.db.session import Database
from burnish.db.tables import MediaCreationRequest
from burnish.db.wakeup import pause
from burnish.errors import (
    BurnishError,
    Conflict,
    OperatorError,
    OutOfResources,
    StaleLease,
    Unreadable,
)
from burnish.lifecycle import Custody, PieceEvent, RequestEvent
from burnish.memory import release_memory
from burnish.secure_files import Sealer, protection
from burnish.settings import DeviceSettings, Settings
from burnish.spool import DISK_FAILS, Spool
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo
from burnish.wording import quantity
from burnish.write import job, pipeline
from burnish.write.job import PieceJob
from burnish.write.labels import PieceLabels
from burnish.write.piece_state import PieceRecorder
from burnish.write.pipeline import BuiltImage, VolumePlan

log = structlog.get_logger(__name__)

#: Seconds until a device that is not ready is asked again.
_NOT_READY = 2.0
#: The outcomes of a device that is missing, or that the service may not use.
_MISSING = (BurnOutcome.HOLD_OPERATOR, BurnOutcome.HOLD_SERVICE)
#: A piece is given up after this many workers died while making it: the piece itself may be the
#: cause.
_MAXIMUM_DEATHS = 10
#: The exceptions raised when a row holds values that make no sense.
_SENSELESS = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError)
#: What the register of media says of a piece that its device compares by itself.
_VERIFIED_BY_DEVICE = (
    "the image was read and compared before it was handed over; the device compares its disc itself"
)
#: Seconds between two signs of life of a writer, at most.
_SIGN_OF_LIFE = 60.0
#: Seconds after which an idle writer looks whether its device is still there.
_LOOK_FOR_DEVICE = 5.0
#: Seconds between two extensions of the lease of the piece that is being made.
_HEARTBEAT = min(2.0, LEASE.total_seconds() / 4)


class _ServiceStops(Exception):
    """The service stops, and the device makes its piece without it."""


class Worker:
    """The writer of one device; a device has one at a time.

    `run` makes pieces one after the other: it claims a piece, builds the image of its volume, has
    the device write it, reads it back and publishes it.
    """

    def __init__(
        self, settings: Settings, device: DeviceSettings, database: Database, spool: Spool
    ) -> None:
        self._settings = settings
        self._device = device
        self._database = database
        self._spool = spool
        self._images = settings.storage.root / "images"
        self._images.mkdir(parents=True, exist_ok=True)
        self._renditions = RenditionPool(settings.storage.root / "content")
        if device.directory and device.directory.is_relative_to(settings.storage.root):
            device.directory.mkdir(parents=True, exist_ok=True)
        self.burner: Burner = open_burner(device.kind, device.name, **device.burner_options())
        self._owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.stopping = threading.Event()
        self.recorder = PieceRecorder(database, settings, device, self.stopping)
        self._labels = PieceLabels(settings.label, settings.content, device.label_form)
        self._built: dict[Path, BuiltImage] = {}
        self.database_problem = ""
        silent_after = settings.notify.silent_after.total_seconds()
        self._sign_of_life = min(_SIGN_OF_LIFE, silent_after / 4)
        self._last_sign_of_life = -self._sign_of_life
        #: How much of the present piece is imaged, or written: the next heartbeat notes it.
        self._bytes_done = 0

    @property
    def _device_goes_on_alone(self) -> bool:
        """Whether the device, once it has a job, works without the service, as a robot does."""
        return self.burner.custody is Custody.FOLLOWED

    # --- all pieces ---

    def run(self) -> None:
        """Makes pieces until told to stop; takes over what a dead worker of this device held."""
        while not self._take_over():
            pass
        for image in job.unfinished_images(self._images, self._device.name):
            image.unlink(missing_ok=True)
        self.burner.tidy()
        self._labels.load()
        work = job.pieces_with_work(self._device.name)
        every = min(_LOOK_FOR_DEVICE, self._sign_of_life)
        with self._database.wakeup(self.stopping, work, every=every) as wakeup:
            while wakeup.wait():
                self.make_all()
                if self.database_problem:
                    pause(self.stopping, _NOT_READY)

    def _give_sign_of_life(self) -> None:
        """Record, once a minute, that the writer runs; while it makes a piece, its lease tells."""
        if time.monotonic() - self._last_sign_of_life >= self._sign_of_life:
            with self._database.writing() as session:
                devices.give_sign_of_life(session, self._device.name)
            self._last_sign_of_life = time.monotonic()

    def _take_over(self) -> bool:
        """Returns the pieces of a dead worker to the queue; False if the database is away."""
        try:
            with self._database.writing() as session:
                queue.reap(session, device=self._device.name, owner=self._owner)
        except OutOfResources as error:
            self._log_database_problem(error)
            if pause(self.stopping, _NOT_READY):
                raise
            return False
        return True

    def _log_database_problem(self, error: OutOfResources) -> None:
        if not self.database_problem:
            self.database_problem = str(error)
            log.error("waiting for the database", why=self.database_problem)

    def make_all(self) -> None:
        """Makes pieces as long as there are any."""
        try:
            self._give_sign_of_life()
            self.call_off()
            while not self.stopping.is_set() and self.make_next():
                self._give_sign_of_life()
                release_memory()
            self.database_problem = ""
        except OutOfResources as error:
            self._log_database_problem(error)
        except StaleLease as error:
            log.info("piece given up", why=str(error))

    def call_off(self) -> None:
        """Tells a device that works without the service to stop on pieces that nobody needs now.

        Such a device is a robot.
        """
        if not self._device_goes_on_alone:
            return
        with self._database.reading() as session:
            claims = job.pieces_called_off(session, self._device.name)
        for claim in claims:
            piece_job = self._read_or_give_up(claim)
            if piece_job is None:
                self.recorder.clear_device_job(claim)
                continue
            with suppress(OperatorError):
                self.burner.discard(piece_job.burn_job)
                self.recorder.clear_device_job(claim)

    def make_next(self) -> bool:
        """Makes the next piece for this device; returns False if there is none."""
        claim = self._claim_next()
        if claim is None:
            return False
        self._bytes_done = 0
        piece_job = self._read_or_give_up(claim)
        if piece_job is None:
            return True
        with self._heartbeat(claim) as lease_lost:

            def progress(bytes_done: int) -> None:
                self._bytes_done = bytes_done
                if lease_lost.is_set():
                    raise StaleLease("the piece was given to another worker, or cancelled")
                if self.stopping.is_set() and self._device_goes_on_alone:
                    raise _ServiceStops

            self._make_or_give_up(piece_job, progress)
        return True

    def _make_or_give_up(self, piece_job: PieceJob, progress: pipeline.Progress) -> None:
        """Makes a piece. Every failure is recorded, so that the next piece can be made."""
        piece_id = piece_job.claim.piece_id
        try:
            self._make(piece_job, progress)
        except _ServiceStops:
            self.recorder.leave(piece_job)
        except StaleLease as error:
            log.info("piece given up", piece=piece_id, why=str(error))
            self._discard(piece_job)
            self._remove_image(piece_job.claim)
        except OperatorError as error:
            result = BurnResult(BurnOutcome.HOLD_OPERATOR, str(error), error.hint)
            self.recorder.hold(piece_job, result, reported_by_device=False)
        except OutOfResources as error:
            self._hold_for_disk(piece_job, error, BurnOutcome.NO_ROOM, "Free space on")
        except pipeline.PlanOutdated as error:
            self._replan(piece_job, str(error))
        except (BurnishError, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK_FAILS:
                self._hold_for_disk(piece_job, error, BurnOutcome.HOLD_SERVICE, "Repair")
                return
            log.error("piece not made", piece=piece_id, why=str(error))
            self._spoil(piece_job, ExecutionStatusInfo.PROC_FAILURE, str(error))
        except Exception as error:
            log.exception("piece not made, by a defect", piece=piece_id)
            self._spoil(piece_job, ExecutionStatusInfo.PROC_FAILURE, type(error).__name__)

    def _replan(self, piece_job: PieceJob, why: str) -> None:
        """Has the request planned anew; where that is not possible, the piece is spoiled."""
        piece_id = piece_job.claim.piece_id
        if self.recorder.replan(
            piece_job, f"{why} by an earlier version of Burnish or with other settings"
        ):
            log.warning("plan out of date", piece=piece_id, why=why)
            return
        log.error("piece not made", piece=piece_id, why=why)
        self._spoil(piece_job, ExecutionStatusInfo.PROC_FAILURE, why)

    # --- claiming a piece ---

    def _claim_next(self) -> Claim | None:
        """Claims the next piece that the device can make now; first what it already works on."""
        with self._database.reading() as session:
            is_due = queue.anything_due(session, self._device.name, self._device.media)
        if not is_due:
            self._look_for_device()
            return None
        if self._device_goes_on_alone:
            claim = self.claim_piece(self.recorder.capacities, at_device=True)
            if claim is not None:
                return claim
        state = self._device_state()
        if state.outcome is not BurnOutcome.READY:
            self.recorder.device_not_ready(state)
            pause(self.stopping, _NOT_READY)
            return None
        capacities = self.recorder.capacities
        if state.takes is not None:
            capacities = {
                medium: min(capacities.get(medium, 0), size) for medium, size in state.takes.items()
            }
        claim = self.claim_piece(capacities)
        if claim is None and state.takes is not None:
            self.recorder.ask_for_another_blank(state)
            pause(self.stopping, _NOT_READY)
        return claim

    def _look_for_device(self) -> None:
        """Records whether the device is there, while there is nothing to make.

        While no piece needs a blank, an empty drive or mount point is not a fault.
        """
        recorded = self.recorder.device_state()
        if recorded.paused_at is not None:
            return
        device = self._device
        if device.kind in ("optical", "mounted"):
            result = missing(device.name, directories=device.directories, drive=device.drive)
        else:
            result = self.burner.state()
        if result is not None and result.outcome in _MISSING:
            self.recorder.device_missing(result)
        elif not recorded.works and (result is None or result.outcome is BurnOutcome.READY):
            self.recorder.device_ready()

    def _device_state(self) -> BurnResult:
        """READY, paused by an administrator, or what the device reports."""
        recorded = self.recorder.device_state()
        if recorded.paused_at is not None:
            return BurnResult(BurnOutcome.HOLD_OPERATOR, recorded.detail, recorded.remedy)
        state = self.burner.state()
        if state.outcome is BurnOutcome.READY and not recorded.works:
            self.recorder.device_ready()
        return state

    def claim_piece(
        self, capacities: Mapping[str, int], *, at_device: bool = False
    ) -> Claim | None:
        """Claims a piece for media with these capacities in bytes, or one that is `at_device`."""
        with self._database.writing() as session:
            if not at_device and devices.standing(session, self._device.name).paused_at is not None:
                return None  # it was paused after its state was read
            claim = queue.claim(
                session,
                device=self._device.name,
                capacity=capacities,
                owner=self._owner,
                followed=at_device,
            )
            if claim is None:
                return None
            request = session.get_one(MediaCreationRequest, claim.request_id)
            if request.execution_status is ExecutionStatus.PENDING:
                move(session, request, RequestEvent.STARTED)
            elif not at_device:
                inform(session, request, ExecutionStatusInfo.NORMAL)
        return claim

    def read_piece_job(self, claim: Claim) -> PieceJob:
        """The job of the claimed piece; raises StaleLease if the piece is not planned any more."""
        with self._database.reading() as session:
            return job.read_piece_job(
                session, claim, self._spool, self._images, self._renditions.folder
            )

    def _read_or_give_up(self, claim: Claim) -> PieceJob | None:
        """The job of the piece, or None if its rows make no sense: its request then fails.

        Otherwise the writer would end, and end again with the same piece after each restart.
        """
        try:
            return self.read_piece_job(claim)
        except (StaleLease, OutOfResources):
            raise
        except (BurnishError, *_SENSELESS) as error:
            log.exception("piece not readable", piece=claim.piece_id, request=claim.request_id)
            with suppress(StaleLease):
                self.recorder.unreadable(claim, f"its plan cannot be read: {type(error).__name__}")
            return None

    @contextmanager
    def _heartbeat(self, claim: Claim) -> Iterator[threading.Event]:
        """Extends the lease while the piece is made; the event is set when the lease is lost.

        It also notes whether the work goes on: a thread that is stuck in a call of the system uses
        no CPU time at all.
        """
        done, lease_lost = threading.Event(), threading.Event()
        clock = time.pthread_getcpuclockid(threading.get_ident())

        def beat() -> None:
            cpu_time = time.clock_gettime(clock)
            while not done.wait(_HEARTBEAT):
                cpu_time_before, cpu_time = cpu_time, time.clock_gettime(clock)
                is_active = cpu_time > cpu_time_before
                with suppress(OutOfResources), self._database.writing() as session:
                    if not queue.heartbeat(session, claim, self._bytes_done, is_active=is_active):
                        lease_lost.set()
                        return

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield lease_lost
        finally:
            done.set()
            thread.join()

    # --- making a piece ---

    def _make(self, piece_job: PieceJob, progress: pipeline.Progress) -> None:
        """Image, labels, medium; a piece that the device already works on is only followed."""
        if piece_job.burn_job.device_job:
            self._write(self._with_labels(piece_job), progress, None)
            return
        if self._died_too_often(piece_job):
            why = "its worker died again and again"
            self.recorder.ruined(piece_job, ExecutionStatusInfo.PROC_FAILURE, why)
            return
        piece_job = replace(piece_job, plan=self._plan(piece_job))
        image = piece_job.burn_job.image
        self._restore_renditions(piece_job)
        built = self._build_image(piece_job.plan, image, progress)
        piece_job = self._with_labels(piece_job)
        if self._device_goes_on_alone or piece_job.ruined_before:
            # What such a device writes is not read back, and a piece that was ruined before may
            # have been ruined by its content. So no further blank is given to a faulty image.
            problem = self._image_problem(piece_job, built)
            if problem:
                image.unlink(missing_ok=True)
                self.recorder.ruined(piece_job, ExecutionStatusInfo.PROC_FAILURE, problem)
                return
        if self._device_goes_on_alone:
            name = f"{piece_job.burn_job.request_name}-{piece_job.claim.piece_id}"
            device_job = f"{name}-{secrets.token_hex(4)}"
            piece_job = replace(
                piece_job, burn_job=replace(piece_job.burn_job, device_job=device_job)
            )
        self._write(piece_job, progress, built)

    def _died_too_often(self, piece_job: PieceJob) -> bool:
        """Whether so many workers died while making the piece that it may be the cause."""
        allowed = self._settings.request.attempts
        if not piece_job.ruined_before:
            allowed = max(_MAXIMUM_DEATHS, allowed)
        return piece_job.attempts > allowed

    def _plan(self, piece_job: PieceJob) -> VolumePlan:
        """The volume, with a sealer if it is secure; raises OperatorError if keys are missing."""
        if not piece_job.secure:
            return piece_job.plan
        loaded = protection.load_protection(
            self._settings.security,
            recipients=piece_job.recipients,
            password_file=piece_job.password_file,
        )
        return replace(piece_job.plan, sealer=Sealer(loaded))

    def _build_image(
        self, plan: VolumePlan, image: Path, progress: pipeline.Progress
    ) -> BuiltImage:
        """Builds the image unless another copy has.

        An image of an earlier worker is built again: what every byte of it must be, and the content
        keys of a secure one, are only in memory.
        """
        built = self._built.get(image)
        if built is not None and image.is_file():
            return built
        built = pipeline.build_image(plan, image, progress)
        self._built[image] = built
        return built

    def _restore_renditions(self, piece_job: PieceJob) -> None:
        """Makes again what the volume needs of the cache and the cache has lost."""
        content = piece_job.content
        missing = content.missing(self._renditions.folder) if content else []
        if content is None or not missing:
            return
        with self._database.reading() as session:
            tasks = job.rendition_tasks(session, missing, self._spool)
        try:
            self._renditions.make(tasks, content.options)
        finally:
            self._renditions.close()
        if content.missing(self._renditions.folder):
            raise Conflict(
                "pictures of the volume are no longer those that were planned",
                hint="`burnish request retry` plans the request again",
            )

    def _with_labels(self, piece_job: PieceJob) -> PieceJob:
        """The piece with its labels; an event of the request tells what is wrong with them."""
        burn_job, notes = self._labels.attach(piece_job.burn_job, piece_job.plan, piece_job.label)
        if notes:
            claim, why = piece_job.claim, "; ".join(notes)
            log.warning("label incomplete", piece=claim.piece_id, why=why)
            with self._database.writing() as session:
                note(session, claim.request_id, "LABEL", why, piece_id=claim.piece_id)
        return replace(piece_job, burn_job=burn_job)

    def _write(
        self, piece_job: PieceJob, progress: pipeline.Progress, built: BuiltImage | None
    ) -> None:
        """Has the device write the image, reads the medium back, and publishes the piece."""
        claim, burn_job = piece_job.claim, piece_job.burn_job
        self.recorder.advance(
            claim,
            PieceEvent.IMAGED,
            custody=self.burner.custody,
            device_job=burn_job.device_job,
        )
        self._bytes_done = 0
        self.recorder.reported = None
        written = self.burner.write(
            replace(burn_job, files=lambda: pipeline.image_files(burn_job.image)),
            progress,
            lambda result: self.recorder.report(piece_job, result),
        )
        if written.outcome is not BurnOutcome.WRITTEN:
            self._not_written(piece_job, written)
            return
        self.recorder.advance(claim, PieceEvent.WRITTEN)
        self._bytes_done = 0
        verified = _VERIFIED_BY_DEVICE
        if built is not None and not self._device_goes_on_alone:
            digests, problem = self._read_back(piece_job, self.burner.written(burn_job), built)
            verified = _what_was_read(digests)
            if problem:
                info = ExecutionStatusInfo.MCD_FAILURE
                image_problem = self._image_problem(piece_job, built)
                if image_problem:  # then the device is not at fault: it wrote what it was given
                    info, problem = ExecutionStatusInfo.PROC_FAILURE, image_problem
                burn_job.image.unlink(missing_ok=True)
                self._spoil(piece_job, info, problem)
                return
            burn_job = replace(burn_job, manifest={**burn_job.manifest, **digests})
        progress(0)
        self.recorder.check_claim(claim)
        self.burner.publish(burn_job)
        self.recorder.created(piece_job, verified)
        self._remove_image(claim)

    def _read_back(
        self, piece_job: PieceJob, written: Path, built: BuiltImage
    ) -> tuple[dict[str, object], str]:
        """The digests for the manifest, and the problem with what was written, "" for none."""
        fresh = self._settings.storage.durability == "full"
        try:
            report = pipeline.read_back(piece_job.plan, written, built, fresh=fresh)
        except Unreadable as error:
            return {}, f"it cannot be read back: {error}"
        if report.good:
            return pipeline.manifest_digests(report), ""
        first = report.faults[0]
        count = quantity(len(report.faults), "fault")
        return {}, f"read back with {count}, the first: {first.code} {first.where}"

    def _image_problem(self, piece_job: PieceJob, built: BuiltImage) -> str:
        """The problem with the image itself, whatever device writes it; "" if there is none."""
        image = piece_job.burn_job.image
        try:
            _, problem = self._read_back(piece_job, image, built)
        except OSError as error:
            problem = f"it cannot be read back: {error.strerror}"
        return f"the image is faulty: {problem}" if problem else ""

    # --- a piece that cannot be made ---

    def _not_written(self, piece_job: PieceJob, result: BurnResult) -> None:
        if result.meaning.execution_status is None:
            self.recorder.hold(piece_job, result)
        else:
            self._spoil(piece_job, result.execution_status_info, result.detail)

    def _hold_for_disk(
        self, piece_job: PieceJob, error: Exception, outcome: BurnOutcome, repair: str
    ) -> None:
        """The disk of the images is full or fails: the piece waits as for a device."""
        remedy = f"{repair} the disk of {self._images}; work then goes on by itself."
        result = BurnResult(outcome, f"no image can be made: {error}", remedy)
        self.recorder.hold(piece_job, result, reported_by_device=False)

    def _spoil(self, piece_job: PieceJob, info: ExecutionStatusInfo, why: str) -> None:
        """The device gets rid of the piece, and it is recorded as ruined."""
        self._discard(piece_job)
        self.recorder.ruined(piece_job, info, why)

    def _discard(self, piece_job: PieceJob) -> None:
        with suppress(OperatorError):
            self.burner.discard(piece_job.burn_job)

    def _remove_image(self, claim: Claim) -> None:
        """Removes the image and its labels once no piece needs them any more."""
        file_set = self.recorder.file_set_without_work(claim)
        if file_set is not None:
            image = job.image_path(self._images, file_set, self._device.name)
            with suppress(OSError):
                image.unlink(missing_ok=True)
                self._labels.discard(image)
            self._built.pop(image, None)


def _what_was_read(digests: Mapping[str, object]) -> str:
    """The words of the register of media for a piece whose medium was read back."""
    files = digests.get("files")
    count = quantity(len(files), "file") if isinstance(files, Mapping) else "all files"
    text = f"the medium was read back: {count} compared byte for byte"
    sha256 = digests.get("sha256")
    return f"{text}, SHA-256 of the image {sha256}" if sha256 else text
