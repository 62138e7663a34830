"""Craft: examines any volume by itself, without knowing what should be on it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

from burnish import dicom_elements
from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.limits import LIMITED, US_REGIONS
from burnish.dicom_elements import NeedMore
from burnish.errors import Unreadable
from burnish.identifiers import is_file_name
from burnish.media import FileSystem
from burnish.values import Fault, ReadableVolume, SecureVolume, VolumeReport
from burnish.verify.data_set_checks import DataSetChecks
from burnish.verify.dicomdir_checks import CheckedDicomdir, check_dicomdir
from burnish.verify.encrypted_volume import NOT_SECURE, examine_encrypted_volume
from burnish.verify.faults import FaultCode, Faults, shown
from burnish.verify.file_meta_checks import FileMeta, check_file_meta, read_file_meta
from burnish.verify.key_checks import COMPARED_TAGS, KeyChecks
from burnish.verify.profile_checks import ProfileChecks
from burnish.verify.record_checks import Record
from burnish.verify.structure import check_reference, check_structure
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
)

#: A DICOMDIR larger than this is taken for damage: one of 60,000 instances has about 40 MB.
LARGEST_DICOMDIR = 1 << 29

_BLOCK = 1 << 15
#: Places of disagreements that concern the whole volume and not one file.
_WHOLE_VOLUME = {"UDF", "FAT", "volume"}
_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080016, 0x00080018
_LONGEST_UID = 64
#: Transfer Syntaxes whose data sets are not read.
_UNREAD = {DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
#: Bytes of a value that a profile's limits and conditions need; sequences of regions are longer.
_LONGEST_VALUE = 64
_LONGEST_REGIONS = 1 << 16
#: Bytes of the longest value that is compared with a key of a directory record.
_LONGEST_KEY = 1 << 12


@runtime_checkable
class VolumeWithFileSystem(Protocol):
    """A volume that knows its file system."""

    file_system: FileSystem | None


@runtime_checkable
class VolumeWithLongNames(Protocol):
    """A volume that knows by which long names its files are called, where these are other ones."""

    long_names: Mapping[str, str]


def examine_volume(
    volume: ReadableVolume, profile: ApplicationProfile | None = None, *, size: int | None = None
) -> VolumeReport:
    """Checks a volume against PS3.3 F, PS3.10 and PS3.12, and against `profile` if given.

    `size` is the size of the volume in bytes, by default that of its files together. Pixel data
    is not checked. Of a SecureVolume that was not opened, only the envelopes of the files are
    examined; of an opened one, every digest and signature is verified.
    """
    if isinstance(volume, SecureVolume) and not volume.opened:
        return examine_encrypted_volume(volume, profile)
    return _Examination(volume, profile).report(size)


def unreadable_report(error: Unreadable) -> VolumeReport:
    """The report on a volume of which no file can be read."""
    fault = Fault(FaultCode.VOLUME_UNREADABLE, "volume", f"it cannot be read: {error}")
    return VolumeReport(
        volume_identifier="",
        file_set_uid="",
        instances=0,
        files=0,
        bytes_read=0,
        faults=(fault,),
    )


class _FileBuffer:
    """A file of a volume as a buffer for `dicom_elements.scan`; one block is in memory."""

    def __init__(self, volume: ReadableVolume, name: str) -> None:
        self._volume, self._name = volume, name
        self._start, self._block = 0, b""
        self.bytes_read = 0

    def __getitem__(self, index: slice) -> bytes:
        start, stop = index.start or 0, index.stop
        skip = start - self._start
        if skip < 0 or stop - self._start > len(self._block):
            self._block = self._volume.read(self._name, start, max(_BLOCK, stop - start))
            self._start, skip = start, 0
            self.bytes_read += len(self._block)
        return self._block[skip : skip + stop - start]


class _Examination:
    def __init__(self, volume: ReadableVolume, profile: ApplicationProfile | None) -> None:
        self._volume = volume
        self._profile = profile
        self._faults = Faults()
        self._notes = Faults()
        self._key_checks = KeyChecks(self._faults, self._notes)
        self._profile_checks = ProfileChecks(profile, self._faults) if profile else None
        #: A profile may leave out the DICOMDIR (PS3.11 G.3).
        self._without_dicomdir = bool(
            profile and profile.dicomdir_optional and "DICOMDIR" not in volume.files()
        )
        is_directory = not isinstance(volume, VolumeWithFileSystem)
        self._is_lowered = is_directory and all(name == name.lower() for name in volume.files())
        self._instances = 0
        self._bytes_read = 0

    def report(self, size: int | None) -> VolumeReport:
        # File IDs have capital letters; a mounted volume may show small ones
        names = {name.upper(): name for name in self._volume.files()}
        dicomdir = self._check_dicomdir(names.get("DICOMDIR"))
        references: dict[str, Record] = {}
        for record in dicomdir.records:
            if record.file_id:
                references.setdefault(record.file_id.upper(), record)
            if self._profile_checks:
                self._profile_checks.check_record(record)
        self._check_file_system(references)
        for name in self._volume.files():
            self._check_name(name)
            is_sound = self._check_envelope(name)
            if is_sound and name != names.get("DICOMDIR"):
                self._check_file(name, references.get(name.upper()))
        if self._profile_checks:
            self._check_volume(self._profile_checks, size)
        for name, record in references.items():
            if name not in names:
                message = f"{record} references it, but it is not on the volume"
                self._faults.add(FaultCode.FILE_MISSING, record.file_id, message)
        return VolumeReport(
            volume_identifier=self._volume.volume_identifier,
            file_set_uid=dicomdir.file_set_uid,
            instances=self._instances,
            files=len(names),
            bytes_read=self._bytes_read,
            faults=self._by_long_names(self._faults.all()),
            notes=self._by_long_names(self._notes.all()),
        )

    def _by_long_names(self, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        """The faults, each with the name of its file that a user sees."""
        if not isinstance(self._volume, VolumeWithLongNames):
            return faults
        names = self._volume.long_names
        return tuple(replace(fault, where=names.get(fault.where, fault.where)) for fault in faults)

    # --- the volume ---

    def _check_volume(self, checks: ProfileChecks, size: int | None) -> None:
        volume = self._volume
        file_system = volume.file_system if isinstance(volume, VolumeWithFileSystem) else None
        checks.check_volume(file_system, sum(volume.files().values()) if size is None else size)

    def _check_file_system(self, references: Mapping[str, Record]) -> None:
        """Adds the disagreements about files that DICOM readers open, or about the whole volume.

        Other files may have other names in UDF than in ISO 9660.
        """
        for where, message in self._volume.disagreements().items():
            name = where.upper()
            if name == "DICOMDIR" or name in references or where in _WHOLE_VOLUME:
                self._faults.add(FaultCode.FILE_SYSTEM_CONTRADICTORY, where, message)

    def _check_dicomdir(self, name: str | None) -> CheckedDicomdir:
        """There is one DICOMDIR, in the root (PS3.10 8.6)."""
        if name is None:
            if not self._without_dicomdir:
                message = "there is no DICOMDIR in the root of the volume"
                self._faults.add(FaultCode.DICOMDIR_ABSENT, "DICOMDIR", message)
            return CheckedDicomdir()
        try:
            size = self._volume.files()[name]
            if size > LARGEST_DICOMDIR:
                raise Unreadable(f"it has {size} bytes, more than any DICOMDIR")
            data = self._volume.read(name)
        except Unreadable as error:
            self._faults.add(FaultCode.DICOMDIR_UNREADABLE, name, f"it cannot be read: {error}")
            return CheckedDicomdir()
        self._bytes_read += len(data)
        self._check_secure(name)
        dicomdir = check_dicomdir(data, self._faults)
        check_structure(dicomdir, self._volume.volume_identifier, self._faults)
        return dicomdir

    # --- any file ---

    def _check_name(self, name: str) -> None:
        # Linux shows the names of a disc in small letters if all of them have capital letters
        if not is_file_name(name.upper() if self._is_lowered else name):
            message = "its name is not made of components of up to 8 of A-Z, 0-9 and underscore"
            self._faults.add(FaultCode.FILE_NAME_INVALID, name, message)

    def _check_envelope(self, name: str) -> bool:
        """Verifies digest and signature of a Secure DICOM File; returns False if it is damaged."""
        if not isinstance(self._volume, SecureVolume) or not self._is_secure(name):
            return True
        if self._profile and not self._profile.secure:
            message = f"it is a Secure DICOM File, which {self._profile.label} does not permit"
            self._faults.add(FaultCode.FILE_SECURE, name, message)
        try:
            self._volume.check(name)
        except Unreadable as error:
            message = f"its envelope is damaged: {error}"
            self._faults.add(FaultCode.SECURE_FILE_UNSOUND, name, message)
            return False
        return True

    def _is_secure(self, name: str) -> bool:
        try:
            return isinstance(self._volume, SecureVolume) and self._volume.is_secure(name)
        except Unreadable:
            return True

    def _check_secure(self, name: str) -> None:
        """A DICOM file is a Secure DICOM File if the volume or the profile requires that."""
        is_required = isinstance(self._volume, SecureVolume) or (
            self._profile and self._profile.secure
        )
        if is_required and not self._is_secure(name):
            self._faults.add(FaultCode.FILE_NOT_SECURE, name, NOT_SECURE)

    # --- DICOM files ---

    def _check_file(self, name: str, record: Record | None) -> None:
        try:
            meta = read_file_meta(self._volume, name)
            if meta is None:
                if record:
                    message = f"{record} references it, but it is not a DICOM file"
                    self._faults.add(FaultCode.FILE_NOT_DICOM, name, message)
                return
            if meta.sop_class_uid == MEDIA_STORAGE_DIRECTORY_STORAGE:
                message = "it is a second DICOMDIR; the only one is DICOMDIR in the root"
                self._faults.add(FaultCode.DICOMDIR_MISPLACED, name, message)
                return
            self._instances += 1
            self._check_secure(name)
            self._check_instance(name, meta, record)
        except NeedMore as error:
            message = f"it is truncated: {error}"
            self._faults.add(FaultCode.FILE_TRUNCATED, name, message)
        except Unreadable as error:
            self._faults.add(FaultCode.FILE_UNREADABLE, name, f"it cannot be read: {error}")

    def _check_instance(self, name: str, meta: FileMeta, record: Record | None) -> None:
        check_file_meta(meta, name, self._faults)
        if record:
            check_reference(record, name, meta, self._faults)
        elif not self._without_dicomdir:
            message = "it is a DICOM file that no directory record references"
            self._faults.add(FaultCode.FILE_UNREFERENCED, name, message)
        explicit = meta.transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN
        values = None
        if meta.transfer_syntax_uid not in _UNREAD:
            values = self._check_data_set(name, meta, explicit=explicit)
            if record:
                self._key_checks.check(name, record, values)
        if self._profile_checks:
            self._profile_checks.check_instance(name, meta, values, record, explicit=explicit)

    def _check_data_set(self, name: str, meta: FileMeta, *, explicit: bool) -> dict[int, bytes]:
        """Scans a data set to its end; returns the values that the profile's checks need."""
        conditions = self._profile_checks.conditions if self._profile_checks else frozenset()
        buffer = _FileBuffer(self._volume, name)
        size = self._volume.files()[name]
        values: dict[int, bytes] = {}
        uids = {_SOP_CLASS_UID: b"", _SOP_INSTANCE_UID: b""}
        checks = DataSetChecks(name, meta, self._faults, self._notes)
        for element in dicom_elements.scan(buffer, meta.data_set_offset, size, explicit=explicit):
            checks.check_element(element)
            if element.tag in uids and element.length <= _LONGEST_UID:
                uids[element.tag] = buffer[element.value : element.value + element.length]
            if element.tag in COMPARED_TAGS and element.length <= _LONGEST_KEY:
                values[element.tag] = bytes(buffer[element.value : element.value + element.length])
            elif element.tag in LIMITED or element.tag in conditions:
                longest = _LONGEST_REGIONS if element.tag == US_REGIONS else _LONGEST_VALUE
                end = element.value + min(element.length, longest)
                values[element.tag] = bytes(buffer[element.value : end])
        checks.finish(values)
        self._bytes_read += buffer.bytes_read
        for attribute_name, uid, meta_uid in (
            ("SOP Class UID (0008,0016)", uids[_SOP_CLASS_UID], meta.sop_class_uid),
            ("SOP Instance UID (0008,0018)", uids[_SOP_INSTANCE_UID], meta.sop_instance_uid),
        ):
            data_set_uid = uid.rstrip(b"\0 ").decode("latin-1")
            if data_set_uid != meta_uid:
                message = (
                    f"its {attribute_name} is {shown(data_set_uid)}, "
                    f"in its File Meta Information {shown(meta_uid)}"
                )
                self._faults.add(FaultCode.FILE_META_WRONG, name, message)
        return values
