"""Craft: who can open a Secure File-set, and who signs it: certificates, a key, a password."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from burnish.errors import InvalidSettings
from burnish.secure_files import der
from burnish.secure_files.der import INTEGER, SEQUENCE, DerReader
from burnish.settings import SecuritySettings

#: PS3.15 D.1 sets no size; shorter keys are within reach of those who should not read.
SHORTEST_KEY = 2048


@dataclass(frozen=True, slots=True)
class CertificateHolder:
    """The holder of an RSA key by its X.509 certificate."""

    certificate: x509.Certificate

    @property
    def public_key(self) -> RSAPublicKey:
        key = self.certificate.public_key()
        assert isinstance(key, RSAPublicKey)  # noqa: S101  `_holder` has looked
        return key

    @property
    def key_length(self) -> int:
        """Bytes of what the key encrypts or signs."""
        return (self.public_key.key_size + 7) // 8

    @property
    def issuer_and_serial_number(self) -> bytes:
        """How CMS names a certificate (RFC 5652 10.2.4), in the bytes of the certificate itself."""
        return issuer_and_serial_number(self.certificate)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, and the key to it."""

    holder: CertificateHolder
    private_key: RSAPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Protection:
    """How File-sets are made secure: at least one recipient, or a password.

    With a signer the files are in SignedData, else in DigestedData (PS3.15 D.1.1).
    """

    recipients: tuple[CertificateHolder, ...] = ()
    password: bytes = field(default=b"", repr=False)
    signer: Signer | None = None
    cipher: str = "AES-256"
    password_iterations: int = 600_000


def load_protection(
    security: SecuritySettings, *, recipients: str = "", password_file: str = ""
) -> Protection:
    """What the settings say, and what a request says instead of them of those who may open.

    `recipients` are certificates in PEM, `password_file` is a path. Raises InvalidSettings that
    names what cannot be used, or says that there is neither recipient nor password.
    """
    password = b""
    if password_file:
        password = read_password(Path(password_file))
    elif not recipients:
        password = _password(security)
        recipients = read_recipients(security.recipients)
    if not recipients and not password:
        raise InvalidSettings(
            "secure media need a recipient or a password, and there is neither",
            hint="set [security] recipients or password_file, or name them in the request",
        )
    return Protection(
        parse_certificates(recipients) if recipients else (),
        password,
        _signer(security),
        security.cipher,
        security.password_iterations,
    )


def parse_certificates(pem: str) -> tuple[CertificateHolder, ...]:
    """The recipients by their certificates; raises InvalidSettings where one is not fit."""
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise InvalidSettings("a recipient needs an X.509 certificate in PEM") from None
    return tuple(_holder(certificate, "key_encipherment") for certificate in certificates)


def read_recipients(paths: Sequence[Path]) -> str:
    """The certificates in the files `paths`, in PEM; raises InvalidSettings that names the file."""
    found = [_read(path).decode("ascii", "replace") for path in paths]
    for path, pem in zip(paths, found, strict=True):
        try:
            parse_certificates(pem)
        except InvalidSettings as error:
            raise InvalidSettings(f"{path}: {error}", hint=error.hint) from None
    return "\n".join(found)


def read_password(path: Path) -> bytes:
    """The first line of a file."""
    return _checked(_read(path).split(b"\n", 1)[0].removesuffix(b"\r"))


def _password(security: SecuritySettings) -> bytes:
    if security.password_file is not None:
        return read_password(security.password_file)
    given = security.password.get_secret_value()
    return _checked(given.encode()) if given else b""


def _checked(password: bytes) -> bytes:
    """PS3.15 D.1.1: a password has characters of the Default Character Repertoire only."""
    if not password or not all(0x20 <= octet < 0x7F for octet in password):
        raise InvalidSettings(
            "the password is empty, or has characters other than those of ISO IR 6",
            hint="use letters without accents, digits, spaces and signs (PS3.15 D.1.1)",
        )
    return password


def _signer(security: SecuritySettings) -> Signer | None:
    if security.signer_certificate is None or security.signer_key is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(_read(security.signer_certificate))
        key = serialization.load_pem_private_key(_read(security.signer_key), None)
    except (ValueError, TypeError):
        raise InvalidSettings(
            "the signer's certificate or key is not PEM, or the key is encrypted",
            hint="give the certificate and the unencrypted key in PEM",
        ) from None
    holder = _holder(certificate, "digital_signature")
    if not isinstance(key, RSAPrivateKey) or key.public_key() != holder.public_key:
        raise InvalidSettings("the signer's key is not that of the signer's certificate")
    return Signer(holder, key)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"{path}: {error.strerror}") from None


def _holder(certificate: x509.Certificate, usage: str) -> CertificateHolder:
    name = f"the certificate of serial number {certificate.serial_number:X}"
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY:
        raise InvalidSettings(f"{name} has no RSA key of {SHORTEST_KEY} bits or more")
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise InvalidSettings(f"{name} is not valid now")
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return CertificateHolder(certificate)
    if not getattr(allowed, usage):
        raise InvalidSettings(f"{name} is not for {usage.replace('_', ' ')}")
    return CertificateHolder(certificate)


def issuer_and_serial_number(certificate: x509.Certificate) -> bytes:
    """IssuerAndSerialNumber in the bytes that the certificate has, whatever strings they hold."""
    body = DerReader(certificate.tbs_certificate_bytes).inside(SEQUENCE)
    if body.peek() == 0xA0:
        body.value(0xA0)
    serial_number = body.whole(INTEGER)
    body.value(SEQUENCE)
    return der.encode(SEQUENCE, body.whole(SEQUENCE), serial_number)
