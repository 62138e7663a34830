"""Craft: the interface that every device has that makes media, and the results it returns."""

import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from burnish.errors import InvalidValue, OperatorError
from burnish.file_access import DENIED, denial, explain
from burnish.lifecycle import Custody
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NO_ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class BurnOutcome(StrEnum):
    """The answer of a device. Only RUINED costs a blank, and only GONE needs a new image.

    REJECTED: the device does not accept the job because of its content, or a person has cancelled
    it there. The device itself works.
    """

    READY = "READY"
    WRITTEN = "WRITTEN"
    RUINED = "RUINED"
    REJECTED = "REJECTED"
    HOLD_OPERATOR = "HOLD_OPERATOR"
    HOLD_SERVICE = "HOLD_SERVICE"
    OUT_OF_SUPPLIES = "OUT_OF_SUPPLIES"
    BUSY = "BUSY"
    GONE = "GONE"
    NO_ROOM = "NO_ROOM"


@dataclass(frozen=True, slots=True)
class Meaning:
    """How an outcome is reported to an SCU (PS3.3 C.22.1.2, C.22.1.3).

    `execution_status` is that of the request once its attempts are used up. It is None for an
    outcome that uses no attempt: the Execution Status then stays, and the request continues or
    waits.
    """

    info: ExecutionStatusInfo
    execution_status: ExecutionStatus | None = None


MEANINGS: dict[BurnOutcome, Meaning] = {
    BurnOutcome.READY: Meaning(ExecutionStatusInfo.NORMAL),
    BurnOutcome.WRITTEN: Meaning(ExecutionStatusInfo.NORMAL),
    BurnOutcome.RUINED: Meaning(ExecutionStatusInfo.MCD_FAILURE, ExecutionStatus.FAILURE),
    BurnOutcome.REJECTED: Meaning(ExecutionStatusInfo.PROC_FAILURE, ExecutionStatus.FAILURE),
    BurnOutcome.HOLD_OPERATOR: Meaning(ExecutionStatusInfo.CHECK_MCD_OP),
    BurnOutcome.HOLD_SERVICE: Meaning(ExecutionStatusInfo.CHECK_MCD_SRV),
    BurnOutcome.OUT_OF_SUPPLIES: Meaning(ExecutionStatusInfo.OUT_OF_SUPPLIES),
    BurnOutcome.BUSY: Meaning(ExecutionStatusInfo.MCD_BUSY),
    BurnOutcome.NO_ROOM: Meaning(ExecutionStatusInfo.INSUFFIC_MEMORY),
    BurnOutcome.GONE: Meaning(ExecutionStatusInfo.PROC_FAILURE, ExecutionStatus.FAILURE),
}


@dataclass(frozen=True, slots=True)
class BurnResult:
    """An outcome, with a `detail` for the log and a `remedy` for the operator.

    `takes` is set for READY: the media that can be made with the blank in the device, and the bytes
    that the blank holds. It is None for a device that takes every medium it is configured for.
    """

    outcome: BurnOutcome
    detail: str = ""
    remedy: str = ""
    takes: Mapping[str, int] | None = None

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self.outcome]

    @property
    def execution_status_info(self) -> ExecutionStatusInfo:
        return self.meaning.info


@dataclass(frozen=True, slots=True)
class BurnJob:
    """One piece of media to be made: one copy of one volume.

    request_name: short, without patient data, and the same for every attempt at the piece.
    manifest: what is published as JSON beside the medium.
    label, address: the files with the label of the medium and with the address label of the set;
        None if there is none.
    device_job: the name of the job for a device that works on its own. Every blank has another.
    files: opens the image; gives File IDs with their contents, for a device that wants files.
    """

    image: Path
    volume_number: int
    volume_count: int
    copy_number: int
    copies: int
    request_name: str
    file_set_id: str
    file_set_uid: str
    manifest: Mapping[str, object] = field(default_factory=dict)
    label: Path | None = None
    address: Path | None = None
    medium: str = ""
    device_job: str = ""
    files: Callable[[], Iterable[tuple[str, Iterable[bytes | memoryview]]]] | None = None

    def checked_name(self) -> str:
        """`request_name`, which becomes a folder name; raises InvalidValue if it cannot."""
        if _NAME.fullmatch(self.request_name) is None:
            raise InvalidValue(f"a folder cannot have the name {self.request_name!r}")
        return self.request_name

    @property
    def stem(self) -> str:
        """Distinguishes the pieces of a request: VOLUME01, or VOLUME01-COPY02."""
        copy = f"-COPY{self.copy_number:02d}" if self.copy_number > 1 else ""
        return f"VOLUME{self.volume_number:02d}{copy}"


