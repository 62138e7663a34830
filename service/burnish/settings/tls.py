"""Ground: `[tls]`, DICOM over TLS (PS3.15 annex B)."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from burnish.settings.value_types import SettingsTable


class TLSSettings(SettingsTable):
    """The TLS port, the certificates, and the TLS profile. Without a certificate TLS is off."""

    #: 2762 is the registered port for DICOM over TLS. 0: no TLS port.
    port: int = Field(default=2762, ge=0, le=65535)
    #: True: the port without TLS is closed.
    only: bool = False
    #: The certificate of this service, followed by those of the intermediate authorities, in PEM.
    certificate: Path | None = None
    #: The private key of the certificate, in PEM.
    key: Path | None = None
    #: The authorities (or single certificates) that the certificates of peers are checked against.
    ca: Path | None = None
    #: "required": every peer on the TLS port must present a certificate.
    client_certificate: Literal["required", "optional"] = "required"
    #: The Secure Transport Connection Profile of PS3.15.
    profile: Literal["BCP195", "BCP195-ND", "BCP195-EXTENDED"] = "BCP195"

    @model_validator(mode="after")
    def _check_combination(self) -> "TLSSettings":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given together")
        if self.only and not self.listens:
            raise ValueError("only = true needs a port, a certificate and a key")
        if self.listens and self.client_certificate == "required" and self.ca is None:
            raise ValueError(
                'client_certificate = "required" needs ca: without it no certificate can be checked'
            )
        return self

    @property
    def listens(self) -> bool:
        """Whether the service opens a port for TLS."""
        return bool(self.port and self.certificate)
