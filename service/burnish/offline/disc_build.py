"""Offline: volume images of any DICOM files: finds, files, plans, builds and reads back."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from burnish import file_meta
from burnish.application_profiles import ApplicationProfile
from burnish.dicom_elements import encode
from burnish.dicomdir import encoder, icons
from burnish.dicomdir.profile_keys import header_on_media
from burnish.directory_records import ROOT_TYPES
from burnish.errors import (
    AlreadyExists,
    BurnishError,
    Conflict,
    OutOfResources,
    Unknown,
    Unreadable,
)
from burnish.hashing import digest_text, new_hasher
from burnish.identifiers import is_tolerable_uid, new_uid
from burnish.image.formats import FORMATS
from burnish.image.image_digest import ImageHashing
from burnish.instance_header.header import IndexedFile, index_file
from burnish.media import ATTACHMENT, Medium
from burnish.plan.eligibility import (
    Kind,
    compressed_form,
    kind_of,
    lossy_form,
    permitted_form,
    unfit,
)
from burnish.plan.grouping import Candidate, group
from burnish.plan.volumes import Volume, divide
from burnish.secure_files import Protection, Sealer
from burnish.transcode import conform
from burnish.transcode.frames import NotTranscodable
from burnish.transcode.transcode import Transcoded
from burnish.values import InstanceHeader, Progress, VolumeReport
from burnish.vocabulary import MEDIA_STORAGE_DIRECTORY_STORAGE
from burnish.write import pipeline
from burnish.write.pipeline import VolumeInstance, VolumePlan

_PIECE = 1 << 20
#: Media Storage SOP Class UID (0002,0002) of a DICOMDIR, as it stands in File Meta Information.
_DICOMDIR = encode(0x00020002, b"UI", MEDIA_STORAGE_DIRECTORY_STORAGE.encode())


@dataclass(frozen=True, slots=True)
class Wish:
    """What kind of media is wanted; `capacity` in bytes, None for what the medium holds.

    Media of a secure profile need a `protection`. With `lossless`, images are compressed without
    loss where the profile permits that, with `lossy` with loss.
    """

    profile: ApplicationProfile
    medium: Medium
    capacity: int | None
    file_set_id: str
    split: bool
    protection: Protection | None = None
    lossless: bool = False
    lossy: bool = False

    def sealed(self) -> Callable[[int], int] | None:
        """The bytes of a Secure DICOM File from those of what is in it, on secure media."""
        return Sealer(self.protection).size if self.protection else None

    def bytes_per_volume(self) -> int:
        return self.medium.holding(self.capacity)


@dataclass(frozen=True, slots=True)
class Left:
    """A file that is not on the media, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Built:
    """One image that was made."""

    image: Path
    file_set_id: str
    size: int
    report: VolumeReport


@dataclass(slots=True)
class Outcome:
    """What became of it: `skipped` does not belong on media, `refused` could not be put there."""

    built: list[Built] = field(default_factory=list)
    skipped: list[Left] = field(default_factory=list)
    refused: list[Left] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Filed:
    """One instance as it will be on the media, in the temporary directory."""

    source: Path
    source_transfer_syntax_uid: str
    header: InstanceHeader
    transfer_syntax_uid: str
    path: Path
    size: int
    data_set_offset: int
    digest: str

    def candidate(self, number: int, sealed: Callable[[int], int] | None) -> Candidate:
        lengths = encoder.record_lengths(self.header, self.transfer_syntax_uid)
        return Candidate(
            instance_id=number,
            transcoded_instance_id=None,
            header=self.header,
            transfer_syntax_uid=self.transfer_syntax_uid,
            size=sealed(self.size) if sealed else self.size,
            patient_length=lengths.patient,
            study_length=lengths.study,
            series_length=lengths.series,
            record_length=lengths.instance,
        )

    def on_volume(self, file_id: str) -> VolumeInstance:
        return VolumeInstance(
            file_id,
            self.header,
            self.transfer_syntax_uid,
            self.path,
            self.size,
            self.data_set_offset,
            self.digest,
        )


