"""All benchmarks, interleaved, in half an hour at most: tables, a plot and all figures.

python benchmarks/run.py            # about 25 minutes on two cores
python benchmarks/run.py --quick    # a few minutes, to see that everything works
python benchmarks/run.py --only receive durable    # these parts
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import associate
import growth
import idle
import media
import planning
import receive
from servers import KINDS, Kind
from workloads import WORKLOADS, cache_directory

_RESULTS = Path(__file__).resolve().parent / "results"
_PAGE_CACHE = ("burnish", "storescp-b", "c", "python-log")
_DURABLE = ("burnish-full", "orthanc", "storescp-b", "c-log", "python-sync")
_LARGE = ("burnish", "storescp-b")
#: The servers that receive while another program writes to the same disk.
_BESIDE_WRITING = ("burnish-full", "c-log")
_TLS = ("burnish-tls", "storescp-b-tls")
_OUT_OF_THE_BOX = ("burnish", "storescp-default", "orthanc-default")


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of each part; parts that do not start within `minutes` are skipped."""

    minutes: float
    rounds: int
    receive: dict[str, int]
    associations: tuple[int, ...]
    durable: dict[str, int]
    nagle: dict[str, int]
    media: tuple[tuple[str, int], ...]
    planning: tuple[int, ...]
    requests: int
    under_load: int
    idle: tuple[int, ...]
    idle_seconds: float
    set_up: int
    growth: tuple[int, ...]
    rows: int
    media_tools: tuple[str, ...] = (*media.SERVERS, *media.PIPELINES)


FULL = Scale(
    minutes=29,
    rounds=5,
    receive={"W1": 400, "W2": 4000, "W3": 12},
    associations=(1, 2, 4, 8),
    durable={"W1": 200, "W2": 2000},
    nagle={"W1": 60, "W2": 60},
    media=(("W1", 500), ("W2", 2000), ("W1", 2000), ("W2", 20000), ("W2", 60000), ("W1", 8000)),
    planning=(1000, 5000, 20000, 50000),
    requests=10000,
    under_load=5000,
    idle=(0, 50, 500),
    idle_seconds=15,
    set_up=60,
    growth=(500, 5000, 20000, 60000),
    rows=1_000_000,
)
QUICK = Scale(
    minutes=8,
    rounds=1,
    receive={"W1": 60, "W2": 300, "W3": 2},
    associations=(1, 4),
    durable={"W1": 40, "W2": 100},
    nagle={"W1": 20, "W2": 20},
    media=(("W1", 60), ("W2", 300)),
    planning=(1000, 5000),
    requests=1000,
    under_load=500,
    idle=(0, 50),
    idle_seconds=4,
    set_up=10,
    growth=(500, 2000),
    rows=20000,
)


#: For a few parts: media alone have fewer tools and sizes.
SOME = replace(FULL, media=(("W1", 2000),), media_tools=("burnish", "cat"))


def within(minutes: float) -> Scale:
    """Like FULL, scaled down to less time."""
    share = min(1.0, minutes / FULL.minutes)

    def less(counts: dict[str, int]) -> dict[str, int]:
        return {name: max(2, int(count * share)) for name, count in counts.items()}

    return replace(
        FULL,
        minutes=minutes,
        receive=less(FULL.receive),
        durable=less(FULL.durable),
        nagle=less(FULL.nagle),
        under_load=int(FULL.under_load * share),
        idle_seconds=FULL.idle_seconds * share,
        set_up=int(FULL.set_up * share),
        growth=tuple(int(count * share) for count in FULL.growth),
    )


