"""Offline: `burnish disc build`: DICOM files into verified volume images, without a database."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from burnish.application_profiles import ApplicationProfile
from burnish.content.content_terms import ContentTerms
from burnish.errors import AlreadyExists, Conflict, OutOfResources
from burnish.identifiers import new_uid
from burnish.image.formats import FORMATS
from burnish.media import ATTACHMENT, Medium
from burnish.offline.instance_store import InstanceStore, LeftOutFiles, files_below
from burnish.plan.attempts import Attempt, compressible_with_loss
from burnish.plan.media_plan import Plan, Refusal, Terms, plan_media
from burnish.plan.profile_choice import Choice
from burnish.plan.source_instances import SourceInstance
from burnish.plan.volumes import PlannedVolume, numbered_file_set_id
from burnish.secure_files import Keyring, Protection, Sealer
from burnish.values import Progress, VolumeReport
from burnish.write import pipeline
from burnish.write.pipeline import VolumePlan


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How media are built; `capacity` in bytes, None for what the medium holds.

    With `keep_damaged`, damaged instances go on the media as they are, and README.TXT names them.
    Media of a secure profile need a `protection`. With `lossless`, images are compressed without
    loss where the profile permits that and they get smaller; with `lossy`, with loss. `content`
    says what the media hold for people. The `source_keyring` opens secure media among the sources.
    """

    profile: ApplicationProfile
    medium: Medium
    capacity: int | None
    file_set_id: str
    split: bool
    protection: Protection | None = None
    lossless: bool = False
    keep_damaged: bool = False
    lossy: bool = False
    content: ContentTerms | None = None
    source_keyring: Keyring | None = None

    def bytes_per_volume(self) -> int:
        return self.medium.holding(self.capacity)

    def choice(self, instances: int) -> Choice:
        """The medium, and the profile for each of this many instances."""
        return Choice(self.medium.name, self.bytes_per_volume(), (self.profile,) * instances)


@dataclass(frozen=True, slots=True)
class BuiltVolume:
    """One volume image that was built and read back."""

    image: Path
    file_set_id: str
    size: int
    report: VolumeReport


@dataclass(slots=True)
class BuildResult(LeftOutFiles):
    """The volumes that were built, and the files that are on none of them.

    `contradictions` are those between the instances on the volumes, in words. `stand_ins` names the
    keys that the instances lack, and for which the DICOMDIRs have values in their place.
    """

    built: list[BuiltVolume] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    stand_ins: str = ""


def build(
    sources: Sequence[Path], output: Path, options: BuildOptions, progress: Progress
) -> BuildResult:
    """Build the images of all DICOM files under `sources` in the directory `output`.

    Copies of the files, and what is converted, need room beside the images while this runs.
    Raises Unknown for a source that does not exist, AlreadyExists for an image that does,
    OutOfResources where one volume is wanted and cannot hold all files.
    """
    result = BuildResult()
    paths = list(files_below(sources, keeps_secure=True))
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".burnish-", dir=output) as scratch:
        store = InstanceStore(Path(scratch), result, progress, options.source_keyring)
        store.add_files(paths)
        plan = store.plan(_planning(store, options))
        volumes = plan.volumes if plan else []
        result.stand_ins = plan.stand_ins if plan else ""
        contradictions = store.contradictions()
        result.contradictions += [contradiction.remark for contradiction in contradictions]
        if len(volumes) > 1 and not options.split:
            reasons = [
                contradiction.text for contradiction in contradictions if contradiction.apart
            ]
            if reasons:
                raise Conflict(
                    f"one DICOMDIR cannot list the files: {', '.join(reasons)}",
                    hint="leave out --no-split, or correct the files that are wrong",
                )
            raise OutOfResources(
                f"the files take {len(volumes)} volumes of {options.bytes_per_volume()} bytes",
                hint="leave out --no-split, add --lossless, or choose a profile of a larger medium",
            )
        images = _image_paths(output, len(volumes), options)
        plans = _volume_plans(volumes, store, options)
        for image, volume_plan in zip(images, plans, strict=True):
            result.built.append(_build_volume(volume_plan, image, progress))
    return result


def _planning(
    store: InstanceStore, options: BuildOptions
) -> Callable[[Sequence[SourceInstance]], Plan | Refusal | None]:
    """The function that plans instances, as many as there are left, with these options."""
    lossy: frozenset[int] = frozenset()
    if options.lossy:
        # chosen once: instances refused later still count as referring to images
        choice = options.choice(len(store.instances))
        lossy = compressible_with_loss(store.instances, choice)
    lossless = options.lossless or options.lossy
    terms = Terms(
        lossy_allowed=options.lossy,
        damaged_images="keep" if options.keep_damaged else "refuse",
        sealed_size=Sealer(options.protection).size if options.protection else None,
        content=None if options.protection else options.content,
    )

    def plan(instances: Sequence[SourceInstance]) -> Plan | Refusal | None:
        choice = options.choice(len(instances))
        attempt = Attempt(choice, split=True, lossless=lossless, lossy=lossy)
        present = replace(terms, contradictions=store.contradictions())
        return plan_media(instances, [attempt], present, store, store, store)

    return plan


def _image_paths(output: Path, count: int, options: BuildOptions) -> list[Path]:
    """The paths of the images of so many volumes, none of which exists yet.

    A ZIP file for mail has the name that it must have there, in a folder of its own.
    """
    suffix = FORMATS[options.medium.file_system].suffix
    paths = [output / f"VOLUME{number:02d}{suffix}" for number in range(1, count + 1)]
    if suffix == ".zip":
        paths = [path.with_suffix("") / ATTACHMENT for path in paths]
    for path in paths:
        if path.exists():
            raise AlreadyExists(f"{path} already exists", hint="name another --output")
        path.parent.mkdir(exist_ok=True)
    return paths


def _volume_plans(
    volumes: Sequence[PlannedVolume], store: InstanceStore, options: BuildOptions
) -> list[VolumePlan]:
    created = datetime.now(UTC)
    plans = []
    for number, volume in enumerate(volumes, start=1):
        file_set_id = numbered_file_set_id(options.file_set_id, number, len(volumes))
        file_set_uid = new_uid()
        plans.append(
            VolumePlan(
                file_set_id,
                file_set_uid,
                created,
                volume.size(file_set_id, file_set_uid),
                volume.file_system,
                tuple(store.volume_instance(file) for file in volume.files),
                Sealer(options.protection) if options.protection else None,
                volume.readme_details,
                store.volume_content(volume, file_set_id, number, len(volumes)),
                number,
                len(volumes),
            )
        )
    return plans


def _build_volume(plan: VolumePlan, image: Path, progress: Progress) -> BuiltVolume:
    def written(size: int) -> None:
        progress(f"writing {image.name}", size, plan.predicted_size)

    built_image = pipeline.build_image(plan, image, written)
    progress(f"reading back {image.name}", 0, 0)
    report = pipeline.read_back(plan, image, built_image, fresh=False)
    return BuiltVolume(image, plan.file_set_id, os.stat(image).st_size, report)
