"""One volume built and read back: as planned to the byte, or not at all."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.errors import Conflict
from burnish.media import MEDIA
from burnish.plan.planner import Planner
from burnish.write import job, pipeline
from burnish.write.pipeline import VolumePlan
from factories import Ground, instance
from syncs import recorded_syncs


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def plan(ground: Ground) -> VolumePlan:
    instances_to_store = [instance(instance_number=n, size=400_000) for n in (1, 2, 3)]
    ground.store(*instances_to_store)
    uid = ground.admit(instances_to_store)
    planner = Planner(ground.settings, ground.database, ground.spool)
    planner.tick()
    (file_set,) = ground.request(uid).file_sets
    with ground.database.reading() as session:
        instances = job.volume_instances(session, file_set, ground.spool)
    return VolumePlan(
        file_set.file_set_id,
        file_set.file_set_uid,
        file_set.planned_at,
        file_set.predicted_size,
        MEDIA[file_set.medium].file_system,
        instances,
    )


def test_an_image_is_built_as_it_was_planned(plan: VolumePlan, tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    reports: list[int] = []
    built = pipeline.build_image(plan, image, reports.append)
    assert image.stat().st_size == plan.predicted_size
    assert reports
    assert reports == sorted(reports)
    for fresh in (False, True):
        report = pipeline.read_back(plan, image, built, fresh=fresh)
        assert report.good
        assert report.instances == 3
        assert report.file_set_uid == plan.file_set_uid
    assert not list(tmp_path.glob("*.part"))


def test_building_again_gives_the_same_bytes(plan: VolumePlan, tmp_path: Path) -> None:
    first, second = tmp_path / "1.iso", tmp_path / "2.iso"
    pipeline.build_image(plan, first)
    pipeline.build_image(plan, second)
    assert first.read_bytes() == second.read_bytes()


def test_an_unfinished_image_does_not_stop_a_new_one(plan: VolumePlan, tmp_path: Path) -> None:
    (tmp_path / "image.part").write_bytes(b"half an image")
    built = pipeline.build_image(plan, tmp_path / "image.iso")
    assert pipeline.read_back(plan, tmp_path / "image.iso", built, fresh=False).good


def test_an_image_of_another_size_than_planned_is_rejected(
    plan: VolumePlan, tmp_path: Path
) -> None:
    image = tmp_path / "image.iso"
    with pytest.raises(Conflict, match="planned"):
        pipeline.build_image(replace(plan, predicted_size=plan.predicted_size - 2048), image)
    assert not image.exists()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("what", ["gone", "shorter", "longer"])
def test_a_file_that_has_changed_stops_the_image(
    plan: VolumePlan, tmp_path: Path, what: str
) -> None:
    path = Path(plan.instances[1].source.path)
    if what == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-10] if what == "shorter" else data + b"0123456789")
    with pytest.raises((Conflict, OSError)):
        pipeline.build_image(plan, tmp_path / "image.iso")
    assert not (tmp_path / "image.iso").exists()


def test_the_progress_callback_can_stop_the_image(plan: VolumePlan, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.build_image(plan, tmp_path / "image.iso", stop)
    assert not (tmp_path / "image.iso").exists()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.7, 0.999])
def test_any_byte_that_differs_is_found(plan: VolumePlan, tmp_path: Path, share: float) -> None:
    image = tmp_path / "image.iso"
    built = pipeline.build_image(plan, image)
    data = bytearray(image.read_bytes())
    first = data.index(b"DICM") - 128
    data[first + int((len(data) - first) * share)] ^= 1
    image.write_bytes(data)
    assert not pipeline.read_back(plan, image, built, fresh=False).good


def test_two_devices_may_build_one_volume_at_once(plan: VolumePlan, tmp_path: Path) -> None:
    """Two copies on two devices: each worker sees no image yet, and builds it."""
    image = tmp_path / "image.iso"
    meet = threading.Barrier(2, timeout=2)
    errors: list[BaseException] = []

    def build() -> None:
        met = False

        def progress(_: int) -> None:
            nonlocal met
            if not met:
                met = True
                with contextlib.suppress(threading.BrokenBarrierError):  # one builds, one waits
                    meet.wait()

        try:
            built = pipeline.build_image(plan, image, progress)
            if not pipeline.read_back(plan, image, built, fresh=False).good:
                errors.append(AssertionError("the image is not whole"))
        except BaseException as error:  # noqa: BLE001  what a thread raises, its test must see
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_an_image_and_its_name_are_durable(plan: VolumePlan, tmp_path: Path) -> None:
    """A robot that has a job of the image goes on after a power failure."""
    image = tmp_path / "image.iso"
    with recorded_syncs() as syncs:
        pipeline.build_image(plan, image)
    syncs.assert_durable(image)