class Report:
    """The results as Markdown and as figures."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.figures: dict[str, Any] = {}

    def table(self, title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        aligned = ["---", *("--:" for _ in header[1:])]
        self.lines += ["", f"## {title}", ""]
        for row in (header, aligned, *rows):
            self.lines.append(f"| {' | '.join(row)} |")

    def say(self, text: str) -> None:
        self.lines += ["", text]


# --- the parts -----------------------------------------------------------------------------------


def _available(names: Iterable[str]) -> list[Kind]:
    return [KINDS[name] for name in names if KINDS[name].available()]


def _receiving(
    report: Report,
    title: str,
    *,
    kinds: Sequence[Kind],
    counts: dict[str, int],
    associations: Sequence[int],
    storage: Path,
    rounds: int,
    until: float = math.inf,
    nagle: bool = False,
    memory: bool = False,
    compared: tuple[str, str] | None = None,
) -> None:
    """A table of all servers, and one of the ratios of the first of them to each other one.

    The ratio of the two servers of `compared` comes last.
    """
    loads = [(WORKLOADS[name], count) for name, count in counts.items()]
    results = receive.matrix(
        kinds,
        loads,
        associations,
        storage,
        rounds=rounds,
        nagle=nagle,
        memory=memory,
        until=until,
    )
    columns = [(name, several) for name in counts for several in associations]

    def cell(kind: Kind, workload: str, several: int) -> str:
        figures = results.get(receive.Cell(kind.name, workload, several, nagle))
        if not figures:
            return "-"
        rate = receive.median(figures)
        cpu = 1e3 * receive.median(figures, "cpu_per_instance")
        failed = " (failures)" if any(figure.failed for figure in figures) else ""
        if memory:
            peak = receive.median(figures, "memory") / 1e6
            return f"{receive.median(figures, 'megabytes'):.0f} MB/s ({peak:.1f} MB){failed}"
        return f"{rate:.0f} ({cpu:.2f}){failed}"

    report.table(
        title,
        ["Server", *(f"{name} x{several}" for name, several in columns)],
        [[kind.what, *(cell(kind, *column) for column in columns)] for kind in kinds],
    )

    def ratios(server: Kind, peer: Kind) -> Iterator[str]:
        for workload, several in columns:
            ours, theirs = (
                results.get(receive.Cell(kind.name, workload, several, nagle), [])
                for kind in (server, peer)
            )
            rounds_of_both = zip(ours, theirs, strict=False)
            of_rounds = [mine.rate / other.rate for mine, other in rounds_of_both]
            yield f"{statistics.median(of_rounds):.2f}" if of_rounds else "-"

    rows = [[peer.what, *ratios(kinds[0], peer)] for peer in kinds[1:]]
    by_name = {kind.name: kind for kind in kinds}
    if compared and set(compared) <= set(by_name):
        server, peer = (by_name[name] for name in compared)
        rows.append([f"{server.what}, as a multiple of {peer.what}", *ratios(server, peer)])
    report.table(
        f"{title.partition(':')[0]}: {kinds[0].what}, as a multiple of",
        ["Server", *(f"{name} x{several}" for name, several in columns)],
        rows,
    )
    report.figures[title] = {
        f"{cell.server} {cell.workload} x{cell.associations}": [figure.rate for figure in figures]
        for cell, figures in results.items()
    }


def receive_os(report: Report, scale: Scale, storage: Path, until: float) -> None:
    _receiving(
        report,
        "Receive, page cache: instances/s (server CPU, ms each)",
        kinds=_available(_PAGE_CACHE),
        counts={name: scale.receive[name] for name in ("W1", "W2")},
        associations=scale.associations,
        storage=storage,
        rounds=scale.rounds,
        until=until,
        compared=("python-log", "storescp-b"),
    )


def receive_large(report: Report, scale: Scale, storage: Path) -> None:
    _receiving(
        report,
        "W3: MB/s (peak of memory above idle)",
        kinds=_available(_LARGE),
        counts={"W3": scale.receive["W3"]},
        associations=(1, 2),
        storage=storage,
        rounds=scale.rounds,
        memory=True,
    )


def receive_durable(report: Report, scale: Scale, storage: Path, until: float) -> None:
    _receiving(
        report,
        "Receive on a disk: instances/s (server CPU, ms each)",
        kinds=_available(_DURABLE),
        counts=scale.durable,
        associations=scale.associations,
        storage=storage,
        rounds=scale.rounds,
        until=until,
        compared=("python-sync", "c-log"),
    )


def receive_beside_writing(report: Report, scale: Scale, storage: Path) -> None:
    kinds = _available(_BESIDE_WRITING)
    count = scale.durable["W2"] * 4
    rates: dict[tuple[str, bool], list[float]] = {}
    for _ in range(scale.rounds):
        for kind in kinds:
            for is_written in (False, True):
                with writing(storage) if is_written else nullcontext():
                    figures = receive.measure(kind, WORKLOADS["W2"], count, 4, storage)
                rates.setdefault((kind.name, is_written), []).append(figures.rate)
    report.table(
        "On a disk, beside an image of 4 GB that is being written to it: instances/s, W2 x4",
        ["Server", "alone", "beside the image", "share"],
        [
            [
                kind.what,
                f"{(alone := statistics.median(rates[kind.name, False])):.0f}",
                f"{(beside := statistics.median(rates[kind.name, True])):.0f}",
                f"{beside / alone:.2f}",
            ]
            for kind in kinds
        ],
    )
    shares = [
        statistics.median(
            beside / alone
            for beside, alone in zip(rates[kind.name, True], rates[kind.name, False], strict=True)
        )
        for kind in kinds
    ]
    if len(shares) > 1:
        report.say(
            f"The share that {kinds[0].what} keeps is {shares[0] / shares[1]:.2f} times that of "
            f"{kinds[1].what} (medians of the rounds: {shares[0]:.2f} and {shares[1]:.2f})."
        )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Meanwhile, a process writes files of 4 GB, one after the other, and syncs each."""
    program = (
        "import os, sys\n"
        "block = os.urandom(4 << 20)\n"
        "while True:\n"
        "    with open(sys.argv[1], 'wb', buffering=0) as file:\n"
        "        for _ in range(1024):\n"
        "            file.write(block)\n"
        "        os.fsync(file.fileno())\n"
    )
    path = folder / "image"
    process = subprocess.Popen([sys.executable, "-c", program, str(path)])
    try:
        time.sleep(1.0)  # until the disk is busy
        yield
    finally:
        process.kill()
        process.wait()
        path.unlink(missing_ok=True)
        os.sync()


