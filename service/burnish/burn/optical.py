"""Craft: the device `optical`: burns images in a drive, by xorriso."""

import re
from collections.abc import Mapping
from pathlib import Path

from burnish.burn.burner import IMAGE_GONE, BurnJob, BurnOutcome, BurnResult, Supply, Tell
from burnish.burn.libburn import PADDING, Disc, Drive, ProgramRun, Progress, Tray
from burnish.errors import Unknown
from burnish.lifecycle import Custody
from burnish.media import MEDIA, OPEN_MEDIA

_DISCS = ("CD", "DVD", "DVD-DL", "BD", "BD-DL")
#: The names that libburn has for blanks, and the media that they may be. The size of a Blu-ray disc
#: tells how many layers it has.
_BLANKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"CD-RW?", ("CD",)),
    (r"DVD[-+]RW?( sequential recording| restricted overwrite)?", ("DVD",)),
    (r"DVD[-+]R/DL.*", ("DVD-DL",)),
    (r"BD-(R( .*)?|RE)", ("BD", "BD-DL")),
    (r"stdio file.*", _DISCS),
)
_ERASABLE = re.compile(r"CD-RW|DVD[-+]RW.*|BD-RE|stdio file.*")
_NO_BLANK = "Put in a blank {media}."
#: Messages of the program about what it cannot do, their outcomes and remedies. The first that
#: matches counts.
_MESSAGES: tuple[tuple[str, BurnOutcome, str], ...] = (
    (
        r"busy|already in use|in use\. Waiting|fcntl-lock",
        BurnOutcome.BUSY,
        "End what else uses the drive. Burning then continues by itself.",
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
        "Make sure that {drive} is connected and that the service may use it.",
    ),
)


