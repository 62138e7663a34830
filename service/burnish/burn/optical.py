"""Craft: the device that is an optical drive: images burnt through libburn, by xorriso."""

import fcntl
import os
import re
import select
import signal
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from burnish.burn.burner import IMAGE_GONE, BurnJob, BurnOutcome, BurnResult, Tell
from burnish.errors import Unknown
from burnish.lifecycle import Custody
from burnish.media import MEDIA, SECTOR

_CDROM_DRIVE_STATUS = 0x5326
_CDSL_CURRENT = 0x7FFFFFFF
_NO_DISC, _TRAY_OPEN, _NOT_READY = 1, 2, 3
#: How long looking at a disc may take, and the program to end when told to, in seconds.
_LOOK = 180
_ENDS_WITHIN = 60
_DISCS = ("CD", "DVD", "DVD-DL", "BD", "BD-DL")
#: What libburn calls a blank of each medium. A Blu-ray disc of two layers tells itself by its size.
_BLANKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"CD-RW?", ("CD",)),
    (r"DVD[-+]RW?( sequential recording| restricted overwrite)?", ("DVD",)),
    (r"DVD[-+]R/DL.*", ("DVD-DL",)),
    (r"BD-(R( .*)?|RE)", ("BD", "BD-DL")),
    (r"stdio file.*", _DISCS),
)
_ERASABLE = re.compile(r"CD-RW|DVD[-+]RW.*|BD-RE|stdio file.*")
_FACT = re.compile(r"^(Media current|Media status|Media blocks) *: *(.*)$", re.MULTILINE)
_WRITABLE = re.compile(r"(\d+) writable")
_UPDATE = re.compile(r"(\d+) of +\d+ MB written")
_BEGINNING = "Beginning to write data track"
_NO_BLANK = "Put in a blank {media}."
#: What the program says of what it cannot do, and what that means. The first that fits counts.
_SAYINGS: tuple[tuple[str, BurnOutcome, str], ...] = (
    (
        r"busy|already in use|in use\. Waiting|fcntl-lock",
        BurnOutcome.BUSY,
        "End what else uses the drive; burning then goes on by itself.",
    ),
    (
        r"No (readable|recognizable) medium|[Mm]edium not present|no writeable media",
        BurnOutcome.OUT_OF_SUPPLIES,
        _NO_BLANK,
    ),
    (
        r"exceeds free space",
        BurnOutcome.HOLD_OPERATOR,
        "Take the blank out and put in a larger one.",
    ),
    (
        r"Need blank|not blank|unsuitable|Cannot set write type|Unsuitable",
        BurnOutcome.HOLD_OPERATOR,
        _NO_BLANK,
    ),
    (
        r"not found|not existing|Cannot ac|Neither stdio-path|ermission denied",
        BurnOutcome.HOLD_SERVICE,
        "See that {drive} is connected and that the service may use it.",
    ),
)


@dataclass(frozen=True, slots=True)
class _Ran:
    """How the program ended, and what it said."""

    code: int
    said: str

    def saying(self) -> str:
        """The line that says what went wrong."""
        lines = [line for line in self.said.splitlines() if re.search("FAILURE|SORRY|FATAL", line)]
        return (lines[0] if lines else f"it ended with {self.code}").strip()


