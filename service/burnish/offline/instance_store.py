"""Offline: the instances among some files, copied into a temporary folder, ready to be planned."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from burnish.content.model import Rendition
from burnish.content.rendition import RenditionOptions, read_rendition
from burnish.content.rendition_pool import RenditionPool, RenditionTask
from burnish.content.volume_files import VolumeContent
from burnish.contradictions import Contradiction, find_contradictions
from burnish.dicom_elements import encode
from burnish.errors import (
    BurnishError,
    Conflict,
    DamagedVolume,
    Unknown,
    Unreadable,
    WrongKey,
)
from burnish.file_access import explain, holds_bytes
from burnish.file_slice import Slice
from burnish.image.reader import open_volume
from burnish.instance_header import instance_faults
from burnish.instance_header.equality import are_equal_as_data
from burnish.instance_header.examination import examine
from burnish.instance_header.header import index_file
from burnish.offline.file_set import OpenedFileSet, check_uids, copy_instance, open_file_set
from burnish.plan.attempts import Conversion
from burnish.plan.candidates import Candidate
from burnish.plan.conversion import conversion_failure
from burnish.plan.eligibility import InstanceFailure, kind_of
from burnish.plan.media_plan import Refusal
from burnish.plan.source_instances import Icon, InstanceFile, SourceInstance
from burnish.plan.volumes import PlannedFile, PlannedVolume
from burnish.secure_files import Keyring, open_secure
from burnish.transcode import icons
from burnish.transcode.convert import convert_file
from burnish.transcode.uncompressed import TranscodedFile
from burnish.values import Progress, SecureVolume
from burnish.vocabulary import MEDIA_STORAGE_DIRECTORY_STORAGE
from burnish.write.pipeline import VolumeInstance

#: Bytes of a file that have its preamble and the beginning of its File Meta Information.
_BEGINNING = 1024
#: Media Storage SOP Class UID (0002,0002) of a DICOMDIR, as it stands in File Meta Information.
_DICOMDIR = encode(0x00020002, b"UI", MEDIA_STORAGE_DIRECTORY_STORAGE.encode())

_Planned = TypeVar("_Planned")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not put on the media, and why."""

    path: Path
    why: str


@dataclass(slots=True)
class LeftOutFiles:
    """The files left out: `skipped` do not belong on media, `refused` cannot be put there.

    `doubtful` are put there, but people must know of them.
    """

    skipped: list[LeftOut] = field(default_factory=list)
    refused: list[LeftOut] = field(default_factory=list)
    doubtful: list[LeftOut] = field(default_factory=list)


