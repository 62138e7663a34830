"""OpenSSL opens Secure DICOM Files, and their size is known in advance."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from hashlib import pbkdf2_hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from burnish.errors import Conflict
from burnish.secure_files import Keyring, Sealer
from burnish.secure_files.envelope import Envelope, PasswordRecipient, read_envelope
from burnish.secure_files.protection import Protection, load_protection
from burnish.settings import SecuritySettings
from certificates import Identity, open_with_openssl
from oracles import run

PASSWORD = "correct horse battery staple"


def seal(sealer: Sealer, plain: bytes, *, chunk_size: int = 1 << 12) -> bytes:
    starts = range(0, len(plain), chunk_size)
    chunks = (plain[start : start + chunk_size] for start in starts)
    return b"".join(sealer.seal(sealer.new_key(), len(plain), chunks))


def protection(*recipients: Identity, **more: object) -> Protection:
    certificates = tuple(recipient.certificate for recipient in recipients)
    settings = SecuritySettings(recipients=certificates, password_iterations=1000, **more)  # type: ignore[arg-type]
    return load_protection(settings)


@pytest.mark.parametrize("cipher", ["AES-128", "AES-192", "AES-256"])
@pytest.mark.parametrize("signs", [False, True], ids=["digested", "signed"])
def test_openssl_opens_it_with_the_key_of_each_recipient(
    cipher: str,
    signs: bool,
    alice: Identity,
    bob: Identity,
    signer: Identity,
    dicom: bytes,
    tmp_path: Path,
) -> None:
    signature = {"signer_certificate": signer.certificate, "signer_key": signer.key}
    sealer = Sealer(protection(alice, bob, cipher=cipher, **(signature if signs else {})))
    (tmp_path / "sealed").write_bytes(seal(sealer, dicom))
    for recipient in (alice, bob):
        assert open_with_openssl(tmp_path / "sealed", tmp_path, identity=recipient) == dicom


@pytest.mark.parametrize("cipher", ["AES-128", "AES-192", "AES-256"])
def test_openssl_opens_it_with_the_password(cipher: str, dicom: bytes, tmp_path: Path) -> None:
    sealer = Sealer(protection(password=PASSWORD, cipher=cipher))
    (tmp_path / "sealed").write_bytes(seal(sealer, dicom))
    assert open_with_openssl(tmp_path / "sealed", tmp_path, password=PASSWORD) == dicom


def test_key_and_password_open_the_same_file(alice: Identity, dicom: bytes, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(seal(Sealer(protection(alice, password=PASSWORD)), dicom))
    assert open_with_openssl(tmp_path / "sealed", tmp_path, password=PASSWORD) == dicom
    assert open_with_openssl(tmp_path / "sealed", tmp_path, identity=alice) == dicom


def test_openssl_does_not_open_it_with_another_password(dicom: bytes, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(seal(Sealer(protection(password=PASSWORD)), dicom))
    command = ("openssl", "cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "sealed")
    run(*command, "-out", tmp_path / "out", "-pwri_password", "wrong", ok=(4,))


def envelope_of(sealed: bytes) -> Envelope:
    return read_envelope(
        lambda offset, length=None: sealed[offset : offset + (length or len(sealed))], len(sealed)
    )


def password_recipient(sealed: bytes) -> PasswordRecipient:
    (recipient,) = envelope_of(sealed).recipients
    assert isinstance(recipient, PasswordRecipient)
    return recipient


def test_no_two_files_have_the_same_key_or_initialisation_vector(dicom: bytes) -> None:
    sealer = Sealer(protection(password=PASSWORD))
    sealed = [seal(sealer, dicom) for _ in range(4)]
    keyring = Keyring(password=PASSWORD.encode())
    envelopes = [envelope_of(data) for data in sealed]
    keys = [next(keyring.candidates(envelope)) for envelope in envelopes]
    assert len(set(keys)) == 4
    assert len({envelope.iv for envelope in envelopes}) == 4
    assert len({password_recipient(data).iv for data in sealed}) == 4
    assert len({password_recipient(data).wrapped_key for data in sealed}) == 4


def test_each_file_set_has_a_salt_of_its_own(dicom: bytes) -> None:
    sealers = [Sealer(protection(password=PASSWORD)) for _ in range(4)]
    assert len({password_recipient(seal(sealer, dicom)).salt for sealer in sealers}) == 4


@pytest.mark.parametrize("iterations", [1000, 2345])
def test_the_password_is_derived_with_the_configured_iterations(
    iterations: int, dicom: bytes
) -> None:
    settings = SecuritySettings(password=PASSWORD, password_iterations=iterations)  # type: ignore[arg-type]
    sealed = seal(Sealer(load_protection(settings)), dicom)
    assert password_recipient(sealed).iterations == iterations


@pytest.mark.parametrize("cipher", ["AES-128", "AES-192", "AES-256"])
def test_content_and_key_are_encrypted_with_the_configured_cipher(
    cipher: str, dicom: bytes
) -> None:
    sealed = seal(Sealer(protection(password=PASSWORD, cipher=cipher)), dicom)
    assert envelope_of(sealed).cipher.name == cipher
    assert password_recipient(sealed).cipher.name == cipher


def test_a_wrapped_key_with_a_wrong_check_is_not_a_key(dicom: bytes) -> None:
    """The check tells a wrong password from a damaged file (RFC 3211 2.3.2)."""
    keyring = Keyring(password=PASSWORD.encode())
    envelope = envelope_of(seal(Sealer(protection(password=PASSWORD)), dicom))
    (recipient,) = envelope.recipients
    assert isinstance(recipient, PasswordRecipient)
    cipher = recipient.cipher
    derived = pbkdf2_hmac(
        recipient.digest_name,
        PASSWORD.encode(),
        recipient.salt,
        recipient.iterations,
        cipher.key_size,
    )
    key = bytes(range(cipher.key_size))
    for check, is_key in ((bytes(octet ^ 0xFF for octet in key[:3]), True), (bytes(3), False)):
        encryptor = cipher.cbc(derived, recipient.iv).encryptor()
        fill = bytes(-(4 + len(key)) % cipher.block_size)
        once = encryptor.update(bytes((len(key),)) + check + key + fill)
        wrapped_key = encryptor.update(once)
        changed = replace(envelope, recipients=(replace(recipient, wrapped_key=wrapped_key),))
        assert list(keyring.candidates(changed)) == ([key] if is_key else [])


def test_every_byte_is_der(alice: Identity, dicom: bytes, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(seal(Sealer(protection(alice, password=PASSWORD)), dicom))
    text = run("openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "sealed")
    assert "inf" not in [word for line in text.splitlines() for word in line.split()]
    command = ("openssl", "cms", "-cmsout", "-inform", "DER", "-outform", "DER")
    run(*command, "-in", tmp_path / "sealed", "-out", tmp_path / "encoded anew")
    assert (tmp_path / "encoded anew").read_bytes() == (tmp_path / "sealed").read_bytes()


def test_two_files_differ_in_key_and_cipher_text(alice: Identity, dicom: bytes) -> None:
    sealer = Sealer(protection(alice))
    first, second = seal(sealer, dicom), seal(sealer, dicom)
    assert len(first) == len(second)
    assert first[-1000:] != second[-1000:]
    assert sealer.new_key() != sealer.new_key()


@pytest.fixture(scope="session")
def sealers(alice: Identity, bob: Identity, signer: Identity) -> list[Sealer]:
    signed = {"signer_certificate": signer.certificate, "signer_key": signer.key}
    return [
        Sealer(protection(alice)),
        Sealer(protection(alice, bob, password=PASSWORD, cipher="AES-192")),
        Sealer(protection(password=PASSWORD, cipher="AES-128", **signed)),
    ]


#: Sizes around those at which a length needs one more octet.
EDGES = [
    edge + offset for edge in (0, 127, 255, 65535) for offset in range(-90, 3) if edge + offset >= 0
]


@pytest.mark.parametrize("which", range(3))
@given(
    size=st.one_of(st.integers(0, 300_000), st.sampled_from(EDGES)),
    chunk_size=st.integers(1, 9999),
)
@hypothesis_settings(deadline=None, max_examples=60)
def test_the_size_is_known_in_advance(
    sealers: list[Sealer], which: int, size: int, chunk_size: int
) -> None:
    sealer = sealers[which]
    sealed = seal(sealer, b"\x5a" * size, chunk_size=max(chunk_size, size // 50))
    assert len(sealed) == sealer.size(size)


@given(size=st.integers(0, 1 << 45))
def test_a_larger_file_is_never_smaller_when_sealed(sealers: list[Sealer], size: int) -> None:
    for sealer in sealers:
        assert size < sealer.size(size) <= sealer.size(size + 1)


def test_a_file_of_another_size_than_announced_is_a_conflict(alice: Identity) -> None:
    sealer = Sealer(protection(alice))
    for chunks in ([b"x" * 99], [b"x" * 101]):
        with pytest.raises(Conflict):
            list(sealer.seal(sealer.new_key(), 100, chunks))


def test_a_large_file_is_not_held_in_memory(alice: Identity) -> None:
    sealer = Sealer(protection(alice))
    chunk, count = bytes(1 << 20), 64

    def chunks() -> Iterator[bytes]:
        for _ in range(count):
            yield chunk

    tracemalloc.start()
    total = sum(map(len, sealer.seal(sealer.new_key(), count << 20, chunks())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == sealer.size(count << 20)
    assert peak < 8 << 20
