"""`make fuzz-coverage`: atheris makes bytes that reach ever more of each parser (Linux, libFuzzer).

Run as `python tests/damage/cover.py [header|image|...] [--seconds N] [--keep FOLDER]`; without
names, all targets, each for so many seconds. What was wrong is written to `tests/damage/findings`,
one file each, which `test_targets.py` replays ever after. Ends with 1 where there was any.
"""

import argparse
import hashlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

say = partial(print, flush=True)
FINDINGS = Path(__file__).with_name("findings")
#: What one input may take: seconds, and the process with it, in MiB.
_SECONDS, _MEMORY = 10, 1500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", type=Path, help="where the inputs that reached more are kept")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _fuzz(given.child, given.what)
    # only now: the process that fuzzes has to import it by atheris
    from damage.targets import TARGETS

    found = 0
    with tempfile.TemporaryDirectory(prefix="burnish-cover-") as name:
        for what in given.what or TARGETS:
            corpus = (given.keep or Path(name)) / what
            corpus.mkdir(parents=True, exist_ok=True)
            for seed in TARGETS[what].seeds():
                (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)  # noqa: S324
            found += _watch(what, corpus, given.seconds)
    sys.exit(bool(found))


def _watch(what: str, corpus: Path, seconds: int) -> int:
    """Runs one target to the end of its time, beyond what it finds; how much that was."""
    end, tried, faults = time.monotonic() + seconds, 0, dict[str, bytes]()
    while (left := end - time.monotonic()) > 1:
        ended, inputs, why, data = _run(what, corpus, int(left))
        tried += inputs
        if not ended:
            break
        if why in faults:
            continue
        faults[why] = data
        folder = FINDINGS / what
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha1(data).hexdigest()[:12]  # noqa: S324
        path.write_bytes(data)
        say(f"{what}: {why}: {path}")
    reached = sum(1 for _ in corpus.iterdir())
    say(f"{what}: {tried} inputs, {reached} that reached more, {len(faults)} faults")
    return len(faults)


def _run(what: str, corpus: Path, seconds: int) -> tuple[bool, int, str, bytes]:
    """One run: whether it ended by a fault, how many inputs it took, which fault, by which."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "--child", what, "--"]
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={_SECONDS}",
            f"-rss_limit_mb={_MEMORY}",
            f"-artifact_prefix={name}/",
            "-print_final_stats=1",
            str(corpus),
        ]
        done = subprocess.run(
            [*command, *options],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        said = done.stdout + done.stderr
        counts = re.findall(r"^#(\d+)\s", said, re.MULTILINE)
        artifacts = sorted(Path(name).iterdir())
        data = artifacts[0].read_bytes() if artifacts else b""
        return bool(done.returncode), int(counts[-1]) if counts else 0, _why(said), data


def _why(said: str) -> str:
    """The last place in Burnish, and the error, or what libFuzzer says."""
    places = re.findall(r'File ".*?/(burnish/[^"]+|damage/targets.py)", line (\d+)', said)
    errors = re.findall(r"^(\w+(?:\.\w+)*(?:Error|Exception|Violation\w*).*)$", said, re.MULTILINE)
    summary = re.findall(r"^SUMMARY: .*$", said, re.MULTILINE)
    place = ":".join(places[-1]) if places else "nowhere"
    return f"{place}: {(errors or summary or [said[-300:]])[-1][:150]}"


def _fuzz(what: str, options: list[str]) -> None:
    """The process that libFuzzer drives; it never comes back."""
    import atheris
    import structlog

    with atheris.instrument_imports(include=["burnish"]):
        from damage.targets import TARGETS, attempt
    warnings.simplefilter("ignore")
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    target = TARGETS[what]
    folder = next(o.partition("=")[2] for o in options if o.startswith("-artifact_prefix="))

    def one(data: bytes) -> None:
        try:
            attempt(target, data)
        except Exception:
            (Path(folder) / "0").write_bytes(data)
            raise

    atheris.Setup([sys.argv[0], f"-max_len={target.longest}", *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
