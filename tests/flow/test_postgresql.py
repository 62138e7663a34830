"""The service on PostgreSQL: the main job, from the network to verified media, and mishaps."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from pynetdicom import build_context, evt

import material
import postgresql
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from flow.test_archives import PUSH, WELL_KNOWN
from flow.test_cli import role
from postgresql import PostgreSQL
from waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with postgresql.running() as server:
        yield server


@pytest.fixture(scope="module")
def burnish(server: PostgreSQL, start_shared: StartBurnish) -> Service:
    """A service with a standing order, and with a peer that may request Storage Commitment."""
    return start_shared(
        database={"url": server.create_database(), "wait": "5s"},
        storage_commitment={"wait_for_instances": "0s"},
        request={"attempts": 1},
        peer=[{"ae_title": "PACS", "may": ["echo", "store", "media", "commit"]}],
        standing_order=[
            {"name": "burn", "called_ae_titles": ["BURN"], "quiet_period": "1s", "scope": "study"}
        ],
    )


def ended(service: Service, name: str) -> dict[str, Any]:
    """The details of a request once it has ended."""
    service.run("request", "watch", name)
    shown: dict[str, Any] = service.cli("request", "show", name)
    return shown


def assert_verified(service: Service, name: str, volumes: int) -> None:
    """Every volume of a request is in the outbox, and has no fault."""
    images = sorted((service.outbox / name).glob("*.iso"))
    assert len(images) == volumes
    for image in images:
        verified = service.run("disc", "verify", str(image))
        assert verified.returncode == 0, verified.stdout


def test_instances_of_a_request_become_verified_media(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    files = real_studies.patients + real_studies.others
    assert clients.dcmsend(burnish.port, *files).statuses == {0: len(files)}
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(real_studies.patients))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.create(clients.references(real_studies.patients), uid)[0] == 0x0111
        assert scu.initiate(uid, copies=2)[0] == 0

        def is_done() -> bool:
            return str(scu.get(uid, "ExecutionStatus")[1].ExecutionStatus) == "DONE"

        wait_until(is_done, deadline=300)
        status, attributes = scu.get(uid)
    assert status == 0
    assert attributes.TotalNumberOfPiecesOfMediaCreated == 2
    name = burnish.cli("request", "show", uid)["short_id"]
    assert_verified(burnish, name, 2)
    assert clients.dcmsend(burnish.port, *files).statuses == {0: len(files)}, "again"
    assert burnish.run("db", "check", "--spool").returncode == 0


def test_a_standing_order_makes_media(burnish: Service, real_studies: material.RealStudies) -> None:
    files = real_studies.tiny[:3]
    assert clients.dcmsend(burnish.port, *files, called="BURN").exit_code == 0

    def orders() -> list[Any]:
        listed = burnish.cli("request", "list")["items"]
        return [line for line in listed if line["origin"] == "standing order burn"]

    wait_until(orders, what="a request of the standing order")
    [order] = orders()
    assert ended(burnish, order["short_id"])["execution_status"] == "DONE"
    assert_verified(burnish, order["short_id"], 1)


def test_storage_commitment_is_reported(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    files = real_studies.charsets[:2]
    assert clients.dcmsend(burnish.port, *files, calling="PACS").exit_code == 0
    reports: list[Any] = []

    def receive(event: evt.Event) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information))
        return 0, None

    action = clients.references(files)
    action.TransactionUID = generate_uid()
    association = clients.associate(
        burnish.port,
        [build_context(PUSH)],
        calling="PACS",
        handlers=[(evt.EVT_N_EVENT_REPORT, receive)],
    )
    assert association.send_n_action(action, 1, PUSH, WELL_KNOWN)[0].Status == 0

    def states() -> list[str]:
        return [line["state"] for line in burnish.cli("commitment", "list")["items"]]

    wait_until(lambda: states() == ["REPORTED"], what="a report")
    association.release()
    [(event_type, information)] = reports
    assert event_type == 1
    assert len(information.ReferencedSOPSequence) == 2


def test_a_failed_request_is_made_after_a_retry(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    missing = real_studies.file("MR_small_RLE.dcm")
    instance = material.read(missing)
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references([instance]))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
    failed = ended(burnish, uid)
    assert failed["execution_status"] == "FAILURE"
    assert [failure["failure_reason"] for failure in failed["failures"]] == ["0112"]
    assert clients.send(burnish.port, [instance]) == [0]
    burnish.cli("request", "retry", uid)
    assert ended(burnish, uid)["execution_status"] == "DONE"


def test_requests_survive_kill_and_restart(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(real_studies.others[:4]))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid, copies=3)[0] == 0
    burnish.kill()
    burnish.start()
    assert ended(burnish, uid)["execution_status"] == "DONE"
    numbers = [line["short_id"] for line in burnish.cli("request", "list")["items"]]
    assert len(numbers) == len(set(numbers))


def test_a_server_that_restarts_is_waited_for(
    server: PostgreSQL, burnish: Service, real_studies: material.RealStudies
) -> None:
    files = real_studies.tiny[3:5]
    processes = {process.pid for process in burnish.roles()}
    server.stop()
    # instances are safe in the spool, and their rows follow when the server answers again
    assert set(clients.dcmsend(burnish.port, *files).statuses) == {0}
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(files))[0] == 0x0213
    server.start()
    with MediaCreation(burnish.port) as scu:
        wait_until(lambda: scu.create(clients.references(files))[0] == 0)
        uid = scu.sop_instance_uid
        wait_until(lambda: scu.initiate(uid)[0] == 0)
    assert ended(burnish, uid)["execution_status"] == "DONE"
    assert {process.pid for process in burnish.roles()} == processes
    assert burnish.defects() == []


def test_a_dump_is_restored_and_agrees_with_the_spool(
    server: PostgreSQL, burnish: Service, real_studies: material.RealStudies
) -> None:
    """Burnish leaves backups of PostgreSQL to its tools, and refuses an old one until recovery."""
    refused = burnish.run("db", "backup", str(burnish.root / "backup.db"))
    assert refused.returncode == 10
    assert "pg_dump" in refused.stderr
    url = json.loads(burnish.config.read_text().split("url = ")[1].split("\n")[0])
    older = server.copy_database(url)
    late = real_studies.tiny[5:7]
    assert clients.send(burnish.port, late) == [0, 0]
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(late))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
    last = ended(burnish, uid)["short_id"]
    burnish.stop()
    try:
        burnish.config.write_text(burnish.config.read_text().replace(url, older))
        refused = burnish.run("serve")
        assert refused.returncode == 10
        assert "is older than the spool" in refused.stderr
        assert "burnish db recover" in refused.stderr
        recovered = burnish.run("db", "recover")
        assert recovered.returncode == 0, recovered.stderr
        assert "2 instances" in recovered.stdout
    finally:
        burnish.start()
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(late))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
    second_request = ended(burnish, uid)
    assert second_request["execution_status"] == "DONE"
    assert second_request["short_id"] > last, "the number of a request on media is not used again"


def test_roles_make_media_as_separate_processes(
    server: PostgreSQL, tmp_path: Path, free_port: int, real_studies: material.RealStudies
) -> None:
    tables = {"database": {"url": server.create_database()}}
    service = Service(tmp_path / "roles", free_port, tables)
    assert service.run("db", "upgrade").returncode == 0

    def answers(receiver: "subprocess.Popen[bytes]") -> bool:
        assert receiver.poll() is None, service.tail()
        return clients.echo(free_port) == 0

    with (
        role(service, "--role", "receiver") as receiver,
        role(service, "--role", "scheduler"),
        role(service, "--role", "writer", "--device", "outbox"),
    ):
        wait_until(lambda: answers(receiver), what="a receiver that answers")
        assert set(clients.send(free_port, real_studies.patients[3:7])) == {0}
        with MediaCreation(free_port) as scu:
            assert scu.create(clients.references(real_studies.patients[3:7]))[0] == 0
            uid = scu.sop_instance_uid
            assert scu.initiate(uid)[0] == 0
        shown = ended(service, uid)
    assert shown["execution_status"] == "DONE"
    assert_verified(service, shown["short_id"], 1)
