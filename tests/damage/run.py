"""`make fuzz-files`: damaged files by the thousand through every reader of files.

Run as `python tests/damage/run.py [header|convert|...] [--count N] [--seed N]`; without names,
all readers. Ends with 1 where one gave an answer that it may not give.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

say = partial(print, flush=True)


def main() -> None:
    from damage.mutations import bombs, inputs
    from damage.readers import readers
    from damage.trial import attempt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--count", type=int, default=2000, help="damaged files for each reader")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    broken = 0
    with tempfile.TemporaryDirectory(prefix="burnish-damage-") as name:
        folder = Path(name)
        every = readers(folder)
        for what in given.what or every:
            reader, begun = every[what], time.monotonic()
            tried = [*bombs(), *inputs(reader.seeds(), given.count, given.seed)]
            faults = attempt(reader, tried, folder)
            broken += len(faults)
            for fault in faults:
                say(f"{what}: {fault}")
            seconds = time.monotonic() - begun
            say(f"{what}: {len(tried)} files, {len(faults)} faults, {seconds:.0f} s")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
