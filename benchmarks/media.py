"""Media: from N-ACTION to DONE, against pipelines of other tools for the same files.

Burnish plans, writes the image, reads it back and compares every byte; the others only write.

    python benchmarks/media.py W1:500,W2:2000 --rounds 3 --tools burnish,dcmmkdir+genisoimage,cat
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shutil
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from media_scu import MediaCreation
from sender import send
from servers import Kind, Server, burnish, orthanc, running
from workloads import CT_IMAGE_STORAGE, WORKLOADS, Workload, cache_directory, uid, write_files

_RUNS = itertools.count(500_000_000)
#: Maximum time of a run, in seconds.
LONGEST = 300.0


@dataclass(frozen=True, slots=True)
class Material:
    """The same instances as files and as a load to send."""

    workload: Workload
    count: int
    directory: Path

    @property
    def name(self) -> str:
        return f"{self.workload.name} {self.count}"


@dataclass(frozen=True, slots=True)
class RunTimes:
    """The time of one medium, and the CPU time of the server or of the programs, in seconds."""

    seconds: float
    cpu: float
    failed: str = ""


# --- pipelines of command line tools -------------------------------------------------------------


def _dcmmkdir(material: Material, work: Path) -> list[list[str]]:
    # dcmmkdir names files relative to where it runs
    target = str(work / "DICOMDIR")
    return [["dcmmkdir", "-Pgp", "+r", "+id", str(material.directory), "+D", target, "DICOM"]]


def _gdcmgendir(material: Material, work: Path) -> list[list[str]]:
    source, target = str(material.directory / "DICOM"), str(work / "DICOMDIR")
    return [["gdcmgendir", "-r", "--descriptor", "BENCHMARK", "-i", source, "-o", target]]


def _grafts(material: Material, work: Path) -> list[str]:
    files = material.directory / "DICOM"
    return ["-graft-points", f"DICOMDIR={work / 'DICOMDIR'}", f"DICOM={files}"]


def _genisoimage(material: Material, work: Path) -> list[list[str]]:
    image = ["-V", "BENCHMARK", "-o", str(work / "image.iso")]
    return [["genisoimage", "-quiet", "-iso-level", "1", *image, *_grafts(material, work)]]


def _xorriso(material: Material, work: Path) -> list[list[str]]:
    image = ["-iso-level", "1", "-V", "BENCHMARK", "-o", str(work / "image.iso")]
    return [["xorriso", "-as", "mkisofs", "-quiet", *image, *_grafts(material, work)]]


def _cat(material: Material, work: Path) -> list[list[str]]:
    """The least work possible: every byte is written once and read once."""
    image = work / "image.iso"
    all_files = f"find {material.directory / 'DICOM'} -type f -print0 | sort -z | xargs -0 cat"
    return [["sh", "-c", f"{all_files} > {image}"], ["sh", "-c", f"cat {image} > /dev/null"]]


Steps = Callable[[Material, Path], list[list[str]]]

PIPELINES: dict[str, tuple[Steps, ...]] = {
    "dcmmkdir+genisoimage": (_dcmmkdir, _genisoimage),
    "dcmmkdir+xorriso": (_dcmmkdir, _xorriso),
    "gdcmgendir+genisoimage": (_gdcmgendir, _genisoimage),
    "cat": (_cat,),
}


def run_pipeline(steps: Sequence[Steps], material: Material, storage: Path) -> RunTimes:
    work = storage / "pipeline"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    failed = ""
    for arguments in itertools.chain.from_iterable(step(material, work) for step in steps):
        try:
            done = subprocess.run(
                arguments, cwd=work, capture_output=True, timeout=LONGEST, check=False
            )
        except subprocess.TimeoutExpired:
            failed = f"{arguments[0]} takes longer than {LONGEST:.0f} s"
            break
        if done.returncode:
            failed = f"{arguments[0]}: {done.stderr.decode(errors='replace')[-200:]}"
            break
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(work, ignore_errors=True)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return RunTimes(seconds, used, failed)


# --- servers -------------------------------------------------------------------------------------


def make_with_burnish(server: Server, material: Material, run: int) -> RunTimes:
    """N-ACTION to DONE, for instances that the server has."""
    request = uid("frame", run, 999_999_999)
    references = [uid("instance", run, number) for number in range(material.count)]
    scu = MediaCreation(server.port)
    scu.create(request, CT_IMAGE_STORAGE, references)
    before, started = server.cpu(), time.monotonic()
    scu.initiate(request)
    status = scu.wait(request, LONGEST)
    run_times = RunTimes(
        time.monotonic() - started, server.cpu() - before, "" if status == "DONE" else status
    )
    scu.release()
    shutil.rmtree(server.directory / "storage" / "outbox", ignore_errors=True)
    (server.directory / "storage" / "outbox").mkdir()
    return run_times


def make_with_orthanc(server: Server, _material: Material, _run: int) -> RunTimes:
    """The create-media call of Orthanc, which answers with a ZIP of files and DICOMDIR."""
    configuration = json.loads((server.directory / "orthanc.json").read_text())
    base = f"http://127.0.0.1:{configuration['HttpPort']}"
    with urllib.request.urlopen(f"{base}/studies", timeout=60) as answer:  # noqa: S310
        studies = json.loads(answer.read())
    body = json.dumps({"Resources": studies, "Synchronous": True}).encode()
    before, started = server.cpu(), time.monotonic()
    failed = ""
    try:
        request = urllib.request.Request(f"{base}/tools/create-media", body)  # noqa: S310
        with urllib.request.urlopen(request, timeout=LONGEST) as answer:  # noqa: S310
            while answer.read(1 << 20):
                pass
    except OSError as error:
        failed = str(error)
    return RunTimes(time.monotonic() - started, server.cpu() - before, failed)


SERVERS: dict[str, tuple[Kind, Callable[[Server, Material, int], RunTimes]]] = {
    "burnish": (
        Kind("burnish", "", burnish("os", device=[{"name": "outbox", "media": ["DVD-DL"]}])),
        make_with_burnish,
    ),
    "orthanc create-media": (Kind("orthanc", "", orthanc(), "Orthanc"), make_with_orthanc),
}


def run_server(name: str, material: Material, storage: Path, rounds: int) -> list[RunTimes]:
    kind, make = SERVERS[name]
    runs = []
    with running(kind, storage) as server:
        run = next(_RUNS)
        sent = send(server.port, material.workload, material.count, associations=2, run=run)
        if sent.failed:
            return [RunTimes(0.0, 0.0, f"{sent.failed} instances not stored: {sent.error}")]
        for _ in range(rounds):
            runs.append(make(server, material, run))
    return runs


def compare(
    loads: Sequence[tuple[Workload, int]],
    storage: Path,
    *,
    rounds: int = 3,
    tools: Sequence[str] | None = None,
    cache: Path | None = None,
) -> dict[tuple[str, str], list[RunTimes]]:
    """The times of each round by tool and material. Servers and pipelines take turns."""
    chosen_tools = tools or (*SERVERS, *PIPELINES)
    results: dict[tuple[str, str], list[RunTimes]] = {}
    given_up: set[tuple[str, str]] = set()
    for workload, count in loads:
        directory = cache_directory(cache) / f"{workload.name}-{count}"
        write_files(workload, count, 1, directory)
        material = Material(workload, count, directory)
        for _ in range(rounds):
            for tool in chosen_tools:
                key = (tool, workload.name)
                if key in given_up:
                    continue
                if tool in SERVERS:
                    run_times = run_server(tool, material, storage, 1)[0]
                else:
                    run_times = run_pipeline(PIPELINES[tool], material, storage)
                results.setdefault((tool, material.name), []).append(run_times)
                if run_times.failed or run_times.seconds > LONGEST / 6:
                    given_up.add(key)
        shutil.rmtree(directory, ignore_errors=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("loads", metavar="WORKLOAD:COUNT,…")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", help=f"of {', '.join((*SERVERS, *PIPELINES))}")
    parser.add_argument("--storage", type=Path, help="where servers and tools write")
    arguments = parser.parse_args()
    loads = [load.split(":") for load in arguments.loads.split(",")]
    results = compare(
        [(WORKLOADS[name], int(count)) for name, count in loads],
        arguments.storage or cache_directory(),
        rounds=arguments.rounds,
        tools=arguments.tools.split(",") if arguments.tools else None,
    )
    for (tool, material), runs in results.items():
        seconds = statistics.median(run.seconds for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        print(f"{tool:24}{material:10}{seconds:8.2f} s {cpu:8.2f} s CPU  {runs[0].failed}")


if __name__ == "__main__":
    main()
