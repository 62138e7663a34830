"""What every kind of device must do, whatever it is."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.burn import BURNERS, open_burner
from burnish.burn.burner import EXECUTION_STATUS_INFO, Burner, BurnJob, BurnOutcome
from burnish.errors import InvalidSettings, InvalidValue, Unknown
from burnish.vocabulary import ExecutionStatusInfo

#: How to open a device of each kind that has nothing but a directory to work in.
OPEN: dict[str, Callable[[Path], Burner]] = {
    "folder": lambda directory: open_burner("folder", "device", directory=directory),
}
SIZE = 300_000


@pytest.fixture(params=sorted(BURNERS))
def burner(request: pytest.FixtureRequest, tmp_path: Path) -> Burner:
    (tmp_path / "device").mkdir()
    return OPEN[request.param](tmp_path / "device")


@pytest.fixture
def job(tmp_path: Path) -> BurnJob:
    image = tmp_path / "image.iso"
    image.write_bytes(os.urandom(SIZE))
    return BurnJob(
        image=image,
        volume_number=1,
        volume_count=2,
        copy_number=1,
        copies=2,
        request_name="R1",
        file_set_id="TEST",
        file_set_uid="1.2.3",
        manifest={"instances": 4},
    )


def _holds(burner: Burner, job: BurnJob) -> bool:
    return burner.written(job).read_bytes()[:SIZE] == job.image.read_bytes()


def test_every_outcome_is_explained() -> None:
    assert EXECUTION_STATUS_INFO.keys() == set(BurnOutcome)
    assert set(EXECUTION_STATUS_INFO.values()) <= set(ExecutionStatusInfo)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(InvalidSettings) as refused:
        open_burner("teleprinter", "device")
    assert "folder" in refused.value.hint


def test_a_device_is_ready(burner: Burner) -> None:
    result = burner.state()
    assert (burner.name, result.outcome) == ("device", BurnOutcome.READY)
    assert result.execution_status_info == ExecutionStatusInfo.NORMAL


def test_a_piece_is_written_read_back_and_published(burner: Burner, job: BurnJob) -> None:
    reports: list[int] = []
    assert burner.write(job, reports.append).outcome == BurnOutcome.WRITTEN
    assert reports == sorted(reports)
    assert reports[-1] == SIZE
    assert _holds(burner, job)
    burner.publish(job)
    assert _holds(burner, job)


@pytest.mark.parametrize("copy_number", [1, 2])
def test_everything_may_be_done_again(burner: Burner, job: BurnJob, copy_number: int) -> None:
    job = replace(job, copy_number=copy_number)
    for _ in range(2):
        for _ in range(2):
            assert burner.write(job).outcome == BurnOutcome.WRITTEN
        assert _holds(burner, job)
        assert burner.publish(job) == burner.publish(job)
        assert _holds(burner, job)


def test_copies_and_volumes_are_pieces_of_their_own(burner: Burner, job: BurnJob) -> None:
    jobs = [
        replace(job, copy_number=copy, volume_number=volume, request_name=name)
        for copy in (1, 2)
        for volume in (1, 2)
        for name in ("R1", "R2")
    ]
    for each in jobs:
        burner.write(each)
    published = {burner.publish(each) for each in jobs}
    assert len(published) == len(jobs)
    burner.discard(jobs[0])
    assert all(_holds(burner, each) for each in jobs[1:])


def test_what_was_not_written_is_unknown(burner: Burner, job: BurnJob) -> None:
    for ask in (burner.written, burner.publish):
        with pytest.raises(Unknown):
            ask(job)


@pytest.mark.parametrize("published", [False, True])
def test_discarding_leaves_nothing(burner: Burner, job: BurnJob, published: bool) -> None:
    burner.discard(job)
    burner.write(job)
    if published:
        burner.publish(job)
    for _ in range(2):
        burner.discard(job)
    with pytest.raises(Unknown):
        burner.written(job)
    assert job.image.stat().st_size == SIZE


def test_an_image_that_is_gone(burner: Burner, job: BurnJob) -> None:
    job.image.unlink()
    result = burner.write(job)
    assert result.outcome == BurnOutcome.GONE
    assert result.remedy
    with pytest.raises(Unknown):
        burner.written(job)


def test_progress_may_stop_it(burner: Burner, job: BurnJob) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        burner.write(job, stop)
    with pytest.raises(Unknown):
        burner.written(job)
    assert burner.write(job).outcome == BurnOutcome.WRITTEN


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\0b", "Ä", "x" * 65])
def test_names_that_lead_astray_are_refused(burner: Burner, job: BurnJob, name: str) -> None:
    with pytest.raises(InvalidValue):
        burner.write(replace(job, request_name=name))