class OpticalBurner:
    """Burns CD-R/RW, DVD±R/RW, those of two layers, and BD-R/RE, one session, finalised.

    `drive` is a device file, as /dev/sr0, or one of libburn's pseudo-drives, as stdio:/path.
    `program` is xorriso or what behaves as it does. `speed` is a multiple of the medium's own
    single speed, 0: the highest. With `erase`, a rewritable medium that is not blank is
    overwritten; without, somebody has to say so by erasing it. With `eject` the tray opens when
    a disc is finished or ruined.
    """

    custody = Custody.RUINED

    def __init__(
        self,
        name: str,
        *,
        drive: str,
        program: str = "xorriso",
        speed: int = 0,
        erase: bool = False,
        eject: bool = True,
    ) -> None:
        self.name = name
        self._drive, self._program = drive, program
        self._speed, self._erase, self._eject = speed, erase, eject
        self._path = Path(drive.removeprefix("stdio:"))
        #: The job whose piece lies in the drive.
        self._in_drive: tuple[str, str, str] | None = None

    def state(self) -> BurnResult:
        """READY with what the blank in the drive takes."""
        closed = self._tray()
        if closed is not None:
            return closed
        ran = self._run("-outdev", self._drive, "-toc")
        if ran.code:
            return self._not_done(ran)
        facts = {name: value.strip() for name, value in _FACT.findall(ran.said)}
        medium, status = facts.get("Media current", ""), facts.get("Media status", "")
        if "is not present" in status or "not recogni" in medium + status or not medium:
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, "there is no disc", _NO_BLANK)
        return self._blank(medium, status, facts.get("Media blocks", ""))

    def write(
        self,
        job: BurnJob,
        progress: Callable[[int], None] | None = None,
        tell: Tell | None = None,  # noqa: ARG002  it does not go on by itself
    ) -> BurnResult:
        piece = _piece(job)
        try:
            size = job.image.stat().st_size
        except FileNotFoundError:
            return IMAGE_GONE
        if self._in_drive != piece:
            self._in_drive = None
            fits = self._fits(job.medium, size)
            if fits is not None:
                return fits
            burnt = self._burn(job.image, size, progress)
            if burnt.outcome is not BurnOutcome.WRITTEN:
                return burnt
            self._in_drive = piece
        if progress:
            progress(size)
        return BurnResult(BurnOutcome.WRITTEN, f"burnt in {self._drive}")

    def written(self, job: BurnJob) -> Path:
        if self._in_drive != _piece(job):
            raise Unknown(f"{job.stem} of {job.request_name} is not in the drive")
        return self._path

    def publish(self, job: BurnJob) -> Path:
        path = self.written(job)
        self._open_tray()
        return path

    def discard(self, job: BurnJob) -> None:
        if self._in_drive == _piece(job):
            self._in_drive = None
            self._open_tray()

    def tidy(self) -> None:
        self._in_drive = None

    def _blank(self, medium: str, status: str, blocks: str) -> BurnResult:
        """What a disc is good for, from what the program says of it."""
        names = next((media for kind, media in _BLANKS if re.fullmatch(kind, medium)), ())
        if not names:
            detail = f"the disc in the drive is a {medium}, which it cannot burn"
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, _NO_BLANK)
        writable = _WRITABLE.search(blocks)
        size = int(writable[1]) * SECTOR if writable else 0
        takes: Mapping[str, int] = dict.fromkeys(names, size)
        if "is blank" not in status:
            if not (self._erase and _ERASABLE.fullmatch(medium)):
                detail = f"the {medium} in the drive is not blank: it {status}"
                return self._result(BurnOutcome.HOLD_OPERATOR, detail, _NO_BLANK)
            takes = {name: MEDIA[name].capacity for name in names}
        if names[0] == "BD" and size > MEDIA["BD-DL"].capacity * 0.9:
            takes = {"BD-DL": size}
        return BurnResult(BurnOutcome.READY, f"the disc in the drive is a {medium}", takes=takes)

    def _fits(self, medium: str, size: int) -> BurnResult | None:
        """Why the disc in the drive will not do for the image; None where it does."""
        ready = self.state()
        if ready.outcome is not BurnOutcome.READY or ready.takes is None:
            return ready
        remedy = f"Put in a blank {medium or 'disc'} that holds {size / 1e6:.0f} MB."
        if medium and medium not in ready.takes:
            return self._result(BurnOutcome.HOLD_OPERATOR, ready.detail, remedy)
        holds = ready.takes[medium] if medium else max(ready.takes.values())
        if size > holds:
            detail = f"{ready.detail} and holds {holds} bytes of {size}"
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)
        return None

    def _burn(self, image: Path, size: int, progress: Callable[[int], None] | None) -> BurnResult:
        arguments = ["-as", "cdrecord", "-v", f"dev={self._drive}", "padsize=0"]
        if self._speed:
            arguments.append(f"speed={self._speed}")
        if self._erase:
            arguments.append("blank=as_needed")
        try:
            ran = self._run(*arguments, str(image), progress=progress, size=size)
        except BaseException:
            self._open_tray()
            raise
        if ran.code == 0:
            return BurnResult(BurnOutcome.WRITTEN)
        if _BEGINNING not in ran.said:
            return self._not_done(ran)
        self._open_tray()
        detail = f"the disc is ruined: {ran.saying()}"
        return self._result(BurnOutcome.RUINED, detail, "Throw the disc away.")

    def _not_done(self, ran: _Ran) -> BurnResult:
        for pattern, outcome, remedy in _SAYINGS:
            if re.search(pattern, ran.said):
                return self._result(outcome, ran.saying(), remedy)
        remedy = "Have the drive {drive} looked at."
        return self._result(BurnOutcome.HOLD_SERVICE, ran.saying(), remedy)

    def _result(self, outcome: BurnOutcome, detail: str, remedy: str) -> BurnResult:
        remedy = remedy.format(media="disc", drive=self._drive)
        return BurnResult(outcome, f"device {self.name}: {detail}", remedy)

    def _tray(self) -> BurnResult | None:
        """What holds the drive up, asked of the system: the program would close an open tray."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
        if status in (_NO_DISC, _TRAY_OPEN):
            said = "the tray is open" if status == _TRAY_OPEN else "there is no disc"
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, said, _NO_BLANK)
        if status == _NOT_READY:
            return self._result(BurnOutcome.BUSY, "the drive is not ready yet", "Wait a moment.")
        return None

    def _open_tray(self) -> None:
        if self._eject and not self._drive.startswith("stdio:"):
            self._run("-outdev", self._drive, "-eject", "all")

    def _run(
        self,
        *arguments: str,
        progress: Callable[[int], None] | None = None,
        size: int = 0,
    ) -> _Ran:
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
            return _Ran(127, said)
        try:
            said = _listen(process, progress, size, None if size else monotonic() + _LOOK)
        except TimeoutError:
            _stop(process)
            return _Ran(1, f"FATAL : no answer from the drive for {_LOOK} s")
        except BaseException:
            _stop(process)
            raise
        return _Ran(process.wait(), said)


def _piece(job: BurnJob) -> tuple[str, str, str]:
    """What tells one piece from all others."""
    return job.checked_name(), job.stem, job.file_set_uid


def _listen(
    process: "subprocess.Popen[bytes]",
    progress: Callable[[int], None] | None,
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
