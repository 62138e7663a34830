"""Craft: the protection of a Secure File-set: recipients, password and signer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from burnish.errors import InvalidSettings
from burnish.file_access import explain
from burnish.secure_files import der
from burnish.secure_files.der import INTEGER, SEQUENCE, DerReader
from burnish.settings import SecuritySettings

#: Bits of the shortest RSA key that is accepted. PS3.15 D.1 sets no minimum, but shorter keys can
#: be broken.
SHORTEST_KEY = 2048


@dataclass(frozen=True, slots=True)
class CertificateHolder:
    """The holder of an RSA key, known by an X.509 certificate."""

    certificate: x509.Certificate

    @property
    def public_key(self) -> RSAPublicKey:
        key = self.certificate.public_key()
        assert isinstance(key, RSAPublicKey)  # noqa: S101  `_holder` has checked it
        return key

    @property
    def key_length(self) -> int:
        """The number of bytes that the key encrypts or signs."""
        return (self.public_key.key_size + 7) // 8

    @property
    def issuer_and_serial_number(self) -> bytes:
        """The name of the certificate in CMS (RFC 5652 10.2.4)."""
        return issuer_and_serial_number(self.certificate)


@dataclass(frozen=True, slots=True)
class Signer:
    """The signer of File-sets, with the private key."""

    holder: CertificateHolder
    private_key: RSAPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Protection:
    """How File-sets are protected: by at least one recipient or a password.

    With a signer the DICOM Files are in SignedData, without one in DigestedData (PS3.15 D.1.1).
    """

    recipients: tuple[CertificateHolder, ...] = ()
    password: bytes = field(default=b"", repr=False)
    signer: Signer | None = None
    cipher: str = "AES-256"
    password_iterations: int = 600_000


def load_protection(
    security: SecuritySettings, *, recipients: str = "", password_file: str = ""
) -> Protection:
    """The protection that the settings describe.

    `recipients` (certificates in PEM) and `password_file` (a path) are those of a request; either
    replaces recipients and password of the settings. Raises InvalidSettings if there is neither a
    recipient nor a password, or if one cannot be used.
    """
    password = b""
    if password_file:
        password = read_password(Path(password_file))
    elif not recipients:
        password = _configured_password(security)
        recipients = read_recipients(security.recipients)
    if not recipients and not password:
        raise InvalidSettings(
            "secure media need a recipient or a password, and there is neither",
            hint="set [security] recipients, password_file or password (`burnish config show` does"
            " not print a password), or name them in the request",
        )
    return Protection(
        parse_certificates(recipients) if recipients else (),
        password,
        _signer(security),
        security.cipher,
        security.password_iterations,
    )


def parse_certificates(pem: str) -> tuple[CertificateHolder, ...]:
    """The recipients with these certificates; raises InvalidSettings if one cannot be used."""
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise InvalidSettings("a recipient needs an X.509 certificate in PEM") from None
    return tuple(_holder(certificate, "key_encipherment") for certificate in certificates)


def read_recipients(paths: Sequence[Path]) -> str:
    """The certificates in these files, in PEM; raises InvalidSettings that names the file."""
    texts = []
    for path in paths:
        text = _read(path).decode("ascii", "replace")
        try:
            parse_certificates(text)
        except InvalidSettings as error:
            raise InvalidSettings(f"{path}: {error}", hint=error.hint) from None
        texts.append(text)
    return "\n".join(texts)


def read_password(path: Path) -> bytes:
    """The password in the first line of a file."""
    return _checked_password(_read(path).split(b"\n", 1)[0].removesuffix(b"\r"))


def _configured_password(security: SecuritySettings) -> bytes:
    if security.password_file is not None:
        return read_password(security.password_file)
    password = security.password.get_secret_value()
    return _checked_password(password.encode()) if password else b""


def _checked_password(password: bytes) -> bytes:
    """PS3.15 D.1.1 permits only characters of the Default Character Repertoire."""
    if not password or not all(0x20 <= octet < 0x7F for octet in password):
        raise InvalidSettings(
            "the password is empty, or has characters that are not in ISO IR 6",
            hint="use unaccented letters, digits, spaces and punctuation (PS3.15 D.1.1)",
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
            hint="use a certificate and an unencrypted key in PEM",
        ) from None
    holder = _holder(certificate, "digital_signature")
    if not isinstance(key, RSAPrivateKey) or key.public_key() != holder.public_key:
        raise InvalidSettings("the signer's key is not that of the signer's certificate")
    return Signer(holder, key)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            explain(error, path), hint="the user of the service must be able to read the file"
        ) from None


def _holder(certificate: x509.Certificate, usage: str) -> CertificateHolder:
    """The holder of a certificate that is valid now and permits a key usage."""
    name = f"the certificate with serial number {certificate.serial_number:X}"
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY:
        raise InvalidSettings(f"{name} has no RSA key of {SHORTEST_KEY} bits or more")
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise InvalidSettings(f"{name} is not valid now")
    try:
        permitted = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return CertificateHolder(certificate)
    if not getattr(permitted, usage):
        raise InvalidSettings(f"{name} does not permit {usage.replace('_', ' ')}")
    return CertificateHolder(certificate)


def issuer_and_serial_number(certificate: x509.Certificate) -> bytes:
    """IssuerAndSerialNumber (RFC 5652 10.2.4), copied from the certificate byte by byte.

    Encoding the issuer anew could choose other string types than the certificate has.
    """
    body = DerReader(certificate.tbs_certificate_bytes).inside(SEQUENCE)
    version = 0xA0
    if body.next_tag() == version:
        body.value(version)
    serial_number = body.encoded(INTEGER)
    body.value(SEQUENCE)  # signature
    return der.encode(SEQUENCE, body.encoded(SEQUENCE), serial_number)
