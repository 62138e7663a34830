"""Stage: the peers that have called: when, how it ended, and what would admit those rejected.

Receivers note each contact in memory (`ContactRecorder`); a thread of their own writes them to the
database, once a second at most. No association waits for that.
"""

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from burnish.access.peers import Caller, PeerAccess
from burnish.access.tls import Certificate
from burnish.db.session import Database
from burnish.db.tables import PeerContact
from burnish.errors import BurnishError, Unknown
from burnish.settings import PeerSettings, Settings
from burnish.settings.peer import Network

log = structlog.get_logger(__name__)

#: Seconds in which contacts collect before they are written.
_COLLECT = 1.0
#: The most combinations of AE titles and address that wait to be written: a peer can invent titles.
_MOST_WAITING = 1000
#: The most rows that are kept; above it, the oldest go.
MOST_ROWS = 2000
_LONGEST_TEXT = 300


class ContactOutcome(StrEnum):
    """How the last contact with a peer went."""

    CONNECTED = "connected"
    ENDED = "ended"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact: the AE titles and the address, and what came of it.

    `detail` says how it ended, or why it was rejected. `messages` are those of an ended
    association.
    """

    calling_ae_title: str
    called_ae_title: str
    address: str
    outcome: ContactOutcome
    detail: str = ""
    messages: int = 0
    tls: bool = False
    certificate: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class ContactView:
    """The contacts with one AE title at one address.

    `admitting_lines` are lines of the configuration that would admit a rejected peer, with
    `remedy` in words; both are empty unless the last contact was rejected. `admitted_since`: it
    was, but the present configuration admits it.
    """

    calling_ae_title: str
    called_ae_title: str
    address: str
    is_configured: bool
    outcome: ContactOutcome
    detail: str
    last_at: datetime
    associations: int
    rejections: int
    messages: int
    tls: bool
    user: str
    remedy: str
    admitting_lines: tuple[str, ...]
    admitted_since: bool


@dataclass(frozen=True, slots=True)
class PeerView:
    """One configured peer, and the last contact with it, if there was one."""

    ae_title: str
    addresses: tuple[str, ...]
    host: str
    port: int
    tls: bool
    may: tuple[str, ...]
    last: ContactView | None


@dataclass(slots=True)
class _Tally:
    """The contacts of one peer that wait to be written."""

    newest: Contact
    at: datetime
    associations: int = 0
    rejections: int = 0
    messages: int = 0


class ContactRecorder:
    """Notes contacts, and writes them in the background."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[str, str, str], _Tally] = {}
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="contacts", daemon=True)

    def start(self) -> None:
        """Begin to write what is noted."""
        self._thread.start()

    def note(self, contact: Contact) -> None:
        """Note a contact; returns at once."""
        key = (contact.calling_ae_title, contact.called_ae_title, contact.address)
        with self._lock:
            tally = self._waiting.get(key)
            if tally is None:
                if len(self._waiting) >= _MOST_WAITING:
                    return
                tally = self._waiting[key] = _Tally(contact, datetime.now(UTC))
            tally.newest, tally.at = contact, datetime.now(UTC)
            tally.associations += contact.outcome is ContactOutcome.CONNECTED
            tally.rejections += contact.outcome is ContactOutcome.REJECTED
            tally.messages += contact.messages
        self._has_news.set()

    def close(self) -> None:
        """Write what is noted, and end."""
        self._stopping.set()
        self._has_news.set()
        self._thread.join()

    def flush(self) -> None:
        """Write what is noted now; raises BurnishError, and then keeps it."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            with self._database.connection() as connection:
                _write(connection, list(waiting.values()))
        except BurnishError:
            with self._lock:
                for key, tally in waiting.items():
                    newer = self._waiting.setdefault(key, tally)
                    if newer is not tally:
                        newer.associations += tally.associations
                        newer.rejections += tally.rejections
                        newer.messages += tally.messages
            raise

    def _run(self) -> None:
        is_failing = False
        while not self._stopping.is_set():
            self._has_news.wait()
            self._stopping.wait(_COLLECT)
            self._has_news.clear()
            try:
                self.flush()
                is_failing = False
            except BurnishError as error:
                self._has_news.set()
                if not is_failing:
                    log.warning("contacts of peers not written", why=str(error))
                is_failing = True


def contacts(session: Session, settings: Settings, *, limit: int) -> list[ContactView]:
    """The last contacts, the newest first."""
    rows = session.scalars(select(PeerContact).order_by(PeerContact.last_at.desc()).limit(limit))
    access = PeerAccess(settings)
    configured = {peer.ae_title: peer for peer in settings.peer}
    return [_view(row, settings, access, configured) for row in rows]


def peers(session: Session, settings: Settings) -> list[PeerView]:
    """The configured peers in the order of the configuration, each with its last contact."""
    newest: dict[str, ContactView] = {}
    for contact in contacts(session, settings, limit=MOST_ROWS):
        newest.setdefault(contact.calling_ae_title, contact)
    return [
        PeerView(
            ae_title=peer.ae_title,
            addresses=tuple(map(_network, peer.addresses)),
            host=peer.host,
            port=peer.port,
            tls=peer.tls,
            may=tuple(peer.may),
            last=newest.get(peer.ae_title),
        )
        for peer in settings.peer
    ]


def peer_named(settings: Settings, ae_title: str) -> PeerSettings:
    """The settings of a configured peer; raises Unknown."""
    for peer in settings.peer:
        if peer.ae_title == ae_title:
            return peer
    raise Unknown(f"no [[peer]] has the AE title {ae_title}", hint="`burnish peer list` shows them")


def fingerprint(session: Session) -> Hashable:
    """A cheap answer that changes whenever there was a contact."""
    newest = select(func.max(PeerContact.last_at), func.sum(PeerContact.associations))
    return tuple(session.execute(newest).one())


# --- parts ---


def _write(connection: Connection, tallies: Sequence[_Tally]) -> None:
    """Add contacts to their rows, and keep the number of rows in bounds."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(PeerContact)
    statement = row.on_conflict_do_update(
        index_elements=["calling_ae_title", "called_ae_title", "address"],
        set_={
            **{
                name: row.excluded[name]
                for name in ("outcome", "detail", "last_at", "tls", "certificate", "user_name")
            },
            **{
                name: PeerContact.__table__.c[name] + row.excluded[name]
                for name in ("associations", "rejections", "messages")
            },
        },
    )
    connection.execute(statement, [_values(tally) for tally in tallies])
    count = connection.scalar(select(func.count()).select_from(PeerContact)) or 0
    if count > MOST_ROWS:
        oldest_kept = connection.scalar(
            select(PeerContact.last_at).order_by(PeerContact.last_at.desc()).offset(MOST_ROWS - 1)
        )
        connection.execute(delete(PeerContact).where(PeerContact.last_at < oldest_kept))


