"""The table of faults in docs/devices.md: what an SCU and an operator read for each fault."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from burnish.burn import mounted
from burnish.burn.burner import MEANINGS, Burner, BurnJob, BurnOutcome, BurnResult, error_result
from burnish.burn.epson import EpsonBurner
from burnish.burn.folder import FolderBurner
from burnish.burn.mounted import MountedBurner
from burnish.burn.optical import OpticalBurner
from burnish.burn.primera import PrimeraBurner
from burnish.db import devices
from burnish.errors import OutOfResources
from burnish.plan.planner import Planner
from burnish.request import listing
from burnish.settings import RequestSettings
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo
from burnish.write import piece_state, pipeline
from burnish.write import worker as working
from burnish.write.worker import Worker
from factories import Ground, instance
from robots.epson import EpsonRobot
from robots.primera import PrimeraRobot
from robots.robot import Robot
from unit.burn.test_optical import disc_of, script

R, I, O = ExecutionStatus, ExecutionStatusInfo, BurnOutcome  # noqa: E741
DOCS = Path(__file__).parents[3] / "docs" / "devices.md"


@dataclass
class Site:
    """A service with one device, which a fault replaces."""

    ground: Ground
    root: Path
    patch: pytest.MonkeyPatch
    worker: Worker
    good: Burner

    def path(self, name: str) -> Path:
        """A new folder."""
        number = len(list(self.root.iterdir()))
        path = self.root / f"{number} {name}"
        path.mkdir()
        return path

    def ask(self) -> str:
        instances = [instance(size=3000)]
        self.ground.store(*instances)
        uid = self.ground.admit(instances)
        Planner(self.ground.settings, self.ground.database, self.ground.spool).tick()
        return uid


class Failing(FolderBurner):
    """A folder device whose writes return what `answer` returns, and succeed if that is None."""

    def __init__(self, directory: Path, answer: Callable[[BurnJob], BurnResult | None]) -> None:
        super().__init__("outbox", directory=directory)
        self._answer = answer

    def write(self, job: BurnJob, progress: Any = None, tell: Any = None) -> BurnResult:
        return self._answer(job) or super().write(job, progress, tell)


# --- the faults of the table ---------------------------------------------------------------------

Fault = Callable[[Site], Burner]


def drive_reporting(text: str, code: int = 0) -> Fault:
    """A drive whose program prints `text` and exits with `code`."""

    def fault(site: Site) -> Burner:
        lines = (f"cat <<'END'\n{text}\nEND", f"exit {code}")
        program = script(site.path("program") / "xorriso", *lines)
        return OpticalBurner("outbox", drive="/nowhere/sr0", program=program)

    return fault


def pseudo_drive(drive: str, **options: Any) -> Fault:
    """A drive that is a file; `{path}` is a folder with a disc that is not blank."""

    def fault(site: Site) -> Burner:
        path = site.path("drive")
        (path / "disc").write_bytes(b"a film" * 9000)
        return OpticalBurner("outbox", drive=drive.format(path=path), **options)

    return fault


def robot(kind: type[Robot], **state: Any) -> Fault:
    """A robot in this state, which it has reported."""

    def fault(site: Site) -> Burner:
        path = site.path("robot")
        simulated = kind(path, path)
        for name, value in state.items():
            setattr(simulated, name, value)
        simulated.step()
        burner = PrimeraBurner if kind is PrimeraRobot else EpsonBurner
        return burner("outbox", directory=path, exchange=path, poll=0.01)

    return fault


def robot_with_faulty_discs(kind: type[Robot], *faults: str) -> Fault:
    """A robot that makes discs, with these faults; it works whenever its folder is looked at."""

    def fault(site: Site) -> Burner:
        path = site.path("robot")
        simulated = kind(path, path, faults=list(faults))
        step = simulated.step
        kind_of_burner = PrimeraBurner if kind is PrimeraRobot else EpsonBurner
        burner = kind_of_burner("outbox", directory=path, exchange=path, poll=0.01)
        site.patch.setattr(burner, "_job_problem", lambda _: step())
        return burner

    return fault


def silent_robot(site: Site) -> Burner:
    burner = robot(EpsonRobot)(site)
    site.patch.setattr("burnish.burn.hot_folder.SILENCE", -1)
    return burner


def robot_with_earlier_jobs(site: Site) -> Burner:
    """A robot that has other jobs before this one."""
    path = site.path("robot")
    burner = PrimeraBurner("outbox", directory=path, exchange=path)

    def wait(job: BurnJob) -> BurnResult | None:
        (path / "Status").mkdir(exist_ok=True)
        (path / "Status" / "R.txt").write_text("[R1-1-0a]\nJobState=0\nJobsAhead=3\n")
        return burner._job_problem(replace(job, device_job="R1-1-0a"))

    return Failing(site.path("out"), wait)


def stick(*, mounted_: bool, holds: tuple[str, ...] = ()) -> Fault:
    def fault(site: Site) -> Burner:
        path, mounts = site.path("stick"), site.path("proc") / "mountinfo"
        where = str(path).replace(" ", "\\040")
        mounts.write_text(f"36 35 8:1 / {where} rw - vfat /dev/sdb1 rw\n" if mounted_ else "")
        site.patch.setattr(mounted, "_MOUNTS", mounts)
        for name in holds:
            (path / name).touch()
        return MountedBurner("outbox", directory=path)

    return fault


def disk(error: int) -> Fault:
    def fault(site: Site) -> Burner:
        path = site.path("disk")
        return Failing(
            path, lambda _: error_result("outbox", path, OSError(error, os.strerror(error)))
        )

    return fault


def paused(site: Site) -> Burner:
    with site.ground.database.writing() as session:
        devices.pause(session, "outbox", "the disk is being changed")
    return site.good


def no_room_for_images(site: Site) -> Burner:
    def full(*_: object) -> None:
        raise OutOfResources("the disk of images is full")

    site.patch.setattr(pipeline, "build_image", full)
    return site.good


def image_removed(site: Site) -> Burner:
    return Failing(site.path("out"), lambda job: job.image.unlink())


def killed(site: Site) -> Burner:
    progress = "Beginning to write data track"
    killed_while_burning = f'if [ "$1" = -as ]; then echo "{progress}"; kill -9 $$; fi'
    disc_information = f"cat <<'END'\n{disc_of('CD-R')}\nEND"
    program = script(site.path("program") / "xorriso", killed_while_burning, disc_information)
    return OpticalBurner("outbox", drive="/nowhere/sr0", program=program)


def reads_back_wrong(site: Site) -> Burner:
    class Flipping(FolderBurner):
        def written(self, job: BurnJob) -> Path:
            path = super().written(job)
            data = bytearray(path.read_bytes())
            data[-3000] ^= 1
            path.unlink()
            path.write_bytes(data)
            return path

    return Flipping("outbox", directory=site.path("out"))


BUSY_DRIVE = "libburn : SORRY : Cannot open busy device '/dev/sr0'"

#: Outcome, example as in the table, the fault, and words of the remedy that an operator reads.
WAITS: list[tuple[BurnOutcome, str, Fault, str]] = [
    (
        O.OUT_OF_SUPPLIES,
        "no disc in the drive",
        drive_reporting(disc_of("", "is not present")),
        "blank",
    ),
    (O.OUT_OF_SUPPLIES, "bins or stackers empty", robot(PrimeraRobot, error=3), "Fill the bins"),
    (O.OUT_OF_SUPPLIES, "bins or stackers empty", robot(EpsonRobot, blanks=0), "into the stackers"),
    (O.OUT_OF_SUPPLIES, "no ink", robot(PrimeraRobot, error=6), "new ink cartridge"),
    (O.OUT_OF_SUPPLIES, "no ink", robot(EpsonRobot, ink=0), "new ink cartridge"),
    (O.OUT_OF_SUPPLIES, "no stick", stick(mounted_=False), "stick"),
    (O.OUT_OF_SUPPLIES, "no room", disk(errno.ENOSPC), "Free space in"),
    (O.HOLD_OPERATOR, "the disc is not blank", pseudo_drive("stdio:{path}/disc"), "blank disc"),
    (O.HOLD_OPERATOR, "too small", drive_reporting(disc_of("CD-R", blocks=9)), "CD that holds"),
    (O.HOLD_OPERATOR, "of another kind", drive_reporting(disc_of("DVD+R")), "Put in a blank CD"),
    (O.HOLD_OPERATOR, "the stick is not empty", stick(mounted_=True, holds=("thesis",)), "mpty"),
    (O.HOLD_OPERATOR, "a folder is not writable", disk(errno.EACCES), "can write"),
    (O.HOLD_OPERATOR, "the device is paused", paused, "burnish device resume outbox"),
    (O.HOLD_OPERATOR, "the robot shows an error", robot(PrimeraRobot, error=22), "what the robot"),
    (O.HOLD_SERVICE, "no drive", pseudo_drive("stdio:{path}/none/disc"), "is connected"),
    (
        O.HOLD_SERVICE,
        "no program to burn with",
        pseudo_drive("stdio:{path}/disc", program="/none"),
        "service may use it",
    ),
    (O.HOLD_SERVICE, "the storage fails", disk(errno.EIO), "checked"),
    (O.HOLD_SERVICE, "the robot's software does not answer", silent_robot, "computer is on"),
    (
        O.BUSY,
        "another program uses the drive",
        drive_reporting(BUSY_DRIVE, 5),
        "what else uses the drive",
    ),
    (O.BUSY, "other jobs are before this one", robot_with_earlier_jobs, "made after these"),
    (O.NO_ROOM, "the disk on which images are made is full", no_room_for_images, "Free space on"),
]
RETRY = "burnish request retry"
LOSES: list[tuple[BurnOutcome, str, Fault, str]] = [
    (O.RUINED, "a write error", pseudo_drive("stdio:/dev/full"), RETRY),
    (O.RUINED, "the program was killed", killed, RETRY),
    (O.RUINED, "the disc reads back wrong", reads_back_wrong, RETRY),
    (
        O.RUINED,
        "the robot rejects the disc or loses the job",
        robot_with_faulty_discs(PrimeraRobot, "verify"),
        RETRY,
    ),
    (
        O.RUINED,
        "the robot rejects the disc or loses the job",
        robot_with_faulty_discs(PrimeraRobot, "forget"),
        RETRY,
    ),
    (
        O.REJECTED,
        "the robot does not accept the job",
        robot_with_faulty_discs(PrimeraRobot, "label"),
        RETRY,
    ),
    (
        O.REJECTED,
        "the robot does not accept the job",
        robot_with_faulty_discs(EpsonRobot, "label"),
        RETRY,
    ),
    (
        O.REJECTED,
        "a person cancels the job at the robot",
        robot_with_faulty_discs(PrimeraRobot, "cancel"),
        RETRY,
    ),
    (O.GONE, "the image was removed", image_removed, RETRY),
]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Ground(tmp_path_factory.mktemp("table"), request=RequestSettings(attempts=1)) as ground:
        yield ground


@pytest.fixture
def site(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(working, "_NOT_READY", 0)
    monkeypatch.setattr(piece_state, "HOLD_TIME", timedelta(0))
    worker = Worker(ground.settings, ground.device, ground.database, ground.spool)
    return Site(ground, tmp_path, monkeypatch, worker, worker.burner)


def read_request(site: Site, uid: str) -> tuple[ExecutionStatus, ExecutionStatusInfo, str]:
    """The status that an SCU reads, and the remedy of `burnish request show`."""
    with site.ground.database.reading() as session:
        line = listing.find_request(session, uid)
        return line.execution_status, line.execution_status_info, line.remedy


@pytest.mark.parametrize(
    ("outcome", "fault", "words"), [(o, f, w) for o, _, f, w in WAITS], ids=[w[1] for w in WAITS]
)
def test_the_piece_waits_and_is_then_made_without_help(
    site: Site, outcome: BurnOutcome, fault: Fault, words: str
) -> None:
    uid = site.ask()
    with site.patch.context() as broken:
        site.worker.burner = fault(replace(site, patch=broken))
        site.worker.make_next()
        status, info, remedy = read_request(site, uid)
        assert status in (R.PENDING, R.CREATING)
        assert info == MEANINGS[outcome].info
        assert words in remedy
        with site.ground.database.reading() as session:
            facts = devices.standing(session, "outbox").facts()
        assert facts["state"] in ("paused", str(info)) or outcome is O.NO_ROOM
        assert facts["remedy"] == remedy or outcome is O.NO_ROOM
    with site.ground.database.writing() as session:
        devices.resume(session, "outbox")
    site.worker.burner = site.good
    assert site.worker.make_next()
    assert read_request(site, uid) == (R.DONE, I.NORMAL, "")


@pytest.mark.parametrize(
    ("outcome", "fault", "words"), [(o, f, w) for o, _, f, w in LOSES], ids=[w[1] for w in LOSES]
)
def test_the_request_fails_when_its_attempts_are_used_up(
    site: Site, outcome: BurnOutcome, fault: Fault, words: str
) -> None:
    uid = site.ask()
    site.worker.burner = fault(site)
    while site.worker.make_next():
        pass
    status, info, remedy = read_request(site, uid)
    assert status == R.FAILURE
    assert info == MEANINGS[outcome].info
    assert words in remedy
    with site.ground.database.reading() as session:
        assert listing.find_request(session, uid).pieces_ruined == 1


def test_every_row_of_the_table_has_its_example() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and line.count("|") == 6
    ]
    table = {outcome: row for row in rows[1:] for outcome in row[0].split(", ") if row[0] != "---"}
    assert {*table} == {*BurnOutcome}
    for outcome, (_, status, info, examples, *_) in table.items():
        meaning = MEANINGS[BurnOutcome(outcome)]
        assert info == meaning.info
        assert status.startswith("goes on") == (
            outcome in ("READY", "WRITTEN", "RUINED", "REJECTED", "GONE")
        )
        assert status.endswith("FAILURE") == (meaning.execution_status is R.FAILURE)
        tested_examples = {
            example
            for outcome_of_case, example, *_ in (*WAITS, *LOSES)
            if outcome_of_case == outcome
        }
        documented_examples = set(examples.replace(", or ", "; ").replace(", ", "; ").split("; "))
        assert tested_examples == documented_examples - {""}, outcome
