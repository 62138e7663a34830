"""Craft: what robots have in common that take jobs as files put into a folder.

A job is prepared elsewhere and moved into the folder in one step; from then on the robot goes on
by itself, and says how far it is by renaming the file and in status files.
"""

import configparser
import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from time import monotonic, time

from burnish.burn.burner import (
    IMAGE_GONE,
    BurnJob,
    BurnOutcome,
    BurnResult,
    Tell,
    of_error,
    operator_error,
)
from burnish.errors import Unknown
from burnish.lifecycle import Custody

#: A robot whose status does not change for so long is not running, in seconds.
SILENCE = 90.0
#: A job that is nowhere to be found at so many looks is forgotten.
_MISSED = 3
#: Marks of jobs that are done are kept for so long, in seconds, and what a robot may still read
#: of one that was called off.
_KEPT = 7 * 86400
_LET_GO = 3600
#: What renaming a file says that the robot has renamed already, or is just reading.
_TAKEN = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY}
Facts = Mapping[str, Mapping[str, str]]


class HotFolderBurner:
    """A robot. `directory` is its folder of jobs.

    In `exchange` lie, per job, what is to be burnt and the label; it is on the file system of
    `directory`. `seen_as` is how the robot's computer calls it: a path, or \\\\server\\share. The
    job has the name `device_job`, which the caller has stored before: what was sent under it is
    followed, and never sent twice. The robot compares each disc with what it was given.
    """

    custody = Custody.FOLLOWED
    #: Suffixes of a job's file: to be taken, and all that the robot gives it.
    suffix: str
    later: tuple[str, ...]
    cancel_suffix: str
    #: Whether a job's file may be taken out of the folder again before the robot has taken it.
    withdraws = True

    def __init__(
        self, name: str, *, directory: Path, exchange: Path, seen_as: str = "", poll: float = 2.0
    ) -> None:
        self.name = name
        self._directory, self._exchange = directory, exchange
        self._seen_as = seen_as or str(exchange)
        self._poll = poll
        self._pause = threading.Event()
        self._token, self._changed_at = "", monotonic()

    def state(self) -> BurnResult:
        for folder in (self._directory, self._exchange):
            if not folder.is_dir():
                remedy = f"Make {folder} reachable; work then goes on by itself."
                return self._result(BurnOutcome.HOLD_SERVICE, f"there is no {folder}", remedy)
        return self._standing() or BurnResult(BurnOutcome.READY)

    def write(
        self,
        job: BurnJob,
        progress: Callable[[int], None] | None = None,
        tell: Tell | None = None,
    ) -> BurnResult:
        job.checked_name()
        try:
            if not self._done(job).exists():
                if not (self._was_sent(job) or self._is_known(job)):
                    if not job.image.exists():
                        return IMAGE_GONE
                    self._send(job, progress)
                ended = self._follow(job, progress, tell)
                if ended.outcome is not BurnOutcome.WRITTEN:
                    return ended
                self._done(job).touch()
        except OSError as error:
            return of_error(self.name, self._directory, error)
        if progress:
            progress(self._size(job))
        return BurnResult(BurnOutcome.WRITTEN, f"made by {self.name}, which compared it")

    def written(self, job: BurnJob) -> Path:
        if not (job.device_job and self._done(job).exists()):
            raise Unknown(f"{job.stem} of {job.request_name} has not been written")
        return self._given(job)

    def publish(self, job: BurnJob) -> Path:
        self.written(job)
        shutil.rmtree(self._given(job), ignore_errors=True)
        return self._directory

    def tidy(self) -> None:
        """What is under way goes on; of what was done or called off long ago, the rest goes."""
        for mark in self._exchange.glob("*.*"):
            kept = {".done": _KEPT, ".off": _LET_GO}.get(mark.suffix)
            with contextlib.suppress(OSError):
                if kept is not None and time() - mark.stat().st_mtime > kept:
                    if mark.suffix == ".off":
                        shutil.rmtree(mark.with_suffix(""), ignore_errors=True)
                    mark.unlink()

    def discard(self, job: BurnJob) -> None:
        """Takes the job back, or where the robot has it, has the robot give it up.

        What it has of such a job it may be reading: that is removed later.
        """
        if not job.device_job:
            return
        try:
            if not self._withdrawn(job) and self._is_known(job) and self._ended(job) is None:
                self._move_in(job, self.cancel_suffix, self._cancel_text(job))
                self._off(job).touch()
                return
            for path in (self._new(job), self._done(job)):
                path.unlink(missing_ok=True)
            shutil.rmtree(self._given(job), ignore_errors=True)
            self._off(job).unlink(missing_ok=True)
        except OSError as error:
            raise operator_error(self.name, self._directory, error) from error

    # --- what each robot says ---------------------------------------------------------------------

    def _standing(self) -> BurnResult | None:
        """What holds the robot up; None where nothing does."""
        raise NotImplementedError

    def _ended(self, job: BurnJob) -> BurnResult | None:
        """How the job ended, WRITTEN or RUINED; None while the robot has it."""
        raise NotImplementedError

    def _waits(self, job: BurnJob) -> BurnResult | None:
        """What the job itself waits for; None where it does not."""
        raise NotImplementedError

    def _prepare(self, job: BurnJob, progress: Callable[[int], None] | None) -> list[str]:
        """Puts what is to be burnt into the folder of the job; the lines of the job's file."""
        raise NotImplementedError

    def _cancel_text(self, job: BurnJob) -> str:
        raise NotImplementedError

    def _knows(self, job: BurnJob) -> bool:
        """Whether the robot's status names the job."""
        raise NotImplementedError

    # --- the folder -------------------------------------------------------------------------------

    def _send(self, job: BurnJob, progress: Callable[[int], None] | None) -> None:
        """Hands the job over; the file `.new` is there just as long as that has not been done."""
        self.tidy()
        self._new(job).touch()
        shutil.rmtree(self._given(job), ignore_errors=True)
        self._given(job).mkdir()
        lines = self._prepare(job, progress)
        self._move_in(job, self.suffix, "\r\n".join([*lines, ""]))

    def _withdrawn(self, job: BurnJob) -> bool:
        """Takes the job's file out of the folder; False where the robot has taken it, or has it.

        Both rename it, so that only one of them can; after this it is as before it was sent.
        """
        if not self.withdraws:
            return False
        try:
            (self._directory / f"{job.device_job}{self.suffix}").rename(self._new(job))
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        return True

    def _was_sent(self, job: BurnJob) -> bool:
        return self._given(job).exists() and not self._new(job).exists()

    def _move_in(self, job: BurnJob, suffix: str, text: str) -> None:
        """A file of the job in the robot's folder, whole at once."""
        new = self._new(job)
        with new.open("w", encoding="cp1252", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._directory / f"{job.device_job}{suffix}")

    def _follow(
        self, job: BurnJob, progress: Callable[[int], None] | None, tell: Tell | None
    ) -> BurnResult:
        sent, missed = self._size(job), 0
        while missed < _MISSED:
            ended = self._ended(job)
            if ended is not None:
                return ended
            missed = 0 if self._is_known(job) else missed + 1
            if tell:
                tell(self._standing() or self._waits(job) or BurnResult(BurnOutcome.READY))
            if progress:
                progress(sent)
            self._pause.wait(self._poll)
        return self._result(
            BurnOutcome.RUINED,
            f"it no longer knows the job {job.device_job}",
            "Look for a disc of this job and throw it away.",
        )

    def _is_known(self, job: BurnJob) -> bool:
        return self._suffix_of(job) is not None or self._knows(job)

    def _suffix_of(self, job: BurnJob) -> str | None:
        """Under which suffix the job's file lies in the robot's folder, in capitals."""
        for suffix in (self.suffix, *self.later):  # in the order in which the robot renames it
            for spelled in (suffix, suffix.lower()):
                if (self._directory / f"{job.device_job}{spelled}").exists():
                    return suffix
        return None

    def _lives(self, token: str) -> BurnResult | None:
        """HOLD_SERVICE where what the robot says has not changed for long."""
        if token != self._token:
            self._token, self._changed_at = token, monotonic()
        if monotonic() - self._changed_at < SILENCE:
            return None
        remedy = "See that the robot's computer is on and its software runs."
        return self._result(BurnOutcome.HOLD_SERVICE, "it does not answer", remedy)

    def _result(self, outcome: BurnOutcome, detail: str, remedy: str) -> BurnResult:
        return BurnResult(outcome, f"device {self.name}: {detail}", remedy)

    def _given(self, job: BurnJob) -> Path:
        """The folder with what the robot was given."""
        return self._exchange / job.device_job

    def _new(self, job: BurnJob) -> Path:
        return self._exchange / f"{job.device_job}.new"

    def _done(self, job: BurnJob) -> Path:
        return self._exchange / f"{job.device_job}.done"

    def _off(self, job: BurnJob) -> Path:
        return self._exchange / f"{job.device_job}.off"

    def _size(self, job: BurnJob) -> int:
        return job.image.stat().st_size if job.image.exists() else 0

    def _seen(self, job: BurnJob, *names: str) -> str:
        """A path in the folder of the job as the robot's computer has it."""
        if "\\" in self._seen_as:
            return str(PureWindowsPath(self._seen_as, job.device_job, *names))
        return str(Path(self._seen_as, job.device_job, *names))


def read_ini(path: Path) -> Facts:
    """A status file; empty where there is none, or where it is just being written."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(encoding="cp1252", errors="replace"))
    except (OSError, configparser.Error):
        return {}
    return {name: {key: value or "" for key, value in parser[name].items()} for name in parser}


def number(facts: Mapping[str, str], key: str) -> int:
    """A number of a status file; 0 where it is not there."""
    try:
        return int(facts.get(key, "0").strip() or 0)
    except ValueError:
        return 0
