"""TCP ports for tests, each for one process of tests until that process ends."""

import secrets
import socket

#: Below those that Linux gives to outgoing connections, one of which could have a port meanwhile.
_FIRST, _LAST = 20_000, 32_000
_HELD: list[int] = []


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on and no other test is given.

    A name of the kernel's says that it is taken, so that it stays so while nobody listens: before
    a service begins, and while it is started again.
    """
    while True:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0burnish-tests-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _HELD.append(name.detach())  # until this process ends
        return port
