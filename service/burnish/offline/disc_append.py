"""Offline: instances added to a disc that was left open: filed, burnt as a session, read back."""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from burnish.application_profiles import ApplicationProfile
from burnish.burn.libburn import PADDING, Disc, Drive
from burnish.content import readme_txt
from burnish.dicomdir import appending
from burnish.dicomdir.appending import EarlierDirectory
from burnish.errors import Conflict, OperatorError, OutOfResources
from burnish.hashing import digest_of
from burnish.image import iso9660_session
from burnish.image.iso9660_writer import Extent
from burnish.image.reader import open_volume
from burnish.media import MEDIA, SECTOR
from burnish.offline.disc_build import Filed, Left, Outcome, Wish, file_all, files_below
from burnish.plan.grouping import group
from burnish.plan.volumes import name_files
from burnish.secure_files import open_secure
from burnish.values import DirectoryEntry, ExpectedInstance, Progress, VolumeFile, VolumeReport
from burnish.verify import compare_volume, examine_volume
from burnish.verify.snapshot import DigestingVolume, VolumeSnapshot, take_snapshot

_DICOMDIR = "DICOMDIR"
#: The discs that can be left open, as libburn calls them.
_OPEN = re.compile(r"CD-RW?|stdio file.*")
_UNTOUCHED = "nothing was written"


@dataclass(frozen=True, slots=True)
class Addition:
    """How instances are added to a disc; with `finalise` none can be added after them."""

    profile: ApplicationProfile
    other_patients: bool = False
    finalise: bool = False
    speed: int = 0
    eject: bool = True


