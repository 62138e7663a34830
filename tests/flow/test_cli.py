"""The command line beside a running service, and roles that run as separate processes."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import material
import oracles
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from waiting import wait_until


@pytest.fixture(scope="module")
def files(real_studies: material.RealStudies) -> tuple[Path, ...]:
    """Images of three patients; the first seven are one patient's."""
    return real_studies.patients


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish, files: Sequence[Path]) -> Service:
    """A service whose blanks hold 200 KB, with all but the last instance."""
    service = start_shared(device=[{"name": "outbox", "media": ["CD"], "capacity": "200KB"}])
    assert set(clients.send(service.port, files[:-1])) == {0}
    return service


@pytest.fixture(scope="module")
def study(files: Sequence[Path]) -> str:
    return str(material.read(files[3]).StudyInstanceUID)


def create(service: Service, study: str, *options: str) -> dict[str, Any]:
    line: dict[str, Any] = service.cli("request", "create", "--study", study, *options)
    return line


def test_a_received_study_is_requested_and_made(
    burnish: Service, study: str, files: Sequence[Path], tmp_path: Path
) -> None:
    received = burnish.cli("instance", "list", "--study", study)["items"]
    sent = {str(material.read(path).SOPInstanceUID) for path in files[3:7]}
    assert {line["sop_instance_uid"] for line in received} == sent

    name = create(burnish, study, "--initiate", "--copies", "2")["short_id"]
    watched = burnish.run("request", "watch", name)
    assert watched.returncode == 0, watched.stderr
    assert "CREATING -> DONE" in watched.stdout

    shown = burnish.cli("request", "show", name)
    assert shown["execution_status"] == "DONE"
    assert [piece["state"] for piece in shown["pieces"]] == ["CREATED", "CREATED"]
    assert shown["failures"] == []
    for image in sorted((burnish.outbox / name).glob("*.iso")):
        assert burnish.run("disc", "verify", str(image)).returncode == 0
        root = oracles.extract_with_xorriso(image, tmp_path / image.stem)
        assert {str(oracles.read(root / i).SOPInstanceUID) for i in oracles.file_ids(root)} == sent


def test_a_created_request_waits_until_it_is_initiated(burnish: Service, study: str) -> None:
    name = create(burnish, study)["short_id"]
    assert burnish.cli("request", "show", name)["execution_status"] == "IDLE"
    burnish.cli("request", "initiate", name, "--priority", "HIGH")
    assert burnish.run("request", "watch", name).returncode == 0


def test_a_cancelled_request_does_not_exist_on_the_network(burnish: Service, study: str) -> None:
    line = create(burnish, study)
    with MediaCreation(burnish.port) as scu:
        assert scu.get(line["sop_instance_uid"])[0] == 0x0000
        burnish.cli("request", "cancel", line["short_id"])
        assert scu.get(line["sop_instance_uid"])[0] == 0x0112
    assert burnish.run("request", "watch", line["short_id"]).returncode == 21


def test_a_failure_has_a_reason_and_a_remedy(burnish: Service, files: Sequence[Path]) -> None:
    uids = [str(material.read(path).SOPInstanceUID) for path in files[:-1]]
    named = [word for uid in uids for word in ("--instance", uid)]
    line = burnish.cli(
        "request",
        "create",
        *named,
        "--several-patients",
        "--no-split",
        "--profile",
        "STD-GEN-CD",
        "--initiate",
    )
    watched = burnish.run("request", "watch", line["short_id"])
    assert watched.returncode == 20
    assert "SET_OVERSIZED" in watched.stderr
    shown = burnish.cli("request", "show", line["short_id"])
    assert shown["execution_status_info"] == "SET_OVERSIZED"
    assert shown["remedy"] in watched.stderr
    assert shown["remedy"]


def test_a_retry_makes_a_failed_request(burnish: Service, files: Sequence[Path]) -> None:
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(files[-2:]))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
    assert burnish.run("request", "watch", uid).returncode == 20
    (failure,) = burnish.cli("request", "show", uid)["failures"]
    assert failure["referenced_sop_instance_uid"] == str(material.read(files[-1]).SOPInstanceUID)
    assert failure["failure_reason"] == "0112"

    assert clients.send(burnish.port, files[-1:]) == [0]
    burnish.cli("request", "retry", uid)
    assert burnish.run("request", "watch", uid).returncode == 0
    shown = burnish.cli("request", "show", uid)
    assert shown["failures"] == []
    assert sum(piece["instances"] for piece in shown["pieces"]) == 2


def test_a_second_service_on_the_same_storage_is_refused(burnish: Service) -> None:
    done = burnish.run("serve")
    assert done.returncode == 10
    assert "another Burnish" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_reported(burnish: Service, tmp_path: Path) -> None:
    config = tmp_path / "burnish.toml"
    config.write_text(
        f'[dicom]\nhost = "127.0.0.1"\nport = {burnish.port}\n'
        f'[storage]\nroot = "{tmp_path / "storage"}"\n'
    )
    done = burnish.run("serve", "--config", str(config))
    assert done.returncode == 10
    assert "dicom.port" in done.stderr


@contextmanager
def role(service: Service, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs one role in its own process; it must end with exit code 0 on SIGTERM."""
    with service.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "burnish", "serve", *arguments, "--config", str(service.config)],
            stderr=log,
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_roles_make_media_as_separate_processes(
    tmp_path: Path, free_port: int, files: Sequence[Path], study: str
) -> None:
    service = Service(tmp_path / "roles", free_port, {})
    refused = service.run("serve", "--role", "scheduler")
    assert refused.returncode != 0, "a role does not make the database"
    assert service.run("db", "upgrade").returncode == 0
    with (
        role(service, "--role", "receiver") as receiver,
        role(service, "--role", "scheduler"),
        role(service, "--role", "writer", "--device", "outbox"),
    ):

        def listens() -> bool:
            assert receiver.poll() is None, service.tail()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", free_port)) == 0

        wait_until(listens, what="a receiver that listens")
        assert set(clients.send(free_port, files[3:7])) == {0}
        name = create(service, study, "--initiate")["short_id"]
        assert service.run("request", "watch", name).returncode == 0
    assert service.run("serve", "--role", "writer", "--device", "none").returncode == 10
    assert service.run("serve", "--role", "writer").returncode == 2
