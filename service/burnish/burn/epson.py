"""Craft: Epson's disc producers, by the job files of Total Disc Maker's TD Bridge."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult
from burnish.burn.copying import lay_out
from burnish.burn.hot_folder import HotFolderBurner, number, read_ini

_STATUS_FILE = "TDBStatus.txt"
#: The file system that the robot's software makes; File IDs stay what they are in each.
_FORMATS = {"CD": "ISO9660L2", "DVD": "UDF102"}
_STACKERS = ("STACKER1", "STACKER2")
_INKS = ("INK_C", "INK_M", "INK_Y", "INK_LC", "INK_LM", "INK_B")
_PAUSED, _COMPLETED, _ENDED_BADLY, _REFUSED = 3, 4, 5, 6
#: DETAIL_STATUS of what somebody cancelled; its STATUS is "completed".
_CANCELLED = 12


class EpsonBurner(HotFolderBurner):
    """A robot of TD Bridge, which is given the files and makes the file system itself.

    `publisher` is its name where TD Bridge has several. `job_lines` go into each job file as
    they are: what a site's version of TD Bridge takes to have each disc compared and closed.
    `label_template` is a label made with Total Disc Maker (.tdd), as the robot's computer calls
    it: the label of a job is what goes into its fields.
    """

    suffix = ".JDF"
    later = (".RJD", ".INP", ".DON", ".ERR", ".STP")
    cancel_suffix = ".JCF"
    #: Its maker forbids it: a job is cancelled by a file of its own from the beginning.
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

    def _standing(self) -> BurnResult | None:
        path = self._directory / _STATUS_FILE
        silent = self._lives(str(path.stat().st_mtime_ns) if path.exists() else "")
        if silent is not None:
            return silent
        robots = {
            facts.get("NAME", section): facts
            for section, facts in read_ini(path).items()
            if section.startswith("PUBLISHER")
        }
        facts = robots.get(self._publisher) or next(iter(robots.values()), {})
        stackers = [facts[key] for key in _STACKERS if facts.get(key, "").strip()]
        if stackers and not any(number(facts, key) for key in _STACKERS):
            remedy = "Put blanks into the stackers; the robot then goes on by itself."
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, "its stackers are empty", remedy)
        empty = [key for key in _INKS if facts.get(key, "").strip() == "0"]
        if empty:
            remedy = "Put in a new ink cartridge; the robot then goes on by itself."
            detail = f"no ink is left: {', '.join(empty)}"
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, remedy)
        return None

    def _ended(self, job: BurnJob) -> BurnResult | None:
        """A job that was cancelled at the robot is completed as well, without any disc."""
        suffix, facts = self._suffix_of(job), self._job_facts(job)
        status, made = number(facts, "STATUS"), number(facts, "COMPLETION_NUMBER")
        if made > 0 and (suffix == ".DON" or (suffix is None and status == _COMPLETED)):
            return BurnResult(BurnOutcome.WRITTEN)
        if suffix == ".ERR" or status in (_COMPLETED, _ENDED_BADLY, _REFUSED):
            return self._ruined(facts)
        return None

    def _ruined(self, facts: Mapping[str, str]) -> BurnResult:
        code = facts.get("ERROR") or facts.get("DETAIL_STATUS") or "no code"
        how = "was not accepted" if number(facts, "STATUS") == _REFUSED else "ended badly"
        if number(facts, "DETAIL_STATUS") == _CANCELLED:
            how = "was cancelled at the robot"
        detail = f"the job {how} ({code})"
        remedy = "Throw the rejected disc away, if there is one."
        return self._result(BurnOutcome.RUINED, detail, remedy)

    def _waits(self, job: BurnJob) -> BurnResult | None:
        facts = self._job_facts(job)
        suffix = self._suffix_of(job)
        if suffix == ".STP" or number(facts, "STATUS") == _PAUSED:
            detail = f"the job is paused ({facts.get('ERROR') or 'no code'})"
            remedy = "See what the robot shows and mend it; it then goes on by itself."
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)
        if suffix == ".DON" and not facts:
            detail = "the job is done, and its status file does not say whether there is a disc"
            remedy = f"See that the robot's software writes {_STATUS_FILE}; else throw it away."
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)
        active = read_ini(self._directory / _STATUS_FILE).get("ACTIVE_JOB", {})
        names = list(active.values())
        ahead = names.index(job.device_job) if job.device_job in names else 0
        if ahead:
            remedy = "It is made when these are done."
            return self._result(BurnOutcome.BUSY, f"{ahead} jobs are before it", remedy)
        return None

    def _prepare(self, job: BurnJob, progress: Callable[[int], None] | None) -> list[str]:
        root = self._given(job) / "DISC"
        root.mkdir()
        for _ in lay_out(job.files() if job.files else (), root, progress):
            pass
        label = []
        if job.label is not None and self._label_template:
            shutil.copyfile(job.label, self._given(job) / "LABEL.DAT")
            label = [f"LABEL={self._label_template}"]
            label.append(f"REPLACE_FIELD={self._seen(job, 'LABEL.DAT')}")
        return [
            f"JOB_ID={job.device_job}",
            *([f"PUBLISHER={self._publisher}"] if self._publisher else []),
            "COPIES=1",
            f"DISC_TYPE={job.medium}",
            f"FORMAT={_FORMATS[job.medium]}",
            f"DATA={self._seen(job, 'DISC')}",
            f"VOLUME_LABEL={job.file_set_id}",
            *label,
            *self._job_lines,
        ]

    def _cancel_text(self, job: BurnJob) -> str:
        return f"[CANCEL]\r\nJOB_ID={job.device_job}\r\n"

    def _knows(self, job: BurnJob) -> bool:
        return bool(self._job_facts(job))

    def _job_facts(self, job: BurnJob) -> Mapping[str, str]:
        return read_ini(self._directory / _STATUS_FILE).get(job.device_job, {})