def receive_nagle(report: Report, scale: Scale, storage: Path) -> None:
    _receiving(
        report,
        "A sender with Nagle's algorithm on, peers out of the box: instances/s",
        kinds=_available(_OUT_OF_THE_BOX),
        counts=scale.nagle,
        associations=(1,),
        storage=storage,
        rounds=1,
        nagle=True,
    )


def receive_tls(report: Report, scale: Scale, storage: Path) -> None:
    _receiving(
        report,
        "Over TLS: instances/s (server CPU, ms each)",
        kinds=_available(_TLS),
        counts={name: scale.receive[name] for name in ("W1", "W2")},
        associations=tuple(several for several in scale.associations if several <= 4),
        storage=storage,
        rounds=scale.rounds,
    )


def make_media(report: Report, scale: Scale, storage: Path, deadline: float) -> None:
    results: dict[tuple[str, str], list[media.RunTimes]] = {}
    done = []
    for name, count in scale.media:
        if time.monotonic() > deadline:
            break
        done.append(f"{name} {count}")
        rounds = min(3, scale.rounds) if count <= 2000 else 1
        results |= media.compare(
            [(WORKLOADS[name], count)], storage, rounds=rounds, tools=scale.media_tools
        )

    def cell(tool: str, material: str) -> str:
        runs = results.get((tool, material))
        if not runs:
            return "-"
        if runs[0].failed:
            return "failed"
        return f"{statistics.median(run.seconds for run in runs):.2f}"

    report.table(
        "Media: seconds (Burnish from N-ACTION to DONE, read back and verified)",
        ["Tool", *done],
        [[tool, *(cell(tool, material) for material in done)] for tool in scale.media_tools],
    )
    for material in done:
        pairs = zip(
            results.get(("burnish", material), []), results.get(("cat", material), []), strict=False
        )
        ratios = [ours.seconds / cat.seconds for ours, cat in pairs if not ours.failed]
        if ratios:
            report.say(f"{material}: {statistics.median(ratios):.2f} times as long as cat.")
    report.figures["media"] = {
        f"{tool} {material}": [run.seconds for run in runs]
        for (tool, material), runs in results.items()
    }
    if skipped := [
        f"{name} {count}" for name, count in scale.media if f"{name} {count}" not in done
    ]:
        report.say(f"Out of time for {', '.join(skipped)}.")


def plan(report: Report, scale: Scale, storage: Path) -> None:
    planned = planning.planning(scale.planning, storage)
    report.table(
        "Planning: seconds of CPU",
        ["Instances", "admitting", "planning"],
        [[str(n), f"{admit:.3f}", f"{plan:.3f}"] for n, (admit, plan) in planned.items()],
    )
    listed = planning.listing(scale.requests, storage)
    report.say(f"List of {scale.requests} requests: {listed * 1e3:.0f} ms.")
    report.figures["planning"] = {str(n): plan for n, (_, plan) in planned.items()}


