"""Stage: one volume from its plan to a verified image; no database."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from burnish.content import readme_txt
from burnish.content.readme_txt import NO_DETAILS, ReadmeDetails
from burnish.content.volume_files import VolumeContent
from burnish.dicomdir import encoder
from burnish.dicomdir.profile_keys import record_keys
from burnish.durable_files import sync
from burnish.errors import Conflict, Unreadable
from burnish.file_slice import Slice
from burnish.hashing import digest_of, digest_text, new_hasher
from burnish.image import image_file
from burnish.image.formats import Format, format_of
from burnish.image.image_digest import ImageHashing
from burnish.image.image_layout import Difference, ImageLayout
from burnish.image.image_source import CHUNK
from burnish.image.reader import open_volume
from burnish.media import FileSystem
from burnish.secure_files import ContentKeys, Sealer, open_secure
from burnish.values import (
    DirectoryEntry,
    ExpectedInstance,
    Fault,
    FileDigest,
    InstanceHeader,
    ReadableVolume,
    VolumeFile,
    VolumeReport,
)
from burnish.verify import FaultCode, compare_volume
from burnish.verify.snapshot import DigestingVolume

Progress = Callable[[int], None]


class VolumeInstance(NamedTuple):
    """One instance of a volume, whose file `source` is to be written."""

    file_id: str
    header: InstanceHeader
    transfer_syntax_uid: str
    source: Slice
    data_set_offset: int
    digest: str

    def expected(self) -> ExpectedInstance:
        """The file that reading the volume back must find."""
        return ExpectedInstance(
            file_id=self.file_id,
            sop_class_uid=self.header.sop_class_uid,
            sop_instance_uid=self.header.sop_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
            size=self.source.size,
            data_set_offset=self.data_set_offset,
            digest=self.digest,
        )


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """One volume as it was planned; `created` is the date of every file on it.

    `content` are its other files; without it, README.TXT has the `readme_details`, whose profiles
    decide on the keys of the DICOMDIR. With a `sealer`, every DICOM file on the volume is a Secure
    DICOM File (PS3.15 D.1). It is volume `number` of `count` of its set.
    """

    file_set_id: str
    file_set_uid: str
    created: datetime
    predicted_size: int
    file_system: FileSystem
    instances: tuple[VolumeInstance, ...]
    sealer: Sealer | None = None
    readme_details: ReadmeDetails = NO_DETAILS
    content: VolumeContent | None = None
    number: int = 1
    count: int = 1

    def dicomdir(self) -> bytes:
        """The bytes of the DICOMDIR."""
        return encoder.encode(
            [
                DirectoryEntry(instance.file_id, instance.header, instance.transfer_syntax_uid)
                for instance in self.instances
            ],
            keys=record_keys(self.readme_details.profiles),
            file_set_id=self.file_set_id,
            file_set_uid=self.file_set_uid,
        )

    def other_files(self) -> list[VolumeFile]:
        """The files that are not DICOM files."""
        if self.content is not None:
            return self.content.volume_files()
        readme = self.readme()
        return [VolumeFile(readme_txt.NAME, len(readme), readme)]

    @property
    def has_pages(self) -> bool:
        """Whether it has pages for browsers."""
        return self.content is not None and self.content.pages

    @property
    def format(self) -> Format:
        """How its image is written."""
        return format_of(self.file_system, pages=self.has_pages)

    def readme(self) -> bytes:
        """The bytes of README.TXT."""
        details = self.readme_details
        headers = [instance.header for instance in self.instances]
        return readme_txt.build_readme(
            self.file_set_id,
            len(self.instances),
            volume=(self.number, self.count),
            profiles=details.profiles,
            secure=self.sealer is not None,
            details=details.text(headers),
            remarks=details.remarks,
            institutions=readme_txt.institutions_of(headers),
        )


class BuiltImage(NamedTuple):
    """The facts about an image that was just built, which are stored nowhere.

    `keys` are the content keys of a secure volume; `dicomdir` is the digest of the DICOMDIR before
    it is sealed; `layout` is what every byte of the image must be; `hashing` computes digests of
    it, and may end later. `files` are the digests of the files that the service made itself: the
    DICOMDIR, all files for people, and all files that are sealed.
    """

    keys: ContentKeys
    dicomdir: str
    layout: ImageLayout
    hashing: ImageHashing
    files: dict[str, str]


@runtime_checkable
class WholeImage(Protocol):
    """An image that is compared with its layout while it is read and hashed."""

    def chunk_digests(self) -> list[bytes]: ...

    def differences(self) -> Sequence[Difference]: ...


class PlanOutdated(Conflict):
    """The image of a volume has not the size that was planned, so the volume is planned anew."""


def build_image(plan: VolumePlan, target: Path, progress: Progress | None = None) -> BuiltImage:
    """Writes the image of a volume: DICOMDIR, files for people, DICOM files in directory order.

    The result is for `read_back`. Raises PlanOutdated if the image has not the planned size,
    Conflict if a file has changed.
    """
    directory = plan.dicomdir()
    files = _dicom_files(plan, directory)
    digests = {"DICOMDIR": digest_of(directory)}
    keys: ContentKeys = {}
    if plan.sealer:
        keys = {file.file_id: plan.sealer.new_key() for file in files}
        files = [_sealed(file, plan.sealer, keys[file.file_id], digests) for file in files]
    files[1:1] = [_digesting(file, digests) for file in plan.other_files()]
    layout, hashing = ImageLayout(), ImageHashing()
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        size = plan.format.write(
            part,
            volume_identifier=plan.file_set_id,
            files=files,
            created=plan.created,
            progress=_hashing_along(part, plan, progress, hashing),
            layout=layout,
        )
        if size != plan.predicted_size:
            raise PlanOutdated(
                f"the image has {size} bytes, but {plan.predicted_size} were planned"
            )
        hashing.complete(part, size)
        part.replace(target)
        sync(target.parent)  # a robot that has a job of it goes on after a power failure
    except BaseException:
        hashing.abandon()
        raise
    finally:
        # an incomplete image must not fill the disk; if the disk fails, the next start removes it
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return BuiltImage(keys, digest_of(directory), layout, hashing, digests)


def _dicom_files(plan: VolumePlan, directory: bytes) -> list[VolumeFile]:
    """The DICOMDIR and the DICOM files of a volume, in the order in which they lie on it."""
    files = [VolumeFile("DICOMDIR", len(directory), directory)]
    for instance in plan.instances:
        files.append(
            VolumeFile(
                instance.file_id,
                instance.source.size,
                instance.source,
                instance.data_set_offset,
            )
        )
    return files


def plain_files(plan: VolumePlan) -> list[VolumeFile]:
    """All files of a volume without encryption, in the order in which they lie on it."""
    files = _dicom_files(plan, plan.dicomdir())
    files[1:1] = plan.other_files()
    return files


def _hashing_along(
    part: Path, plan: VolumePlan, progress: Progress | None, hashing: ImageHashing
) -> Progress | None:
    """Progress that has `hashing` follow an image that is written from start to end."""
    if not plan.format.in_order:
        return progress

    def follow(written: int) -> None:
        hashing.follow(part, written)
        if progress:
            progress(written)

    return follow


def _sealed(file: VolumeFile, sealer: Sealer, key: bytes, digests: dict[str, str]) -> VolumeFile:
    """A file of a secure volume, sealed while it is written; its digest is put in `digests`."""

    def seal() -> Iterator[bytes]:
        hasher = new_hasher()
        for piece in sealer.seal(key, file.size, image_file.content(file)):
            hasher.update(piece)
            yield piece
        digests[file.file_id] = digest_text(hasher)

    return VolumeFile(file.file_id, sealer.size(file.size), seal)


def _digesting(file: VolumeFile, digests: dict[str, str]) -> VolumeFile:
    """A file whose digest is put in `digests` while it is written."""

    def pieces() -> Iterator[bytes]:
        hasher = new_hasher()
        for piece in image_file.content(file):
            hasher.update(piece)
            yield piece
        digests[file.file_id] = digest_text(hasher)

    return VolumeFile(file.file_id, file.size, pieces)


def image_files(image_path: Path) -> Iterator[tuple[str, Iterable[bytes | memoryview]]]:
    """The File ID and the content of every file of an image."""
    with open_volume(image_path) as volume:
        for name in volume.files():
            yield name, volume.chunks(name)


def read_back(plan: VolumePlan, written: Path, built: BuiltImage, *, fresh: bool) -> VolumeReport:
    """Reads a written volume and compares every byte of it with what was written.

    `built` is what `build_image` returned. Data sets are compared by their digests of the time when
    they were received, all other bytes by digests of what was to be written; of a directory, all
    files are compared. The SHA-256 and the digests in the report are those of the bytes that were
    read. With `fresh`, bytes are read from the medium and not from the page cache.
    """
    with open_volume(
        written, fresh=fresh, layout=built.layout, length=plan.predicted_size
    ) as opened:
        volume: ReadableVolume = opened
        sealed = None
        if plan.sealer:
            sealed = DigestingVolume(opened)
            volume = open_secure(sealed, built.keys)
        report = compare_volume(
            volume,
            file_set_id=plan.file_set_id,
            file_set_uid=plan.file_set_uid,
            expected=[instance.expected() for instance in plan.instances],
            dicomdir=built.dicomdir,
            secure=plan.sealer is not None,
            others=built.files.keys(),
        )
        digests = sealed.digests() if sealed else {**report.digests}
        faults = [*report.faults, *_changed_files(report, digests, built.files)]
        is_image = isinstance(opened, WholeImage)
        if isinstance(opened, WholeImage):
            faults += _changed_bytes(opened, built.hashing)
        elif not plan.sealer:
            faults += _changed_heads(plan, opened)
    sha256 = built.hashing.sha256() if is_image and not faults else ""
    return replace(report, faults=tuple(faults), sha256=sha256, digests=digests)


def manifest_digests(report: VolumeReport) -> dict[str, object]:
    """The part of a manifest about the bytes that were read back."""
    files = {}
    for name, digest in sorted(report.digests.items()):
        files[name] = {"size": digest.size, "digest": digest.digest}
        if digest.offset:
            files[name] |= {"offset": digest.offset, "head": digest.head}
    return {"sha256": report.sha256, "files": files}


def _changed_files(
    report: VolumeReport, digests: Mapping[str, FileDigest], expected: Mapping[str, str]
) -> Iterator[Fault]:
    """Files that the service made itself and that have another content, unless reported already."""
    reported = {fault.where for fault in report.faults}
    for name, digest in expected.items():
        if name in reported:
            continue
        if name not in digests:
            yield Fault(FaultCode.FILE_MISSING, name, "it is not on the volume")
        elif digests[name].digest != digest:
            message = "its content is not what was written: its digest differs"
            yield Fault(FaultCode.FILE_CHANGED, name, message)


def _changed_bytes(volume: WholeImage, hashing: ImageHashing) -> Iterator[Fault]:
    """Bytes that are not what was to be written, or not those of which the SHA-256 is known."""
    try:
        differences, digests = volume.differences(), volume.chunk_digests()
        hashed = hashing.chunk_digests()
    except Unreadable as error:
        message = f"it cannot be read to its end: {error}"
        yield Fault(FaultCode.FILE_UNREADABLE, "volume", message)
        return
    for start, end, name in differences:
        message = f"bytes {start} to {end - 1} of the image are not what was written"
        yield Fault(FaultCode.VOLUME_DIFFERS, name or "volume", message)
    for number in range(max(len(hashed), len(digests))):
        if hashed[number : number + 1] != digests[number : number + 1]:
            message = f"bytes from {number * CHUNK} on are not those of the image that was built"
            yield Fault(FaultCode.VOLUME_DIFFERS, "volume", message)
            return


def _changed_heads(plan: VolumePlan, volume: ReadableVolume) -> Iterator[Fault]:
    """Files in a directory whose preamble or File Meta Information is not that of its source."""
    for instance in plan.instances:
        length = instance.data_set_offset
        expected = instance.source.read(0, length)
        with suppress(Unreadable):  # then a fault has been reported already
            if volume.read(instance.file_id, 0, length) != expected:
                message = "its preamble or File Meta Information is not what was written"
                yield Fault(FaultCode.FILE_CHANGED, instance.file_id, message)