@dataclass(slots=True)
class Appended:
    """What became of it; `left` are the files that were not added.

    Without a report nothing was written, as where any file is refused. `size` is that of the
    session in bytes, `first` the sector it begins at.
    """

    left: Outcome
    added: int = 0
    first: int = 0
    size: int = 0
    report: VolumeReport | None = None


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A disc as it was: where its files lie, what they are, its DICOMDIR, its README, and
    what a session has to repeat."""

    disc: Disc
    extents: dict[str, Extent]
    holdings: VolumeSnapshot
    directory: EarlierDirectory
    readme: bytes | None
    head: bytes


@dataclass(frozen=True, slots=True)
class _Session:
    """What is to be written: the files, and what all of the disc must then hold."""

    files: list[VolumeFile]
    kept: dict[str, Extent]
    dicomdir: bytes
    expected: list[ExpectedInstance]
    unchanged: dict[str, str]


def append(
    drive: Drive,
    sources: Sequence[Path],
    wish: Addition,
    progress: Progress,
    ask: Callable[[str], None],
) -> Appended:
    """Adds the DICOM files under `sources` to the File-set on the disc in the drive.

    The files that are there stay where they are; a new session has those that are added and a
    DICOMDIR of all of them (PS3.11 D.2.1.1). All is read back. `ask` asks for a hand at the drive.

    Raises Conflict for a disc or instances that cannot be put together, OutOfResources where there
    is no room, OperatorError where the drive or the disc has to be seen to.
    """
    outcome, files = Outcome(), list(files_below(sources))
    earlier = _look(drive, wish.profile, progress)
    with tempfile.TemporaryDirectory(prefix="burnish-") as scratch:
        fitting = Wish(wish.profile, MEDIA["CD"], None, "", split=False)
        filed = file_all(files, Path(scratch), fitting, outcome, progress)
        filed = _not_there_yet(filed, earlier.holdings, outcome)
        if outcome.refused or not filed:
            return Appended(outcome)
        planned = _plan(filed, earlier, wish)
        image = Path(scratch) / "session.iso"
        size = _write(planned, earlier, image, progress)
        _burn(drive, image, wish, progress)
    first = earlier.disc.next
    progress("reading the disc back", 0, 0)
    _bring_into_view(drive, first * SECTOR + size, ask)
    report = _read_back(drive, planned, earlier)
    if wish.eject:
        drive.open_tray()
    return Appended(outcome, len(filed), first, size, report)


def _look(drive: Drive, profile: ApplicationProfile, progress: Progress) -> _Earlier:
    """The disc in the drive and all that is on it; raises where it cannot be added to."""
    progress("reading the disc", 0, 0)
    disc = drive.look()
    if disc.ran.code or not disc.present or drive.tray() is not None:
        why = disc.ran.saying() if disc.ran.code else "there is no disc in it"
        raise OperatorError(f"{drive.name}: {why}", hint="put in the disc, then try again")
    if disc.blank:
        raise Conflict("the disc is blank", hint="`burnish disc build` makes an image for it")
    if not _OPEN.fullmatch(disc.medium):
        raise Conflict(f"the disc is a {disc.medium}: only to a CD can instances be added")
    if not disc.appendable:
        raise Conflict("the disc is finalised: nothing can be added to it")
    extents = iso9660_session.read_extents(drive.path, disc.session)
    with open_volume(drive.path, fresh=True, session=disc.session) as volume:
        if open_secure(volume, {}) is not volume:
            raise Conflict("the files on the disc are Secure DICOM Files: make another disc")
        found = examine_volume(volume, profile, size=disc.next * SECTOR)
        if not found.good:
            fault = found.faults[0]
            raise Conflict(
                f"the disc is no sound File-set of {profile.label}: {fault.code} {fault.where}"
                f" {fault.message} (of {len(found.faults)} faults)",
                hint="`burnish disc verify` names them all; --profile says of which profile it is",
            )
        directory = appending.read_earlier(volume.read(_DICOMDIR))
        head = iso9660_session.read_head(drive.path) if disc.overwriteable else b""
        readme = volume.read(readme_txt.NAME) if readme_txt.NAME in extents else None
        return _Earlier(disc, extents, take_snapshot(volume), directory, readme, head)


def _not_there_yet(
    filed: Sequence[Filed], holdings: VolumeSnapshot, outcome: Outcome
) -> list[Filed]:
    """The instances that the disc has not; one that it has with other content is refused."""
    there = {one.sop_instance_uid: one for one in holdings.instances}
    new = []
    for one in filed:
        same = there.get(one.header.sop_instance_uid)
        if same is None:
            new.append(one)
        elif (same.digest, same.transfer_syntax_uid) == (one.digest, one.transfer_syntax_uid):
            outcome.skipped.append(Left(one.source, "it is on the disc already"))
        else:
            why = f"its SOP Instance UID is that of {same.file_id}, which has other content"
            outcome.refused.append(Left(one.source, why))
    return new


def _plan(filed: Sequence[Filed], earlier: _Earlier, wish: Addition) -> _Session:
    """The new files with File IDs behind those that are taken, and the DICOMDIR of all."""
    series = group([one.candidate(number, None) for number, one in enumerate(filed)])
    added = [
        filed[file.candidate.instance_id].on_volume(file.file_id)
        for file in name_files(series, earlier.extents)
    ]
    entries = [DirectoryEntry(one.file_id, one.header, one.transfer_syntax_uid) for one in added]
    dicomdir = appending.append_entries(earlier.directory, entries)
    others = appending.read_earlier(dicomdir).patient_ids - earlier.directory.patient_ids
    if others and not wish.other_patients:
        raise Conflict(
            f"{len(others)} other patients than the disc has; {_UNTOUCHED}",
            hint="--other-patient puts several patients on one disc",
        )
    expected = [*earlier.holdings.instances, *(one.expected() for one in added)]
    files = [VolumeFile(_DICOMDIR, len(dicomdir), dicomdir)]
    if earlier.readme is not None:
        readme = readme_txt.renewed(earlier.readme, len(expected))
        files.append(VolumeFile(readme_txt.NAME, len(readme), readme))
    renewed = {file.file_id for file in files}
    files += [VolumeFile(one.file_id, one.size, one.path) for one in added]
    kept = {name: extent for name, extent in earlier.extents.items() if name not in renewed}
    unchanged = {name: earlier.holdings.digests[name] for name in kept}
    return _Session(files, kept, dicomdir, expected, unchanged)


def _write(planned: _Session, earlier: _Earlier, image: Path, progress: Progress) -> int:
    """The image of the session; raises OutOfResources where the disc has no room for it."""
    size = iso9660_session.session_size(planned.kept, planned.files)
    free = earlier.disc.free
    if earlier.disc.overwriteable:  # an image, which is to be no larger than a CD
        free = min(free, MEDIA["CD"].capacity - earlier.disc.next * SECTOR)
    if size + PADDING > free:
        raise OutOfResources(
            f"the session takes {size + PADDING} bytes, and the disc has {free} free; {_UNTOUCHED}"
        )
    written = iso9660_session.write_session(
        image,
        volume_identifier=earlier.directory.file_set_id,
        earlier=planned.kept,
        files=planned.files,
        first=earlier.disc.next,
        created=datetime.now(UTC),
        repeated=earlier.head,
        progress=lambda done: progress("writing the session", done, size),
    )
    if written != size:
        raise Conflict(f"the session has {written} bytes where {size} were planned")
    return size


def _burn(drive: Drive, image: Path, wish: Addition, progress: Progress) -> None:
    size = image.stat().st_size
    ran = drive.burn(
        image,
        speed=wish.speed,
        session=True,
        leave_open=not wish.finalise,
        progress=lambda done: progress("burning", done, size),
    )
    if ran.code:
        hint = "the disc may be ruined" if ran.begun else _UNTOUCHED
        raise OperatorError(f"{drive.name}: {ran.saying()}", hint=hint)


def _bring_into_view(drive: Drive, end: int, ask: Callable[[str], None]) -> None:
    """Sees to it that the system sees the disc up to the byte `end`."""
    asked: list[bool] = []

    def waiting(opened: bool) -> None:
        if opened and not asked:
            asked.append(opened)
            ask("push the tray in, so that the disc can be read back")

    drive.bring_into_view(end, waiting)


def _read_back(drive: Drive, planned: _Session, earlier: _Earlier) -> VolumeReport:
    """All of the disc as its last session describes it, compared with what should be on it."""
    disc = drive.look()
    if disc.ran.code:
        hint = "the session is burnt, but not read back: `burnish disc verify` does that"
        raise OperatorError(f"{drive.name}: {disc.ran.saying()}", hint=hint)
    with open_volume(drive.path, fresh=True, session=disc.session) as opened:
        volume = DigestingVolume(opened)
        report = compare_volume(
            volume,
            file_set_id=earlier.directory.file_set_id,
            file_set_uid=earlier.directory.file_set_uid,
            expected=planned.expected,
            dicomdir=digest_of(planned.dicomdir),
        )
        return replace(report, faults=(*report.faults, *volume.changed(planned.unchanged)))
