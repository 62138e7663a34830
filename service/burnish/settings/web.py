"""Ground: `[web]`, the page for people and programs."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from burnish.settings.value_types import Duration, SettingsTable, Size


class WebSettings(SettingsTable):
    """Where the page is served, and for how long a person stays signed in."""

    enabled: bool = True
    #: The address to listen on. The default serves this machine only.
    host: str = "127.0.0.1"
    #: 0: any free port, which the log tells.
    port: int = Field(default=8042, ge=0, le=65535)
    #: The certificate of this service, followed by the intermediate ones (PEM), and its key.
    certificate: Path | None = None
    key: Path | None = None
    #: The addresses of reverse proxies, whose X-Forwarded-For and X-Forwarded-Proto are believed.
    proxies: tuple[str, ...] = ()
    #: The address by which people reach the page, where it is not that of `host` and `port`.
    url: str = Field(default="", pattern=r"^(https?://[^\s/?#]+)?$")
    #: A person signs in again after this time, whatever they do.
    session_lifetime: Duration = timedelta(hours=12)
    #: A person signs in again after this time without a request.
    session_idle: Duration = timedelta(hours=2)
    #: The largest file that people and programs may upload.
    longest_upload: Size = Field(default=16_000_000_000, gt=0)
    #: The language of the page. Empty: what each browser asks for.
    language: Literal["", "en", "de"] = ""

    @field_validator("proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ip_address(proxy)
        return proxies

    @model_validator(mode="after")
    def _check_certificate(self) -> "WebSettings":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the page."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def address(self, port: int) -> str:
        """The address of the page for people, without a slash at its end."""
        if self.url:
            return self.url
        scheme = "https" if self.certificate else "http"
        host = {"0.0.0.0": "localhost", "::": "localhost"}.get(self.host, self.host)  # noqa: S104
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
