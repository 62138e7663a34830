"""`burnish request image` and `zip`: what the page downloads of a volume, as files."""

import json
import zipfile
from pathlib import Path

import pytest

from burnish.plan.planner import Planner
from burnish.settings import DeviceSettings
from factories import Ground, instance
from unit.cli.conftest import Run

_IMAGE = b"an image" * 1000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of an installation whose request R000001 has two volumes.

    Of the first one, a folder device has the image. R000002 is not planned.
    """
    root, path, outbox = tmp_path / "root", tmp_path / "burnish.toml", tmp_path / "outbox"
    device = DeviceSettings(
        name="drive", kind="optical", media=("CD",), drive="stdio:/none", capacity=500_000
    )
    with Ground(root, device=(device,)) as ground:
        instances = [instance(instance_number=n, size=200_000) for n in (1, 2, 3)]
        ground.store(*instances)
        ground.admit(instances)
        Planner(ground.settings, ground.database, ground.spool).tick()
        ground.create(instances)
    published = outbox / "R000001"
    published.mkdir(parents=True)
    (published / "VOLUME01.json").write_text(json.dumps({"image": "VOLUME01.iso"}))
    (published / "VOLUME01.iso").write_bytes(_IMAGE)
    path.write_text(
        f'[storage]\nroot = "{root}"\n'
        f'[[device]]\nname = "outbox"\nkind = "folder"\nmedia = ["CD"]\ndirectory = "{outbox}"\n'
    )
    return path


def test_an_image_is_copied_under_the_name_of_its_request(
    run: Run, config: Path, tmp_path: Path
) -> None:
    done = run("request", "image", "1", "--volume", "1", "--output", "images", "--config", config)
    assert done.code == 0, done.err
    file = tmp_path / "images" / "R000001-VOLUME01.iso"
    assert done.out.startswith("images/R000001-VOLUME01.iso: ")
    assert file.read_bytes() == _IMAGE
    assert list(file.parent.iterdir()) == [file]


def test_an_image_that_no_device_has_kept_is_not_found(run: Run, config: Path) -> None:
    done = run("request", "image", "R000001", "--output", "images", "--config", config)
    assert done.code == 4
    assert "only folder devices keep the images" in done.err


def test_a_zip_file_is_made_from_the_instances(run: Run, config: Path, tmp_path: Path) -> None:
    options = ("--volume", "2", "--output", "zips", "--config", config, "--json")
    done = run("request", "zip", "R000001", *options)
    assert done.code == 0, done.err
    file = tmp_path / "zips" / "R000001-VOLUME02.zip"
    (item,) = done.json["items"]
    assert item["file"] == "zips/R000001-VOLUME02.zip"
    assert item["size"] == file.stat().st_size
    assert item["file_set_id"]
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert "DICOMDIR" in archive.namelist()


def test_a_copy_that_fails_leaves_nothing_behind(run: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "outbox" / "R000001" / "VOLUME01.iso").write_bytes(b"no volume")
    options = ("--volume", "1", "--output", "zips", "--config", config)
    assert run("request", "zip", "R000001", *options).code == 3
    assert not list((tmp_path / "zips").iterdir())


@pytest.mark.parametrize("command", ["image", "zip"])
def test_without_a_plan_there_is_nothing_to_write(
    run: Run, config: Path, tmp_path: Path, command: str
) -> None:
    done = run("request", command, "R000002", "--output", "files", "--config", config)
    assert done.code == 6
    assert "burnish request show R000002" in done.err
    assert run("request", command, "R000009", "--output", "files", "--config", config).code == 4
    assert not (tmp_path / "files").exists()
