"""`burnish disc burn`: burns an image while the service stays off the drive."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from sqlalchemy import update

from burnish.burn.burner import BurnResult
from burnish.burn.primera import PrimeraBurner
from burnish.db import devices, queue
from burnish.db.tables import Piece
from burnish.plan.planner import Planner
from burnish.settings import DeviceSettings
from burnish.write.worker import Worker
from factories import Ground, instance
from robots.primera import PrimeraRobot
from unit.burn.test_optical import script
from unit.cli.conftest import Done, Run


class Site:
    """An installation with drives and a robot, and an image to burn."""

    def __init__(self, folder: Path, run: Run, ground: Ground, robot: PrimeraRobot) -> None:
        self.folder, self.ground, self.robot, self._run = folder, ground, robot, run
        self.disc, self.image = folder / "disc", folder / "made" / "VOLUME01.iso"
        run("disc", "build", get_testdata_file("CT_small.dcm"), "--output", folder / "made")

    def burn(self, device: str, *options: object) -> Done:
        config = self.folder / "burnish.toml"
        return self._run("disc", "burn", self.image, device, *options, "--config", config)

    def standing(self, device: str = "drive") -> devices.Standing:
        with self.ground.database.reading() as session:
            return devices.standing(session, device)


@pytest.fixture
def site(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    root = tmp_path / "root"
    for name in ("jobs", "exchange"):
        (tmp_path / name).mkdir()
    flip = f"printf x | dd of={tmp_path}/disc bs=1 seek=40960 conv=notrunc 2>/dev/null"
    program = script(tmp_path / "lying", f'xorriso "$@"; code=$?; {flip}; exit $code')
    tables = [
        f'name = "drive"\nkind = "optical"\nmedia = ["CD"]\ndrive = "stdio:{tmp_path}/disc"',
        'name = "tired"\nkind = "optical"\ndrive = "stdio:/dev/full"',
        f'name = "lying"\nkind = "optical"\ndrive = "stdio:{tmp_path}/disc"\nprogram = "{program}"',
        f'name = "robot"\nkind = "primera"\ndirectory = "{tmp_path}/jobs"\n'
        f'exchange = "{tmp_path}/exchange"',
        'name = "outbox"',
    ]
    text = f'[storage]\nroot = "{root}"\n' + "".join(f"[[device]]\n{table}\n" for table in tables)
    (tmp_path / "burnish.toml").write_text(text)
    drive = DeviceSettings(
        name="drive", kind="optical", media=("CD",), drive=f"stdio:{tmp_path}/disc"
    )
    robot = PrimeraRobot(tmp_path / "jobs", tmp_path / "exchange")

    def standing(burner: PrimeraBurner) -> None:
        burner._poll = 0.01
        robot.step()

    monkeypatch.setattr(PrimeraBurner, "_robot_problem", standing)
    with Ground(root, device=(drive,)) as ground:
        yield Site(tmp_path, run, ground, robot)


def test_an_image_is_burnt_and_read_back(site: Site) -> None:
    done = site.burn("drive")
    assert done.code == 0, done.err
    assert "read back without differences" in done.out
    size = site.image.stat().st_size
    assert site.disc.read_bytes()[:size] == site.image.read_bytes()
    again = site.burn("drive")
    assert again.code == 10
    assert "Put in a blank disc" in again.err
    assert site.standing().works
    site.disc.unlink()
    wrong = site.burn("lying")
    assert wrong.code == 22
    assert "read back wrong" in wrong.err
    assert "Throw the disc away" in wrong.err
    ruined = site.burn("tired")
    assert ruined.code == 22
    assert "the disc is ruined" in ruined.err


def test_the_service_and_the_command_never_use_the_drive_together(site: Site) -> None:
    ground = site.ground
    instances = [instance(size=3000)]
    ground.store(*instances)
    ground.admit(instances)
    Planner(ground.settings, ground.database, ground.spool).tick()
    worker = Worker(ground.settings, ground.device, ground.database, ground.spool)
    state = worker.burner.state

    def paused_meanwhile() -> BurnResult:
        with ground.database.writing() as session:
            devices.pause(session, "drive", "it is being cleaned")
        return state()

    worker.burner.state = paused_meanwhile  # type: ignore[method-assign]
    assert not worker.make_next()
    done = site.burn("drive")
    assert done.code == 0, done.err
    assert "being cleaned" in site.standing().detail
    with ground.database.writing() as session:
        devices.resume(session, "drive")
        claim = queue.claim(session, device="drive", capacity={"CD": 10**9}, owner="worker")
    assert claim is not None
    busy = site.burn("drive")
    assert busy.code == 6
    assert "the service is using drive" in busy.err
    assert site.standing().works
    with ground.database.writing() as session:  # of a worker that died long ago
        session.execute(update(Piece).values(lease_until=datetime.now(UTC) - timedelta(hours=1)))
        devices.pause(session, "drive", "burnish disc burn uses it")
    other = site.burn("drive")
    assert other.code == 6
    assert "burnish device resume drive" in other.err
    site.image = site.folder / "none.iso"
    assert site.burn("drive").code == 4


def test_a_blu_ray_image_is_not_burnt_on_a_cd(site: Site, run: Run) -> None:
    source, folder = get_testdata_file("CT_small.dcm"), site.folder / "bd"
    run("disc", "build", source, "--profile", "STD-GEN-BD", "--output", folder)
    site.image = folder / "VOLUME01.iso"
    done = site.burn("drive")
    assert done.code == 10
    assert "file system" in done.err
    assert not site.disc.exists()


def test_a_robot_burns_an_image_among_its_other_jobs(site: Site) -> None:
    done = site.burn("robot", "--medium", "CD")
    assert done.code == 0, done.err
    assert "compared by robot" in done.out
    (name,) = site.robot.good
    assert site.robot.discs[name] == site.image.read_bytes()
    assert site.robot.jobs[name]["DiscType"] == "CDR"
    site.robot.faults = ["verify"]
    assert site.burn("robot").code == 22
    assert [path for path in site.robot.exchange.iterdir() if path.suffix != ".done"] == []
    assert site.burn("outbox").code == 4
    assert site.burn("none").code == 4
    assert site.burn("robot", "--medium", "USB").code == 2
    site.image.write_bytes(site.image.read_bytes().replace(b"DICM", b"XXXX", 1))
    faulty = site.burn("drive")
    assert faulty.code == 10
    assert "burnish disc verify" in faulty.err
    assert not site.disc.exists()
