"""Results as others read them: rows with sqlite3, files and images with other programs."""

import hashlib
import io
import os
import re
import shutil
import sqlite3
import subprocess
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.fileset import FileSet

from burnish.db.session import Database
from burnish.receive.following import rows_are_complete
from burnish.spool import Spool, segment
from flow.service import Service
from waiting import wait_until

# --- database and spool --------------------------------------------------------------------------


def rows(service: Service, query: str, *parameters: object) -> list[Any]:
    """Rows of the database of a running service."""
    path = service.root / "burnish.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=120)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(query, parameters).fetchall()


def live_instances(service: Service, sop_instance_uid: str = "") -> list[Any]:
    """The rows of stored instances, of one SOP Instance UID or of all, once all have theirs."""
    wait_for_rows(service)
    if sop_instance_uid:
        return rows(
            service,
            "SELECT * FROM instance WHERE released_at IS NULL AND sop_instance_uid = ?",
            sop_instance_uid,
        )
    return rows(service, "SELECT * FROM instance WHERE released_at IS NULL")


def wait_for_rows(service: Service) -> None:
    """Wait until every instance that was acknowledged has its row."""
    spool = _spool(service)
    database = Database(f"sqlite:///{service.root / 'burnish.db'}", durable=False)
    wait_until(lambda: rows_are_complete(database, spool), what="the rows of instances")
    database.close()


def spooled_file(service: Service, row: Any) -> bytes:
    """A stored instance in the spool as a DICOM File."""
    with _spool(service).slice(row["spool_key"], row["size"]).open() as file:
        return file.read()


def read_spooled(service: Service, row: Any) -> pydicom.FileDataset:
    """A stored instance in the spool, read with pydicom."""
    return pydicom.dcmread(io.BytesIO(spooled_file(service, row)))


def spooled(service: Service, row: Any) -> bytes:
    """The data set of a stored instance in the spool."""
    return spooled_file(service, row)[row["data_set_offset"] :]


def incoming(service: Service) -> list[str]:
    """The files of instances that are being received, or that were left there."""
    return [path.name for path in (service.root / "spool" / "incoming").iterdir()]


def spool_keys(service: Service) -> set[str]:
    """The keys of the instances in the spool, without released ones."""
    spool = _spool(service)
    keys = set(spool.published_keys())
    for name in segment.names(spool.segments):
        descriptor = os.open(segment.path(spool.segments, name), os.O_RDONLY)
        for record in segment.records(descriptor):
            if not record.has_own_file and not segment.is_released(descriptor, record):
                keys.add(spool.key_in_segment(name, record.payload))
        os.close(descriptor)
    return keys


def _spool(service: Service) -> Spool:
    return Spool(service.root / "spool", durable=False)


# --- DICOM files ---------------------------------------------------------------------------------


def data_set_bytes(path: Path) -> tuple[str, bytes]:
    """Transfer Syntax UID of a DICOM file with File Meta Information, and its data set's bytes."""
    return split(path.read_bytes())


def split(data: bytes) -> tuple[str, bytes]:
    """Transfer Syntax UID and bytes of the data set, of the bytes of a DICOM file."""
    stream = io.BytesIO(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_preamble(stream, force=True)
        meta = _read_file_meta_info(stream)
    return str(meta.get("TransferSyntaxUID", "")), stream.read()


# --- images --------------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path | None = None, ok: Sequence[int] = (0,)) -> str:
    """The output of a program, which must be installed and exit with a code of `ok`."""
    name = str(command[0])
    if shutil.which(name) is None:
        pytest.fail(f"{name} is not installed: run tests/install")
    process = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=cwd,
        timeout=900,
        check=False,
    )
    assert process.returncode in ok, (
        f"{name}: exit {process.returncode}\n{process.stdout[-3000:]}{process.stderr[-3000:]}"
    )
    return process.stdout + process.stderr


def volume_identifier(image: Path) -> str:
    """The volume identifier that isoinfo prints."""
    match = re.search(r"^Volume id: ?(.*)$", run("isoinfo", "-d", "-i", image), re.MULTILINE)
    assert match, "isoinfo -d names no volume id"
    return match[1].strip()


@dataclass(frozen=True, slots=True)
class Extent:
    """A file as isoinfo lists it: its path, first sector and size."""

    path: str
    extent: int
    size: int


def extents(image: Path) -> list[Extent]:
    """Every file that isoinfo -l lists; the path has slashes."""
    files = []
    folder = ""
    for line in run("isoinfo", "-l", "-i", image).splitlines():
        if line.startswith("Directory listing of "):
            folder = line.removeprefix("Directory listing of ").strip()
        match = re.match(r"^[-l]\S*\s+\d+\s+\d+\s+\d+\s+(\d+)\s.*\[\s*(\d+)\s+\d+\]\s+(\S+)", line)
        if match:
            path = f"{folder}{match[3]}".removesuffix(";1").removesuffix(".")
            files.append(Extent(path, int(match[2]), int(match[1])))
    return files


def extract(image: Path, target: Path) -> Path:
    """The files of an image as 7-Zip extracts them, after it has tested the image."""
    assert "Everything is Ok" in run("7z", "t", image)
    run("7z", "x", "-y", f"-o{target}", image)
    return target


def extract_with_xorriso(image: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    run(
        "xorriso",
        "-osirrox",
        "on",
        "-report_about",
        "FAILURE",
        "-indev",
        image,
        "-extract",
        "/",
        target,
    )
    run("chmod", "-R", "u+rwX", target)
    return target


def tree(root: Path) -> dict[str, str]:
    """The SHA-256 of every file below a directory, by relative path."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def dciodvfy_errors(path: Path) -> list[str]:
    """The errors that dciodvfy reports of a file."""
    text = run("dciodvfy", path, ok=(0, 1))
    return [line for line in text.splitlines() if line.startswith("Error")]


def dcdirdmp(directory: Path) -> str:
    return run("dcdirdmp", directory)


def dcmdump(path: Path) -> str:
    text = run("dcmdump", "-q", "+E", path)
    assert not re.search(r"^E: ", text, re.MULTILINE), text[-2000:]
    return text


def file_ids(root: Path) -> list[str]:
    """The Referenced File IDs of a DICOMDIR in the order of its records, as paths, by pydicom."""
    directory = read(root / "DICOMDIR")
    return [
        "/".join([value] if isinstance(value, str) else value)
        for record in directory.DirectoryRecordSequence
        if (value := record.get("ReferencedFileID"))
    ]


def read(path: Path) -> pydicom.FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True)


def file_set(root: Path) -> dict[str, Path]:
    """The file of each instance that pydicom finds by the DICOMDIR, by SOP Instance UID."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        directory = FileSet(root / "DICOMDIR")
        pairs = [(str(record.SOPInstanceUID), Path(str(record.path))) for record in directory]
        directory._stage["t"].cleanup()  # its temporary directory
    files = dict(pairs)
    assert len(files) == len(pairs), "an instance is in the DICOMDIR twice"
    return files
