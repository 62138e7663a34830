"""Offline: `burnish disc append`: instances added to a disc that was left open, as a session."""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from burnish import file_access
from burnish.application_profiles import ApplicationProfile
from burnish.burn.libburn import PADDING, Disc, Drive
from burnish.content import readme_txt, terms_record
from burnish.content.content_terms import ContentTerms
from burnish.content.pages.album import FOLDER
from burnish.dicomdir import appending
from burnish.dicomdir.appending import EarlierDirectory
from burnish.dicomdir.profile_keys import record_keys
from burnish.errors import Conflict, OperatorError, OutOfResources
from burnish.file_slice import Slice
from burnish.hashing import digest_of
from burnish.image import iso9660_session
from burnish.image.file_extents import Extent
from burnish.image.reader import open_volume
from burnish.instance_header import instance_faults
from burnish.media import MEDIA, SECTOR
from burnish.offline import renewed_pages
from burnish.offline.instance_store import InstanceStore, LeftOut, LeftOutFiles, files_below
from burnish.offline.renewed_pages import InstanceOnDisc
from burnish.plan.attempts import Attempt
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import group_into_series
from burnish.plan.media_plan import Refusal, Terms, list_candidates
from burnish.plan.profile_choice import Choice
from burnish.plan.remarks import damage_remark
from burnish.plan.source_instances import SourceInstance
from burnish.plan.volumes import assign_file_ids
from burnish.secure_files import open_secure
from burnish.values import (
    DirectoryEntry,
    ExpectedInstance,
    Progress,
    ReadableVolume,
    VolumeFile,
    VolumeReport,
)
from burnish.verify import compare_volume, examine_volume
from burnish.verify.faults import IMAGE_DAMAGE, FaultCode
from burnish.verify.snapshot import DigestingVolume, VolumeSnapshot, take_snapshot
from burnish.wording import quantity
from burnish.write.pipeline import VolumeInstance

_DICOMDIR, _INDEX = "DICOMDIR", "INDEX.HTM"
_LOGO = f"{FOLDER}\\LOGO.JPG"
#: The discs that can be left open, as libburn calls them.
_OPEN = re.compile(r"CD-RW?|stdio file.*")
#: What a reader passes over on the disc of another writer (PS3.2 7.2). Burnish adds none of these.
_UNKNOWN_TO_READERS = frozenset(
    {
        FaultCode.RECORD_TYPE_UNKNOWN,
        FaultCode.SOP_CLASS_NOT_IN_PROFILE,
        FaultCode.TRANSFER_SYNTAX_NOT_IN_PROFILE,
    }
)
_NOTHING_WRITTEN = "nothing was written"


@dataclass(frozen=True, slots=True)
class AppendOptions:
    """How instances are added to a disc; with `finalise` none can be added after them.

    With `keep_damaged`, damaged instances are added as they are, and README.TXT names them; then
    the disc may have such instances already. With `pages`, the pages of a disc that has any are
    made anew for all that it then holds.
    """

    profile: ApplicationProfile
    other_patients: bool = False
    finalise: bool = False
    speed: int = 0
    eject: bool = True
    keep_damaged: bool = False
    pages: bool = True


@dataclass(slots=True)
class AppendResult:
    """How many instances were added, and the files that were not.

    `report` is None where nothing was written, as when any file is refused. `size` is that of the
    session in bytes, `first_sector` the sector it begins at. With `old_pages`, the pages on the
    disc do not show what was added.
    """

    left_out: LeftOutFiles
    added: int = 0
    first_sector: int = 0
    size: int = 0
    old_pages: bool = False
    report: VolumeReport | None = None


@dataclass(frozen=True, slots=True)
class _EarlierDisc:
    """A disc as it was: its files and their extents, its DICOMDIR and its README.

    `path` is the file of its drive. `head` are the sectors that a session has to repeat on a disc
    that is overwritten. `terms` say what its pages hold; None without pages, or without pages that
    can be made anew.
    """

    path: Path

    disc: Disc
    extents: dict[str, Extent]
    snapshot: VolumeSnapshot
    directory: EarlierDirectory
    readme: bytes | None
    head: bytes
    terms: ContentTerms | None


@dataclass(frozen=True, slots=True)
class _Session:
    """The files to write, and those that the whole disc must hold afterwards.

    `files` are written; `kept` are the extents of the files that stay, `kept_digests` their
    digests.
    """

    files: list[VolumeFile]
    kept: dict[str, Extent]
    dicomdir: bytes
    expected: list[ExpectedInstance]
    kept_digests: dict[str, str]


