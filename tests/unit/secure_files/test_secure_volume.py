"""Secure File-sets are read as the DICOM Files in them; every change of a file is noticed."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from burnish.errors import Unreadable, WrongKey
from burnish.image.reader import open_volume
from burnish.secure_files import Keyring, Sealer, der, open_secure
from burnish.secure_files.keyring import read_private_key
from burnish.secure_files.protection import load_protection
from burnish.settings import SecuritySettings
from burnish.values import ReadableVolume, SecureVolume
from certificates import DIGESTED, SIGNED, Identity
from oracles import run

PASSWORD = b"correct horse battery staple"
DATA = DIGESTED[:-1] + b"\1"
ENVELOPED = DIGESTED[:-1] + b"\3"


@pytest.fixture(scope="session")
def sealers(alice: Identity, bob: Identity, signer: Identity) -> dict[str, Sealer]:
    security = SecuritySettings(
        recipients=(alice.certificate, bob.certificate),
        password=SecretStr(PASSWORD.decode()),
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
    """Writes a directory with a DICOMDIR of certain bytes, and a file beside it."""

    def write(content: bytes) -> Path:
        root = tmp_path / "volume"
        root.mkdir(exist_ok=True)
        (root / "DICOMDIR").write_bytes(content)
        (root / "README.TXT").write_bytes(b"read me")
        return root

    return write


def read_dicomdir(volume: ReadableVolume) -> bytes:
    return b"".join(volume.chunks("DICOMDIR"))


@pytest.mark.parametrize("kind", ["digested", "signed"])
@pytest.mark.parametrize("recipient", ["alice", "bob", "password"])
def test_every_recipient_opens_it(
    kind: str,
    recipient: str,
    sealers: dict[str, Sealer],
    request: pytest.FixtureRequest,
    dicom: bytes,
    put: Callable[[bytes], Path],
) -> None:
    if recipient == "password":
        keyring = Keyring(password=PASSWORD)
    else:
        keyring = Keyring((read_private_key(request.getfixturevalue(recipient).key),))
    with open_volume(put(seal(sealers[kind], dicom))) as encrypted:
        volume = open_secure(encrypted, keyring)
        assert isinstance(volume, SecureVolume)
        assert volume.opened
        assert dict(volume.files()) == {"DICOMDIR": len(dicom), "README.TXT": 7}
        assert volume.is_secure("DICOMDIR")
        assert not volume.is_secure("README.TXT")
        assert read_dicomdir(volume) == dicom
        assert volume.read("README.TXT") == b"read me"
        volume.check("DICOMDIR")


def test_the_writer_opens_it_with_the_content_key(
    sealers: dict[str, Sealer], dicom: bytes, put: Callable[[bytes], Path]
) -> None:
    sealer = sealers["digested"]
    key = sealer.new_key()
    with open_volume(put(b"".join(sealer.seal(key, len(dicom), [dicom])))) as encrypted:
        assert read_dicomdir(open_secure(encrypted, {"DICOMDIR": key})) == dicom
        with pytest.raises(Unreadable):
            read_dicomdir(open_secure(encrypted, {"DICOMDIR": sealer.new_key()}))
        with pytest.raises(Unreadable, match="no given key or password"):
            read_dicomdir(open_secure(encrypted, {"OTHER": key}))


@pytest.mark.parametrize("wrong", [Keyring(password=b"other words"), "signer"], ids=["word", "key"])
def test_another_key_or_password_does_not_open_it(
    wrong: Keyring | str,
    sealers: dict[str, Sealer],
    signer: Identity,
    dicom: bytes,
    put: Callable[[bytes], Path],
) -> None:
    keyring = wrong if isinstance(wrong, Keyring) else Keyring((read_private_key(signer.key),))
    path = put(seal(sealers["signed"], dicom))
    for number in range(3):  # now and then, a wrong RSA key yields bytes as long as a key
        (path / f"FILE{number}").write_bytes(seal(sealers["signed"], dicom))
    with open_volume(path) as encrypted, pytest.raises(WrongKey):
        open_secure(encrypted, keyring)


def test_a_damaged_file_is_not_taken_for_a_wrong_password(
    sealers: dict[str, Sealer], dicom: bytes, put: Callable[[bytes], Path]
) -> None:
    sealed = seal(sealers["digested"], dicom)
    damaged = sealed[: -len(dicom)] + bytes(len(dicom))
    for content in (damaged, sealed[:-16], sealed[:40] + bytes(400) + sealed[440:]):
        with open_volume(put(content)) as encrypted:
            volume = open_secure(encrypted, Keyring(password=PASSWORD))
            assert isinstance(volume, SecureVolume)
            with pytest.raises(Unreadable):
                volume.check("DICOMDIR")


def test_without_a_key_only_the_envelope_is_checked(
    sealers: dict[str, Sealer], dicom: bytes, put: Callable[[bytes], Path]
) -> None:
    sealed = seal(sealers["signed"], dicom)
    with open_volume(put(sealed)) as encrypted:
        volume = open_secure(encrypted, Keyring())
        assert isinstance(volume, SecureVolume)
        assert not volume.opened
        volume.check("DICOMDIR")
        assert volume.read("DICOMDIR") == sealed
    for broken in (sealed[:-1], sealed + b"\0", sealed[:40] + bytes(400) + sealed[440:]):
        with open_volume(put(broken)) as encrypted:
            volume = open_secure(encrypted, Keyring())
            assert isinstance(volume, SecureVolume)
            with pytest.raises(Unreadable):
                volume.check("DICOMDIR")


def test_a_volume_that_is_not_secure_is_returned_as_it_is(put: Callable[[bytes], Path]) -> None:
    for plain in (b"", b"\x30", b"\x30\x80", bytes(200)):
        with open_volume(put(plain)) as volume:
            assert open_secure(volume, Keyring(password=PASSWORD)) is volume


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
    with open_volume(folder) as encrypted:
        part = open_secure(encrypted, {"DICOMDIR": key}).read("DICOMDIR", offset, length)
    assert part == dicom[offset:][:length]


# The library warns about a certificate in which a changed bit is odd.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("kind", ["digested", "signed"])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@hypothesis_settings(deadline=None, max_examples=200)
def test_every_changed_bit_is_noticed(
    sealers: dict[str, Sealer],
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    share: float,
    bit: int,
) -> None:
    """Exceptions are names and encrypted keys of other recipients, which the reader ignores."""
    plain = b"DICM" * 200
    sealer, key = sealers[kind], bytes(32)
    sealed = bytearray(b"".join(sealer.seal(key, len(plain), [plain])))
    start = len(sealed) - len(plain) - 1000  # somewhere within the recipients
    changed = start + int(share * (len(sealed) - start))
    sealed[changed] ^= 1 << bit
    folder = tmp_path_factory.mktemp("volume")
    (folder / "DICOMDIR").write_bytes(sealed)
    with open_volume(folder) as encrypted, contextlib.suppress(Unreadable):
        assert read_dicomdir(open_secure(encrypted, {"DICOMDIR": key})) == plain


# --- written by OpenSSL alone --------------------------------------------------------------------


def sign_with_openssl(folder: Path, signer: Identity, *options: str) -> None:
    """Writes `folder`/signed, the SignedData of `folder`/plain."""
    command = ("openssl", "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", *options)
    key = ("-signer", signer.certificate, "-inkey", signer.key)
    run(*command, "-in", folder / "plain", "-out", folder / "signed", *key)


def encrypt_with_openssl(folder: Path, recipient: Identity, *options: str) -> None:
    """Writes `folder`/sealed, the EnvelopedData of `folder`/inner."""
    command = ("openssl", "cms", "-encrypt", "-binary", "-outform", "DER", *options)
    files = ("-in", folder / "inner", "-out", folder / "sealed")
    run(*command, *files, "-recip", recipient.certificate)


def content_of(content_info: bytes) -> bytes:
    """The value in a ContentInfo."""
    fields = der.DerReader(content_info).inside(der.SEQUENCE)
    fields.oid()
    return fields.inside(0xA0).encoded(der.SEQUENCE)


def with_content_type(sealed: bytes, content_type: bytes) -> bytes:
    """An EnvelopedData with another type of content: OpenSSL can only name data."""
    start = sealed.rindex(DATA, 0, 4096)
    return sealed[:start] + content_type + sealed[start + len(content_type) :]


@pytest.fixture(params=["sha1", "sha256", "sha512"])
def inner(
    request: pytest.FixtureRequest, signer: Identity, dicom: bytes, tmp_path: Path
) -> tuple[bytes, bytes]:
    """SignedData of a file, and its object identifier."""
    (tmp_path / "plain").write_bytes(dicom)
    sign_with_openssl(tmp_path, signer, "-md", request.param)
    return content_of((tmp_path / "signed").read_bytes()), SIGNED


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-cbc", "des-ede3-cbc"])
def test_files_of_openssl_are_read(
    inner: tuple[bytes, bytes],
    cipher: str,
    alice: Identity,
    dicom: bytes,
    tmp_path: Path,
    put: Callable[[bytes], Path],
) -> None:
    content, kind = inner
    (tmp_path / "inner").write_bytes(content)
    encrypt_with_openssl(tmp_path, alice, f"-{cipher}", "-pwri_password", PASSWORD.decode())
    sealed = with_content_type((tmp_path / "sealed").read_bytes(), kind)
    for keyring in (Keyring((read_private_key(alice.key),)), Keyring(password=PASSWORD)):
        with open_volume(put(sealed)) as encrypted:
            assert read_dicomdir(open_secure(encrypted, keyring)) == dicom


@pytest.mark.parametrize("streamed", ["sealed", "both"])
@pytest.mark.parametrize("size", [1, 70_005])
def test_streams_of_openssl_are_read(
    streamed: str,
    size: int,
    signer: Identity,
    alice: Identity,
    tmp_path: Path,
    put: Callable[[bytes], Path],
) -> None:
    """They are BER, with indefinite lengths and strings in pieces (X.690 8.1.3.6, 8.7.3)."""
    plain = hashlib.shake_256(b"plain").digest(size)
    (tmp_path / "plain").write_bytes(plain)
    if streamed == "both":
        sign_with_openssl(tmp_path, signer, "-stream")
        signed = (tmp_path / "signed").read_bytes()
        # The content of 30 80, object identifier, A0 80, without the end-of-contents octets.
        assert signed[:2] == b"\x30\x80"
        inner = signed[2 + len(SIGNED) + 2 : -4]
    else:
        sign_with_openssl(tmp_path, signer)
        inner = content_of((tmp_path / "signed").read_bytes())
    (tmp_path / "inner").write_bytes(inner)
    encrypt_with_openssl(tmp_path, alice, "-aes-256-cbc", "-stream")
    sealed = with_content_type((tmp_path / "sealed").read_bytes(), SIGNED)
    assert sealed[:2] == b"\x30\x80"
    keyring = Keyring((read_private_key(alice.key),))
    with open_volume(put(sealed)) as encrypted:
        volume = open_secure(encrypted, keyring)
        assert read_dicomdir(volume) == plain
        assert volume.files()["DICOMDIR"] == size
        assert volume.read("DICOMDIR", 60_000, 9_000) == plain[60_000:69_000]
    changed = bytearray(sealed)
    changed[len(changed) // 2] ^= 1
    for damaged in (bytes(changed), sealed[:-1], sealed + b"\0", sealed[: len(sealed) // 2]):
        with open_volume(put(damaged)) as encrypted, pytest.raises(Unreadable):
            read_dicomdir(open_secure(encrypted, keyring))


def test_plain_data_in_an_envelope_is_not_a_secure_file(
    alice: Identity, dicom: bytes, tmp_path: Path, put: Callable[[bytes], Path]
) -> None:
    (tmp_path / "inner").write_bytes(dicom)
    encrypt_with_openssl(tmp_path, alice, "-aes-256-cbc")
    with open_volume(put((tmp_path / "sealed").read_bytes())) as encrypted:
        volume = open_secure(encrypted, Keyring())
        assert isinstance(volume, SecureVolume)
        with pytest.raises(Unreadable, match="neither SignedData nor DigestedData"):
            volume.check("DICOMDIR")


@given(st.binary(max_size=300))
@hypothesis_settings(deadline=None)
def test_any_damage_is_named(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("volume")
    body = ENVELOPED + junk
    for damaged in (der.encode(der.SEQUENCE, body), b"\x30\x80" + body + bytes(2)):
        (folder / "DICOMDIR").write_bytes(damaged)
        with open_volume(folder) as encrypted:
            volume = open_secure(encrypted, Keyring(password=PASSWORD))
            with pytest.raises(Unreadable):
                read_dicomdir(volume)


# --- padding ---

BLOCK = 16


def last_block(sealed: bytes, key: bytes) -> bytes:
    """The last block of content and padding, decrypted."""
    cipher = Cipher(algorithms.AES(key), modes.CBC(sealed[-2 * BLOCK : -BLOCK]))
    return cipher.decryptor().update(sealed[-BLOCK:])


def with_last_block(sealed: bytes, key: bytes, change: Callable[[bytearray], object]) -> bytes:
    """A sealed file whose last block, of content and padding, decrypts to other bytes."""
    plain = bytearray(last_block(sealed, key))
    change(plain)
    cipher = Cipher(algorithms.AES(key), modes.CBC(sealed[-2 * BLOCK : -BLOCK]))
    return sealed[:-BLOCK] + cipher.encryptor().update(bytes(plain))


def put_byte(position: int, value: int) -> Callable[[bytearray], object]:
    return lambda block: block.__setitem__(position, value)


def put_block(value: int) -> Callable[[bytearray], object]:
    return lambda block: block.__setitem__(slice(None), bytes([value] * BLOCK))


@pytest.fixture(scope="session")
def padded(sealers: dict[str, Sealer], dicom: bytes) -> dict[int, tuple[bytes, bytes]]:
    """Sealed files, and their keys, by the number of bytes of padding."""
    files = {}
    for length in range(len(dicom) - BLOCK, len(dicom)):
        key = sealers["digested"].new_key()
        sealed = b"".join(sealers["digested"].seal(key, length, [dicom[:length]]))
        files[last_block(sealed, key)[-1]] = (sealed, key)
    return files


def test_padding_has_one_to_sixteen_bytes_of_its_length(
    padded: dict[int, tuple[bytes, bytes]],
) -> None:
    assert sorted(padded) == list(range(1, BLOCK + 1))
    for length, (sealed, key) in padded.items():
        assert last_block(sealed, key).endswith(bytes([length] * length))


@pytest.mark.parametrize(
    ("length", "change"),
    [
        pytest.param(5, put_byte(-1, 4), id="fewer than there are"),
        pytest.param(5, put_byte(-1, 6), id="more than there are"),
        pytest.param(5, put_byte(-2, 4), id="the last but one is wrong"),
        pytest.param(5, put_byte(-5, 0), id="the first is wrong"),
        pytest.param(BLOCK, put_block(0), id="none, and zeros in their place"),
        pytest.param(BLOCK, put_block(BLOCK + 1), id="more than a block"),
    ],
)
def test_wrong_padding_of_an_envelope_is_noticed_although_the_content_is_right(
    length: int,
    change: Callable[[bytearray], object],
    padded: dict[int, tuple[bytes, bytes]],
    put: Callable[[bytes], Path],
) -> None:
    sealed, key = padded[length]
    with open_volume(put(with_last_block(sealed, key, change))) as encrypted:
        volume = open_secure(encrypted, {"DICOMDIR": key})
        with pytest.raises(Unreadable, match="the padding of the decrypted content is wrong"):
            read_dicomdir(volume)
