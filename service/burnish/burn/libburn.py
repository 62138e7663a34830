"""Craft: runs xorriso, the program of libburn, to examine and burn the disc in a drive."""

import fcntl
import os
import re
import select
import signal
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from threading import Event
from time import monotonic

from burnish.media import SECTOR

Progress = Callable[[int], None]

_CDROM_DRIVE_STATUS = 0x5326
_CDSL_CURRENT = 0x7FFFFFFF
#: Seconds within which a disc must have been examined.
EXAMINE_WITHIN = 180
#: Seconds within which the program must end when it is told to.
_END_WITHIN = 60
#: Seconds between two looks at a disc that has to become readable.
_LOOK_EVERY = 1.0
_DISC_LINE = re.compile(
    r"^(Media current|Media status|Media blocks|Media nwa) *: *(.*)$", re.MULTILINE
)
_SESSION = re.compile(r"^(?:ISO|Other) session *: *\d+ *, *(\d+) *,", re.MULTILINE)
_WRITABLE = re.compile(r"(\d+) writable")
_PROGRESS = re.compile(r"(\d+) of +\d+ MB written")
_BEGINS_TO_WRITE = "Beginning to write data track"
#: Bytes written behind the image of a session that is left open or added (track at once). The last
#: two sectors of such a track cannot be read, and systems fail on them when they read ahead.
PADDING = 150 * SECTOR


class Tray(IntEnum):
    """Why a drive has no disc to read, as Linux reports it (CDROM_DRIVE_STATUS)."""

    NO_DISC = 1
    OPEN = 2
    NOT_READY = 3


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """The exit code and the output of the program."""

    code: int
    output: str

    @property
    def began_to_write(self) -> bool:
        return _BEGINS_TO_WRITE in self.output

    def problem(self) -> str:
        """The line of the output that tells what went wrong."""
        for line in self.output.splitlines():
            if re.search("FAILURE|SORRY|FATAL", line):
                return line.strip()
        return f"the program ended with exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Disc:
    """The disc in a drive, as a `run` of the program reports it.

    `medium` and `status` are words of the program. `free` is the number of bytes that can be
    written from sector `next` on. `session` is the first sector of the last session, 0 if there is
    only one or none.
    """

    run: ProgramRun
    medium: str = ""
    status: str = ""
    free: int = 0
    session: int = 0
    next: int = 0

    @property
    def present(self) -> bool:
        if not self.medium or "is not present" in self.status:
            return False
        return "not recogni" not in self.medium + self.status

    @property
    def blank(self) -> bool:
        return "is blank" in self.status

    @property
    def overwriteable(self) -> bool:
        """Whether any sector can be written again. Such a disc has no sessions."""
        return "overwriteable" in self.medium

    @property
    def appendable(self) -> bool:
        return "is appendable" in self.status