def build(sources: Sequence[Path], to: Path, wish: Wish, progress: Progress) -> Outcome:
    """Makes the images of all DICOM files under `sources` in the directory `to`.

    Raises Unknown for a source that is not there, AlreadyExists for an image that is there
    already, OutOfResources where one volume is wanted and cannot hold it all.
    """
    outcome = Outcome()
    paths = list(files_below(sources))
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".burnish-", dir=to) as scratch:
        filed = file_all(paths, Path(scratch), wish, outcome, progress)
        volumes = _divide(filed, wish, outcome)
        if len(volumes) > 1 and not wish.split:
            raise OutOfResources(
                f"it takes {len(volumes)} volumes of {wish.bytes_per_volume()} bytes",
                hint="leave out --no-split, add --lossless, or choose a profile of a larger medium",
            )
        _build_all(volumes, filed=filed, to=to, wish=wish, outcome=outcome, progress=progress)
    return outcome


def files_below(sources: Iterable[Path]) -> Iterator[Path]:
    """Every file, once, in an order that does not depend on the file system."""
    known = set()
    for source in sources:
        if not source.exists():
            raise Unknown(f"{source} is not there")
        found = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        for path in found:
            identity = path.resolve()
            if identity not in known:
                known.add(identity)
                yield path


def file_all(
    paths: Sequence[Path],
    scratch: Path,
    wish: Wish,
    outcome: Outcome,
    progress: Progress,
) -> list[Filed]:
    """Files each instance once; what is no instance is skipped, what cannot be filed refused."""
    filed: dict[str, Filed] = {}
    referring = _referring(paths) if wish.lossy else frozenset()
    for number, path in enumerate(paths):
        progress("reading", number, len(paths))
        start = _start(path)
        if _DICOMDIR in start:
            outcome.skipped.append(Left(path, "a DICOMDIR; the media get their own"))
            continue
        try:
            indexed = index_file(path)
            _check(indexed.header)
            kind = kind_of(indexed.header, indexed.transfer_syntax_uid)
            if found := unfit(kind, wish.profile, lossy=wish.lossy):
                raise Conflict(found.why)
            forms = _forms(kind, wish, lossy=indexed.header.study_instance_uid not in referring)
            one = _file(path, indexed, scratch / f"{number:08d}", wish, forms)
        except (BurnishError, OSError) as error:
            left = Left(path, str(error))
            # With the prefix of PS3.10 7.1 it says that it is DICOM: then it is a loss.
            (outcome.refused if start[128:132] == b"DICM" else outcome.skipped).append(left)
            continue
        first = filed.setdefault(indexed.header.sop_instance_uid, one)
        if first is not one:
            one.path.unlink()
            _tell_duplicate(one, first, outcome)
    return list(filed.values())


def _referring(paths: Iterable[Path]) -> frozenset[str]:
    """The studies with instances that are no images: what these refer to must stay what it is."""
    found = set()
    for path in paths:
        with suppress(BurnishError, OSError):
            header = index_file(path).header
            if header.directory_record_type != "IMAGE":
                found.add(header.study_instance_uid)
    return frozenset(found)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)


def _check(header: InstanceHeader) -> None:
    """Raises Unreadable for an instance that no DICOMDIR can name."""
    uids = [header.sop_class_uid, header.sop_instance_uid]
    if header.directory_record_type not in ROOT_TYPES:
        uids += [header.study_instance_uid, header.series_instance_uid]
    if not all(map(is_tolerable_uid, uids)):
        raise Unreadable("a UID that names it, its series or its study is missing or wrong")


def _file(
    path: Path, indexed: IndexedFile, target: Path, wish: Wish, forms: Sequence[str]
) -> Filed:
    """A copy with our own File Meta Information, in the first of the forms that can be made."""
    form, made = _bring(path, indexed, target, forms)
    profile, icon = wish.profile, b""
    if profile.icon and profile.icon.required:
        icon = icons.make(target, profile.icon.size)
        if not icon and indexed.header.directory_record_type == "IMAGE":
            raise Conflict(f"{profile.label} demands an icon, and none can be made of it")
    header = header_on_media(
        indexed.header,
        profile.label,
        derived_sop_instance_uid=made.derived.sop_instance_uid if made.derived else "",
        derived_record_keys=made.derived.record_keys if made.derived else b"",
        made_icon=icon,
    )
    return Filed(
        *(path, indexed.transfer_syntax_uid, header, form, target),
        *(made.size, made.data_set_offset, made.digest),
    )


def _forms(kind: Kind, wish: Wish, *, lossy: bool) -> list[str]:
    """The transfer syntaxes it may go onto the media in, the one to be preferred first."""
    wished = (
        lossy_form(kind, wish.profile) if wish.lossy and lossy else None,
        compressed_form(kind, wish.profile) if wish.lossless or wish.lossy else None,
        permitted_form(kind, wish.profile),
    )
    return [form for form in wished if form]


