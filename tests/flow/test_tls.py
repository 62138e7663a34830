"""DICOM over TLS, peers and users, with DCMTK as the peer."""

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
    """An authority, the certificates it has issued, and a service that wants to see them."""

    def __init__(self, folder: Path, start: StartBurnish, port: int) -> None:
        self.folder, self.port = folder, port
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
            *(clients.program(program), "-v", "-aet", calling, "-aec", "BURNISH"),
            *(*map(str, options), "127.0.0.1", str(port), *map(str, files)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def tls(site: Site, who: Identity) -> list[str | Path]:
    return ["+tls", who.key, who.certificate, "+cf", site.ca.certificate]


def test_storescu_stores_over_tls(site: Site, ct_file: Path) -> None:
    done = dcmtk("storescu", site.port, *tls(site, site.ct1), files=(ct_file,))
    assert done.returncode == 0, done.stdout + done.stderr
    [row] = oracles.live_instances(site.service)
    assert row["calling_ae_title"] == "CT1"
    sent, stored = material.read(ct_file), material.read(oracles.spool_file(site.service, row))
    assert stored.PixelData == sent.PixelData


@pytest.mark.parametrize("profile", ["+px", "+py", "+pz"])
def test_the_profiles_that_dcmtk_has(site: Site, profile: str) -> None:
    done = dcmtk("echoscu", site.port, *tls(site, site.ct1), profile)
    assert done.returncode == 0, done.stdout + done.stderr


def test_who_is_not_let_in(site: Site) -> None:
    """Each is refused, told apart in the log, and harms nobody."""

    def refused(*options: str | Path, port: int, calling: str, why: str) -> None:
        before = len(site.log("association refused"))
        done = dcmtk("echoscu", port, *options, calling=calling)
        assert done.returncode != 0, done.stdout
        lines = wait_until(
            lambda: site.log("association refused")[before:], what=f"a refusal of {calling}: {why}"
        )
        assert len(lines) == 1
        assert why in lines[0]

    plain = site.service.port
    known = tls(site, site.ct1)
    for who, why in ((site.expired, "expired"), (site.stranger, "self-signed")):
        refused(*tls(site, who), port=site.port, calling="CT1", why=why)
    refused("+tla", "-ic", port=site.port, calling="CT1", why="did not return a certificate")
    refused(port=site.port, calling="PLAIN", why="wrong version")
    refused(*known, port=site.port, calling="CT2", why="another certificate")
    refused(*known, port=site.port, calling="STRANGER", why="unknown AE title")
    refused(port=plain, calling="CT1", why="by TLS only")
    for calling in ("ANYTLS", "CT1"):
        assert dcmtk("echoscu", site.port, *known, calling=calling).returncode == 0
    assert dcmtk("echoscu", plain, calling="PLAIN").returncode == 0


def test_peers_by_address_and_number(site: Site) -> None:
    port = site.service.port
    with Raw(port, calling=b"PLAIN".ljust(16), source="127.0.0.9") as elsewhere:
        assert elsewhere.answer is not None
        assert elsewhere.answer.rejection == (1, 1, 3)
    with Raw(port, calling=b"PLAIN".ljust(16), source="127.0.0.2") as near:
        near.release()
    held = [Raw(port, calling=b"FEW".ljust(16)) for _ in range(3)]
    with Raw(port, calling=b"FEW".ljust(16)) as one_more:
        assert one_more.answer is not None
        assert one_more.answer.rejection == (2, 3, 2), "over both receivers"
    with Raw(port, calling=b"PYNETDICOM".ljust(16)) as another:
        another.release()
    for raw in held:
        raw.release()
        raw.__exit__(None, None, None)
    with raw_dicom.admitted(port, calling=b"FEW".ljust(16)) as again:
        again.release()


def test_users(site: Site, ct_file: Path) -> None:
    """With -rsp, storescu goes on only after a positive response."""
    for options, welcome in (
        (["-usr", "ct1", "-pwd", "sesame", "-rsp"], True),
        (["-usr", "guest", "-rsp"], True),
        (["-usr", "ct1", "-pwd", "open"], False),
        (["-usr", "nobody"], False),
    ):
        done = dcmtk("storescu", site.service.port, *options, calling="PLAIN", files=(ct_file,))
        assert (done.returncode == 0) is welcome, (options, done.stdout + done.stderr)
    # each is written down after the peer was answered
    wrong = "user name or passcode is wrong"
    wait_until(lambda: len(site.log(wrong)) >= 2, what="both refusals in the log")
    assert len(site.log(wrong)) == 2
    assert "sesame" not in site.service.log.read_text()


def test_silent_peers_keep_nobody_from_the_handshake(site: Site) -> None:
    silent = [Raw(site.port, silent=True) for _ in range(30)]
    silent[0].send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    try:
        done = dcmtk("echoscu", site.port, *tls(site, site.ct1))
        assert done.returncode == 0, done.stdout + done.stderr
        assert silent[1].receive() is None, "cut off after acse_timeout"
    finally:
        for raw in silent:
            raw.__exit__(None, None, None)


def test_certificates_are_read_again(site: Site) -> None:
    """After SIGHUP the service shows its new certificate, and goes on."""

    def shown() -> str:
        done = subprocess.run(
            [
                *(clients.program("openssl"), "s_client", "-connect", f"127.0.0.1:{site.port}"),
                *("-cert", str(site.ct1.certificate), "-key", str(site.ct1.key)),
            ],
            capture_output=True,
            input="",
            text=True,
            timeout=300,
            check=False,
        )
        found = re.search(r"subject=(.*)", done.stdout)
        return found[1] if found else ""

    assert "burnish" in shown()
    new = certificates.identity(site.folder, "renewed", issuer=site.ca)
    shutil.copy(new.certificate, site.ours.certificate)
    os.kill(site.service.pid, signal.SIGHUP)
    wait_until(lambda: len(site.log("certificates read again")) == 2, what="the new certificate")
    assert "renewed" in shown()
    site.ours.certificate.write_text("broken")
    os.kill(site.service.pid, signal.SIGHUP)
    wait_until(lambda: len(site.log("certificates stay")) == 2, what="a complaint")
    assert "renewed" in shown()
    assert dcmtk("echoscu", site.port, *tls(site, site.ct1)).returncode == 0
