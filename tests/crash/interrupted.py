"""Operations of an administrator on a storage root, disturbed at each step, then repeated."""

import errno
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from burnish.errors import BurnishError
from crash.power import Disk, Tree, lay_out, moments
from crash.steps import FAILURES, Steps, is_write
from crash.sweep import Point, Replay, in_child


class Operation(Protocol):
    """An operation that is done completely or not at all."""

    name: str

    def prepare(self, root: Path) -> None:
        """Make the root on which it is done."""
        ...

    def act(self, root: Path) -> None:
        """Do it; raises BurnishError or OSError if the disk fails."""
        ...

    def check(self, root: Path, *, done: bool) -> None:
        """Check the root after it was `done`, or after it was interrupted."""
        ...


class Interrupted:
    """An operation that is done on copies of a root in `folder`, and disturbed there."""

    def __init__(self, folder: Path, steps: Steps, operation: Operation) -> None:
        self._steps, self._operation = steps, operation
        name = operation.name.replace(", ", "-").replace(" ", "-")
        self._template, self.root = folder / f"{name}-template", folder / name
        if not self._template.is_dir():
            self._template.mkdir(parents=True)
            operation.prepare(self._template)

    def fresh(self) -> None:
        """The root as it was before the operation."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._template, self.root)

    def places(self) -> list[str]:
        """The place of each step of the operation."""
        self.fresh()
        self._steps.watch(self.root, places=True)
        self._run(partial(self._operation.act, self.root))
        places = self._steps.places()
        self._steps.forget()
        self._check(done=True)
        return places

    def kill_at(self, step: int, *, half: bool = False) -> None:
        """End the operation before this step, or in the middle of it if it writes."""
        self.fresh()
        self._steps.watch(self.root)
        self._steps.kill_at(step, half=half)
        code, text = in_child(partial(self._operation.act, self.root))
        self._steps.forget()
        assert code in (0, -signal.SIGKILL), text
        self._check(done=code == 0)

    def fail_at(self, step: int, error: int, *, once: bool) -> None:
        """Have the disk fail at this step, or from there on; the operation reports it."""
        self.fresh()
        self._steps.watch(self.root)
        self._steps.fail(error, first=step, last=step if once else 1 << 62)
        code, text = in_child(self._try)
        self._steps.forget()
        assert code in (0, _REPORTED), text
        self._check(done=code == 0)

    def _try(self) -> None:
        try:
            self._operation.act(self.root)
        except (BurnishError, OSError):
            self._steps.heal()
            raise SystemExit(_REPORTED) from None

    def losses(self) -> Iterator[Point]:
        """Each moment at which the power may fail, and each state of the disk that may follow."""
        self.fresh()
        template = Disk(self.root)
        self._steps.watch(self.root, log=True, places=True)
        self._run(partial(self._operation.act, self.root))
        replay = Replay(template, self._steps.log(), self._steps.places())
        self._steps.forget()
        states: dict[str, Callable[[Disk], Tree]] = {"least": Disk.least, "hollow": Disk.hollow}
        for moment in moments(replay.records):
            states["by chance"] = partial(Disk.by_chance, seed=moment)
            for state, tree in states.items():
                lose = partial(self._lose, replay, moment, tree)
                name, place = self._operation.name, replay.place(moment)
                yield Point(f"{name}, record {moment}, {state}", lose, f"{name}, {state}: {place}")

    def _lose(self, replay: Replay, moment: int, tree: Callable[[Disk], Tree]) -> None:
        lay_out(tree(replay.at(moment)), self.root)
        self._check(done=moment == len(replay.records))

    def _check(self, *, done: bool) -> None:
        """Check the root, do the operation again where it was interrupted, and check again."""
        self._run(partial(self._operation.check, self.root, done=done))
        if not done:
            self._run(partial(self._operation.act, self.root))
            self._run(partial(self._operation.check, self.root, done=True))

    def _run(self, act: Callable[[], None]) -> None:
        code, text = in_child(act)
        assert code == 0, text


#: The exit code of a process in which an operation reported that the disk failed.
_REPORTED = 9


def points(
    folder: Path, steps: Steps, *, operations: tuple[Operation, ...], disturbance: str
) -> Iterator[Point]:
    """The points of several operations, all disturbed in one way."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for operation in operations:
        interrupted = Interrupted(folder, steps, operation)
        if disturbance == "power":
            yield from interrupted.losses()
            continue
        for step, step_place in enumerate(interrupted.places(), 1):
            name, place = f"{operation.name}, step {step}", f"{operation.name}: {step_place}"
            if disturbance == "fault":
                yield from _failures(interrupted, name, step, place)
            elif disturbance == "kill":
                yield Point(name, partial(interrupted.kill_at, step), place)
            elif is_write(step_place):
                yield Point(name, partial(interrupted.kill_at, step, half=True), place)


def _failures(interrupted: Interrupted, name: str, step: int, place: str) -> Iterator[Point]:
    for number in FAILURES:
        for once in (True, False):
            attempt = partial(interrupted.fail_at, step, number, once=once)
            failure = f"{errno.errorcode[number]}{' once' if once else ''}"
            yield Point(f"{name} {failure}", attempt, f"{failure}: {place}")