def _bring(
    path: Path, indexed: IndexedFile, target: Path, forms: Sequence[str]
) -> tuple[str, Transcoded]:
    """The transfer syntax it now has, and what was written."""
    for form in forms:
        if form == indexed.transfer_syntax_uid:
            return form, _copy(path, indexed, target)
        try:
            return form, conform.bring_into(form, path, target)
        except NotTranscodable:
            if form == forms[-1]:
                raise
    syntax = indexed.transfer_syntax_uid
    raise NotTranscodable(f"transfer syntax {syntax} cannot be brought into the profile")


def _copy(path: Path, indexed: IndexedFile, target: Path) -> Transcoded:
    header = indexed.header
    meta = file_meta.encode(
        header.sop_class_uid, header.sop_instance_uid, indexed.transfer_syntax_uid
    )
    hasher = new_hasher()
    with path.open("rb") as file, target.open("wb") as out:
        file.seek(indexed.data_set_offset)
        out.write(meta)
        while piece := file.read(_PIECE):
            hasher.update(piece)
            out.write(piece)
        return Transcoded(out.tell(), len(meta), digest_text(hasher))


def _tell_duplicate(one: Filed, first: Filed, outcome: Outcome) -> None:
    same = (one.digest, one.source_transfer_syntax_uid) == (
        first.digest,
        first.source_transfer_syntax_uid,
    )
    if same:
        outcome.skipped.append(Left(one.source, f"the same instance as {first.source}"))
    else:
        why = f"its SOP Instance UID is that of {first.source}, which has other content"
        outcome.refused.append(Left(one.source, why))


def _divide(filed: Sequence[Filed], wish: Wish, outcome: Outcome) -> list[Volume]:
    """The volumes; instances too large for one are refused."""
    sealed = wish.sealed()
    candidates = [one.candidate(number, sealed) for number, one in enumerate(filed)]
    while candidates:
        volumes, oversized = divide(
            group(candidates), wish.bytes_per_volume(), wish.medium.file_system, sealed
        )
        if volumes:
            return volumes
        too_large = {candidate.instance_id for candidate in oversized}
        for number in sorted(too_large):
            outcome.refused.append(Left(filed[number].source, "larger than one volume"))
        candidates = [c for c in candidates if c.instance_id not in too_large]
    return []


def _build_all(
    volumes: Sequence[Volume],
    *,
    filed: Sequence[Filed],
    to: Path,
    wish: Wish,
    outcome: Outcome,
    progress: Progress,
) -> None:
    targets = [_target(to, number, wish) for number in range(1, len(volumes) + 1)]
    for target in targets:
        if target.exists():
            raise AlreadyExists(f"{target} is there already", hint="name another --output")
        target.parent.mkdir(exist_ok=True)
    created = datetime.now(UTC)
    for number, (volume, target) in enumerate(zip(volumes, targets, strict=True), start=1):
        plan = _plan(volume, filed, _file_set_id(wish, number, len(volumes)), created)
        if wish.protection:
            plan = replace(plan, sealer=Sealer(wish.protection))
        what = f"writing {target.name}"
        total = plan.predicted_size
        hashing = ImageHashing()
        made = pipeline.build_image(
            *(plan, target, lambda n, w=what, t=total: progress(w, n, t), hashing)
        )
        progress(f"reading back {target.name}", 0, 0)
        report = pipeline.read_back(plan, target, made, fresh=False)
        outcome.built.append(Built(target, plan.file_set_id, os.stat(target).st_size, report))


def _target(to: Path, number: int, wish: Wish) -> Path:
    """Where a volume is to lie; what goes by mail has the name that it must have there."""
    path = to / f"VOLUME{number:02d}{FORMATS[wish.medium.file_system].suffix}"
    return path.with_suffix("") / ATTACHMENT if path.suffix == ".zip" else path


def _plan(
    volume: Volume, filed: Sequence[Filed], file_set_id: str, created: datetime
) -> VolumePlan:
    file_set_uid = new_uid()
    return VolumePlan(
        file_set_id,
        file_set_uid,
        created,
        volume.size(file_set_id, file_set_uid),
        volume.file_system,
        tuple(filed[file.candidate.instance_id].on_volume(file.file_id) for file in volume.files),
    )


def _file_set_id(wish: Wish, number: int, count: int) -> str:
    """As for a request (PS3.4 S.3.2.1.1.1): of several volumes each gets its number."""
    suffix = f"_{number}" if count > 1 else ""
    return wish.file_set_id[: 16 - len(suffix)] + suffix
