"""Secure DICOM Files are what OpenSSL can open, and exactly as large as was said beforehand."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from burnish.errors import Conflict
from burnish.secure_files import Sealer
from burnish.secure_files.protection import Protection, load_protection
from burnish.settings import SecuritySettings
from certificates import Identity, open_with_openssl
from oracles import run

WORDS = "correct horse battery staple"


def sealed(sealer: Sealer, plain: bytes, *, pieces: int = 1 << 12) -> bytes:
    chunks = (plain[at : at + pieces] for at in range(0, len(plain), pieces))
    return b"".join(sealer.seal(sealer.new_key(), len(plain), chunks))


def protection(*recipients: Identity, **more: object) -> Protection:
    own = tuple(one.certificate for one in recipients)
    return load_protection(SecuritySettings(recipients=own, password_iterations=1000, **more))  # type: ignore[arg-type]


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
    more = {"signer_certificate": signer.certificate, "signer_key": signer.key} if signs else {}
    sealer = Sealer(protection(alice, bob, cipher=cipher, **more))
    (tmp_path / "sealed").write_bytes(sealed(sealer, dicom))
    for one in (alice, bob):
        assert open_with_openssl(tmp_path / "sealed", tmp_path, identity=one) == dicom


@pytest.mark.parametrize("cipher", ["AES-128", "AES-192", "AES-256"])
def test_openssl_opens_it_with_the_password(cipher: str, dicom: bytes, tmp_path: Path) -> None:
    sealer = Sealer(protection(password=WORDS, cipher=cipher))
    (tmp_path / "sealed").write_bytes(sealed(sealer, dicom))
    assert open_with_openssl(tmp_path / "sealed", tmp_path, password=WORDS) == dicom


def test_key_and_password_open_the_same_file(alice: Identity, dicom: bytes, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(sealed(Sealer(protection(alice, password=WORDS)), dicom))
    assert open_with_openssl(tmp_path / "sealed", tmp_path, password=WORDS) == dicom
    assert open_with_openssl(tmp_path / "sealed", tmp_path, identity=alice) == dicom


def test_openssl_refuses_another_password(dicom: bytes, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(sealed(Sealer(protection(password=WORDS)), dicom))
    command = ("openssl", "cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "sealed")
    run(*command, "-out", tmp_path / "out", "-pwri_password", "wrong", ok=(4,))


def test_it_is_der_to_the_last_byte(alice: Identity, dicom: bytes, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(sealed(Sealer(protection(alice, password=WORDS)), dicom))
    text = run("openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "sealed")
    assert "inf" not in [word for line in text.splitlines() for word in line.split()]
    run(
        *("openssl", "cms", "-cmsout", "-inform", "DER", "-outform", "DER"),
        *("-in", tmp_path / "sealed", "-out", tmp_path / "again"),
    )
    assert (tmp_path / "again").read_bytes() == (tmp_path / "sealed").read_bytes()


def test_no_two_files_have_a_key_or_a_cipher_text_in_common(alice: Identity, dicom: bytes) -> None:
    sealer = Sealer(protection(alice))
    first, second = sealed(sealer, dicom), sealed(sealer, dicom)
    assert len(first) == len(second)
    assert first[-1000:] != second[-1000:]
    assert sealer.new_key() != sealer.new_key()


@pytest.fixture(scope="session")
def sealers(alice: Identity, bob: Identity, signer: Identity) -> list[Sealer]:
    signed = {"signer_certificate": signer.certificate, "signer_key": signer.key}
    return [
        Sealer(protection(alice)),
        Sealer(protection(alice, bob, password=WORDS, cipher="AES-192")),
        Sealer(protection(password=WORDS, cipher="AES-128", **signed)),
    ]


EDGES = [edge + more for edge in (0, 127, 255, 65535) for more in range(-90, 3) if edge + more >= 0]


@pytest.mark.parametrize("which", range(3))
@given(size=st.one_of(st.integers(0, 300_000), st.sampled_from(EDGES)), pieces=st.integers(1, 9999))
@hypothesis_settings(deadline=None, max_examples=60)
def test_its_size_is_known_beforehand(
    sealers: list[Sealer], which: int, size: int, pieces: int
) -> None:
    sealer = sealers[which]
    made = sealed(sealer, b"\x5a" * size, pieces=max(pieces, size // 50))
    assert len(made) == sealer.size(size)


@given(size=st.integers(0, 1 << 45))
def test_a_larger_file_is_never_sealed_smaller(sealers: list[Sealer], size: int) -> None:
    for sealer in sealers:
        assert size < sealer.size(size) <= sealer.size(size + 1)


def test_a_file_that_is_not_as_long_as_was_said_is_a_conflict(alice: Identity) -> None:
    sealer = Sealer(protection(alice))
    for chunks in ([b"x" * 99], [b"x" * 101]):
        with pytest.raises(Conflict):
            list(sealer.seal(sealer.new_key(), 100, chunks))


def test_a_large_file_passes_through(alice: Identity) -> None:
    sealer, piece, count = Sealer(protection(alice)), bytes(1 << 20), 64

    def chunks() -> Iterator[bytes]:
        for _ in range(count):
            yield piece

    tracemalloc.start()
    total = sum(map(len, sealer.seal(sealer.new_key(), count << 20, chunks())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == sealer.size(count << 20)
    assert peak < 8 << 20
