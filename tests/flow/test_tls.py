"""DICOM over TLS, permissions of peers, and users, with DCMTK as the peer."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import certificates
import material
import oracles
import raw_dicom
from certificates import Identity
from flow import clients
from flow.conftest import StartBurnish
from flow.service import Service
from ports import free_port
from raw_dicom import Raw
from waiting import wait_until


class Site:
    """An authority, certificates that it has issued, and a service that requires them."""

    def __init__(self, folder: Path, start: StartBurnish, port: int) -> None:
        self.folder = folder
        self.port = port
        self.ca = certificates.identity(folder, "ca", authority=True, elliptic=True)
        self.ours = certificates.identity(folder, "burnish", issuer=self.ca)
        self.ct1 = certificates.identity(folder, "ct1", issuer=self.ca, elliptic=True)
        self.expired = certificates.identity(
            folder, "old", issuer=self.ca, expired=True, elliptic=True
        )
        self.stranger = certificates.identity(folder, "stranger", elliptic=True)
        peers: list[dict[str, Any]] = [
            {"ae_title": "CT1", "tls": True, "certificate": "C = IT, CN = ct1"},
            {"ae_title": "CT2", "tls": True, "certificate": "C = IT, CN = ct2"},
            {"ae_title": "ANYTLS", "tls": True},
            {"ae_title": "PLAIN", "addresses": ["127.0.0.0/30"]},
            {"ae_title": "FEW", "maximum_associations": 3},
            {"ae_title": "PYNETDICOM"},
        ]
        self.service: Service = start(
            dicom={"accept_unknown_peers": False, "acse_timeout": "8s"},
            tls={
                "port": port,
                "certificate": self.ours.certificate,
                "key": self.ours.key,
                "ca": self.ca.certificate,
            },
            peer=peers,
            user=[{"name": "ct1", "passcode": "sesame"}, {"name": "guest"}],
        )

    def log(self, event: str) -> list[str]:
        return [line for line in self.service.lines() if event in line]


@pytest.fixture(scope="module")
def ct_file(real_studies: material.RealStudies) -> Path:
    return real_studies.file("CT_small.dcm")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_shared: StartBurnish) -> Site:
    return Site(tmp_path_factory.mktemp("site"), start_shared, free_port())


def dcmtk(
    program: str,
    port: int,
    *options: str | Path,
    calling: str = "CT1",
    files: tuple[Path, ...] = (),
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            clients.program(program),
            "-v",
            "-aet",
            calling,
            "-aec",
            "BURNISH",
            *map(str, options),
            "127.0.0.1",
            str(port),
            *map(str, files),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def tls(site: Site, identity: Identity) -> list[str | Path]:
    return ["+tls", identity.key, identity.certificate, "+cf", site.ca.certificate]


def test_storescu_stores_over_tls(site: Site, ct_file: Path) -> None:
    done = dcmtk("storescu", site.port, *tls(site, site.ct1), files=(ct_file,))
    assert done.returncode == 0, done.stdout + done.stderr
    [row] = oracles.live_instances(site.service)
    assert row["calling_ae_title"] == "CT1"
    sent, stored = material.read(ct_file), oracles.read_spooled(site.service, row)
    assert stored.PixelData == sent.PixelData


@pytest.mark.parametrize("profile", ["+px", "+py", "+pz"])
def test_an_echo_with_each_tls_profile_of_dcmtk(site: Site, profile: str) -> None:
    done = dcmtk("echoscu", site.port, *tls(site, site.ct1), profile)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_peer_that_is_not_permitted_is_rejected_with_the_reason_in_the_log(site: Site) -> None:
    """And the same peers are accepted when they call as configured."""

    def assert_logged(
        event: str, why: str, *options: str | Path, port: int, calling: str = "CT1"
    ) -> None:
        before = len(site.log(event))
        done = dcmtk("echoscu", port, *options, calling=calling)
        assert done.returncode != 0, done.stdout
        lines = wait_until(lambda: site.log(event)[before:], what=f"{event} of {calling}: {why}")
        assert len(lines) == 1
        assert why in lines[0]

    plain_port = site.service.port
    as_ct1 = tls(site, site.ct1)
    handshake = "TLS handshake failed"
    assert_logged(handshake, "expired", *tls(site, site.expired), port=site.port)
    assert_logged(handshake, "self-signed", *tls(site, site.stranger), port=site.port)
    assert_logged(handshake, "did not return a certificate", "+tla", "-ic", port=site.port)
    assert_logged(handshake, "wrong version", port=site.port, calling="PLAIN")
    rejected = "association rejected"
    assert_logged(rejected, "another certificate", *as_ct1, port=site.port, calling="CT2")
    assert_logged(rejected, "no [[peer]]", *as_ct1, port=site.port, calling="STRANGER")
    assert_logged(rejected, "AE CT1 must use TLS (peer.tls)", port=plain_port)
    for calling in ("ANYTLS", "CT1"):
        assert dcmtk("echoscu", site.port, *as_ct1, calling=calling).returncode == 0
    assert dcmtk("echoscu", plain_port, calling="PLAIN").returncode == 0


def test_addresses_and_association_limits_of_peers(site: Site) -> None:
    port = site.service.port
    with Raw(port, calling=b"PLAIN".ljust(16), source="127.0.0.9") as from_another_address:
        assert from_another_address.answer is not None
        assert from_another_address.answer.rejection == (1, 1, 3)
    with Raw(port, calling=b"PLAIN".ljust(16), source="127.0.0.2") as from_its_address:
        from_its_address.release()
    held = [Raw(port, calling=b"FEW".ljust(16)) for _ in range(3)]
    with Raw(port, calling=b"FEW".ljust(16)) as one_more:
        assert one_more.answer is not None
        assert one_more.answer.rejection == (2, 3, 2), "the limit holds over both receivers"
    with Raw(port, calling=b"PYNETDICOM".ljust(16)) as another:
        another.release()
    for raw in held:
        raw.release()
        raw.__exit__(None, None, None)
    with raw_dicom.admitted(port, calling=b"FEW".ljust(16)) as again:
        again.release()


def test_users_are_accepted_with_their_passcodes(site: Site, ct_file: Path) -> None:
    """With -rsp, storescu continues only after a positive response."""
    for options, is_accepted in (
        (["-usr", "ct1", "-pwd", "sesame", "-rsp"], True),
        (["-usr", "guest", "-rsp"], True),
        (["-usr", "ct1", "-pwd", "open"], False),
        (["-usr", "nobody"], False),
    ):
        done = dcmtk("storescu", site.service.port, *options, calling="PLAIN", files=(ct_file,))
        assert (done.returncode == 0) is is_accepted, (options, done.stdout + done.stderr)
    # A rejection is logged after the peer has got it.
    wrong = "user name or passcode is wrong"
    wait_until(lambda: len(site.log(wrong)) >= 2, what="both rejections in the log")
    assert len(site.log(wrong)) == 2
    assert "sesame" not in site.service.log.read_text()


def test_silent_peers_do_not_block_the_handshakes_of_others(site: Site) -> None:
    silent = [Raw(site.port, silent=True) for _ in range(30)]
    silent[0].send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    try:
        done = dcmtk("echoscu", site.port, *tls(site, site.ct1))
        assert done.returncode == 0, done.stdout + done.stderr
        assert silent[1].receive() is None, "closed after acse_timeout"
    finally:
        for raw in silent:
            raw.__exit__(None, None, None)


def test_sighup_reloads_the_certificates(site: Site) -> None:
    """A certificate that cannot be read changes nothing."""

    def presented_subject() -> str:
        done = subprocess.run(
            [
                clients.program("openssl"),
                "s_client",
                "-connect",
                f"127.0.0.1:{site.port}",
                "-cert",
                str(site.ct1.certificate),
                "-key",
                str(site.ct1.key),
            ],
            capture_output=True,
            input="",
            text=True,
            timeout=300,
            check=False,
        )
        subject = re.search(r"subject=(.*)", done.stdout)
        return subject[1] if subject else ""

    assert "burnish" in presented_subject()
    new = certificates.identity(site.folder, "renewed", issuer=site.ca)
    shutil.copy(new.certificate, site.ours.certificate)
    os.kill(site.service.pid, signal.SIGHUP)
    wait_until(lambda: len(site.log("TLS certificates reloaded")) == 2, what="the new certificate")
    assert "renewed" in presented_subject()
    site.ours.certificate.write_text("broken")
    os.kill(site.service.pid, signal.SIGHUP)
    wait_until(lambda: len(site.log("TLS certificates not reloaded")) == 2, what="the error")
    assert "renewed" in presented_subject()
    assert dcmtk("echoscu", site.port, *tls(site, site.ct1)).returncode == 0
