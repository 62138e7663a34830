"""Craft: takes down what a volume holds, so that it can be found there unchanged later on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from burnish.hashing import digest_text, new_hasher
from burnish.values import ExpectedInstance, Fault, Volume
from burnish.verify import file_meta_checks
from burnish.verify.faults import FaultCode


@dataclass(slots=True)
class VolumeSnapshot:
    """The DICOM files of a volume but its DICOMDIR, and the digest of every file by name."""

    instances: list[ExpectedInstance] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


def take_snapshot(volume: Volume) -> VolumeSnapshot:
    """Reads all of a volume once; raises Unreadable where that cannot be done."""
    holdings = VolumeSnapshot()
    for name, size in volume.files().items():
        meta = None if name == "DICOMDIR" else file_meta_checks.read(volume, name)
        whole, data_set = new_hasher(), new_hasher()
        at = 0
        for chunk in volume.chunks(name):
            whole.update(chunk)
            if meta:
                data_set.update(memoryview(chunk)[max(0, meta.data_set_offset - at) :])
            at += len(chunk)
        holdings.digests[name] = digest_text(whole)
        if meta:
            holdings.instances.append(
                ExpectedInstance(
                    *(name, meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid),
                    *(size, meta.data_set_offset, digest_text(data_set)),
                )
            )
    return holdings


class DigestingVolume:
    """A volume that takes the digest of every file that is read to its end."""

    def __init__(self, volume: Volume) -> None:
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

    def changed(self, digests: Mapping[str, str]) -> list[Fault]:
        """Which of these files are no longer there as they were; those not yet read are read."""
        faults = []
        for name, digest in digests.items():
            if name not in self.files():
                faults.append(Fault(FaultCode.FILE_MISSING, name, "it was there, and is no more"))
                continue
            if name not in self._digests:
                for _ in self.chunks(name):
                    pass
            if self._digests[name] != digest:
                message = "it is not what it was: its digest differs"
                faults.append(Fault(FaultCode.FILE_CHANGED, name, message))
        return faults