def append(
    drive: Drive,
    sources: Sequence[Path],
    options: AppendOptions,
    progress: Progress,
    ask: Callable[[str], None],
) -> AppendResult:
    """Add the DICOM files under `sources` to the File-set on the disc in the drive.

    The files on the disc stay where they are; a new session has the added files and a DICOMDIR of
    all files (PS3.11 D.2.1.1). The whole disc is read back. `ask` asks a person to do something
    at the drive.

    Raises Conflict for a disc or instances that cannot be put together, OutOfResources where there
    is no room, OperatorError where the drive or the disc needs a person.
    """
    result, paths = AppendResult(LeftOutFiles()), list(files_below(sources))
    earlier = _examine_disc(drive, options, result.left_out, progress)
    with tempfile.TemporaryDirectory(prefix="burnish-") as scratch:
        store = InstanceStore(Path(scratch), result.left_out, progress)
        store.add_files(paths)
        candidates = _candidates(store, options)
        candidates = _not_on_disc(candidates, store, earlier.snapshot, result.left_out)
        if result.left_out.refused or not candidates:
            return result
        _refuse_contradictions(store)
        if not options.pages:
            earlier = replace(earlier, terms=None)
        session = _plan_session(candidates, store, earlier, options, Path(scratch), progress)
        result.old_pages = earlier.terms is None and _INDEX in earlier.extents
        image = Path(scratch) / "session.iso"
        result.size = _write_session(session, earlier, image, progress)
        _burn(drive, image, options, progress)
    result.added = len(candidates)
    result.first_sector = earlier.disc.next
    progress("reading the disc back", 0, 0)
    _bring_into_view(drive, result.first_sector * SECTOR + result.size, ask)
    result.report = _read_back(drive, session, earlier)
    if options.eject:
        drive.open_tray()
    return result


def _candidates(store: InstanceStore, options: AppendOptions) -> list[Candidate]:
    """The instances as they will be on the disc."""
    terms = Terms(damaged_images="keep" if options.keep_damaged else "refuse")

    def list_all(instances: Sequence[SourceInstance]) -> list[Candidate] | Refusal | None:
        choice = Choice("CD", MEDIA["CD"].capacity, (options.profile,) * len(instances))
        return list_candidates(instances, Attempt(choice), terms, store, store)

    return store.plan(list_all) or []


def _refuse_contradictions(store: InstanceStore) -> None:
    """Raise Conflict if one DICOMDIR cannot list the added files themselves."""
    reasons = [
        contradiction.text for contradiction in store.contradictions() if contradiction.apart
    ]
    if reasons:
        raise Conflict(
            f"one DICOMDIR cannot list the files: {', '.join(reasons)}; {_NOTHING_WRITTEN}",
            hint="correct or leave out the files that are wrong",
        )


def _examine_disc(
    drive: Drive, options: AppendOptions, left_out: LeftOutFiles, progress: Progress
) -> _EarlierDisc:
    """The disc in the drive; raises OperatorError or Conflict where nothing can be added to it.

    What is on the disc and Burnish or the profile does not know stays as it is, and is told.
    """
    progress("reading the disc", 0, 0)
    if drive.path.exists() and not file_access.holds_bytes(drive.path):
        raise OperatorError(f"{drive.name}: {drive.path} is neither a drive nor a file")
    disc = drive.examine_disc()
    if disc.run.code or not disc.present or drive.tray() is not None:
        why = disc.run.problem() if disc.run.code else "there is no disc in it"
        raise OperatorError(f"{drive.name}: {why}", hint="insert the disc, then try again")
    if disc.blank:
        raise Conflict("the disc is blank", hint="`burnish disc build` makes an image for it")
    if not _OPEN.fullmatch(disc.medium):
        raise Conflict(f"the disc is a {disc.medium}: instances can be added to a CD only")
    if not disc.appendable:
        raise Conflict("the disc is finalised: nothing can be added to it")
    extents = iso9660_session.read_extents(drive.path, disc.session)
    with open_volume(drive.path, fresh=True, session=disc.session) as volume:
        if open_secure(volume, {}) is not volume:
            raise Conflict("the files on the disc are Secure DICOM Files: make another disc")
        _check_soundness(volume, disc.next * SECTOR, options, left_out)
        directory = appending.read_earlier(volume.read(_DICOMDIR))
        head = iso9660_session.read_head(drive.path) if disc.overwriteable else b""
        readme = volume.read(readme_txt.NAME) if readme_txt.NAME in extents else None
        terms = None
        if _INDEX in extents:
            logo = volume.read(_LOGO) if _LOGO in extents else b""
            terms = terms_record.read_terms(volume.read(_INDEX), logo)
        snapshot = take_snapshot(volume)
        return _EarlierDisc(drive.path, disc, extents, snapshot, directory, readme, head, terms)