def get_under_load(report: Report, scale: Scale, storage: Path) -> None:
    loads = (0, 1, 2, 4)
    results: dict[int, list[planning.UnderLoad]] = {several: [] for several in loads}
    for _ in range(scale.rounds):
        for several in loads:
            count = scale.under_load if several else 0
            results[several].append(planning.n_get(storage, count, several))

    def median(several: int, name: str) -> float:
        return statistics.median(getattr(load, name) for load in results[several])

    report.table(
        "N-GET while W2 is received: ms until the answer",
        ["Associations", "instances/s", "p50", "p99", "p99, as a multiple of that without load"],
        [
            [
                str(several),
                f"{median(several, 'received_per_second'):.0f}",
                f"{1e3 * median(several, 'p50'):.1f}",
                f"{1e3 * median(several, 'p99'):.1f}",
                f"{median(several, 'p99') / median(0, 'p99'):.1f}",
            ]
            for several in loads
        ],
    )


def stay_idle(report: Report, scale: Scale, storage: Path) -> None:
    kinds = _available(("burnish", "orthanc"))
    results = idle.compare(kinds, scale.idle, storage, scale.idle_seconds)
    report.table(
        "Idle associations: share of one core (memory)",
        ["Server", *(str(count) for count in scale.idle)],
        [
            [
                kind.what,
                *(
                    f"{results[kind.name, n][0]:.1%} ({results[kind.name, n][1] / 1e6:.0f} MB)"
                    for n in scale.idle
                ),
            ]
            for kind in kinds
        ],
    )


def set_up(report: Report, scale: Scale, storage: Path) -> None:
    kinds = _available(("burnish", "storescp-b", "orthanc"))
    results = associate.compare(kinds, storage, scale.set_up)
    report.table(
        "Association set-up for 120 proposed contexts: ms of CPU (ms until accepted)",
        ["Server", "peers that differ", "the same peer"],
        [
            [
                kind.what,
                *(
                    f"{results[kind.name, same_peer].cpu * 1e3:.2f} "
                    f"({results[kind.name, same_peer].seconds * 1e3:.2f})"
                    for same_peer in (False, True)
                ),
            ]
            for kind in kinds
        ],
    )


def grow(report: Report, scale: Scale, storage: Path) -> None:
    costs = growth.steps(scale.growth, storage, sample=500)
    costs += growth.steps(scale.growth[:1], storage, inserted=scale.rows, sample=500)
    report.table(
        "Growth: W2, two associations",
        ["Instances in the database", "instances/s", "server CPU, ms each"],
        [
            [str(cost.before), f"{cost.rate:.0f}", f"{cost.cpu_per_instance * 1e3:.2f}"]
            for cost in costs
        ],
    )


# --- the whole -----------------------------------------------------------------------------------


