"""Instances that were kept on media although damaged: `disc verify` says so by the manifest."""

from pathlib import Path

import pytest

from burnish.dicom_elements import encode
from burnish.plan.planner import Planner
from burnish.settings import RequestSettings
from burnish.vocabulary import JPEG_BASELINE
from burnish.write.worker import Worker
from factories import Ground, encapsulated, instance, undecodable_frame
from unit.cli.conftest import Run

SHORT = encode(0x7FE00010, b"OW", bytes(50))
SIX_BYTES_SHORT = "has 50 bytes, where 64 are required"


def published(folder: Path, *, keep: bool = True) -> Path:
    """The image of a sound instance, one that is too short, and one that cannot be decoded."""
    choice = "keep" if keep else "refuse"
    frame = encapsulated(undecodable_frame(JPEG_BASELINE))
    instances = [
        instance(instance_number=1),
        *([instance(instance_number=2, pixels=SHORT)] if keep else []),
        *([instance(transfer_syntax_uid=JPEG_BASELINE, pixels=frame)] if keep else []),
    ]
    with Ground(folder, request=RequestSettings(damaged_images=choice)) as ground:
        ground.store(*instances)
        ground.admit(instances, profiles="")
        planner = Planner(ground.settings, ground.database, ground.spool)
        planner.tick()
        planner.close()
        Worker(ground.settings, ground.device, ground.database, ground.spool).make_all()
    (image,) = folder.rglob("outbox/R*/VOLUME01.iso")
    return image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return published(tmp_path)


def test_damage_that_the_manifest_names_is_no_fault_and_is_said(image: Path, run: Run) -> None:
    done = run("disc", "verify", image)
    assert done.code == 0
    (damage,) = [line for line in done.out.splitlines() if line.startswith("kept although damaged")]
    assert SIX_BYTES_SHORT in damage
    assert "1 instance kept although damaged, as the manifest says; 3 instances" in done.out
    assert "no fault" not in done.out


def test_damage_that_only_decoding_shows_is_known_from_the_manifest(image: Path, run: Run) -> None:
    done = run("disc", "verify", image, "--pixels")
    assert done.code == 0
    assert "2 instances kept although damaged, as the manifest says" in done.out


def test_kept_damage_is_listed_apart_in_json(image: Path, run: Run) -> None:
    report = run("disc", "verify", image, "--json").json
    assert report["good"]
    assert report["faults"] == []
    (damage,) = report["kept_damaged"]
    assert SIX_BYTES_SHORT in damage["message"]


def test_without_the_manifest_the_damage_is_a_fault(image: Path, run: Run) -> None:
    image.with_suffix(".json").unlink()
    done = run("disc", "verify", image)
    assert done.code == 22
    assert "PIXEL_DATA_WRONG" in done.out
    assert "kept although damaged" not in done.out


def test_a_damaged_file_that_has_changed_since_is_a_fault(image: Path, run: Run) -> None:
    data = image.read_bytes()
    short = data.index(SHORT)
    image.write_bytes(data[: short + 20] + b"x" + data[short + 21 :])
    done = run("disc", "verify", image)
    assert done.code == 22
    assert "FILE_CHANGED" in done.out
    assert "PIXEL_DATA_WRONG" in done.out


def test_other_faults_are_told_beside_the_kept_damage(image: Path, run: Run) -> None:
    data = image.read_bytes()
    image.write_bytes(data[:-1] + b"x")
    done = run("disc", "verify", image)
    assert done.code == 22
    assert "1 fault; 1 instance kept although damaged, as the manifest says" in done.out


def test_the_last_line_says_how_many_bytes_were_compared(tmp_path: Path, run: Run) -> None:
    sound = published(tmp_path, keep=False)
    done = run("disc", "verify", sound)
    assert done.code == 0
    size = sound.stat().st_size
    assert done.out.splitlines()[-1] == f"{sound}: compared: all {size} bytes with the manifest"
    sound.with_suffix(".json").unlink()
    done = run("disc", "verify", sound)
    assert "compared: nothing, because there is no manifest" in done.out.splitlines()[-1]
