"""The optical drive: what is burnt, and what is reported of discs and drives that
cannot be used.

Pseudo-drives of libburn replace drives. A script prints what only real drives report.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.burn import libburn
from burnish.burn.burner import BurnJob, BurnOutcome, BurnResult
from burnish.burn.libburn import Drive, Tray
from burnish.burn.optical import OpticalBurner
from burnish.media import SECTOR
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo

CONTENT = os.urandom(700_000)
I = ExecutionStatusInfo  # noqa: E741
SimulatedDrive = Callable[..., OpticalBurner]


@pytest.fixture
def job(tmp_path: Path) -> BurnJob:
    (tmp_path / "image.iso").write_bytes(CONTENT)
    return BurnJob(
        image=tmp_path / "image.iso",
        volume_number=1,
        volume_count=1,
        copy_number=1,
        copies=1,
        request_name="R-7",
        file_set_id="SET",
        file_set_uid="1.2",
        medium="CD",
    )


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    return tmp_path / "disc"


@pytest.fixture
def drive(disc: Path) -> OpticalBurner:
    return OpticalBurner("drive", drive=f"stdio:{disc}")


def script(path: Path, *lines: str) -> str:
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def simulated_drive(tmp_path: Path) -> SimulatedDrive:
    """Makes a drive whose program prints what a test wants of a disc and of burning."""

    def simulate(
        look: str, burn: str = "exit 0", *, code: int = 0, **options: object
    ) -> OpticalBurner:
        program = script(
            tmp_path / "program",
            f'if [ "$1" = -as ]; then echo "$@" > {tmp_path}/asked; {burn}; fi',
            f"cat <<'END'\n{look}\nEND",
            f"exit {code}",
        )
        return OpticalBurner("drive", drive="/nowhere/sr0", program=program, **options)  # type: ignore[arg-type]

    return simulate


def disc_of(medium: str, status: str = "is blank", blocks: int = 359_844) -> str:
    return (
        f"Media current: {medium}\nMedia status : {status}\n"
        f"Media blocks : 0 readable , {blocks} writable , {blocks} overall"
    )


def test_the_image_is_burnt(drive: OpticalBurner, disc: Path, job: BurnJob) -> None:
    assert drive.write(job).outcome == BurnOutcome.WRITTEN
    assert drive.written(job) == disc
    assert disc.read_bytes()[: len(CONTENT)] == CONTENT
    assert not any(disc.read_bytes()[len(CONTENT) :])


def test_a_disc_that_is_not_blank_is_not_written_to(
    drive: OpticalBurner, disc: Path, job: BurnJob
) -> None:
    disc.write_bytes(b"\1" * 100 * SECTOR)
    for result in (drive.state(), drive.write(job)):
        assert result.outcome == BurnOutcome.HOLD_OPERATOR
        assert "not blank" in result.detail
        assert result.remedy == "Put in a blank disc."
    assert disc.read_bytes() == b"\1" * 100 * SECTOR


def test_a_rewritable_disc_is_overwritten_if_the_device_may_erase(disc: Path, job: BurnJob) -> None:
    disc.write_bytes(b"\1" * 100 * SECTOR)
    drive = OpticalBurner("drive", drive=f"stdio:{disc}", erase=True)
    assert drive.write(job).outcome == BurnOutcome.WRITTEN
    assert disc.read_bytes().startswith(CONTENT)


@pytest.mark.parametrize(
    ("name", "message"),
    [("/dev/sr99", "not existing"), ("stdio:/nowhere/disc", "Neither stdio-path")],
)
def test_a_drive_that_does_not_exist_is_held_for_service(
    job: BurnJob, name: str, message: str
) -> None:
    drive = OpticalBurner("drive", drive=name)
    for result in (drive.state(), drive.write(job)):
        assert result.outcome == BurnOutcome.HOLD_SERVICE
        assert result.execution_status_info == I.CHECK_MCD_SRV
        assert message in result.detail
        assert name in result.remedy


def test_a_program_that_does_not_exist_is_held_for_service(disc: Path) -> None:
    drive = OpticalBurner("drive", drive=f"stdio:{disc}", program="/nowhere/xorriso")
    result = drive.state()
    assert result.outcome == BurnOutcome.HOLD_SERVICE
    assert "/nowhere/xorriso" in result.detail


def test_a_write_error_ruins_the_disc(job: BurnJob) -> None:
    drive = OpticalBurner("drive", drive="stdio:/dev/full")
    result = drive.write(job)
    assert result.outcome == BurnOutcome.RUINED
    assert result.execution_status_info == I.MCD_FAILURE
    assert result.meaning.execution_status == ExecutionStatus.FAILURE
    assert "Cannot write" in result.detail
    assert "Throw the disc away" in result.remedy


def test_a_killed_program_ruins_the_disc(tmp_path: Path, job: BurnJob) -> None:
    pid = tmp_path / "pid"
    program = script(tmp_path / "program", f"echo $$ > {pid}", 'exec xorriso "$@"')
    drive = OpticalBurner("drive", drive="stdio:/dev/null", program=program)
    os.truncate(job.image, 4 << 30)
    reports: list[int] = []

    def kill(done: int) -> None:
        if done and not reports:
            os.kill(int(pid.read_text()), signal.SIGKILL)
            reports.append(done)

    result = drive.write(job, kill)
    assert result.outcome == BurnOutcome.RUINED
    assert 0 < reports[0] < 4 << 30


@pytest.mark.parametrize(
    ("medium", "blocks", "takes"),
    [
        ("CD-R", 359_844, {"CD"}),
        ("CD-RW", 359_844, {"CD"}),
        ("DVD-R sequential recording", 2_298_496, {"DVD"}),
        ("DVD-RW restricted overwrite", 2_298_496, {"DVD"}),
        ("DVD+R", 2_295_104, {"DVD"}),
        ("DVD+RW", 2_295_104, {"DVD"}),
        ("DVD-R/DL sequential recording", 4_171_712, {"DVD-DL"}),
        ("DVD+R/DL", 4_173_824, {"DVD-DL"}),
        ("BD-R sequential recording", 12_219_392, {"BD", "BD-DL"}),
        ("BD-RE", 11_826_176, {"BD", "BD-DL"}),
        ("BD-R sequential recording", 24_438_784, {"BD-DL"}),
    ],
)
def test_the_media_that_can_be_made_with_a_blank(
    simulated_drive: SimulatedDrive, medium: str, blocks: int, takes: set[str]
) -> None:
    result = simulated_drive(disc_of(medium, blocks=blocks)).state()
    assert result.outcome == BurnOutcome.READY
    assert result.takes is not None
    assert set(result.takes) == takes
    assert set(result.takes.values()) == {blocks * SECTOR}
    assert medium in result.detail


NO_MEDIUM = "Media current: is not recognizable\nMedia status : is not recognizable"
ACQUIRE = "xorriso : FAILURE : Cannot acquire drive '/dev/sr0'"


@pytest.mark.parametrize(
    ("look", "code", "outcome", "info", "remedy"),
    [
        (NO_MEDIUM, 0, BurnOutcome.OUT_OF_SUPPLIES, I.OUT_OF_SUPPLIES, "blank disc"),
        (
            disc_of("CD-R", "is written , is closed", 0),
            0,
            BurnOutcome.HOLD_OPERATOR,
            I.CHECK_MCD_OP,
            "blank disc",
        ),
        (
            disc_of("CD-RW", "is written , is appendable"),
            0,
            BurnOutcome.HOLD_OPERATOR,
            I.CHECK_MCD_OP,
            "blank disc",
        ),
        (disc_of("DVD-ROM"), 0, BurnOutcome.HOLD_OPERATOR, I.CHECK_MCD_OP, "blank disc"),
        (disc_of("DVD-RAM"), 0, BurnOutcome.HOLD_OPERATOR, I.CHECK_MCD_OP, "blank disc"),
        (
            f"libburn : SORRY : Cannot open busy device '/dev/sr0'\n{ACQUIRE}",
            5,
            BurnOutcome.BUSY,
            I.MCD_BUSY,
            "End what else uses",
        ),
        (ACQUIRE, 5, BurnOutcome.HOLD_SERVICE, I.CHECK_MCD_SRV, "/nowhere/sr0"),
        ("something new", 9, BurnOutcome.HOLD_SERVICE, I.CHECK_MCD_SRV, "/nowhere/sr0"),
    ],
)
def test_discs_and_drives_that_cannot_be_used(
    simulated_drive: SimulatedDrive,
    look: str,
    code: int,
    outcome: BurnOutcome,
    info: ExecutionStatusInfo,
    remedy: str,
) -> None:
    result = simulated_drive(look, code=code).state()
    assert result.outcome == outcome
    assert result.execution_status_info == info
    assert remedy in result.remedy
    assert result.detail.startswith("device drive: ")


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (disc_of("DVD+R"), "DVD+R"),
        (disc_of("CD-R", blocks=300), f"holds {300 * SECTOR} of the {len(CONTENT)} bytes"),
    ],
)
def test_a_blank_of_another_kind_or_too_small_is_not_written_to(
    simulated_drive: SimulatedDrive, job: BurnJob, tmp_path: Path, look: str, reason: str
) -> None:
    result = simulated_drive(look).write(job)
    assert result.outcome == BurnOutcome.HOLD_OPERATOR
    assert reason in result.detail
    assert result.remedy == "Put in a blank CD that holds 1 MB."
    assert not (tmp_path / "asked").exists()


BEGUN = "echo Beginning to write data track."


@pytest.mark.parametrize(
    ("burn", "outcome"),
    [
        ("echo 'FAILURE : Image size 9s exceeds free space on media 8s'; exit 5", "HOLD_OPERATOR"),
        ("echo 'FAILURE : Cannot write desired amount'; exit 5", "HOLD_SERVICE"),
        (f"{BEGUN}; echo 'FATAL : Lost connection to drive'; exit 5", "RUINED"),
        (f"{BEGUN}; kill -9 $$", "RUINED"),
        (f"{BEGUN}; exit 0", "WRITTEN"),
    ],
)
def test_a_blank_is_ruined_only_once_it_is_written_to(
    simulated_drive: SimulatedDrive, job: BurnJob, burn: str, outcome: str
) -> None:
    assert simulated_drive(disc_of("CD-R"), burn).write(job).outcome == outcome


def test_the_arguments_of_the_program(
    simulated_drive: SimulatedDrive, job: BurnJob, tmp_path: Path
) -> None:
    simulated_drive(disc_of("CD-RW", "is written , is closed"), speed=4, erase=True).write(job)
    assert (tmp_path / "asked").read_text().split() == [
        "-as",
        "cdrecord",
        "-v",
        "dev=/nowhere/sr0",
        "padsize=0",
        "speed=4",
        "blank=as_needed",
        str(job.image),
    ]


def test_a_cd_stays_open_and_a_dvd_is_finalised_without_finalise(
    simulated_drive: SimulatedDrive, job: BurnJob, tmp_path: Path
) -> None:
    """Without -multi, the session is closed and the disc finalised (PS3.11 D.2.1.1, H.2.1.1)."""
    for disc, medium, open_ in (("CD-R", "CD", True), ("DVD+R", "DVD", False)):
        drive = simulated_drive(disc_of(disc), finalise=False)
        drive.write(replace(job, medium=medium))
        how = ["--grow_overwriteable_iso", "padsize=150s", "-multi"] if open_ else ["padsize=0"]
        assert (tmp_path / "asked").read_text().split()[4:] == [*how, str(job.image)]


def test_a_disc_that_stays_open_needs_room_for_the_padding(
    simulated_drive: SimulatedDrive, job: BurnJob
) -> None:
    blocks = -(-len(CONTENT) // SECTOR)
    drive = simulated_drive(disc_of("CD-R", blocks=blocks + 149), finalise=False)
    assert drive.write(job).outcome == BurnOutcome.HOLD_OPERATOR
    drive = simulated_drive(disc_of("CD-R", blocks=blocks + 150), finalise=False)
    assert drive.write(job).outcome == BurnOutcome.WRITTEN


@pytest.fixture
def late(job: BurnJob, tmp_path: Path) -> OpticalBurner:
    """A drive whose disc the system sees only after the tray has opened and closed."""
    device, ejected = tmp_path / "sr0", tmp_path / "ejected"
    device.touch()
    program = script(
        tmp_path / "program",
        f'[ "$3" = -eject ] && touch {ejected}',
        f'[ "$3" = -toc ] && [ -e {ejected} ] && [ ! -e {tmp_path}/stuck ]'
        f" && cp {job.image} {device}",
        f"cat <<'END'\n{disc_of('CD-R')}\nEND",
    )
    return OpticalBurner("drive", drive=str(device), program=program, eject=False)


def test_a_disc_is_read_back_once_the_system_sees_it(late: OpticalBurner, job: BurnJob) -> None:
    """Linux may keep the size that a drive had before: here none at all."""
    results: list[BurnResult] = []
    assert late.write(job, tell=results.append).outcome == BurnOutcome.WRITTEN
    assert late.written(job).read_bytes() == CONTENT
    assert [result.outcome for result in results] == [BurnOutcome.READY]


def test_the_operator_closes_a_tray_that_the_drive_cannot_close(
    late: OpticalBurner, job: BurnJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ejected = tmp_path / "ejected"
    (tmp_path / "stuck").touch()
    monkeypatch.setattr(libburn, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(Drive, "tray", lambda _: Tray.OPEN if ejected.exists() else None)
    results: list[BurnResult] = []

    def push(result: BurnResult) -> None:
        results.append(result)
        (tmp_path / "sr0").write_bytes(CONTENT)

    assert late.write(job, tell=push).outcome == BurnOutcome.WRITTEN
    held, going_on = results
    assert held.outcome == BurnOutcome.HOLD_OPERATOR
    assert held.execution_status_info == I.CHECK_MCD_OP
    assert held.remedy == "Push the tray in, with the disc that was just burnt."
    assert going_on.outcome == BurnOutcome.READY


def test_reading_back_reports_a_disc_that_the_system_never_sees(
    late: OpticalBurner, job: BurnJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stuck").touch()
    monkeypatch.setattr(libburn, "_LOOK_EVERY", 0.1)
    monkeypatch.setattr(libburn, "EXAMINE_WITHIN", 3)  # the program too must answer within this
    assert late.write(job).outcome == BurnOutcome.WRITTEN
    assert not late.written(job).read_bytes()


def test_the_tray_opens_only_if_the_device_may_eject(
    simulated_drive: SimulatedDrive, job: BurnJob, tmp_path: Path
) -> None:
    ejected = tmp_path / "ejected"
    for eject in (False, True):
        drive = simulated_drive(
            f"{disc_of('CD-R')}\nEND\n[ $3 = -eject ] && touch {ejected}\ncat <<'END'"
        )
        drive._eject = eject
        drive.write(job)
        assert not ejected.exists()
        drive.publish(job)
        assert ejected.exists() == eject
