"""`make crash`: kills at every step, faults at every write, power lost at every sync.

    python tests/crash/run.py [CAMPAIGN ...]                   every place, once
    python tests/crash/run.py [CAMPAIGN ...] --per-place N     every place, N times
    python tests/crash/run.py [CAMPAIGN ...] --from CAMPAIGN   every place that none before it had
    python tests/crash/run.py [CAMPAIGN ...] --every N         each Nth point; with 1, all points
    python tests/crash/run.py [CAMPAIGN ...] --sample 30       points chosen by chance
    python tests/crash/run.py CAMPAIGN --point NAME            one point again

Names are those of campaigns (`stick-power`), of all that is disturbed in one way (`power`), or of
one thing disturbed in all ways (`stick`); without names, all are run.

A point is one step of one run, disturbed in one way. Its place is what the step does to which kind
of file, the calls within Burnish that lead to it (functions and lines), and the disturbance. A loop
has many points at one place. Which of them are tried is chosen by the seed, anew in each run. First
come the places that no earlier campaign had, then those that another campaign has had as well.

Prints what it does, and ends with 1 where anything did not hold. An interrupt (Ctrl-C) ends it
early; it then prints how many of the places were tried.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from crash.sweep import Point

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]


say = partial(print, flush=True)
#: Campaigns that are left out of samples: a point of them takes seconds.
_SLOW = ("service",)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaigns", nargs="*", default=[])
    parser.add_argument(
        "--per-place", type=int, default=1, help="how many points of each place, default 1"
    )
    parser.add_argument(
        "--from",
        dest="first",
        default="",
        metavar="CAMPAIGN",
        help="go on with this campaign; what those before it share with it counts as tried",
    )
    parser.add_argument("--count", action="store_true", help="only count points and places")
    parser.add_argument("--every", type=int, default=0, help="each Nth point, whatever its place")
    parser.add_argument("--point", default="", help="only the point of this name")
    parser.add_argument("--sample", type=int, default=0, help="only so many points, by chance")
    parser.add_argument(
        "--seed", type=int, help="the seed of the choice, default another each time"
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
    if arguments.first and arguments.first not in names:
        parser.error(f"--from names one of the chosen campaigns: {', '.join(names)}")
    if arguments.seed is None:
        arguments.seed = int.from_bytes(os.urandom(4))
    run = Run(arguments)
    if arguments.sample:
        run.sample([name for name in names if name not in _SLOW])
    elif arguments.every or arguments.point:
        for name in names:
            run.campaign(name)
    else:
        run.places(names)
    sys.exit(bool(run.broken))


@dataclass
class Share:
    """How much of a campaign was tried."""

    points: int = 0
    places: int = 0
    tried: int = 0
    faults: int = 0
    #: Its places that no campaign before it had.
    new: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.points} points, {self.places} places, "
            f"{self.tried} points tried, {self.faults} faults"
        )


class Run:
    """The points that are tried, and how many of them showed a fault."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from crash.steps import Steps

        self._arguments = arguments
        self._steps = Steps.of_this_process()
        self.tried = self.broken = 0

    def campaign(self, name: str) -> None:
        """Try every Nth point of a campaign, or the one that was asked for."""
        begun, before = time.monotonic(), (self.tried, self.broken)
        for number, point in enumerate(self._points(name)):
            if self._arguments.point:
                if point.name != self._arguments.point:
                    continue
            elif number % self._arguments.every:
                continue
            self._try(name, point)
            if self.tried % 100 == 0:
                say(f"{name}: {self.tried - before[0]} points, {self.broken - before[1]} faults")
        seconds = time.monotonic() - begun
        tried, broken = self.tried - before[0], self.broken - before[1]
        say(f"{name}: {tried} points, {broken} faults, {seconds:.0f} s")

    def places(self, names: list[str]) -> None:
        """Try points of every place of these campaigns."""
        say(f"seed {self._arguments.seed}")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        shares = {name: Share() for name in names}
        seen: set[str] = set()
        begun = time.monotonic()
        first = names.index(self._arguments.first) if self._arguments.first else 0
        for name in names[:first]:
            disturbance = _disturbance(name)
            seen.update(f"{disturbance}: {place}" for place in points_by_place(self._points(name)))
        try:
            for new_ones in (True, False):
                for name in names[first:]:
                    self._try_places(name, shares[name], seen, new_ones=new_ones)
        except KeyboardInterrupt:
            say("interrupted")
        for name, share in shares.items():
            say(f"{name}: {share}")
        points = sum(share.points for share in shares.values())
        places = sum(share.places for share in shares.values())
        say(f"{Share(points, places, self.tried, self.broken)}, {time.monotonic() - begun:.0f} s")

    def _try_places(self, name: str, share: Share, seen: set[str], *, new_ones: bool) -> None:
        """Try the places of a campaign that no campaign before it had, or then the others."""
        by_place = points_by_place(self._points(name))
        share.points = sum(len(points) for points in by_place.values())
        share.places = len(by_place)
        if self._arguments.count:
            return
        disturbance = _disturbance(name)
        chance = random.Random(f"{self._arguments.seed} {name}")
        for place, points in by_place.items():
            chosen = chance.sample(points, min(self._arguments.per_place, len(points)))
            if new_ones:
                known = f"{disturbance}: {place}"
                if known in seen:
                    continue
                seen.add(known)
                share.new.add(place)
            elif place in share.new:
                continue
            for point in chosen:
                share.tried += 1
                if not self._try(name, point):
                    share.faults += 1
            if share.tried % 100 == 0:
                say(f"{name}: {share}")

    def sample(self, names: list[str]) -> None:
        """Try points chosen by chance from the whole range of these campaigns."""
        seed = self._arguments.seed
        say(f"seed {seed}")
        chance = random.Random(seed)
        for name, count in drawn_campaigns(seed, names, self._arguments.sample).items():
            by_place = points_by_place(self._points(name))
            for place in chance.sample(sorted(by_place), min(count, len(by_place))):
                if self._arguments.cpu and _cpu_seconds() > self._arguments.cpu:
                    say(f"{self.tried} points, {self.broken} faults, the time is used up")
                    return
                if not self._try(name, chance.choice(by_place[place])):
                    names = " ".join(self._arguments.campaigns)
                    size = self._arguments.sample
                    say(f"the whole sample again: run.py {names} --sample {size} --seed {seed}")
        say(f"{self.tried} points, {self.broken} faults")

    def _points(self, name: str) -> "Iterator[Point]":
        from crash import campaigns

        return campaigns.CAMPAIGNS[name](self._steps.path.parent, self._steps)

    def _try(self, name: str, point: "Point") -> bool:
        self.tried += 1
        try:
            point.attempt()
        except (AssertionError, pytest.fail.Exception) as fault:
            problem = str(fault)
        except Exception:  # noqa: BLE001  the other points are tried as well
            problem = traceback.format_exc()[-1500:]
        else:
            return True
        self.broken += 1
        say(f"{name}: {point.name}: {problem}")
        say(f"its place: {point.place}")
        say(f"this point again: python tests/crash/run.py {name} --point '{point.name}'")
        return False


def _disturbance(name: str) -> str:
    return name.rpartition("-")[2]


def points_by_place(points: "Iterable[Point]") -> "dict[str, list[Point]]":
    """The points of a campaign by their places, in the order in which these come first.

    A point without a place is a place of its own.
    """
    by_place: dict[str, list[Point]] = {}
    for point in points:
        by_place.setdefault(point.place or point.name, []).append(point)
    return by_place


def drawn_campaigns(seed: int, names: list[str], size: int) -> dict[str, int]:
    """How many points of which campaigns a sample of this size has."""
    return dict(sorted(Counter(random.Random(seed).choices(names, k=size)).items()))


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
