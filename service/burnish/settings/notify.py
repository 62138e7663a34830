"""Ground: `[notify]` and `[[notify.receiver]]`, who is told when something needs a person."""

import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from burnish.settings.value_types import Duration, Name, SettingsTable
from burnish.vocabulary import NoticeCause

#: One address as SMTP has it (RFC 5321, Mailbox), without quoted local parts and address literals.
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True)
class ReceiverKind:
    """Which keys of `[[notify.receiver]]` belong to one kind of receiver."""

    required_keys: tuple[str, ...]
    optional_keys: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that belong to this kind."""
        return self.required_keys + self.optional_keys


#: Every kind of receiver by its name. `notify/` has the function that sends to each.
RECEIVER_KINDS = {
    "webhook": ReceiverKind(("url", "secret_file"), ("ca",)),
    "mail": ReceiverKind(
        ("host", "sender", "to"), ("port", "encryption", "user", "password_file", "ca")
    ),
    "command": ReceiverKind(("command",)),
}
#: The usual ports of SMTP (RFC 8314, RFC 6409).
_MAIL_PORTS = {"tls": 465, "starttls": 587, "none": 25}


def _check_url(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    is_complete = parts.scheme in ("http", "https") and parts.hostname
    if not is_complete or not url.isprintable() or " " in url or not url.isascii():
        raise ValueError("url is an address such as https://alerts.example.org/burnish")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("url has no user, password or fragment: messages are signed instead")
    parts.port  # noqa: B018  raises ValueError if it is no port
    return url


def _check_mailbox(address: str) -> str:
    if address and not _MAILBOX.fullmatch(address):
        raise ValueError("an e-mail address is like discs@example.org, without a name")
    return address


_Mailbox = Annotated[str, AfterValidator(_check_mailbox)]


class NoticeReceiverSettings(SettingsTable):
    """One receiver of messages. Keys of other kinds of receiver are rejected."""

    name: Name
    kind: Literal["webhook", "mail", "command"]
    #: What it is told of. Left out: everything.
    causes: tuple[NoticeCause, ...] = tuple(NoticeCause)
    #: True: messages have the names and IDs of patients.
    patients: bool = False
    #: The most time that one attempt to send may take.
    timeout: Duration = timedelta(seconds=10)
    #: webhook: where messages are sent by POST.
    url: Annotated[str, AfterValidator(_check_url)] = ""
    #: webhook: the first line of this file is the secret that messages are signed with.
    secret_file: Path | None = None
    #: mail: the SMTP server.
    host: str = Field(default="", pattern=r"^[A-Za-z0-9.:_-]*$")
    #: mail: the TCP port; 0: 587 for STARTTLS, 465 for TLS, 25 for neither.
    port: int = Field(default=0, ge=0, le=65535)
    #: mail: STARTTLS, TLS from the start, or neither.
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    #: mail: the user that signs in at the server. Empty: nobody signs in.
    user: str = ""
    #: mail: the first line of this file is the password of `user`.
    password_file: Path | None = None
    #: mail: the address that messages come from.
    sender: _Mailbox = ""
    #: mail: the addresses that messages go to.
    to: tuple[_Mailbox, ...] = ()
    #: webhook, mail: the authorities (PEM) of the server's certificate. None: those of the system.
    ca: Path | None = None
    #: command: the program and its arguments. No shell reads them.
    command: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_receiver(self) -> "NoticeReceiverSettings":
        if not self.causes:
            raise ValueError("causes is empty; leave it out for all causes")
        if not timedelta(0) < self.timeout <= timedelta(minutes=5):
            raise ValueError("timeout is more than 0s and at most 5m")
        self._check_keys()
        if self.kind == "mail" and bool(self.user) != (self.password_file is not None):
            raise ValueError("user and password_file belong together")
        if not self.is_encrypted and not self.is_on_this_machine:
            if self.user:
                raise ValueError("a password is not sent without encryption")
            if self.patients:
                raise ValueError("patients = true needs encryption: https, STARTTLS or TLS")
        return self

    def _check_keys(self) -> None:
        kind = RECEIVER_KINDS[self.kind]
        keys_of_all_kinds = {key for other in RECEIVER_KINDS.values() for key in other.keys}
        foreign = sorted(
            key for key in keys_of_all_kinds.difference(kind.keys) if not self._has_default(key)
        )
        if foreign:
            raise ValueError(f"{', '.join(foreign)}: not for a receiver of kind {self.kind}")
        missing = [key for key in kind.required_keys if self._has_default(key)]
        if missing:
            raise ValueError(f"a receiver of kind {self.kind} needs {', '.join(missing)}")

    def _has_default(self, key: str) -> bool:
        return bool(getattr(self, key) == type(self).model_fields[key].default)

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent over a network is encrypted."""
        if self.kind == "mail":
            return self.encryption != "none"
        return self.kind != "webhook" or self.url.startswith("https:")

    @property
    def is_on_this_machine(self) -> bool:
        """Whether what is sent does not leave this machine."""
        if self.kind == "command":
            return True
        host = (urlsplit(self.url).hostname if self.kind == "webhook" else self.host) or ""
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def mail_port(self) -> int:
        """The TCP port of the SMTP server."""
        return self.port or _MAIL_PORTS[self.encryption]


class NotifySettings(SettingsTable):
    """The notices to people, and how often they are sent."""

    #: What needs a person, a device or the disk has to last this long before anybody is told.
    after: Duration = timedelta(seconds=30)
    #: A request that waits this long without needing a person is told.
    stuck_after: Duration = timedelta(hours=1)
    #: A device is told whose writer has given no sign of life for this time, or is stuck for it.
    silent_after: Duration = timedelta(minutes=5)
    #: The most messages that a receiver gets in the time `per`; then the rest go into one.
    messages: int = Field(default=10, ge=1)
    per: Duration = timedelta(minutes=10)
    #: Pause before a message that a receiver did not take is sent again; it doubles, up to 15m.
    retry_after: Duration = timedelta(seconds=30)
    #: A message that a receiver has not taken in this time is given up.
    give_up_after: Duration = timedelta(days=1)
    #: The language of messages.
    language: Literal["en", "de"] = "en"
    receiver: tuple[NoticeReceiverSettings, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> "NotifySettings":
        names = [receiver.name for receiver in self.receiver]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"[[notify.receiver]] {name}: the name is used more than once")
        return self
