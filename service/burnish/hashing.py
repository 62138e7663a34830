"""Ground: digests, which tell whether bytes are still those that were received.

A digest is kept as text with the name of its algorithm, `blake3:` and 64 hexadecimal digits, so
that what was received under one algorithm can be examined after another has taken its place.
BLAKE3 is as hard to deceive as SHA-256 and takes a fifth of its time.
"""

import hashlib
from typing import Protocol

from blake3 import blake3


class Hasher(Protocol):
    """A digest that is being made."""

    @property
    def name(self) -> str: ...

    def update(self, data: bytes | bytearray | memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


def new_hasher() -> Hasher:
    """A digest of nothing yet, by the algorithm of what is received today."""
    return blake3()


def hasher_like(digest: str) -> Hasher:
    """A digest of nothing yet, to be compared with `digest` at the end."""
    return hashlib.sha256() if digest.startswith("sha256:") else blake3()


def digest_of(data: bytes | memoryview) -> str:
    """The digest of data that is all there, by the algorithm of today, as it is kept."""
    return digest_text(blake3(data))


def digest_text(made: Hasher) -> str:
    """The digest as it is kept."""
    return f"{made.name}:{made.hexdigest()}"
