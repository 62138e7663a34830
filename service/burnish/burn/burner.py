"""Craft: says what every device that makes media can be asked, and how it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from burnish.vocabulary import ExecutionStatusInfo


class BurnOutcome(StrEnum):
    """How asking a device ended. Only RUINED costs a blank, and only GONE needs a new image."""

    READY = "READY"
    WRITTEN = "WRITTEN"
    RUINED = "RUINED"
    HOLD_OPERATOR = "HOLD_OPERATOR"
    HOLD_SERVICE = "HOLD_SERVICE"
    OUT_OF_SUPPLIES = "OUT_OF_SUPPLIES"
    BUSY = "BUSY"
    FULL = "FULL"
    GONE = "GONE"


#: What an SCU is told of each outcome (PS3.3 C.22.1.3).
EXECUTION_STATUS_INFO: dict[BurnOutcome, ExecutionStatusInfo] = {
    BurnOutcome.READY: ExecutionStatusInfo.NORMAL,
    BurnOutcome.WRITTEN: ExecutionStatusInfo.NORMAL,
    BurnOutcome.RUINED: ExecutionStatusInfo.MCD_FAILURE,
    BurnOutcome.HOLD_OPERATOR: ExecutionStatusInfo.CHECK_MCD_OP,
    BurnOutcome.HOLD_SERVICE: ExecutionStatusInfo.CHECK_MCD_SRV,
    BurnOutcome.OUT_OF_SUPPLIES: ExecutionStatusInfo.OUT_OF_SUPPLIES,
    BurnOutcome.BUSY: ExecutionStatusInfo.MCD_BUSY,
    BurnOutcome.FULL: ExecutionStatusInfo.SET_OVERSIZED,
    BurnOutcome.GONE: ExecutionStatusInfo.PROC_FAILURE,
}


@dataclass(frozen=True, slots=True)
class BurnResult:
    """An outcome, in words for the log, and what an operator can do about it."""

    outcome: BurnOutcome
    detail: str = ""
    remedy: str = ""

    @property
    def execution_status_info(self) -> ExecutionStatusInfo:
        return EXECUTION_STATUS_INFO[self.outcome]


@dataclass(frozen=True, slots=True)
class BurnJob:
    """One piece of media to be made: one copy of one volume.

    `request_name` is short, has nothing of the patient and is the same each time the piece is
    tried. `manifest` goes where people find it beside the medium, as JSON. `label` is the file with
    the label to print, or to put beside the medium; None where there is none.
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


class Burner(Protocol):
    """One device. A job is written, read back by the caller, then published or discarded."""

    name: str

    def state(self) -> BurnResult:
        """Whether the device would take a job now: READY, or why not."""
        ...

    def write(self, job: BurnJob, progress: Callable[[int], None] | None = None) -> BurnResult:
        """Writes the piece, not yet for people to find; WRITTEN, or why not.

        Writing again is harmless. `progress` is told the bytes so far, and may raise to stop.
        """
        ...

    def written(self, job: BurnJob) -> Path:
        """Where the piece can be read back; raises Unknown if it has not been written."""
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
