"""A database that is locked or full: the service answers as the standard says and loses nothing."""

import errno
import json
from contextlib import ExitStack
from pathlib import Path

import pytest

import material
import oracles
from crash.steps import Steps, build
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from flow.test_crash import CT, assert_done, pieces, request, uid_of, with_uid
from locks import locked
from raw_dicom import EXPLICIT, Raw
from waiting import wait_until

#: The log event of a writer that cannot record what it has done.
WAITS = "waiting for the database"


def test_a_database_that_does_not_answer_is_an_answer_and_a_wait(
    start_burnish: StartBurnish,
    real_studies: material.RealStudies,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    steps = Steps(tmp_path / "control", build(tmp_path))
    for name, value in steps.environment.items():
        monkeypatch.setenv(name, value)
    service = start_burnish(database={"wait": "2s"})
    files = real_studies.patients[:2]
    ct = oracles.data_set_bytes(real_studies.file("CT_small.dcm"))[1]
    # a busy machine may refuse some instances, which are then sent again
    wait_until(lambda: set(clients.dcmsend(service.port, *files).statuses) == {0})
    processes = {process.pid for process in service.roles()}
    with ExitStack() as open_:
        idle, scu = (open_.enter_context(MediaCreation(service.port)) for _ in range(2))
        raw = open_.enter_context(Raw(service.port, [(CT, [EXPLICIT])]))
        wait_until(lambda: idle.create(clients.references(files))[0] == 0)
        uid = idle.sop_instance_uid

        def store(number: int) -> int:
            return raw.store(CT, uid_of(number), with_uid(ct, uid_of(number)))[0]

        def refuses() -> None:
            assert [store(1), store(2)] == [0, 0], "the rows of instances follow"
            assert scu.create(clients.references(files))[0] == 0x0213
            assert idle.initiate(uid)[0] == 0x0213
            status, attributes = scu.get(uid)
            assert status == 0
            assert attributes.ExecutionStatus == "IDLE"

        steps.watch(service.root, only="burnish.db")
        steps.fail(errno.ENOSPC, first=1)
        refuses()
        steps.heal()
        assert oracles.live_instances(service, uid_of(1))
        assert oracles.live_instances(service, uid_of(2))
        with locked(service.root / "burnish.db"):
            assert store(3) == 0
            assert idle.initiate(uid)[0] == 0x0213
            wait_until(lambda: was_logged(service, "task has to wait"), what="the scheduler")
        assert oracles.live_instances(service, uid_of(3))
        wait_until(lambda: idle.initiate(uid, copies=3)[0] == 0)
    # while media are made; if the writer was done before the lock, it gets another request
    uids = [uid]
    while not writer_meets_lock(service, pieces_of=uids):
        uids.append(request(service, files, copies=3))
    for uid in uids:
        assert_done(service, uid, 3, others=3 * (len(uids) - 1))
    assert {process.pid for process in service.roles()} == processes
    assert "Traceback" not in service.log.read_text()
    assert service.defects() == []


def writer_meets_lock(service: Service, *, pieces_of: list[str]) -> bool:
    """Locks the database while the writer works; False if it had nothing left to record."""

    def idle() -> bool:
        return {piece["state"] for piece in pieces(service)} == {"CREATED"}

    wait_until(lambda: len(pieces(service)) == 3 * len(pieces_of), what="their pieces")
    with locked(service.root / "burnish.db"):
        wait_until(
            lambda: was_logged(service, WAITS) or idle(), what="a writer that waits, or is done"
        )
    return was_logged(service, WAITS)


def was_logged(service: Service, event: str) -> bool:
    """Whether an event has been logged whose reason is that the database does not answer."""
    lines = [json.loads(line) for line in service.lines() if line[:1] == "{"]
    return any(line["event"] == event and "does not answer" in line["why"] for line in lines)
