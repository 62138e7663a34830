"""What content takes: discs of five kinds of material, built without and with pages and viewer.

python benchmarks/discs.py
python benchmarks/discs.py ct-500 reports-50

Seconds are those of the clock and CPU time of all processes; memory is the largest proportional set
size that one process had.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import document_sources
from content_sources import CT, PATIENT, STUDY, ULTRASOUND_CLIP
from images import written

_SIZE = 512
_COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
_UTF_8 = "ISO_IR 192"
_MB = 1e6
#: Seconds between two looks at the processes.
_LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of material; `make` writes so many images or documents into a folder."""

    make: Callable[[Path, int], None]
    has_images: bool = True
    has_planes: bool = False


@dataclass(frozen=True, slots=True)
class Build:
    """A disc that was built: seconds of the clock and of CPU time, memory in bytes."""

    image: Path
    seconds: float
    cpu: float
    memory: int


def make_slices(folder: Path, count: int) -> None:
    """A CT of a body with organs and the noise of a scanner, one file for each slice."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    row, column = np.mgrid[0:_SIZE, 0:_SIZE]
    for number in range(1, count + 1):
        middle = _SIZE / 2 + 20 * np.sin(number / 40)
        body = ((row - 256) / 170) ** 2 + ((column - middle) / 215) ** 2 < 1
        lung = ((row - 240) / 100) ** 2 + ((abs(column - middle) - 95) / 70) ** 2 < 1
        spine = ((row - 370) / 32) ** 2 + ((column - middle) / 36) ** 2 < 1
        hounsfield = np.where(body, 40.0, -1000.0)
        hounsfield[lung] = -850
        hounsfield[spine] = 500
        hounsfield += random.normal(0, np.where(body, 14, 4))
        cells = np.clip(np.round(hounsfield) + 1024, 0, 4095).astype("<i2")[None, :, :, None]
        written(
            folder / f"slice{number}",
            cells,
            12,
            **PATIENT | STUDY,
            SOPClassUID=CT,
            SOPInstanceUID=f"1.2.3.1.{number}",
            SeriesInstanceUID="1.2.3.1",
            Modality="CT",
            SeriesNumber=2,
            InstanceNumber=number,
            SeriesDescription="Thorax 1 mm",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            RescaleSlope=1,
            RescaleIntercept=-1024,
            RescaleType="HU",
            WindowCenter=40,
            WindowWidth=400,
            PixelSpacing=[0.7, 0.7],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-180, -180, number],
            SliceThickness=1,
            FrameOfReferenceUID="1.2.9",
            SpecificCharacterSet=_UTF_8,
        )


def make_clip(folder: Path, frames: int) -> None:
    """An ultrasound clip in colour: speckle in a sector that moves, not compressed."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(2)
    row, column = np.mgrid[0:480, 0:640]
    sector = (row > 20) & (abs(column - 320) < 0.9 * row)
    speckle = random.gamma(2.0, 30.0, (480, 700))
    cells = np.zeros((frames, 480, 640, 3), np.uint8)
    for number in range(frames):
        start = int(30 + 25 * np.sin(number / 9))
        tissue = np.clip(speckle[:, start : start + 640] * sector, 0, 255).astype(np.uint8)
        cells[number] = tissue[..., None]
        flow = (row - 240) ** 2 + (column - 320 - start) ** 2 < 2500
        cells[number, flow, 0] = 200
        cells[number, flow, 1:] //= 4
    written(
        folder / "clip",
        cells,
        8,
        **PATIENT | STUDY,
        SOPClassUID=ULTRASOUND_CLIP,
        SOPInstanceUID="1.2.3.2.1",
        SeriesInstanceUID="1.2.3.2",
        Modality="US",
        SeriesNumber=3,
        InstanceNumber=1,
        FrameTime=40,
        SpecificCharacterSet=_UTF_8,
    )


