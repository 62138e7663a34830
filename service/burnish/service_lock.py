"""Ground: the locks that tell whether a service runs on a storage root."""

import fcntl
import os
from pathlib import Path

#: The lock that every process of a service holds.
SERVE = "serve"


def path_of(root: Path, name: str) -> Path:
    """The file of a lock."""
    return root / f".{name}.lock"


def is_serving(root: Path) -> bool:
    """Whether a service runs on this storage root."""
    try:
        descriptor = os.open(path_of(root, SERVE), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
