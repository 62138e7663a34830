"""The least work that a receiver in Python can do: a lower bound for the language.

receiver.py PORT DIRECTORY files|log|sync

It uses the protocol of receiver.c: a connection carries files, each as eight bytes of length (big
endian) and its bytes; each is answered with one byte once it is written. There is one process per
core and one thread per connection. Nothing is parsed, and there are no rows.

files   each into a file of its own, hashed with BLAKE3
log     to the end of one file for each process, hashed with BLAKE3
sync    the same, not hashed, and made durable before the answer: one write and one fdatasync for
        all that wait in the process, in a segment that was allocated before. This is the form of
        Burnish, and that of receiver.c with "log".
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

from blake3 import blake3

_BUFFER_SIZE = 1 << 21
_PR_SET_PDEATHSIG = 1
_SEGMENT_SIZE = 256 << 20
#: Behind small groups, so much is written in advance, as Burnish does it.
_ZEROS = bytes(1 << 20)
_SMALL_GROUP = 256 << 10

#: Stores the bytes of one file.
_Store = Callable[[memoryview], None]


def _files(directory: Path) -> _Store:
    """Each file for itself."""
    names = count()

    def store(content: memoryview) -> None:
        blake3(content).digest()
        name = f"{os.getpid()}-{next(names)}"
        file = os.open(directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        os.write(file, content)
        os.close(file)

    return store


class _Log:
    """One file to whose end everything is appended."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        self._end = 0
        self._lock = threading.Lock()

    def store(self, content: memoryview) -> None:
        digest = blake3(content).digest()
        with self._lock:
            self._end += os.pwritev(self._file, [digest, content], self._end)


class _Waiting:
    """A file that waits; `turn` is released when it is durable or its thread is to lead."""

    __slots__ = ("content", "leads", "turn")

    def __init__(self, content: memoryview) -> None:
        self.content = content
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()


class _DurableLog:
    """One segment to which all that wait are appended together, and synced once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        os.posix_fallocate(self._file, 0, _SEGMENT_SIZE)
        os.fsync(self._file)
        self._end = self._zeroed = 0
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._has_leader = False

    def store(self, content: memoryview) -> None:
        waiting = _Waiting(content)
        with self._lock:
            self._waiting.append(waiting)
            waiting.leads = not self._has_leader
            self._has_leader = True
        if not waiting.leads:
            waiting.turn.acquire()
        if waiting.leads:
            self._lead()

    def _lead(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting, []
        self._append([waiting.content for waiting in group])
        with self._lock:
            self._has_leader = bool(self._waiting)
            if self._has_leader:
                self._waiting[0].leads = True
                self._waiting[0].turn.release()
        for waiting in group[1:]:  # the first is this thread's own
            waiting.turn.release()

    def _append(self, contents: list[memoryview]) -> None:
        size = sum(map(len, contents))
        if self._end + size > _SEGMENT_SIZE:
            self._end = self._zeroed = 0
        os.pwritev(self._file, contents, self._end)
        self._end += size
        if self._end > self._zeroed and size <= _SMALL_GROUP:
            self._zeroed = self._end + os.pwrite(self._file, _ZEROS, self._end)
        os.fdatasync(self._file)


def _serve(connection: socket.socket, store: _Store) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(_BUFFER_SIZE))
    while header := connection.recv(8, socket.MSG_WAITALL):
        length = int.from_bytes(header, "big")
        received = 0
        while received < length:
            received += connection.recv_into(buffer[received:length])
        store(buffer[:length])
        connection.sendall(b"\0")


def main() -> None:
    port, directory, mode = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    listening = socket.create_server(("127.0.0.1", port), backlog=64)
    for _ in range((os.cpu_count() or 1) - 1):
        if not os.fork():
            # the child ends with its parent
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            break
    path = directory / f"log-{os.getpid()}"
    store = {
        "files": lambda: _files(directory),
        "log": lambda: _Log(path).store,
        "sync": lambda: _DurableLog(path).store,
    }[mode]()
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_serve, args=(connection, store), daemon=True).start()


if __name__ == "__main__":
    main()
