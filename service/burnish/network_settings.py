"""Ground: what can be configured of the network: the port, TLS, who may call and do what."""

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from burnish.setting_values import AETitle, Duration, Table

Operation = Literal["echo", "store", "media", "commit", "retrieve"]


def _certificate(value: object) -> object:
    """A fingerprint without its colons, or a subject without spaces around its signs."""
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


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value.strip())
    except ValueError:
        raise ValueError(
            'an address is "192.0.2.7", a network "10.1.7.0/24", with zeros behind its prefix; '
            "names of hosts are not looked up"
        ) from None


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


class Dicom(Table):
    """The application entity and its port."""

    ae_title: AETitle = "BURNISH"
    check_called_ae_title: bool = True
    host: str = "0.0.0.0"  # noqa: S104  a DICOM node listens to its network
    port: int = Field(default=11112, ge=0, le=65535)
    receivers: int = Field(default=0, ge=0, le=64)
    maximum_associations: int = Field(default=500, ge=1)
    maximum_half_open: int = Field(default=100, ge=1)
    maximum_pdu_size: int = Field(default=131072, ge=4096, le=1 << 20)
    accept_unknown_peers: bool = False
    user_identity: Literal["optional", "required"] = "optional"
    acse_timeout: Duration = timedelta(seconds=30)
    idle_timeout: Duration = timedelta(minutes=10)
    drain_timeout: Duration = timedelta(seconds=30)


class TLS(Table):
    """DICOM over TLS (PS3.15 B), where there is a certificate."""

    port: int = Field(default=2762, ge=0, le=65535)
    only: bool = False
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    client_certificate: Literal["required", "optional"] = "required"
    profile: Literal["BCP195", "BCP195-ND", "BCP195-EXTENDED"] = "BCP195"

    @model_validator(mode="after")
    def _belong_together(self) -> "TLS":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.only and not self.listens:
            raise ValueError("only needs a port, a certificate and a key")
        if self.listens and self.client_certificate == "required" and self.ca is None:
            raise ValueError("client_certificate = required needs ca, that certificates be proved")
        return self

    @property
    def listens(self) -> bool:
        """Whether there is a port for TLS."""
        return bool(self.port and self.certificate)


class Peer(Table):
    """One known AE: where it is, how it proves itself, and what it may do.

    `addresses` are those it calls from (none: any), `host` and `port` where it is called. With
    `tls` it calls and is called by TLS only; `certificate` is the one it must then show.
    """

    ae_title: AETitle
    addresses: tuple[Network, ...] = ()
    host: str = ""
    port: int = Field(default=104, ge=1, le=65535)
    tls: bool = False
    certificate: Annotated[str, BeforeValidator(_certificate)] = ""
    may: tuple[Operation, ...] = ("echo", "store", "media", "commit")
    maximum_associations: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _can_be_what_it_is(self) -> "Peer":
        if self.certificate and not self.tls:
            raise ValueError("a certificate needs tls = true: without TLS it is never shown")
        if "retrieve" in self.may and not self.host:
            raise ValueError("may retrieve needs a host, which is asked for instances")
        return self


class User(Table):
    """One user that peers may name (User Identity Negotiation, PS3.7 D.3.3.7)."""

    name: str = Field(min_length=1)
    passcode: SecretStr = SecretStr("")
    passcode_file: Path | None = None
