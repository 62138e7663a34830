"""Craft: compares a written volume with what was to be written on it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from burnish import registered_uids
from burnish.dicom_elements import encode
from burnish.errors import Unreadable
from burnish.explicit_little_endian import layout
from burnish.hashing import digest_of, digest_text, hasher_like, new_hasher
from burnish.instance_header.data_set_walk import DataSetWalk
from burnish.values import (
    ExpectedInstance,
    FileDigest,
    ReadableVolume,
    SecureVolume,
    VolumeReport,
)
from burnish.verify.dicomdir_checks import CheckedDicomdir, check_dicomdir
from burnish.verify.encrypted_volume import NOT_SECURE
from burnish.verify.faults import FaultCode, Faults, shown
from burnish.verify.file_meta_checks import (
    PREAMBLE,
    FileMeta,
    FileMetaParser,
    check_file_meta,
    is_dicom,
)
from burnish.verify.key_checks import COMPARED_TAGS, IDENTIFYING_KEYS, LONGEST_KEY, KeyChecks
from burnish.verify.record_checks import Record, with_entities_first
from burnish.verify.structure import check_reference, check_structure
from burnish.vocabulary import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

_DICOMDIR = "DICOMDIR"
#: Bytes at the beginning of a data set in which its identifying keys are looked for.
_KEYS_WITHIN = 1 << 13
_WANTED = dict.fromkeys(COMPARED_TAGS, LONGEST_KEY)


@runtime_checkable
class VolumeWithDigest(Protocol):
    """A volume that can read what was not read yet and return the SHA-256 of all its bytes."""

    def sha256(self) -> str: ...


def compare_volume(
    volume: ReadableVolume,
    *,
    file_set_id: str,
    file_set_uid: str,
    expected: Sequence[ExpectedInstance],
    dicomdir: str | None,
    secure: bool = False,
    others: Collection[str] = (),
) -> VolumeReport:
    """Checks that a volume has every expected byte and no other DICOM file.

    Each file is read once, in the order in which the files lie on the volume. `dicomdir` is the
    digest of the expected DICOMDIR; without it, the DICOMDIR is only checked by itself. On a
    `secure` volume every DICOM file must be a Secure DICOM File. The report has the digests of the
    `others` too, which are not DICOM files.
    """
    instances = {instance.file_id: instance for instance in expected}
    comparison = _Comparison(volume, instances, others, secure=secure)
    return comparison.report(file_set_id, file_set_uid, dicomdir)


class _Comparison:
    def __init__(
        self,
        volume: ReadableVolume,
        expected: Mapping[str, ExpectedInstance],
        others: Collection[str],
        *,
        secure: bool,
    ) -> None:
        self._others = others
        self._volume = volume
        self._files = volume.files()
        self._expected = expected
        self._secure = secure
        self._faults = Faults()
        self._file_metas = FileMetaParser()
        #: The first record that references each file.
        self._references: dict[str, Record] = {}
        self._digests: dict[str, FileDigest] = {}
        self._key_checks = KeyChecks(self._faults, Faults())
        #: By series record and whether VRs are implicit: the encoded identifying keys above it.
        self._encoded_keys: dict[tuple[int, bool], list[bytes]] = {}
        self._instances = 0
        self._bytes_read = 0

    def report(self, file_set_id: str, file_set_uid: str, digest: str | None) -> VolumeReport:
        self._check_volume(file_set_id)
        dicomdir = self._check_dicomdir(digest)
        if dicomdir.complete:
            self._check_file_set(dicomdir, file_set_id, file_set_uid)
        for name in self._files:
            if name != _DICOMDIR:
                self._check_file(name)
        self._check_all_present()
        sha256 = self._sha256()
        return VolumeReport(
            volume_identifier=self._volume.volume_identifier,
            file_set_uid=dicomdir.file_set_uid,
            instances=self._instances,
            files=len(self._files),
            bytes_read=self._bytes_read,
            faults=self._faults.all(),
            sha256=sha256,
            digests=self._digests,
        )

    def _check_volume(self, file_set_id: str) -> None:
        if self._volume.volume_identifier not in ("", file_set_id):
            message = f"its Volume Identifier is not the File-set ID {file_set_id}"
            self._faults.add(FaultCode.VOLUME_IDENTIFIER_WRONG, "volume", message)
        for where, message in self._volume.disagreements().items():
            self._faults.add(FaultCode.FILE_SYSTEM_CONTRADICTORY, where, message)

    def _check_dicomdir(self, digest: str | None) -> CheckedDicomdir:
        if _DICOMDIR not in self._files:
            message = "there is no DICOMDIR in the root of the volume"
            self._faults.add(FaultCode.DICOMDIR_ABSENT, _DICOMDIR, message)
            return CheckedDicomdir()
        try:
            data = b"".join(self._volume.chunks(_DICOMDIR))
            self._check_secure(_DICOMDIR)
        except Unreadable as error:
            message = f"it cannot be read: {error}"
            self._faults.add(FaultCode.DICOMDIR_UNREADABLE, _DICOMDIR, message)
            return CheckedDicomdir()
        self._bytes_read += len(data)
        self._digests[_DICOMDIR] = FileDigest(len(data), digest_of(data))
        if digest not in (None, self._digests[_DICOMDIR].digest):
            message = "its bytes are not those that were to be written: its digest differs"
            self._faults.add(FaultCode.DICOMDIR_DIFFERS, _DICOMDIR, message)
        dicomdir = check_dicomdir(data, self._faults, keeps_all_keys=False)
        check_structure(dicomdir, self._volume.volume_identifier, self._faults)
        for record in with_entities_first(dicomdir.records):
            if record.file_id:
                self._references.setdefault(record.file_id, record)
        return dicomdir

    def _check_file_set(
        self, dicomdir: CheckedDicomdir, file_set_id: str, file_set_uid: str
    ) -> None:
        if dicomdir.file_set_id != file_set_id:
            message = f"its File-set ID (0004,1130) is not {file_set_id}"
            self._faults.add(FaultCode.FILE_SET_ID_WRONG, _DICOMDIR, message)
        if dicomdir.file_set_uid != file_set_uid:
            message = f"its File-set UID is {shown(dicomdir.file_set_uid)}, not {file_set_uid}"
            self._faults.add(FaultCode.FILE_SET_UID_WRONG, _DICOMDIR, message)

    def _check_secure(self, name: str) -> None:
        volume = self._volume
        if self._secure and not (isinstance(volume, SecureVolume) and volume.is_secure(name)):
            self._faults.add(FaultCode.FILE_NOT_SECURE, name, NOT_SECURE)

    def _check_file(self, name: str) -> None:
        expected = self._expected.get(name)
        try:
            if expected is None and name in self._others:
                self._digest_other_file(name)
                return
            if expected is None:
                if is_dicom(self._volume.read(name, 0, PREAMBLE)):
                    message = "it is a DICOM file that was not to be on the volume"
                    self._faults.add(FaultCode.FILE_UNEXPECTED, name, message)
                return
            self._check_secure(name)
            size = self._files[name]
            if size == expected.size:
                self._check_instance(name, expected)
            else:
                message = f"it has {size} bytes, where {expected.size} were written"
                self._faults.add(FaultCode.FILE_SIZE_WRONG, name, message)
        except Unreadable as error:
            self._faults.add(FaultCode.FILE_UNREADABLE, name, f"it cannot be read: {error}")

    def _digest_other_file(self, name: str) -> None:
        hasher = new_hasher()
        for chunk in self._volume.chunks(name):
            hasher.update(chunk)
        self._digests[name] = FileDigest(self._files[name], digest_text(hasher))

    def _check_instance(self, name: str, expected: ExpectedInstance) -> None:
        """Compares the digest of the data set, and the File Meta Information before it."""
        hasher = hasher_like(expected.digest)
        before_data_set = beginning = b""
        for chunk in self._volume.chunks(name):
            self._bytes_read += len(chunk)
            missing = expected.data_set_offset - len(before_data_set)
            if missing > 0:
                before_data_set += chunk[:missing]
                beginning = bytes(chunk[missing : missing + _KEYS_WITHIN])
                hasher.update(memoryview(chunk)[missing:])
            else:
                hasher.update(chunk)
        digest = digest_text(hasher)
        offset = expected.data_set_offset
        self._digests[name] = FileDigest(expected.size, digest, offset, digest_of(before_data_set))
        if digest != expected.digest:
            message = "its data set is not the one that was written: its digest differs"
            self._faults.add(FaultCode.DATA_SET_DIFFERS, name, message)
        self._instances += 1
        if not is_dicom(before_data_set):
            self._faults.add(FaultCode.FILE_NOT_DICOM, name, "it has no DICOM prefix")
            return
        meta = self._file_metas.parse(before_data_set)
        self._check_file_meta(name, meta, expected)
        record = self._references.get(name)
        if record is None:
            message = "no directory record references it"
            self._faults.add(FaultCode.FILE_UNREFERENCED, name, message)
        else:
            check_reference(record, name, meta, self._faults)
            if digest == expected.digest:
                self._check_identity(name, record, meta, beginning)

    def _check_identity(self, name: str, record: Record, meta: FileMeta, beginning: bytes) -> None:
        """Compares the identifying keys of the records above an instance with those of its file.

        Nearly always they are at the beginning of the data set byte for byte. To look for these
        takes 4 us a file, to walk the data set ten times that.
        """
        syntax = meta.transfer_syntax_uid
        implicit = syntax == IMPLICIT_VR_LITTLE_ENDIAN
        series = record.parent.offset if record.parent else 0
        encoded_keys = self._encoded_keys.get((series, implicit))
        if encoded_keys is None:
            encoded_keys = _encoded_keys(record, implicit=implicit)
            self._encoded_keys[series, implicit] = encoded_keys
        if all(key in beginning for key in encoded_keys):
            return
        if (
            syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
            or syntax not in registered_uids.transfer_syntaxes()
        ):
            return

        def read(offset: int, length: int) -> bytes:
            return self._volume.read(name, offset, length)

        size = self._files[name]
        walk = DataSetWalk(read, meta.data_set_offset, size, layout(syntax), _ignore)
        with suppress(Unreadable):  # the instance was kept although its data set is damaged
            walk.run(_WANTED)
        self._key_checks.check(name, record, walk)

    def _check_file_meta(self, name: str, meta: FileMeta, expected: ExpectedInstance) -> None:
        check_file_meta(meta, name, self._faults)
        if (
            meta.sop_class_uid == expected.sop_class_uid
            and meta.sop_instance_uid == expected.sop_instance_uid
            and meta.transfer_syntax_uid == expected.transfer_syntax_uid
            and meta.data_set_offset == expected.data_set_offset
        ):
            return
        for attribute_name, value, expected_value in (
            ("Media Storage SOP Class UID", meta.sop_class_uid, expected.sop_class_uid),
            ("Media Storage SOP Instance UID", meta.sop_instance_uid, expected.sop_instance_uid),
            ("Transfer Syntax UID", meta.transfer_syntax_uid, expected.transfer_syntax_uid),
        ):
            if value != expected_value:
                message = f"its {attribute_name} is {shown(value)}, not {expected_value}"
                self._faults.add(FaultCode.FILE_META_WRONG, name, message)
        if meta.data_set_offset != expected.data_set_offset:
            message = (
                f"its data set begins at byte {meta.data_set_offset}, "
                f"not at byte {expected.data_set_offset}"
            )
            self._faults.add(FaultCode.FILE_META_WRONG, name, message)

    def _check_all_present(self) -> None:
        for file_id in sorted(self._expected.keys() - self._files.keys()):
            self._faults.add(FaultCode.FILE_MISSING, file_id, "it is not on the volume")
        for file_id, record in self._references.items():
            if file_id not in self._expected:
                message = f"{record} references it, but it was not to be on the volume"
                self._faults.add(FaultCode.FILE_UNEXPECTED, file_id, message)

    def _sha256(self) -> str:
        if not isinstance(self._volume, VolumeWithDigest):
            return ""
        try:
            return self._volume.sha256()
        except Unreadable as error:
            message = f"it cannot be read to its end: {error}"
            self._faults.add(FaultCode.FILE_UNREADABLE, "volume", message)
            return ""


def _encoded_keys(record: Record, *, implicit: bool) -> list[bytes]:
    """The elements with the identifying keys of the records above an instance, as files have them.

    The first record of a volume is that of a patient, so none is at offset 0.
    """
    elements = []
    parent = record.parent
    while parent is not None:
        for tag, vr in IDENTIFYING_KEYS.get(parent.type, ()):
            element = encode(tag, vr, parent.keys.get(tag, b""))
            length = len(element) - 8
            if implicit:
                element = element[:4] + length.to_bytes(4, "little") + element[8:]
            elements.append(element)
        parent = parent.parent
    return elements


def _ignore(_kind: str, _message: str) -> None:
    """Do nothing: the faults of elements were told when the instance arrived."""
