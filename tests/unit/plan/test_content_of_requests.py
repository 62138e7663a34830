"""What a request asks for people is planned, kept with its volumes, and written."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.content import stored_content
from burnish.content.rendition_pool import RenditionPool
from burnish.db.instance_rows import Selection
from burnish.db.tables import Event, FileSet
from burnish.errors import OutOfResources, Unreadable
from burnish.image.reader import open_volume
from burnish.removal import remove
from burnish.retention import sweep
from burnish.settings import ContentSettings
from burnish.write import job, pipeline
from burnish.write.job import PieceJob
from factories import Ground, SampleInstance, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    content = ContentSettings(contact="phone 0123", language="en")
    with Ground(tmp_path / "root", content=content) as ground:
        yield ground


@pytest.fixture
def instances(ground: Ground) -> list[SampleInstance]:
    several = [instance(instance_number=number) for number in range(1, 4)]
    ground.store(*several)
    return several


def renditions(ground: Ground) -> Path:
    return ground.settings.storage.root / "content"


def only_job(ground: Ground, uid: str) -> PieceJob:
    root = ground.settings.storage.root
    with ground.database.reading() as session:
        (piece_job,) = job.volume_jobs(session, uid, ground.spool, root, renditions(ground))
    return piece_job


def names(ground: Ground, uid: str, image: Path) -> list[str]:
    """The files besides DICOM files of the only volume of a request, which is built and read."""
    plan = only_job(ground, uid).plan
    built = pipeline.build_image(plan, image)
    report = pipeline.read_back(plan, image, built, fresh=False)
    assert report.faults == ()
    with open_volume(image) as volume:
        assert set(report.digests) == set(volume.files())
        return [name for name in volume.files() if not name.startswith("DICOM\\")]


def test_a_request_that_says_nothing_gets_pages_for_the_patient(
    ground: Ground, instances: list[SampleInstance], tmp_path: Path
) -> None:
    uid = ground.admit(instances)
    ground.plan()
    files = names(ground, uid, tmp_path / "image.iso")
    assert files[:3] == ["DICOMDIR", "README.TXT", "INDEX.HTM"]
    with open_volume(tmp_path / "image.iso") as volume:
        front = volume.read("INDEX.HTM").decode()
    assert "Your medical images" in front
    assert "phone 0123" in front
    with ground.database.reading() as session:
        planned = session.query(Event).filter(Event.event == "PLANNED").one()
    assert "with pages and viewer" in planned.why


def test_a_damaged_rendition_is_made_again(
    ground: Ground, instances: list[SampleInstance], tmp_path: Path
) -> None:
    ground.admit(instances)
    ground.plan()
    damaged, *_ = renditions(ground).glob("*/*")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    uid = ground.admit(instances)
    ground.plan()
    assert "INDEX.HTM" in names(ground, uid, tmp_path / "image.iso")


def test_a_request_waits_while_the_disk_cannot_read_renditions(
    ground: Ground, instances: list[SampleInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = ground.admit(instances)

    def fail(*_: object) -> None:
        raise Unreadable("a rendition cannot be read") from OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("burnish.content.rendition.read_rendition", fail)
        with pytest.raises(OutOfResources):
            ground.plan()
    waiting = ground.request(uid)
    assert waiting.execution_status == "PENDING"
    assert waiting.execution_status_info == "INSUFFIC_MEMORY"
    ground.plan()
    assert len(ground.request(uid).file_sets) == 1


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("NO", ["DICOMDIR"]),
        ("FOR_RESEARCH", ["DICOMDIR", "README.TXT", "MANIFEST.CSV", "MANIFEST.JSN"]),
    ],
)
def test_a_request_gets_what_it_asks_for(
    ground: Ground,
    instances: list[SampleInstance],
    tmp_path: Path,
    audience: str,
    expected: list[str],
) -> None:
    uid = ground.admit(instances, include_non_dicom_objects=audience)
    ground.plan()
    assert names(ground, uid, tmp_path / "image.iso") == expected


def test_another_term_gets_what_the_site_gives_by_default(
    ground: Ground, instances: list[SampleInstance], tmp_path: Path
) -> None:
    uid = ground.admit(instances, include_non_dicom_objects="FOR_THE_COURT")
    ground.plan()
    assert "INDEX.HTM" in names(ground, uid, tmp_path / "image.iso")


def test_renditions_are_made_once_for_all_requests(
    ground: Ground, instances: list[SampleInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.admit(instances)
    ground.plan()
    assert len(list(renditions(ground).glob("*/*"))) == len(instances)

    def refuse(*_: object) -> None:
        raise AssertionError("a rendition is made again")

    monkeypatch.setattr(RenditionPool, "_running_pool", refuse)
    second = ground.admit(instances)
    ground.plan()
    assert only_job(ground, second).plan.content is not None


def test_renditions_that_the_cache_lost_are_made_again_alike(
    ground: Ground, instances: list[SampleInstance], tmp_path: Path
) -> None:
    uid = ground.admit(instances)
    ground.plan()
    shutil.rmtree(renditions(ground))
    content = only_job(ground, uid).content
    assert content is not None
    missing = content.missing(renditions(ground))
    assert len(missing) == len(instances)
    with ground.database.reading() as session:
        tasks = job.rendition_tasks(session, missing, ground.spool)
    pool = RenditionPool(renditions(ground))
    pool.make(tasks, content.options)
    pool.close()
    assert content.missing(renditions(ground)) == []
    assert "INDEX.HTM" in names(ground, uid, tmp_path / "image.iso")


def test_the_history_tells_how_many_pictures_are_made(
    ground: Ground, instances: list[SampleInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.plan.planned_renditions._MADE_AT_ONCE", 2)
    uid = ground.admit(instances)
    ground.plan()
    assert ground.count(FileSet) == 1
    with ground.database.reading() as session:
        events = session.query(Event).filter(Event.event == "PICTURES").all()
        assert [event.why for event in events] == ["made of 2 of 3 instances"]
    assert ground.request(uid).file_sets


def test_renditions_go_with_their_instance(ground: Ground, instances: list[SampleInstance]) -> None:
    ground.admit(instances)
    ground.plan()
    uids = [sample.sop_instance_uid for sample in instances[:2]]
    selection = Selection(sop_instance_uids=uids)
    remove(ground.database, ground.spool, selection, even_if_needed=True)
    sweep(ground.database, ground.spool, ground.settings, orphan_age=0)
    assert len(list(renditions(ground).glob("*/*"))) == 1


def test_stored_content_is_what_was_planned(
    ground: Ground, instances: list[SampleInstance]
) -> None:
    ground.admit(instances)
    ground.plan()
    with ground.database.reading() as session:
        data = session.query(FileSet).one().content
    assert data is not None
    content = stored_content.decode(data)
    assert stored_content.decode(stored_content.encode(content)) == content
    assert content.pages
