"""Ground: which peers may call, from where and how proved, and what each of them may do."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from burnish.access.tls import Certificate
from burnish.settings import PeerSettings, Settings

#: What an AE may do that is in no `[[peer]]`, where such are accepted.
_UNKNOWN_MAY = frozenset({"echo", "store", "media", "commit"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a connection comes from, and what it has proved."""

    address: str
    tls: bool = False
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """What a peer may do; `why_not` says why it may not even call."""

    may: frozenset[str] = frozenset()
    why_not: str = ""


class Access:
    """The peers of the configuration."""

    def __init__(self, settings: Settings) -> None:
        self._peers = {peer.ae_title: peer for peer in settings.peer}
        self._unknown = settings.dicom.accept_unknown_peers

    def permit(self, calling_ae_title: str, caller: Caller) -> Permit:
        """What the AE that calls may do."""
        peer = self._peers.get(calling_ae_title)
        if peer is None:
            return Permit(_UNKNOWN_MAY) if self._unknown else Permit(why_not="unknown AE title")
        why_not = _why_not(peer, caller)
        return Permit(why_not=why_not) if why_not else Permit(frozenset(peer.may))


def _why_not(peer: PeerSettings, caller: Caller) -> str:
    if not peer.may:
        return "this AE may do nothing"
    if peer.addresses:
        address = _address(caller.address)
        if not any(address in network for network in peer.addresses):
            return "this AE does not call from that address"
    if peer.tls and not caller.tls:
        return "this AE calls by TLS only"
    if peer.certificate:
        if caller.certificate is None:
            return "this AE has to show a certificate"
        if not caller.certificate.is_named(peer.certificate):
            return "this AE has another certificate"
    return ""


def _address(text: str) -> IPv4Address | IPv6Address:
    """An address without its zone; IPv4 where it comes as a part of IPv6."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