class InstanceStore:
    """The instances to be put on media, with copies of their files in the folder `scratch`.

    It takes the place that the database and the spool have in the service: planning asks it for
    the instances, for conversions (`failed`, `start`) and for icons (`icons`). The `keyring` opens
    secure media among the sources.
    """

    def __init__(
        self,
        scratch: Path,
        left_out: LeftOutFiles,
        progress: Progress,
        keyring: Keyring | None = None,
    ) -> None:
        self._keyring = keyring or Keyring()
        self.instances: list[SourceInstance] = []
        self.failed: dict[tuple[int, str], InstanceFailure] = {}
        self._scratch = scratch
        self._left_out = left_out
        self._progress = progress
        self._sources: list[Path] = []
        self._by_uid: dict[str, SourceInstance] = {}
        self._contradictory: set[str] = set()
        self._files: dict[str, TranscodedFile] = {}
        self._transcoded: dict[int, list[InstanceFile]] = {}
        self._icons: dict[int, Icon] = {}
        self._renditions = RenditionPool(scratch / "content")

    def add_files(self, paths: Sequence[Path]) -> None:
        """Copy each instance once; of an image, a drive or a ZIP file, the instances in it.

        A file that is no instance is skipped; an instance that cannot be read is refused.
        """
        for number, path in enumerate(paths):
            self._progress("reading", number, len(paths))
            if path.is_dir():
                self._add_volume(path)
                continue
            beginning = _beginning(path)
            # a file with the prefix of PS3.10 7.1 says that it is DICOM: it is missing if not added
            says_dicom = beginning[128:132] == b"DICM"
            if says_dicom and _DICOMDIR in beginning:
                why = "a DICOMDIR; the media get a new one"
                self._left_out.skipped.append(LeftOut(path, why))
            elif says_dicom:
                self._add(path, path, self._left_out.refused)
            else:
                reason = self._add_volume(path)
                if reason is not None:
                    self._add(path, path, self._left_out.skipped, reason)

    def _add_volume(self, path: Path) -> str | None:
        """Add the instances on a volume; None if it was one.

        Otherwise why the file is no volume of DICOM files, "" if nothing is known of it. An image
        of which not even the names of the files can be read is refused.
        """
        try:
            with open_file_set(path, self._keyring) as file_set:
                names = [*file_set.listed, *_unlisted_instances(file_set)]
                if not names and not file_set.has_dicomdir:
                    return "there is no DICOM file on the volume"
                for number, name in enumerate(names):
                    self._progress(f"reading {path.name}", number, len(names))
                    self._add_from_volume(file_set, name, _on_volume(path, name))
                for instance in file_set.missing:
                    why = "the DICOMDIR lists it, but it is not on the volume"
                    left_out = LeftOut(_on_volume(path, instance.file_id), why)
                    self._left_out.refused.append(left_out)
                if file_set.damage:
                    self._left_out.refused.append(LeftOut(path, file_set.damage))
        except WrongKey as error:
            why = (
                f"{error}: `burnish disc build` opens them with --source-key or"
                " --source-password-file, and `burnish disc import --into` with the key takes them"
                " into the service"
            )
            self._left_out.refused.append(LeftOut(path, why))
        except DamagedVolume as error:
            kind = str(error).partition(", but ")[2]
            why = f"it is {kind}" if kind else str(error)
            self._left_out.refused.append(LeftOut(path, why))
        except (BurnishError, OSError) as error:
            format_name = str(error).partition(", but ")[2]
            return f"it is {format_name}: name the DICOM files in it" if format_name else ""
        return None

    def _add_from_volume(self, file_set: OpenedFileSet, name: str, source: Path) -> None:
        extracted = self._scratch / "extracted"
        try:
            file_set.extract(name, extracted)
        except (BurnishError, OSError) as error:
            self._left_out.refused.append(LeftOut(source, str(error)))
            return
        self._add(extracted, source, self._left_out.refused)

    def _add(self, path: Path, source: Path, left_out: list[LeftOut], reason: str = "") -> None:
        """Add the instance in the file `path`, which comes from `source`; or leave it out.

        `reason` is told in place of the error if there is one.
        """
        try:
            self._add_instance(path, source)
        except (BurnishError, OSError) as error:
            why = explain(error, path) if isinstance(error, OSError) else str(error)
            if left_out is self._left_out.skipped and not why.startswith("the file"):
                why = f"the file is not a DICOM file: {why}"
            left_out.append(LeftOut(source, reason or why))

    def _add_instance(self, path: Path, source: Path) -> None:
        indexed = index_file(path)
        header = indexed.header
        check_uids(header)
        if instance_faults.is_unexamined(header.fault):
            header = header._replace(fault=examine(Slice.of_file(path)))
        instance_id = len(self._sources)
        spool_key = f"{instance_id:08d}"
        copy = copy_instance(path, indexed, self._scratch / spool_key)
        self._sources.append(source)
        self._files[spool_key] = copy
        instance = SourceInstance(
            header=header,
            kind=kind_of(header, indexed.transfer_syntax_uid),
            instance_id=instance_id,
            received=InstanceFile(indexed.transfer_syntax_uid, copy.size, spool_key),
            transcoded=self._transcoded.setdefault(instance_id, []),
            digest=copy.digest,
        )
        first = self._by_uid.setdefault(header.sop_instance_uid, instance)
        if first is instance:
            self.instances.append(instance)
            if header.fault:
                self._left_out.doubtful.append(LeftOut(source, header.fault))
            if indexed.repair:
                self._left_out.doubtful.append(LeftOut(source, str(indexed.repair)))
        else:
            self._leave_out_duplicate(instance, first)

    def _leave_out_duplicate(self, duplicate: SourceInstance, first: SourceInstance) -> None:
        """Leave out a file with the SOP Instance UID of another one.

        If their contents differ, neither goes on the media: nothing in files tells which is newer.
        """
        path = self._sources[duplicate.instance_id]
        first_path = self._sources[first.instance_id]
        uid = first.header.sop_instance_uid
        are_equal = self._are_equal(duplicate.received, first.received)
        (self._scratch / duplicate.received.spool_key).unlink()
        if are_equal and uid not in self._contradictory:
            self._left_out.skipped.append(LeftOut(path, f"the same instance as {first_path}"))
            return
        if uid not in self._contradictory:
            self._contradictory.add(uid)
            self.instances.remove(first)
            self._left_out.refused.append(LeftOut(first_path, _other_content(path)))
        self._left_out.refused.append(LeftOut(path, _other_content(first_path)))

    def _are_equal(self, file: InstanceFile, first: InstanceFile) -> bool:
        if (
            self._files[file.spool_key].digest == self._files[first.spool_key].digest
            and file.transfer_syntax_uid == first.transfer_syntax_uid
        ):
            return True
        paths = self._scratch / file.spool_key, self._scratch / first.spool_key
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about deviations of real files
            return are_equal_as_data(*map(Slice.of_file, paths))

    def contradictions(self) -> list[Contradiction]:
        """The contradictions between the instances."""
        return find_contradictions(instance.header for instance in self.instances)

    def plan(
        self, step: Callable[[Sequence[SourceInstance]], _Planned | Refusal | None]
    ) -> _Planned | None:
        """The result of a planning step for all the instances that it does not rule out.

        `step` is a function of `plan.media_plan`. The instances that it rules out are refused, and
        the others are planned without them. None where none is left.
        """
        while self.instances:
            result = step(self.instances)
            if isinstance(result, Refusal):
                self._refuse(result)
            elif result is not None:
                return result
        return None

    def _refuse(self, refusal: Refusal) -> None:
        if not refusal.failures:
            raise Conflict(refusal.why, hint=refusal.remedy)
        for instance, failure in refusal.failures.items():
            path = self._sources[instance.instance_id]
            self._left_out.refused.append(LeftOut(path, failure.why))
            self._left_out.doubtful = [
                doubtful for doubtful in self._left_out.doubtful if doubtful.path != path
            ]
        self.instances = [
            instance for instance in self.instances if instance not in refusal.failures
        ]

    def start(self, conversions: Iterable[Conversion]) -> None:
        """Convert instances, one after another (see `media_plan.ConversionRunner`)."""
        conversions = list(conversions)
        for number, conversion in enumerate(conversions):
            self._progress("converting", number, len(conversions))
            transcoded = self._transcoded[conversion.instance_id]
            spool_key = f"{conversion.instance_id:08d}.{len(transcoded)}"
            try:
                file = convert_file(
                    conversion.transfer_syntax_uid,
                    self._slice(conversion.spool_key),
                    self._scratch / spool_key,
                )
            except (BurnishError, OSError) as error:
                self.failed[conversion.key] = conversion_failure(error)
                continue
            self._files[spool_key] = file
            transcoded.append(
                InstanceFile(
                    conversion.transfer_syntax_uid,
                    file.size,
                    spool_key,
                    len(transcoded),
                    file.derived_sop_instance_uid,
                    file.derived_record_keys,
                )
            )

    def icons(self, images: Sequence[SourceInstance], pixels: int) -> dict[int, Icon]:
        """Icons of images by the id of the instance (see `media_plan.IconMaker`)."""
        for image in images:
            if image.instance_id not in self._icons:
                item = icons.make_icon(self._slice(image.received.spool_key), pixels)
                self._icons[image.instance_id] = Icon(image.instance_id, item)
        return self._icons

    def renditions(
        self, instances: Sequence[SourceInstance], options: RenditionOptions
    ) -> dict[int, Rendition]:
        """Renditions by the id of the instance (see `media_plan.RenditionMaker`)."""
        keys = {instance.instance_id: options.key(instance.digest) for instance in instances}
        tasks = [
            RenditionTask(keys[instance.instance_id], self._slice(instance.received.spool_key))
            for instance in instances
        ]
        missing = self._renditions.missing(tasks)

        def progress(number: int) -> None:
            self._progress("making pictures", number, len(missing))

        try:
            self._renditions.make(missing, options, progress)
        finally:
            self._renditions.close()
        folder = self._renditions.folder
        return {instance_id: read_rendition(folder, key) for instance_id, key in keys.items()}

    def volume_content(
        self, volume: PlannedVolume, file_set_id: str, number: int, count: int
    ) -> VolumeContent | None:
        """The files for people of volume `number` of `count`; None where nothing was asked for."""
        if volume.content is None:
            return None
        return VolumeContent(
            self._renditions.folder,
            volume.content_files,
            volume.readme(file_set_id, number, count),
            volume.content.pages,
        )

    def source(self, candidate: Candidate) -> Path:
        """The file that the instance was read from."""
        return self._sources[candidate.instance_id]

    def digest(self, candidate: Candidate) -> str:
        """The digest of the data set that goes on the medium."""
        return self._files[self._spool_key(candidate)].digest

    def volume_instance(self, planned: PlannedFile) -> VolumeInstance:
        """An instance of a volume, with the file to be written."""
        candidate = planned.candidate
        spool_key = self._spool_key(candidate)
        file = self._files[spool_key]
        return VolumeInstance(
            planned.file_id,
            candidate.header,
            candidate.transfer_syntax_uid,
            self._slice(spool_key),
            file.data_set_offset,
            file.digest,
        )

    def _slice(self, spool_key: str) -> Slice:
        return Slice.of_file(self._scratch / spool_key)

    def _spool_key(self, candidate: Candidate) -> str:
        if candidate.transcoded_instance_id is None:
            return f"{candidate.instance_id:08d}"
        return f"{candidate.instance_id:08d}.{candidate.transcoded_instance_id}"


