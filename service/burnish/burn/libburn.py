"""Craft: what libburn's program, xorriso, does with a drive, and says of the disc in it."""

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
#: How long looking at a disc may take, and the program to end when told to, in seconds.
LOOK = 180
_ENDS_WITHIN = 60
_LOOKS_EVERY = 1.0
_FACT = re.compile(r"^(Media current|Media status|Media blocks|Media nwa) *: *(.*)$", re.MULTILINE)
_SESSION = re.compile(r"^(?:ISO|Other) session *: *\d+ *, *(\d+) *,", re.MULTILINE)
_WRITABLE = re.compile(r"(\d+) writable")
_UPDATE = re.compile(r"(\d+) of +\d+ MB written")
_BEGINNING = "Beginning to write data track"
#: Bytes put behind the image of a session that is written by itself, track at once: the last
#: two sectors of such a track cannot be read, and systems trip over them when they read ahead.
PADDING = 150 * SECTOR


class Tray(IntEnum):
    """What Linux says of a drive that has no disc to read (CDROM_DRIVE_STATUS)."""

    NO_DISC = 1
    OPEN = 2
    NOT_READY = 3


@dataclass(frozen=True, slots=True)
class Ran:
    """How the program ended, and what it said."""

    code: int
    said: str

    @property
    def begun(self) -> bool:
        """Whether it began to write."""
        return _BEGINNING in self.said

    def saying(self) -> str:
        """The line that says what went wrong."""
        lines = [line for line in self.said.splitlines() if re.search("FAILURE|SORRY|FATAL", line)]
        return (lines[0] if lines else f"it ended with {self.code}").strip()


@dataclass(frozen=True, slots=True)
class Disc:
    """What a program that `ran` said of the disc in a drive, `medium` and `status` in its words.

    `free` are the bytes that can be written, from sector `next` on; `session` is the first sector
    of the last session, 0 where there is one or none.
    """

    ran: Ran
    medium: str = ""
    status: str = ""
    free: int = 0
    session: int = 0
    next: int = 0

    @property
    def present(self) -> bool:
        unknown = "not recogni" in self.medium + self.status
        return bool(self.medium) and not unknown and "is not present" not in self.status

    @property
    def blank(self) -> bool:
        return "is blank" in self.status

    @property
    def overwriteable(self) -> bool:
        """Whether it has no sessions, since any sector can be written again."""
        return "overwriteable" in self.medium

    @property
    def appendable(self) -> bool:
        return "is appendable" in self.status


class Drive:
    """A drive: `name` is a device file, as /dev/sr0, or a pseudo-drive, as stdio:/path.

    `program` is xorriso or what behaves as it does.
    """

    def __init__(self, name: str, program: str = "xorriso") -> None:
        self.name = name
        self.path = Path(name.removeprefix("stdio:"))
        self._program = program

    def look(self) -> Disc:
        """What there is in the drive, of which `ran` may say that it could not be seen."""
        ran = self._run("-outdev", self.name, "-toc")
        facts = {name: value.strip() for name, value in _FACT.findall(ran.said)}
        writable = _WRITABLE.search(facts.get("Media blocks", ""))
        return Disc(
            ran,
            facts.get("Media current", ""),
            facts.get("Media status", ""),
            int(writable[1]) * SECTOR if writable else 0,
            max(map(int, _SESSION.findall(ran.said)), default=0),
            int(re.sub(r"\D.*", "", facts.get("Media nwa", "")) or 0),
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
    ) -> Ran:
        """Writes an image: on a blank all of it at once, or as one more `session`.

        With `leave_open` another session can follow. On what can be overwritten anywhere, where
        there are no sessions, libburn then makes the volume that is there longer.
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

    def shows(self, size: int) -> bool:
        """Whether the system sees `size` bytes of the disc: it may keep what it saw before.

        True where there is no drive any more, in which to look for them.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            return not self._is_drive(descriptor) or os.lseek(descriptor, 0, os.SEEK_END) >= size
        finally:
            os.close(descriptor)

    def bring_into_view(self, size: int, waiting: Callable[[bool], None]) -> bool:
        """Whether the system sees `size` bytes; where not, the tray first goes out and in.

        `waiting` is told every second whether the tray is open: some drives cannot pull it in, and
        then somebody has to. It may raise to stop.
        """
        if self.shows(size):
            return True
        self.open_tray()
        self._run("-outdev", self.name, "-toc")  # libburn loads a tray before it looks
        until = monotonic() + LOOK
        while not self.shows(size):
            opened = self.tray() is Tray.OPEN
            if opened:
                until = monotonic() + LOOK
            elif monotonic() > until:
                return False
            waiting(opened)
            Event().wait(_LOOKS_EVERY)
        return True

    def tray(self) -> Tray | None:
        """What the drive lacks, asked of the system: the program would close an open tray."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None  # the program says it better
        try:
            if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
                return None
            status = fcntl.ioctl(descriptor, _CDROM_DRIVE_STATUS, _CDSL_CURRENT)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return next((lack for lack in Tray if lack == status), None)

    def open_tray(self) -> None:
        """Opens it, if there is one."""
        if not self.name.startswith("stdio:"):
            self._run("-outdev", self.name, "-eject", "all")

    def _is_drive(self, descriptor: int) -> bool:
        """Whether what the path leads to has a size that says what is on the disc."""
        mode = os.fstat(descriptor).st_mode
        return stat.S_ISBLK(mode) or stat.S_ISREG(mode)

    def _run(self, *arguments: str, progress: Progress | None = None, size: int = 0) -> Ran:
        """Runs the program to its end; stops it where `progress` raises.

        Without a `size` to burn it has to come to its end soon.
        """
        try:
            process = subprocess.Popen(
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,  # what stops the service does not stop a disc half way
            )
        except OSError as error:
            said = f"FATAL : not found: program {self._program}: {error.strerror}"
            return Ran(127, said)
        try:
            said = _listen(process, progress, size, None if size else monotonic() + LOOK)
        except TimeoutError:
            _stop(process)
            return Ran(1, f"FATAL : no answer from the drive for {LOOK} s")
        except BaseException:
            _stop(process)
            raise
        return Ran(process.wait(), said)


def _listen(
    process: "subprocess.Popen[bytes]",
    progress: Progress | None,
    size: int,
    until: float | None,
) -> str:
    """All that a program says, while `progress` is told how far it is."""
    assert process.stdout is not None  # noqa: S101
    said, done, line = bytearray(), 0, b""
    with process.stdout as stream:
        while True:
            ready, _, _ = select.select([stream], [], [], 1.0)
            if ready:
                part = os.read(stream.fileno(), 1 << 16)
                if not part:
                    return said.decode(errors="replace")
                said += part
                *lines, line = (line + part).replace(b"\r", b"\n").split(b"\n")
                for found in map(_UPDATE.search, (one.decode(errors="replace") for one in lines)):
                    if found:
                        done = max(done, min(size, int(found[1]) << 20))
            if progress:
                progress(done)
            if until is not None and monotonic() > until:
                raise TimeoutError


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the program, so that it can let go of the drive, or else by force."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
