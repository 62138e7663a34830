"""What hostile and broken peers do to a service."""

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
    """One hostile machine with its own address and random generator."""

    address: str
    port: int
    tls_port: int
    chance: random.Random
    stopping: threading.Event
    attacks: Counter[str] = field(default_factory=Counter)
    finished: bool = False

    def run(self) -> None:
        """Attacks in random order until `stopping`."""
        while not self.stopping.is_set():
            attack = self.chance.choices(ATTACKS, WEIGHTS)[0]
            self.attacks[attack.__name__] += 1
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
        """Reads until the connection ends or is silent for `seconds`."""
        connection.settimeout(seconds)
        with suppress(TimeoutError):
            while connection.recv(65536):
                pass

    def close(self, connection: socket.socket) -> None:
        """Closes the connection: orderly, with a reset, or one direction first."""
        how = self.chance.randrange(3)
        if how == 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == 2:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                self.listen(connection)
        connection.close()


def damaged_conversation(attacker: Attacker) -> None:
    pdus = attacker.chance.choice(list(_CONVERSATIONS.values()))
    data = attacker.chance.choice(DAMAGES)(attacker.chance, pdus)
    with attacker.connect() as connection:
        with suppress(OSError):
            while data:
                size = attacker.chance.choice((1, 6, 100, 5000, len(data)))
                connection.sendall(data[:size])
                data = data[size:]
                if size == 1:
                    connection.sendall(data)
                    break
        attacker.listen(connection)
        attacker.close(connection)


def storm(attacker: Attacker) -> None:
    """Many messages and empty PDUs at once, without reading the responses."""
    with attacker.connect() as connection:
        connection.sendall(corpus.associate())
        pdu = attacker.chance.choice(
            (p_data(pdv(1, 3, command())), p_data(), p_data(pdv(1, 1, b"")), p_data(pdv(3, 0, b"")))
        )
        with suppress(OSError):
            connection.settimeout(1)
            connection.sendall(pdu * attacker.chance.choice((100, 5000)))
        attacker.close(connection)


def slow(attacker: Attacker) -> None:
    """Single bytes with pauses, on several connections."""
    data = b"".join(_CONVERSATIONS["store"])
    sent = attacker.chance.choice((1, 40, 300, 500))
    connections = [attacker.connect() for _ in range(attacker.chance.randint(1, 15))]
    try:
        for connection in connections:
            connection.sendall(data[:sent])
        for at in range(sent, sent + attacker.chance.randint(2, 25)):
            attacker.pause(0.1)
            for connection in connections:
                with suppress(OSError):
                    connection.sendall(data[at : at + 1])
    finally:
        for connection in connections:
            connection.close()


def connection_flood(attacker: Attacker) -> None:
    """Connections that send nothing."""
    connections: list[socket.socket] = []
    with suppress(OSError):
        connections += [
            attacker.connect(attacker.chance.choice((attacker.port, attacker.tls_port)))
            for _ in range(150)
        ]
    attacker.pause(attacker.chance.random())
    for connection in connections:
        connection.close()


def association_flood(attacker: Attacker) -> None:
    """Associations that send nothing."""
    connections: list[socket.socket] = []
    with suppress(OSError):
        for _ in range(60):
            connection = attacker.connect()
            connections.append(connection)
            connection.sendall(corpus.associate())
    attacker.pause(attacker.chance.random())
    for connection in connections:
        attacker.close(connection)


def endless_data_set(attacker: Attacker) -> None:
    """Megabytes of one instance that never ends."""
    with attacker.connect() as connection:
        request = command(messages.C_STORE_RQ, CT, data_set=True, more={0x1000: b"1.2.3.4.6"})
        connection.sendall(corpus.associate() + p_data(pdv(3, 3, request)))
        part = p_data(pdv(3, 0, bytes(60_000)))
        for _ in range(attacker.chance.randint(1, 100)):
            connection.sendall(part)
        attacker.close(connection)


def not_tls(attacker: Attacker) -> None:
    """DICOM without TLS, or a damaged TLS handshake, on the TLS port."""
    data = attacker.chance.choice((*_CONVERSATIONS.values(), [_HELLO], [_HELLO, _HELLO]))
    with attacker.connect(attacker.tls_port) as connection:
        connection.sendall(attacker.chance.choice(DAMAGES)(attacker.chance, data))
        attacker.listen(connection)
        attacker.close(connection)


def tls_without_certificate(attacker: Attacker) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        attacker.connect(attacker.tls_port) as connection,
        context.wrap_socket(connection) as secured,
    ):
        secured.sendall(corpus.associate())
        attacker.listen(secured)


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
