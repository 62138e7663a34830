"""Craft: the device `primera`: Primera's disc publishers, by the job files of PTBurn."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult, Supply
from burnish.burn.copying import copy, link
from burnish.burn.hot_folder import HotFolderBurner, number, queued, read_status_file

_CLIENT = "Burnish"
_DISC_TYPES = {"CD": "CDR", "DVD": "DVDR", "DVD-DL": "DVDR_DL", "BD": "BDR", "BD-DL": "BDR_DL"}
#: Values of SysErrorNumber.
_BINS_EMPTY, _INK = 3, (5, 6, 7)
_BINS = {"DiscsInLeftBin": "left bin", "DiscsInRightBin": "right bin"}
#: A value of JobErrorNumber, and one of JobState.
_ABORTED, _COMPLETED = 16, 2
#: Values of JobErrorNumber and DiscErrorNumber whose reason is the job and not the robot: files,
#: label or job file are not valid; too many files, or none; too large; not a valid DVD.
_FAULTS_OF_JOBS = {4, 5, 6, 7, 8, 11, 17}


class PrimeraBurner(HotFolderBurner):
    """A robot of PTBurn, which burns the image as it is, verifies and closes the disc.

    `robot` is its name, if PTBurn has several.
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

    def _robot_problem(self) -> BurnResult | None:
        facts = read_status_file(self._directory / "Status" / "SystemStatus.txt")
        system = facts.get("System", {})
        silence = self._silence(system.get("ServerTickCount", ""))
        if silence is not None:
            return silence
        robots = [self._robot] if self._robot else list(facts.get("RobotList", {}).values())
        for section in ("System", *robots):
            problem = self._problem(facts.get(section, {}))
            if problem is not None:
                return problem
        return None

    def supplies(self) -> tuple[Supply, ...]:
        status = self._directory / "Status"
        names = [f"{self._robot}.txt"] if self._robot else sorted(_status_files(status))
        supplies: list[Supply] = []
        for name in names:
            for facts in read_status_file(status / name).values():
                supplies += [
                    Supply(f"blanks: {bin_name}", number(facts, key), "discs")
                    for key, bin_name in _BINS.items()
                    if facts.get(key, "").strip() and number(facts, key) >= 0
                ]
        return tuple(supplies)

    def _problem(self, facts: Mapping[str, str]) -> BurnResult | None:
        error = number(facts, "SysErrorNumber")
        if not error:
            return None
        detail = facts.get("SysErrorString") or f"system error {error}"
        if error == _BINS_EMPTY:
            remedy = "Fill the bins with blanks. The robot then continues by itself."
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
        if error in _INK:
            remedy = "Put in a new ink cartridge. The robot then continues by itself."
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
        remedy = "Correct what the robot shows on its display. It then continues by itself."
        return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)

    def _final_result(self, job: BurnJob) -> BurnResult | None:
        suffix, facts = self._suffix_of(job), self._job_facts(job)
        if suffix == ".DON" or (suffix is None and number(facts, "JobState") == _COMPLETED):
            if number(facts, "BadDiscs") and not number(facts, "GoodDiscs"):
                return self._ruined(facts)
            return BurnResult(BurnOutcome.WRITTEN)
        return self._ruined(facts) if suffix == ".ERR" else None

    def _ruined(self, facts: Mapping[str, str]) -> BurnResult:
        error = number(facts, "JobErrorNumber")
        disc_errors = {number(facts, key) for key in facts if key.startswith("DiscErrorNumber")}
        disc_errors -= {0}
        remedy = "If there is a rejected disc, throw it away."
        if error == _ABORTED:
            detail = "the job was aborted at the robot"
            return self._result(BurnOutcome.REJECTED, detail, remedy)
        detail = facts.get("JobErrorString") or f"job error {error}"
        if error in _FAULTS_OF_JOBS or (disc_errors and disc_errors <= _FAULTS_OF_JOBS):
            return self._result(BurnOutcome.REJECTED, detail, remedy)
        return self._result(BurnOutcome.RUINED, detail, remedy)

    def _job_problem(self, job: BurnJob) -> BurnResult | None:
        ahead = number(self._job_facts(job), "JobsAhead")
        if not ahead:
            return None
        remedy = "Nothing to do: the job is made after these."
        return self._result(BurnOutcome.BUSY, queued(ahead), remedy)

    def _prepare(self, job: BurnJob, progress: Callable[[int], None] | None) -> list[str]:
        image = self._job_folder(job) / f"image{job.image.suffix}"
        _copy_image(job.image, image, progress)
        lines = [
            f"JobID = {job.device_job}",
            f"ClientID = {_CLIENT}",
            f"ImageFile = {self._robot_path(job, image.name)}",
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
            shutil.copyfile(job.label, self._job_folder(job) / f"label{job.label.suffix}")
            lines.append(f"PrintLabel = {self._robot_path(job, f'label{job.label.suffix}')}")
        return lines

    def _cancel_text(self, job: BurnJob) -> str:  # noqa: ARG002  the name of the file names the job
        return f"Message = ABORT\r\nClientID = {_CLIENT}\r\n"

    def _status_names(self, job: BurnJob) -> bool:
        return bool(self._job_facts(job))

    def _job_facts(self, job: BurnJob) -> Mapping[str, str]:
        """The section on the job in a robot's status file; empty if no file names the job."""
        status = self._directory / "Status"
        names = [f"{self._robot}.txt"] if self._robot else sorted(_status_files(status))
        for name in names:
            sections = read_status_file(status / name)
            if job.device_job in sections:
                return sections[job.device_job]
        return {}


def _status_files(status: Path) -> list[str]:
    """The names of the robots' status files."""
    try:
        return [name for name in os.listdir(status) if name.endswith(".txt")]
    except OSError:
        return []


def _copy_image(image: Path, target: Path, progress: Callable[[int], None] | None) -> None:
    if link(image, target):
        return
    with image.open("rb") as source, target.open("xb") as copied:
        copy(source.fileno(), copied.fileno(), image.stat().st_size, progress)
        os.fsync(copied.fileno())