class OpticalBurner:
    """Burns CD-R/RW, DVD±R/RW, DVD±R of two layers, and BD-R/RE: one session, finalised.

    drive: a device file, as /dev/sr0, or one of libburn's pseudo-drives, as stdio:/path.
    program: xorriso, or a program that behaves as it does.
    speed: a multiple of the single speed of the medium; 0 is the highest.
    erase: overwrites a rewritable disc that is not blank. Without it, an operator has to erase it.
    eject: opens the tray when a disc is finished or ruined.
    finalise: if false, a disc stays open for a later session if its medium is in OPEN_MEDIA
        (PS3.11 D.2.1.1). Any other disc is finalised all the same.
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
        finalise: bool = True,
    ) -> None:
        self.name = name
        self._drive = Drive(drive, program)
        self._speed, self._erase, self._eject = speed, erase, eject
        self._finalise = finalise
        #: The piece that has been burnt and is still in the drive.
        self._in_drive: tuple[str, str, str] | None = None

    def state(self) -> BurnResult:
        """READY with the media that can be made with the blank in the drive."""
        problem = self._tray_problem(self._drive.tray())
        if problem is not None:
            return problem
        disc = self._drive.examine_disc()
        if disc.run.code:
            return self._program_problem(disc.run)
        if not disc.present:
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, "there is no disc", _NO_BLANK)
        return self._disc_result(disc)

    def write(
        self,
        job: BurnJob,
        progress: Progress | None = None,
        tell: Tell | None = None,
    ) -> BurnResult:
        piece = _piece(job)
        try:
            size = job.image.stat().st_size
        except FileNotFoundError:
            return IMAGE_GONE
        if self._in_drive != piece:
            self._in_drive = None
            leave_open = not self._finalise and job.medium in OPEN_MEDIA
            needed = size + PADDING if leave_open else size
            problem = self._blank_problem(job.medium, needed)
            if problem is not None:
                return problem
            result = self._burn(job.image, leave_open, progress)
            if result.outcome is not BurnOutcome.WRITTEN:
                return result
            self._in_drive = piece
        self._make_readable(size, progress, tell)
        if progress:
            progress(size)
        return BurnResult(BurnOutcome.WRITTEN, f"burnt in {self._drive.name}")

    def written(self, job: BurnJob) -> Path:
        if self._in_drive != _piece(job):
            raise Unknown(f"{job.stem} of {job.request_name} is not in the drive")
        return self._drive.path

    def publish(self, job: BurnJob) -> Path:
        path = self.written(job)
        self._open_tray()
        return path

    def discard(self, job: BurnJob) -> None:
        if self._in_drive == _piece(job):
            self._in_drive = None
            self._open_tray()

    def supplies(self) -> tuple[Supply, ...]:
        return ()

    def tidy(self) -> None:
        self._in_drive = None

    def _disc_result(self, disc: Disc) -> BurnResult:
        """READY with the media that can be made with the disc, or why it cannot be used."""
        medium, size = disc.medium, disc.free
        names = next((media for kind, media in _BLANKS if re.fullmatch(kind, medium)), ())
        if not names:
            detail = f"the disc in the drive is a {medium}, which cannot be burnt"
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, _NO_BLANK)
        takes: Mapping[str, int] = dict.fromkeys(names, size)
        if not disc.blank:
            if not (self._erase and _ERASABLE.fullmatch(medium)):
                detail = f"the {medium} in the drive is not blank: it {disc.status}"
                return self._result(BurnOutcome.HOLD_OPERATOR, detail, _NO_BLANK)
            takes = {name: MEDIA[name].capacity for name in names}
        if names[0] == "BD" and size > MEDIA["BD-DL"].capacity * 0.9:
            takes = {"BD-DL": size}
        return BurnResult(BurnOutcome.READY, f"the disc in the drive is a {medium}", takes=takes)

    def _blank_problem(self, medium: str, size: int) -> BurnResult | None:
        """Why the disc in the drive cannot hold the image; None if it can."""
        ready = self.state()
        if ready.outcome is not BurnOutcome.READY or ready.takes is None:
            return ready
        remedy = f"Put in a blank {medium or 'disc'} that holds {size / 1e6:.0f} MB."
        if medium and medium not in ready.takes:
            return self._result(BurnOutcome.HOLD_OPERATOR, ready.detail, remedy)
        capacity = ready.takes[medium] if medium else max(ready.takes.values())
        if size > capacity:
            detail = f"{ready.detail} and holds {capacity} of the {size} bytes"
            return self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy)
        return None

    def _burn(self, image: Path, leave_open: bool, progress: Progress | None) -> BurnResult:
        try:
            run = self._drive.burn(
                image,
                speed=self._speed,
                erase=self._erase,
                leave_open=leave_open,
                progress=progress,
            )
        except BaseException:
            self._open_tray()
            raise
        if run.code == 0:
            return BurnResult(BurnOutcome.WRITTEN)
        if not run.began_to_write:
            return self._program_problem(run)
        self._open_tray()
        detail = f"the disc is ruined: {run.problem()}"
        return self._result(BurnOutcome.RUINED, detail, "Throw the disc away.")

    def _make_readable(self, size: int, progress: Progress | None, tell: Tell | None) -> None:
        """Makes the operating system notice what was burnt, so that it can be read back.

        For this the tray may have to open and close again; if the drive cannot close it, the
        operator is asked to. If that does not help, reading back reports the fault.
        """

        def on_wait(is_open: bool) -> None:
            if is_open and tell:
                detail = "the disc is burnt and has to be read back, but the tray is open"
                remedy = "Push the tray in, with the disc that was just burnt."
                tell(self._result(BurnOutcome.HOLD_OPERATOR, detail, remedy))
            if progress:
                progress(size)

        self._drive.make_readable(size, on_wait)
        if tell:
            tell(BurnResult(BurnOutcome.READY))

    def _program_problem(self, run: ProgramRun) -> BurnResult:
        """The meaning of a run of the program that failed before it wrote anything."""
        for pattern, outcome, remedy in _MESSAGES:
            if re.search(pattern, run.output):
                return self._result(outcome, run.problem(), remedy)
        remedy = "Have the drive {drive} checked."
        return self._result(BurnOutcome.HOLD_SERVICE, run.problem(), remedy)

    def _result(self, outcome: BurnOutcome, detail: str, remedy: str) -> BurnResult:
        remedy = remedy.format(media="disc", drive=self._drive.name)
        return BurnResult(outcome, f"device {self.name}: {detail}", remedy)

    def _tray_problem(self, tray: Tray | None) -> BurnResult | None:
        """Why the drive has no disc to read; None if it has one."""
        if tray is Tray.NOT_READY:
            return self._result(BurnOutcome.BUSY, "the drive is not ready yet", "Wait a moment.")
        if tray is None:
            return None
        detail = "the tray is open" if tray is Tray.OPEN else "there is no disc"
        return self._result(BurnOutcome.OUT_OF_SUPPLIES, detail, _NO_BLANK)

    def _open_tray(self) -> None:
        if self._eject:
            self._drive.open_tray()


def _piece(job: BurnJob) -> tuple[str, str, str]:
    """Identifies a piece."""
    return job.checked_name(), job.stem, job.file_set_uid
