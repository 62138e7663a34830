"""Ground: `[security]`, secure media (PS3.15 annex D.1)."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from burnish.settings.value_types import SettingsTable


class SecuritySettings(SettingsTable):
    """The recipients who can open secure media, and the signer."""

    #: Files with the recipients' certificates (X.509 in PEM, RSA).
    recipients: tuple[Path, ...] = ()
    password: SecretStr = SecretStr("")
    #: The password is the first line of this file. It takes precedence over `password`.
    password_file: Path | None = None
    #: Iterations of PBKDF2. 600,000 is what OWASP recommends for HMAC-SHA-256.
    password_iterations: int = Field(default=600_000, ge=1_000, le=1 << 31)
    cipher: Literal["AES-128", "AES-192", "AES-256"] = "AES-256"
    #: With both, files are signed. With neither, files have a digest only.
    signer_certificate: Path | None = None
    signer_key: Path | None = None

    @model_validator(mode="after")
    def _check_signer(self) -> "SecuritySettings":
        if (self.signer_certificate is None) != (self.signer_key is None):
            raise ValueError("signer_certificate and signer_key must be given together")
        return self
