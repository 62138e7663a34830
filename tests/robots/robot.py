"""What the simulated robots have in common: a queue, bins of blanks, and planned faults.

They behave as the makers describe the job files, and keep every disc they ever touched, so that a
test can count them. Each can be run by hand on a folder that Burnish is configured for.
"""

import argparse
import random
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Self


@dataclass(eq=False)
class Robot:
    """A robot that takes jobs from `folder`. It knows `exchange` as `seen_as`.

    `faults` has one entry for each of the next discs: "ruin" or "verify" reject the disc, "label",
    "large" or "cancel" the job, "forget" loses the job and the disc, "" is no fault. `blanks` is
    the number of blanks in the bins.
    """

    folder: Path
    exchange: Path
    seen_as: str = ""
    blanks: int = 1000
    faults: list[str] = field(default_factory=list)
    chance: float = 0.0
    paused: bool = False
    running: bool = True
    #: Job names in the order in which a blank was taken for each, and those that came out good.
    touched: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)
    discs: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._random = random.Random(7)

    def step(self) -> None:
        """Advances the jobs by one step."""
        raise NotImplementedError

    def start(self, every: float = 0.02) -> Self:
        def run() -> None:
            while not self._stopping.wait(every):
                if self.running:
                    self.step()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def here(self, path: str) -> Path:
        """The path on this computer of a file that a job file names."""
        if self.seen_as and path.startswith(self.seen_as):
            relative = PureWindowsPath(path[len(self.seen_as) :].lstrip("\\/"))
            return self.exchange.joinpath(*relative.parts)
        return Path(path)

    def next_fault(self) -> str:
        if self.faults:
            return self.faults.pop(0)
        return "ruin" if self._random.random() < self.chance else ""

    def rename(self, name: str, old: str, new: str) -> None:
        (self.folder / f"{name}{old}").rename(self.folder / f"{name}{new}")

    def publish(self, path: Path, text: str) -> None:
        """Writes a status file in one step."""
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".tmp")
        part.write_text(text, encoding="cp1252")
        part.replace(path)


def by_hand(kind: type[Robot]) -> None:
    """Runs a robot until it is interrupted."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("folder", type=Path, help="the folder of jobs")
    parser.add_argument("exchange", type=Path)
    parser.add_argument("--seen-as", default="")
    parser.add_argument("--blanks", type=int, default=50)
    parser.add_argument("--every", type=float, default=2.0, help="seconds for each step")
    parser.add_argument("--chance", type=float, default=0.0, help="of a disc to be ruined")
    arguments = parser.parse_args()
    robot = kind(
        arguments.folder,
        arguments.exchange,
        arguments.seen_as,
        blanks=arguments.blanks,
        chance=arguments.chance,
    )
    robot.start(arguments.every)
    printed = 0
    try:
        while True:
            robot._stopping.wait(arguments.every)
            for name in robot.touched[printed:]:
                how = "good" if name in robot.good else "rejected"
                sys.stdout.write(f"{name} {how}, {robot.blanks} left\n")
            printed = len(robot.touched)
    except KeyboardInterrupt:
        robot.stop()
