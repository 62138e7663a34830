"""Ground: counts and limits of simultaneous associations, over all receivers."""

import mmap
import threading
import zlib
from ipaddress import IPv6Address, ip_address

from burnish.settings import Settings

#: Counters of the associations of unknown AEs. Addresses that share one share a limit.
_ADDRESS_COLUMNS = 1024


class AssociationLimits:
    """Counts the associations of all receiver processes that were forked after it was made.

    Each receiver has a row of counters in shared memory, which it alone writes: the first counts
    all its associations, the next ones those of each peer, one those of all AEs that are not
    configured, and the others those of such AEs by address: they can invent AE titles. The last one
    counts its connections, whether or not they have an association yet. A receiver
    that is killed leaves its counts behind until its successor sets them to zero. An association
    first adds itself, then looks at the sum over all receivers, and is rejected if that exceeds a
    limit. So a limit is never exceeded.
    """

    def __init__(self, settings: Settings, receivers: int = 1) -> None:
        self._limits = [settings.dicom.maximum_associations]
        self._limits += [peer.maximum_associations for peer in settings.peer]
        self._columns = {peer.ae_title: at for at, peer in enumerate(settings.peer, start=1)}
        self._unknown_column = len(self._limits)
        self._limits.append(settings.dicom.unknown_associations)
        self._limits += [settings.dicom.unknown_associations_of_address] * _ADDRESS_COLUMNS
        self._connections_column = len(self._limits)
        self._width = len(self._limits) + 1
        self.receivers = receivers
        memory = mmap.mmap(-1, 4 * self._width * receivers)
        self._counts = memoryview(memory).cast("I")
        self._start = 0
        self._lock = threading.Lock()

    def begin(self, receiver_number: int) -> None:
        """Makes this process the receiver of that number (from 0), with no associations yet."""
        self._start = receiver_number * self._width
        for column in range(self._width):
            self._counts[self._start + column] = 0

    def acquire(self, calling_ae_title: str, address: str) -> str:
        """Counts a new association of a peer; returns "", or the limit that rejects it."""
        columns = self._columns_of(calling_ae_title, address)
        with self._lock:
            for column in columns:
                self._counts[self._start + column] += 1
            exceeded = [column for column in columns if self._sum(column) > self._limits[column]]
            if exceeded:
                self._subtract(columns)
        if not exceeded:
            return ""
        limit = self._limits[exceeded[0]]
        if exceeded[0] == 0:
            return f"{limit} associations at once (dicom.maximum_associations)"
        if exceeded[0] == self._unknown_column:
            return (
                f"{limit} associations at once of all AEs without a [[peer]] table"
                " (dicom.maximum_unknown_associations)"
            )
        if exceeded[0] > self._unknown_column:
            return (
                f"{limit} associations at once of AEs without a [[peer]] table at {address}"
                " (half of dicom.maximum_unknown_associations)"
            )
        return f"{limit} associations at once of AE {calling_ae_title} (peer.maximum_associations)"

    def release(self, calling_ae_title: str, address: str) -> None:
        """Ends an association that `acquire` counted."""
        with self._lock:
            self._subtract(self._columns_of(calling_ae_title, address))

    def count_connection(self, change: int) -> None:
        """Counts connections of this receiver: 1 more, or -1."""
        with self._lock:
            self._counts[self._start + self._connections_column] += change

    @property
    def has_more_connections(self) -> bool:
        """Whether another receiver has fewer connections than this one."""
        connections = self._counts[self._connections_column :: self._width]
        return min(connections) < self._counts[self._start + self._connections_column]

    @property
    def in_use(self) -> int:
        """The associations of all receivers."""
        return self._sum(0)

    def _columns_of(self, calling_ae_title: str, address: str) -> list[int]:
        column = self._columns.get(calling_ae_title)
        if column is not None:
            return [0, column]
        number = zlib.crc32(_site(address).encode()) % _ADDRESS_COLUMNS
        return [0, self._unknown_column, self._unknown_column + 1 + number]

    def _subtract(self, columns: list[int]) -> None:
        for column in columns:
            self._counts[self._start + column] -= 1

    def _sum(self, column: int) -> int:
        return sum(self._counts[column :: self._width])


def _site(address: str) -> str:
    """The key of one stranger: an IPv4 address, or the first half of an IPv6 address.

    A network with IPv6 gives each of its links 2⁶⁴ addresses.
    """
    parsed = ip_address(address.partition("%")[0])
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return parsed.exploded[:19]
