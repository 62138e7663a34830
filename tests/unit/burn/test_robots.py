"""Robots by hot folder, against simulations: jobs are never sent twice, followed, cancelled."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from burnish.burn import hot_folder, primera
from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult
from burnish.burn.epson import EpsonBurner
from burnish.burn.hot_folder import HotFolderBurner
from burnish.burn.primera import PrimeraBurner
from burnish.errors import Unknown
from burnish.label import LabelContent, Patient, merge_fields
from burnish.vocabulary import ExecutionStatusInfo
from robots.epson import EpsonRobot
from robots.primera import PrimeraRobot
from robots.robot import Robot
from syncs import recorded_syncs

O, I = BurnOutcome, ExecutionStatusInfo  # noqa: E741
CONTENT = os.urandom(100_000)
SHARE = "\\\\server\\burnish"


@dataclass
class RobotBench:
    robot: Robot
    burner_kind: type[HotFolderBurner]

    def burner(self) -> HotFolderBurner:
        """A burner that knows nothing of what another did, as after a restart."""
        return self.burner_kind(
            "robot",
            directory=self.robot.folder,
            exchange=self.robot.exchange,
            seen_as=SHARE,
            poll=0.02,
        )


@pytest.fixture(params=["primera", "epson"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RobotBench]:
    kind = {"primera": PrimeraRobot, "epson": EpsonRobot}[request.param]
    for name in ("jobs", "exchange"):
        (tmp_path / name).mkdir()
    robot = kind(tmp_path / "jobs", tmp_path / "exchange", SHARE)
    burner = {"primera": PrimeraBurner, "epson": EpsonBurner}[request.param]
    yield RobotBench(robot, burner)
    robot.stop()


@pytest.fixture
def job(tmp_path: Path) -> BurnJob:
    image = tmp_path / "image.iso"
    image.write_bytes(CONTENT)
    return BurnJob(
        image=image,
        volume_number=1,
        volume_count=1,
        copy_number=1,
        copies=1,
        request_name="R000007",
        file_set_id="SET_1",
        file_set_uid="1.2",
        medium="CD",
        device_job="R000007-12-0a1b2c3d",
        files=lambda: [("DICOMDIR", [CONTENT[:10]]), ("DICOM\\A\\B", [CONTENT[10:]])],
    )


def test_the_job_file_for_primera(tmp_path: Path, job: BurnJob) -> None:
    label = tmp_path / "label.prn"
    label.write_bytes(b"label")
    burner = PrimeraBurner(
        "p", directory=tmp_path, exchange=tmp_path, seen_as=SHARE, robot="XRP", speed=8
    )
    _send_only(burner, replace(job, label=label))
    text = (tmp_path / f"{job.device_job}.JRQ").read_bytes().decode("cp1252")
    folder = f"{SHARE}\\{job.device_job}"
    assert text.split("\r\n") == [
        f"JobID = {job.device_job}",
        "ClientID = Burnish",
        f"ImageFile = {folder}\\image.iso",
        "ImageType = MODE_1_2048",
        "DiscType = CDR",
        "Copies = 1",
        "CloseDisc = YES",
        "VerifyDisc = YES",
        "RejectIfNotBlank = YES",
        "BurnSpeed = 8",
        "RobotName = XRP",
        f"PrintLabel = {folder}\\label.prn",
        "",
    ]


def test_the_job_file_for_epson(tmp_path: Path, job: BurnJob) -> None:
    lines = ("CLOSE_DISC=YES",)
    burner = EpsonBurner(
        "e",
        directory=tmp_path,
        exchange=tmp_path,
        seen_as=SHARE,
        publisher="Publisher 0",
        job_lines=lines,
    )
    _send_only(burner, job)
    text = (tmp_path / f"{job.device_job}.JDF").read_bytes().decode("cp1252")
    assert text.split("\r\n") == [
        f"JOB_ID={job.device_job}",
        "PUBLISHER=Publisher 0",
        "COPIES=1",
        "DISC_TYPE=CD",
        "FORMAT=ISO9660L2",
        f"DATA={SHARE}\\{job.device_job}\\DISC",
        "VOLUME_LABEL=SET_1",
        "CLOSE_DISC=YES",
        "",
    ]
    disc = tmp_path / job.device_job / "DISC"
    assert (disc / "DICOMDIR").read_bytes() == CONTENT[:10]
    assert (disc / "DICOM" / "A" / "B").read_bytes() == CONTENT[10:]


def test_epson_prints_its_template_with_the_fields_of_the_label(
    tmp_path: Path, job: BurnJob
) -> None:
    content = LabelContent(
        file_set_id="SET_1",
        volume_number=2,
        volume_count=3,
        label_text="second\nopinion",
        patients=(Patient("Müller^Änne=山田", "7"),),
    )
    label = tmp_path / "label.dat"
    merged = merge_fields(content)
    label.write_bytes(merged.data)
    assert merged.notes == ("the robot's software cannot print 2 characters",)
    robot = EpsonRobot(tmp_path / "jobs", tmp_path / "exchange", SHARE)
    for folder in (robot.folder, robot.exchange):
        folder.mkdir()
    burner = EpsonBurner(
        "e",
        directory=robot.folder,
        exchange=robot.exchange,
        seen_as=SHARE,
        label_template="C:\\labels\\burnish.tdd",
        poll=0.01,
    )
    written = burner.write(replace(job, label=label), lambda _: robot.step())
    assert written.outcome == O.WRITTEN
    assert robot.jobs[job.device_job]["LABEL"] == "C:\\labels\\burnish.tdd"
    fields = robot.labels[job.device_job]
    assert fields.items() >= {
        ("file_set_id", "SET_1"),
        ("volume_number", "2"),
        ("volume_count", "3"),
        ("patient_name", "Müller, Änne"),
        ("patient_id", "7"),
        ("label_text", "second opinion"),
        ("ideographic_name", "??"),
    }
    assert len(robot.discs[job.device_job]) == len(CONTENT)


class _Sent(Exception):
    pass


def _send_only(burner: HotFolderBurner, job: BurnJob) -> None:
    def stop(_: BurnResult) -> None:
        raise _Sent

    with pytest.raises(_Sent):
        burner.write(job, tell=stop)


@pytest.mark.parametrize(("fault", "words"), [("ruin", ""), ("verify", ""), ("forget", "knows")])
def test_a_disc_that_the_robot_rejects_or_loses_is_ruined(
    bench: RobotBench, job: BurnJob, fault: str, words: str
) -> None:
    bench.robot.faults = [fault]
    bench.robot.start()
    burner = bench.burner()
    result = burner.write(job)
    assert result.outcome == O.RUINED
    assert result.execution_status_info == I.MCD_FAILURE
    assert words in result.detail
    assert "hrow" in result.remedy
    with pytest.raises(Unknown):
        burner.written(job)
    burner.discard(job)
    assert list(bench.robot.exchange.iterdir()) == []


@pytest.mark.parametrize("fault", ["label", "large"])
def test_a_job_that_the_robot_does_not_accept_is_no_fault_of_the_robot(
    bench: RobotBench, job: BurnJob, fault: str
) -> None:
    bench.robot.faults = [fault]
    bench.robot.start()
    result = bench.burner().write(job)
    assert result.outcome == O.REJECTED
    assert result.execution_status_info == I.PROC_FAILURE
    assert result.detail
    assert bench.robot.touched == []


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ("JobErrorNumber=20\nDiscErrorNumber0=11\nDiscErrorNumber1=0", O.REJECTED),
        ("JobErrorNumber=20\nDiscErrorNumber0=11\nDiscErrorNumber1=18", O.RUINED),
        ("JobErrorNumber=20", O.RUINED),
        ("JobErrorNumber=0\nDiscErrorNumber0=12", O.RUINED),
    ],
)
def test_primera_tells_by_the_errors_of_discs_why_a_job_failed(
    tmp_path: Path, job: BurnJob, facts: str, outcome: BurnOutcome
) -> None:
    (tmp_path / f"{job.device_job}.ERR").touch()
    (tmp_path / "Status").mkdir()
    (tmp_path / "Status" / "robot.txt").write_text(f"[{job.device_job}]\n{facts}\n")
    (tmp_path / job.device_job).mkdir()
    burner = PrimeraBurner("p", directory=tmp_path, exchange=tmp_path, poll=0.01)
    assert burner.write(job).outcome == outcome


def test_a_job_waits_until_there_are_blanks(bench: RobotBench, job: BurnJob) -> None:
    bench.robot.blanks = 0
    bench.robot.start()
    results: list[BurnResult] = []

    def tell(result: BurnResult) -> None:
        results.append(result)
        if result.outcome is O.OUT_OF_SUPPLIES:
            bench.robot.blanks = 3

    assert bench.burner().write(job, tell=tell).outcome == O.WRITTEN
    (held,) = {result.remedy for result in results if result.outcome is O.OUT_OF_SUPPLIES}
    assert "blanks" in held
    assert bench.robot.good == [job.device_job]


def test_a_job_waits_for_the_jobs_before_it(bench: RobotBench, job: BurnJob) -> None:
    bench.robot.start()
    first, second = bench.burner(), bench.burner()
    bench.robot.paused = True
    results: list[str] = []

    def tell(result: BurnResult) -> None:
        results.append(result.outcome)
        if result.outcome is O.BUSY:
            bench.robot.paused = False

    earlier_job = replace(job, device_job="R000006-9-ffffffff")
    thread = threading.Thread(target=first.write, args=(earlier_job,))
    thread.start()
    while not any(bench.robot.jobs):
        thread.join(0.01)
    assert second.write(job, tell=tell).outcome == O.WRITTEN
    thread.join()
    assert O.BUSY in results
    assert bench.robot.good == [earlier_job.device_job, job.device_job]


def test_a_robot_that_does_not_answer_is_held_for_service(
    bench: RobotBench, job: BurnJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_folder, "SILENCE", 0.2)
    bench.robot.step()
    bench.robot.running = False
    bench.robot.start()
    results: list[BurnResult] = []

    def tell(result: BurnResult) -> None:
        results.append(result)
        if result.outcome is O.HOLD_SERVICE:
            bench.robot.running = True

    assert bench.burner().write(job, tell=tell).outcome == O.WRITTEN
    (held,) = {r.remedy for r in results if r.outcome is O.HOLD_SERVICE}
    assert "computer is on" in held


def test_a_folder_that_does_not_exist_is_held(bench: RobotBench, job: BurnJob) -> None:
    bench.robot.exchange.rename(bench.robot.exchange.with_name("away"))
    burner = bench.burner()
    assert burner.state().outcome == O.HOLD_SERVICE
    assert str(bench.robot.exchange) in burner.state().remedy
    assert burner.write(job).outcome == O.HOLD_OPERATOR
    assert list(bench.robot.folder.iterdir()) == []


@pytest.mark.parametrize("when", range(8))
def test_after_a_crash_the_job_is_followed_and_not_sent_again(
    bench: RobotBench, job: BurnJob, when: int
) -> None:
    """The next process knows only the name of the job and what is in the folders."""
    calls = 0

    def crash(_: object) -> None:
        nonlocal calls
        bench.robot.step()
        calls += 1
        if calls == when:
            raise _Sent

    try:
        done = bench.burner().write(job, crash, crash)
    except _Sent:
        done = bench.burner().write(job, crash, crash)
    assert done.outcome == O.WRITTEN
    assert bench.burner().write(job).outcome == O.WRITTEN
    assert bench.robot.touched == bench.robot.good == [job.device_job]


def test_a_job_that_was_not_sent_before_a_crash_is_sent(bench: RobotBench, job: BurnJob) -> None:
    half = bench.robot.exchange / job.device_job
    half.mkdir()
    (half / "half").touch()
    (bench.robot.exchange / f"{job.device_job}.new").touch()
    bench.robot.start()
    assert bench.burner().write(job).outcome == O.WRITTEN
    assert not (half / "half").exists()


def test_a_sent_job_that_the_robot_lost_is_not_sent_again(bench: RobotBench, job: BurnJob) -> None:
    (bench.robot.exchange / job.device_job).mkdir()
    bench.robot.start()
    assert bench.burner().write(job).outcome == O.RUINED
    assert bench.robot.touched == []


def test_a_job_that_the_robot_has_is_cancelled_by_the_robot(
    bench: RobotBench, job: BurnJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The robot may still read the files of the job, so they are removed later."""
    bench.robot.paused = True
    _send_only(bench.burner(), job)
    bench.robot.step()
    bench.burner().discard(job)
    job_folder = bench.robot.exchange / job.device_job
    assert job_folder.is_dir()
    bench.robot.paused = False
    for _ in range(3):
        bench.robot.step()
    assert bench.robot.touched == []
    (job_file,) = bench.robot.folder.glob(f"{job.device_job}.[DE]*")
    assert job_file.suffix == (".ERR" if isinstance(bench.robot, PrimeraRobot) else ".DON")
    bench.burner().tidy()
    assert job_folder.is_dir()
    monkeypatch.setattr(hot_folder, "_KEEP_CANCELLED", -1)
    bench.burner().tidy()
    assert list(bench.robot.exchange.iterdir()) == []