def _check_soundness(
    volume: ReadableVolume, size: int, options: AppendOptions, left_out: LeftOutFiles
) -> None:
    """Raise Conflict if the volume has no sound File-set; tell what a reader passes over."""
    profile = options.profile
    report = examine_volume(volume, profile, size=size)
    faults = [
        fault
        for fault in report.faults
        if fault.code not in _UNKNOWN_TO_READERS
        and not (options.keep_damaged and fault.code in IMAGE_DAMAGE)
    ]
    if faults:
        raise Conflict(
            f"the disc has no sound File-set of {profile.label}: {faults[0].code}"
            f" {faults[0].where} ({quantity(len(faults), 'fault')} in all)",
            hint="`burnish disc verify` lists all faults; --profile names the disc's profile;"
            " --keep-damaged passes over damaged instances",
        )
    left_out.doubtful += [
        LeftOut(Path(fault.where), f"on the disc, and stays as it is: {fault.message}")
        for fault in report.faults
        if fault.code in _UNKNOWN_TO_READERS
    ]


def _not_on_disc(
    candidates: Sequence[Candidate],
    store: InstanceStore,
    snapshot: VolumeSnapshot,
    left_out: LeftOutFiles,
) -> list[Candidate]:
    """The candidates that the disc does not have; one that it has with other content is refused."""
    on_disc = {instance.sop_instance_uid: instance for instance in snapshot.instances}
    new = []
    for candidate in candidates:
        same_uid = on_disc.get(candidate.header.sop_instance_uid)
        if same_uid is None:
            new.append(candidate)
            continue
        source = store.source(candidate)
        if (
            same_uid.digest == store.digest(candidate)
            and same_uid.transfer_syntax_uid == candidate.transfer_syntax_uid
        ):
            left_out.skipped.append(LeftOut(source, "it is on the disc already"))
        else:
            why = f"its SOP Instance UID is that of {same_uid.file_id}, which has other content"
            left_out.refused.append(LeftOut(source, why))
    return new


def _plan_session(  # noqa: PLR0917
    candidates: Sequence[Candidate],
    store: InstanceStore,
    earlier: _EarlierDisc,
    options: AppendOptions,
    scratch: Path,
    progress: Progress,
) -> _Session:
    """The new files, under File IDs that are not yet used, and DICOMDIR and pages of all files."""
    planned = assign_file_ids(group_into_series(candidates), earlier.extents)
    added = [store.volume_instance(file) for file in planned]
    dicomdir = appending.append_entries(
        earlier.directory,
        [
            DirectoryEntry(instance.file_id, instance.header, instance.transfer_syntax_uid)
            for instance in added
        ],
        record_keys(options.profile.label),
    )
    directory = appending.read_earlier(dicomdir)
    new_patients = directory.patient_ids - earlier.directory.patient_ids
    if new_patients and not options.other_patients:
        raise Conflict(
            f"the instances are of {quantity(len(new_patients), 'patient')} not on the disc;"
            f" {_NOTHING_WRITTEN}",
            hint="--other-patient puts several patients on one disc",
        )
    expected = [*earlier.snapshot.instances, *(instance.expected() for instance in added)]
    files = [VolumeFile(_DICOMDIR, len(dicomdir), dicomdir)]
    if earlier.readme is not None:
        readme = readme_txt.with_instance_count(earlier.readme, len(expected))
        readme = readme_txt.with_remarks(readme, _damage_remarks(candidates), earlier.terms)
        files.append(VolumeFile(readme_txt.NAME, len(readme), readme))
    kept = dict(earlier.extents)
    if earlier.terms:
        pages = _pages(directory, added, earlier, scratch, progress)
        kept = renewed_pages.without_old_pages(kept, pages)
        sizes = {name: extent.size for name, extent in kept.items()}
        files += renewed_pages.changed_files(pages, sizes, earlier.snapshot.digests)
    for file in files:
        kept.pop(file.file_id, None)
    files += [
        VolumeFile(instance.file_id, instance.source.size, instance.source) for instance in added
    ]
    kept_digests = {name: earlier.snapshot.digests[name] for name in kept}
    return _Session(files, kept, dicomdir, expected, kept_digests)


