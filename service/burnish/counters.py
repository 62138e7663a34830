"""Ground: counters of one process in a file, so that they survive whatever ends the process.

The file is mapped into memory: to count is to change eight bytes, which the kernel keeps even if
the process is killed at that instant. The next process of the same name goes on with the file. Only
a power failure may take the counts of the last seconds.
"""

import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

#: The names of the counters of receivers, with their labels behind them.
RESPONSES = "store"  # AE title, status
RECEIVE_SECONDS = "receive"  # upper bound
ASSOCIATIONS = "association"  # AE title
REJECTIONS = "rejection"  # reason
#: The upper bounds, in seconds, of the times that it takes to receive an instance.
RECEIVE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_MAGIC = b"BURNISH COUNTS 1"
_SLOT = 128
#: A slot is so many numbers of 64 bits.
_PER_SLOT = _SLOT // 8
_SLOTS = 4096
_VALUES = struct.Struct("<Qd")
_LONGEST_KEY = _SLOT - _VALUES.size
_SEPARATOR = "\t"

#: The folder of the counters in the storage root.
COUNTERS_FOLDER = "counters"
#: The name of a counter and its labels, in an order that the name determines.
Key = tuple[str, ...]


class Counters:
    """The counters of this process; for several threads."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o770, parents=True, exist_ok=True)
        self._descriptor = _open_first_free(folder, name)
        size = _SLOT * _SLOTS
        if os.fstat(self._descriptor).st_size < size:
            os.ftruncate(self._descriptor, size)
        self._memory = mmap.mmap(self._descriptor, size)
        if self._memory[: len(_MAGIC)] != _MAGIC:
            self._memory[:] = bytes(size)
            self._memory[: len(_MAGIC)] = _MAGIC
        self._view = memoryview(self._memory)
        self._counts = self._view.cast("Q")
        self._amounts = self._view.cast("d")
        self._lock = threading.Lock()
        self._slots = {key: slot for slot, key, _, _ in _slots(self._memory)}

    def add(self, key: Key, amount: float = 0.0) -> None:
        """Count one more of `key`, and add `amount` to its sum."""
        with self._lock:
            self._add(key, amount)

    def add_two(self, first: Key, second: Key, amount: float) -> None:
        """Count one more of each, and add `amount` to the sum of `second`.

        So each instance that is received is counted: one lock less.
        """
        first_slot, second_slot = self._slots.get(first), self._slots.get(second)
        if first_slot is None or second_slot is None:
            self.add(first)
            self.add(second, amount)
            return
        counts = self._counts
        second_at = second_slot * _PER_SLOT
        with self._lock:
            counts[first_slot * _PER_SLOT] += 1
            counts[second_at] += 1
            self._amounts[second_at + 1] += amount

    def _add(self, key: Key, amount: float) -> None:
        slot = self._slots.get(key) or self._allocate(key)
        if slot is None:
            return
        at = slot * _PER_SLOT
        self._counts[at] += 1
        if amount:
            self._amounts[at + 1] += amount

    def _allocate(self, key: Key) -> int | None:
        """A slot for a new counter; None if there is no room for one more."""
        known = self._slots.get(key)
        if known is not None:
            return known
        slot = len(self._slots) + 1
        text = _SEPARATOR.join(key).encode()
        if slot >= _SLOTS or len(text) > _LONGEST_KEY:
            return None
        start = slot * _SLOT + _VALUES.size
        self._memory[start : start + len(text)] = text
        self._slots[key] = slot
        return slot

    def close(self) -> None:
        """Close the file; its counts stay."""
        self._counts.release()
        self._amounts.release()
        self._view.release()
        self._memory.close()
        os.close(self._descriptor)


def read_counters(folder: Path) -> dict[Key, tuple[int, float]]:
    """The counts and sums of all processes, of those that have ended too."""
    totals: dict[Key, tuple[int, float]] = {}
    for path in sorted(folder.glob("*.counts")):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if not content.startswith(_MAGIC):
            continue
        for _, key, count, amount in _slots(content):
            counted, summed = totals.get(key, (0, 0.0))
            totals[key] = counted + count, summed + amount
    return totals


def _slots(content: bytes | mmap.mmap) -> Iterator[tuple[int, Key, int, float]]:
    """The slots in use: number, key, count and sum."""
    for slot in range(1, len(content) // _SLOT):
        start = slot * _SLOT
        text = bytes(content[start + _VALUES.size : start + _SLOT]).rstrip(b"\0")
        if not text:
            return
        count, amount = _VALUES.unpack_from(content, start)
        yield slot, tuple(text.decode("utf-8", "replace").split(_SEPARATOR)), count, amount


def _open_first_free(folder: Path, name: str) -> int:
    """The file of this name, or, if another process counts in it, one with a number behind it."""
    number = 0
    while True:
        suffix = f"-{number}" if number else ""
        path = folder / f"{name}{suffix}.counts"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            os.close(descriptor)
            number += 1
