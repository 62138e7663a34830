"""`make crash`: kills at every step, faults at every write, power lost at every sync.

Run as `python tests/crash/run.py [kill|half|fault|power|service ...] [--every N]`; without names,
all. Prints what it does, and ends with 1 where anything did not hold.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]


say = partial(print, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1, help="only each Nth point")
    parser.add_argument("--points", type=int, default=0, help="only so many points")
    parser.add_argument("--folder", type=Path, help="where to work, default a temporary folder")
    given = parser.parse_args()
    from crash.steps import Steps, build

    if "CRASH_STEPS" not in os.environ:
        with tempfile.TemporaryDirectory(prefix="burnish-crash-", dir=given.folder) as folder:
            steps = Steps(Path(folder) / "control", build(Path(folder)))
            environment = {**os.environ, **steps.environment, "TMPDIR": folder}
            again = subprocess.run([sys.executable, *sys.argv], env=environment, check=False)
            sys.exit(again.returncode)
    from crash import campaigns

    steps = Steps.of_this_process()
    chosen = given.what or list(campaigns.CAMPAIGNS)
    broken = 0
    for name in chosen:
        broken += _run(name, campaigns.CAMPAIGNS[name](steps.path.parent, steps), given)
    sys.exit(bool(broken))


def _run(
    name: str, points: Iterator[tuple[str, Callable[[], None]]], given: argparse.Namespace
) -> int:
    begun, tried, broken = time.monotonic(), 0, 0
    every = 97 if given.points else given.every
    for number, (point, attempt) in enumerate(points):
        if number % every or (given.points and not number):
            continue
        if given.points and tried == given.points:
            break
        tried += 1
        try:
            attempt()
        except (AssertionError, pytest.fail.Exception) as fault:
            broken += 1
            say(f"{name}: {point}: {fault}")
        if tried % 25 == 0:
            say(f"{name}: {tried} points, {broken} faults")
    seconds = time.monotonic() - begun
    say(f"{name}: {tried} points, {broken} faults, {seconds:.0f} s")
    return broken


if __name__ == "__main__":
    main()