def _damage_remarks(candidates: Sequence[Candidate]) -> list[str]:
    """The remark in README.TXT on instances that are added although damaged."""
    headers = [candidate.header for candidate in candidates]
    damaged = {
        header.sop_instance_uid: header.fault
        for header in headers
        if instance_faults.prevents_media(header.fault)
    }
    return [damage_remark(damaged)] if damaged else []


def _pages(
    directory: EarlierDirectory,
    added: Sequence[VolumeInstance],
    earlier: _EarlierDisc,
    scratch: Path,
    progress: Progress,
) -> list[VolumeFile]:
    """Pages and viewer of all instances: of those that are added, and of those on the disc."""
    if earlier.terms is None:
        return []
    instances = [
        InstanceOnDisc(instance.file_id, instance.source, instance.digest) for instance in added
    ]
    for instance in earlier.snapshot.instances:
        start = earlier.extents[instance.file_id].sector * SECTOR
        source = Slice(str(earlier.path), start, instance.size)
        instances.append(InstanceOnDisc(instance.file_id, source, instance.digest))
    return renewed_pages.pages_of_disc(directory, instances, earlier.terms, scratch, progress)


def _write_session(
    session: _Session, earlier: _EarlierDisc, image: Path, progress: Progress
) -> int:
    """Write the image of the session; its size.

    Raises OutOfResources where the disc has no room for it.
    """
    size = iso9660_session.session_size(session.kept, session.files)
    free = earlier.disc.free
    if earlier.disc.overwriteable:
        # the disc is an image on another medium, which must not get larger than a CD
        free = min(free, MEDIA["CD"].capacity - earlier.disc.next * SECTOR)
    if size + PADDING > free:
        raise OutOfResources(
            f"the session takes {size + PADDING} bytes, and the disc has {free} free;"
            f" {_NOTHING_WRITTEN}"
        )
    written = iso9660_session.write_session(
        image,
        volume_identifier=earlier.directory.file_set_id,
        earlier=session.kept,
        files=session.files,
        first=earlier.disc.next,
        created=datetime.now(UTC),
        repeated=earlier.head,
        progress=lambda done: progress("writing the session", done, size),
    )
    if written != size:
        raise Conflict(f"the session has {written} bytes instead of the planned {size}")
    return size


def _burn(drive: Drive, image: Path, options: AppendOptions, progress: Progress) -> None:
    size = image.stat().st_size
    run = drive.burn(
        image,
        speed=options.speed,
        session=True,
        leave_open=not options.finalise,
        progress=lambda done: progress("burning", done, size),
    )
    if run.code:
        hint = "the disc may be ruined" if run.began_to_write else _NOTHING_WRITTEN
        raise OperatorError(f"{drive.name}: {run.problem()}", hint=hint)


def _bring_into_view(drive: Drive, end: int, ask: Callable[[str], None]) -> None:
    """Wait until the system sees the disc up to the byte `end`."""
    asked = False

    def waiting(opened: bool) -> None:
        nonlocal asked
        if opened and not asked:
            asked = True
            ask("push the tray in, so that the disc can be read back")

    drive.make_readable(end, waiting)


def _read_back(drive: Drive, session: _Session, earlier: _EarlierDisc) -> VolumeReport:
    """Compare the whole disc, as its last session describes it, with what should be on it."""
    disc = drive.examine_disc()
    if disc.run.code:
        hint = "the session is burnt but was not read back: run `burnish disc verify`"
        raise OperatorError(f"{drive.name}: {disc.run.problem()}", hint=hint)
    with open_volume(drive.path, fresh=True, session=disc.session) as opened:
        volume = DigestingVolume(opened)
        report = compare_volume(
            volume,
            file_set_id=earlier.directory.file_set_id,
            file_set_uid=earlier.directory.file_set_uid,
            expected=session.expected,
            dicomdir=digest_of(session.dicomdir),
        )
        faults = [fault for fault in report.faults if fault.code not in _UNKNOWN_TO_READERS]
        return replace(report, faults=(*faults, *volume.changed(session.kept_digests)))
