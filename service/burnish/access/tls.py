"""Ground: DICOM over TLS: what is agreed on with a peer, and the certificate it shows."""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from burnish.errors import InvalidSettings
from burnish.settings import TLSSettings


@dataclass(frozen=True, slots=True)
class Profile:
    """A Secure Transport Connection Profile of PS3.15: TLS 1.2 with these suites, and TLS 1.3."""

    section: str
    suites: str


#: Suites as OpenSSL names them. Level 2 wants RSA keys of 2048 bits and curves of 224 at least, and
#: signatures better than SHA-1.
PROFILES = {
    "BCP195": Profile("B.12, BCP 195 by RFC 8996 and 9325", "ECDHE+AESGCM:@SECLEVEL=2"),
    "BCP195-ND": Profile(
        "B.10, BCP 195 without downgrading", "ECDHE+AESGCM:DHE+aRSA+AESGCM:@SECLEVEL=2"
    ),
    "BCP195-EXTENDED": Profile(
        "B.11, extended BCP 195, but for Camellia and CCM",
        "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+aRSA+AESGCM:DHE+aRSA+CHACHA20:@SECLEVEL=2",
    ),
}
_DH_GROUP = Path(__file__).with_name("ffdhe3072.pem")
_SHORT = {
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
    """A certificate that was proved: its SHA-256 fingerprint in hexadecimal, and its subject.

    The subject is as `openssl x509 -subject` prints it, without spaces: "C=IT,O=Hospital,CN=ct1".
    """

    fingerprint: str
    subject: str

    def is_named(self, name: str) -> bool:
        """Whether `[[peer]] certificate` names it."""
        return name in (self.fingerprint, self.subject)


def server_context(settings: TLSSettings) -> ssl.SSLContext:
    """What peers that call are met with; raises InvalidSettings for files that are not right."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    required = settings.client_certificate == "required"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if "DHE+aRSA" in PROFILES[settings.profile].suites:
        context.load_dh_params(str(_DH_GROUP))
    return _prepared(context, settings)


def client_context(settings: TLSSettings) -> ssl.SSLContext:
    """What peers are called with; raises InvalidSettings for files that are not right.

    A peer is known by its certificate, not by a host name in it: PS3.15 asks for none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _prepared(context, settings)


def _prepared(context: ssl.SSLContext, settings: TLSSettings) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(PROFILES[settings.profile].suites)
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
            hint="PEM files: a certificate, its key without a password, the authorities",
        ) from None
    return context


def _no_password() -> str:
    """Called for a key with a password, which nobody is there to type."""
    raise ValueError("the key has a password")


def shown_certificate(connection: ssl.SSLSocket) -> Certificate | None:
    """The certificate that the peer has shown and that was proved, if any."""
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        return None
    told = cast(dict[str, Any], connection.getpeercert())
    subject = ",".join(
        f"{_SHORT.get(kind, kind)}={value}"
        for names in told.get("subject", ())
        for kind, value in names
    )
    return Certificate(hashlib.sha256(encoded).hexdigest().upper(), subject)


def shows_certificate(connection: object, certificate: str) -> bool:
    """Whether who was called shows the certificate that its `[[peer]]` names; "" names none."""
    if not certificate:
        return True
    shown = shown_certificate(connection) if isinstance(connection, ssl.SSLSocket) else None
    return shown is not None and shown.is_named(certificate)
