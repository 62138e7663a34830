"""What every kind of device must do."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.burn import BURNERS, mounted, open_burner
from burnish.burn.burner import MEANINGS, Burner, BurnJob, BurnOutcome
from burnish.errors import InvalidSettings, InvalidValue, Unknown
from burnish.lifecycle import Custody
from burnish.settings import DEVICE_KINDS
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo
from robots.epson import EpsonRobot
from robots.primera import PrimeraRobot
from robots.robot import Robot

SIZE = 300_000


class Bench:
    """A device that works in a directory, and the operator who serves it."""

    def __init__(self, directory: Path) -> None:
        self.burner: Burner = open_burner("folder", "device", directory=directory)

    def put_in_a_blank(self) -> None:
        """Folders need none."""

    def holds(self, job: BurnJob) -> bool:
        return self.burner.written(job).read_bytes()[:SIZE] == job.image.read_bytes()

    def close(self) -> None:
        """Nothing to be put away."""


class OpticalBench(Bench):
    """A pseudo-drive of libburn, in which a file is the disc."""

    def __init__(self, directory: Path) -> None:
        self._disc = directory / "disc"
        self.burner = open_burner("optical", "device", drive=f"stdio:{self._disc}")

    def put_in_a_blank(self) -> None:
        self._disc.unlink(missing_ok=True)


class MountedBench(Bench):
    """A stick that a table of mounted file systems names."""

    def __init__(self, directory: Path) -> None:
        self._stick = directory / "stick 1"
        self._stick.mkdir()
        mounts = directory / "mountinfo"
        where = str(self._stick).replace(" ", "\\040")
        mounts.write_text(f"36 35 8:1 / {where} rw,noatime - vfat /dev/sdb1 rw\n")
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(mounted, "_MOUNTS", mounts)
        self.burner = open_burner("mounted", "device", directory=self._stick)

    def put_in_a_blank(self) -> None:
        shutil.rmtree(self._stick)
        self._stick.mkdir()

    def holds(self, job: BurnJob) -> bool:
        path = self.burner.written(job)
        assert job.files is not None
        return all(
            path.joinpath(*name.split("\\")).read_bytes() == b"".join(chunks)
            for name, chunks in job.files()
        )

    def close(self) -> None:
        self._patch.undo()


class RobotBench(Bench):
    """A simulated robot."""

    def __init__(self, directory: Path, kind: type[Robot], name: str) -> None:
        for folder in ("jobs", "exchange"):
            (directory / folder).mkdir()
        self._robot = kind(directory / "jobs", directory / "exchange").start()
        options = {"directory": directory / "jobs", "exchange": directory / "exchange"}
        self.burner = open_burner(name, "device", **options, poll=0.05)

    def holds(self, job: BurnJob) -> bool:
        self.burner.written(job)
        return self._robot.discs[job.device_job] == job.image.read_bytes()

    def close(self) -> None:
        self._robot.stop()
        assert sorted(set(self._robot.touched)) == sorted(self._robot.touched)


BENCHES: dict[str, Callable[[Path], Bench]] = {
    "folder": Bench,
    "mounted": MountedBench,
    "optical": OpticalBench,
    "primera": lambda directory: RobotBench(directory, PrimeraRobot, "primera"),
    "epson": lambda directory: RobotBench(directory, EpsonRobot, "epson"),
}


@pytest.fixture(params=sorted(BURNERS))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "device").mkdir()
    bench = BENCHES[request.param](tmp_path / "device")
    yield bench
    bench.close()


@pytest.fixture
def burner(bench: Bench) -> Burner:
    return bench.burner


@pytest.fixture
def job(tmp_path: Path) -> BurnJob:
    image = tmp_path / "image.iso"
    image.write_bytes(os.urandom(SIZE))
    return BurnJob(
        files=lambda: [("DICOMDIR", [image.read_bytes()])],
        image=image,
        volume_number=1,
        volume_count=2,
        copy_number=1,
        copies=2,
        request_name="R1",
        file_set_id="TEST",
        file_set_uid="1.2.3",
        manifest={"instances": 4},
        medium="CD",
        device_job="R1-1-abcd",
    )


def test_every_outcome_is_explained() -> None:
    assert MEANINGS.keys() == set(BurnOutcome)
    assert {meaning.info for meaning in MEANINGS.values()} <= set(ExecutionStatusInfo)
    ends = {meaning.execution_status for meaning in MEANINGS.values()}
    assert ends == {None, ExecutionStatus.FAILURE}


def test_every_kind_can_be_configured() -> None:
    assert BURNERS.keys() == DEVICE_KINDS.keys() == BENCHES.keys()


def test_unknown_kinds_are_rejected() -> None:
    with pytest.raises(InvalidSettings) as refused:
        open_burner("teleprinter", "device")
    assert "folder" in refused.value.hint


def test_a_device_is_ready(burner: Burner) -> None:
    result = burner.state()
    assert result.outcome == BurnOutcome.READY
    assert result.execution_status_info == ExecutionStatusInfo.NORMAL
    assert result.takes is None or min(result.takes.values()) > SIZE
    assert burner.custody in Custody


def test_written_then_read_back_then_published(bench: Bench, burner: Burner, job: BurnJob) -> None:
    reports: list[int] = []
    assert burner.write(job, reports.append).outcome == BurnOutcome.WRITTEN
    assert reports == sorted(reports)
    assert reports[-1] == SIZE
    assert bench.holds(job)
    burner.publish(job)


@pytest.mark.parametrize("copy_number", [1, 2])
def test_writing_and_publishing_may_be_repeated(
    bench: Bench, burner: Burner, job: BurnJob, copy_number: int
) -> None:
    job = replace(job, copy_number=copy_number)
    for _ in range(2):
        assert burner.write(job).outcome == BurnOutcome.WRITTEN
    assert bench.holds(job)
    assert burner.publish(job) == burner.publish(job)


def test_copies_and_volumes_are_separate_pieces(
    bench: Bench, burner: Burner, job: BurnJob, tmp_path: Path
) -> None:
    jobs = [
        replace(
            job,
            image=tmp_path / f"{copy}{volume}.iso",
            files=lambda path=tmp_path / f"{copy}{volume}.iso": [("DICOM", [path.read_bytes()])],
            copy_number=copy,
            volume_number=volume,
            device_job=f"{copy}{volume}",
        )
        for copy in (1, 2)
        for volume in (1, 2)
    ]
    for piece in jobs:
        bench.put_in_a_blank()
        piece.image.write_bytes(os.urandom(SIZE))
        with pytest.raises(Unknown):
            burner.written(piece)
        assert burner.write(piece).outcome == BurnOutcome.WRITTEN
        assert bench.holds(piece)
        burner.publish(piece)


def test_a_piece_that_was_not_written_is_unknown(burner: Burner, job: BurnJob) -> None:
    for ask in (burner.written, burner.publish):
        with pytest.raises(Unknown):
            ask(job)


@pytest.mark.parametrize("published", [False, True])
def test_a_discarded_piece_is_unknown(burner: Burner, job: BurnJob, published: bool) -> None:
    burner.discard(job)
    burner.write(job)
    if published:
        burner.publish(job)
    for _ in range(2):
        burner.discard(job)
    with pytest.raises(Unknown):
        burner.written(job)
    assert job.image.stat().st_size == SIZE


def test_an_image_that_does_not_exist_is_gone(burner: Burner, job: BurnJob) -> None:
    job.image.unlink()
    result = burner.write(job)
    assert result.outcome == BurnOutcome.GONE
    assert result.remedy
    with pytest.raises(Unknown):
        burner.written(job)


def test_progress_may_stop_the_writing(bench: Bench, burner: Burner, job: BurnJob) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        burner.write(job, stop)
    with pytest.raises(Unknown):
        burner.written(job)
    burner.discard(job)
    bench.put_in_a_blank()
    job = replace(job, device_job="R1-1-ef01")
    assert burner.write(job).outcome == BurnOutcome.WRITTEN


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\0b", "Ä", "x" * 65])
def test_request_names_that_are_no_folder_names_are_rejected(
    burner: Burner, job: BurnJob, name: str
) -> None:
    with pytest.raises(InvalidValue):
        burner.write(replace(job, request_name=name))
