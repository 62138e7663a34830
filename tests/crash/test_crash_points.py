"""Points of the campaigns of `make crash`, which goes through all of them."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from crash.power import Disk, lay_out
from crash.run import drawn_campaigns, points_by_place
from crash.steps import Op, Record, Steps, build
from crash.sweep import Point

RUN = Path(__file__).with_name("run.py")


#: Points that each run tries, and the CPU seconds after which no further one is begun.
_POINTS, _CPU = 40, 45


def test_points_of_all_campaigns_that_differ_from_run_to_run() -> None:
    # not a folder of pytest: the name of a socket in it would be too long
    command = [sys.executable, str(RUN), f"--sample={_POINTS}", f"--cpu={_CPU}"]
    # not a pipe: processes that outlive a killed life would keep it open
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
            timeout=1800,
        )
        output.seek(0)
        text = output.read()
    assert done.returncode == 0, text[-9000:]
    assert text.startswith("seed ")
    assert ", 0 faults" in text


def test_a_sample_is_repeated_by_its_seed() -> None:
    assert drawn_campaigns(7, ["a", "b", "c"], 20) == drawn_campaigns(7, ["a", "b", "c"], 20)
    assert drawn_campaigns(7, ["a", "b", "c"], 20) != drawn_campaigns(8, ["a", "b", "c"], 20)


def test_points_are_grouped_by_place_and_one_without_a_place_is_alone() -> None:
    points = [Point("1", int, "here"), Point("2", int), Point("3", int, "here"), Point("4", int)]
    by_place = points_by_place(points)
    names = {place: [point.name for point in group] for place, group in by_place.items()}
    assert names == {"here": ["1", "3"], "2": ["2"], "4": ["4"]}


def test_the_place_of_a_step_is_the_code_that_takes_it(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "control", build(tmp_path))
    root = tmp_path / "root"
    root.mkdir()
    steps.watch(root, places=True)
    program = (
        "from pathlib import Path\n"
        "from burnish.durable_files import sync\n"
        f"file = Path({str(root / '0123456789.tmp')!r})\n"
        "file.write_bytes(b'content')\n"
        "sync(file)\n"
    )
    environment = {**os.environ, **steps.environment}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    create, write, fsync = steps.places()
    assert create.startswith("CREATE tmp: ")
    assert write.startswith("WRITE tmp: ")
    assert re.fullmatch(r"FSYNC tmp: durable_files:\d+ sync", fsync)


# --- the disk in a model -------------------------------------------------------------------------


def step(op: Op, path: str, other: str = "", *, inode: int = 0, data: bytes = b"") -> Record:
    return Record(op, path, other, 0, inode, 0, data)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    new_disk = Disk(tmp_path)
    for record in (
        step(Op.CREATE, "a/file", inode=-1),
        step(Op.WRITE, "a/file", inode=-1, data=b"bytes"),
        step(Op.RENAME, "a/file", "b/file"),
    ):
        new_disk.do(record)
    return new_disk


def test_without_a_sync_nothing_is_promised(disk: Disk) -> None:
    assert disk.least() == {"a": None, "b": None}
    assert disk.hollow() == {"a": None, "b": None, "b/file": bytes(5)}


def test_bytes_and_names_are_synced_apart(disk: Disk) -> None:
    disk.do(step(Op.FSYNC, "b/file", inode=-1))
    assert disk.least() == {"a": None, "b": None}
    disk.do(step(Op.FSYNC, "b", inode=-2))
    assert disk.least() == {"a": None, "b": None, "b/file": b"bytes"}


def test_a_name_is_where_its_directory_was_synced(disk: Disk) -> None:
    disk.do(step(Op.FSYNC, "a", inode=-2))
    assert disk.least() == {"a": None, "b": None}
    disk.do(step(Op.SYNCFS, "b", inode=-2))
    assert disk.least() == disk.hollow() == {"a": None, "b": None, "b/file": b"bytes"}


def test_by_chance_it_is_old_or_new_or_torn(disk: Disk, tmp_path: Path) -> None:
    trees = [disk.by_chance(seed) for seed in range(100)]
    contents = {tree.get("b/file") for tree in trees} | {tree.get("a/file") for tree in trees}
    assert {None, b"", b"bytes"} < contents
    assert any(
        content and b"bytes".startswith(content) and len(content) < 5 for content in contents
    )
    lay_out(trees[0], tmp_path / "laid")
    assert {path.name for path in (tmp_path / "laid").iterdir()} == {"a", "b"}
