"""Instances of the spool as single files: what was received, complete or not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import delete
from typer.testing import CliRunner, Result

import material
import segments
from burnish import compaction, spool_export
from burnish.cli import app as cli
from burnish.db.instance_rows import Selection
from burnish.db.tables import Instance
from burnish.errors import AlreadyExists, Unknown
from burnish.receive import buffers
from burnish.spool import appender, release
from factories import Ground, SampleInstance, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path / "root") as opened:
        yield opened


@pytest.fixture
def received(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> list[SampleInstance]:
    """Instances of two patients, in a segment and in files of their own, one of them corrected."""
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 100_000)
    first = instance(patient_id="P1", study="1.2.1", series="1.2.1.1", size=2000)
    wrong = instance(patient_id="P1", study="1.2.1", series="1.2.1.2", size=2000)
    right = instance(
        sop_instance_uid=wrong.sop_instance_uid, patient_id="P1", study="1.2.1", series="1.2.1.2"
    )
    large = instance(patient_id="P2", study="1.2.2", series="1.2.2.1", size=300_000)
    segments.receive(ground, [first, wrong, right, large])
    return [first, right, large]


def written(folder: Path) -> dict[str, bytes]:
    """The data sets of the files in a folder, by their paths below it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()[330:]
        for path in folder.rglob("*")
        if path.is_file()
    }


def path_of(sample: SampleInstance) -> str:
    header = sample.header
    return f"{header.study_instance_uid}/{header.series_instance_uid}/{header.sop_instance_uid}.dcm"


def test_all_instances_are_written_as_they_were_received(
    ground: Ground, received: list[SampleInstance], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    outcome = spool_export.export(ground.database, ground.spool, target)
    assert outcome == spool_export.Export(3, 0, {})
    files = written(target)
    assert files.keys() == {path_of(sample) for sample in received}
    for sample in received:
        path = target / path_of(sample)
        assert path.read_bytes().endswith(sample.data_set)
        assert material.read(path).SOPInstanceUID == sample.sop_instance_uid


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        (Selection(patient_ids=["P1"]), [0, 1]),
        (Selection(study_instance_uids=["1.2.2"]), [2]),
        (Selection(series_instance_uids=["1.2.1.2", "1.2.2.1"]), [1, 2]),
        (Selection(patient_ids=["P2"], series_instance_uids=["1.2.1.1"]), [0, 2]),
    ],
)
def test_the_instances_that_match_any_value_are_written(
    ground: Ground,
    received: list[SampleInstance],
    tmp_path: Path,
    selection: Selection,
    numbers: list[int],
) -> None:
    target = tmp_path / "out"
    spool_export.export(ground.database, ground.spool, target, selection=selection)
    assert written(target).keys() == {path_of(received[number]) for number in numbers}


