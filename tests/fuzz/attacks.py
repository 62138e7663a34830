"""What hostile and broken peers do to the ports of a service."""

import random
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from burnish.scp import messages
from factories import CT
from fuzz import corpus
from fuzz.damage import DAMAGES
from peer import command, p_data, pdv

_CONVERSATIONS = corpus.conversations()
_HELLO = corpus.client_hello()


@dataclass
class Attacker:
    """One hostile machine: an address of its own, and dice of its own."""

    address: str
    port: int
    tls_port: int
    chance: random.Random
    stopping: threading.Event
    tried: Counter[str] = field(default_factory=Counter)
    finished: bool = False

    def run(self) -> None:
        """Attacks until it is told to stop, in the order that its dice say."""
        while not self.stopping.is_set():
            attack = self.chance.choices(ATTACKS, WEIGHTS)[0]
            self.tried[attack.__name__] += 1
            with suppress(OSError):
                attack(self)
        self.finished = True

    def connect(self, port: int = 0) -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", port or self.port), timeout=5, source_address=(self.address, 0)
        )

    def pause(self, seconds: float) -> None:
        self.stopping.wait(seconds)

    def listen(self, connection: socket.socket, seconds: float = 0.3) -> None:
        """Reads what comes, until it ends or for so long."""
        connection.settimeout(seconds)
        with suppress(TimeoutError):
            while connection.recv(65536):
                pass

    def leave(self, connection: socket.socket) -> None:
        """Closes in one of the ways there are: orderly, half, or by a reset."""
        how = self.chance.randrange(3)
        if how == 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == 2:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                self.listen(connection)
        connection.close()


def damaged_conversation(me: Attacker) -> None:
    pdus = me.chance.choice(list(_CONVERSATIONS.values()))
    data = me.chance.choice(DAMAGES)(me.chance, pdus)
    with me.connect() as connection:
        with suppress(OSError):
            while data:
                size = me.chance.choice((1, 6, 100, 5000, len(data)))
                connection.sendall(data[:size])
                data = data[size:]
                if size == 1:
                    connection.sendall(data)
                    break
        me.listen(connection)
        me.leave(connection)


def storm(me: Attacker) -> None:
    """Many messages and empty PDUs at once, the answers to which are not read."""
    with me.connect() as connection:
        connection.sendall(corpus.associate())
        pdu = me.chance.choice(
            (p_data(pdv(1, 3, command())), p_data(), p_data(pdv(1, 1, b"")), p_data(pdv(3, 0, b"")))
        )
        with suppress(OSError):
            connection.settimeout(1)
            connection.sendall(pdu * me.chance.choice((100, 5000)))
        me.leave(connection)


def slow(me: Attacker) -> None:
    """A few bytes now and then, on several connections."""
    data = b"".join(_CONVERSATIONS["store"])
    begun = me.chance.choice((1, 40, 300, 500))
    connections = [me.connect() for _ in range(me.chance.randint(1, 15))]
    try:
        for connection in connections:
            connection.sendall(data[:begun])
        for at in range(begun, begun + me.chance.randint(2, 25)):
            me.pause(0.1)
            for connection in connections:
                with suppress(OSError):
                    connection.sendall(data[at : at + 1])
    finally:
        for connection in connections:
            connection.close()


def connection_flood(me: Attacker) -> None:
    """Connections that say nothing."""
    connections: list[socket.socket] = []
    with suppress(OSError):
        connections += [me.connect(me.chance.choice((me.port, me.tls_port))) for _ in range(150)]
    me.pause(me.chance.random())
    for connection in connections:
        connection.close()


def association_flood(me: Attacker) -> None:
    """Associations on which nothing happens."""
    connections: list[socket.socket] = []
    with suppress(OSError):
        for _ in range(60):
            connections.append(connection := me.connect())
            connection.sendall(corpus.associate())
    me.pause(me.chance.random())
    for connection in connections:
        me.leave(connection)


def endless_data_set(me: Attacker) -> None:
    """Megabytes of one instance, the last of which never comes."""
    with me.connect() as connection:
        asked = command(messages.C_STORE_RQ, CT, data_set=True, more={0x1000: b"1.2.3.4.6"})
        connection.sendall(corpus.associate() + p_data(pdv(3, 3, asked)))
        part = p_data(pdv(3, 0, bytes(60_000)))
        for _ in range(me.chance.randint(1, 100)):
            connection.sendall(part)
        me.leave(connection)


def not_tls(me: Attacker) -> None:
    """What is no TLS, or the beginning of it, at the port of TLS."""
    data = me.chance.choice((*_CONVERSATIONS.values(), [_HELLO], [_HELLO, _HELLO]))
    with me.connect(me.tls_port) as connection:
        connection.sendall(me.chance.choice(DAMAGES)(me.chance, data))
        me.listen(connection)
        me.leave(connection)


def tls_without_certificate(me: Attacker) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with me.connect(me.tls_port) as connection, context.wrap_socket(connection) as secured:
        secured.sendall(corpus.associate())
        me.listen(secured)


ATTACKS: tuple[Callable[[Attacker], None], ...] = (
    damaged_conversation,
    storm,
    slow,
    connection_flood,
    association_flood,
    endless_data_set,
    not_tls,
    tls_without_certificate,
)
WEIGHTS = (60, 4, 3, 1, 2, 2, 10, 3)
