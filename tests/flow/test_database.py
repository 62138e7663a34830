"""A database that another program keeps locked: refused by the standard, nothing lost, and on."""

import json

import material
import oracles
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from flow.test_crash import CT, assert_done, pieces, renamed, uid_of
from locks import locked
from raw_dicom import EXPLICIT, Raw
from waiting import wait_until


def test_a_locked_database_is_an_answer_and_a_wait(
    start_burnish: StartBurnish, real_studies: material.RealStudies
) -> None:
    service = start_burnish(database={"wait": "1s"})
    files = real_studies.patients[:2]
    assert set(clients.dcmsend(service.port, *files).statuses) == {0}
    ct = oracles.data_set_bytes(real_studies.file("CT_small.dcm"))[1]
    processes = {process.pid for process in service.processes()}
    with (
        MediaCreation(service.port) as idle,
        MediaCreation(service.port) as scu,
        Raw(service.port, [(CT, [EXPLICIT])]) as raw,
    ):
        assert idle.create(clients.references(files))[0] == 0
        with locked(service.root / "burnish.db"):
            before = oracles.spool_keys(service)
            for number in (1, 2):
                status, comment = raw.store(CT, uid_of(number), renamed(ct, uid_of(number)))
                assert status == 0xA700, comment
            assert oracles.spool_keys(service) == before, "what is refused takes no room"
            assert scu.create(clients.references(files))[0] == 0x0213
            assert idle.initiate(idle.sop_instance_uid)[0] == 0x0213
            status, found = idle.get(idle.sop_instance_uid)
            assert (status, found.ExecutionStatus) == (0, "IDLE")
            wait_until(lambda: said(service, "a tick has to wait"), what="the scheduler to say so")
        assert raw.store(CT, uid_of(1), renamed(ct, uid_of(1)))[0] == 0
        assert idle.initiate(idle.sop_instance_uid, copies=3)[0] == 0
        uid = idle.sop_instance_uid
    # the lock comes while media are made
    wait_until(lambda: pieces(service), what="its pieces")
    with locked(service.root / "burnish.db"):
        wait_until(lambda: said(service, "waiting for the database"), what="the writer to say so")
    assert_done(service, uid, 3)
    assert {process.pid for process in service.processes()} >= processes
    for text in ("Traceback", "a process ended by itself", "by a defect"):
        assert text not in service.log.read_text()


def said(service: Service, event: str) -> bool:
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line[:1] == "{"]
    return any(line["event"] == event and "does not answer" in line["why"] for line in lines)
