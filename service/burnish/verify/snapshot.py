"""Craft: what a volume holds, so that changes to it are found later."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from burnish.errors import Unreadable
from burnish.hashing import digest_text, new_hasher
from burnish.values import ExpectedInstance, Fault, FileDigest, ReadableVolume
from burnish.verify.faults import FaultCode
from burnish.verify.file_meta_checks import read_file_meta


@dataclass(slots=True)
class VolumeSnapshot:
    """The DICOM files of a volume except its DICOMDIR, and the digest of every file by name."""

    instances: list[ExpectedInstance] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


def take_snapshot(volume: ReadableVolume) -> VolumeSnapshot:
    """Reads a whole volume once; raises Unreadable if a file cannot be read."""
    snapshot = VolumeSnapshot()
    for name, size in volume.files().items():
        meta = None if name == "DICOMDIR" else read_file_meta(volume, name)
        file_hasher, data_set_hasher = new_hasher(), new_hasher()
        offset = 0
        for chunk in volume.chunks(name):
            file_hasher.update(chunk)
            if meta:
                data_set_start = max(0, meta.data_set_offset - offset)
                data_set_hasher.update(memoryview(chunk)[data_set_start:])
            offset += len(chunk)
        snapshot.digests[name] = digest_text(file_hasher)
        if meta:
            snapshot.instances.append(
                ExpectedInstance(
                    file_id=name,
                    sop_class_uid=meta.sop_class_uid,
                    sop_instance_uid=meta.sop_instance_uid,
                    transfer_syntax_uid=meta.transfer_syntax_uid,
                    size=size,
                    data_set_offset=meta.data_set_offset,
                    digest=digest_text(data_set_hasher),
                )
            )
    return snapshot


class DigestingVolume:
    """A volume that computes the digest of every file that is read to its end."""

    def __init__(self, volume: ReadableVolume) -> None:
        self._volume = volume
        self._digests: dict[str, str] = {}
        self.volume_identifier = volume.volume_identifier

    def files(self) -> Mapping[str, int]:
        return self._volume.files()

    def disagreements(self) -> Mapping[str, str]:
        return self._volume.disagreements()

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._volume.read(name, offset, length)

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        hasher = new_hasher()
        for chunk in self._volume.chunks(name):
            hasher.update(chunk)
            yield chunk
        self._digests[name] = digest_text(hasher)

    def digests(self) -> dict[str, FileDigest]:
        """The digest of every file; reads those not read yet, and leaves out unreadable ones."""
        for name in self.files():
            if name not in self._digests:
                with suppress(Unreadable):
                    for _ in self.chunks(name):
                        pass
        sizes = self.files()
        return {name: FileDigest(sizes[name], digest) for name, digest in self._digests.items()}

    def changed(self, digests: Mapping[str, str]) -> list[Fault]:
        """Faults for the files that are gone or have another digest; reads those not read yet.

        Raises Unreadable for one that cannot be read.
        """
        faults = []
        for name, digest in digests.items():
            if name not in self.files():
                message = "it was on the volume before and is no longer"
                faults.append(Fault(FaultCode.FILE_MISSING, name, message))
                continue
            if name not in self._digests:
                for _ in self.chunks(name):
                    pass
            if self._digests[name] != digest:
                message = "its content has changed: its digest differs"
                faults.append(Fault(FaultCode.FILE_CHANGED, name, message))
        return faults
