"""Craft: says what every device that makes media can be asked, and how it answers."""

import errno
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from burnish.errors import InvalidValue, OperatorError
from burnish.lifecycle import Custody
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class BurnOutcome(StrEnum):
    """How asking a device ended. Only RUINED costs a blank, and only GONE needs a new image."""

    READY = "READY"
    WRITTEN = "WRITTEN"
    RUINED = "RUINED"
    HOLD_OPERATOR = "HOLD_OPERATOR"
    HOLD_SERVICE = "HOLD_SERVICE"
    OUT_OF_SUPPLIES = "OUT_OF_SUPPLIES"
    BUSY = "BUSY"
    GONE = "GONE"
    NO_ROOM = "NO_ROOM"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an SCU is told of an outcome (PS3.3 C.22.1.2, C.22.1.3).

    `execution_status` is what the request comes to when its attempts are used up; None where the
    outcome costs no attempt: then the Execution Status stays, and the request goes on or waits.
    """

    info: ExecutionStatusInfo
    execution_status: ExecutionStatus | None = None


MEANINGS: dict[BurnOutcome, Meaning] = {
    BurnOutcome.READY: Meaning(ExecutionStatusInfo.NORMAL),
    BurnOutcome.WRITTEN: Meaning(ExecutionStatusInfo.NORMAL),
    BurnOutcome.RUINED: Meaning(ExecutionStatusInfo.MCD_FAILURE, ExecutionStatus.FAILURE),
    BurnOutcome.HOLD_OPERATOR: Meaning(ExecutionStatusInfo.CHECK_MCD_OP),
    BurnOutcome.HOLD_SERVICE: Meaning(ExecutionStatusInfo.CHECK_MCD_SRV),
    BurnOutcome.OUT_OF_SUPPLIES: Meaning(ExecutionStatusInfo.OUT_OF_SUPPLIES),
    BurnOutcome.BUSY: Meaning(ExecutionStatusInfo.MCD_BUSY),
    BurnOutcome.NO_ROOM: Meaning(ExecutionStatusInfo.INSUFFIC_MEMORY),
    BurnOutcome.GONE: Meaning(ExecutionStatusInfo.PROC_FAILURE, ExecutionStatus.FAILURE),
}


@dataclass(frozen=True, slots=True)
class BurnResult:
    """An outcome, in words for the log, and what an operator can do about it.

    `takes` goes with READY: the media that the blank in the device is good for, and how many
    bytes it holds; None where the device takes every medium that it is configured for.
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

    `request_name` is short, has nothing of the patient and is the same each time the piece is
    tried. `manifest` goes where people find it beside the medium, as JSON. `label` is the file with
    the label to print, or to put beside the medium, `address` that with the address label of the
    whole set; None where there is none. `device_job` names the job to a device that goes on by
    itself: one for each blank, never used again. `files` opens the image and gives File IDs with
    contents, for a device that wants files.
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
        """`request_name`, which becomes a file name; raises InvalidValue where it cannot."""
        if _NAME.fullmatch(self.request_name) is None:
            raise InvalidValue(f"{self.request_name!r} is no name for a folder")
        return self.request_name

    @property
    def stem(self) -> str:
        """The piece among those of its request: VOLUME01, or VOLUME01-COPY02."""
        copy = f"-COPY{self.copy_number:02d}" if self.copy_number > 1 else ""
        return f"VOLUME{self.volume_number:02d}{copy}"


#: What every device answers that finds no image.
IMAGE_GONE = BurnResult(
    BurnOutcome.GONE, "the image to write is gone", "The image will be made anew."
)
#: Told what holds up a device that goes on by itself; READY when nothing does.
Tell = Callable[[BurnResult], None]


def of_error(name: str, directory: Path, error: OSError) -> BurnResult:
    """What an error of the file system means to the one who has to mend it."""
    detail = f"device {name}: {error.strerror}"
    if error.errno in _NO_ROOM:
        remedy = f"Free space in {directory}; writing then goes on by itself."
        return BurnResult(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
    if error.errno in _REFUSED:
        remedy = f"Make {directory} a folder in which the service can write."
        return BurnResult(BurnOutcome.HOLD_OPERATOR, detail, remedy)
    remedy = f"Have the storage behind {directory} looked at."
    return BurnResult(BurnOutcome.HOLD_SERVICE, detail, remedy)


def operator_error(name: str, directory: Path, error: OSError) -> OperatorError:
    """The same as something that only a person can mend."""
    result = of_error(name, directory, error)
    return OperatorError(result.detail, hint=result.remedy)


class Burner(Protocol):
    """One device. A job is written, read back by the caller, then published or discarded."""

    name: str
    #: What becomes of a piece whose worker dies while it is written.
    custody: Custody

    def state(self) -> BurnResult:
        """Whether the device would take a job now: READY, or why not."""
        ...

    def write(
        self,
        job: BurnJob,
        progress: Callable[[int], None] | None = None,
        tell: Tell | None = None,
    ) -> BurnResult:
        """Writes the piece, not yet for people to find; WRITTEN, or why not.

        Writing again is harmless. `progress` is told the bytes so far, and may raise to stop.
        A device that goes on by itself is followed until it has ended, and `tell` is told what
        holds it up meanwhile; writing again with the same `device_job` follows on.
        """
        ...

    def written(self, job: BurnJob) -> Path:
        """Where the piece can be read back; raises Unknown if it has not been written.

        Of a device that goes on by itself: the image that it had, with which it was told to
        compare the medium.
        """
        ...

    def publish(self, job: BurnJob) -> Path:
        """Makes the piece final, whole or not at all; returns where it is. Again is harmless.

        Raises Unknown if it has not been written, OperatorError if the device cannot.
        """
        ...

    def tidy(self) -> None:
        """Removes what a dead worker left unfinished; called while no job is under way."""
        ...

    def discard(self, job: BurnJob) -> None:
        """Removes what there is of the piece, published or not. Again is harmless."""
        ...
