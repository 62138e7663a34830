"""The log of a running service, while nobody asks for anything else."""

import json

from pydicom import Dataset

from factories import instance
from flow import clients
from flow.clients import MediaCreation
from flow.service import Service
from raw_dicom import EXPLICIT, Raw
from waiting import wait_until


def test_the_end_of_a_request_is_logged_although_nothing_else_happens(burnish: Service) -> None:
    sample = instance(study="2.25.1600")
    with Raw(burnish.port, [(sample.sop_class_uid, [EXPLICIT])]) as raw:
        assert raw.store(sample.sop_class_uid, sample.sop_instance_uid, sample.data_set)[0] == 0
        raw.release()
    reference = Dataset()
    reference.SOPClassUID = sample.sop_class_uid
    reference.SOPInstanceUID = sample.sop_instance_uid
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references([reference]))[0] == 0
        assert scu.initiate(scu.sop_instance_uid)[0] == 0
        wait_until(lambda: scu.get(scu.sop_instance_uid)[1].ExecutionStatus == "DONE", what="DONE")
    wait_until(lambda: "request done" in _events(burnish), what="the end in the log")
    events = _events(burnish)
    assert events.index("request created") < events.index("request done")
    assert events.count("request done") == 1


def _events(service: Service) -> list[str]:
    return [json.loads(line)["event"] for line in service.lines()]
