"""Ground: which peers may associate with Burnish, and what each of them is permitted to do."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from burnish.access.tls import Certificate
from burnish.settings import PeerSettings, Settings

#: What an AE without a `[[peer]]` table may do, if `dicom.accept_unknown_peers`.
_UNKNOWN_PEERS_MAY = frozenset({"echo", "store", "media", "commit"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a connection comes from, and the certificate it was authenticated with."""

    address: str
    tls: bool = False
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class PeerPermission:
    """The operations that a peer is permitted; `denial` says why it may not even associate."""

    may: frozenset[str] = frozenset()
    denial: str = ""


class PeerAccess:
    """The peers of the configuration."""

    def __init__(self, settings: Settings) -> None:
        self._peers = {peer.ae_title: peer for peer in settings.peer}
        self._accept_unknown_peers = settings.dicom.accept_unknown_peers

    def permission(self, calling_ae_title: str, caller: Caller) -> PeerPermission:
        """The operations permitted to the calling AE. Unconfigured peers are rejected."""
        peer = self._peers.get(calling_ae_title)
        if peer is None:
            if self._accept_unknown_peers:
                return PeerPermission(_UNKNOWN_PEERS_MAY)
            return PeerPermission(denial=f"no [[peer]] has the AE title {calling_ae_title!r}")
        denial = _denial(peer, caller)
        return PeerPermission(denial=denial) if denial else PeerPermission(frozenset(peer.may))


def _denial(peer: PeerSettings, caller: Caller) -> str:
    """Why a caller may not associate as `peer`, "" if it may."""
    ae = f"AE {peer.ae_title}"
    if not peer.may:
        return f"{ae} is not permitted to do anything (peer.may)"
    if peer.addresses:
        address = _parse_address(caller.address)
        if not any(address in network for network in peer.addresses):
            return f"{ae} may not call from {address} (peer.addresses)"
    if peer.tls and not caller.tls:
        return f"{ae} must use TLS (peer.tls)"
    if peer.certificate:
        if caller.certificate is None:
            return f"{ae} must present a certificate (peer.certificate)"
        if not caller.certificate.matches(peer.certificate):
            return f"{ae} presents another certificate than the one configured (peer.certificate)"
    return ""


def _parse_address(text: str) -> IPv4Address | IPv6Address:
    """An address without its zone; an IPv4 address that is mapped to IPv6 as IPv4."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
