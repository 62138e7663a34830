"""Ground: how a process sleeps until something was committed.

One process looks, twenty times a second, and wakes those that wait. What it looks at needs no
connection: SQLite counts transactions in the index of its write-ahead log, which all connections
share (https://www.sqlite.org/walformat.html, 2.1).
"""

import os
import select
import threading
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

#: Seconds between two looks whether anything was committed.
LOOK = 0.05
#: One of the two headers of the index.
_HEADER = 48


class Bell:
    """Wakes one process, which may have been started anew since the bell was made."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)

    def ring(self) -> None:
        """Also from a signal handler. Who is told twice before it listens is told once."""
        with suppress(BlockingIOError):
            os.write(self._rung, b"\0")

    def wait(self, seconds: float) -> None:
        """Returns once the bell has rung since the last wait, or when the time is over."""
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        if poll.poll(seconds * 1000):
            with suppress(BlockingIOError):
                os.read(self._heard, 1 << 16)


def rest(bell: Bell | None, stopping: threading.Event, seconds: float) -> None:
    """Waits for so long at most; where nobody rings, only until it is time to look again."""
    if bell is None:
        stopping.wait(min(seconds, LOOK))
    elif not stopping.is_set():
        bell.wait(seconds)


class Commits:
    """Whether anything was committed, for a process without a connection to the database."""

    def __init__(self, url: str) -> None:
        path = make_url(url).database if url.startswith("sqlite") else None
        self._index = Path(f"{path}-shm") if path else None
        self._seen = b""

    @property
    def can_be_seen(self) -> bool:
        """Whether the database is one where that can be known."""
        return self._index is not None

    def changed(self) -> bool:
        """Whether something may have been committed since this was last asked."""
        header = self._header()
        changed, self._seen = header != self._seen, header
        return changed

    def _header(self) -> bytes:
        try:
            descriptor = os.open(str(self._index), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""  # nobody has opened the database
        try:
            return os.pread(descriptor, _HEADER, 0)
        finally:
            os.close(descriptor)
