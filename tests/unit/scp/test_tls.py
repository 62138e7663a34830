"""Associations over TLS: profiles, certificates, the end, and peers that do not speak TLS."""

import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import certificates
from burnish.access.peers import Caller
from burnish.access.tls import (
    TLS_PROFILES,
    client_context,
    presents_certificate,
    server_context,
)
from burnish.errors import InvalidSettings
from burnish.scp import messages
from burnish.scp.messages import Command
from burnish.scp.negotiation import Negotiator
from burnish.scp.upper_layer import Association, CollectedDataSet, NotEstablishedError
from burnish.settings import DicomSettings, Settings, TLSSettings
from burnish.vocabulary import VERIFICATION
from factories import CT
from peer import EXPLICIT, IMPLICIT, RELEASE, associate_rq, command, context, p_data, pdv

ANY_PEER = Settings(dicom=DicomSettings(accept_unknown_peers=True))
TWO_CONTEXTS = associate_rq(context(1, VERIFICATION, IMPLICIT), context(3, CT, EXPLICIT))


class Identities:
    """An authority and certificates that it has issued, and one of a stranger."""

    def __init__(self, folder: Path) -> None:
        self.ca = certificates.identity(folder, "ca", authority=True, elliptic=True)
        self.ours = certificates.identity(folder, "burnish", issuer=self.ca)
        self.theirs = certificates.identity(folder, "ct1", issuer=self.ca, elliptic=True)
        self.expired = certificates.identity(
            folder, "old", issuer=self.ca, expired=True, elliptic=True
        )
        self.stranger = certificates.identity(folder, "stranger", elliptic=True)

    def tls(self, identity: certificates.Identity | None, **more: Any) -> TLSSettings:
        values: dict[str, Any] = {"ca": self.ca.certificate}
        if identity is not None:
            values |= {"certificate": identity.certificate, "key": identity.key}
        return TLSSettings.model_validate({**values, **more})


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return Identities(tmp_path_factory.mktemp("identities"))


class Line:
    """Both ends of a connection: that of Burnish in a thread, that of the peer in the test."""

    def __init__(self, tls: TLSSettings, *, acse: float = 300) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.socket = socket.create_connection(listening.getsockname(), timeout=300)
            ours, _ = listening.accept()
        self.outcome = ""
        self.data = b""
        self.association = Association(
            ours,
            Caller("127.0.0.1", tls=True),
            Negotiator(ANY_PEER).answer,
            self._dispatch,
            acse_timeout=acse,
            idle_timeout=300,
            tls=server_context(tls),
        )
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _dispatch(
        self, _association: Any, number: int, _context: Any, request: Command
    ) -> CollectedDataSet:
        def respond(data: bytes) -> bytes:
            self.data += data
            return messages.p_data(number, messages.response(request, 0), b"", 0)

        return CollectedDataSet(respond)

    def _serve(self) -> None:
        try:
            self.outcome = self.association.serve()
        except NotEstablishedError as error:
            self.outcome = f"{error.event}: {error}"

    def secure(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket)

    def assert_handshake_fails(self, context: ssl.SSLContext) -> None:
        """With TLS 1.3 the peer learns only at its first read that the handshake has failed."""
        try:
            self.secure(context)
            self.socket.sendall(TWO_CONTEXTS)
            data = self.socket.recv(1)
        except OSError:
            return
        assert not data

    def receive(self) -> int:
        """The type of the next PDU."""
        kind, _, length = struct.unpack(">BBI", self._exactly(6))
        self._exactly(length)
        return int(kind)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            assert part, "closed"
            data += part
        return data

    def end(self) -> str:
        self._thread.join(300)
        assert not self._thread.is_alive()
        self.socket.close()
        return self.outcome


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    opened: list[Line] = []
    yield opened
    for line in opened:
        line.socket.close()
        line.end()


@pytest.mark.parametrize(
    ("profile", "version"),
    [
        ("BCP195", ssl.TLSVersion.TLSv1_2),
        ("BCP195", ssl.TLSVersion.TLSv1_3),
        ("BCP195-ND", ssl.TLSVersion.TLSv1_2),
        ("BCP195-EXTENDED", ssl.TLSVersion.TLSv1_2),
    ],
)
def test_an_association_with_each_profile_and_version(
    identities: Identities, lines: list[Line], profile: str, version: ssl.TLSVersion
) -> None:
    lines.append(line := Line(identities.tls(identities.ours, profile=profile)))
    theirs = client_context(identities.tls(identities.theirs, profile=profile))
    theirs.maximum_version = theirs.minimum_version = version
    line.secure(theirs)
    data = bytes(range(256)) * 3000
    line.socket.sendall(TWO_CONTEXTS)
    assert line.receive() == 2
    store = command(messages.C_STORE_RQ, CT, data_set=True)
    parts = [data[at : at + 50_000] for at in range(0, len(data), 50_000)]
    values = [pdv(3, 2 if part is parts[-1] else 0, part) for part in parts]
    line.socket.sendall(p_data(pdv(3, 3, store)) + b"".join(p_data(each) for each in values))
    assert line.receive() == 4
    assert line.data == data
    line.socket.sendall(RELEASE)
    assert line.receive() == 6
    assert isinstance(line.socket, ssl.SSLSocket)
    line.socket = line.socket.unwrap()  # raises if the service does not end TLS as well
    assert line.end() == "released"
    certificate = line.association.caller.certificate
    assert certificate is not None
    assert certificate.matches("C=IT,CN=ct1")
    encoded = ssl.PEM_cert_to_DER_cert(identities.theirs.certificate.read_text())
    assert certificate.matches(hashlib.sha256(encoded).hexdigest().upper())