def machine() -> str:
    """The machine and the versions of all programs."""

    def first_line(*command: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return ""
        text = (done.stdout or done.stderr).strip()
        return text.splitlines()[0].strip() if text else ""

    model = first_line("sh", "-c", "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2")
    cores = first_line("nproc")
    memory = first_line("sh", "-c", "grep MemTotal /proc/meminfo | tr -dc 0-9")
    load = " ".join(Path("/proc/loadavg").read_text().split()[:3])
    tools = [
        f"CPython {platform.python_version()}",
        first_line("storescp", "--version").strip("$ "),
        first_line("Orthanc", "--version"),
        first_line("genisoimage", "--version"),
        first_line("xorriso", "--version"),
    ]
    gibibytes = int(memory or 0) / (1 << 20)
    release = ".".join(platform.release().split(".")[:2])
    return (
        f"{cores} cores {model}, {gibibytes:.0f} GiB, Linux {release}, load {load}; "
        + "; ".join(tool for tool in tools if tool)
    )


def plot(report: Report, target: Path) -> bool:
    """Bars of the reception rates, if matplotlib is installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot

    charts = {title: cells for title, cells in report.figures.items() if title.startswith("Rece")}
    if not charts:
        return False
    figure, axes = pyplot.subplots(len(charts), 1, figsize=(11, 4.5 * len(charts)), squeeze=False)
    for (title, cells), axis in zip(charts.items(), axes[:, 0], strict=True):
        loads = list(dict.fromkeys(cell.split(" ", 1)[1] for cell in cells))
        servers = list(dict.fromkeys(cell.split(" ", 1)[0] for cell in cells))
        for position, server in enumerate(servers):
            heights = [statistics.median(cells.get(f"{server} {load}", [0])) for load in loads]
            places = [n + (position + 0.5) / (len(servers) + 1) for n in range(len(loads))]
            axis.bar(places, heights, 1 / (len(servers) + 1), label=server)
        axis.set_xticks([n + 0.5 for n in range(len(loads))], loads)
        axis.set_ylabel("instances/s")
        axis.set_yscale("log")
        axis.set_title(title)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    return True


def run(scale: Scale, storage: Path, disk: Path, only: Sequence[str] = ()) -> Report:
    report = Report()
    started = time.monotonic()
    end = started + scale.minutes * 60
    minute = scale.minutes * 60 / FULL.minutes
    # short parts come first; long ones get a time limit
    parts: list[tuple[str, Callable[[], None]]] = [
        ("nagle", lambda: receive_nagle(report, scale, storage)),
        ("tls", lambda: receive_tls(report, scale, storage)),
        ("large", lambda: receive_large(report, scale, storage)),
        ("set-up", lambda: set_up(report, scale, storage)),
        ("idle", lambda: stay_idle(report, scale, storage)),
        ("planning", lambda: plan(report, scale, storage)),
        ("n-get", lambda: get_under_load(report, scale, storage)),
        ("receive", lambda: receive_os(report, scale, storage, time.monotonic() + 5 * minute)),
        ("durable", lambda: receive_durable(report, scale, disk, time.monotonic() + 8 * minute)),
        ("beside", lambda: receive_beside_writing(report, scale, disk)),
        ("growth", lambda: grow(report, scale, storage)),
        ("media", lambda: make_media(report, scale, storage, end)),
    ]
    for name, part in parts:
        if only and name not in only:
            continue
        before = time.monotonic()
        if before > end:
            report.say(f"Out of time for {name}.")
            continue
        try:
            part()
        except (RuntimeError, OSError) as error:
            report.say(f"{name} could not be measured: {str(error).splitlines()[0]}")
            print(error, file=sys.stderr)
        print(f"{name}: {time.monotonic() - before:.0f} s", flush=True)
    return report


#: The parts, as `--only` names them.
PARTS = (
    "nagle",
    "tls",
    "large",
    "set-up",
    "idle",
    "planning",
    "n-get",
    "receive",
    "durable",
    "beside",
    "growth",
    "media",
)


def with_earlier_parts(lines: Sequence[str], target: Path, note: str) -> list[str]:
    """The lines of a results file in which some sections are replaced, each with a note."""
    earlier = target.read_text(encoding="utf-8") if target.exists() else "# Results\n"
    head, *sections = earlier.rstrip("\n").split("\n## ")
    by_title = {section.split("\n", 1)[0]: section for section in sections}
    for section in "\n".join(lines).split("\n## ")[1:]:
        by_title[section.split("\n", 1)[0]] = f"{section.rstrip()}\n\n{note}\n"
    return "\n## ".join([head, *by_title.values()]).split("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=[],
        help="these parts alone; other parts keep their results",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=FULL.minutes,
        help="time limit",
    )
    parser.add_argument("--rounds", type=int, help="how often each part is repeated")
    parser.add_argument("--storage", type=Path, help="default: memory, or the temporary directory")
    parser.add_argument("--disk", type=Path, help="a directory on a disk, for durable runs")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    arguments = parser.parse_args()
    storage = cache_directory(arguments.storage)
    disk = Path(tempfile.mkdtemp(prefix="burnish-", dir=arguments.disk or "/var/tmp"))  # noqa: S108
    described, began = machine(), datetime.now(UTC)
    scale = QUICK if arguments.quick else within(arguments.minutes)
    if arguments.only and not arguments.quick:
        scale = replace(SOME, minutes=arguments.minutes)
    if arguments.rounds:
        scale = replace(scale, rounds=arguments.rounds)
    try:
        report = run(scale, storage, disk, arguments.only)
    finally:
        shutil.rmtree(disk, ignore_errors=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    stem = arguments.results / ("quick" if arguments.quick else "full")
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    measured = f"{began:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes. {described}."
    figures = stem.with_suffix(".json")
    if arguments.only:
        if figures.exists():
            earlier = json.loads(figures.read_text(encoding="utf-8"))
            report.figures = {**earlier, **report.figures}
        plot(report, stem.with_suffix(".png"))
        lines = with_earlier_parts(report.lines, stem.with_suffix(".md"), measured)
    else:
        lines = [
            "# Results",
            "",
            measured,
            "",
            "Medians of interleaved rounds; how it is measured is in [the README](../README.md).",
        ]
        if plot(report, stem.with_suffix(".png")):
            lines += ["", f"![Receive rates]({stem.name}.png)"]
        lines += report.lines
    text = "\n".join([*lines, ""])
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    figures.write_text(json.dumps(report.figures, indent=1), encoding="utf-8")
    print(stem.with_suffix(".md"))
    sys.exit(0)


if __name__ == "__main__":
    main()