@dataclass(frozen=True, slots=True)
class Supply:
    """One supply of a device, as the device itself reports it.

    `name` is "blanks", "ink" or "free space", with its place behind a colon if there are several;
    `unit` is "discs", "%" or "bytes".
    """

    name: str
    level: int
    unit: str


#: The result of every device for a job whose image does not exist.
IMAGE_GONE = BurnResult(
    BurnOutcome.GONE, "the image to write no longer exists", "The image is made again."
)
#: Called with what holds up a device that works on its own; READY if nothing does.
Tell = Callable[[BurnResult], None]


def error_result(name: str, directory: Path, error: OSError) -> BurnResult:
    """The result of a job that ended with an error of the file system."""
    detail = f"device {name}: {_reason(directory, error)}"
    if error.errno in _NO_ROOM:
        remedy = f"Free space in {directory}. Writing then continues by itself."
        return BurnResult(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
    if error.errno in _NO_ACCESS:
        remedy = f"Make sure that {directory} exists and that the service can write to it."
        return BurnResult(BurnOutcome.HOLD_OPERATOR, detail, remedy)
    remedy = f"Have the storage of {directory} checked."
    return BurnResult(BurnOutcome.HOLD_SERVICE, detail, remedy)


def _reason(directory: Path, error: OSError) -> str:
    """The error in words; a denial is told with owner, mode and user."""
    if error.errno in DENIED:
        return denial(directory, os.R_OK | os.W_OK | os.X_OK) or explain(error)
    reason = error.strerror or str(error)
    return f"{directory}: {reason}" if error.errno in _NOT_THERE else reason


def operator_error(name: str, directory: Path, error: OSError) -> OperatorError:
    """The exception for an error of the file system that only a person can correct."""
    result = error_result(name, directory, error)
    return OperatorError(result.detail, hint=result.remedy)


class Burner(Protocol):
    """A device. The caller has a job written, reads it back, then publishes or discards it."""

    name: str
    #: What happens to a piece whose worker dies while it is written.
    custody: Custody

    def state(self) -> BurnResult:
        """READY if the device can take a job now, or else why it cannot."""
        ...

    def write(
        self,
        job: BurnJob,
        progress: Callable[[int], None] | None = None,
        tell: Tell | None = None,
    ) -> BurnResult:
        """Writes the piece where people do not find it yet; WRITTEN, or why it is not.

        Writing again does no harm. `progress` is called with the bytes written so far, and may
        raise to stop. A device that works on its own is followed until it has finished, and `tell`
        is called with what holds it up; writing again with the same `device_job` follows the job
        further.
        """
        ...

    def written(self, job: BurnJob) -> Path:
        """Where the piece can be read back; raises Unknown if it has not been written.

        For a device that works on its own, this is what it was given: the device compares the
        medium with it.
        """
        ...

    def publish(self, job: BurnJob) -> Path:
        """Publishes the piece in one step; returns where it is. Publishing again does no harm.

        Raises Unknown if it has not been written, OperatorError if the device cannot publish it.
        """
        ...

    def supplies(self) -> tuple[Supply, ...]:
        """The supplies that the device reports, if any; it is not disturbed by the reading."""
        ...

    def tidy(self) -> None:
        """Removes what a dead worker left unfinished. Called only while no job is under way."""
        ...

    def discard(self, job: BurnJob) -> None:
        """Removes the piece, published or not. Discarding again does no harm."""
        ...