def test_dhe_is_negotiated_if_the_profile_has_it(identities: Identities, lines: list[Line]) -> None:
    theirs = client_context(identities.tls(identities.theirs, profile="BCP195-ND"))
    theirs.maximum_version = ssl.TLSVersion.TLSv1_2
    theirs.set_ciphers("DHE-RSA-AES128-GCM-SHA256")
    lines.append(line := Line(identities.tls(identities.ours, profile="BCP195-ND")))
    line.secure(theirs)
    lines.append(other := Line(identities.tls(identities.ours)))
    with pytest.raises(ssl.SSLError):
        other.secure(theirs)
    assert "no shared cipher" in other.end()


@pytest.mark.parametrize("profile", TLS_PROFILES)
@pytest.mark.parametrize("make_context", [server_context, client_context])
def test_no_profile_permits_a_version_before_tls_1_2(
    identities: Identities,
    profile: str,
    make_context: Callable[[TLSSettings], ssl.SSLContext],
) -> None:
    context = make_context(identities.tls(identities.ours, profile=profile))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_connection_without_a_certificate_does_not_present_the_one_of_a_peer() -> None:
    with socket.socket() as connection:
        assert not presents_certificate(connection, "C=IT,CN=ct1")
        assert presents_certificate(connection, ""), "none is configured"
    assert not presents_certificate(None, "C=IT,CN=ct1")


def test_versions_before_tls_1_2_are_not_negotiated(
    identities: Identities, lines: list[Line]
) -> None:
    lines.append(line := Line(identities.tls(identities.ours, profile="BCP195-ND")))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False
    theirs.verify_mode = ssl.CERT_NONE
    theirs.set_ciphers("ALL:@SECLEVEL=0")
    theirs.options &= ~ssl.OP_NO_TLSv1_1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        theirs.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        theirs.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        line.secure(theirs)
    assert line.end().startswith("TLS handshake failed: ")


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        ("expired", "certificate has expired"),
        ("stranger", "self-signed certificate"),
        (None, "peer did not return a certificate"),
    ],
)
def test_an_invalid_or_missing_certificate_fails_the_handshake(
    identities: Identities, lines: list[Line], identity: str | None, why: str
) -> None:
    lines.append(line := Line(identities.tls(identities.ours)))
    line.assert_handshake_fails(
        client_context(identities.tls(getattr(identities, identity) if identity else None))
    )
    assert line.end() == f"TLS handshake failed: {why}"


def test_a_peer_may_present_no_certificate_if_it_is_optional(
    identities: Identities, lines: list[Line]
) -> None:
    settings = identities.tls(identities.ours, client_certificate="optional")
    lines.append(line := Line(settings))
    line.secure(client_context(identities.tls(None)))
    line.socket.sendall(TWO_CONTEXTS)
    assert line.receive() == 2
    assert line.association.caller.certificate is None
    lines.append(other := Line(settings))
    other.assert_handshake_fails(client_context(identities.tls(identities.expired)))


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (
            TWO_CONTEXTS,
            "wrong version number: the peer seems to speak DICOM without TLS on tls.port",
        ),
        (b"GET / HTTP/1.1\r\nHost: burnish\r\n\r\n", "http request"),
        (b"", "the peer was silent for too long"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "the peer was silent for too long"),
    ],
)
def test_a_peer_that_does_not_speak_tls_fails_the_handshake(
    identities: Identities, lines: list[Line], sent: bytes, why: str
) -> None:
    lines.append(
        line := Line(identities.tls(identities.ours), acse=0.3 if "silent" in why else 300)
    )
    line.socket.sendall(sent)
    assert line.end() == f"TLS handshake failed: {why}"


def test_silence_after_the_handshake_ends_the_connection(
    identities: Identities, lines: list[Line]
) -> None:
    theirs = client_context(identities.tls(identities.theirs))
    lines.append(line := Line(identities.tls(identities.ours)))
    line.secure(theirs)
    # However long the handshake took, the time runs out while the rest of the PDU is awaited.
    line.association._stream.deadline = monotonic() + 0.5
    line.socket.sendall(TWO_CONTEXTS[:50])
    assert line.end() == "the peer was silent for too long"


@pytest.mark.parametrize("established", [False, True])
def test_an_association_can_be_ended_from_another_thread(
    identities: Identities, lines: list[Line], established: bool
) -> None:
    lines.append(line := Line(identities.tls(identities.ours)))
    if established:
        line.secure(client_context(identities.tls(identities.theirs)))
        line.socket.sendall(TWO_CONTEXTS)
        assert line.receive() == 2
    line.association.end("enough")
    assert line.end().removeprefix("TLS handshake failed: ") == "enough"


@pytest.mark.parametrize("wrong", ["certificate", "key", "ca"])
def test_invalid_files_are_invalid_settings(
    identities: Identities, tmp_path: Path, wrong: str
) -> None:
    right = identities.tls(identities.ours)
    (tmp_path / "wrong.pem").write_text("not PEM")
    for path in (tmp_path / "wrong.pem", tmp_path / "nowhere.pem", identities.theirs.key):
        with pytest.raises(InvalidSettings, match=r"\[tls\]"):
            server_context(right.model_copy(update={wrong: path}))


def test_a_key_of_another_certificate_is_invalid_settings(identities: Identities) -> None:
    files = {"certificate": identities.ours.certificate, "key": identities.theirs.key}
    with pytest.raises(InvalidSettings, match="cannot be used"):
        server_context(identities.tls(None, **files))
