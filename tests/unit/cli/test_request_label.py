"""`burnish request label`: labels for media that no device prints."""

from pathlib import Path

import pytest
from sqlalchemy import select

from burnish.db.tables import FileSet
from burnish.plan.planner import Planner
from burnish.settings import DeviceSettings
from factories import Ground, instance
from unit.cli.conftest import Run
from unit.write.test_labels import text


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of an installation with an optical drive and a request for two volumes."""
    root, path = tmp_path / "root", tmp_path / "burnish.toml"
    drive = DeviceSettings(
        name="drive", kind="optical", media=("CD",), drive="stdio:/none", capacity=500_000
    )
    with Ground(root, device=(drive,)) as ground:
        instances = [instance(instance_number=n, size=200_000) for n in (1, 2, 3)]
        ground.store(*instances)
        attributes = {"label_text": "second opinion", "media_disposition": "Dr. Who\nGallifrey"}
        ground.admit(instances, storage_media_file_set_id="MINE", **attributes)
        ground.admit(instances[:1])
        Planner(ground.settings, ground.database, ground.spool).tick()
        ground.create(instances)
        with ground.database.reading() as session:
            assert session.scalars(select(FileSet.volume_count)).all() == [2, 2, 1]
    path.write_text(f'[storage]\nroot = "{root}"\n')
    return path


def test_every_volume_of_a_request_gets_its_label(run: Run, config: Path, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "labels", "--config", config)
    done = run("request", "label", "R000001", *options)
    assert done.code == 0, done.err
    names = sorted(path.name for path in (tmp_path / "labels").iterdir())
    assert names == ["VOLUME01-ADDRESS.pdf", "VOLUME01.pdf", "VOLUME02.pdf"]
    for number in (1, 2):
        label_text = text(tmp_path / "labels" / f"VOLUME0{number}.pdf")
        for words in ("Doe, Jane", "second opinion", f"Volume {number} of 2", f"MINE_{number}"):
            assert words in label_text
        assert f"VOLUME0{number}.pdf: MINE_{number}, " in done.out
    done = run("request", "label", "1", "--form", "png", "--volume", "2", *options)
    assert (tmp_path / "labels" / "VOLUME02.png").read_bytes().startswith(b"\x89PNG")
    assert done.out.count("\n") == 1


def test_volumes_that_do_not_exist_get_no_label(run: Run, config: Path, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "labels", "--config", config)
    done = run("request", "label", "R000003", *options)
    assert done.code == 6
    assert "burnish request show R000003" in done.err
    assert run("request", "label", "R000002", "--volume", "2", *options).code == 6
    assert run("request", "label", "R000001", "--form", "gif", *options).code == 2
    assert not (tmp_path / "labels").exists()
