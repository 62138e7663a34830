"""Secure File-sets are read as what is in them, and only if nothing of that was changed."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from burnish.errors import Unreadable
from burnish.image.reader import open_volume
from burnish.secure_files import Keyring, Sealer, der, open_secure
from burnish.secure_files.keyring import read_private_key
from burnish.secure_files.protection import load_protection
from burnish.settings import SecuritySettings
from burnish.values import SecureVolume, Volume
from certificates import DIGESTED, SIGNED, Identity
from oracles import run

WORDS = b"correct horse battery staple"
DATA = DIGESTED[:-1] + b"\1"
ENVELOPED = DIGESTED[:-1] + b"\3"


@pytest.fixture(scope="session")
def sealers(alice: Identity, bob: Identity, signer: Identity) -> dict[str, Sealer]:
    security = SecuritySettings(
        recipients=(alice.certificate, bob.certificate),
        password=SecretStr(WORDS.decode()),
        password_iterations=1000,
    )
    signs = {"signer_certificate": signer.certificate, "signer_key": signer.key}
    return {
        "digested": Sealer(load_protection(security)),
        "signed": Sealer(load_protection(security.model_copy(update=signs))),
    }


def seal(sealer: Sealer, plain: bytes) -> bytes:
    return b"".join(sealer.seal(sealer.new_key(), len(plain), [plain]))


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Path]:
    """Makes a directory with a DICOMDIR of certain bytes, and a file beside it."""

    def made(content: bytes) -> Path:
        root = tmp_path / "volume"
        root.mkdir(exist_ok=True)
        (root / "DICOMDIR").write_bytes(content)
        (root / "README.TXT").write_bytes(b"read me")
        return root

    return made


def whole(volume: Volume) -> bytes:
    return b"".join(volume.chunks("DICOMDIR"))


@pytest.mark.parametrize("kind", ["digested", "signed"])
@pytest.mark.parametrize("who", ["alice", "bob", "password"])
def test_every_recipient_opens_it(
    kind: str,
    who: str,
    sealers: dict[str, Sealer],
    request: pytest.FixtureRequest,
    dicom: bytes,
    put: Callable[[bytes], Path],
) -> None:
    keyring = (
        Keyring(password=WORDS)
        if who == "password"
        else Keyring((read_private_key(request.getfixturevalue(who).key),))
    )
    with open_volume(put(seal(sealers[kind], dicom))) as closed:
        volume = open_secure(closed, keyring)
        assert isinstance(volume, SecureVolume)
        assert volume.opened
        assert dict(volume.files()) == {"DICOMDIR": len(dicom), "README.TXT": 7}
        assert (volume.is_secure("DICOMDIR"), volume.is_secure("README.TXT")) == (True, False)
        assert whole(volume) == dicom
        assert volume.read("README.TXT") == b"read me"
        volume.check("DICOMDIR")


def test_whoever_wrote_it_opens_it_with_the_key_of_the_file(
    sealers: dict[str, Sealer], dicom: bytes, put: Callable[[bytes], Path]
) -> None:
    sealer = sealers["digested"]
    key = sealer.new_key()
    with open_volume(put(b"".join(sealer.seal(key, len(dicom), [dicom])))) as closed:
        assert whole(open_secure(closed, {"DICOMDIR": key})) == dicom
        with pytest.raises(Unreadable):
            whole(open_secure(closed, {"DICOMDIR": sealer.new_key()}))
        with pytest.raises(Unreadable, match="no given key or password"):
            whole(open_secure(closed, {"OTHER": key}))


@pytest.mark.parametrize("wrong", [Keyring(password=b"other words"), "signer"], ids=["word", "key"])
def test_nobody_else_opens_it(
    wrong: Keyring | str,
    sealers: dict[str, Sealer],
    signer: Identity,
    dicom: bytes,
    put: Callable[[bytes], Path],
) -> None:
    keyring = wrong if isinstance(wrong, Keyring) else Keyring((read_private_key(signer.key),))
    with open_volume(put(seal(sealers["signed"], dicom))) as closed:
        volume = open_secure(closed, keyring)
        with pytest.raises(Unreadable):
            volume.read("DICOMDIR")
        with pytest.raises(Unreadable):
            volume.files()["DICOMDIR"]


def test_without_a_key_only_its_envelopes_are_looked_at(
    sealers: dict[str, Sealer], dicom: bytes, put: Callable[[bytes], Path]
) -> None:
    sealed = seal(sealers["signed"], dicom)
    with open_volume(put(sealed)) as closed:
        volume = open_secure(closed, Keyring())
        assert isinstance(volume, SecureVolume)
        assert not volume.opened
        volume.check("DICOMDIR")
        assert volume.read("DICOMDIR") == sealed
    for broken in (sealed[:-1], sealed + b"\0", sealed[:40] + bytes(400) + sealed[440:]):
        with open_volume(put(broken)) as closed:
            volume = open_secure(closed, Keyring())
            assert isinstance(volume, SecureVolume)
            with pytest.raises(Unreadable):
                volume.check("DICOMDIR")


def test_a_volume_that_is_not_secure_is_itself(put: Callable[[bytes], Path]) -> None:
    for plain in (b"", b"\x30", b"\x30\x80", bytes(200)):
        with open_volume(put(plain)) as volume:
            assert open_secure(volume, Keyring(password=WORDS)) is volume


@pytest.mark.parametrize("kind", ["digested", "signed"])
@example(offset=0, length=0)
@given(offset=st.integers(0, 70_200), length=st.none() | st.integers(0, 70_200))
@hypothesis_settings(deadline=None, max_examples=60)
def test_any_part_can_be_read(
    sealers: dict[str, Sealer],
    kind: str,
    dicom: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    offset: int,
    length: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("volume")
    sealer, key = sealers[kind], bytes(32)
    (folder / "DICOMDIR").write_bytes(b"".join(sealer.seal(key, len(dicom), [dicom])))
    with open_volume(folder) as closed:
        found = open_secure(closed, {"DICOMDIR": key}).read("DICOMDIR", offset, length)
    assert found == dicom[offset:][:length]


# the library warns of a certificate that a changed bit has made odd
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("kind", ["digested", "signed"])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@hypothesis_settings(deadline=None, max_examples=200)
def test_no_bit_can_be_changed_unnoticed(
    sealers: dict[str, Sealer],
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    where: float,
    bit: int,
) -> None:
    """But for those by which nobody is meant who opens it: names and keys of other recipients."""
    plain = b"DICM" * 200
    sealer, key = sealers[kind], bytes(32)
    sealed = bytearray(b"".join(sealer.seal(key, len(plain), [plain])))
    start = len(sealed) - len(plain) - 1000  # from within the recipients on
    at = start + int(where * (len(sealed) - start))
    sealed[at] ^= 1 << bit
    folder = tmp_path_factory.mktemp("volume")
    (folder / "DICOMDIR").write_bytes(sealed)
    with open_volume(folder) as closed, contextlib.suppress(Unreadable):
        assert whole(open_secure(closed, {"DICOMDIR": key})) == plain


# --- made by OpenSSL alone -----------------------------------------------------------------------


@pytest.fixture(params=["sha1", "sha256", "sha512"])
def inner(
    request: pytest.FixtureRequest, signer: Identity, dicom: bytes, tmp_path: Path
) -> tuple[bytes, bytes]:
    """SignedData of a file, and its object identifier."""
    (tmp_path / "plain").write_bytes(dicom)
    run(
        *("openssl", "cms", "-sign", "-binary", "-nodetach", "-md", request.param),
        *("-in", tmp_path / "plain", "-out", tmp_path / "signed", "-outform", "DER"),
        *("-signer", signer.certificate, "-inkey", signer.key),
    )
    made = (tmp_path / "signed").read_bytes()
    outer = der.DerReader(made).inside(der.SEQUENCE)
    outer.oid()
    return outer.inside(0xA0).encoded(der.SEQUENCE), SIGNED


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-cbc", "des-ede3-cbc"])
def test_what_openssl_makes_is_read(
    inner: tuple[bytes, bytes],
    cipher: str,
    alice: Identity,
    dicom: bytes,
    tmp_path: Path,
    put: Callable[[bytes], Path],
) -> None:
    content, kind = inner
    (tmp_path / "inner").write_bytes(content)
    run(
        *("openssl", "cms", "-encrypt", "-binary", f"-{cipher}", "-outform", "DER"),
        *("-pwri_password", WORDS.decode(), "-in", tmp_path / "inner"),
        *("-out", tmp_path / "sealed", "-recip", alice.certificate),
    )
    # it cannot be told that what it encrypts is not data
    sealed = (tmp_path / "sealed").read_bytes()
    at = sealed.rindex(DATA, 0, 4096)
    sealed = sealed[:at] + kind + sealed[at + len(kind) :]
    for keyring in (Keyring((read_private_key(alice.key),)), Keyring(password=WORDS)):
        with open_volume(put(sealed)) as closed:
            assert whole(open_secure(closed, keyring)) == dicom


@pytest.mark.parametrize("streamed", ["sealed", "both"])
@pytest.mark.parametrize("size", [1, 70_005])
def test_what_openssl_streams_is_read(
    streamed: str,
    size: int,
    signer: Identity,
    alice: Identity,
    tmp_path: Path,
    put: Callable[[bytes], Path],
) -> None:
    """BER: lengths are indefinite, and strings in pieces (X.690 8.1.3.6, 8.7.3)."""
    plain = hashlib.shake_256(b"plain").digest(size)
    (tmp_path / "plain").write_bytes(plain)
    run(
        *("openssl", "cms", "-sign", "-binary", "-nodetach", "-outform", "DER"),
        *(("-stream",) if streamed == "both" else ()),
        *("-in", tmp_path / "plain", "-out", tmp_path / "signed"),
        *("-signer", signer.certificate, "-inkey", signer.key),
    )
    made = (tmp_path / "signed").read_bytes()
    if streamed == "both":
        # what is in 30 80, the object identifier, and A0 80, without the ends of these
        assert made[:2] == b"\x30\x80"
        inner = made[2 + len(SIGNED) + 2 : -4]
    else:
        outer = der.DerReader(made).inside(der.SEQUENCE)
        outer.oid()
        inner = outer.inside(0xA0).encoded(der.SEQUENCE)
    (tmp_path / "inner").write_bytes(inner)
    run(
        *("openssl", "cms", "-encrypt", "-binary", "-stream", "-aes-256-cbc", "-outform", "DER"),
        *("-in", tmp_path / "inner", "-out", tmp_path / "sealed", alice.certificate),
    )
    sealed = (tmp_path / "sealed").read_bytes()
    at = sealed.rindex(DATA, 0, 4096)
    sealed = sealed[:at] + SIGNED + sealed[at + len(SIGNED) :]
    assert sealed[:2] == b"\x30\x80"
    keyring = Keyring((read_private_key(alice.key),))
    with open_volume(put(sealed)) as closed:
        volume = open_secure(closed, keyring)
        assert whole(volume) == plain
        assert volume.files()["DICOMDIR"] == size
        assert volume.read("DICOMDIR", 60_000, 9_000) == plain[60_000:69_000]
    changed = bytearray(sealed)
    changed[len(changed) // 2] ^= 1
    for damaged in (bytes(changed), sealed[:-1], sealed + b"\0", sealed[: len(sealed) // 2]):
        with open_volume(put(damaged)) as closed, pytest.raises(Unreadable):
            whole(open_secure(closed, keyring))


def test_plain_data_in_an_envelope_is_not_what_the_standard_has(
    alice: Identity, dicom: bytes, tmp_path: Path, put: Callable[[bytes], Path]
) -> None:
    (tmp_path / "inner").write_bytes(dicom)
    run(
        *("openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER"),
        *("-in", tmp_path / "inner", "-out", tmp_path / "sealed", alice.certificate),
    )
    with open_volume(put((tmp_path / "sealed").read_bytes())) as closed:
        volume = open_secure(closed, Keyring())
        assert isinstance(volume, SecureVolume)
        with pytest.raises(Unreadable, match="neither SignedData nor DigestedData"):
            volume.check("DICOMDIR")


@given(st.binary(max_size=300))
@hypothesis_settings(deadline=None)
def test_damage_is_named_whatever_it_is(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("volume")
    body = ENVELOPED + junk
    for made in (der.encode(der.SEQUENCE, body), b"\x30\x80" + body + bytes(2)):
        (folder / "DICOMDIR").write_bytes(made)
        with open_volume(folder) as closed:
            volume = open_secure(closed, Keyring(password=WORDS))
            with pytest.raises(Unreadable):
                whole(volume)
