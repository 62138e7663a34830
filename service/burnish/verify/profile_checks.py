"""Craft: checks a volume and what is on it against an Application Profile (PS3.11)."""

from collections.abc import Mapping

from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.limits import pack
from burnish.directory_records import Key
from burnish.media import MEDIA, PERMITTED_INSTEAD, FileSystem
from burnish.site_records import is_private, record_type
from burnish.verify.faults import FaultCode, Faults, attribute, shown
from burnish.verify.file_meta_checks import FileMeta
from burnish.verify.record_checks import Record

#: PATIENT, STUDY, SERIES and the instance; the records of a damaged DICOMDIR may lie deeper.
_LEVELS = 4
_ICON_IMAGE_SEQUENCE = 0x00880200


class ProfileChecks:
    """The checks of one volume against a profile; faults are added to `faults`."""

    def __init__(self, profile: ApplicationProfile, faults: Faults) -> None:
        self._profile = profile
        self._faults = faults
        #: Offset of record and tag of the keys that were reported as missing.
        self._reported: set[tuple[int, int]] = set()
        #: The attributes of instances on which directory keys depend (Type 1C).
        self.conditions = frozenset(
            key.tag for keys in profile.keys.values() for key in keys if key.type == "1C"
        )

    def check_volume(self, file_system: FileSystem | None, size: int) -> None:
        """Checks the file system, if it is known, and the size of the volume in bytes."""
        label = self._profile.label
        media = [MEDIA[name] for name in self._profile.media if name in MEDIA]
        if not media:
            return
        permitted = {medium.file_system for medium in media}
        for required in tuple(permitted):
            permitted.update(PERMITTED_INSTEAD.get(required, ()))
        if file_system is not None and file_system not in permitted:
            names = " or ".join(sorted(permitted))
            message = f"its file system is {file_system}; {label} requires {names}"
            self._faults.add(FaultCode.FILE_SYSTEM_NOT_IN_PROFILE, "volume", message)
        largest = max(max(medium.capacity, medium.largest) for medium in media)
        if size > largest:
            names = " or ".join(medium.name for medium in media)
            message = f"it has {size} bytes; {names} of {label} holds {largest}"
            self._faults.add(FaultCode.VOLUME_TOO_LARGE, "volume", message)

    def check_record(self, record: Record) -> None:
        """Checks the keys that a record must have whatever its instances are, and its icon."""
        for key in self._profile.keys.get(record.type, ()):
            if key.type == "1" and key.tag not in record.tags:
                self._add_missing_key(record, key, " with a value")
            elif key.type == "2" and not _has(record, key.tag):
                self._add_missing_key(record, key, "")
        rule = self._profile.icon
        if rule is None or record.type not in ("IMAGE", "SERIES"):
            return
        name = attribute(_ICON_IMAGE_SEQUENCE)
        if record.icon is None:
            if rule.required and record.type == "IMAGE":
                message = f"it has no {name}, which the profile requires: {rule}"
                self._faults.add(FaultCode.ICON_MISSING, str(record), message)
        elif not rule.accepts(record.icon):
            message = f"its {name} is not what the profile requires: {rule}"
            self._faults.add(FaultCode.ICON_INVALID, str(record), message)

    def check_instance(
        self,
        name: str,
        meta: FileMeta,
        values: Mapping[int, bytes] | None,
        record: Record | None,
        *,
        explicit: bool,
    ) -> None:
        """Checks an instance by the `values` of its limited attributes, None if it is not read."""
        profile = self._profile
        if values is None:
            permission = profile.permission_of_class(meta.sop_class_uid)
        else:
            limited_attributes = pack(values, regions_explicit=explicit)
            permission = profile.permission(meta.sop_class_uid, limited_attributes)
        if not record_type(meta.sop_class_uid):
            message = (
                f"its SOP Class {shown(meta.sop_class_uid)} is not one of Media Storage (PS3.4 I.4)"
            )
            self._faults.add(FaultCode.SOP_CLASS_NOT_IN_PROFILE, name, message)
        elif permission.attributes:
            self._faults.add(FaultCode.ATTRIBUTE_NOT_IN_PROFILE, name, permission.why)
        elif permission.why:
            self._faults.add(FaultCode.SOP_CLASS_NOT_IN_PROFILE, name, permission.why)
        syntaxes = permission.transfer_syntaxes or profile.transfer_syntaxes
        if meta.transfer_syntax_uid not in syntaxes:
            message = (
                f"its Transfer Syntax is {shown(meta.transfer_syntax_uid)}, "
                f"which {profile.label} does not permit for its SOP Class"
            )
            self._faults.add(FaultCode.TRANSFER_SYNTAX_NOT_IN_PROFILE, name, message)
        if values is None:
            return
        for _ in range(_LEVELS):
            if record:
                self._check_conditional_keys(record, values)
                record = record.parent

    def _check_conditional_keys(self, record: Record, values: Mapping[int, bytes]) -> None:
        for key in self._profile.keys.get(record.type, ()):
            if key.type == "1C" and values.get(key.tag) and key.tag not in record.tags:
                self._add_missing_key(record, key, " if the file has it")

    def _add_missing_key(self, record: Record, key: Key, condition: str) -> None:
        if (record.offset, key.tag) in self._reported:
            return
        self._reported.add((record.offset, key.tag))
        message = f"it has no {attribute(key.tag)}, which the profile requires{condition}"
        self._faults.add(FaultCode.PROFILE_KEY_MISSING, str(record), message)


def _has(record: Record, tag: int) -> bool:
    """Whether a record has a key; a private one may be in another block."""
    tags = record.tags | record.empty_tags
    if tag in tags or not is_private(tag):
        return tag in tags
    return any(other & 0xFFFF00FF == tag & 0xFFFF00FF and other & 0xFF00 for other in tags)
