"""Stage: one volume from its plan to a verified image; no database."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from burnish.content import readme_txt
from burnish.content.readme_txt import NO_DETAILS, ReadmeDetails
from burnish.dicomdir import encoder
from burnish.errors import Conflict
from burnish.hashing import digest_of
from burnish.image import formats as image
from burnish.image import image_file
from burnish.image.image_digest import ImageHashing
from burnish.image.reader import open_volume
from burnish.media import FileSystem
from burnish.secure_files import ContentKeys, Sealer, open_secure
from burnish.values import (
    DirectoryEntry,
    ExpectedInstance,
    InstanceHeader,
    VolumeFile,
    VolumeReport,
)
from burnish.verify import compare_volume

Progress = Callable[[int], None]


class VolumeInstance(NamedTuple):
    """One instance of a volume; its file lies at `path` until it is written."""

    file_id: str
    header: InstanceHeader
    transfer_syntax_uid: str
    path: Path
    size: int
    data_set_offset: int
    digest: str

    def expected(self) -> ExpectedInstance:
        """What reading the volume back must find of it."""
        return ExpectedInstance(
            file_id=self.file_id,
            sop_class_uid=self.header.sop_class_uid,
            sop_instance_uid=self.header.sop_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
            size=self.size,
            data_set_offset=self.data_set_offset,
            digest=self.digest,
        )


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """One volume as it was planned; `created` is the date of every file on it.

    README.TXT has the `readme_details`. With a `sealer`, every DICOM file on the volume is a
    Secure DICOM File (PS3.15 D.1).
    """

    file_set_id: str
    file_set_uid: str
    created: datetime
    predicted_size: int
    file_system: FileSystem
    instances: tuple[VolumeInstance, ...]
    sealer: Sealer | None = None
    readme_details: ReadmeDetails = NO_DETAILS

    def dicomdir(self) -> bytes:
        """The bytes of the DICOMDIR."""
        return encoder.encode(
            [
                DirectoryEntry(instance.file_id, instance.header, instance.transfer_syntax_uid)
                for instance in self.instances
            ],
            file_set_id=self.file_set_id,
            file_set_uid=self.file_set_uid,
        )

    def readme(self) -> bytes:
        """The bytes of README.TXT."""
        details = self.readme_details
        return readme_txt.build_readme(
            self.file_set_id,
            len(self.instances),
            secure=self.sealer is not None,
            details=details.text(instance.header for instance in self.instances),
            remarks=details.remarks,
        )


class BuiltImage(NamedTuple):
    """What is known about an image that was just built.

    `keys` are the content keys of a secure volume, which are stored nowhere; `dicomdir` is the
    digest of the DICOMDIR before it is sealed; `hashing` computes the SHA-256 of the image.
    """

    keys: ContentKeys
    dicomdir: str
    hashing: ImageHashing | None = None


def build_image(
    plan: VolumePlan,
    target: Path,
    progress: Progress | None = None,
    hashing: ImageHashing | None = None,
) -> BuiltImage:
    """Writes the image of a volume: DICOMDIR, README.TXT, then the files in directory order.

    `hashing` hashes the image while it is written, and may end later. The result is for
    `read_back`. Raises Conflict if the image has not the planned size, or a file has changed.
    """
    directory = plan.dicomdir()
    readme = plan.readme()
    files = [
        VolumeFile("DICOMDIR", len(directory), directory),
    ]
    for instance in plan.instances:
        files.append(VolumeFile(instance.file_id, instance.size, instance.path))
    keys: ContentKeys = {}
    if plan.sealer:
        keys = {file.file_id: plan.sealer.new_key() for file in files}
        files = [_sealed(file, plan.sealer, keys[file.file_id]) for file in files]
    files.insert(1, VolumeFile(readme_txt.NAME, len(readme), readme))
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        size = image.FORMATS[plan.file_system].write(
            part,
            volume_identifier=plan.file_set_id,
            files=files,
            created=plan.created,
            progress=_hashing_along(part, plan, progress, hashing),
        )
        if size != plan.predicted_size:
            raise Conflict(f"the image has {size} bytes, but {plan.predicted_size} were planned")
        if hashing:
            hashing.complete(part, size)
        part.replace(target)
    except BaseException:
        if hashing:
            hashing.abandon()
        raise
    finally:
        # an incomplete image must not fill the disk; if the disk fails, the next start removes it
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return BuiltImage(keys, digest_of(directory), hashing)


def _hashing_along(
    part: Path, plan: VolumePlan, progress: Progress | None, hashing: ImageHashing | None
) -> Progress | None:
    """Progress that has `hashing` follow an image that is written from start to end."""
    if hashing is None or not image.FORMATS[plan.file_system].in_order:
        return progress

    def follow(written: int) -> None:
        hashing.follow(part, written)
        if progress:
            progress(written)

    return follow


def _sealed(file: VolumeFile, sealer: Sealer, key: bytes) -> VolumeFile:
    """A file of a secure volume; it is sealed while it is written."""
    return VolumeFile(
        file.file_id,
        sealer.size(file.size),
        lambda: sealer.seal(key, file.size, image_file.content(file)),
    )


def image_files(image_path: Path) -> Iterator[tuple[str, Iterable[bytes | memoryview]]]:
    """The File ID and the content of every file of an image."""
    with open_volume(image_path) as volume:
        for name in volume.files():
            yield name, volume.chunks(name)


def read_back(
    plan: VolumePlan, written: Path, built: BuiltImage | None = None, *, fresh: bool
) -> VolumeReport:
    """Reads a written volume and compares every byte of it with the plan.

    `built` is what `build_image` returned; a secure volume cannot be opened without it. The SHA-256
    in the report is that of the built image, or without `hashing` that of the bytes that are read.
    With `fresh`, bytes are read from the medium and not from the page cache.
    """
    built = built or BuiltImage({}, digest_of(plan.dicomdir()))
    with open_volume(
        written,
        fresh=fresh,
        digest=built.hashing is None,
        whole=True,
        length=plan.predicted_size,
    ) as volume:
        report = compare_volume(
            open_secure(volume, built.keys) if plan.sealer else volume,
            file_set_id=plan.file_set_id,
            file_set_uid=plan.file_set_uid,
            expected=[instance.expected() for instance in plan.instances],
            dicomdir=built.dicomdir,
            secure=plan.sealer is not None,
        )
    if built.hashing and report.good:
        return replace(report, sha256=built.hashing.sha256())
    return report
