"""`make crash`: kills at every step, faults at every write, power lost at every sync.

    python tests/crash/run.py [CAMPAIGN ...] [--every N]       all points, or each Nth
    python tests/crash/run.py [CAMPAIGN ...] --sample 30       points chosen by chance
    python tests/crash/run.py CAMPAIGN --point NAME            one point again

Names are those of campaigns (`stick-power`), of all that is disturbed in one way (`power`), or of
one thing disturbed in all ways (`stick`); without names, all are run. Prints what it does, and ends
with 1 where anything did not hold.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]


say = partial(print, flush=True)
#: Campaigns that are left out of samples: a point of them takes seconds.
_SLOW = ("service",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1, help="only each Nth point")
    parser.add_argument("--point", default="", help="only the point of this name")
    parser.add_argument("--sample", type=int, default=0, help="only so many points, by chance")
    parser.add_argument(
        "--seed", type=int, help="the seed of the sample, default another each time"
    )
    parser.add_argument("--cpu", type=float, default=0, help="end a sample after so many seconds")
    parser.add_argument("--folder", type=Path, help="where to work, default a temporary folder")
    arguments = parser.parse_args()
    from crash.steps import Steps, build

    if "CRASH_STEPS" not in os.environ:
        with tempfile.TemporaryDirectory(prefix="burnish-crash-", dir=arguments.folder) as folder:
            steps = Steps(Path(folder) / "control", build(Path(folder)))
            environment = {**os.environ, **steps.environment, "TMPDIR": folder}
            again = subprocess.run([sys.executable, *sys.argv], env=environment, check=False)
            sys.exit(again.returncode)
    from crash import campaigns

    names = campaigns.chosen(arguments.campaigns)
    if not names:
        parser.error(f"campaigns are: {', '.join(campaigns.CAMPAIGNS)}")
    run = Run(arguments)
    if arguments.sample:
        run.sample([name for name in names if name not in _SLOW])
    else:
        for name in names:
            run.campaign(name)
    sys.exit(bool(run.broken))


class Run:
    """The points that are tried, and how many of them showed a fault."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from crash.steps import Steps

        self._arguments = arguments
        self._steps = Steps.of_this_process()
        self.tried = self.broken = 0

    def campaign(self, name: str) -> None:
        """Try every point of a campaign, or each Nth, or the one that was asked for."""
        begun, before = time.monotonic(), (self.tried, self.broken)
        for number, (point, attempt) in enumerate(self._points(name)):
            if number % self._arguments.every or self._arguments.point not in ("", point):
                continue
            self._try(name, point, attempt)
            if self.tried % 100 == 0:
                say(f"{name}: {self.tried - before[0]} points, {self.broken - before[1]} faults")
        seconds = time.monotonic() - begun
        tried, broken = self.tried - before[0], self.broken - before[1]
        say(f"{name}: {tried} points, {broken} faults, {seconds:.0f} s")

    def sample(self, names: list[str]) -> None:
        """Try points chosen by chance from the whole range of these campaigns."""
        seed = self._arguments.seed
        if seed is None:
            seed = int.from_bytes(os.urandom(4))
        say(f"seed {seed}")
        chance = random.Random(seed)
        for name, count in drawn_campaigns(seed, names, self._arguments.sample).items():
            points = list(self._points(name))
            for point, attempt in chance.sample(points, min(count, len(points))):
                if self._arguments.cpu and _cpu_seconds() > self._arguments.cpu:
                    say(f"{self.tried} points, {self.broken} faults, the time is used up")
                    return
                if not self._try(name, point, attempt):
                    names = " ".join(self._arguments.campaigns)
                    size = self._arguments.sample
                    say(f"the whole sample again: run.py {names} --sample {size} --seed {seed}")
        say(f"{self.tried} points, {self.broken} faults")

    def _points(self, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
        from crash import campaigns

        for point in campaigns.CAMPAIGNS[name](self._steps.path.parent, self._steps):
            yield point.name, point.attempt

    def _try(self, name: str, point: str, attempt: Callable[[], object]) -> bool:
        self.tried += 1
        try:
            attempt()
        except (AssertionError, pytest.fail.Exception) as fault:
            problem = str(fault)
        except Exception:  # noqa: BLE001  the other points are tried as well
            problem = traceback.format_exc()[-1500:]
        else:
            return True
        self.broken += 1
        say(f"{name}: {point}: {problem}")
        say(f"this point again: python tests/crash/run.py {name} --point '{point}'")
        return False


def drawn_campaigns(seed: int, names: list[str], size: int) -> dict[str, int]:
    """How many points of which campaigns a sample of this size has."""
    return dict(sorted(Counter(random.Random(seed).choices(names, k=size)).items()))


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