def test_a_job_that_the_robot_has_not_taken_is_withdrawn(bench: RobotBench, job: BurnJob) -> None:
    """Primera's robot never hears of it; Epson's must be told to cancel it."""
    _send_only(bench.burner(), job)
    bench.burner().discard(job)
    if bench.burner_kind.withdraws:
        assert list(bench.robot.folder.iterdir()) == []
        assert list(bench.robot.exchange.iterdir()) == []
    for _ in range(4):
        bench.robot.step()
    assert bench.robot.touched == []
    assert set(bench.robot.jobs) == (set() if bench.burner_kind.withdraws else {job.device_job})


def test_a_withdrawn_job_is_as_one_that_was_never_sent(tmp_path: Path, job: BurnJob) -> None:
    """After a crash it is withdrawn again after the restart, or else sent once."""
    robot = PrimeraRobot(tmp_path / "jobs", tmp_path / "exchange", SHARE)
    for folder in (robot.folder, robot.exchange):
        folder.mkdir()
    first, second = (RobotBench(robot, PrimeraBurner).burner() for _ in range(2))
    _send_only(first, job)
    assert first._withdraw(job)
    assert not second._withdraw(job)
    robot.step()
    assert robot.jobs == {}
    assert second.write(job, lambda _: robot.step()).outcome == O.WRITTEN
    assert robot.touched == robot.good == [job.device_job]
    second.discard(job)
    assert list(robot.exchange.iterdir()) == []


