"""A simulated Primera disc publisher under PTBurn: JRQ → QRJ → INP → DON or ERR."""

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from robots.robot import Robot, by_hand

NAME = "Disc Publisher SIM"
_KEYS = {"JobID", "ClientID", "ImageFile", "ImageType", "DiscType", "Copies", "CloseDisc"}
_KEYS |= {"VerifyDisc", "RejectIfNotBlank", "BurnSpeed", "RobotName", "PrintLabel"}
_MESSAGES = {2: "The image is not there.", 16: "The job was aborted."}
_MESSAGES |= {7: "The print file is invalid.", 11: "The media has insufficient space."}
_MESSAGES |= {18: "Error recording the disc.", 19: "Error verifying."}

#: Faults of a job that the robot does not accept.
_REASONS = {"label": 7, "large": 11, "cancel": 16}


class PrimeraRobot(Robot):
    """A simulated Primera disc publisher under PTBurn."""

    error, ticks = 0, 0

    def step(self) -> None:
        self.ticks += 1
        for path in sorted(self.folder.glob("*.JRQ")):
            with contextlib.suppress(FileNotFoundError):  # withdrawn at this moment
                self.rename(path.stem, ".JRQ", ".QRJ")
                self._accept(path.stem, path.with_suffix(".QRJ").read_text(encoding="cp1252"))
        for path in sorted(self.folder.glob("*.PTM")):
            self._abort(path.stem, path.read_text(encoding="cp1252"))
            path.unlink()
        waiting = [name for name, job in self.jobs.items() if job["JobState"] in "01"]
        error = self.error or (3 if waiting and not self.blanks else 0)
        if waiting and not error and not self.paused:
            self._go_on(waiting[0])
        self._tell(error)

    def _accept(self, name: str, text: str) -> None:
        job = dict(line.split(" = ", 1) for line in text.splitlines() if line)
        assert job.keys() <= _KEYS, job.keys() - _KEYS
        assert job["JobID"] == name
        assert len(name) <= 32
        assert name not in self.jobs, "sent twice"
        assert job["CloseDisc"] == job["VerifyDisc"] == job["RejectIfNotBlank"] == "YES"
        self.jobs[name] = {**job, "JobState": "0", "GoodDiscs": "0", "BadDiscs": "0"}
        if not self.here(job["ImageFile"]).is_file():  # cancelled before the robot took it
            self._fail(name, 2, bad=0)

    def _abort(self, name: str, text: str) -> None:
        job = self.jobs.get(name)
        message = dict(line.split(" = ", 1) for line in text.splitlines() if line)
        if job and job["JobState"] in "01" and message["ClientID"] == job["ClientID"]:
            self._fail(name, 16, bad=0)

    def _go_on(self, name: str) -> None:
        job = self.jobs[name]
        if job["JobState"] == "0":
            job["JobState"] = "1"
            self.rename(name, ".QRJ", ".INP")
            return
        try:
            image = self.here(job["ImageFile"]).read_bytes()
        except FileNotFoundError:  # cancelled meanwhile
            self._fail(name, 2, bad=0)
            return
        fault = self.next_fault()
        if fault in _REASONS:
            self._fail(name, _REASONS[fault], bad=0)
            return
        self.blanks -= 1
        self.touched.append(name)
        if fault == "forget":
            (self.folder / f"{name}.INP").unlink()
            del self.jobs[name]
        elif fault:
            self._fail(name, 19 if fault == "verify" else 18, bad=1)
        else:
            self.discs[name] = image
            self.good.append(name)
            job.update(JobState="2", CurrentStatusState="10", GoodDiscs="1")
            self.rename(name, ".INP", ".DON")

    def _fail(self, name: str, number: int, *, bad: int) -> None:
        job = self.jobs[name]
        self.rename(name, ".INP" if job["JobState"] == "1" else ".QRJ", ".ERR")
        job.update(JobState="3", BadDiscs=str(bad), JobErrorNumber=str(number))
        job["JobErrorString"] = _MESSAGES[number]

    def _tell(self, error: int) -> None:
        status = self.folder / "Status"
        message_text = {0: "No Errors", 3: "The input bin is empty."}.get(error, f"Error {error}.")
        self.publish(
            status / "SystemStatus.txt",
            f"[RobotList]\nRobot0={NAME}\n[{NAME}]\nSysErrorNumber={error}\nSysErrorString={message_text}\n"
            f"[System]\nServerTickCount={self.ticks}\nSysErrorNumber=0\n",
        )
        waiting = [name for name, job in self.jobs.items() if job["JobState"] in "01"]
        for ahead, name in enumerate(waiting):
            self.jobs[name]["JobsAhead"] = str(ahead)
        keys = ("JobsAhead", "JobState", "CurrentStatusState", "GoodDiscs", "BadDiscs")
        keys += ("JobErrorNumber", "JobErrorString")
        lines = []
        for name, job in self.jobs.items():
            lines += [f"[{name}]", *(f"{key}={job[key]}" for key in keys if key in job)]
        bins = ("[System]", "DiscsInLeftBin=20", "DiscsInRightBin=-1")
        self.publish(status / f"{NAME}.txt", "\n".join([*lines, *bins, ""]))


if __name__ == "__main__":
    by_hand(PrimeraRobot)
