"""`make fuzz-files`: thousands of damaged files through every reader of files.

Run as `python tests/damage/run.py [header|convert|...] [--count N] [--seed N]`; without names,
all readers. Exits with 1 if a reader gave an answer that it may not give.
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
    parser.add_argument("readers", nargs="*", default=[])
    parser.add_argument("--count", type=int, default=2000, help="damaged files for each reader")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fault_count = 0
    with tempfile.TemporaryDirectory(prefix="burnish-damage-") as name:
        folder = Path(name)
        all_readers = readers(folder)
        for reader_name in arguments.readers or all_readers:
            reader, started = all_readers[reader_name], time.monotonic()
            damaged_files = [*bombs(), *inputs(reader.seeds(), arguments.count, arguments.seed)]
            faults = attempt(reader, damaged_files, folder)
            fault_count += len(faults)
            for fault in faults:
                say(f"{reader_name}: {fault}")
            seconds = time.monotonic() - started
            say(f"{reader_name}: {len(damaged_files)} files, {len(faults)} faults, {seconds:.0f} s")
    sys.exit(bool(fault_count))


if __name__ == "__main__":
    main()
