"""What `make crash` goes through: the points of each campaign, and what is tried at each.

The name of a campaign is that of the life (or of the operation on the database) that is disturbed,
and that of the disturbance: `stick-power`.
"""

import errno
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from crash import interrupted, service
from crash.interrupted import Operation
from crash.life import new_root
from crash.making import LIVES, new_template
from crash.migration import Upgrade
from crash.rebuilding import REBUILDINGS, Backup
from crash.steps import FAILURES, Steps, is_write
from crash.sweep import Point, Sweep
from crash.upkeep import UPKEEP

Points = Iterator[Point]


def _sweep(folder: Path, steps: Steps, life: str, *, begun: bool = True) -> Sweep:
    if life != "receive":
        template = folder / life
        kind = LIVES[life]
        if not template.is_dir():
            new_template(template, kind)
        return Sweep(folder, template, steps, kind)
    template = folder / ("receive" if begun else "receive-new")
    if not template.is_dir():
        new_root(template, begun=begun)
    return Sweep(folder, template, steps)


def kill(folder: Path, steps: Steps, *, life: str, half: bool = False) -> Points:
    """SIGKILL before every step; with `half`, in the middle of every write."""
    sweep = _sweep(folder, steps, life)
    for step, place in enumerate(sweep.places(), 1):
        if not half or is_write(place):
            yield Point(f"step {step}", partial(sweep.kill_at, step, half=half), place)


def fault(folder: Path, steps: Steps, *, life: str, reads: bool = False) -> Points:
    """A disk that is full, broken or read-only from each step on, or at that step alone."""
    sweep = _sweep(folder, steps, life)
    errors = (errno.EIO,) if reads else FAILURES
    for step, place in enumerate(sweep.places(reads=reads), 1):
        for error in errors:
            for once in (True, False):
                failure = f"{errno.errorcode[error]}{' once' if once else ''}"
                attempt = partial(sweep.fail_at, step, error, once=once, reads=reads)
                yield Point(f"step {step} {failure}", attempt, f"{failure}: {place}")


def power(folder: Path, steps: Steps, *, life: str) -> Points:
    """The power fails before every sync and after every promise, on a root that is new."""
    return _sweep(folder, steps, life, begun=False).losses()


_DISTURBANCES: dict[str, Callable[..., Points]] = {
    "kill": kill,
    "half": partial(kill, half=True),
    "power": power,
    "fault": fault,
    "read": partial(fault, reads=True),
}
_OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "backup": (Backup(),),
    "rebuilding": REBUILDINGS,
    "upgrade": (Upgrade(),),
    "upkeep": UPKEEP,
}
CAMPAIGNS: dict[str, Callable[[Path, Steps], Points]] = {
    **{
        f"{life}-{name}": partial(disturbance, life=life)
        for life in ("receive", *LIVES)
        for name, disturbance in _DISTURBANCES.items()
    },
    **{
        f"{name}-{disturbance}": partial(
            interrupted.points, operations=operations, disturbance=disturbance
        )
        for name, operations in _OPERATIONS.items()
        for disturbance in ("kill", "half", "power", "fault")
    },
    "service": service.points,
}


def chosen(names: list[str]) -> list[str]:
    """The campaigns of these names; a part of a name, as `stick` or `kill`, names several."""
    if not names:
        return [*CAMPAIGNS]
    return [campaign for campaign in CAMPAIGNS if {campaign, *campaign.rsplit("-", 1)} & set(names)]