def files_below(sources: Iterable[Path], *, keeps_secure: bool = False) -> Iterator[Path]:
    """Every file once, in an order that does not depend on the file system.

    With `keeps_secure`, a directory whose DICOMDIR is a Secure DICOM File comes in place of its
    files, which cannot be read one by one.
    """
    known: set[Path] = set()
    for source in sources:
        if not source.exists():
            raise Unknown(f"{source} does not exist")
        if not holds_bytes(source):
            raise Unreadable(f"{source} is neither a file, a directory nor a drive")
        paths = [source]
        if source.is_dir() and not (keeps_secure and _is_secure(source)):
            paths = sorted(path for path in source.rglob("*") if path.is_file())
        for path in paths:
            resolved = path.resolve()
            if resolved not in known:
                known.add(resolved)
                yield path


def _is_secure(directory: Path) -> bool:
    """Whether the DICOMDIR of a directory is a Secure DICOM File, so that its files are, too."""
    with suppress(BurnishError, OSError), open_volume(directory) as volume:
        return isinstance(open_secure(volume, Keyring()), SecureVolume)
    return False


def _unlisted_instances(file_set: OpenedFileSet) -> Iterator[str]:
    """The DICOM files that the DICOMDIR does not list, also damaged ones: those are refused."""
    for name in file_set.unlisted:
        try:
            if file_set.is_instance(name):
                yield name
        except Unreadable:
            yield name


def _other_content(path: Path) -> str:
    return f"its SOP Instance UID is that of {path}, which has other content: name the right one"


def _on_volume(path: Path, name: str) -> Path:
    """How a file of a volume is called in messages."""
    return Path(f"{path}:{name}")


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BEGINNING)
