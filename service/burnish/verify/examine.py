"""Craft: judges any volume by itself, with no knowledge of what should be on it."""

from typing import Protocol, runtime_checkable

from burnish import dicom_elements
from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.limits import LIMITED, US_REGIONS
from burnish.dicom_elements import NeedMore
from burnish.errors import Unreadable
from burnish.identifiers import is_file_name
from burnish.media import FileSystem
from burnish.values import SecureVolume, Volume, VolumeReport
from burnish.verify import directory, encrypted_volume, file_meta_checks
from burnish.verify.directory import Directory
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.file_meta_checks import FileMeta
from burnish.verify.profile_checks import ProfileChecks
from burnish.verify.record_checks import Record
from burnish.verify.structure import check_reference, check_structure
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
)

#: A DICOMDIR larger than this is taken for damage: 60,000 instances take about 40 MB.
LARGEST_DICOMDIR = 1 << 29

_BLOCK = 1 << 15
#: Disagreements of a whole file system, not of one file on it.
_WHOLE = {"UDF", "FAT", "volume"}
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_OPAQUE = {DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
#: Values longer than this are none that a profile limits, but for sequences.
_LONGEST_VALUE = 64
_LONGEST_REGIONS = 1 << 16


@runtime_checkable
class VolumeWithFileSystem(Protocol):
    """A volume that can tell how it is laid out."""

    file_system: FileSystem | None


def examine_volume(
    volume: Volume, profile: ApplicationProfile | None = None, *, size: int | None = None
) -> VolumeReport:
    """What is wrong with a volume by PS3.3 F, PS3.10 and PS3.12, and by `profile` if given.

    `size` is what the volume takes in bytes; without it, that of its files. Pixels may be
    anything. Of a SecureVolume that was not opened, only what is around its files is examined; of
    one that was, each digest and signature is proved.
    """
    if isinstance(volume, SecureVolume) and not volume.opened:
        return encrypted_volume.examine_encrypted_volume(volume, profile)
    return _Examination(volume, profile).report(size)


class _Counted:
    """One file of a volume as a buffer for `elements.scan`, held block by block."""

    def __init__(self, volume: Volume, name: str) -> None:
        self._volume, self._name = volume, name
        self._start, self._held = 0, b""
        self.read = 0

    def __getitem__(self, index: slice) -> bytes:
        start, stop = index.start or 0, index.stop
        skip = start - self._start
        if skip < 0 or stop - self._start > len(self._held):
            self._held = self._volume.read(self._name, start, max(_BLOCK, stop - start))
            self._start, skip = start, 0
            self.read += len(self._held)
        return self._held[skip : skip + stop - start]


class _Examination:
    def __init__(self, volume: Volume, profile: ApplicationProfile | None) -> None:
        self._volume = volume
        self._faults = Faults()
        self._checks = ProfileChecks(profile, self._faults) if profile else None
        self._wanted: frozenset[int] = self._checks.conditions if self._checks else frozenset()
        #: A profile may leave the DICOMDIR away (PS3.11 G.3).
        self._without_directory = bool(
            profile and profile.dicomdir_optional and "DICOMDIR" not in volume.files()
        )
        self._profile = profile
        self._instances = self._read = 0

    def report(self, size: int | None) -> VolumeReport:
        names = {name.upper(): name for name in self._volume.files()}
        found = self._directory(names)
        references: dict[str, Record] = {}
        for record in found.records:
            if record.file_id:
                references.setdefault(record.file_id.upper(), record)
            if self._checks:
                self._checks.record(record)
        for where, message in self._volume.disagreements().items():
            if self._matters(where, references):
                self._faults.add(FaultCode.FILE_SYSTEM_CONTRADICTORY, where, message)
        for name in self._volume.files():
            if not is_file_name(name):
                message = "its name is not one of ISO 9660 Level 1 (ECMA-119 10.1)"
                self._faults.add(FaultCode.FILE_NAME_INVALID, name, message)
            sound = self._is_sound(name)
            if sound and name != names.get("DICOMDIR"):
                self._file(name, references.get(name.upper()))
        if self._checks:
            own = (
                self._volume.file_system if isinstance(self._volume, VolumeWithFileSystem) else None
            )
            if size is None:
                size = sum(self._volume.files().values())
            self._checks.volume(own, size)
        for name, record in references.items():
            if name not in names:
                message = f"the file that {record} references is not on the volume"
                self._faults.add(FaultCode.FILE_MISSING, record.file_id, message)
        return VolumeReport(
            volume_identifier=self._volume.volume_identifier,
            file_set_uid=found.file_set_uid,
            instances=self._instances,
            files=len(names),
            bytes_read=self._read,
            faults=self._faults.all(),
        )

    def _is_sound(self, name: str) -> bool:
        """Whether what a Secure DICOM File has in it is what was put there."""
        if not self._is_secure(name):
            return True
        if self._profile and not self._profile.secure:
            message = f"{self._profile.label} has no Secure DICOM Files"
            self._faults.add(FaultCode.FILE_SECURE, name, message)
        assert isinstance(self._volume, SecureVolume)  # noqa: S101
        try:
            self._volume.check(name)
        except Unreadable as error:
            message = f"it is not sound: {error}"
            self._faults.add(FaultCode.SECURE_FILE_UNSOUND, name, message)
            return False
        return True

    def _is_secure(self, name: str) -> bool:
        try:
            return isinstance(self._volume, SecureVolume) and self._volume.is_secure(name)
        except Unreadable:
            return True

    def _check_secure(self, name: str) -> None:
        wanted = isinstance(self._volume, SecureVolume) or (self._profile and self._profile.secure)
        if wanted and not self._is_secure(name):
            self._faults.add(FaultCode.FILE_NOT_SECURE, name, encrypted_volume.NOT_SECURE)

    def _matters(self, where: str, references: dict[str, Record]) -> bool:
        """Whether a disagreement is about what DICOM readers look for, or about all of it.

        Other files may well have other names in UDF than in ISO 9660.
        """
        name = where.upper()
        return name == "DICOMDIR" or name in references or where in _WHOLE

    def _directory(self, names: dict[str, str]) -> Directory:
        """PS3.10 8.6: one DICOMDIR, in the root."""
        name = names.get("DICOMDIR", "")
        if not name and self._without_directory:
            return Directory()
        if not name:
            message = "there is no DICOMDIR in the root of the volume"
            self._faults.add(FaultCode.DICOMDIR_ABSENT, "DICOMDIR", message)
            return Directory()
        try:
            if self._volume.files()[name] > LARGEST_DICOMDIR:
                raise Unreadable("it is too large to be one")
            data = self._volume.read(name)
        except Unreadable as error:
            self._faults.add(FaultCode.DICOMDIR_UNREADABLE, name, f"it cannot be read: {error}")
            return Directory()
        self._read += len(data)
        self._check_secure(name)
        found = directory.parse(data, self._faults)
        check_structure(found, self._volume.volume_identifier, self._faults)
        return found

    def _file(self, name: str, record: Record | None) -> None:
        try:
            meta = file_meta_checks.read(self._volume, name)
            if meta is None:
                if record:
                    message = f"{record} references it, yet it is no DICOM file"
                    self._faults.add(FaultCode.FILE_NOT_DICOM, name, message)
                return
            if meta.sop_class_uid == MEDIA_STORAGE_DIRECTORY_STORAGE:
                message = "it is a DICOMDIR, of which there may be one, DICOMDIR in the root"
                self._faults.add(FaultCode.DICOMDIR_MISPLACED, name, message)
                return
            self._instances += 1
            self._check_secure(name)
            self._instance(name, meta, record)
        except NeedMore as error:
            message = f"it ends before its end: {error}"
            self._faults.add(FaultCode.FILE_TRUNCATED, name, message)
        except Unreadable as error:
            self._faults.add(FaultCode.FILE_UNREADABLE, name, f"it cannot be read: {error}")

    def _instance(self, name: str, meta: FileMeta, record: Record | None) -> None:
        file_meta_checks.check(meta, name, self._faults)
        if record is None and not self._without_directory:
            message = "it is a DICOM file that no directory record references"
            self._faults.add(FaultCode.FILE_UNREFERENCED, name, message)
        elif record:
            check_reference(record, name, meta, self._faults)
        found = self._data_set(name, meta)
        if self._checks:
            explicit = meta.transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN
            self._checks.instance(name, meta, found, record, explicit=explicit)

    def _data_set(self, name: str, meta: FileMeta) -> dict[int, bytes] | None:
        """Walks a data set to its end; returns what the profile asks for.

        Of values that are only to be there, the first bytes do. None where it is not read.
        """
        if meta.transfer_syntax_uid in _OPAQUE:
            return None
        buffer = _Counted(self._volume, name)
        size = self._volume.files()[name]
        explicit = meta.transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN
        found: dict[int, bytes] = {}
        said = {_SOP_CLASS: b"", _SOP_INSTANCE: b""}
        for element in dicom_elements.scan(buffer, meta.data_set_offset, size, explicit=explicit):
            if element.tag in said and element.length <= 64:
                said[element.tag] = buffer[element.value : element.value + element.length]
            if element.tag in LIMITED or element.tag in self._wanted:
                longest = _LONGEST_REGIONS if element.tag == US_REGIONS else _LONGEST_VALUE
                end = element.value + min(element.length, longest)
                found[element.tag] = bytes(buffer[element.value : end])
        self._read += buffer.read
        uids = tuple(value.rstrip(b"\0 ").decode("latin-1") for value in said.values())
        if uids != (meta.sop_class_uid, meta.sop_instance_uid):
            message = "its File Meta Information names another SOP Instance than its data set"
            self._faults.add(FaultCode.FILE_META_WRONG, name, message)
        return found
