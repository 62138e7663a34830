"""A database that has lost rows of instances, while the spool still has them."""

import json
import sqlite3

from pydicom import Dataset

import oracles
from factories import SampleInstance, instance
from flow import clients
from flow.clients import MediaCreation
from flow.service import Service
from raw_dicom import EXPLICIT, Raw
from waiting import wait_until

_STUDY = "2.25.1500"
#: The second one is so large that it has a file of its own.
_INSTANCES = [
    instance(study=_STUDY, instance_number=1, size=20_000),
    instance(study=_STUDY, instance_number=2, size=3 << 20),
    *(instance(study=_STUDY, instance_number=number, size=20_000) for number in range(3, 7)),
]
_LOST = _INSTANCES[1:4]


def test_a_service_restores_the_rows_of_instances_that_its_database_has_lost(
    burnish: Service,
) -> None:
    _send(burnish, _INSTANCES)
    assert len(oracles.live_instances(burnish)) == len(_INSTANCES)
    burnish.stop()
    with sqlite3.connect(burnish.root / "burnish.db") as database:
        database.executemany(
            "DELETE FROM instance WHERE sop_instance_uid = ?",
            [(sample.sop_instance_uid,) for sample in _LOST],
        )
    database.close()
    burnish.start()
    assert {row["sop_instance_uid"] for row in oracles.live_instances(burnish)} == {
        sample.sop_instance_uid for sample in _INSTANCES
    }
    [restored] = [
        event
        for event in map(json.loads, burnish.lines())
        if event["event"] == "lost rows of instances restored"
    ]
    assert restored["restored"] == len(_LOST)
    checked = burnish.run("db", "check", "--spool")
    assert checked.returncode == 0, checked.stderr
    assert "every instance has its complete file" in checked.stdout
    with MediaCreation(burnish.port) as scu:
        assert scu.create(_references([_INSTANCES[0], *_LOST[1:]]))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
        wait_until(lambda: scu.get(uid)[1].ExecutionStatus == "DONE", what="DONE")


def _send(service: Service, instances: list[SampleInstance]) -> None:
    with Raw(service.port, [(instances[0].sop_class_uid, [EXPLICIT])]) as raw:
        for sample in instances:
            status, comment = raw.store(
                sample.sop_class_uid, sample.sop_instance_uid, sample.data_set
            )
            assert status == 0, comment
        raw.release()


def _references(instances: list[SampleInstance]) -> Dataset:
    data_sets = []
    for sample in instances:
        data_set = Dataset()
        data_set.SOPClassUID = sample.sop_class_uid
        data_set.SOPInstanceUID = sample.sop_instance_uid
        data_sets.append(data_set)
    return clients.references(data_sets)