def test_an_export_can_be_repeated(
    ground: Ground, received: list[SampleInstance], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    spool_export.export(ground.database, ground.spool, target)
    (target / path_of(received[1])).unlink()
    before = written(target)
    outcome = spool_export.export(ground.database, ground.spool, target)
    assert outcome == spool_export.Export(1, 2, {})
    assert written(target).items() > before.items()


def test_another_file_of_that_name_is_not_replaced(
    ground: Ground, received: list[SampleInstance], tmp_path: Path
) -> None:
    path = tmp_path / path_of(received[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another file")
    with pytest.raises(AlreadyExists, match="with other content"):
        spool_export.export(ground.database, ground.spool, tmp_path)
    assert path.read_bytes() == b"another file"


def test_a_damaged_or_missing_instance_is_told_and_not_written(
    ground: Ground, received: list[SampleInstance], tmp_path: Path
) -> None:
    keys = segments.keys(ground)
    first, _, large = (sample.sop_instance_uid for sample in received)
    ground.spool.erase(keys[first], len(received[0].data_set))
    with ground.spool.path(keys[large]).open("r+b") as file:
        file.seek(200_000)
        file.write(b"damage")
    target = tmp_path / "out"
    outcome = spool_export.export(ground.database, ground.spool, target)
    assert outcome.written == 1
    assert outcome.failed == {
        first: "it is not in the spool",
        large: "its digest is not that of what was received",
    }
    assert written(target).keys() == {path_of(received[1])}


@pytest.mark.usefixtures("received")
def test_nothing_that_matches_is_an_error(ground: Ground, tmp_path: Path) -> None:
    with pytest.raises(Unknown):
        spool_export.export(
            ground.database, ground.spool, tmp_path, selection=Selection(patient_ids=["P3"])
        )


def test_an_instance_that_is_moved_meanwhile_is_written(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appender, "SEGMENT_SIZE", 1 << 20)
    monkeypatch.setattr(release, "punch_hole", lambda *_: False)
    monkeypatch.setattr(compaction, "_LEAST_GAIN", 0)
    segments.receive(ground, instances := [instance(size=20_000) for _ in range(10)])
    with ground.database.writing() as session:
        for sample in instances[3:]:
            session.execute(
                delete(Instance).where(Instance.sop_instance_uid == sample.sop_instance_uid)
            )
    slice_of = ground.spool.slice
    moved: list[bool] = []

    def move_first(key: str, size: int) -> object:
        if not moved:
            moved.append(True)
            compaction.compact(ground.database, ground.spool)
            compaction.compact(ground.database, ground.spool, grace=0)
        return slice_of(key, size)

    monkeypatch.setattr(ground.spool, "slice", move_first)
    outcome = spool_export.export(ground.database, ground.spool, tmp_path / "out")
    assert outcome == spool_export.Export(3, 0, {})


# --- the commands --------------------------------------------------------------------------------


def burnish(ground: Ground, *arguments: object) -> Result:
    environment = {"BURNISH_STORAGE__ROOT": str(ground.settings.storage.root)}
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments], env=environment)
    structlog.reset_defaults()
    return done


def test_instances_without_a_row_are_written(
    ground: Ground, received: list[SampleInstance], tmp_path: Path
) -> None:
    with ground.database.writing() as session:
        uid = received[0].sop_instance_uid
        session.execute(delete(Instance).where(Instance.sop_instance_uid == uid))
    done = burnish(ground, "spool", "export", tmp_path / "out", "--without-row")
    assert done.exit_code == 0, done.output
    assert "1 instance written" in done.output
    assert written(tmp_path / "out").keys() == {path_of(received[0])}


def test_the_command_writes_what_is_named(
    ground: Ground, received: list[SampleInstance], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    done = burnish(ground, "spool", "export", target, "--patient", "P1")
    assert done.exit_code == 0, done.output
    assert done.output == "2 instances written\n"
    done = burnish(ground, "spool", "export", target, "--all")
    assert done.output == "1 instance written, 2 files there already\n"
    assert len(written(target)) == len(received)
    for options in ((), ("--all", "--patient", "P1")):
        assert burnish(ground, "spool", "export", target, *options).exit_code == 2


def test_the_command_tells_what_it_could_not_write(
    ground: Ground, received: list[SampleInstance], tmp_path: Path
) -> None:
    uid = received[0].sop_instance_uid
    ground.spool.erase(segments.keys(ground)[uid], 2000)
    done = burnish(ground, "spool", "export", tmp_path / "out", "--all")
    assert done.exit_code != 0
    assert f"instance {uid} was not written: it is not in the spool" in done.output


@pytest.mark.usefixtures("received")
def test_the_room_of_the_spool_is_told(ground: Ground) -> None:
    room = compaction.room(ground.database, ground.spool)
    assert room.segments == 1
    assert room.segment_instances == 3
    assert room.segments_live < room.segments_allocated < 30_000
    assert room.files == 1
    assert room.files_size >= 300_000
    assert 0 < room.disk_used < 1
    done = burnish(ground, "spool", "show")
    assert done.exit_code == 0, done.output
    assert "instances in segments  3" in done.output
    assert burnish(ground, "spool", "show", "--json").exit_code == 0
