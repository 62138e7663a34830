"""`burnish demo` from end to end; other programs read the images it makes."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import oracles

TIMEOUT = 900


@dataclass(frozen=True, slots=True)
class Demo:
    directory: Path
    code: int
    out: str
    err: str


def run(directory: Path, *options: str) -> Demo:
    environment = {name: value for name, value in os.environ.items() if name[:8] != "BURNISH_"}
    done = subprocess.run(
        [sys.executable, "-m", "burnish", "demo", directory.name, *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=directory.parent,
        env=environment,
        timeout=TIMEOUT,
        check=False,
    )
    return Demo(directory, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run(tmp_path_factory.mktemp("demonstration") / "demo")


def images(demo: Demo) -> list[Path]:
    return sorted(demo.directory.glob("storage/outbox/R*/VOLUME*.iso"))


def test_the_demo_succeeds(demo: Demo) -> None:
    assert demo.code == 0, demo.out + demo.err
    assert demo.err == ""
    assert f"All {len(images(demo))} images were read back" in demo.out
    assert "FAULTS" not in demo.out


def test_one_request_needs_several_volumes(demo: Demo) -> None:
    manifests = [json.loads(image.with_suffix(".json").read_text()) for image in images(demo)]
    assert len({manifest["request"] for manifest in manifests}) >= 4
    assert max(manifest["volume_count"] for manifest in manifests) >= 2
    assert all(manifest["size"] <= 2_000_000 for manifest in manifests)


def test_the_request_for_an_instance_nobody_sent_fails(demo: Demo) -> None:
    assert "NO_INSTANCE" in demo.out
    assert "0112H" in demo.out


def test_every_instance_is_on_one_image(demo: Demo, tmp_path: Path) -> None:
    sent = int(demo.out.split("C-STORE")[1].split()[0])
    uids = []
    for number, image in enumerate(images(demo)):
        root = oracles.extract(image, tmp_path / f"{number}-7z")
        again = oracles.extract_with_xorriso(image, tmp_path / f"{number}-xorriso")
        assert oracles.tree(root) == oracles.tree(again)
        names = oracles.file_ids(root)
        on_disc = {path.relative_to(root) for path in (root / "DICOM").rglob("*") if path.is_file()}
        assert on_disc == set(map(Path, names))
        uids += [str(oracles.read(root / name).SOPInstanceUID) for name in names]
    assert len(uids) == sent
    assert len(set(uids)) == sent


def test_the_output_contains_no_patient_data(demo: Demo, tmp_path: Path) -> None:
    names = set()
    for number, image in enumerate(images(demo)):
        root = oracles.extract(image, tmp_path / str(number))
        for record in oracles.read(root / "DICOMDIR").DirectoryRecordSequence:
            names |= {str(record.get("PatientName", "")), str(record.get("PatientID", ""))}
    long_names = {name for name in names if len(name) > 4}
    assert long_names
    assert not [name for name in long_names if name in demo.out]


def test_the_service_has_stopped_and_its_log_is_kept(demo: Demo) -> None:
    assert "has stopped with exit code 0" in demo.out
    log = (demo.directory / "burnish.log").read_text(encoding="utf-8")
    assert "stopped" in log.splitlines()[-1]
    assert "Traceback" not in log


def test_the_demo_does_not_touch_a_directory_of_others(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    done = run(tmp_path / "mine")
    assert done.code == 5
    assert "not empty" in done.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]