def make_radiographs(folder: Path, count: int) -> None:
    """Radiographs of 2,048 x 2,048 pixels of 12 bits, with noise."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    row, column = np.mgrid[0:2048, 0:2048]
    for number in range(1, count + 1):
        bone = 900 * np.exp(-(((column - 1024 - 20 * number) / 160) ** 2))
        body = 1500 * np.exp(-(((column - 1024) / 700) ** 2) - ((row - 1024) / 900) ** 2)
        noisy = 800 + body + bone + random.normal(0, 12, body.shape)
        written(
            folder / f"radiograph{number}",
            np.clip(np.round(noisy), 0, 4095).astype("<u2")[None, :, :, None],
            12,
            **PATIENT | STUDY,
            SOPClassUID=_COMPUTED_RADIOGRAPHY,
            SOPInstanceUID=f"1.2.3.4.{number}",
            SeriesInstanceUID="1.2.3.4",
            Modality="CR",
            SeriesNumber=4,
            InstanceNumber=number,
            WindowCenter=2000,
            WindowWidth=2600,
            ImagerPixelSpacing=[0.15, 0.15],
            SpecificCharacterSet=_UTF_8,
        )


def make_reports(folder: Path, count: int) -> None:
    """Structured reports with every value type, each in a series of its own."""
    folder.mkdir(parents=True)
    for number in range(20, 20 + count):
        document_sources.report(folder / f"report{number}", number)


KINDS = {
    "ct": Kind(make_slices, has_planes=True),
    "ultrasound": Kind(make_clip),
    "radiographs": Kind(make_radiographs),
    "reports": Kind(make_reports, has_images=False),
}
HELP = f"kind and number of images or documents, for example ct-500; {', '.join(KINDS)}"
_DEFAULT = ("ct-500", "ct-2000", "ultrasound-330", "radiographs-20", "reports-50")


def parse(name: str) -> tuple[Kind, int]:
    """The kind and the number that a name as "ct-500" gives."""
    kind, _, count = name.partition("-")
    if kind not in KINDS or not count.isdecimal():
        raise SystemExit(f"{name} is no disc; name {HELP}")
    return KINDS[kind], int(count)


def build(folder: Path, *options: str) -> Build:
    """The disc of what is in `sources` of a folder, as a person builds it."""
    target = Path(tempfile.mkdtemp(prefix="images-", dir=folder))
    command = [Path(sys.executable).with_name("burnish"), "disc", "build", folder / "sources"]
    command += ["--output", target, "--profile", "STD-GEN-DVD-JPEG", "--medium", "DVD", *options]
    start = time.perf_counter()
    cpu, memory = _run([str(part) for part in command])
    seconds = time.perf_counter() - start
    (image,) = target.rglob("*.iso")
    return Build(image, seconds, cpu, memory)


def _run(command: list[str]) -> tuple[float, int]:
    """Runs a command: CPU time of all its processes, and the most memory that one of them had."""
    cpu: dict[int, float] = {}
    memory = 0
    with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    times = each.cpu_times()
                    cpu[each.pid] = times.user + times.system
                    memory = max(memory, each.memory_full_info().pss)
            time.sleep(_LOOK)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} has failed")
    return sum(cpu.values()), memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("discs", nargs="*", default=_DEFAULT, help=HELP)
    options = parser.parse_args()
    print("| | DICOM, MB | Seconds | CPU | Image, MB | Memory, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.discs:
        kind, count = parse(name)
        with tempfile.TemporaryDirectory(prefix="discs-") as place:
            folder = Path(place)
            kind.make(folder / "sources", count)
            size = sum(path.stat().st_size for path in (folder / "sources").iterdir())
            without = build(folder)
            with_content = build(folder, "--content", "FOR_PHYSICIAN")
            sizes = [each.image.stat().st_size / _MB for each in (without, with_content)]
            print(
                f"| {name} | {size / _MB:.1f}"
                f" | {without.seconds:.1f}, {with_content.seconds:.1f}"
                f" | {without.cpu:.1f}, {with_content.cpu:.1f}"
                f" | {sizes[0]:.1f}, {sizes[1]:.1f}"
                f" | {with_content.memory / _MB:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