def test_either_the_robot_takes_a_job_or_the_service_withdraws_it(
    tmp_path: Path, job: BurnJob
) -> None:
    """Both rename the same file, and only one of them can."""
    robot = PrimeraRobot(tmp_path / "jobs", tmp_path / "exchange", SHARE)
    for folder in (robot.folder, robot.exchange):
        folder.mkdir()
    robot.paused = True
    burner = RobotBench(robot, PrimeraBurner).burner()
    for number in range(15):
        numbered_job = replace(job, device_job=f"R000007-{number}-0a1b2c3d")
        _send_only(burner, numbered_job)
        thread = threading.Thread(target=robot.step)
        thread.start()
        withdrawn = burner._withdraw(numbered_job)
        thread.join()
        assert withdrawn is (numbered_job.device_job not in robot.jobs)
        burner.discard(numbered_job)
        robot.step()
        assert robot.jobs.get(numbered_job.device_job, {}).get("JobState", "3") == "3"


def test_a_job_cancelled_at_the_robot_is_no_fault_of_the_robot(
    bench: RobotBench, job: BurnJob
) -> None:
    """TD Bridge reports such a job as completed, PTBurn as an error."""
    bench.robot.paused = True
    bench.robot.step()
    burner = bench.burner()

    def cancel(_: BurnResult) -> None:
        bench.robot.step()
        if job.device_job in bench.robot.jobs:
            burner._move_in(job, burner.cancel_suffix, burner._cancel_text(job))

    result = burner.write(job, tell=cancel)
    assert result.outcome == O.REJECTED
    assert result.execution_status_info == I.PROC_FAILURE
    assert "at the robot" in result.detail
    assert bench.robot.touched == []


