"""A folder device that does what a test tells it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.burn.burner import BurnJob, BurnResult
from burnish.burn.folder import FolderBurner


class ScriptedBurner(FolderBurner):
    """A folder device with results that a test sets and callbacks at each step.

    `ready`: what `state` returns instead of the state of the folder. `results`: the results of the
    next writes, which then write nothing; after them each write succeeds.
    """

    def __init__(self, name: str, *, directory: Path) -> None:
        super().__init__(name, directory=directory)
        self.ready: BurnResult | None = None
        self.results: list[BurnResult] = []
        self.before_write: Callable[[BurnJob], None] = lambda _: None
        self.after_write: Callable[[Path], None] = lambda _: None
        self.before_publish: Callable[[BurnJob], None] = lambda _: None

    def state(self) -> BurnResult:
        return self.ready or super().state()

    def write(self, job: BurnJob, progress: Any = None, tell: Any = None) -> BurnResult:
        self.before_write(job)
        if self.results:
            return self.results.pop(0)
        result = super().write(job, progress, tell)
        self.after_write(self.written(job))
        return result

    def publish(self, job: BurnJob) -> Path:
        self.before_publish(job)
        return super().publish(job)