def _values(tally: _Tally) -> Mapping[str, Any]:
    contact = tally.newest
    return {
        "calling_ae_title": _printable(contact.calling_ae_title)[:16],
        "called_ae_title": _printable(contact.called_ae_title)[:16],
        "address": contact.address[:64],
        "outcome": contact.outcome.value,
        "detail": _printable(contact.detail)[:_LONGEST_TEXT],
        "last_at": tally.at,
        "tls": contact.tls,
        "certificate": contact.certificate,
        "user_name": _printable(contact.user)[:64],
        "associations": tally.associations,
        "rejections": tally.rejections,
        "messages": tally.messages,
    }


def _printable(text: str) -> str:
    """Text of a peer without characters that could imitate another line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _view(
    row: PeerContact,
    settings: Settings,
    access: PeerAccess,
    configured: Mapping[str, PeerSettings],
) -> ContactView:
    view = ContactView(
        calling_ae_title=row.calling_ae_title,
        called_ae_title=row.called_ae_title,
        address=row.address,
        is_configured=row.calling_ae_title in configured,
        outcome=ContactOutcome(row.outcome),
        detail=row.detail,
        last_at=row.last_at,
        associations=row.associations,
        rejections=row.rejections,
        messages=row.messages,
        tls=row.tls,
        user=row.user_name,
        remedy="",
        admitting_lines=(),
        admitted_since=False,
    )
    if view.outcome is not ContactOutcome.REJECTED:
        return view
    certificate = Certificate(row.certificate, "") if row.certificate else None
    caller = Caller(row.address, tls=row.tls, certificate=certificate)
    remedy, lines = _admission(view, settings, access, configured, caller)
    is_admitted = not remedy
    return replace(view, remedy=remedy, admitting_lines=lines, admitted_since=is_admitted)


def _admission(
    contact: ContactView,
    settings: Settings,
    access: PeerAccess,
    configured: Mapping[str, PeerSettings],
    caller: Caller,
) -> tuple[str, tuple[str, ...]]:
    """The change that would admit a rejected peer, in words and as lines of the configuration."""
    title = contact.calling_ae_title
    if contact.called_ae_title != settings.dicom.ae_title and "called AE" in contact.detail:
        service_title = settings.dicom.ae_title
        return f"have the peer call the AE title {service_title}, or change that of this service", (
            "[dicom]",
            f'ae_title = "{_quoted(contact.called_ae_title)}"',
        )
    denial = access.permission(title, caller).denial
    if not denial:
        if "local limit exceeded" in contact.detail:
            return f"the peer may call again, or raise the limit: {contact.detail}", ()
        return "", ()
    peer = configured.get(title)
    if peer is None:
        return "add the peer to the configuration, then restart the service", (
            "[[peer]]",
            f'ae_title = "{_quoted(title)}"',
            f'addresses = ["{_quoted(contact.address)}"]',
            'may = ["echo", "store"]',
        )
    remedy, line = _change_of_peer(peer, caller, denial)
    return remedy, ("[[peer]]", f'ae_title = "{_quoted(title)}"', line) if line else ()


def _change_of_peer(peer: PeerSettings, caller: Caller, denial: str) -> tuple[str, str]:
    """The change that would admit a configured peer: in words, and as a line."""
    if "peer.addresses" in denial:
        addresses = [*map(_network, peer.addresses), caller.address]
        listed = ", ".join(f'"{_quoted(address)}"' for address in addresses)
        remedy = "add the address to those of the peer, then restart the service"
        return remedy, f"addresses = [{listed}]"
    if "peer.may" in denial:
        remedy = "say what the peer may do, then restart the service"
        return remedy, 'may = ["echo", "store"]'
    if "peer.certificate" in denial and caller.certificate is not None:
        remedy = "if the certificate is that of the peer, name it, then restart the service"
        return remedy, f'certificate = "{caller.certificate.fingerprint}"'
    return f"{denial}: the peer has to change", ""


def _network(network: Network) -> str:
    """A network as an administrator writes it: one address without its prefix length."""
    is_address = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_address else network)


def _quoted(text: str) -> str:
    """Text for a basic string of TOML."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
