"""`make fuzz-coverage`: atheris makes bytes that reach new code of each parser (Linux, libFuzzer).

Run as `python tests/damage/cover.py [header|image|...] [--seconds N] [--keep FOLDER]`; without
names, all targets, each for N seconds. Each input with a fault is written to a file below
`tests/damage/findings`, which `test_targets.py` tries again from then on. Exits with 1 if there was
a fault.
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
#: Maximum time of one input, in seconds.
_SECONDS = 10
#: Maximum memory of the process, in MiB.
_MEMORY = 1500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=[])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", type=Path, help="folder to keep inputs that reach new code")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _fuzz(arguments.child, arguments.targets)
    # not at the top: the process that fuzzes imports it with atheris
    from damage.targets import TARGETS

    fault_count = 0
    with tempfile.TemporaryDirectory(prefix="burnish-cover-") as name:
        for target_name in arguments.targets or TARGETS:
            corpus = (arguments.keep or Path(name)) / target_name
            corpus.mkdir(parents=True, exist_ok=True)
            for seed in TARGETS[target_name].seeds():
                (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)  # noqa: S324
            fault_count += _watch(target_name, corpus, arguments.seconds)
    sys.exit(bool(fault_count))


def _watch(target_name: str, corpus: Path, seconds: int) -> int:
    """Runs a target until its time is over, again after each fault; the number of faults."""
    deadline = time.monotonic() + seconds
    tried = 0
    faults: dict[str, bytes] = {}
    while (seconds_left := deadline - time.monotonic()) > 1:
        has_fault, inputs, fault, data = _run(target_name, corpus, int(seconds_left))
        tried += inputs
        if not has_fault:
            break
        if fault in faults:
            continue
        faults[fault] = data
        folder = FINDINGS / target_name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha1(data).hexdigest()[:12]  # noqa: S324
        path.write_bytes(data)
        say(f"{target_name}: {fault}: {path}")
    reached = sum(1 for _ in corpus.iterdir())
    say(f"{target_name}: {tried} inputs, {reached} of them reach new code, {len(faults)} faults")
    return len(faults)


def _run(target_name: str, corpus: Path, seconds: int) -> tuple[bool, int, str, bytes]:
    """One run: whether it ended by a fault, the number of inputs, the fault and its input."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "--child", target_name, "--"]
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={_SECONDS}",
            f"-rss_limit_mb={_MEMORY}",
            f"-artifact_prefix={name}/",
            "-print_final_stats=1",
            str(corpus),
        ]
        process = subprocess.run(
            [*command, *options],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        output = process.stdout + process.stderr
        counts = re.findall(r"^#(\d+)\s", output, re.MULTILINE)
        artifacts = sorted(Path(name).iterdir())
        data = artifacts[0].read_bytes() if artifacts else b""
        return bool(process.returncode), int(counts[-1]) if counts else 0, _describe(output), data


def _describe(output: str) -> str:
    """The last place in Burnish and the error, or the summary of libFuzzer."""
    places = re.findall(r'File ".*?/(burnish/[^"]+|damage/targets.py)", line (\d+)', output)
    errors = re.findall(
        r"^(\w+(?:\.\w+)*(?:Error|Exception|Violation\w*).*)$", output, re.MULTILINE
    )
    summary = re.findall(r"^SUMMARY: .*$", output, re.MULTILINE)
    place = ":".join(places[-1]) if places else "nowhere"
    return f"{place}: {(errors or summary or [output[-300:]])[-1][:150]}"


def _fuzz(target_name: str, options: list[str]) -> None:
    """Runs in the process that libFuzzer drives; does not return."""
    import atheris
    import structlog

    with atheris.instrument_imports(include=["burnish"]):
        from damage.targets import TARGETS, attempt
    warnings.simplefilter("ignore")
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    target = TARGETS[target_name]
    folder = next(
        option.partition("=")[2] for option in options if option.startswith("-artifact_prefix=")
    )

    def feed(data: bytes) -> None:
        try:
            attempt(target, data)
        except Exception:
            (Path(folder) / "0").write_bytes(data)
            raise

    atheris.Setup([sys.argv[0], f"-max_len={target.longest}", *options], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
