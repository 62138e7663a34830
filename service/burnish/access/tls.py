"""Ground: DICOM over TLS: the security profiles, and the certificates of peers."""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from burnish.errors import InvalidSettings
from burnish.file_access import denial
from burnish.settings import TLSSettings


@dataclass(frozen=True, slots=True)
class TLSProfile:
    """A Secure Transport Connection Profile of PS3.15: TLS 1.2 with these suites, and TLS 1.3."""

    section: str
    suites: str


#: Suites as OpenSSL names them. Security level 2 requires RSA keys of at least 2048 bits, curves of
#: at least 224 bits, and signatures better than SHA-1.
TLS_PROFILES = {
    "BCP195": TLSProfile("B.12, BCP 195 by RFC 8996 and 9325", "ECDHE+AESGCM:@SECLEVEL=2"),
    "BCP195-ND": TLSProfile(
        "B.10, BCP 195 without downgrading", "ECDHE+AESGCM:DHE+aRSA+AESGCM:@SECLEVEL=2"
    ),
    "BCP195-EXTENDED": TLSProfile(
        "B.11, extended BCP 195, but for Camellia and CCM",
        "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+aRSA+AESGCM:DHE+aRSA+CHACHA20:@SECLEVEL=2",
    ),
}
_DH_GROUP = Path(__file__).with_name("ffdhe3072.pem")
#: Abbreviations of RFC 4514 for the parts of a subject.
_ABBREVIATIONS = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified certificate: its SHA-256 fingerprint in hexadecimal, and its subject.

    The subject is as `openssl x509 -subject` prints it, without spaces: "C=IT,O=Hospital,CN=ct1".
    """

    fingerprint: str
    subject: str

    def matches(self, configured: str) -> bool:
        """Whether `configured` (peer.certificate) is its fingerprint or its subject."""
        return configured in (self.fingerprint, self.subject)


def server_context(settings: TLSSettings) -> ssl.SSLContext:
    """The context for associations that peers request; raises InvalidSettings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    is_required = settings.client_certificate == "required"
    context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if "DHE+aRSA" in TLS_PROFILES[settings.profile].suites:
        context.load_dh_params(str(_DH_GROUP))
    _configure(context, settings)
    return context


def client_context(settings: TLSSettings) -> ssl.SSLContext:
    """The context for associations that Burnish requests; raises InvalidSettings.

    A peer is identified by its certificate. A host name in it is not checked: PS3.15 requires none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _configure(context, settings)
    return context


def _configure(context: ssl.SSLContext, settings: TLSSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_PROFILES[settings.profile].suites)
    for path in (settings.certificate, settings.key, settings.ca):
        denied = denial(path) if path else ""
        if denied:
            raise InvalidSettings(
                f"[tls]: {denied}", hint="the user of the service must be able to read the file"
            )
    try:
        if settings.certificate and settings.key:
            context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
        if settings.ca:
            context.load_verify_locations(settings.ca)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise InvalidSettings(
            f"[tls]: {settings.certificate}, {settings.key} or {settings.ca} cannot be used: "
            f"{reason}",
            hint="use PEM files: tls.certificate, its tls.key without a password, and tls.ca",
        ) from None


def _no_password() -> str:
    """OpenSSL calls this for an encrypted key; there is nobody to type the password."""
    raise ValueError("the key has a password")


def peer_certificate(connection: ssl.SSLSocket | ssl.SSLObject) -> Certificate | None:
    """The certificate that the peer has presented and that was verified, if any."""
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        return None
    decoded = cast(dict[str, Any], connection.getpeercert())
    subject = ",".join(
        f"{_ABBREVIATIONS.get(name, name)}={value}"
        for attributes in decoded.get("subject", ())
        for name, value in attributes
    )
    return Certificate(hashlib.sha256(encoded).hexdigest().upper(), subject)


def presents_certificate(connection: object, configured: str) -> bool:
    """Whether the peer presents the certificate that is configured for it; "" is any or none."""
    if not configured:
        return True
    certificate = peer_certificate(connection) if isinstance(connection, ssl.SSLSocket) else None
    return certificate is not None and certificate.matches(configured)