class Drive:
    """A drive. `name` is a device file, as /dev/sr0, or a pseudo-drive, as stdio:/path.

    `program` is xorriso, or a program that behaves as it does.
    """

    def __init__(self, name: str, program: str = "xorriso") -> None:
        self.name = name
        self.path = Path(name.removeprefix("stdio:"))
        self._program = program

    def examine_disc(self) -> Disc:
        """The disc in the drive. If it cannot be examined, its `run` tells why."""
        run = self._run("-outdev", self.name, "-toc")
        facts = {name: value.strip() for name, value in _DISC_LINE.findall(run.output)}
        writable = _WRITABLE.search(facts.get("Media blocks", ""))
        next_writable = re.match(r"\d+", facts.get("Media nwa", ""))
        return Disc(
            run,
            medium=facts.get("Media current", ""),
            status=facts.get("Media status", ""),
            free=int(writable[1]) * SECTOR if writable else 0,
            session=max(map(int, _SESSION.findall(run.output)), default=0),
            next=int(next_writable[0]) if next_writable else 0,
        )

    def burn(
        self,
        image: Path,
        *,
        speed: int = 0,
        erase: bool = False,
        session: bool = False,
        leave_open: bool = False,
        progress: Progress | None = None,
    ) -> ProgramRun:
        """Burns an image, on a blank at once, or as one more `session`.

        With `leave_open` another session can follow. On a medium without sessions libburn extends
        the volume that is there.
        """
        arguments = ["-as", "cdrecord", "-v", f"dev={self.name}"]
        if session or leave_open:
            arguments += ["--grow_overwriteable_iso", f"padsize={PADDING // SECTOR}s"]
        else:
            arguments.append("padsize=0")
        if leave_open:
            arguments.append("-multi")
        if speed:
            arguments.append(f"speed={speed}")
        if erase:
            arguments.append("blank=as_needed")
        size = image.stat().st_size
        return self._run(*arguments, str(image), progress=progress, size=size)

    def is_readable(self, size: int) -> bool:
        """Whether the system sees `size` bytes of the disc. It may keep the size it saw before.

        True if the drive no longer exists: nobody need wait for it.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            return not _has_size(descriptor) or os.lseek(descriptor, 0, os.SEEK_END) >= size
        finally:
            os.close(descriptor)

    def make_readable(self, size: int, on_wait: Callable[[bool], None]) -> bool:
        """Opens and closes the tray if the system does not see `size` bytes.

        Returns True if the system sees them afterwards.

        `on_wait` is called every second with whether the tray is open: some drives cannot close it,
        so that a person has to. It may raise to stop.
        """
        if self.is_readable(size):
            return True
        self.open_tray()
        self._run("-outdev", self.name, "-toc")  # libburn closes the tray before it looks
        deadline = monotonic() + EXAMINE_WITHIN
        while not self.is_readable(size):
            is_open = self.tray() is Tray.OPEN
            if is_open:
                deadline = monotonic() + EXAMINE_WITHIN
            elif monotonic() > deadline:
                return False
            on_wait(is_open)
            Event().wait(_LOOK_EVERY)
        return True

    def tray(self) -> Tray | None:
        """Why the drive has no disc to read; None if it has one, or if this cannot be told.

        This asks the system, because the program would close an open tray.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None  # the program reports why
        try:
            if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
                return None
            status = fcntl.ioctl(descriptor, _CDROM_DRIVE_STATUS, _CDSL_CURRENT)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return Tray(status) if status in set(Tray) else None

    def open_tray(self) -> None:
        """Opens the tray, if the drive has one."""
        if not self.name.startswith("stdio:"):
            self._run("-outdev", self.name, "-eject", "all")

    def _run(self, *arguments: str, progress: Progress | None = None, size: int = 0) -> ProgramRun:
        """Runs the program to its end; stops it if `progress` raises.

        Without a `size` to burn, it must end within EXAMINE_WITHIN.
        """
        try:
            process = subprocess.Popen(
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,  # a signal to the service does not stop burning
            )
        except OSError as error:
            output = f"FATAL : not found: program {self._program}: {error.strerror}"
            return ProgramRun(127, output)
        deadline = None if size else monotonic() + EXAMINE_WITHIN
        try:
            output = _read_output(process, progress, size, deadline)
        except TimeoutError:
            _stop(process)
            return ProgramRun(1, f"FATAL : no answer from the drive for {EXAMINE_WITHIN} s")
        except BaseException:
            _stop(process)
            raise
        return ProgramRun(process.wait(), output)


def _has_size(descriptor: int) -> bool:
    """Whether the size of the file is that of what is on the disc."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISBLK(mode) or stat.S_ISREG(mode)


def _read_output(
    process: "subprocess.Popen[bytes]",
    progress: Progress | None,
    size: int,
    deadline: float | None,
) -> str:
    """All output of a program. `progress` is called every second with the bytes it has written.

    Raises TimeoutError if the program has not ended by the deadline.
    """
    assert process.stdout is not None  # noqa: S101
    output = bytearray()
    done = 0
    unfinished_line = b""
    with process.stdout as stream:
        while True:
            ready, _, _ = select.select([stream], [], [], 1.0)
            if ready:
                data = os.read(stream.fileno(), 1 << 16)
                if not data:
                    return output.decode(errors="replace")
                output += data
                *lines, unfinished_line = re.split(rb"[\r\n]", unfinished_line + data)
                for line in lines:
                    match = _PROGRESS.search(line.decode(errors="replace"))
                    if match:
                        done = max(done, min(size, int(match[1]) << 20))
            if progress:
                progress(done)
            if deadline is not None and monotonic() > deadline:
                raise TimeoutError


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the program: first so that it can release the drive, then by force."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
