"""Ground: instances on storage, written whole or not at all."""

import ctypes
import errno
import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

from burnish.errors import OutOfResources

#: What a disk says that is full or fails: work waits for it, and goes on by itself.
DISK_FAILS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
_BUCKETS = 256
_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class Spool:
    """The spool below `root`: `incoming/` for what is arriving, `instances/` for what has arrived.

    A file's key is random, never anything a peer sent. With `durable`, `publish` returns when the
    files are on disk under their final names; without it, when they are in the page cache. What
    comes is refused from `high_water` of the disk on, until no more than `low_water` is in use.
    """

    def __init__(
        self, root: Path, *, durable: bool, high_water: float = 1.0, low_water: float = 1.0
    ) -> None:
        self._durable = durable
        self._high_water = high_water
        self._low_water = min(low_water, high_water)
        self._looked = -60.0
        self._full = False
        self.incoming = root / "incoming"
        self.instances = root / "instances"
        # joined as text, since a Path costs as much as the system call it is made for
        self._incoming, self._instances = f"{self.incoming}/", f"{self.instances}/"
        new = not self.incoming.is_dir()
        for number in range(_BUCKETS):
            (self.instances / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        if durable and new:
            for folder in (self.instances, root, root.parent):
                _sync(folder)
        self.incoming.mkdir(exist_ok=True)
        # open before the first byte is written, and kept: what the disk did not take is said once
        # to each descriptor, and not to one opened after another process was told
        self._folder = os.open(self.instances, os.O_RDONLY)
        weakref.finalize(self, os.close, self._folder)

    def new_key(self) -> str:
        return os.urandom(12).hex()

    def arriving(self, key: str) -> Path:
        """Where the bytes of `key` lie until they are published."""
        return Path(self._incoming + key)

    def create(self, key: str) -> int:
        """A descriptor to write the bytes of `key` to."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        return os.open(self._incoming + key, flags, 0o640)

    def path(self, key: str) -> Path:
        """Where the published file of `key` lies."""
        return Path(f"{self._instances}{key[:2]}/{key}")

    def check_room(self) -> None:
        """Raises OutOfResources above high water, and until low water; looks once a second."""
        now = monotonic()
        if now - self._looked >= 1.0:
            try:
                usage = shutil.disk_usage(self.incoming)
            except OSError as error:
                raise OutOfResources(f"the spool does not answer: {error.strerror}") from None
            used = usage.used / usage.total
            self._full = used > self._low_water if self._full else used >= self._high_water
            self._looked = now
        if self._full:
            raise OutOfResources("the disk of the spool is above high water")

    def publish(self, keys: Sequence[str]) -> None:
        """Makes a group of arrived files durable under their final names, with few syncs."""
        for key in keys:
            os.rename(self._incoming + key, f"{self._instances}{key[:2]}/{key}")
        if not self._durable:
            return
        if len(keys) == 1 or _SYNCFS is None:
            for key in keys:
                _sync(self.path(key))
            for bucket in {key[:2] for key in keys}:
                _sync(self.instances / bucket)
            return
        if _SYNCFS(self._folder) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")

    def remove(self, key: str) -> None:
        """Removes a file of the spool, arrived or arriving; nothing happens where there is none."""
        self.arriving(key).unlink(missing_ok=True)
        self.path(key).unlink(missing_ok=True)

    def published_keys(self) -> Iterator[str]:
        """The key of every published file."""
        for bucket in sorted(self.instances.iterdir()):
            with os.scandir(bucket) as files:
                yield from (file.name for file in files)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
