"""A simulated Epson disc producer under TD Bridge: JDF → RJD → INP → DON or ERR; paused, STP.

A cancelled job is DON too, without a disc.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from robots.robot import Robot, by_hand

NAME = "Publisher 0"
_KEYS = {"JOB_ID", "PUBLISHER", "COPIES", "DISC_TYPE", "FORMAT", "DATA", "VOLUME_LABEL"}
_KEYS |= {"CLOSE_DISC", "LABEL", "REPLACE_FIELD"}
_REGISTERED, _PROCESSED, _PAUSED, _COMPLETED, _BADLY, _REJECTED = "1", "2", "3", "4", "5", "6"
#: Faults of a job that the robot does not accept.
_REASONS = ("label", "large")


class EpsonRobot(Robot):
    """A simulated Epson disc producer under TD Bridge."""

    ink = 80

    def __post_init__(self) -> None:
        super().__post_init__()
        self.labels: dict[str, dict[str, str]] = {}

    def step(self) -> None:
        for path in sorted(self.folder.glob("*.JDF")):
            self._accept(path.stem, path.read_text(encoding="cp1252"))
        for path in sorted(self.folder.glob("*.JCF")):
            self._cancel(path.stem)
        active = self._active()
        if active and self.blanks and self.ink:
            if self.paused:
                self._pause(active[0])
            else:
                self._resume(active[0])
                self._go_on(active[0])
        self._tell()

    def _active(self) -> list[str]:
        return [
            n
            for n, job in self.jobs.items()
            if job["STATUS"] not in (_COMPLETED, _BADLY, _REJECTED)
        ]

    def _accept(self, name: str, text: str) -> None:
        job = dict(line.split("=", 1) for line in text.splitlines() if line)
        assert job.keys() <= _KEYS, job.keys() - _KEYS
        assert job["JOB_ID"] == name
        assert len(name) <= 40
        assert name not in self.jobs, "sent twice"
        if "LABEL" in job:
            assert job["LABEL"].endswith(".tdd")
            merged = self.here(job["REPLACE_FIELD"]).read_text(encoding="cp1252").splitlines()
            self.labels[name] = dict(line.split("=", 1) for line in merged)
        self.jobs[name] = {**job, "STATUS": _REGISTERED}
        self.rename(name, ".JDF", ".RJD")
        if not self.here(job["DATA"]).is_dir():  # cancelled before the robot took it
            self._fail(name, ".RJD", "E200")

    def _fail(self, name: str, suffix: str, error: str, **facts: str) -> None:
        self.jobs[name].update(STATUS=_BADLY, ERROR=error, **facts)
        self.rename(name, suffix, ".ERR")

    def _cancel(self, name: str) -> None:
        text = (self.folder / f"{name}.JCF").read_text(encoding="cp1252")
        assert text.splitlines() == ["[CANCEL]", f"JOB_ID={name}"]
        job = self.jobs.get(name)
        if job is None or name not in self._active():
            self.rename(name, ".JCF", ".CER")
            return
        self._resume(name)
        self.rename(name, ".INP" if "begun" in job else ".RJD", ".DON")
        self.rename(name, ".JCF", ".CDN")
        job.update(STATUS=_COMPLETED, DETAIL_STATUS="12")
        job.update(ERRORDISC_NUMBER="0", COMPLETION_NUMBER="0")

    def _pause(self, name: str) -> None:
        self.jobs[name].update(STATUS=_PAUSED, DETAIL_STATUS="7", ERROR="E123")
        if (self.folder / f"{name}.INP").exists():
            self.rename(name, ".INP", ".STP")

    def _resume(self, name: str) -> None:
        self.jobs[name].pop("ERROR", None)
        if (self.folder / f"{name}.STP").exists():
            self.rename(name, ".STP", ".INP")

    def _go_on(self, name: str) -> None:
        job = self.jobs[name]
        job["STATUS"], job["DETAIL_STATUS"] = _PROCESSED, "3"
        if "begun" not in job:
            job["begun"] = "yes"
            self.rename(name, ".RJD", ".INP")
            return
        try:
            files = sorted(path for path in self.here(job["DATA"]).rglob("*") if path.is_file())
            content = b"".join(path.read_bytes() for path in files)
        except FileNotFoundError:
            content = b""
        if not content:  # cancelled meanwhile
            self._fail(name, ".INP", "E200")
            return
        fault = self.next_fault()
        if fault in _REASONS:
            self._fail(name, ".INP", "E201")
            job["STATUS"] = _REJECTED
            return
        self.blanks -= 1
        self.touched.append(name)
        if fault == "forget":
            (self.folder / f"{name}.INP").unlink()
            del self.jobs[name]
        elif fault:
            self._fail(name, ".INP", "E555", ERRORDISC_NUMBER="1", COMPLETION_NUMBER="0")
        else:
            self.discs[name] = content
            self.good.append(name)
            job.update(STATUS=_COMPLETED, DETAIL_STATUS="9")
            job.update(ERRORDISC_NUMBER="0", COMPLETION_NUMBER="1")
            self.rename(name, ".INP", ".DON")

    def _tell(self) -> None:
        lines = ["[ACTIVE_JOB]"]
        lines += [f"JOB{n}={name}" for n, name in enumerate(self._active(), 1)]
        keys = ("STATUS", "DETAIL_STATUS", "COMPLETION_NUMBER", "ERRORDISC_NUMBER", "ERROR")
        for name, job in self.jobs.items():
            lines += [f"[{name}]", *(f"{key}={job[key]}" for key in keys if key in job)]
        lines += ["[PUBLISHER1]", f"NAME={NAME}", f"STACKER1={self.blanks}", "STACKER2="]
        lines += [f"INK_C={self.ink}", "INK_M=50", ""]
        self.publish(self.folder / "TDBStatus.txt", "\n".join(lines))


if __name__ == "__main__":
    by_hand(EpsonRobot)
