"""Synthetic instances: CT slices of 525 KB (W1) and 10 KB (W2), multi-frame of 128 MB (W3).

An instance is a data set with *places*: positions of fixed length that hold its number, so that
any count of different instances is made from a few by patching bytes. Pixels are random, so
nothing gains by compressing them.

    python benchmarks/workloads.py W1:500 W2:2000      # files as on a medium, in the cache
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_TRUE_COLOR = "1.2.840.10008.5.1.4.1.1.7.4"
MULTI_FRAME_WORD = "1.2.840.10008.5.1.4.1.1.7.3"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

#: A UID is this prefix, one digit for its kind, nine for the run and nine for the number.
_ROOT = "2.25."
_KINDS = {"instance": 1, "study": 2, "series": 3, "frame": 4}
_UNIT = 10**9


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of instance. `count` is the number in the published figures."""

    name: str
    count: int
    rows: int
    columns: int
    frames: int
    sop_class_uid: str
    per_series: int
    series_per_study: int

    @property
    def pixel_bytes(self) -> int:
        return self.rows * self.columns * 2 * self.frames


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", 2000, 512, 512, 1, CT_IMAGE_STORAGE, 125, 2),
        Workload("W2", 20000, 64, 64, 1, CT_IMAGE_STORAGE, 100, 5),
        Workload("W3", 8, 512, 512, 256, MULTI_FRAME_WORD, 2, 2),
    )
}


def uid(kind: str, run: int, number: int) -> str:
    """A UID of 24 characters."""
    return f"{_ROOT}{(_KINDS[kind] * _UNIT + run) * _UNIT + number}"


def cache_directory(chosen: Path | None = None) -> Path:
    """The directory for files of the benchmarks: in memory if there is such a file system."""
    if chosen is None:
        shared = Path("/dev/shm")  # noqa: S108
        base = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
        chosen = base / "burnish-benchmarks"
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


@dataclass(slots=True)
class Instance:
    """A data set in two parts; patching the first one makes further instances."""

    workload: Workload
    header: bytearray
    pixels: memoryview
    _places: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in _KINDS:
            self._places[kind] = _all_of(self.header, uid(kind, 0, 0).encode())
        self._places["number"] = _all_of(self.header, b"IS\x06\x00000000", 4)
        assert all(self._places.values())

    @property
    def size(self) -> int:
        return len(self.header) + len(self.pixels)

    def become(self, run: int, number: int) -> str:
        """Turn this into instance `number` of `run`; return its SOP Instance UID."""
        series = number // self.workload.per_series
        study = series // self.workload.series_per_study
        own = uid("instance", run, number)
        for kind, value in (
            ("instance", own),
            ("series", uid("series", run, series)),
            ("study", uid("study", run, study)),
            ("frame", uid("frame", run, study)),
            ("number", f"{number % self.workload.per_series + 1:<6d}"),
        ):
            for place in self._places[kind]:
                self.header[place : place + len(value)] = value.encode()
        return own


def _all_of(data: bytearray, pattern: bytes, skip: int = 0) -> list[int]:
    positions, at = [], data.find(pattern)
    while at >= 0:
        positions.append(at + skip)
        at = data.find(pattern, at + 1)
    return positions


