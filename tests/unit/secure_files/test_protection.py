"""Certificates, keys and passwords that protect media, and those that are refused."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from burnish.errors import InvalidSettings
from burnish.secure_files.protection import load_protection, read_password, read_recipients
from burnish.settings import SecuritySettings
from certificates import Identity, identity

PASSWORD = SecretStr("words")


def test_protection_needs_a_recipient_or_a_password(alice: Identity) -> None:
    with pytest.raises(InvalidSettings, match="neither"):
        load_protection(SecuritySettings())
    assert len(load_protection(SecuritySettings(recipients=(alice.certificate,))).recipients) == 1
    assert load_protection(SecuritySettings(password=PASSWORD)).password == b"words"


def test_a_request_replaces_recipients_and_password_of_the_settings(
    alice: Identity, bob: Identity, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("its own words\n")
    security = SecuritySettings(recipients=(alice.certificate,), password=PASSWORD)
    by_key = load_protection(security, recipients=read_recipients([bob.certificate]))
    assert [recipient.key_length for recipient in by_key.recipients] == [384]
    assert not by_key.password
    by_password = load_protection(security, password_file=str(tmp_path / "password"))
    assert by_password.recipients == ()
    assert by_password.password == b"its own words"


@pytest.mark.parametrize("content", ["", "\nwords", "caffè", "tab\tbed", "\x7f"])
def test_a_password_has_only_characters_of_iso_ir_6(content: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidSettings) as refusal:
        read_password(tmp_path / "password")
    assert not content or content.strip() not in str(refusal.value)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\r\nmore\n"])
def test_a_password_is_the_first_line(ending: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"two words" + ending.encode())
    assert read_password(tmp_path / "password") == b"two words"


def test_the_private_key_is_not_in_representations(signer: Identity) -> None:
    security = SecuritySettings(
        password=PASSWORD, signer_certificate=signer.certificate, signer_key=signer.key
    )
    assert "private_key" not in repr(load_protection(security))


def test_a_message_about_a_password_does_not_have_it() -> None:
    security = SecuritySettings(password=SecretStr("caffè latte"))
    with pytest.raises(InvalidSettings) as refusal:
        load_protection(security)
    assert "latte" not in f"{refusal.value} {refusal.value.hint}"


def test_the_password_is_not_in_representations() -> None:
    security = SecuritySettings(password=PASSWORD)
    assert "words" not in f"{security!r} {load_protection(security)!r} {security.model_dump()}"


@pytest.mark.parametrize(
    "flaw",
    [
        {"bits": 1024, "number": 7},
        {"expired": True},
        {"usage": "digital_signature"},
    ],
    ids=["short", "expired", "usage"],
)
def test_a_certificate_that_cannot_be_used_is_refused(
    flaw: dict[str, object], tmp_path: Path
) -> None:
    recipient = identity(tmp_path, "wrong", **flaw)  # type: ignore[arg-type]
    with pytest.raises(InvalidSettings, match="serial number"):
        load_protection(SecuritySettings(recipients=(recipient.certificate,)))


def test_a_file_that_is_not_a_certificate_is_refused(alice: Identity, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for path in (tmp_path / "no.pem", alice.key):
        with pytest.raises(InvalidSettings, match=f"{path.name}: .*PEM"):
            load_protection(SecuritySettings(recipients=(alice.certificate, path)))
    with pytest.raises(InvalidSettings, match="absent"):
        load_protection(SecuritySettings(recipients=(tmp_path / "absent.pem",)))


def test_a_signer_needs_the_key_of_its_certificate(alice: Identity, signer: Identity) -> None:
    security = SecuritySettings(
        password=PASSWORD, signer_certificate=signer.certificate, signer_key=signer.key
    )
    assert load_protection(security).signer is not None
    with pytest.raises(InvalidSettings, match="not that of"):
        load_protection(security.model_copy(update={"signer_key": alice.key}))
    with pytest.raises(InvalidSettings, match="PEM"):
        load_protection(security.model_copy(update={"signer_key": signer.certificate}))