def test_a_paused_job_of_epson_is_followed(tmp_path: Path, job: BurnJob) -> None:
    robot = EpsonRobot(tmp_path, tmp_path, SHARE)
    burner = EpsonBurner("e", directory=tmp_path, exchange=tmp_path, seen_as=SHARE, poll=0.01)
    reports: list[tuple[str, BurnOutcome]] = []

    def tell(result: BurnResult) -> None:
        (suffix,) = (path.suffix for path in tmp_path.glob(f"{job.device_job}.[A-Z]*"))
        reports.append((suffix, result.outcome))
        robot.paused = suffix == ".INP" and (".STP", O.HOLD_OPERATOR) not in reports
        robot.step()

    assert burner.write(job, tell=tell).outcome == O.WRITTEN
    assert (".STP", O.HOLD_OPERATOR) in reports
    assert robot.touched == robot.good == [job.device_job]


def test_a_finished_job_of_epson_counts_only_with_a_disc(tmp_path: Path, job: BurnJob) -> None:
    """A job whose file is DON is followed until the status file reports a disc."""
    burner = EpsonBurner("e", directory=tmp_path, exchange=tmp_path, seen_as=SHARE, poll=0.01)
    (tmp_path / f"{job.device_job}.DON").touch()
    status = tmp_path / "TDBStatus.txt"
    status.write_text("[PUBLISHER1]\nSTACKER1=50\n")
    assert burner._final_result(job) is None
    held = burner._job_problem(job)
    assert held is not None
    assert held.outcome == O.HOLD_OPERATOR
    assert held.execution_status_info == I.CHECK_MCD_OP
    assert "TDBStatus.txt" in held.remedy
    sections = ["STATUS=2\nCOMPLETION_NUMBER=0", "STATUS=4\nCOMPLETION_NUMBER=1", "STATUS=4"]
    outcomes = []
    for section in sections:
        status.write_text(f"[{job.device_job}]\n{section}\n")
        result = burner._final_result(job)
        outcomes.append(result and result.outcome)
    assert outcomes == [None, O.WRITTEN, O.RUINED]


