"""The other half of steps.c: builds it, tells it what to do, and reads what it has logged."""

import ctypes
import errno
import mmap
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_SOURCE = Path(__file__).with_name("steps.c")
_RECORD = struct.Struct("<4I5q")


class Act(IntEnum):
    """What happens at the chosen step."""

    COUNT = 0
    KILL = 1
    KILL_GROUP = 2
    FAIL = 3


class Op(IntEnum):
    """What a step does."""

    CREATE = 1
    TRUNCATE = 2
    WRITE = 3
    COPY = 4
    FSYNC = 5
    SYNCFS = 6
    RENAME = 7
    LINK = 8
    UNLINK = 9
    MKDIR = 10
    RMDIR = 11
    READ = 12
    NOTE = 13


class _Control(ctypes.Structure):
    _fields_ = (
        ("root", ctypes.c_char * 512),
        ("only", ctypes.c_char * 128),
        ("steps", ctypes.c_int64),
        ("at", ctypes.c_int64),
        ("until", ctypes.c_int64),
        ("failed", ctypes.c_int64),
        ("act", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("half", ctypes.c_int32),
        ("sync", ctypes.c_int32),
        ("log", ctypes.c_int32),
        ("reads", ctypes.c_int32),
        ("outside", ctypes.c_int32),
        ("places", ctypes.c_int32),
    )


@dataclass(frozen=True, slots=True)
class Record:
    """One logged step. `path` and `other` are below the root that was watched.

    `outside`: not the service did it, but a person or another machine.
    """

    op: Op
    path: str
    other: str
    step: int
    inode: int
    offset: int
    data: bytes
    outside: bool = False


def build(directory: Path) -> Path:
    """Compiles the library; its path."""
    library = directory / "steps.so"
    command = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


class Steps:
    """The control file of one or more processes that run with `environment`."""

    def __init__(self, control: Path, library: Path) -> None:
        self.path = control
        self._log = control.with_name(f"{control.name}.log")
        self._places = control.with_name(f"{control.name}.places")
        self.environment = {"LD_PRELOAD": str(library), "CRASH_STEPS": str(control)}
        if not control.exists():
            control.write_bytes(bytes(ctypes.sizeof(_Control)))
        with control.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._control = _Control.from_buffer(self._memory)

    @classmethod
    def of_this_process(cls) -> "Steps":
        """Where this process runs with them."""
        return cls(Path(os.environ["CRASH_STEPS"]), Path(os.environ["LD_PRELOAD"]))

    @property
    def count(self) -> int:
        """Steps since `watch`."""
        return int(self._control.steps)

    @property
    def failed(self) -> int:
        """Steps that were made to fail since `watch`."""
        return int(self._control.failed)

    def watch(
        self,
        root: Path,
        *,
        only: str = "",
        reads: bool = False,
        log: bool = False,
        places: bool = False,
    ) -> None:
        """Counts from here on what happens below `root`; syncs need not be done for that.

        With `log`, the steps are logged with their data; with `places`, the place of each.
        """
        control = self._control
        control.at = 0
        control.root, control.only = os.fsencode(root.resolve()), only.encode()
        control.steps = control.failed = control.act = control.half = control.sync = 0
        control.log, control.reads = log, reads
        control.outside = 0
        control.places = places
        if log:
            self._log.unlink(missing_ok=True)
        if places:
            self._places.unlink(missing_ok=True)

    def kill_at(self, step: int, *, group: bool = False, half: bool = False) -> None:
        """Ends the process, or its group, before this step; in the middle of it, of a write."""
        self._control.act = Act.KILL_GROUP if group else Act.KILL
        self._control.half = half
        self._control.at = step

    def fail(self, error: int, *, first: int, last: int = 1 << 62) -> None:
        """Lets the steps from `first` to `last` fail with this errno."""
        self._control.act, self._control.error = Act.FAIL, error
        self._control.until = last
        self._control.at = first

    def heal(self) -> None:
        """From here on nothing happens any more; it is counted on."""
        self._control.at = 0

    @contextmanager
    def outside(self) -> Iterator[None]:
        """What this process does now is done by a person or another machine: only logged."""
        self._control.outside = 1
        try:
            yield
        finally:
            self._control.outside = 0

    def forget(self) -> None:
        """Watches nothing."""
        self._control.at = 0
        self._control.root = b""

    def note(self, text: str) -> None:
        """Puts a fact into the log, from the process that runs with these steps."""
        ctypes.CDLL(None).steps_note(text.encode())

    def log(self) -> list[Record]:
        """What has been logged, in the order of the steps."""
        return sorted(self._read_log(), key=lambda record: record.step)

    def places(self) -> list[str]:
        """The place of each step since `watch`, in the order of the steps."""
        entries = self._places.read_text(errors="replace").split("\x1e")[1:]
        numbered = sorted((int(entry.partition("\t")[0]), _place(entry)) for entry in entries)
        return [place for _, place in numbered]

    def _read_log(self) -> Iterator[Record]:
        root = self._control.root.decode() + "/"
        data = memoryview(self._log.read_bytes())
        position = 0
        while position < len(data):
            op, path, other, outside, step, inode, offset, _, length = _RECORD.unpack_from(
                data, position
            )
            position += _RECORD.size
            texts = bytes(data[position : position + path + other]).decode()
            position += path + other
            yield Record(
                Op(op),
                texts[:path].removeprefix(root),
                texts[path:].removeprefix(root),
                step,
                inode,
                offset,
                bytes(data[position : position + length]),
                outside=bool(outside),
            )
            position += length


def is_write(place: str) -> bool:
    """Whether a file is written there, so that this can be half done."""
    return place.startswith(f"{Op.WRITE.name} ")


def _place(entry: str) -> str:
    """What is done to which kind of file, and the calls within Burnish that led to it."""
    head, _, traceback = entry.partition("\n")
    _, op, program, path = head.split("\t", 3)
    calls = " < ".join(
        f"{module}:{line} {function}" for module, line, function in _FRAME.findall(traceback)
    )
    suffix = re.sub(r"[0-9a-f]{8,}|[0-9]+", "N", Path(path).name.partition(".")[2])
    return f"{Op(int(op)).name} {suffix}: {calls or program}"


#: A frame of Burnish in a traceback that Python has written for a crash.
_FRAME = re.compile(r'File ".*/burnish/(.*?)\.py", line (\d+) in (\w+|<\w+>)')

#: What disks do when they fail.
FAILURES = (errno.ENOSPC, errno.EIO, errno.EROFS)
