"""TCP ports for tests. A port belongs to one test process until that process ends."""

import secrets
import socket

#: Below the ports that Linux assigns to outgoing connections.
_FIRST, _LAST = 20_000, 32_000
_RESERVATIONS: list[int] = []


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on and no other test gets.

    An abstract Unix socket reserves the port, also while nobody listens on it: before a service
    starts, and while it is restarted.
    """
    while True:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0burnish-tests-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _RESERVATIONS.append(reservation.detach())  # until this process ends
        return port
