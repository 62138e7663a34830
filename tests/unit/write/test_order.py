"""What a claimed piece is, read from its rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from burnish.db import queue
from burnish.db.tables import FileSetEntry, TranscodedInstance
from burnish.plan.planner import Planner
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN
from burnish.write import order
from factories import Ground, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as made:
        yield made


def test_the_order_says_all_that_a_worker_needs(ground: Ground, tmp_path: Path) -> None:
    made = [instance(instance_number=n) for n in (2, 1)]
    ids = ground.store(*made)
    uid = ground.admit(made, copies=2, storage_media_file_set_id="MINE")
    Planner(ground.settings, ground.database, ground.spool).tick()
    with ground.database.writing() as session:
        transcoded = TranscodedInstance(
            instance_id=ids[0],
            transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
            spool_key="ab" * 12,
            size=77,
            data_set_offset=7,
            digest="blake3:" + "78" * 32,
        )
        session.add(transcoded)
        session.flush()
        session.execute(
            update(FileSetEntry)
            .where(FileSetEntry.instance_id == ids[0])
            .values(transcoded_instance_id=transcoded.id)
        )
        queue.claim(session, device="d", capacity={"CD": 10**9}, owner="w")
        claim = queue.claim(session, device="d", capacity={"CD": 10**9}, owner="w")
    assert claim is not None
    with ground.database.reading() as session:
        found = order.read(session, claim, ground.spool, tmp_path / "images")
    file_set = ground.request(uid).file_sets[0]
    assert found.attempts == 1
    assert found.plan.predicted_size == file_set.predicted_size
    assert found.plan.created == file_set.planned_at
    assert (found.job.copy_number, found.job.copies) == (2, 2)
    assert (found.job.volume_number, found.job.volume_count) == (1, 1)
    assert found.job.file_set_id == "MINE"
    assert found.job.image.parent == tmp_path / "images"
    assert found.job.request_name == "R000001"
    assert found.job.manifest["request"] == uid
    first, second = found.plan.instances
    assert first.header == made[1].header
    assert (second.size, second.data_set_offset, second.digest) == (77, 7, "blake3:" + "78" * 32)
    assert second.path == ground.spool.path("ab" * 12)
