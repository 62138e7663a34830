"""Craft: examines any volume by itself, without knowing what should be on it."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, Protocol, runtime_checkable

from burnish import registered_uids, site_records
from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.limits import LIMITED, US_REGIONS, Values, pack, unpack
from burnish.dicom_elements import PIXEL_DATA, NeedMore
from burnish.dicomdir.reader import SPECIFIC_CHARACTER_SET
from burnish.directory_records import KEYS
from burnish.errors import Unreadable
from burnish.explicit_little_endian import Layout, layout
from burnish.identifiers import is_file_name, is_tolerable_uid
from burnish.instance_header import codestreams
from burnish.instance_header.data_set_walk import BLOCK, DataSetWalk
from burnish.media import FileSystem
from burnish.values import DecodedFrames, Fault, ReadableVolume, SecureVolume, VolumeReport
from burnish.verify.data_set_checks import PIXEL_VALUES, ElementReport, PixelChecks
from burnish.verify.dicomdir_checks import CheckedDicomdir, check_dicomdir
from burnish.verify.encrypted_volume import NOT_SECURE, examine_encrypted_volume
from burnish.verify.faults import FaultCode, Faults, attribute, shown
from burnish.verify.file_meta_checks import FileMeta, check_file_meta, read_file_meta
from burnish.verify.key_checks import COMPARED_TAGS, LONGEST_KEY, KeyChecks, further_tags
from burnish.verify.profile_checks import ProfileChecks
from burnish.verify.record_checks import Record, with_entities_first
from burnish.verify.structure import check_reference, check_structure
from burnish.verify.volume_file import FileOnVolume, inflated_file
from burnish.vocabulary import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, MEDIA_STORAGE_DIRECTORY_STORAGE
from burnish.wording import quantity

#: A DICOMDIR larger than this is taken for damage: one of 60,000 instances has about 40 MB.
LARGEST_DICOMDIR = 1 << 29

#: The most kinds of what was not examined that are named; the others are counted together.
_MOST_KINDS = 20
#: Places of disagreements that concern the whole volume and not one file.
_WHOLE_VOLUME = {"UDF", "FAT", "volume"}
_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00080016, 0x00080018
_LONGEST_UID = 64
#: Bytes of a value that a profile's limits and conditions need.
_LONGEST_VALUE = 64


@runtime_checkable
class VolumeWithFileSystem(Protocol):
    """A volume that knows its file system."""

    file_system: FileSystem | None


@runtime_checkable
class VolumeWithLongNames(Protocol):
    """A volume that knows by which long names its files are called, where these are other ones."""

    long_names: Mapping[str, str]


class Decoder(Protocol):
    """Decodes all frames of the Pixel Data whose value begins at `offset` of a file."""

    def __call__(
        self, file: BinaryIO, offset: int, transfer_syntax_uid: str, values: Values, /
    ) -> DecodedFrames: ...


def examine_volume(
    volume: ReadableVolume,
    profile: ApplicationProfile | None = None,
    *,
    size: int | None = None,
    decoder: Decoder | None = None,
) -> VolumeReport:
    """Checks a volume against PS3.3 F, PS3.10 and PS3.12, and against `profile` if given.

    SOP Classes, transfer syntaxes and directory records that are not known are passed over (PS3.2
    7.2): notes and `not_examined` name them. They are faults only against a profile, which does not
    have them.
    `size` is the size of the volume in bytes, by default that of its files together. The frames of
    compressed pixel data are decoded by `decoder`; without one, only their headers are examined.
    Of a SecureVolume that was not opened, only the envelopes of the files are examined; of an
    opened one, every digest and signature is verified.
    """
    if isinstance(volume, SecureVolume) and not volume.opened:
        return examine_encrypted_volume(volume, profile)
    return _Examination(volume, profile, decoder).report(size)


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


class _Examination:
    def __init__(
        self,
        volume: ReadableVolume,
        profile: ApplicationProfile | None,
        decoder: Decoder | None,
    ) -> None:
        self._volume = volume
        self._sizes = volume.files()
        #: What isinstance finds by comparing all methods is asked once, not for every file.
        self._secure_volume = volume if isinstance(volume, SecureVolume) else None
        self._profile = profile
        self._decoder = decoder
        self._faults = Faults()
        self._notes = Faults()
        self._key_checks = KeyChecks(self._faults, self._notes)
        self._pixel_checks = PixelChecks(self._faults, self._notes)
        self._profile_checks = ProfileChecks(profile, self._faults) if profile else None
        conditions = self._profile_checks.conditions if self._profile_checks else frozenset()
        #: The values that are kept of each data set, and the most bytes of each.
        self._wanted = {
            PIXEL_DATA: 0,
            _SOP_CLASS_UID: _LONGEST_UID,
            _SOP_INSTANCE_UID: _LONGEST_UID,
            **dict.fromkeys([*LIMITED, *conditions], _LONGEST_VALUE),
            **PIXEL_VALUES,
            **dict.fromkeys(COMPARED_TAGS, LONGEST_KEY),
        }
        #: A profile may leave out the DICOMDIR (PS3.11 G.3).
        self._without_dicomdir = bool(
            profile and profile.dicomdir_optional and "DICOMDIR" not in volume.files()
        )
        is_directory = not isinstance(volume, VolumeWithFileSystem)
        self._is_lowered = is_directory and all(name == name.lower() for name in volume.files())
        self._instances = 0
        self._bytes_read = 0
        self._decoded_frames = 0
        #: By what was not examined, in words, and of what: the number of these.
        self._not_examined: Counter[tuple[str, str]] = Counter()

    def report(self, size: int | None) -> VolumeReport:
        # File IDs have capital letters; a mounted volume may show small ones
        names = {name.upper(): name for name in self._volume.files()}
        dicomdir = self._check_dicomdir(names.get("DICOMDIR"))
        self._wanted.update(dict.fromkeys(further_tags(dicomdir.records), LONGEST_KEY))
        references: dict[str, Record] = {}
        for record in with_entities_first(dicomdir.records):
            if record.file_id:
                references.setdefault(record.file_id.upper(), record)
            if SPECIFIC_CHARACTER_SET in record.keys:
                self._key_checks.check_texts(str(record), record.keys)
            if self._profile_checks:
                self._profile_checks.check_record(record)
        self._check_file_system(references)
        for name in self._volume.files():
            self._check_name(name)
            is_sound = self._check_envelope(name)
            if is_sound and name != names.get("DICOMDIR"):
                self._check_file(name, references.get(name.upper()))
        for record in dicomdir.records:
            if record.type not in KEYS:
                self._pass_over_keys(record)
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
            decoded_frames=self._decoded_frames,
            not_examined=tuple(
                f"{what} of {quantity(count, subject)}"
                for (what, subject), count in sorted(self._not_examined.items())
            ),
        )

    def _pass_over(self, what: str, subject: str = "file") -> None:
        """Count a file, or a directory record, of which something is not examined."""
        if (what, subject) not in self._not_examined and len(self._not_examined) >= _MOST_KINDS:
            what = "parts of other kinds that are not known"
        self._not_examined[what, subject] += 1

    def _pass_over_keys(self, record: Record) -> None:
        """Count what could not be examined of the keys of a record that no table explains."""
        record_type = record.type or "empty"
        if not site_records.is_known_private_record(record.private_record_uid):
            self._pass_over(f"which keys are required in type {record_type}", "directory record")
        for _ in range(self._key_checks.uncompared(record)):
            self._pass_over(f"the values in type {record_type}, which no file has,", "key")

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
        unknown = self._faults if self._profile else self._notes
        dicomdir = check_dicomdir(data, self._faults, unknown)
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
        if self._secure_volume is None or not self._is_secure(name):
            return True
        if self._profile and not self._profile.secure:
            message = f"it is a Secure DICOM File, which {self._profile.label} does not permit"
            self._faults.add(FaultCode.FILE_SECURE, name, message)
        try:
            self._secure_volume.check(name)
        except Unreadable as error:
            message = f"its envelope is damaged: {error}"
            self._faults.add(FaultCode.SECURE_FILE_UNSOUND, name, message)
            return False
        return True

    def _is_secure(self, name: str) -> bool:
        try:
            return self._secure_volume is not None and self._secure_volume.is_secure(name)
        except Unreadable:
            return True

    def _check_secure(self, name: str) -> None:
        """A DICOM file is a Secure DICOM File if the volume or the profile requires that."""
        is_required = self._secure_volume or (self._profile and self._profile.secure)
        if is_required and not self._is_secure(name):
            self._faults.add(FaultCode.FILE_NOT_SECURE, name, NOT_SECURE)

    # --- DICOM files ---

    def _check_file(self, name: str, record: Record | None) -> None:
        try:
            beginning = self._volume.read(name, 0, min(self._sizes[name], BLOCK))
            meta = read_file_meta(self._volume, name, beginning)
            if meta is None:
                if record:
                    message = f"{record} references it, but it is not a DICOM file"
                    self._faults.add(FaultCode.FILE_NOT_DICOM, name, message)
                return
            if meta.sop_class_uid == MEDIA_STORAGE_DIRECTORY_STORAGE:
                message = "it is a second DICOMDIR; the only one is DICOMDIR in the root"
                if "DICOMDIR" not in map(str.upper, self._volume.files()):
                    message = "it is not in the root; verify its folder alone to have it examined"
                self._faults.add(FaultCode.DICOMDIR_MISPLACED, name, message)
                return
            self._instances += 1
            self._check_secure(name)
            self._check_instance(name, meta, record, beginning)
        except NeedMore as error:
            self._faults.add(FaultCode.FILE_TRUNCATED, name, f"it is truncated: {error}")
        except Unreadable as error:
            self._faults.add(FaultCode.FILE_UNREADABLE, name, f"it cannot be read: {error}")

    def _check_instance(
        self, name: str, meta: FileMeta, record: Record | None, beginning: bytes
    ) -> None:
        check_file_meta(meta, name, self._faults)
        if record:
            check_reference(record, name, meta, self._faults)
        elif not self._without_dicomdir:
            message = "it is a DICOM file that no directory record references"
            self._faults.add(FaultCode.FILE_UNREFERENCED, name, message)
        syntax = meta.transfer_syntax_uid
        if syntax and syntax not in registered_uids.transfer_syntaxes():
            self._pass_over_data_set(name, meta, record)
            return
        is_known_class = meta.sop_class_uid in registered_uids.sop_classes()
        if not is_known_class:
            self._pass_over_class(name, meta)
        with self._opened_data_set(name, meta, beginning) as walk:
            walk.run(self._wanted)
            self._check_uids(name, meta, walk.values)
            self._key_checks.check_texts(name, walk.values)
            values = walk.values
            if US_REGIONS in walk.sequences:
                values[US_REGIONS] = walk.explicit_items(US_REGIONS)
            limited_attributes = pack(values)
            if is_known_class:
                self._pixel_checks.check(name, meta, walk, limited_attributes)
            if record:
                self._key_checks.check(name, record, walk)
            if self._profile_checks:
                self._profile_checks.check_instance(name, meta, values, record, explicit=True)
            if is_known_class and walk.pixel_data and walk.pixel_data.undefined:
                self._check_frames(name, meta, walk, limited_attributes)
            self._bytes_read += walk.bytes_read

    def _pass_over_data_set(self, name: str, meta: FileMeta, record: Record | None) -> None:
        """Nothing is known of how a data set in an unknown transfer syntax is encoded."""
        syntax = shown(meta.transfer_syntax_uid)
        message = (
            f"its Transfer Syntax is {syntax}, which is not known: its data set was not examined"
        )
        if is_tolerable_uid(meta.transfer_syntax_uid):
            self._notes.add(FaultCode.TRANSFER_SYNTAX_UNKNOWN, name, message)
        else:
            self._faults.add(FaultCode.FILE_META_WRONG, name, message)
        self._pass_over(f"the data set in Transfer Syntax {syntax}, which is not known,")
        if self._profile_checks:
            self._profile_checks.check_instance(name, meta, None, record, explicit=True)

    def _pass_over_class(self, name: str, meta: FileMeta) -> None:
        """Nothing is known of the pixel data of an unknown SOP Class."""
        sop_class = shown(meta.sop_class_uid)
        message = (
            f"its SOP Class is {sop_class}, which is not known: of its data set, only the encoding"
            " and the keys were examined"
        )
        self._notes.add(FaultCode.SOP_CLASS_UNKNOWN, name, message)
        self._pass_over(f"the content in SOP Class {sop_class}, which is not known,")

    @contextmanager
    def _opened_data_set(
        self, name: str, meta: FileMeta, beginning: bytes
    ) -> Iterator[DataSetWalk]:
        """The data set of a file, to be walked; raises Unreadable if it cannot be inflated."""
        report = ElementReport(name, self._faults, self._notes)
        if meta.transfer_syntax_uid != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:

            def read(offset: int, length: int) -> bytes:
                return self._volume.read(name, offset, length)

            encoding = layout(meta.transfer_syntax_uid)
            start, size = meta.data_set_offset, self._sizes[name]
            yield DataSetWalk(read, start, size, encoding, report, block=beginning)
            return
        with inflated_file(self._volume, name, meta.data_set_offset) as (file, size):

            def read_inflated(offset: int, length: int) -> bytes:
                file.seek(offset)
                return file.read(length)

            encoding = Layout(explicit=True, big_endian=False)
            yield DataSetWalk(read_inflated, 0, size, encoding, report)

    def _check_uids(self, name: str, meta: FileMeta, values: Mapping[int, bytes]) -> None:
        """The File Meta Information has the UIDs of the data set (PS3.10 7.1)."""
        for attribute_name, tag, meta_uid in (
            ("SOP Class UID (0008,0016)", _SOP_CLASS_UID, meta.sop_class_uid),
            ("SOP Instance UID (0008,0018)", _SOP_INSTANCE_UID, meta.sop_instance_uid),
        ):
            data_set_uid = values.get(tag, b"").rstrip(b"\0 ").decode("latin-1")
            if data_set_uid != meta_uid:
                message = (
                    f"its {attribute_name} is {shown(data_set_uid)}, "
                    f"in its File Meta Information {shown(meta_uid)}"
                )
                self._faults.add(FaultCode.FILE_META_WRONG, name, message)

    def _check_frames(
        self, name: str, meta: FileMeta, walk: DataSetWalk, limited_attributes: bytes
    ) -> None:
        """Decodes the frames of compressed pixel data, and notes what is not examined."""
        syntax = meta.transfer_syntax_uid
        if codestreams.is_video(syntax):
            self._pass_over("the video stream")
            return
        if not codestreams.is_examined(syntax):
            self._pass_over(f"the codestreams in {shown(syntax)}")
        if self._decoder is None or walk.pixel_data is None:
            return
        file = io.BufferedReader(FileOnVolume(self._volume, name), BLOCK)
        values = unpack(limited_attributes)
        decoded = self._decoder(file, walk.pixel_data.start, syntax, values)
        self._decoded_frames += decoded.frames
        if not decoded.is_supported:
            self._pass_over(f"the decoded frames in {shown(syntax)}")
        elif decoded.fault:
            message = f"its {attribute(PIXEL_DATA)} cannot be decoded: {decoded.fault}"
            self._faults.add(FaultCode.PIXEL_DATA_WRONG, name, message)
