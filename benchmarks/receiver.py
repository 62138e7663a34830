"""The least work that a receiver in Python can do: a lower bound for the language.

receiver.py PORT DIRECTORY files|rows

It uses the protocol of receiver.c: a connection carries files, each as eight bytes of length (big
endian) and its bytes; each is answered with one byte once it is written. With "rows", each file is
also renamed and gets a row in SQLite, committed by itself. Files are hashed with BLAKE3. There is
one process per core and one thread per connection. Nothing is parsed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from blake3 import blake3

_BUFFER_SIZE = 1 << 18
_PR_SET_PDEATHSIG = 1
_DATABASE = "files.db"


def _files(connection: socket.socket, directory: Path, names: Iterator[int]) -> Iterator[str]:
    """Write and hash each file that arrives; yield its name."""
    buffer = memoryview(bytearray(_BUFFER_SIZE))
    while header := connection.recv(8, socket.MSG_WAITALL):
        remaining = int.from_bytes(header, "big")
        name = f"{os.getpid()}-{next(names)}"
        file = os.open(directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        digest = blake3()
        while remaining:
            part = buffer[: connection.recv_into(buffer, min(remaining, _BUFFER_SIZE))]
            os.write(file, part)
            digest.update(part)
            remaining -= len(part)
        os.close(file)
        yield name
        connection.sendall(b"\0")


def _serve(connection: socket.socket, directory: Path, names: Iterator[int], *, rows: bool) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    database = sqlite3.connect(directory / _DATABASE, isolation_level=None) if rows else None
    lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR)
    for name in _files(connection, directory, names):
        if database is None:
            continue
        final = f"f{name}"
        os.rename(directory / name, directory / final)
        fcntl.flock(lock, fcntl.LOCK_EX)
        database.execute("INSERT INTO file VALUES (?)", (final,))
        fcntl.flock(lock, fcntl.LOCK_UN)


def main() -> None:
    port, directory, mode = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    database = sqlite3.connect(directory / _DATABASE)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE file (name TEXT PRIMARY KEY)")
    database.close()
    listening = socket.create_server(("127.0.0.1", port), backlog=64)
    for _ in range((os.cpu_count() or 1) - 1):
        if not os.fork():
            # the child ends with its parent
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            break
    names = count()
    while True:
        connection, _ = listening.accept()
        arguments = (connection, directory, names)
        threading.Thread(
            target=_serve, args=arguments, kwargs={"rows": mode == "rows"}, daemon=True
        ).start()


if __name__ == "__main__":
    main()
