"""Ground: `[[peer]]`, one known AE."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from burnish.settings.value_types import AETitle, SettingsTable

Operation = Literal["echo", "store", "media", "commit", "retrieve"]


def _parse_certificate(value: object) -> object:
    """A fingerprint without its colons, or a subject without spaces around `=` and `,`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if re.fullmatch(r"[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}", text):
        return text.replace(":", "").upper()
    if text and "=" not in text:
        raise ValueError(
            "a certificate is named by its SHA-256 fingerprint, 64 hexadecimal digits, "
            'or by its subject: "C=IT, O=Hospital, CN=ct1"'
        )
    return re.sub(r"\s*([=,])\s*", r"\1", text)


def _parse_network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value.strip())
    except ValueError:
        raise ValueError(
            'an address is "192.0.2.7", a network is "10.1.7.0/24" with zeros after the prefix; '
            "host names are not allowed here"
        ) from None


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_parse_network)]


class PeerSettings(SettingsTable):
    """One known AE: where it is, how it is authenticated, and what it is permitted to do."""

    ae_title: AETitle
    #: The addresses and networks it may call from. Empty: any address.
    addresses: tuple[Network, ...] = ()
    #: Where Burnish calls the peer: for reports (N-EVENT-REPORT) and to retrieve instances.
    host: str = ""
    #: 104 is the port that most DICOM nodes listen on.
    port: int = Field(default=104, ge=1, le=65535)
    #: True: associations in both directions use TLS only.
    tls: bool = False
    #: The certificate that the peer must present: a SHA-256 fingerprint or a subject.
    certificate: Annotated[str, BeforeValidator(_parse_certificate)] = ""
    #: The operations that the peer is permitted to request. "retrieve" is the other direction:
    #: Burnish may retrieve missing instances from the peer.
    may: tuple[Operation, ...] = ("echo", "store", "media", "commit")
    #: Associations at the same time. Further ones are rejected as a transient condition.
    maximum_associations: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _check_combination(self) -> "PeerSettings":
        if self.certificate and not self.tls:
            raise ValueError("certificate needs tls = true: without TLS no certificate is sent")
        if "retrieve" in self.may and not self.host:
            raise ValueError('may = ["retrieve"] needs the host to retrieve instances from')
        return self