@pytest.mark.parametrize(
    ("set_", "outcome", "remedy"),
    [
        (lambda robot: setattr(robot, "error", 6), O.OUT_OF_SUPPLIES, "ink"),
        (lambda robot: setattr(robot, "error", 22), O.HOLD_OPERATOR, "what the robot shows"),
    ],
)
def test_problems_of_a_primera_robot_are_reported(
    tmp_path: Path, set_: Callable[[Robot], None], outcome: BurnOutcome, remedy: str
) -> None:
    robot = PrimeraRobot(tmp_path, tmp_path)
    set_(robot)
    robot.step()
    result = PrimeraBurner("p", directory=tmp_path, exchange=tmp_path).state()
    assert result.outcome == outcome
    assert remedy in result.remedy


def test_problems_of_an_epson_robot_are_reported(tmp_path: Path, job: BurnJob) -> None:
    robot = EpsonRobot(tmp_path, tmp_path, SHARE)
    burner = EpsonBurner("e", directory=tmp_path, exchange=tmp_path, seen_as=SHARE, poll=0.01)
    robot.ink = 0
    robot.step()
    assert burner.state().outcome == O.OUT_OF_SUPPLIES
    assert "INK_C" in burner.state().detail
    robot.ink, robot.paused = 50, True
    results: list[BurnResult] = []

    def tell(result: BurnResult) -> None:
        results.append(result)
        robot.paused = result.outcome is not O.HOLD_OPERATOR
        robot.step()

    assert burner.write(job, tell=tell).outcome == O.WRITTEN
    assert any("E123" in result.detail for result in results)


@pytest.mark.parametrize("linked", [True, False])
def test_a_job_is_durable_before_the_robot_gets_it(
    bench: RobotBench, job: BurnJob, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    if not linked:
        monkeypatch.setattr(primera, "link", lambda *_: False)
    burner = bench.burner()
    jobs, exchange = bench.robot.folder, bench.robot.exchange
    moved_in = jobs / f"{job.device_job}{burner.suffix}"

    def stop(_: int) -> None:
        if moved_in.exists():
            raise KeyboardInterrupt

    with recorded_syncs() as syncs, pytest.raises(KeyboardInterrupt):
        burner.write(job, stop)
    content = list((exchange / job.device_job).rglob("*"))
    assert content
    for path in content:
        is_link = path.is_file() and path.stat().st_nlink > 1
        assert is_link or path in syncs.paths(), path
    assert {exchange, exchange / job.device_job} <= syncs.paths()
    unsent = exchange / f"{job.device_job}.new"
    assert syncs.order(unsent) < syncs.order(moved_in)


def test_a_share_whose_folders_cannot_be_synced_gets_its_jobs(
    bench: RobotBench, job: BurnJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    bench.robot.start()
    assert bench.burner().write(job).outcome == BurnOutcome.WRITTEN


def test_the_reason_that_follows_the_end_of_a_job_is_waited_for(
    tmp_path: Path, job: BurnJob
) -> None:
    """The robot renames the job's file before its status tells what was wrong."""
    burner = PrimeraBurner("robot", directory=tmp_path, exchange=tmp_path / "exchange")
    (tmp_path / "exchange").mkdir()
    (tmp_path / "Status").mkdir()
    looks = 0

    def look(_: float) -> None:
        nonlocal looks
        looks += 1
        sent = tmp_path / f"{job.device_job}.JRQ"
        if looks == 1:
            sent.rename(sent.with_suffix(".ERR"))
        elif looks == 3:
            status = f"[{job.device_job}]\nJobErrorNumber=16\n"
            (tmp_path / "Status" / "robot.txt").write_text(status)

    burner._pause.wait = look  # type: ignore[assignment,method-assign]
    result = burner.write(job)
    assert result.outcome is BurnOutcome.REJECTED
    assert "aborted" in result.detail
