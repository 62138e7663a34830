"""The mounted stick: when it is written, and what happens to one that was written half."""

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.burn import mounted
from burnish.burn.burner import BurnJob, BurnOutcome
from burnish.burn.mounted import MountedBurner
from burnish.vocabulary import ExecutionStatusInfo
from syncs import recorded_syncs

FILES = {
    "DICOMDIR": b"directory",
    "README.TXT": b"read me",
    "DICOM\\PA000001\\IM000001": b"\1" * 999,
}


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stick"
    path.mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / {path} rw - vfat /dev/sdb1 rw\n"
    )
    monkeypatch.setattr(mounted, "_MOUNTS", mounts)
    return path


@pytest.fixture
def burner(stick: Path) -> MountedBurner:
    return MountedBurner("stick", directory=stick)


@pytest.fixture
def job(tmp_path: Path) -> BurnJob:
    (tmp_path / "image.img").write_bytes(b"image")
    return BurnJob(
        image=tmp_path / "image.img",
        volume_number=1,
        volume_count=1,
        copy_number=1,
        copies=1,
        request_name="R1",
        file_set_id="SET",
        file_set_uid="1.2",
        medium="USB",
        files=lambda: ((name, [content]) for name, content in FILES.items()),
    )


def files_on(stick: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(stick)).replace("/", "\\"): path.read_bytes()
        for path in stick.rglob("*")
        if path.is_file()
    }


def test_the_stick_holds_the_file_set_and_nothing_else(
    burner: MountedBurner, stick: Path, job: BurnJob
) -> None:
    assert burner.write(job).outcome == BurnOutcome.WRITTEN
    assert burner.written(job) == burner.publish(job) == stick
    assert files_on(stick) == FILES
    result = burner.state()
    assert result.outcome == BurnOutcome.HOLD_OPERATOR
    assert result.remedy == "Take the stick out and put in an empty one."


def test_a_folder_on_which_no_stick_is_mounted_is_not_written_to(
    burner: MountedBurner, stick: Path, job: BurnJob
) -> None:
    mounted._MOUNTS.write_text("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    for result in (burner.state(), burner.write(job)):
        assert result.outcome == BurnOutcome.OUT_OF_SUPPLIES
        assert result.execution_status_info == ExecutionStatusInfo.OUT_OF_SUPPLIES
        assert result.remedy == "Put in an empty stick."
    assert files_on(stick) == {}


def test_files_of_other_people_stay(burner: MountedBurner, stick: Path, job: BurnJob) -> None:
    (stick / "holiday.jpg").write_bytes(b"sea")
    for result in (burner.state(), burner.write(job)):
        assert result.outcome == BurnOutcome.HOLD_OPERATOR
    burner.discard(job)
    burner.tidy()
    assert files_on(stick) == {"holiday.jpg": b"sea"}


def test_folders_of_operating_systems_do_no_harm(
    burner: MountedBurner, stick: Path, job: BurnJob
) -> None:
    (stick / "System Volume Information").mkdir()
    assert burner.write(job).outcome == BurnOutcome.WRITTEN


def test_a_stick_that_was_written_half_is_written_again(
    burner: MountedBurner, stick: Path, job: BurnJob
) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        burner.write(job, stop)
    again = MountedBurner("stick", directory=stick)
    assert again.state().outcome == BurnOutcome.READY
    assert again.write(job).outcome == BurnOutcome.WRITTEN
    again.publish(job)
    assert files_on(stick) == FILES


def test_a_stick_that_is_full_or_removed_can_be_written_again(
    burner: MountedBurner, stick: Path, job: BurnJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, outcome in (
        (errno.ENOSPC, BurnOutcome.OUT_OF_SUPPLIES),
        (errno.EIO, BurnOutcome.HOLD_SERVICE),
    ):

        def fail(_: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            assert burner.write(job).outcome == outcome
    assert burner.write(job).outcome == BurnOutcome.WRITTEN
    burner.publish(job)
    assert files_on(stick) == FILES


def test_all_files_and_folders_of_a_stick_are_durable_before_it_is_finished(
    burner: MountedBurner, stick: Path, job: BurnJob
) -> None:
    with recorded_syncs() as syncs:
        burner.write(job)
    assert {stick, *stick.rglob("*")} <= syncs.paths()
    with recorded_syncs() as syncs:
        burner.publish(job)
    assert syncs.paths() == {stick}


def test_a_stick_is_marked_as_unfinished_durably_before_the_first_file(
    burner: MountedBurner, stick: Path, job: BurnJob
) -> None:
    with recorded_syncs() as syncs:

        def files() -> Iterator[tuple[str, list[bytes]]]:
            assert {stick, stick / "BURNISH.TMP"} <= syncs.paths()
            yield "DICOMDIR", [b"directory"]

        assert burner.write(replace(job, files=files)).outcome == BurnOutcome.WRITTEN


def test_a_stick_is_read_back_from_the_medium(
    burner: MountedBurner, stick: Path, job: BurnJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = set()

    def advise(descriptor: int, _start: int, _length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        dropped.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    burner.write(job)
    assert dropped == {path for path in stick.rglob("*") if path.is_file()} - {
        stick / "BURNISH.TMP"
    }


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_stick_that_was_exchanged_is_not_taken_for_the_one_that_was_written(
    burner: MountedBurner, stick: Path, job: BurnJob, is_empty: bool
) -> None:
    burner.write(job)
    for path in stick.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not is_empty:
        (stick / "DICOMDIR").write_bytes(b"of others")
        assert burner.write(job).outcome == BurnOutcome.HOLD_OPERATOR
        burner.discard(job)
        assert files_on(stick) == {"DICOMDIR": b"of others"}
        return
    assert burner.write(job).outcome == BurnOutcome.WRITTEN
    burner.publish(job)
    assert files_on(stick) == FILES
