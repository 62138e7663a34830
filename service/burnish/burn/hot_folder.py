"""Craft: what the robots have in common that take jobs from a hot folder.

A job is prepared in another folder, and its file is then moved into the hot folder in one step.
From then on the robot works on its own. It reports by renaming the file, and in status files.
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
    error_result,
    operator_error,
)
from burnish.durable_files import sync
from burnish.errors import Unknown
from burnish.lifecycle import Custody

#: Seconds after which a robot whose status does not change counts as not running.
SILENCE = 90.0
#: A job that cannot be found this many times in a row counts as lost.
_LOST_AFTER = 3
#: Seconds for which the mark of a finished job is kept.
_KEEP_FINISHED = 7 * 86400
#: Seconds for which the files of a cancelled job are kept, which the robot may still read.
_KEEP_CANCELLED = 3600
#: Errors of renaming a file that the robot has already renamed, or is reading.
_TAKEN = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY}
#: What the system says of a network share whose folders cannot be synced.
_CANNOT_SYNC = {errno.EINVAL, errno.EOPNOTSUPP}
#: A status file: its sections, and the values of each by key.
StatusFile = Mapping[str, Mapping[str, str]]


class HotFolderBurner:
    """A robot.

    directory: its hot folder.
    exchange: holds, for every job, what is to be burnt and the label. It is on the file system of
        `directory`.
    seen_as: the path of `exchange` on the robot's computer, as \\\\server\\share.
    poll: seconds between two looks at a job.

    A job has the name `device_job`, which the caller has stored before. A job that was sent under
    this name is followed, and never sent twice. The robot compares each disc with what it was
    given.
    """

    custody = Custody.FOLLOWED
    #: The suffix of a job's file when it is sent.
    suffix: str
    #: The suffixes that the robot then gives it, in this order.
    later: tuple[str, ...]
    cancel_suffix: str
    #: Whether a job's file may be removed from the folder before the robot has taken it.
    withdraws = True

    def __init__(
        self, name: str, *, directory: Path, exchange: Path, seen_as: str = "", poll: float = 2.0
    ) -> None:
        self.name = name
        self._directory, self._exchange = directory, exchange
        self._seen_as = seen_as or str(exchange)
        self._poll = poll
        self._pause = threading.Event()
        self._last_status, self._changed_at = "", monotonic()

    def state(self) -> BurnResult:
        for folder in (self._directory, self._exchange):
            if not folder.is_dir():
                remedy = f"Make {folder} reachable. Work then continues by itself."
                problem = "is not a folder" if folder.exists() else "does not exist"
                return self._result(BurnOutcome.HOLD_SERVICE, f"{folder} {problem}", remedy)
        return self._robot_problem() or BurnResult(BurnOutcome.READY)

    def write(
        self,
        job: BurnJob,
        progress: Callable[[int], None] | None = None,
        tell: Tell | None = None,
    ) -> BurnResult:
        job.checked_name()
        try:
            if not self._finished_mark(job).exists():
                if not (self._was_sent(job) or self._is_known(job)):
                    if not job.image.exists():
                        return IMAGE_GONE
                    self._send(job, progress)
                result = self._follow(job, progress, tell)
                if result.outcome is not BurnOutcome.WRITTEN:
                    return result
                self._finished_mark(job).touch()
        except OSError as error:
            return error_result(self.name, self._directory, error)
        if progress:
            progress(self._size(job))
        return BurnResult(BurnOutcome.WRITTEN, f"made and compared by {self.name}")

    def written(self, job: BurnJob) -> Path:
        if not (job.device_job and self._finished_mark(job).exists()):
            raise Unknown(f"{job.stem} of {job.request_name} has not been written")
        return self._job_folder(job)

    def publish(self, job: BurnJob) -> Path:
        self.written(job)
        shutil.rmtree(self._job_folder(job), ignore_errors=True)
        return self._directory

    def tidy(self) -> None:
        """Removes old marks, and the files of jobs cancelled long ago. Jobs under way continue."""
        seconds = {".done": _KEEP_FINISHED, ".off": _KEEP_CANCELLED}
        for mark in self._exchange.glob("*.*"):
            keep = seconds.get(mark.suffix)
            with contextlib.suppress(OSError):
                if keep is not None and time() - mark.stat().st_mtime > keep:
                    if mark.suffix == ".off":
                        shutil.rmtree(mark.with_suffix(""), ignore_errors=True)
                    mark.unlink()

    def discard(self, job: BurnJob) -> None:
        """Withdraws the job, or cancels it if the robot has taken it.

        The robot may still be reading the files of a cancelled job, so they are removed later.
        """
        if not job.device_job:
            return
        try:
            if not self._withdraw(job) and self._is_known(job) and self._final_result(job) is None:
                self._move_in(job, self.cancel_suffix, self._cancel_text(job))
                self._cancelled_mark(job).touch()
                return
            for path in (self._unsent_file(job), self._finished_mark(job)):
                path.unlink(missing_ok=True)
            shutil.rmtree(self._job_folder(job), ignore_errors=True)
            self._cancelled_mark(job).unlink(missing_ok=True)
        except OSError as error:
            raise operator_error(self.name, self._directory, error) from error

    # --- what differs between robots --------------------------------------------------------------

    def _robot_problem(self) -> BurnResult | None:
        """The result that tells why the robot cannot work, or None if it can."""
        raise NotImplementedError

    def _final_result(self, job: BurnJob) -> BurnResult | None:
        """How the job ended, WRITTEN, RUINED or REJECTED; None while the robot has it."""
        raise NotImplementedError

    def _job_problem(self, job: BurnJob) -> BurnResult | None:
        """The result that tells why the job waits, or None if it does not."""
        raise NotImplementedError

    def _prepare(self, job: BurnJob, progress: Callable[[int], None] | None) -> list[str]:
        """Fills the folder of the job; returns the lines of the job's file."""
        raise NotImplementedError

    def _cancel_text(self, job: BurnJob) -> str:
        """The content of the file that cancels the job."""
        raise NotImplementedError

    def _status_names(self, job: BurnJob) -> bool:
        """Whether the robot's status names the job."""
        raise NotImplementedError

    # --- the folders ------------------------------------------------------------------------------

    def _send(self, job: BurnJob, progress: Callable[[int], None] | None) -> None:
        """Sends the job. The file `.new` exists until the job has been sent."""
        self.tidy()
        self._unsent_file(job).touch()
        shutil.rmtree(self._job_folder(job), ignore_errors=True)
        self._job_folder(job).mkdir()
        lines = self._prepare(job, progress)
        self._sync_folders(job)
        self._move_in(job, self.suffix, "\r\n".join([*lines, ""]))

    def _sync_folders(self, job: BurnJob) -> None:
        """Makes the names of the job's files durable: a robot would burn what is left of them."""
        folder = self._job_folder(job)
        for path in (*folder.rglob("*"), folder, self._exchange):
            if path.is_dir():
                _sync_folder(path)

    def _withdraw(self, job: BurnJob) -> bool:
        """Removes the job's file from the folder; False if the robot has taken it.

        Service and robot both rename the file, so only one of them can succeed. A job that has been
        withdrawn is as one that was never sent.
        """
        if not self.withdraws:
            return False
        try:
            (self._directory / f"{job.device_job}{self.suffix}").rename(self._unsent_file(job))
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        return True

    def _was_sent(self, job: BurnJob) -> bool:
        return self._job_folder(job).exists() and not self._unsent_file(job).exists()

    def _move_in(self, job: BurnJob, suffix: str, text: str) -> None:
        """Puts a file of the job into the robot's folder in one step."""
        unsent = self._unsent_file(job)
        with unsent.open("w", encoding="cp1252", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        unsent.replace(self._directory / f"{job.device_job}{suffix}")

    def _follow(
        self, job: BurnJob, progress: Callable[[int], None] | None, tell: Tell | None
    ) -> BurnResult:
        size = self._size(job)
        times_missing = times_ruined = 0
        while times_missing < _LOST_AFTER:
            result = self._final_result(job)
            if result is not None:
                # robots rename the job's file before their status tells why
                if result.outcome is not BurnOutcome.RUINED or times_ruined == _LOST_AFTER:
                    return result
                times_ruined += 1
            times_missing = 0 if self._is_known(job) else times_missing + 1
            if tell:
                problem = self._robot_problem() or self._job_problem(job)
                tell(problem or BurnResult(BurnOutcome.READY))
            if progress:
                progress(size)
            self._pause.wait(self._poll)
        return self._result(
            BurnOutcome.RUINED,
            f"the robot no longer knows the job {job.device_job}",
            "If there is a disc of this job, throw it away.",
        )

    def _is_known(self, job: BurnJob) -> bool:
        return self._suffix_of(job) is not None or self._status_names(job)

    def _suffix_of(self, job: BurnJob) -> str | None:
        """The suffix that the job's file has in the robot's folder, in capitals."""
        for suffix in (self.suffix, *self.later):  # in the order in which the robot renames it
            for spelling in (suffix, suffix.lower()):
                if (self._directory / f"{job.device_job}{spelling}").exists():
                    return suffix
        return None

    def _silence(self, status: str) -> BurnResult | None:
        """HOLD_SERVICE if the status has not changed for too long."""
        if status != self._last_status:
            self._last_status, self._changed_at = status, monotonic()
        if monotonic() - self._changed_at < SILENCE:
            return None
        remedy = "Make sure that the robot's computer is on and its software is running."
        return self._result(BurnOutcome.HOLD_SERVICE, "the robot does not answer", remedy)

    def _result(self, outcome: BurnOutcome, detail: str, remedy: str) -> BurnResult:
        return BurnResult(outcome, f"device {self.name}: {detail}", remedy)

    def _job_folder(self, job: BurnJob) -> Path:
        """The folder that tells the robot what to burn and to print."""
        return self._exchange / job.device_job

    def _unsent_file(self, job: BurnJob) -> Path:
        return self._exchange / f"{job.device_job}.new"

    def _finished_mark(self, job: BurnJob) -> Path:
        return self._exchange / f"{job.device_job}.done"

    def _cancelled_mark(self, job: BurnJob) -> Path:
        return self._exchange / f"{job.device_job}.off"

    def _size(self, job: BurnJob) -> int:
        return job.image.stat().st_size if job.image.exists() else 0

    def _robot_path(self, job: BurnJob, name: str) -> str:
        """The path that a file in the folder of the job has on the robot's computer."""
        if "\\" in self._seen_as:
            return str(PureWindowsPath(self._seen_as, job.device_job, name))
        return str(Path(self._seen_as, job.device_job, name))


def _sync_folder(path: Path) -> None:
    try:
        sync(path)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def read_status_file(path: Path) -> StatusFile:
    """A status file; empty if it does not exist or is being written."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(encoding="cp1252", errors="replace"))
    except (OSError, configparser.Error):
        return {}
    return {name: {key: value or "" for key, value in parser[name].items()} for name in parser}


def number(section: Mapping[str, str], key: str) -> int:
    """A number in a section of a status file; 0 if there is none."""
    try:
        return int(section.get(key, "0").strip() or 0)
    except ValueError:
        return 0


def queued(jobs: int) -> str:
    """The detail of a job that waits for `jobs` others."""
    return "1 job is before it" if jobs == 1 else f"{jobs} jobs are before it"
