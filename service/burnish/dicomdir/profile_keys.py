"""Craft: adds to directory records what the profiles of a File-set require (PS3.11).

The header index takes every key of any profile for which the instance has a value. Added here are
the keys that a profile requires even without a value (Type 2), and icons.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from burnish.application_profiles import PROFILES
from burnish.application_profiles.icon import IconRule, acceptable
from burnish.dicom_elements import encode, encode_item, scan
from burnish.dicomdir.records import ENTITY_TYPES
from burnish.directory_records import Key
from burnish.values import InstanceHeader

_ICON_IMAGE_SEQUENCE = 0x00880200


@lru_cache(maxsize=256)
def _type_2_keys(label: str) -> Mapping[str, Mapping[int, Key]]:
    """Keys of Type 2 that the profiles of `label` add, by record type and then by tag.

    `+` joins several labels. Most profiles add none.
    """
    by_record_type: dict[str, dict[int, Key]] = {}
    for name in label.split("+"):
        profile_keys = PROFILES[name].keys if name in PROFILES else {}
        for record_type, keys in profile_keys.items():
            for key in keys:
                if key.type == "2":
                    by_record_type.setdefault(record_type, {})[key.tag] = key
    return by_record_type


def icon_rule(label: str) -> IconRule | None:
    """What the profiles of `label` say of icons; None if nothing."""
    for name in label.split("+"):
        if name in PROFILES and PROFILES[name].icon:
            return PROFILES[name].icon
    return None


def choose_icon(
    record_type: str, supplied: bytes | None, computed: bytes, rule: IconRule | None
) -> bytes:
    """The item for a record, b"" for none: that of the SCU if permitted (PS3.4 S.3.2.1.1.3)."""
    if record_type != "IMAGE":
        return b""
    return supplied if supplied and acceptable(supplied, rule) else computed


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
    record_type = header.directory_record_type
    icon = b""
    if supplied_icon or made_icon:
        icon = choose_icon(record_type, supplied_icon, made_icon, icon_rule(label))
    added_keys = _type_2_keys(label)
    if not added_keys and not icon:
        return header
    record_keys = added_keys.get(record_type, {}).values()
    entity_keys = [key for name in ENTITY_TYPES for key in added_keys.get(name, {}).values()]
    if record_keys or icon:
        header = header._replace(record_keys=_with_keys(header.record_keys, record_keys, icon))
    if entity_keys and header.entity_keys:
        header = header._replace(entity_keys=_with_keys(header.entity_keys, entity_keys))
    return header


def _with_keys(encoded: bytes, keys: Iterable[Key], icon: bytes = b"") -> bytes:
    """The encoded keys with an element without value for each key they lack, and with an icon."""
    elements = {
        element.tag: encoded[element.start : element.end]
        for element in scan(encoded, 0, len(encoded), explicit=True)
    }
    for tag, vr, _ in keys:
        elements.setdefault(tag, encode(tag, vr, b""))
    if icon:
        elements[_ICON_IMAGE_SEQUENCE] = encode(_ICON_IMAGE_SEQUENCE, b"SQ", encode_item(icon))
    return b"".join(elements[tag] for tag in sorted(elements))
