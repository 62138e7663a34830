"""Craft: reads a volume back and compares it with what was to be written on it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from burnish.errors import Unreadable
from burnish.hashing import digest_of, digest_text, hasher_like
from burnish.values import ExpectedInstance, SecureVolume, Volume, VolumeReport
from burnish.verify import directory, encrypted_volume, file_meta_checks
from burnish.verify.directory import Directory
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.record_checks import Record
from burnish.verify.structure import check_reference, check_structure

_DICOMDIR = "DICOMDIR"


@runtime_checkable
class VolumeWithDigest(Protocol):
    """A volume that reads the rest of what it holds, and may tell the SHA-256 of all of it."""

    def sha256(self) -> str: ...


def compare_volume(
    volume: Volume,
    *,
    file_set_id: str,
    file_set_uid: str,
    expected: Sequence[ExpectedInstance],
    dicomdir: str | None,
    secure: bool = False,
) -> VolumeReport:
    """Whether every byte that should be on a volume is, and no DICOM file besides.

    Each file is read once, in the order they lie on the volume. `dicomdir` is the digest of the
    DICOMDIR that should be there; without it, that on the volume is judged by itself. On a `secure`
    one every DICOM File must be a Secure DICOM File.
    """
    instances = {instance.file_id: instance for instance in expected}
    comparison = _Comparison(volume, instances, secure=secure)
    return comparison.report(file_set_id, file_set_uid, dicomdir)


class _Comparison:
    def __init__(
        self, volume: Volume, expected: dict[str, ExpectedInstance], *, secure: bool
    ) -> None:
        self._volume = volume
        self._expected = expected
        self._secure = secure
        self._faults = Faults()
        self._references: dict[str, Record] = {}
        self._metas = file_meta_checks.Parser()
        self._instances = self._read = 0

    def report(self, file_set_id: str, file_set_uid: str, dicomdir: str | None) -> VolumeReport:
        files = self._volume.files()
        if self._volume.volume_identifier not in ("", file_set_id):
            message = f"the Volume Identifier is not the File-set ID {file_set_id}"
            self._faults.add(FaultCode.VOLUME_IDENTIFIER_WRONG, "volume", message)
        for where, message in self._volume.disagreements().items():
            self._faults.add(FaultCode.FILE_SYSTEM_CONTRADICTORY, where, message)
        found = self._directory(dicomdir)
        if found.whole and found.file_set_id != file_set_id:
            message = f"its File-set ID is not {file_set_id}"
            self._faults.add(FaultCode.FILE_SET_ID_WRONG, _DICOMDIR, message)
        if found.whole and found.file_set_uid != file_set_uid:
            message = f"its File-set UID is not {file_set_uid}"
            self._faults.add(FaultCode.FILE_SET_UID_WRONG, _DICOMDIR, message)
        for name in files:
            if name != _DICOMDIR:
                self._file(name)
        for file_id in sorted(self._expected.keys() - files.keys()):
            self._faults.add(FaultCode.FILE_MISSING, file_id, "it is not on the volume")
        for file_id, record in self._references.items():
            if file_id not in self._expected:
                message = f"{record} references it, yet it was not to be on the volume"
                self._faults.add(FaultCode.FILE_UNEXPECTED, file_id, message)
        sha256 = self._sha256()
        return VolumeReport(
            volume_identifier=self._volume.volume_identifier,
            file_set_uid=found.file_set_uid,
            instances=self._instances,
            files=len(files),
            bytes_read=self._read,
            faults=self._faults.all(),
            sha256=sha256,
        )

    def _sha256(self) -> str:
        if not isinstance(self._volume, VolumeWithDigest):
            return ""
        try:
            return self._volume.sha256()
        except Unreadable as error:
            message = f"it cannot be read to its end: {error}"
            self._faults.add(FaultCode.FILE_UNREADABLE, "volume", message)
            return ""

    def _directory(self, dicomdir: str | None) -> Directory:
        if _DICOMDIR not in self._volume.files():
            message = "there is no DICOMDIR in the root of the volume"
            self._faults.add(FaultCode.DICOMDIR_ABSENT, _DICOMDIR, message)
            return Directory()
        try:
            data = b"".join(self._volume.chunks(_DICOMDIR))
            self._check_secure(_DICOMDIR)
        except Unreadable as error:
            message = f"it cannot be read: {error}"
            self._faults.add(FaultCode.DICOMDIR_UNREADABLE, _DICOMDIR, message)
            return Directory()
        self._read += len(data)
        if dicomdir is not None and digest_of(data) != dicomdir:
            message = "it is not, byte for byte, what was to be written"
            self._faults.add(FaultCode.DICOMDIR_DIFFERS, _DICOMDIR, message)
        found = directory.parse(data, self._faults)
        check_structure(found, self._volume.volume_identifier, self._faults)
        for record in found.records:
            if record.file_id:
                self._references.setdefault(record.file_id, record)
        return found

    def _check_secure(self, name: str) -> None:
        volume = self._volume
        if self._secure and not (isinstance(volume, SecureVolume) and volume.is_secure(name)):
            self._faults.add(FaultCode.FILE_NOT_SECURE, name, encrypted_volume.NOT_SECURE)

    def _file(self, name: str) -> None:
        expected = self._expected.get(name)
        try:
            size = self._volume.files()[name]
            if expected is not None:
                self._check_secure(name)
            if expected is None:
                if file_meta_checks.is_dicom(self._volume.read(name, 0, file_meta_checks.PREAMBLE)):
                    message = "it is a DICOM file that was not to be on the volume"
                    self._faults.add(FaultCode.FILE_UNEXPECTED, name, message)
            elif size != expected.size:
                message = f"it has {size} bytes where {expected.size} were written"
                self._faults.add(FaultCode.FILE_SIZE_WRONG, name, message)
            else:
                self._instance(name, expected)
        except Unreadable as error:
            self._faults.add(FaultCode.FILE_UNREADABLE, name, f"it cannot be read: {error}")

    def _instance(self, name: str, expected: ExpectedInstance) -> None:
        hasher, head = hasher_like(expected.digest), b""
        for chunk in self._volume.chunks(name):
            self._read += len(chunk)
            missing = expected.data_set_offset - len(head)
            if missing > 0:
                head += chunk[:missing]
                hasher.update(memoryview(chunk)[missing:])
            else:
                hasher.update(chunk)
        if digest_text(hasher) != expected.digest:
            message = "its data set is not that which was written: its digest differs"
            self._faults.add(FaultCode.DATA_SET_DIFFERS, name, message)
        self._instances += 1
        self._meta(name, head, expected)

    def _meta(self, name: str, head: bytes, expected: ExpectedInstance) -> None:
        if not file_meta_checks.is_dicom(head):
            self._faults.add(FaultCode.FILE_NOT_DICOM, name, "it has no DICOM prefix")
            return
        # two bytes of no group stand for the data set, which `head` ends before
        meta = self._metas.parse(head + b"\0\0")
        if meta != (*expected[1:4], expected.data_set_offset, ()):
            self._meta_differs(name, meta, expected)
        record = self._references.get(name)
        if record is None:
            message = "no directory record references it"
            self._faults.add(FaultCode.FILE_UNREFERENCED, name, message)
        else:
            check_reference(record, name, meta, self._faults)

    def _meta_differs(
        self, name: str, meta: file_meta_checks.FileMeta, expected: ExpectedInstance
    ) -> None:
        file_meta_checks.check(meta, name, self._faults)
        for keyword, found, wanted in (
            ("Media Storage SOP Class UID", meta.sop_class_uid, expected.sop_class_uid),
            ("Media Storage SOP Instance UID", meta.sop_instance_uid, expected.sop_instance_uid),
            ("Transfer Syntax UID", meta.transfer_syntax_uid, expected.transfer_syntax_uid),
            ("length", str(meta.data_set_offset), str(expected.data_set_offset)),
        ):
            if found != wanted:
                message = f"the {keyword} in its File Meta Information is not {wanted}"
                self._faults.add(FaultCode.FILE_META_WRONG, name, message)
