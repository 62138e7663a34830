"""Craft: Primera's disc publishers, by the job request files of PTBurn."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult
from burnish.burn.copying import copy, link
from burnish.burn.hot_folder import Facts, HotFolderBurner, number, read_ini

_CLIENT = "Burnish"
_DISC_TYPES = {"CD": "CDR", "DVD": "DVDR", "DVD-DL": "DVDR_DL", "BD": "BDR", "BD-DL": "BDR_DL"}
_BINS_EMPTY, _INK = 3, (5, 6, 7)
_ABORTED = 16
_COMPLETED = 2


class PrimeraBurner(HotFolderBurner):
    """A robot of PTBurn, which burns the image as it is, verifies and closes the disc.

    `robot` is its name where PTBurn has several.
    """

    suffix = ".JRQ"
    later = (".QRJ", ".INP", ".DON", ".ERR")
    cancel_suffix = ".PTM"

    def __init__(
        self,
        name: str,
        *,
        directory: Path,
        exchange: Path,
        seen_as: str = "",
        robot: str = "",
        speed: int = 0,
        poll: float = 2.0,
    ) -> None:
        super().__init__(name, directory=directory, exchange=exchange, seen_as=seen_as, poll=poll)
        self._robot, self._speed = robot, speed

    def _standing(self) -> BurnResult | None:
        facts = read_ini(self._directory / "Status" / "SystemStatus.txt")
        system = facts.get("System", {})
        silent = self._lives(system.get("ServerTickCount", ""))
        if silent is not None:
            return silent
        robots = [self._robot] if self._robot else list(facts.get("RobotList", {}).values())
        for section in ("System", *robots):
            held = self._held(facts.get(section, {}))
            if held is not None:
                return held
        return None

    def _held(self, facts: Mapping[str, str]) -> BurnResult | None:
        error = number(facts, "SysErrorNumber")
        if not error:
            return None
        detail = facts.get("SysErrorString") or f"system error {error}"
        if error == _BINS_EMPTY:
            remedy = "Fill the bins with blanks; the robot then goes on by itself."
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
        if error in _INK:
            remedy = "Put in a new ink cartridge; the robot then goes on by itself."
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
        remedy = "See what the robot shows and mend it; it then goes on by itself."
        return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)

    def _ended(self, job: BurnJob) -> BurnResult | None:
        suffix, facts = self._suffix_of(job), self._job_facts(job)
        if suffix == ".DON" or (suffix is None and number(facts, "JobState") == _COMPLETED):
            if number(facts, "BadDiscs") and not number(facts, "GoodDiscs"):
                return self._ruined(facts)
            return BurnResult(BurnOutcome.WRITTEN)
        return self._ruined(facts) if suffix == ".ERR" else None

    def _ruined(self, facts: Mapping[str, str]) -> BurnResult:
        why = facts.get("JobErrorString") or f"job error {number(facts, 'JobErrorNumber')}"
        if number(facts, "JobErrorNumber") == _ABORTED:
            why = "the job was aborted at the robot"
        remedy = "Throw the rejected disc away, if there is one."
        return self._result(BurnOutcome.RUINED, why, remedy)

    def _waits(self, job: BurnJob) -> BurnResult | None:
        ahead = number(self._job_facts(job), "JobsAhead")
        if not ahead:
            return None
        remedy = "It is made when these are done."
        return self._result(BurnOutcome.BUSY, f"{ahead} jobs are before it", remedy)

    def _prepare(self, job: BurnJob, progress: Callable[[int], None] | None) -> list[str]:
        image = self._given(job) / f"image{job.image.suffix}"
        _place(job.image, image, progress)
        lines = [
            f"JobID = {job.device_job}",
            f"ClientID = {_CLIENT}",
            f"ImageFile = {self._seen(job, image.name)}",
            "ImageType = MODE_1_2048",
            f"DiscType = {_DISC_TYPES[job.medium]}",
            "Copies = 1",
            "CloseDisc = YES",
            "VerifyDisc = YES",
            "RejectIfNotBlank = YES",
            f"BurnSpeed = {self._speed}",
        ]
        if self._robot:
            lines.append(f"RobotName = {self._robot}")
        if job.label is not None:
            shutil.copyfile(job.label, self._given(job) / f"label{job.label.suffix}")
            lines.append(f"PrintLabel = {self._seen(job, f'label{job.label.suffix}')}")
        return lines

    def _cancel_text(self, job: BurnJob) -> str:  # noqa: ARG002  the file's name says which
        return f"Message = ABORT\r\nClientID = {_CLIENT}\r\n"

    def _knows(self, job: BurnJob) -> bool:
        return bool(self._job_facts(job))

    def _job_facts(self, job: BurnJob) -> Mapping[str, str]:
        """What a robot's status file says of the job; nothing where none names it."""
        status = self._directory / "Status"
        names = [f"{self._robot}.txt"] if self._robot else sorted(_names(status))
        for name in names:
            facts: Facts = read_ini(status / name)
            if job.device_job in facts:
                return facts[job.device_job]
        return {}


def _names(status: Path) -> list[str]:
    """The robots' status files."""
    try:
        return [name for name in os.listdir(status) if name.endswith(".txt")]
    except OSError:
        return []


def _place(image: Path, target: Path, progress: Callable[[int], None] | None) -> None:
    """The image where the robot finds it."""
    if link(image, target):
        return
    with image.open("rb") as source, target.open("xb") as copied:
        copy(source.fileno(), copied.fileno(), image.stat().st_size, progress)
        os.fsync(copied.fileno())
