"""The least that a receiver in Python can do, which shows what the language leaves to gain.

receiver.py PORT DIRECTORY files|rows

It speaks as receiver.c does: each connection carries files, each as eight bytes of length (big
endian) and its bytes, and is answered with one byte per file when it is written. With "rows" each
file is also hashed by BLAKE3 and has a row in SQLite, committed by itself, and a last name. There
are as many processes as cores, and a thread for each connection. Nothing is parsed.
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

_ROOM = 1 << 18
_PR_SET_PDEATHSIG = 1
_DATABASE = "files.db"


def _files(connection: socket.socket, directory: Path, names: Iterator[int]) -> Iterator[str]:
    """Writes each file that comes, and gives its name; with a hash of its bytes in it."""
    room = memoryview(bytearray(_ROOM))
    while header := connection.recv(8, socket.MSG_WAITALL):
        left = int.from_bytes(header, "big")
        name = f"{os.getpid()}-{next(names)}"
        file = os.open(directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        digest = blake3()
        while left:
            part = room[: connection.recv_into(room, min(left, _ROOM))]
            os.write(file, part)
            digest.update(part)
            left -= len(part)
        os.close(file)
        yield name
        connection.sendall(b"\0")


def _serve(connection: socket.socket, directory: Path, names: Iterator[int], *, rows: bool) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    database = sqlite3.connect(directory / _DATABASE, isolation_level=None) if rows else None
    turn = os.open(directory / "turn", os.O_CREAT | os.O_RDWR)
    for name in _files(connection, directory, names):
        if database is None:
            continue
        final = f"f{name}"
        os.rename(directory / name, directory / final)
        fcntl.flock(turn, fcntl.LOCK_EX)
        database.execute("INSERT INTO file VALUES (?)", (final,))
        fcntl.flock(turn, fcntl.LOCK_UN)


def main() -> None:
    port, directory, what = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    database = sqlite3.connect(directory / _DATABASE)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE file (name TEXT PRIMARY KEY)")
    database.close()
    listening = socket.create_server(("127.0.0.1", port), backlog=64)
    for _ in range((os.cpu_count() or 1) - 1):
        if not os.fork():
            # it ends with its parent
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            break
    names = count()
    while True:
        connection, _ = listening.accept()
        arguments = (connection, directory, names)
        threading.Thread(
            target=_serve, args=arguments, kwargs={"rows": what == "rows"}, daemon=True
        ).start()


if __name__ == "__main__":
    main()
