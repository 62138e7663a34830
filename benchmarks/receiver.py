"""The least work that a receiver in Python can do: a lower bound for the language.

receiver.py PORT DIRECTORY files|log

It uses the protocol of receiver.c: a connection carries files, each as eight bytes of length (big
endian) and its bytes; each is answered with one byte once it is written: with "files" to a file of
its own, with "log" to the end of one file for each process. Files are hashed with BLAKE3. There is
one process per core and one thread per connection. Nothing is parsed, and there are no rows.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from blake3 import blake3

_BUFFER_SIZE = 1 << 21
_PR_SET_PDEATHSIG = 1


class _Log:
    """One file to whose end everything is appended."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        self._end = 0
        self._lock = threading.Lock()

    def append(self, digest: bytes, content: memoryview) -> None:
        with self._lock:
            self._end += os.pwritev(self._file, [digest, content], self._end)


def _serve(
    connection: socket.socket, directory: Path, names: Iterator[int], log: _Log | None
) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(_BUFFER_SIZE))
    while header := connection.recv(8, socket.MSG_WAITALL):
        length = int.from_bytes(header, "big")
        received = 0
        while received < length:
            received += connection.recv_into(buffer[received:length])
        content = buffer[:length]
        digest = blake3(content).digest()
        if log is not None:
            log.append(digest, content)
        else:
            name = f"{os.getpid()}-{next(names)}"
            file = os.open(directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
            os.write(file, content)
            os.close(file)
        connection.sendall(b"\0")


def main() -> None:
    port, directory, mode = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    listening = socket.create_server(("127.0.0.1", port), backlog=64)
    for _ in range((os.cpu_count() or 1) - 1):
        if not os.fork():
            # the child ends with its parent
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            break
    names = count()
    log = _Log(directory / f"log-{os.getpid()}") if mode == "log" else None
    while True:
        connection, _ = listening.accept()
        threading.Thread(
            target=_serve, args=(connection, directory, names, log), daemon=True
        ).start()


if __name__ == "__main__":
    main()
