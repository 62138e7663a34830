"""Craft: what the profiles of a File-set add to the directory records of an instance (PS3.11).

An index takes every key that any profile may want, where the instance has a value. What is added
here are keys that a profile wants also without a value, and icons.
"""

from functools import lru_cache

from burnish.application_profiles import PROFILES
from burnish.application_profiles.icon import IconRule
from burnish.dicom_elements import encode, encode_item, scan
from burnish.dicomdir import icons
from burnish.directory_records import Key
from burnish.values import InstanceHeader

_ICON_IMAGE_SEQUENCE = 0x00880200
_ENTITIES = ("PATIENT", "STUDY", "SERIES")


def _type_2(label: str, record: str) -> tuple[Key, ...]:
    """Keys of Type 2 that the profiles of a label add to a record; labels are joined by `+`."""
    found = {
        key.tag: key
        for name in label.split("+")
        if name in PROFILES
        for key in PROFILES[name].keys.get(record, ())
        if key.type == "2"
    }
    return tuple(found.values())


@lru_cache(maxsize=256)
def _added(label: str, record: str) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """The keys of Type 2 that are added to the record of an instance, and to those above it."""
    return _type_2(label, record), tuple(key for name in _ENTITIES for key in _type_2(label, name))


@lru_cache(maxsize=256)
def icon_rule(label: str) -> IconRule | None:
    """What the profiles of a label say of icons."""
    rules = [PROFILES[name].icon for name in label.split("+") if name in PROFILES]
    return next((rule for rule in rules if rule), None)


def header_on_media(
    header: InstanceHeader,
    label: str,
    *,
    derived_sop_instance_uid: str | None = "",
    derived_record_keys: bytes | None = b"",
    supplied_icon: bytes | None = None,
    made_icon: bytes = b"",
) -> InstanceHeader:
    """The header of an instance as the DICOMDIR of a medium has it.

    Planning and writing both call this function: the size that was planned and the DICOMDIR
    that is written agree to the byte because nothing else assembles a header.

    `label` names the Application Profiles of the File-set; their keys of Type 2 are added.
    `derived_sop_instance_uid` and `derived_record_keys` are those of the SOP Instance that
    compression with loss made of the instance; empty where the instance stays the same. Of the
    two icons, both encoded items, `supplied_icon` of the SCU is used where the profile permits
    it (PS3.4 S.3.2.1.1.3).
    """
    if derived_sop_instance_uid:
        header = header._replace(
            sop_instance_uid=derived_sop_instance_uid, record_keys=derived_record_keys or b""
        )
    record = header.directory_record_type
    icon = b""
    if supplied_icon or made_icon:
        icon = icons.choose(record, supplied_icon, made_icon, icon_rule(label))
    own, entities = _added(label, record)
    if not (own or entities or icon):
        return header
    return header._replace(
        entity_keys=_with(header.entity_keys, entities) if header.entity_keys else b"",
        record_keys=_with.__wrapped__(header.record_keys, own, icon),
    )


@lru_cache(maxsize=1024)
def _with(blob: bytes, keys: tuple[Key, ...], icon: bytes = b"") -> bytes:
    """The blob with elements for keys that it lacks, and with an icon."""
    elements = {e.tag: blob[e.start : e.end] for e in scan(blob, 0, len(blob), explicit=True)}
    for tag, vr, _ in keys:
        elements.setdefault(tag, encode(tag, vr, b""))
    if icon:
        elements[_ICON_IMAGE_SEQUENCE] = encode(_ICON_IMAGE_SEQUENCE, b"SQ", encode_item(icon))
    return b"".join(elements[tag] for tag in sorted(elements))
