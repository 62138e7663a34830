"""Secure media of the service, requested by a peer and by hand, opened by OpenSSL alone."""

from pathlib import Path

import pytest

import material
import oracles
from certificates import Identity, identity, open_with_openssl
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from waiting import wait_until

PROFILE = "STD-GEN-SEC-CD"
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def alice(keys: Path) -> Identity:
    return identity(keys, "alice")


@pytest.fixture(scope="module")
def files(real_studies: material.RealStudies) -> tuple[Path, ...]:
    return real_studies.patients[3:7]


@pytest.fixture(scope="module")
def burnish(
    start_shared: StartBurnish, files: tuple[Path, ...], keys: Path, alice: Identity
) -> Service:
    """A service that signs its secure media and makes them for Alice."""
    signer = identity(keys, "signer", number=2)
    security = {
        "recipients": [str(alice.certificate)],
        "signer_certificate": str(signer.certificate),
        "signer_key": str(signer.key),
    }
    service = start_shared(security=security)
    assert set(clients.send(service.port, files)) == {0}
    return service


def sop_instance_uids(
    image: Path, folder: Path, *, identity: Identity | None = None, password: str = ""
) -> set[str]:
    """The SOP Instance UIDs in a secure image, decrypted by OpenSSL."""
    root, plain = oracles.extract(image, folder / "sealed"), folder / "opened"
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name != "README.TXT":
            target = plain / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            dicom_file = open_with_openssl(path, folder, identity=identity, password=password)
            target.write_bytes(dicom_file)
            oracles.dcmdump(target)
    oracles.dcdirdmp(plain)
    return set(oracles.file_set(plain))


def test_a_peer_requests_secure_media(
    burnish: Service, files: tuple[Path, ...], tmp_path: Path, alice: Identity
) -> None:
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(files, PROFILE))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
        wait_until(lambda: scu.get(uid)[1].ExecutionStatus in ("DONE", "FAILURE"), what="an end")
        assert scu.get(uid)[1].ExecutionStatus == "DONE"
    name = burnish.cli("request", "show", uid)["short_id"]
    (image,) = (burnish.outbox / name).glob("*.iso")
    sent = {str(material.read(path).SOPInstanceUID) for path in files}
    assert sop_instance_uids(image, tmp_path, identity=alice) == sent
    command = ("disc", "verify", str(image), "--key", str(alice.key), "--profile", PROFILE)
    result = burnish.run(*command)
    assert result.returncode == 0, result.stdout


def test_a_request_names_its_own_password(
    burnish: Service, files: tuple[Path, ...], tmp_path: Path, alice: Identity
) -> None:
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    study = str(material.read(files[0]).StudyInstanceUID)
    create = ("request", "create", "--study", study, "--profile", PROFILE, "--initiate")
    request = burnish.cli(*create, "--password-file", str(path))
    assert burnish.run("request", "watch", request["short_id"]).returncode == 0
    (image,) = (burnish.outbox / request["short_id"]).glob("*.iso")
    assert sop_instance_uids(image, tmp_path, password=PASSWORD)
    assert burnish.run("disc", "verify", str(image), "--key", str(alice.key)).returncode == 13
    assert PASSWORD not in burnish.log.read_text()
    assert PASSWORD.encode() not in (burnish.root / "burnish.db").read_bytes()


def test_a_request_without_recipient_and_password_fails(
    start_burnish: StartBurnish, files: tuple[Path, ...]
) -> None:
    service = start_burnish()
    assert set(clients.send(service.port, files)) == {0}
    study = str(material.read(files[0]).StudyInstanceUID)
    request = service.cli("request", "create", "--study", study, "--profile", PROFILE, "--initiate")
    assert service.run("request", "watch", request["short_id"]).returncode == 20
    shown = service.cli("request", "show", request["short_id"])
    assert shown["execution_status_info"] == "NOT_SUPPORTED"
    assert {failure["failure_reason"] for failure in shown["failures"]} == {"0204"}
    assert "[security]" in shown["remedy"]
