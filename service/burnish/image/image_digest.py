"""Craft: the SHA-256 of an image, taken while the image is written and read back."""

import hashlib
import os
import threading
from pathlib import Path

from burnish.errors import Unreadable
from burnish.image.file_extents import CHUNK


class ImageHashing:
    """Hashes one image in a thread of its own, as far behind its writer as it has to be.

    Hashing takes longer than writing and reading back, so it begins with the first bytes.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._written = 0
        self._size = -1
        self._abandoned = False
        self._error: OSError | None = None
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def follow(self, path: Path, written: int) -> None:
        """The image at `path` has so many bytes from its start that no longer change."""
        if self._thread is None:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._thread = threading.Thread(
                target=self._hash, args=(descriptor,), name="digest", daemon=True
            )
            self._thread.start()
        with self._change:
            self._written = written
            self._change.notify()

    def complete(self, path: Path, size: int) -> None:
        """All of the image is there."""
        self._size = size
        self.follow(path, size)

    def abandon(self) -> None:
        """There will be no image."""
        with self._change:
            self._abandoned = True
            self._change.notify()

    def sha256(self) -> str:
        """In hexadecimal digits, once it is complete; raises Unreadable."""
        assert self._thread is not None  # noqa: S101
        self._thread.join()
        if self._error is not None:
            raise Unreadable(f"the image cannot be read: {self._error.strerror}")
        return self._digest.hexdigest()

    def _hash(self, descriptor: int) -> None:
        buffer = memoryview(bytearray(CHUNK))
        done = 0
        try:
            while not self._is_at_end(done):
                count = os.preadv(descriptor, [buffer[: self._written - done]], done)
                if not count:
                    raise OSError(0, "it ends before its end")
                self._digest.update(buffer[:count])
                done += count
        except OSError as error:
            self._error = error
        finally:
            os.close(descriptor)

    def _is_at_end(self, done: int) -> bool:
        """Whether there is nothing more to hash; waits while there may be."""
        with self._change:
            while done == self._written != self._size and not self._abandoned:
                self._change.wait()
            return self._abandoned or done == self._size
