"""Craft: judges what is on a volume by an Application Profile (PS3.11)."""

from collections.abc import Mapping

from burnish import dicom_elements
from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.limits import pack
from burnish.directory_records import Key, record_type
from burnish.media import MEDIA, PERMITTED_INSTEAD, FileSystem
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.file_meta_checks import FileMeta
from burnish.verify.record_checks import Record

_LEVELS = len(("PATIENT", "STUDY", "SERIES", "IMAGE"))
_ICON_IMAGE_SEQUENCE = 0x00880200


class ProfileChecks:
    """The checks of one volume; what is wrong goes to `faults`."""

    def __init__(self, profile: ApplicationProfile, faults: Faults) -> None:
        self._profile = profile
        self._faults = faults
        self._lacking: set[tuple[int, int]] = set()
        #: Attributes of instances that conditions of directory keys ask for.
        self.conditions = frozenset(
            key.tag for keys in profile.keys.values() for key in keys if key.type == "1C"
        )

    def volume(self, file_system: FileSystem | None, size: int) -> None:
        """The file system, None where it cannot be told, and the bytes that the volume takes."""
        label = self._profile.label
        media = [MEDIA[name] for name in self._profile.media if name in MEDIA]
        if not media:
            return
        permitted = {medium.file_system for medium in media}
        permitted |= {other for own in permitted for other in PERMITTED_INSTEAD.get(own, ())}
        if file_system is not None and file_system not in permitted:
            message = f"its file system is {file_system}; {label} has {' or '.join(permitted)}"
            self._faults.add(FaultCode.FILE_SYSTEM_NOT_IN_PROFILE, "volume", message)
        largest = max(max(medium.capacity, medium.largest) for medium in media)
        if size > largest:
            names = " or ".join(medium.name for medium in media)
            message = f"it takes {size} bytes; {names} of {label} holds {largest}"
            self._faults.add(FaultCode.VOLUME_TOO_LARGE, "volume", message)

    def record(self, record: Record) -> None:
        """The keys that a record has to have whatever its instances have, and its icon."""
        for key in self._profile.keys.get(record.type, ()):
            if key.type == "1" and key.tag not in record.tags:
                self._key_missing(record, key, "which the profile requires with a value")
            elif key.type == "2" and key.tag not in record.tags | record.empty_tags:
                self._key_missing(record, key, "which the profile requires")
        rule = self._profile.icon
        if rule is None or record.type not in ("IMAGE", "SERIES"):
            return
        if record.icon is None:
            if rule.required and record.type == "IMAGE":
                message = f"it has no icon, which the profile requires: {rule}"
                self._faults.add(FaultCode.ICON_MISSING, str(record), message)
        elif not rule.accepts(record.icon):
            message = f"its icon is not as the profile has it: {rule}"
            self._faults.add(FaultCode.ICON_INVALID, str(record), message)

    def instance(
        self,
        name: str,
        meta: FileMeta,
        found: Mapping[int, bytes] | None,
        record: Record | None,
        *,
        explicit: bool,
    ) -> None:
        """One instance, of which `found` are the limited attributes; None where unreadable."""
        profile = self._profile
        if found is None:
            permission = profile.permission_of_class(meta.sop_class_uid)
        else:
            blob = pack(found, regions_explicit=explicit)
            permission = profile.permission(meta.sop_class_uid, blob)
        if not record_type(meta.sop_class_uid):
            message = f"its SOP Class {meta.sop_class_uid} is none of Media Storage (PS3.4 I.4)"
            self._faults.add(FaultCode.SOP_CLASS_NOT_IN_PROFILE, name, message)
        elif permission.attributes:
            self._faults.add(FaultCode.ATTRIBUTE_NOT_IN_PROFILE, name, permission.why)
        elif permission.why:
            message = f"{permission.why} {meta.sop_class_uid}"
            self._faults.add(FaultCode.SOP_CLASS_NOT_IN_PROFILE, name, message)
        syntaxes = permission.transfer_syntaxes or profile.transfer_syntaxes
        if meta.transfer_syntax_uid not in syntaxes:
            self._faults.add(
                FaultCode.TRANSFER_SYNTAX_NOT_IN_PROFILE,
                name,
                f"{profile.label} does not have its Transfer Syntax {meta.transfer_syntax_uid}"
                " for such an instance",
            )
        for _ in range(_LEVELS):
            if record and found is not None:
                self._conditional(record, found)
                record = record.parent

    def _conditional(self, record: Record, found: Mapping[int, bytes]) -> None:
        for key in self._profile.keys.get(record.type, ()):
            if key.type == "1C" and found.get(key.tag) and key.tag not in record.tags:
                self._key_missing(record, key, "which the profile requires if the file has it")

    def _key_missing(self, record: Record, key: Key, why: str) -> None:
        if (record.offset, key.tag) not in self._lacking:
            self._lacking.add((record.offset, key.tag))
            message = f"it lacks {dicom_elements.describe(key.tag)}, {why}"
            self._faults.add(FaultCode.PROFILE_KEY_MISSING, str(record), message)
