"""What `make crash` goes through: for each campaign its points, and what is tried at each."""

import errno
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from crash import migration, rebuilding, service
from crash.life import new_root
from crash.steps import FAILURES, Steps
from crash.sweep import Sweep

Points = Iterator[tuple[str, Callable[[], object]]]


def _sweep(folder: Path, steps: Steps, *, begun: bool = True) -> Sweep:
    template = folder / ("template" if begun else "new")
    if not template.is_dir():
        new_root(template, begun=begun)
    return Sweep(folder, template, steps)


def kill(folder: Path, steps: Steps, *, half: bool = False) -> Points:
    """SIGKILL before every step; with `half`, in the middle of every write."""
    sweep = _sweep(folder, steps)
    for step in range(1, sweep.count() + 1):
        yield f"step {step}", partial(sweep.kill_at, step, half=half)


def fault(folder: Path, steps: Steps, *, reads: bool = False) -> Points:
    """A disk that is full, broken or read-only from each step on, or at that step alone."""
    sweep = _sweep(folder, steps)
    errors = (errno.EIO,) if reads else FAILURES
    for step in range(1, sweep.count(reads=reads) + 1):
        for error in errors:
            for once in (True, False):
                name = f"step {step} {errno.errorcode[error]}{' once' if once else ''}"
                yield name, partial(sweep.fail_at, step, error, once=once, reads=reads)


def power(folder: Path, steps: Steps) -> Points:
    """The power fails before every sync and after every promise, on a root that is new."""
    return _sweep(folder, steps, begun=False).losses()


CAMPAIGNS: dict[str, Callable[[Path, Steps], Points]] = {
    "kill": kill,
    "half": partial(kill, half=True),
    "power": power,
    "fault": fault,
    "read": partial(fault, reads=True),
    "migration": migration.points,
    "rebuilding": rebuilding.points,
    "service": service.points,
}