def instances(workload: Workload, count: int, seed: int = 1) -> list[Instance]:
    """Instances with different pixels; `become` turns them into further instances."""
    header = _header(workload)
    # windows into one random buffer differ as much as separate buffers and are made faster
    spare = 4096 * count
    pixels = memoryview(random.Random(seed).randbytes(min(workload.pixel_bytes, 1 << 22) + spare))
    if workload.pixel_bytes > 1 << 22:
        pixels = memoryview(bytes(pixels) * (workload.pixel_bytes // (1 << 22) + 1))
    return [
        Instance(workload, bytearray(header), pixels[4096 * n : 4096 * n + workload.pixel_bytes])
        for n in range(count)
    ]


def _header(workload: Workload) -> bytes:
    """The data set up to the value of Pixel Data; its UIDs are those of run 0, number 0."""
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    ct = workload.sop_class_uid == CT_IMAGE_STORAGE
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data_set.SOPClassUID = workload.sop_class_uid
    data_set.SOPInstanceUID = uid("instance", 0, 0)
    for name in ("InstanceCreation", "Study", "Series", "Acquisition", "Content"):
        setattr(data_set, f"{name}Date", "20260102")
        setattr(data_set, f"{name}Time", "101112.123")
    data_set.AccessionNumber = "ACC000001"
    data_set.Modality = "CT" if ct else "OT"
    data_set.Manufacturer = "Synthetic Imaging"
    data_set.InstitutionName = "Hospital of the Benchmarks"
    data_set.ReferringPhysicianName = "Referrer^Ann"
    data_set.StationName = "CT01"
    data_set.StudyDescription = "Thorax and abdomen with contrast"
    data_set.SeriesDescription = "Axial 1.0 mm"
    data_set.OperatorsName = "Operator^Otto"
    data_set.PatientName = "Müller^Jörg"
    data_set.PatientID = "PAT000001"
    data_set.PatientBirthDate = "19700101"
    data_set.PatientSex = "O"
    data_set.PatientAge = "056Y"
    data_set.BodyPartExamined = "CHEST"
    if ct:
        data_set.SliceThickness = "1.0"
        data_set.KVP = "120"
        data_set.ProtocolName = "Thorax routine"
        data_set.ReconstructionDiameter = "380"
        data_set.GantryDetectorTilt = "0"
        data_set.ExposureTime = "500"
        data_set.XRayTubeCurrent = "200"
        data_set.ConvolutionKernel = "B30f"
        data_set.ImagePositionPatient = ["-190.0", "-190.0", "-500.0"]
        data_set.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        data_set.PixelSpacing = ["0.742", "0.742"]
    else:
        data_set.ConversionType = "WSD"
        data_set.NumberOfFrames = str(workload.frames)
        data_set.FrameIncrementPointer = 0x00181063
        data_set.FrameTime = "33"
    reference = Dataset()
    reference.ReferencedSOPClassUID = CT_IMAGE_STORAGE
    reference.ReferencedSOPInstanceUID = "2.25.77"
    data_set.ReferencedImageSequence = [reference]
    data_set.StudyInstanceUID = uid("study", 0, 0)
    data_set.SeriesInstanceUID = uid("series", 0, 0)
    data_set.FrameOfReferenceUID = uid("frame", 0, 0)
    data_set.StudyID = "1"
    data_set.SeriesNumber = "1"
    data_set.InstanceNumber = "000000"
    data_set.SamplesPerPixel = 1
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.Rows, data_set.Columns = workload.rows, workload.columns
    data_set.BitsAllocated = data_set.BitsStored = 16
    data_set.HighBit = 15
    data_set.PixelRepresentation = 0
    data_set.WindowCenter, data_set.WindowWidth = "40", "400"
    data_set.RescaleIntercept, data_set.RescaleSlope = "-1024", "1"
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    pixel_data = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, workload.pixel_bytes)
    return bytes(buffer.getvalue()) + pixel_data


def file_meta(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Preamble and File Meta Information (PS3.10 7.1)."""
    body = struct.pack("<HH2sHL2s", 2, 1, b"OB", 0, 2, b"\0\1")
    for element, value in (
        (2, sop_class_uid),
        (3, sop_instance_uid),
        (0x10, EXPLICIT_VR_LITTLE_ENDIAN),
        (0x12, "2.25.1"),
    ):
        padded = value.encode() + b"\0" * (len(value) % 2)
        body += struct.pack("<HH2sH", 2, element, b"UI", len(padded)) + padded
    length = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(body))
    return bytes(128) + b"DICM" + length + body


def write_files(workload: Workload, count: int, run: int, directory: Path) -> list[Path]:
    """The files of a File-set, `DICOM/ST00000/SE00000/IM00000`; written once and kept."""
    done = directory / "complete.json"
    if not (done.exists() and json.loads(done.read_text()) == [workload.name, count, run]):
        shutil.rmtree(directory, ignore_errors=True)
        some = instances(workload, min(16, count))
        for number, path in enumerate(_paths(workload, count, directory)):
            instance = some[number % len(some)]
            own = instance.become(run, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            with io.FileIO(path, "w") as file:
                meta = file_meta(workload.sop_class_uid, own)
                file.write(meta + instance.header)
                file.write(instance.pixels)
        done.write_text(json.dumps([workload.name, count, run]))
    return list(_paths(workload, count, directory))


def _paths(workload: Workload, count: int, directory: Path) -> Iterator[Path]:
    for number in range(count):
        series, position = divmod(number, workload.per_series)
        study = series // workload.series_per_study
        yield directory / "DICOM" / f"ST{study:05d}" / f"SE{series:05d}" / f"IM{position:05d}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("wanted", nargs="+", metavar="WORKLOAD[:COUNT]")
    parser.add_argument("--cache", type=Path, help="default: /dev/shm/burnish-benchmarks")
    parser.add_argument("--run", type=int, default=1, help="a number in every UID")
    arguments = parser.parse_args()
    for wanted in arguments.wanted:
        name, _, count = wanted.partition(":")
        workload = WORKLOADS[name]
        number = int(count or workload.count)
        directory = cache_directory(arguments.cache) / f"{name}-{number}"
        write_files(workload, number, arguments.run, directory)
        print(directory)


if __name__ == "__main__":
    main()
