"""Craft: the device `epson`: Epson's disc producers, by the job files of TD Bridge."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult, Supply
from burnish.burn.copying import write_files
from burnish.burn.hot_folder import HotFolderBurner, number, queued, read_status_file

_STATUS_FILE = "TDBStatus.txt"
#: The file systems that the robot's software makes. File IDs stay the same in each.
_FORMATS = {"CD": "ISO9660L2", "DVD": "UDF102"}
_STACKERS = ("STACKER1", "STACKER2")
_INKS = ("INK_C", "INK_M", "INK_Y", "INK_LC", "INK_LM", "INK_B")
#: Values of STATUS.
_PAUSED, _COMPLETED, _FAILED, _REJECTED = 3, 4, 5, 6
#: DETAIL_STATUS of a cancelled job, whose STATUS is "completed".
_CANCELLED = 12


class EpsonBurner(HotFolderBurner):
    """A robot of TD Bridge, which gets the files and makes the file system itself.

    publisher: its name, if TD Bridge has several.
    job_lines: added to each job file. With them a site states what its version of TD Bridge needs
        so that each disc is compared and closed.
    label_template: the path, on the robot's computer, of a label made with Total Disc Maker (.tdd).
        The label of a job then holds the values of its fields.
    """

    suffix = ".JDF"
    later = (".RJD", ".INP", ".DON", ".ERR", ".STP")
    cancel_suffix = ".JCF"
    #: The maker forbids it: a job must always be cancelled by a cancel file.
    withdraws = False

    def __init__(
        self,
        name: str,
        *,
        directory: Path,
        exchange: Path,
        seen_as: str = "",
        publisher: str = "",
        job_lines: tuple[str, ...] = (),
        label_template: str = "",
        poll: float = 2.0,
    ) -> None:
        super().__init__(name, directory=directory, exchange=exchange, seen_as=seen_as, poll=poll)
        self._publisher, self._job_lines = publisher, job_lines
        self._label_template = label_template

    def _robot_problem(self) -> BurnResult | None:
        path = self._directory / _STATUS_FILE
        silence = self._silence(str(path.stat().st_mtime_ns) if path.exists() else "")
        if silence is not None:
            return silence
        facts = self._publisher_facts()
        stackers = [facts[key] for key in _STACKERS if facts.get(key, "").strip()]
        if stackers and not any(number(facts, key) for key in _STACKERS):
            remedy = "Put blanks into the stackers. The robot then continues by itself."
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, "the stackers are empty", remedy)
        empty = [key for key in _INKS if facts.get(key, "").strip() == "0"]
        if empty:
            remedy = "Put in a new ink cartridge. The robot then continues by itself."
            detail = f"the ink is used up: {', '.join(empty)}"
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
        return None

    def _publisher_facts(self) -> Mapping[str, str]:
        """The section on the robot in the status file; empty if there is none."""
        robots = {
            facts.get("NAME", section): facts
            for section, facts in read_status_file(self._directory / _STATUS_FILE).items()
            if section.startswith("PUBLISHER")
        }
        return robots.get(self._publisher) or next(iter(robots.values()), {})

    def supplies(self) -> tuple[Supply, ...]:
        facts = self._publisher_facts()
        blanks = [
            Supply(f"blanks: {key.lower()}", number(facts, key), "discs")
            for key in _STACKERS
            if facts.get(key, "").strip()
        ]
        inks = [
            Supply(f"ink: {key.removeprefix('INK_')}", number(facts, key), "%")
            for key in _INKS
            if facts.get(key, "").strip()
        ]
        return (*blanks, *inks)

    def _final_result(self, job: BurnJob) -> BurnResult | None:
        """A job that was cancelled at the robot is "completed" too, but without a disc."""
        suffix, facts = self._suffix_of(job), self._job_facts(job)
        status, discs = number(facts, "STATUS"), number(facts, "COMPLETION_NUMBER")
        if discs > 0 and (suffix == ".DON" or (suffix is None and status == _COMPLETED)):
            return BurnResult(BurnOutcome.WRITTEN)
        if suffix == ".ERR" or status in (_COMPLETED, _FAILED, _REJECTED):
            return self._ruined(facts)
        return None

    def _ruined(self, facts: Mapping[str, str]) -> BurnResult:
        code = facts.get("ERROR") or facts.get("DETAIL_STATUS") or "no code"
        outcome, reason = BurnOutcome.RUINED, "failed"
        if number(facts, "DETAIL_STATUS") == _CANCELLED:
            outcome, reason = BurnOutcome.REJECTED, "was cancelled at the robot"
        elif number(facts, "STATUS") == _REJECTED:
            outcome, reason = BurnOutcome.REJECTED, "was not accepted"
        remedy = "If there is a rejected disc, throw it away."
        return self._result(outcome, f"the job {reason} ({code})", remedy)

    def _job_problem(self, job: BurnJob) -> BurnResult | None:
        facts = self._job_facts(job)
        suffix = self._suffix_of(job)
        if suffix == ".STP" or number(facts, "STATUS") == _PAUSED:
            detail = f"the job is paused ({facts.get('ERROR') or 'no code'})"
            remedy = "Correct what the robot shows on its display. It then continues by itself."
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)
        if suffix == ".DON" and not facts:
            detail = "the job is done, but the status file does not state whether there is a disc"
            remedy = (
                f"Make sure that the robot's software writes {_STATUS_FILE}."
                " If it cannot, throw the disc away."
            )
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)
        active = read_status_file(self._directory / _STATUS_FILE).get("ACTIVE_JOB", {})
        names = list(active.values())
        ahead = names.index(job.device_job) if job.device_job in names else 0
        if ahead:
            remedy = "Nothing to do: the job is made after these."
            return self._result(BurnOutcome.BUSY, queued(ahead), remedy)
        return None

    def _prepare(self, job: BurnJob, progress: Callable[[int], None] | None) -> list[str]:
        root = self._job_folder(job) / "DISC"
        root.mkdir()
        for _ in write_files(job.files() if job.files else (), root, progress):
            pass
        publisher = [f"PUBLISHER={self._publisher}"] if self._publisher else []
        label = []
        if job.label is not None and self._label_template:
            shutil.copyfile(job.label, self._job_folder(job) / "LABEL.DAT")
            label = [f"LABEL={self._label_template}"]
            label.append(f"REPLACE_FIELD={self._robot_path(job, 'LABEL.DAT')}")
        return [
            f"JOB_ID={job.device_job}",
            *publisher,
            "COPIES=1",
            f"DISC_TYPE={job.medium}",
            f"FORMAT={_FORMATS[job.medium]}",
            f"DATA={self._robot_path(job, 'DISC')}",
            f"VOLUME_LABEL={job.file_set_id}",
            *label,
            *self._job_lines,
        ]

    def _cancel_text(self, job: BurnJob) -> str:
        return f"[CANCEL]\r\nJOB_ID={job.device_job}\r\n"

    def _status_names(self, job: BurnJob) -> bool:
        return bool(self._job_facts(job))

    def _job_facts(self, job: BurnJob) -> Mapping[str, str]:
        return read_status_file(self._directory / _STATUS_FILE).get(job.device_job, {})
