"""Craft: the device that is an optical drive: images burnt through libburn, by xorriso."""

import re
from collections.abc import Mapping
from pathlib import Path

from burnish.burn.burner import IMAGE_GONE, BurnJob, BurnOutcome, BurnResult, Tell
from burnish.burn.libburn import PADDING, Disc, Drive, Progress, Ran, Tray
from burnish.errors import Unknown
from burnish.lifecycle import Custody
from burnish.media import MEDIA, OPEN_MEDIA

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


class OpticalBurner:
    """Burns CD-R/RW, DVD±R/RW, those of two layers, and BD-R/RE: one session, finalised.

    `drive` is a device file, as /dev/sr0, or one of libburn's pseudo-drives, as stdio:/path.
    `program` is xorriso or what behaves as it does. `speed` is a multiple of the medium's own
    single speed, 0: the highest. With `erase`, a rewritable medium that is not blank is
    overwritten; without, somebody has to say so by erasing it. With `eject` the tray opens when
    a disc is finished or ruined. Without `finalise`, a disc on which a medium of OPEN_MEDIA was
    asked for stays open for a later session (PS3.11 D.2.1.1); any other is finalised all the same.
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
        #: The job whose piece lies in the drive.
        self._in_drive: tuple[str, str, str] | None = None

    def state(self) -> BurnResult:
        """READY with what the blank in the drive takes."""
        closed = self._closed(self._drive.tray())
        if closed is not None:
            return closed
        disc = self._drive.look()
        if disc.ran.code:
            return self._not_done(disc.ran)
        if not disc.present:
            return self._result(BurnOutcome.OUT_OF_SUPPLIES, "there is no disc", _NO_BLANK)
        return self._blank(disc)

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
            fits = self._fits(job.medium, size + PADDING * leave_open)
            if fits is not None:
                return fits
            burnt = self._burn(job.image, leave_open, progress)
            if burnt.outcome is not BurnOutcome.WRITTEN:
                return burnt
            self._in_drive = piece
        self._bring_into_view(size, progress, tell)
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

    def tidy(self) -> None:
        self._in_drive = None

    def _blank(self, disc: Disc) -> BurnResult:
        """What a disc is good for, from what the program says of it."""
        medium, size = disc.medium, disc.free
        names = next((media for kind, media in _BLANKS if re.fullmatch(kind, medium)), ())
        if not names:
            detail = f"the disc in the drive is a {medium}, which it cannot burn"
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

    def _burn(self, image: Path, leave_open: bool, progress: Progress | None) -> BurnResult:
        try:
            ran = self._drive.burn(
                image,
                speed=self._speed,
                erase=self._erase,
                leave_open=leave_open,
                progress=progress,
            )
        except BaseException:
            self._open_tray()
            raise
        if ran.code == 0:
            return BurnResult(BurnOutcome.WRITTEN)
        if not ran.begun:
            return self._not_done(ran)
        self._open_tray()
        detail = f"the disc is ruined: {ran.saying()}"
        return self._result(BurnOutcome.RUINED, detail, "Throw the disc away.")

    def _bring_into_view(self, size: int, progress: Progress | None, tell: Tell | None) -> None:
        """Sees to it that the system sees what was burnt, for which the tray may have to go out
        and in: where the drive cannot pull it in, somebody is asked to. What is not seen then,
        reading back complains of."""

        def waiting(opened: bool) -> None:
            if opened and tell:
                said = "the disc is burnt and has to be read back, but the tray is open"
                remedy = "Push the tray in, with the disc that was just burnt."
                tell(self._result(BurnOutcome.HOLD_OPERATOR, said, remedy))
            if progress:
                progress(size)

        self._drive.bring_into_view(size, waiting)
        if tell:
            tell(BurnResult(BurnOutcome.READY))

    def _not_done(self, ran: Ran) -> BurnResult:
        for pattern, outcome, remedy in _SAYINGS:
            if re.search(pattern, ran.said):
                return self._result(outcome, ran.saying(), remedy)
        remedy = "Have the drive {drive} looked at."
        return self._result(BurnOutcome.HOLD_SERVICE, ran.saying(), remedy)

    def _result(self, outcome: BurnOutcome, detail: str, remedy: str) -> BurnResult:
        remedy = remedy.format(media="disc", drive=self._drive.name)
        return BurnResult(outcome, f"device {self.name}: {detail}", remedy)

    def _closed(self, tray: Tray | None) -> BurnResult | None:
        """What it means that the drive has no disc to read; None where it has."""
        if tray is Tray.NOT_READY:
            return self._result(BurnOutcome.BUSY, "the drive is not ready yet", "Wait a moment.")
        if tray is None:
            return None
        said = "the tray is open" if tray is Tray.OPEN else "there is no disc"
        return self._result(BurnOutcome.OUT_OF_SUPPLIES, said, _NO_BLANK)

    def _open_tray(self) -> None:
        if self._eject:
            self._drive.open_tray()


def _piece(job: BurnJob) -> tuple[str, str, str]:
    """What tells one piece from all others."""
    return job.checked_name(), job.stem, job.file_set_uid
